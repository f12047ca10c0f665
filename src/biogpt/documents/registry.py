"""Registry: which formats there are, who reads and writes each, and how to tell them by name and content.

What each format keeps and what it cannot say is in the docstring of its module.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from biogpt.documents import (
    bioc_json,
    bioc_xml,
    bioc_xml_writer,
    brat,
    doccano,
    excel,
    jats,
    json_documents,
    json_lines,
    label_studio,
    medline,
    parquet,
    plain_text,
    pubmed,
    pubtator,
    ris,
    tables,
    tagged,
)
from biogpt.documents.types import Article, Document
from biogpt.documents.writer import Writer
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import (
    HEAD_BYTES,
    Reading,
    check_encoding,
    is_zip,
    open_members,
    open_stored,
    peek,
    reporting_damage,
    unpack,
)

READERS: dict[str, Callable[[IO[bytes], Reading], Iterator[Document]]] = {
    plain_text.NAME: plain_text.read_documents,
    json_lines.NAME: json_lines.read_documents,
    json_documents.NAME: json_documents.read_documents,
    tables.CSV: tables.read_csv_documents,
    tables.TSV: tables.read_tsv_documents,
    excel.NAME: excel.read_documents,
    parquet.NAME: parquet.read_documents,
    pubmed.NAME: pubmed.read_documents,
    medline.NAME: medline.read_documents,
    ris.RIS: ris.read_ris_documents,
    ris.WOS: ris.read_wos_documents,
    jats.NAME: jats.read_documents,
    pubtator.NAME: pubtator.read_documents,
    bioc_xml.NAME: bioc_xml.read_documents,
    bioc_json.NAME: bioc_json.read_documents,
    doccano.NAME: doccano.read_documents,
    label_studio.NAME: label_studio.read_documents,
}
"""By name, the readers of formats that are one file; brat is a directory."""
ARTICLE_READERS: dict[str, Callable[[IO[bytes], Reading], Iterator[Article]]] = {
    ".jsonl": json_lines.read_articles,
    ".xml": pubmed.read_articles,
    ".txt": plain_text.read_articles,
}
"""By the ending of a file's name."""
ROW_READERS: dict[str, Callable[[IO[bytes], Reading], tuple[list[str], Iterator[tuple[int, list[Any]]]]]] = {
    tables.CSV: tables.read_csv_rows,
    tables.TSV: tables.read_tsv_rows,
    excel.NAME: excel.read_rows,
    parquet.NAME: parquet.read_rows,
}
"""By name, what reads the rows of the formats that are tables."""
WRITERS: dict[str, Callable[..., Writer]] = {
    json_lines.NAME: json_lines.JsonLinesWriter,
    tables.CSV: functools.partial(tables.TableWriter, format=tables.CSV),
    tables.TSV: functools.partial(tables.TableWriter, format=tables.TSV),
    excel.NAME: excel.ExcelWriter,
    parquet.NAME: parquet.ParquetWriter,
    pubtator.NAME: pubtator.PubTatorWriter,
    bioc_xml.NAME: bioc_xml_writer.BiocXmlWriter,
    bioc_json.NAME: bioc_json.BiocJsonWriter,
    brat.NAME: brat.BratWriter,
    doccano.NAME: doccano.DoccanoWriter,
    label_studio.NAME: label_studio.LabelStudioWriter,
}
"""By name."""

INPUT_FORMATS = (*READERS, brat.NAME)
"""The names of the formats that can be read."""
_ALL_PARTS = frozenset({"entities", "relations", "labels", "warnings"})
_MENTIONS = frozenset({"entities", "relations"})
OUTPUT_FORMATS: Mapping[str, frozenset[str]] = {
    json_lines.NAME: _ALL_PARTS,
    tables.CSV: _ALL_PARTS,
    tables.TSV: _ALL_PARTS,
    excel.NAME: _ALL_PARTS,
    parquet.NAME: _ALL_PARTS,
    pubtator.NAME: _MENTIONS,
    bioc_xml.NAME: _ALL_PARTS,
    bioc_json.NAME: _ALL_PARTS,
    brat.NAME: _MENTIONS,
    doccano.NAME: _MENTIONS,
    label_studio.NAME: _MENTIONS,
}
"""The names of the formats that can be written, and which parts of `Extraction` each can say."""

