"""Plain text: one document per block between blank lines."""

from collections.abc import Iterator
from typing import IO

from biogpt.documents.document import Document
from biogpt.documents.files import Reading, describe_bytes, lines


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    block: list[str] = []
    start = 0
    is_broken = False

    def finish() -> Iterator[Document]:
        if block and not is_broken:
            yield Document(id=f"{reading.path.name}:{start}", abstract="\n".join(block))

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
