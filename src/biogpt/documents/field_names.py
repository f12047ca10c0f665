"""Field names: what the columns of a table and the keys of an object mean, under the names that people's files have.

Zotero writes `Abstract Note`, PubMed `Publication Year`, Scopus `Source title`, OpenAlex `display_name`. Case, spaces
and punctuation make no difference. The names of a field are tried in the order of `ALIASES`. Where there is `text` and
neither title nor abstract, it is all the text there is. Knows nothing of files.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from biogpt.documents.types import Metadata

TEXTS = ("title", "abstract", "body", "text")
"""The fields that hold text."""
IDS = ("id", "pmid", "pmcid", "key", "doi")
"""The fields that may name a document, in the order in which they are asked."""

ALIASES: dict[str, tuple[str, ...]] = {
    "id": ("id",),
    "pmid": ("pmid", "pubmedid", "pubmed", "medlineid"),
    "pmcid": ("pmcid", "pmc"),
    "key": (
        "key", "itemkey", "recordid", "recordnumber", "accessionnumber", "accession", "docid", "documentid", "uid",
        "utuniquewosid", "ut", "eid", "paperid", "corduid", "covidence",
    ),
    "title": (
        "title", "articletitle", "documenttitle", "papertitle", "displayname", "primarytitle", "originaltitle", "ti",
        "titre", "titel",
    ),
    "abstract": (
        "abstract", "abstractnote", "abstracttext", "articleabstract", "paperabstract", "abstracts", "ab",
        "summaryabstract", "resume", "zusammenfassung",
    ),
    "body": ("body", "fulltext", "bodytext"),
    "text": ("text",),
    "doi": ("doi", "di", "doilink"),
    "year": (
        "year", "publicationyear", "pubyear", "publishedyear", "yearpublished", "yearofpublication", "py",
        "publicationdate", "publishtime", "pubdate", "date",
    ),
    "journal": (
        "journal", "journalbook", "journaltitle", "journalname", "publicationtitle", "sourcetitle", "so", "venue",
        "secondarytitle",
    ),
    "language": ("language", "languageoforiginaldocument", "languages", "la"),
    "mesh_headings": ("meshheadings", "meshterms", "mesh", "meshheading"),
    "publication_types": ("publicationtypes", "publicationtype", "documenttype", "pubtypes", "pubtype", "dt"),
    "is_retracted": ("isretracted", "retracted"),
}  # fmt: skip
"""Field -> the names that it goes by, folded."""

_SHORT = 2  # characters of a tag, such as AB, which is only meant where it is the whole name
_NOT_IN_NAME = re.compile(r"[\W_]+")
_YEAR = re.compile(r"(?<!\d)(1[5-9]|20)\d\d(?!\d)")
_PMID = re.compile(r"[0-9]{1,18}")
_PMCID = re.compile(r"(?:PMC)?([0-9]{1,18})(?:\.\d+)?", re.IGNORECASE)
_DOI = re.compile(r"10\.\d{4,9}/\S+")
_SEPARATOR = re.compile(r"\s*[;|]\s*")


def fold(name: object) -> str:
    """A name without case, spaces and punctuation."""
    return _NOT_IN_NAME.sub("", str(name)).lower()


def find_fields(names: Iterable[Any], chosen: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Which of a file's columns or keys hold which field.

    Args:
        names: the file's own names.
        chosen: field -> name, where the user has said it. Where a text is among them, no other text is read.

    Returns:
        Field -> the file's name for it.
    """
    names = list(names)
    folded: dict[str, Any] = {}
    for name in names:
        folded.setdefault(str(name).strip().lower(), name)
    for name in names:
        if len(short := fold(name)) > _SHORT:
            folded.setdefault(short, name)
    chosen = chosen or {}
    are_texts_chosen = any(field in TEXTS for field in chosen if field != "title")
    is_whole = "text" in folded and not {"title", "abstract", "body"} & folded.keys()
    found = {}
    for field, aliases in ALIASES.items():
        if field in TEXTS and (are_texts_chosen or (is_whole and field != "text")):
            continue
        name = next((folded[alias] for alias in aliases if alias in folded), None)
        if name is not None:
            found[field] = name
    return {**found, **chosen}


def choose_columns(text: str | None = None, title: str | None = None, id: str | None = None) -> dict[str, str]:
    """Field -> column or key, as a user says it.

    Args:
        text: what holds the text; then no other text is read, but for a title that is given, too.
        title: what holds the title.
        id: what names the documents.
    """
    chosen = {"abstract" if title else "text": text, "title": title, "id": id}
    return {field: name for field, name in chosen.items() if name}


def metadata_of(values: Mapping[str, Any], names: Mapping[str, Any]) -> Metadata:
    """What a record says of its article besides the text.

    Args:
        values: the record.
        names: field -> its name in the record, from `find_fields`.
    """
    given = {field: values.get(name) for field, name in names.items()}
    return Metadata(
        pmid=clean_pmid(given.get("pmid")),
        pmcid=clean_pmcid(given.get("pmcid")),
        doi=clean_doi(given.get("doi")),
        year=find_year(given.get("year")),
        journal=as_text(given.get("journal")),
        language=as_text(given.get("language")),
        mesh_headings=tuple(_heading(each) for each in _as_list(given.get("mesh_headings"))),
        publication_types=_as_list(given.get("publication_types")),
        is_retracted=as_text(given.get("is_retracted")).lower() in ("true", "yes", "1", "y", "retracted"),
    )


def as_text(value: Any) -> str:
    """A value on one line; empty where it is no text, number or truth value."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return " ".join(str(value).split()) if isinstance(value, str | int | float) else ""


def clean_pmid(value: Any) -> str:
    """The digits of a PMID, or an empty string."""
    text = as_text(value).rpartition("/")[2].removesuffix(".0")
    return text if _PMID.fullmatch(text) else ""


def clean_pmcid(value: Any) -> str:
    """A PMCID with `PMC` in front, or an empty string."""
    found = _PMCID.fullmatch(as_text(value).rstrip("/").rpartition("/")[2])
    return f"PMC{found[1]}" if found else ""


def clean_doi(value: Any) -> str:
    """A DOI without what stands before it, or an empty string."""
    found = _DOI.search(as_text(value))
    return found[0] if found else ""


def find_year(value: Any) -> int | None:
    """The first year in a date, or None."""
    found = _YEAR.search(as_text(value))
    return int(found[0]) if found else None


def _as_list(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = _SEPARATOR.split(value)
    if not isinstance(value, list):
        return ()
    return tuple(text for each in value if (text := as_text(each)))


def _heading(text: str) -> str:
    """A MeSH heading without qualifiers and the star of a main topic."""
    return text.partition("/")[0].strip("* ")