ENDINGS = {
    ".jsonl": json_lines.NAME,
    ".ndjson": json_lines.NAME,
    ".csv": tables.CSV,
    ".tsv": tables.TSV,
    ".xlsx": excel.NAME,
    ".parquet": parquet.NAME,
    ".pubtator": pubtator.NAME,
    ".xml": bioc_xml.NAME,
    ".nxml": jats.NAME,
    ".json": bioc_json.NAME,
    ".nbib": medline.NAME,
    ".ris": ris.RIS,
    ".ciw": ris.WOS,
    ".txt": plain_text.NAME,
}
"""What a name says: alone for an output; an input's content decides between those that share an ending."""
_REFUSED = {
    ".pdf": "is a PDF. Expected text; extract it, for example with GROBID (which gives XML) or pdftotext.",
    ".doc": "is a document of Word. Expected text; save it as plain text.",
    ".docx": "is a document of Word. Expected text; save it as plain text.",
    ".odt": "is a document of LibreOffice. Expected text; save it as plain text.",
    ".xls": "is a workbook in the old format. Expected .xlsx or CSV; save it as one of them.",
    ".ods": "is a workbook of LibreOffice. Expected .xlsx or CSV; save it as one of them.",
    ".html": "is a web page. Expected text; save the page as text, or fetch its article as PubMed or PMC XML.",
    ".htm": "is a web page. Expected text; save the page as text, or fetch its article as PubMed or PMC XML.",
    ".tar": "is a tar archive. Expected its files; unpack it and give the directory.",
    ".tgz": "is a tar archive. Expected its files; unpack it and give the directory.",
    ".bib": "is BibTeX, which is not read. Export the references as RIS.",
    ".enw": "holds EndNote's tagged lines, which are not read. Export the references as RIS.",
}
"""By ending, why a file is not read, and what to do."""

_XML_START = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(?:\[.*?\])?\s*>|\s)*<([A-Za-z_][\w.:-]*)", re.DOTALL
)
_PUBTATOR_START = re.compile(rb"\s*[^|\s]+\|[ta]\|")
_JSON_START = re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*(?:[{\]]|\"))")


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


def check_documents(path: Path, format: str | None = None, columns: Mapping[str, str] | None = None) -> str:
    """Make sure, by its name and first bytes, that `read_documents` can read a file.

    Args:
        path: the file; for brat, a directory.
        format: one of `INPUT_FORMATS`; without, the file's name and content tell.
        columns: field -> column or key, where the user has said it.

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
    head = peek(path, may_be_packed=format == excel.NAME)
    if format not in (pubmed.NAME, bioc_xml.NAME, jats.NAME, excel.NAME, parquet.NAME):
        check_encoding(path, head)
    if format in tables.DELIMITERS:
        tables.check_columns(path, head, format, columns)
    elif format in ROW_READERS:
        with open_stored(path) as stored:
            header, _ = ROW_READERS[format](unpack(path, stored), Reading(path, lambda _: None))
        tables.name_columns(path, header, columns)
    return format


def detect_format(path: Path) -> str:
    """The format of a file, by its name and where that leaves a choice by its content.

    Raises:
        DataError: neither tells, the file is of a kind that is not read, or it cannot be opened.
    """
    if path.is_dir():
        return brat.NAME
    if is_zip(path):
        with open_stored(path) as stored:
            return detect_archive(path, stored)
    return _detect(path, path, lambda: peek(path))


def detect_archive(path: Path, archive: IO[bytes]) -> str:
    """The format of the files in a zip archive, which are all of one kind.

    Args:
        path: its name, for messages.
        archive: the archive, opened.

    Raises:
        DataError: as for `detect_format`, or it is damaged, or holds files of several kinds or none.
    """
    members = list(open_members(path, archive))
    endings = dict.fromkeys(ending_of(name) for name, _ in members)
    if len(endings) > 1:
        raise DataError(f"{path} holds files of several kinds ({', '.join(endings)}). Unpack it; give the directory.")
    name, open_member = members[0]

    def head() -> bytes:
        with reporting_damage(path):
            return open_member().read(HEAD_BYTES)

    return _detect(path, name, head)


def _detect(path: Path, name: Path, head: Callable[[], bytes]) -> str:
    ending = ending_of(name)
    if ending in _REFUSED:
        raise DataError(f"{path} {_REFUSED[ending]}")
    if ENDINGS.get(ending) in (excel.NAME, parquet.NAME):
        return ENDINGS[ending]
    format = detect_content(path, head(), ENDINGS.get(ending, ""))
    if format is None:
        raise DataError(
            f"Cannot tell what {path} holds. Expected a name ending in {', '.join(ENDINGS)}, maybe with .gz or .zip "
            f"behind, or say its format: one of {', '.join(INPUT_FORMATS)}."
        )
    return format


def detect_content(path: Path, head: bytes, named: str = "") -> str | None:
    """The format of a content; None where it does not tell.

    Args:
        path: its name, for messages.
        head: its first bytes.
        named: the format that its name says, if any.

    Raises:
        DataError: it is of a kind that is not read.
    """
    if head.startswith(b"PAR1"):
        return parquet.NAME
    if head.startswith(b"%PDF-"):
        raise DataError(f"{path} {_REFUSED['.pdf']}")
    if named in (tables.CSV, tables.TSV, pubtator.NAME):
        return named
    head = head.removeprefix(b"\xef\xbb\xbf")
    start = _XML_START.match(head)
    if start is not None and named in ("", bioc_xml.NAME, jats.NAME, plain_text.NAME):
        return _xml_format(path, start[1].decode())
    if named in (bioc_xml.NAME, jats.NAME):
        return pubmed.NAME  # not XML from its start, or in UTF-16: the parser says what it thinks of it
    if named not in (json_lines.NAME, bioc_json.NAME):
        if named in ("", plain_text.NAME) and _PUBTATOR_START.match(head):
            return pubtator.NAME
        if (found := tagged.detect(path, head)) is not None:
            return found
        if named in (medline.NAME, ris.RIS, ris.WOS):
            return named
        first = next((line for line in head.decode("utf-8", "replace").splitlines() if line.strip()), "")
        if named == plain_text.NAME and tables.looks_like_table(first, needs_text=True):
            return tables.looks_like_table(first, needs_text=True)
    if _JSON_START.match(head) or (named != plain_text.NAME and head.lstrip()[:1] in (b"{", b"[")):
        return json_documents.detect(head, named)
    if named in (json_lines.NAME, bioc_json.NAME):
        return json_lines.NAME
    return named or None


def _xml_format(path: Path, root: str) -> str:
    if root == bioc_xml.ROOT:
        return bioc_xml.NAME
    if root in pubmed.ROOTS:
        return pubmed.NAME
    if root.rpartition(":")[2] in jats.ROOTS:
        return jats.NAME
    roots = f"<{bioc_xml.ROOT}> (BioC), <{'>, <'.join(pubmed.ROOTS[:2])}> (PubMed), <{jats.ROOTS[0]}> (JATS)"
    raise DataError(f"{path}: the root element is <{root}>. Expected {roots}. Fetch it in one of these formats.")


def output_format(path: Path) -> str | None:
    """The format that an output's name asks for, or None where it does not tell."""
    known = ENDINGS.get(path.suffix.lower())
    return known if known in OUTPUT_FORMATS else None


def ending_of(path: Path) -> str:
    """The ending that decides how a file is read: `.jsonl`, `.xml`, or whatever stands before `.gz` and `.zip`."""
    name = path.name.lower().removesuffix(".zip").removesuffix(".gz")
    return Path(name).suffix
