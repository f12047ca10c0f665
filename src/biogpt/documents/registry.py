"""Registry: which formats there are, who reads and writes each, and how to tell them by name and content.

What each format keeps and what it cannot say is in the docstring of its module.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from biogpt.documents import (
    bioc_json,
    bioc_xml,
    bioc_xml_writer,
    brat,
    json_lines,
    plain_text,
    pubmed,
    pubtator,
    tables,
)
from biogpt.documents.types import Article, Document
from biogpt.documents.writer import Writer
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import Reading, check_encoding, peek

READERS: dict[str, Callable[[IO[bytes], Reading], Iterator[Document]]] = {
    plain_text.NAME: plain_text.read_documents,
    json_lines.NAME: json_lines.read_documents,
    tables.CSV: tables.read_csv_documents,
    tables.TSV: tables.read_tsv_documents,
    pubmed.NAME: pubmed.read_documents,
    pubtator.NAME: pubtator.read_documents,
    bioc_xml.NAME: bioc_xml.read_documents,
    bioc_json.NAME: bioc_json.read_documents,
}
"""By name, the readers of formats that are one file; brat is a directory."""
ARTICLE_READERS: dict[str, Callable[[IO[bytes], Reading], Iterator[Article]]] = {
    ".jsonl": json_lines.read_articles,
    ".xml": pubmed.read_articles,
    ".txt": plain_text.read_articles,
}
"""By the ending of a file's name."""
WRITERS: dict[str, Callable[..., Writer]] = {
    json_lines.NAME: json_lines.JsonLinesWriter,
    tables.CSV: functools.partial(tables.TableWriter, format=tables.CSV),
    tables.TSV: functools.partial(tables.TableWriter, format=tables.TSV),
    pubtator.NAME: pubtator.PubTatorWriter,
    bioc_xml.NAME: bioc_xml_writer.BiocXmlWriter,
    bioc_json.NAME: bioc_json.BiocJsonWriter,
    brat.NAME: brat.BratWriter,
}
"""By name."""

INPUT_FORMATS = (*READERS, brat.NAME)
"""The names of the formats that can be read."""
OUTPUT_FORMATS: Mapping[str, frozenset[str]] = {
    json_lines.NAME: frozenset({"entities", "relations", "labels", "warnings"}),
    tables.CSV: frozenset({"entities", "relations", "labels", "warnings"}),
    tables.TSV: frozenset({"entities", "relations", "labels", "warnings"}),
    pubtator.NAME: frozenset({"entities", "relations"}),
    bioc_xml.NAME: frozenset({"entities", "relations", "labels", "warnings"}),
    bioc_json.NAME: frozenset({"entities", "relations", "labels", "warnings"}),
    brat.NAME: frozenset({"entities", "relations"}),
}
"""The names of the formats that can be written, and which parts of `Extraction` each can say."""

ENDINGS = {
    ".jsonl": json_lines.NAME,
    ".ndjson": json_lines.NAME,
    ".csv": tables.CSV,
    ".tsv": tables.TSV,
    ".pubtator": pubtator.NAME,
    ".xml": bioc_xml.NAME,
    ".json": bioc_json.NAME,
    ".txt": plain_text.NAME,
}
"""What a name says: alone for an output; an input's content decides between those that share an ending."""

_XML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\])?\s*>|\s)*<([A-Za-z_][\w.:-]*)", re.DOTALL
)
_MEDLINE_START = re.compile(rb"\s*PMID- ?\d+\s")
_PUBTATOR_START = re.compile(rb"\s*[^|\s]+\|[ta]\|")
_BIOC_KEYS = re.compile(rb'"(?:documents|passages|bioctype|PubTator3)"\s*:')


def check_format(path: Path) -> None:
    """Make sure, by its name alone, that `read_articles` can read a file.

    Raises:
        DataError: the name has an unknown ending.
    """
    known = ending_of(path)
    if known not in ARTICLE_READERS:
        endings = ", ".join(ARTICLE_READERS)
        message = f"Expected a name ending in {endings}, or these with .gz."
        raise DataError(f"Cannot tell by its name what {path} holds. {message}")


def check_documents(path: Path, format: str | None = None) -> str:
    """Make sure, by its name and first bytes, that `read_documents` can read a file.

    Args:
        path: the file; for brat, a directory.
        format: one of `INPUT_FORMATS`; without, the file's name and content tell.

    Returns:
        The format.

    Raises:
        DataError: the file cannot be opened, is in another encoding, or lacks columns.
        InputError: no such format.
    """
    if format is None:
        format = detect_format(path)
    elif format not in INPUT_FORMATS:
        known = ", ".join(INPUT_FORMATS)
        raise InputError(f"Unknown format '{format}'.{suggest(format, INPUT_FORMATS)} Expected one of {known}.")
    if format == brat.NAME:
        return format
    head = peek(path)
    if format not in (pubmed.NAME, bioc_xml.NAME):
        check_encoding(path, head)
    if format in tables.DELIMITERS:
        tables.check_columns(path, head, format)
    return format


def detect_format(path: Path) -> str:
    """The format of a file, by its name and where that leaves a choice by its content.

    Raises:
        DataError: neither tells, or the file cannot be opened.
    """
    if path.is_dir():
        return brat.NAME
    named = ENDINGS.get(ending_of(path), "")
    if named in (tables.CSV, tables.TSV, pubtator.NAME):
        return named
    head = peek(path)
    start = _XML_START.match(head.removeprefix(b"\xef\xbb\xbf"))
    if start is not None and named in ("", bioc_xml.NAME, plain_text.NAME):
        return _xml_format(path, start[1].decode())
    if named == bioc_xml.NAME:
        return pubmed.NAME  # not XML from its start, or in UTF-16: the parser says what it thinks of it
    if named in ("", plain_text.NAME) and _PUBTATOR_START.match(head):
        return pubtator.NAME
    if _MEDLINE_START.match(head):
        raise DataError(f"{path} holds MEDLINE's tagged lines (nbib). Expected PubMed XML; fetch it in that format.")
    if named == plain_text.NAME:
        return named
    if head.lstrip()[:1] in (b"{", b"[") or named:
        is_bioc = _BIOC_KEYS.search(head) is not None and (named != json_lines.NAME or b'"passages"' in head)
        return bioc_json.NAME if is_bioc else json_lines.NAME
    raise DataError(
        f"Cannot tell what {path} holds. Expected a name ending in {', '.join(ENDINGS)}, maybe with .gz behind, or "
        f"say its format: one of {', '.join(INPUT_FORMATS)}."
    )


def _xml_format(path: Path, root: str) -> str:
    if root == bioc_xml.ROOT:
        return bioc_xml.NAME
    if root in pubmed.ROOTS:
        return pubmed.NAME
    roots = f"<{bioc_xml.ROOT}> (BioC), <{'>, <'.join(pubmed.ROOTS[:2])}> (PubMed)"
    raise DataError(f"{path}: the root element is <{root}>. Expected {roots}. Fetch it in one of these formats.")


def output_format(path: Path) -> str | None:
    """The format that an output's name asks for, or None where it does not tell."""
    known = ENDINGS.get(path.suffix.lower())
    return known if known in OUTPUT_FORMATS else None


def ending_of(path: Path) -> str:
    """The ending that decides how a file is read: `.jsonl`, `.xml`, `.txt`, or whatever stands before `.gz`."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix
