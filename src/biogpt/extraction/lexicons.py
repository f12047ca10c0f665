"""Lexicons: which names stand for which identifiers. Read from tables, SSSOM, OBO and MeSH XML.

Files are read as a stream. A lexicon that cannot be trusted in full is refused as a whole, with its first bad line:
what it lacked would be missing in all results.
"""

import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NoReturn

from biogpt.documents.xml_stream import find_entity, forget, parse
from biogpt.errors import DataError, InputError, suggest
from biogpt.files import (
    Problem,
    Reading,
    decoded_lines,
    is_decoded,
    list_names,
    open_stored,
    peek,
    raise_problem,
    read_table,
    reporting_damage,
    unpack,
    writing_atomically,
)

MESH_LEXICON = Path(__file__).resolve().parents[1] / "assets" / "lexicons" / "mesh.tsv.gz"
BUNDLED_LEXICONS = {"mesh": MESH_LEXICON}

FORMER = "former"
"""The rank of a row whose name is an identifier that its own one has replaced."""

RANKS = ("label", "exact", "related")
"""How surely a name stands for its identifier, from the surest: its main name, a synonym, a name that may be wider or
narrower, or that only a program has found. A number in their place says how often annotators chose the identifier for
the name."""

_COLUMNS = {
    "identifier": ("identifier", "id", "curie"),
    "name": ("name", "text", "label", "term", "synonym"),
    "type": ("type", "category"),
    "rank": ("rank", "count"),
}
_SSSOM_COLUMNS = ("subject_label", "predicate_id", "object_id")
_EXACT = ("skos:exactMatch", "skos:closeMatch", "owl:equivalentClass", "owl:sameAs", "oboInOwl:hasExactSynonym")
_OBO_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]*)')
_MESH_ROOTS = ("DescriptorRecordSet", "SupplementalRecordSet")
_SCR_CLASSES = {"1": "Chemical", "2": "Chemical", "3": "Disease", "4": "Other"}


@dataclass(frozen=True, slots=True)
class Name:
    """One name of an identifier."""

    identifier: str
    name: str
    type: str = ""
    """What kind of entity it is, e.g. "Chemical"; empty: any."""
    rank: str = "exact"
    """One of `RANKS`, or in digits how often annotators chose the identifier for the name."""


@dataclass(frozen=True)
class Lexicon:
    """Names with their identifiers."""

    title: str
    names: list[Name]
    facts: Mapping[str, str] = field(default_factory=dict)
    """What its file says of it: `source`, `date`, `terms`."""
    former: Mapping[str, str] = field(default_factory=dict)
    """Identifiers that are no longer in use, and what took their place."""
    digest: str = ""
    """Tells whether its file is still the same."""


def load_lexicon(name: str | Path) -> Lexicon:
    """A lexicon by its name, or from a file.

    Args:
        name: `mesh`, which is shipped; or a file: a table (TSV) with the columns `identifier` and `name`, and maybe
            `type` and `rank`; SSSOM; OBO; or MeSH XML (`desc*.xml`, `supp*.xml`). May end in `.gz`.

    Raises:
        InputError: there is no such lexicon.
        DataError: the file is of another kind, or a line of it cannot be used.
    """
    path = BUNDLED_LEXICONS.get(str(name), Path(name))
    if not path.is_file():
        known = ", ".join(BUNDLED_LEXICONS)
        hint = suggest(str(name), BUNDLED_LEXICONS)
        raise InputError(f"There is no lexicon '{name}'.{hint} Expected {known} or a file: TSV, SSSOM, OBO, MeSH XML.")
    facts: dict[str, str] = {}
    found = list(dict.fromkeys(read_names(path, facts)))
    names = [each for each in found if each.rank != FORMER]
    former = {each.name: each.identifier for each in found if each.rank == FORMER}
    if not names:
        raise DataError(f"{path} has no names. Expected at least one identifier with a name.")
    title = str(name) if str(name) in BUNDLED_LEXICONS else path.name
    return Lexicon(title, names, facts, former, _digest(path))


