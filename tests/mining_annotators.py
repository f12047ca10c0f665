"""Annotators that need no model, and PubMed files for them: what tests of collections mine with."""

import gzip
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biogpt.documents import Document, Entity, EntityRelation, Extraction
from biogpt.mining.dataset import TABLES, Collection


@dataclass(frozen=True)
class WordAnnotator:
    """Takes long words for entities, and the first two of a text for related."""

    task: str = "words"
    seconds: float = 0.0
    """How long a document takes."""
    fails_on: str = ""
    """A word that it cannot bear."""

    def describe(self) -> dict[str, Any]:
        return {"task": self.task, "model": "long words", "sha256": "", "threshold": None, "constrained": True}

    def load(self):
        return self.annotate

    def annotate(self, documents: Sequence[Document]) -> Iterator[Document]:
        for document in documents:
            time.sleep(self.seconds)
            if self.fails_on and self.fails_on in document.text:
                raise ValueError(f"cannot bear {self.fails_on}")
            found = [
                Entity("Word", word[0], (word.span(),), "", round(1 - 1 / len(word[0]), 3))
                for word in re.finditer(r"\b\w{7,}", document.text)
            ]
            pair = {"head": found[0], "tail": found[1]} if len(found) > 1 else {}
            relations = (EntityRelation("beside", pair, {"how": "first"}, 0.5),) if pair else ()
            yield document.with_extraction(Extraction(tuple(found), relations))


def citation(pmid: int, text: str, version: int = 1, year: int = 2020) -> str:
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="{version}">{pmid}</PMID><Article><Journal><JournalIssue>'
        f"<PubDate><Year>{year}</Year></PubDate></JournalIssue></Journal><ArticleTitle>{text}</ArticleTitle>"
        f"<Abstract><AbstractText>Abstract of article number {pmid}, version {version}.</AbstractText></Abstract>"
        "</Article></MedlineCitation></PubmedArticle>"
    )


def write_pubmed(path: Path, *citations: str, deleted: Mapping[int, int] | None = None) -> Path:
    """A PubMed file; `deleted`: versions by PMID."""
    gone = "".join(f'<PMID Version="{version}">{pmid}</PMID>' for pmid, version in (deleted or {}).items())
    deletion = f"<DeleteCitation>{gone}</DeleteCitation>" if gone else ""
    text = f"<?xml version='1.0'?><PubmedArticleSet>{''.join(citations)}{deletion}</PubmedArticleSet>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())
    return path


def rows_of(directory: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The current rows of a collection, without what says which run and file made them, in one order."""
    connection = Collection(directory).connect()
    left_out = "shard, run, source, file, ordinal"
    rows = {}
    for table in TABLES:
        columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        names = ", ".join(f'"{name}"' for name in columns if name not in left_out.split(", "))
        rows[table] = sorted(map(repr, connection.execute(f"SELECT {names} FROM {table}").fetchall()))
    return rows
