"""Plain text: one document per block between blank lines."""

from collections.abc import Iterator
from typing import IO

from biogpt.documents.types import Article, Document, Passage, make_document
from biogpt.files import Reading, describe_bytes, lines

NAME = "text"


def read_articles(stream: IO[bytes], reading: Reading) -> Iterator[Article]:
    """The documents of a stream of plain text, each with the number of its first line as its id."""
    block: list[str] = []
    start = 0
    is_broken = False

    def finish() -> Iterator[Article]:
        if block and not is_broken:
            yield Article(id=f"{reading.path.name}:{start}", abstract="\n".join(block))

    for number, line in lines(stream, reading):
        if not line.strip():
            yield from finish()
            block, is_broken = [], False
            continue
        if not block:
            start = number
        try:
            block.append(line.decode().rstrip("\r\n"))
        except UnicodeDecodeError as error:
            if not is_broken:
                reading.report(number, describe_bytes(error))
            block.append("")
            is_broken = True
    yield from finish()


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    """The documents of a stream of plain text."""
    for article in read_articles(stream, reading):
        yield make_document(article.id, (Passage(article.abstract),), format=NAME)