def _digest(path: Path) -> str:
    seen = hashlib.sha256()
    with open_stored(path) as stored:
        while block := stored.read(1 << 20):
            seen.update(block)
    return seen.hexdigest()[:16]


def read_names(path: Path, facts: dict[str, str] | None = None) -> Iterator[Name]:
    """The names in a file, one by one.

    Args:
        path: see `load_lexicon`.
        facts: takes what the file says of itself.

    Raises:
        DataError: see `load_lexicon`.
    """
    head = peek(path)
    reading = Reading(path, raise_problem)
    found = facts if facts is not None else {}
    with open_stored(path) as stored, reporting_damage(path):
        stream = unpack(path, stored)
        if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
            yield from _read_mesh_xml(stream, reading)
        elif path.name.lower().removesuffix(".gz").endswith(".obo") or head.startswith(b"format-version:"):
            yield from _read_obo(stream, reading, found)
        else:
            yield from _read_tables(stream, reading, found)


def write_lexicon(lexicon: Lexicon, path: Path) -> None:
    """Write a lexicon as a packed table, the same bytes for the same names.

    Raises:
        OSError: the file cannot be written.
    """
    with writing_atomically(path) as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        for key, value in lexicon.facts.items():
            packed.write(f"# {key}: {value}\n".encode())
        packed.write(b"identifier\tname\ttype\trank\n")
        for name in lexicon.names:
            cells = (name.identifier, name.name, name.type, name.rank)
            quoted = ('"' + cell.replace('"', '""') + '"' if '"' in cell else cell for cell in cells)
            packed.write(("\t".join(quoted) + "\n").encode())


def _read_tables(stream: IO[bytes], reading: Reading, facts: dict[str, str]) -> Iterator[Name]:
    """TSV and SSSOM, with `# key: value` lines before the columns' names."""
    lines = decoded_lines(stream, reading)
    skipped = 0
    first = ""
    for first in lines:
        if not first.startswith("#"):
            break
        skipped += 1
        key, sign, value = first.lstrip("# ").partition(":")
        if sign and not first.startswith("#  "):
            facts[key.strip()] = value.strip()
    if not is_decoded(first) or "\0" in first:
        raise DataError(f"{reading.path} is not text in UTF-8. Expected a lexicon: TSV, SSSOM, OBO or MeSH XML.")

    def refuse(problem: Problem) -> NoReturn:
        place, _, number = problem.place.rpartition(":")  # counted from the columns' names on
        raise_problem(Problem(f"{place}:{int(number) + skipped}", problem.message))

    header, rows = read_table(_chained(first, lines), Reading(reading.path, refuse), "\t")
    columns = [name.strip().lower() for name in header]
    if all(name in columns for name in _SSSOM_COLUMNS):
        yield from _names_of_mappings(columns, rows)
        return
    places = {
        key: next((columns.index(name) for name in names if name in columns), None) for key, names in _COLUMNS.items()
    }
    if places["identifier"] is None or places["name"] is None:
        got = list_names(header)[:200] or "nothing"
        raise DataError(
            f"{reading.path} is no lexicon: expected a table between tabs with the columns 'identifier' and 'name' "
            f"(and maybe 'type' and 'rank'), SSSOM, OBO or MeSH XML. Got the columns: {got}."
        )
    for number, row in rows:
        cells = {key: row[place].strip() for key, place in places.items() if place is not None}
        if not cells["identifier"] or not cells["name"]:
            raise DataError(f"{reading.path}:{number + skipped}: expected an identifier and a name, got {row!r:.80}.")
        rank = cells.get("rank") or "exact"
        if rank not in (*RANKS, FORMER) and not rank.isdecimal():
            raise DataError(
                f"{reading.path}:{number + skipped}: got rank '{rank:.40}', expected one of {', '.join(RANKS)} or a "
                "count."
            )
        yield Name(cells["identifier"], cells["name"], cells.get("type", ""), rank)


def _chained(first: str, lines: Iterable[str]) -> Iterator[str]:
    yield first
    yield from lines


def _names_of_mappings(columns: list[str], rows: Iterator[tuple[int, list[str]]]) -> Iterator[Name]:
    """The names of the objects of exact mappings: their own label, and that of the subject."""
    for _, row in rows:
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=True))
        if cells["predicate_id"] not in _EXACT or cells.get("predicate_modifier") or not cells["object_id"]:
            continue
        if cells.get("object_label"):
            yield Name(cells["object_id"], cells["object_label"], "", "label")
        if cells["subject_label"]:
            yield Name(cells["object_id"], cells["subject_label"], "", "exact")


def _read_obo(stream: IO[bytes], reading: Reading, facts: dict[str, str]) -> Iterator[Name]:
    stanza: list[tuple[str, str]] = []
    kind = "header"
    for number, line in enumerate(decoded_lines(stream, reading), 1):
        text = line.strip()
        if not is_decoded(text):
            raise DataError(f"{reading.path}:{number}: bytes that are not UTF-8; expected UTF-8 text.")
        if text.startswith("["):
            yield from _names_of_stanza(kind, stanza, reading, number)
            stanza, kind = [], text
            continue
        if not text or text.startswith("!"):
            continue
        key, sign, value = text.partition(":")
        if not sign:
            raise DataError(f"{reading.path}:{number}: got {text[:40]!r}, expected 'key: value' as in OBO.")
        if kind == "header":
            facts.setdefault(key, value.strip())
        stanza.append((key, value.strip()))
    yield from _names_of_stanza(kind, stanza, reading, number)


def _names_of_stanza(kind: str, stanza: list[tuple[str, str]], reading: Reading, number: int) -> Iterator[Name]:
    if kind != "[Term]" or ("is_obsolete", "true") in stanza:
        return
    first = dict(reversed(stanza))
    if not first.get("id"):
        raise DataError(f"{reading.path}:{number}: the term before this line has no id; expected 'id: ...' as in OBO.")
    identifier = first["id"].split(" !")[0].strip()
    if first.get("name"):
        yield Name(identifier, first["name"], "", "label")
    for key, value in stanza:
        found = _OBO_SYNONYM.match(value) if key == "synonym" else None
        if found and found[2] in ("EXACT", "RELATED", ""):
            name = re.sub(r"\\(.)", r"\1", found[1]).strip()
            if name:
                yield Name(identifier, name, "", "exact" if found[2] == "EXACT" else "related")


def _read_mesh_xml(stream: IO[bytes], reading: Reading) -> Iterator[Name]:
    for event, element in parse(stream, reading, _MESH_ROOTS, f"MeSH XML ({' or '.join(_MESH_ROOTS)})"):
        if event == "end" and element.tag in ("DescriptorRecord", "SupplementalRecord"):
            yield from _names_of_record(element, reading)
            forget(element)


def _names_of_record(record: Any, reading: Reading) -> Iterator[Name]:
    tag = record.tag.removesuffix("Record")
    tag = "Descriptor" if tag == "Descriptor" else "SupplementalRecord"
    identifier = (record.findtext(f"{tag}UI") or "").strip()
    label = (record.findtext(f"{tag}Name/String") or "").strip()
    if not identifier or not label:
        raise DataError(
            f"{reading.path}:{record.sourceline}: a record without {tag}UI or {tag}Name; expected both, as in MeSH XML."
        )
    if entity := find_entity(record):
        raise DataError(f"{reading.path}: the entity {entity} in {identifier}; expected none but XML's own.")
    type = _type_of_record(record)
    yield Name(identifier, label, type, "label")
    for concept in record.iterfind("ConceptList/Concept"):
        rank = "exact" if concept.get("PreferredConceptYN") == "Y" else "related"
        for term in concept.iterfind("TermList/Term/String"):
            name = (term.text or "").strip()
            if name and name != label:
                yield Name(identifier, name, type, rank)


def _type_of_record(record: Any) -> str:
    if record.tag == "SupplementalRecord":
        return _SCR_CLASSES.get(record.get("SCRClass") or "", "")
    trees = [(number.text or "").strip() for number in record.iterfind("TreeNumberList/TreeNumber")]
    if any(tree.startswith("D") for tree in trees):
        return "Chemical"
    if any(tree.startswith("C") or tree.startswith("F03") for tree in trees):
        return "Disease"
    return "Other" if trees else ""
