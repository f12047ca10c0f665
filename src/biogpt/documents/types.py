"""Types: an article, and a document of an annotated file with what the file says of it and what was extracted from it.

A document's `text` is what a model reads. Everything here counts characters (Unicode code points) of that text;
`locate` says where they stand in the file's own passages. Knows nothing of files and of tasks.
"""

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from biogpt.documents.highlight import highlight

Span = tuple[int, int]
"""The first character of a stretch of text and the one behind its last."""

TITLE, ABSTRACT = "title", "abstract"


TEXT_FIELDS = ("title", "abstract", "body")
"""The fields of an `Article` that hold its text, in reading order."""

_ENDS_IN_WORD = re.compile(r"\w$")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says of an article besides its text. What it does not say is empty."""

    pmid: str = ""
    """In digits."""
    pmcid: str = ""
    """With `PMC` in front."""
    doi: str = ""
    """Without `https://doi.org/`."""
    year: int | None = None
    """Of publication."""
    journal: str = ""
    language: str = ""
    """As the file has it: PubMed says `eng`, others `en` or `English`."""
    mesh_headings: tuple[str, ...] = ()
    """The descriptors, without their qualifiers."""
    publication_types: tuple[str, ...] = ()
    is_retracted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What is known, as a plain object that JSON can hold."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Article:
    """One article, or one piece of text without known parts."""

    id: str
    """What the file calls it: its id, PMID or PMCID; otherwise `file name:line`."""
    title: str = ""
    """The title as printed, or empty."""
    abstract: str = ""
    """The abstract, section labels kept as `LABEL: `. Text without known parts is kept here."""
    body: str = ""
    """The full text after the abstract, or empty."""
    pmid: str = ""
    """The PubMed id in digits, or empty. Two documents with the same one are the same article."""

    def text(self, fields: Iterable[str] = ("title", "abstract")) -> str:
        """The chosen fields as one running text.

        As in the paper's data, fields are joined by a space and a title that ends in a word character gets a full stop.

        Args:
            fields: names out of `TEXT_FIELDS`.
        """
        parts: list[str] = []
        for name in fields:
            part: str = getattr(self, name).strip()
            if part:
                parts.append(end_title(part) if name == "title" else part)
        return " ".join(parts)


def end_title(title: str) -> str:
    """A title as it stands before other text: one that ends in a word character gets a full stop."""
    return f"{title}." if _ENDS_IN_WORD.search(title) else title


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of text as the file has it."""

    text: str
    type: str = ""
    """"title", "abstract", or empty."""
    offset: int = 0
    """Where the file counts its first character."""
    path: tuple[int, ...] = ()
    """Where it stands in the document: its place among the passages, and in BioC maybe its sentence there."""
    section: str = ""
    """The kind of section in an article's full text, in PMC's words: `INTRO`, `METHODS`, `RESULTS`, `FIG`, ..."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of `Document.text` that stands in the file character by character."""

    start: int
    end: int
    offset: int
    """Where the file counts the character at `start`."""
    passage: Passage


@dataclass(frozen=True, slots=True)
class Annotation:
    """Something named in a text, as an annotated file has it."""

    id: str
    type: str
    text: str
    spans: tuple[Span, ...] = ()
    """Its fragments in `Document.text`, mostly one; none where it stands in something that the model does not read."""
    identifier: str = ""
    score: float | None = None
    places: tuple[tuple[int, int], ...] = field(default=(), compare=False, repr=False)
    """Offset and length of its fragments, as the file counts them; they may be wrong."""
    path: tuple[int, ...] = field(default=(), compare=False, repr=False)
    """In BioC, the passage and maybe the sentence that has it; see `Passage.path`."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A relation as an annotated file has it."""

    id: str
    type: str
    arguments: tuple[tuple[str, str], ...] = ()
    """Role, and the id of an annotation or the identifier of an entity. The role is empty where the file has none; it
    is the entity's type where the file says only that."""
    score: float | None = None
    by_identifier: bool = field(default=False, compare=False, repr=False)
    """Whether the arguments are identifiers of entities. Otherwise one that is an annotation's id means that one."""

    def resolve(self, annotations: Iterable[Annotation]) -> list[Annotation | None]:
        """The annotation of each argument; None where none is meant. See `find_argument`."""
        known = tuple(annotations)
        return [find_argument(value, known, role if self.by_identifier else None) for role, value in self.arguments]

    def name_arguments(self, annotations: Iterable[Annotation]) -> list[str]:
        """What each argument is called where only one name fits: the entity's identifier, or else its text."""
        found = self.resolve(annotations)
        return [
            value if annotation is None or self.by_identifier else annotation.identifier or annotation.text
            for (_, value), annotation in zip(self.arguments, found, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Entity:
    """Something that was found in a text, with all its mentions."""

    type: str
    name: str
    spans: tuple[Span, ...] = ()
    """All mentions in `Document.text`; none where it does not stand there."""
    identifier: str = ""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class EntityRelation:
    """A relation that was found between entities."""

    type: str
    roles: Mapping[str, Entity]
    values: Mapping[str, str] = field(default_factory=dict)
    """What is said of it besides, e.g. `{"interaction": "inhibitor"}`."""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """An answer or a label for the document as a whole."""

    slot: str
    value: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a model extracted from one document.

    Examples:
        >>> extractor = biogpt.Extractor.from_pretrained("bc5cdr")
        >>> extraction = extractor("Cisplatin-induced renal failure.")
        >>> extraction.relations[0].roles["disease"].name
        'renal failure'
        >>> extraction.to_dict()["format_version"]
        1
    """

    entities: tuple[Entity, ...] = ()
    """Those that stand for themselves; the ones in relations need not be repeated."""
    relations: tuple[EntityRelation, ...] = ()
    labels: tuple[Label, ...] = ()
    warnings: tuple[str, ...] = ()
    """What could not be read in the model's answer, and whether its text was cut, in plain words."""
    annotator: str = ""
    """Who extracted it, e.g. the model's name. BioC and brat files carry it, so that it can be told from what was
    there."""
    text: str = ""
    """The text that the spans count; empty where that is the text of the document which has the extraction."""

    def above(self, threshold: float) -> "Extraction":
        """Only what has a score of at least `threshold`, or none."""
        return replace(
            self,
            entities=tuple(entity for entity in self.entities if _reaches(entity.score, threshold)),
            relations=tuple(relation for relation in self.relations if _reaches(relation.score, threshold)),
            labels=tuple(label for label in self.labels if _reaches(label.score, threshold)),
        )

    def placed_in(self, text: str, shift: int = 0) -> "Extraction":
        """The same with spans that count another text, in which the document's own begins at `shift`."""
        return replace(
            self,
            text=text,
            entities=tuple(_shifted(entity, shift) for entity in self.entities),
            relations=tuple(
                replace(relation, roles={role: _shifted(entity, shift) for role, entity in relation.roles.items()})
                for relation in self.relations
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """The extraction as a plain object that JSON can hold, described in `docs/formats.md`.

        Returns:
            `format_version` (1), `text`, `entities`, `relations`, `labels`, `warnings` and `annotator`. All fields are
            there, also empty ones; an unknown score is None.
        """
        return {
            "format_version": 1,
            "text": self.text,
            "entities": [_entity_dict(entity) for entity in self.entities],
            "relations": [
                {
                    "type": relation.type,
                    "roles": {role: _entity_dict(entity) for role, entity in relation.roles.items()},
                    "values": dict(relation.values),
                    "score": relation.score,
                }
                for relation in self.relations
            ],
            "labels": [{"slot": label.slot, "value": label.value, "score": label.score} for label in self.labels],
            "warnings": list(self.warnings),
            "annotator": self.annotator,
        }

    def _repr_html_(self) -> str:
        """What a notebook shows: the text with the entities marked; see `biogpt.documents.highlight`."""
        return highlight(self.text, self)


def _entity_dict(entity: Entity) -> dict[str, Any]:
    return {
        "type": entity.type,
        "name": entity.name,
        "spans": [list(span) for span in entity.spans],
        "identifier": entity.identifier,
        "score": entity.score,
    }


def _reaches(score: float | None, threshold: float) -> bool:
    return score is None or score >= threshold


def _shifted(entity: Entity, shift: int) -> Entity:
    return replace(entity, spans=tuple((start + shift, end + shift) for start, end in entity.spans))


@dataclass(frozen=True, slots=True)
class Document:
    """One document of an annotated file. Made by `make_document`.

    Examples:
        >>> document = next(biogpt.read_documents("articles.jsonl"))  # doctest: +SKIP
        >>> document.id, document.text  # doctest: +SKIP
        ('1', 'Aspirin and ulcers. Aspirin may cause ulcers.')
    """

    id: str
    text: str
    """What a model reads: title and abstract as in `Article.text`, or all passages where there is no abstract."""
    parts: tuple[Part, ...]
    """Where `text` comes from, in order. What is between parts (a space, a title's full stop) is not in the file."""
    passages: tuple[Passage, ...]
    """All text of the file's document, also what the model does not read."""
    annotations: tuple[Annotation, ...] = ()
    relations: tuple[Relation, ...] = ()
    metadata: Metadata | None = None
    """What the file says of it besides; None for formats that say nothing."""
    format: str = ""
    """The name of the format it was read from."""
    native: Any = field(default=None, repr=False, compare=False)
    """The document as its format has it, for the writer of the same format."""
    collection: Any = field(default=None, repr=False, compare=False)
    """What the file says of all its documents, for the writer of the same format."""
    extraction: Extraction | None = None
    """What was found in it; None before anyone has looked."""

    def _repr_html_(self) -> str:
        """What a notebook shows: the text with the extracted entities marked; see `biogpt.documents.highlight`."""
        return highlight(self)

    def with_extraction(self, extraction: Extraction) -> "Document":
        """The same document with what was found in it."""
        return replace(self, extraction=extraction)

    @property
    def title(self) -> str:
        """The title as the file has it, or empty."""
        is_titled = self.parts and self.parts[0].passage.type == TITLE
        return self.text[: self.parts[0].end] if is_titled else ""

    @property
    def rest(self) -> int:
        """Where in `text` the part after the title begins; 0 without a title."""
        if not self.title:
            return 0
        return self.parts[1].start if len(self.parts) > 1 else len(self.text)

    def locate(self, span: Span) -> list[tuple[Passage, int, int]]:
        """Where a span of `text` stands in the file: (passage, offset, length) of each of its fragments.

        There is more than one only where the span runs over the end of a passage.
        """
        found = []
        for part in self.parts:
            start, end = max(span[0], part.start), min(span[1], part.end)
            if start < end:
                found.append((part.passage, part.offset + start - part.start, end - start))
        return found

    def span_of(self, offset: int, length: int) -> Span | None:
        """The span of `text` for what the file counts from `offset` on; None where the model does not read it."""
        start = self._position_of(offset)
        last = self._position_of(offset + length - 1)
        return None if start is None or last is None or last < start else (start, last + 1)

    def _position_of(self, offset: int) -> int | None:
        for part in self.parts:
            if 0 <= offset - part.offset < part.end - part.start:
                return part.start + offset - part.offset
        return None

    def place(self, annotation: Annotation) -> Annotation:
        """The annotation with its spans, where the text of its places is that which the file says; else with none."""
        spans = [self.span_of(*place) for place in annotation.places]
        found = tuple(span for span in spans if span is not None)
        is_found = len(found) == len(spans) and self.is_at(found, annotation.text)
        return replace(annotation, spans=found if is_found else ())

    def is_at(self, spans: Iterable[Span], text: str) -> bool:
        """Whether these spans of `text` hold this text, white space aside."""
        return "".join("".join(self.text[start:end] for start, end in spans).split()) == "".join(text.split())


ALL = "all"
"""Every passage, in `choose_passages`."""


def make_document(id: str, passages: Sequence[Passage], **others: Any) -> Document:
    """A document with its text laid out from its passages.

    The model reads title and abstract, where the file says which they are, and all passages otherwise. As in
    `Article.text`, white space around a passage is left out, passages are joined by a space, and a title that ends in a
    word character gets a full stop. The brackets around a translated title (`[Gout after cyclosporine].`) are left out.

    Args:
        id: the document's id.
        passages: in reading order.
        others: further fields of `Document`.
    """
    passages = [passage if passage.path else replace(passage, path=(index,)) for index, passage in enumerate(passages)]
    text, parts = _lay_out(passages, _is_read_by_default(passages))
    return Document(id, text, parts, tuple(passages), **others)


def choose_passages(document: Document, chosen: str | Container[str]) -> Document:
    """The document with its text laid out from other passages than `make_document` takes by itself.

    Args:
        document: as it was read.
        chosen: `ALL`, or types of passages, such as `("title", "abstract")`.

    Returns:
        The document with its annotations at their places in the new text. The text is empty where it has no such
        passage.

    Example:
        >>> passages = Passage("Gout", "title"), Passage("Ten cases.", "abstract"), Passage("Body")
        >>> document = make_document("1", passages)
        >>> choose_passages(document, "all").text
        'Gout. Ten cases. Body'
    """
    is_chosen = (lambda passage: True) if chosen == ALL else (lambda passage: passage.type in chosen)
    text, parts = _lay_out(document.passages, is_chosen)
    if parts == document.parts:
        return document
    other = replace(document, text=text, parts=parts)
    moved = []
    for annotation in document.annotations:
        if not annotation.places:
            found = [fragment for span in annotation.spans for fragment in document.locate(span)]
            annotation = replace(annotation, places=tuple((offset, length) for _, offset, length in found))  # noqa: PLW2901
        moved.append(other.place(annotation))
    return replace(other, annotations=tuple(moved))


def _is_read_by_default(passages: Sequence[Passage]) -> Callable[[Passage], bool]:
    has_abstract = any(passage.type == ABSTRACT and passage.text.strip() for passage in passages)
    return lambda passage: bool(passage.type) or not has_abstract


def _lay_out(passages: Sequence[Passage], is_read: Callable[[Passage], bool]) -> tuple[str, tuple[Part, ...]]:
    read = [passage for passage in passages if is_read(passage)]
    if any(passage.type == ABSTRACT and passage.text.strip() for passage in read):
        order = (TITLE, ABSTRACT)
        read.sort(key=lambda passage: order.index(passage.type) if passage.type in order else len(order))  # stable
    text = ""
    parts = []
    for passage in read:
        first, last = _extent(passage)
        if first == last:
            continue
        stripped = passage.text[first:last]
        start = len(text) + bool(text)
        parts.append(Part(start, start + len(stripped), passage.offset + first, passage))
        text += (" " if text else "") + (end_title(stripped) if passage.type == TITLE else stripped)
    return text, tuple(parts)


def _extent(passage: Passage) -> Span:
    """The first character of a passage that is read, and the one behind the last."""
    text = passage.text
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    if passage.type != TITLE or text[first : first + 1] != "[":
        return min(first, last), last
    end = len(text[:last].removesuffix("."))
    depth = 0
    for place in range(first, end):
        depth += {"[": 1, "]": -1}.get(text[place], 0)
        if depth == 0:
            is_around = place == end - 1 and text[first + 1 : place].strip() != ""
            return (first + 1, place) if is_around else (first, last)
    return first, last


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a document's text that a model reads at once."""

    start: int
    end: int


BLOCK_LENGTH = 2000
"""Characters of a block of a full text, about those of an abstract."""


def blocks_of(document: Document) -> list[Block]:
    """The text in stretches of whole passages: title and abstract together, and others up to `BLOCK_LENGTH`.

    A document of a title and an abstract, or of one passage, is one block.
    """
    blocks: list[Block] = []
    has_abstract = any(part.passage.type == ABSTRACT for part in document.parts)
    was_typed = False
    for part in document.parts:
        is_typed = has_abstract and part.passage.type in (TITLE, ABSTRACT)
        is_joined = bool(blocks) and (
            is_typed if was_typed else not is_typed and part.end - blocks[-1].start <= BLOCK_LENGTH
        )
        if is_joined:
            blocks[-1] = Block(blocks[-1].start, part.end)
        else:
            blocks.append(Block(part.start, part.end))
        was_typed = is_typed
    # What is between parts belongs to the one before it: the full stop of a title.
    starts = [block.start for block in blocks]
    return [Block(*ends) for ends in zip(starts, [*starts[1:], len(document.text)], strict=False)]


def title_and_abstract(title: str, abstract: str) -> tuple[Passage, ...]:
    """The passages of a document with known parts, counted as PubTator does: title, one character, abstract."""
    parts = (Passage(title, TITLE, 0), Passage(abstract, ABSTRACT, len(title) + 1 if title else 0))
    return tuple(passage for passage in parts if passage.text)


def items_of(document: Document, shift: int = 0) -> list[dict[str, Any]]:
    """What was extracted from a document; see `items_of_extraction`. Spans count `Document.text`, from `shift` on."""
    extraction = document.extraction or Extraction()
    return items_of_extraction(extraction.placed_in(" " * shift + document.text, shift))


def items_of_extraction(extraction: Extraction) -> list[dict[str, Any]]:
    """What was extracted, as flat objects: one per relation, mention or label, each with its score.

    A relation has its entities' names by role, with `ROLE_id` and `ROLE_spans`, and its values; a mention has
    `mention`, `label`, `start`, `end` and maybe `mention_id`. Spans count characters of `Extraction.text`.
    """
    items: list[dict[str, Any]] = []
    for relation in extraction.relations:
        item: dict[str, Any] = {}
        for role, entity in relation.roles.items():
            item[role] = entity.name
            if entity.identifier:
                item[f"{role}_id"] = entity.identifier
            item[f"{role}_spans"] = [list(span) for span in entity.spans]
        items.append(_scored({**item, **relation.values}, relation.score))
    for entity in extraction.entities:
        named = {"mention_id": entity.identifier} if entity.identifier else {}
        if not entity.spans:
            items.append(_scored({"mention": entity.name, "label": entity.type, **named}, entity.score))
        for start, end in entity.spans:
            place = {"start": start, "end": end}
            mention = {"mention": extraction.text[start:end], "label": entity.type, **place, **named}
            items.append(_scored(mention, entity.score))
    items += [_scored({label.slot: label.value}, label.score) for label in extraction.labels]
    return items


def _scored(item: dict[str, Any], score: float | None) -> dict[str, Any]:
    return item if score is None else {**item, "score": score}


def annotations_of_extraction(
    document: Document, annotation_ids: Iterator[str], relation_ids: Iterator[str]
) -> tuple[list[Annotation], list[tuple[Relation, EntityRelation]]]:
    """Turn what was extracted from a document into annotations and relations with ids that are new to it.

    Each mention of an entity becomes an annotation. Two with the same span and type become one: the one with an
    identifier, and the higher score.

    Args:
        document: the document, with its extraction.
        annotation_ids: new ids, none of them in use.
        relation_ids: the same, for relations.

    Returns:
        The annotations, and the relations, each with the one that was extracted. An argument is the id of its entity's
        first mention; an entity that the text lacks is left out.
    """
    extraction = document.extraction or Extraction()
    among = [entity for relation in extraction.relations for entity in relation.roles.values()]
    found: dict[tuple[str, Span], Annotation] = {}
    for entity in (*extraction.entities, *among):
        for span in entity.spans:
            known = found.get((entity.type, span))
            if known is not None:
                scores = [score for score in (known.score, entity.score) if score is not None]
                identifier = known.identifier or entity.identifier
                found[entity.type, span] = replace(known, identifier=identifier, score=max(scores, default=None))
            elif document.locate(span):  # the file may lack it: a title's full stop is ours
                text = document.text[slice(*span)]
                id = next(annotation_ids)
                found[entity.type, span] = Annotation(id, entity.type, text, (span,), entity.identifier, entity.score)
    relations = []
    for relation in extraction.relations:
        mentions = {
            role: [found[entity.type, span].id for span in entity.spans if (entity.type, span) in found]
            for role, entity in relation.roles.items()
        }
        arguments = tuple((role, ids[0]) for role, ids in mentions.items() if ids)
        relations.append((Relation(next(relation_ids), relation.type, arguments, relation.score), relation))
    return list(found.values()), relations


def find_argument(value: str, annotations: Iterable[Annotation], type: str | None = None) -> Annotation | None:
    """The annotation that a relation's argument means: by its id, else the first in the text by its identifier.

    Of a composite identifier (`D006470|D003556`), and of one with its vocabulary (`MESH:D003556`), a part is enough.

    Args:
        value: the argument.
        annotations: those of the document.
        type: given where the argument is an identifier, never an id: of two entities with the same one, such as a gene
            and a species with the same number, that with this type.
    """
    first = None
    for annotation in annotations:
        if type is None and value == annotation.id:
            return annotation
        if value and annotation.spans and value in _identifiers(annotation.identifier):
            if type and annotation.type.lower() == type.lower():
                return annotation
            first = first or annotation
    return first


def _identifiers(identifier: str) -> Iterator[str]:
    """All that an identifier is also known by."""
    yield identifier
    for part in re.split(r"[|,;]", identifier):
        yield part
        yield part.partition(":")[2]


def new_ids(prefix: str, taken: Iterable[str], start: int = 1) -> Iterator[str]:
    """`prefix` and a number, counting up, without those that are taken."""
    used = set(taken)
    number = start
    while True:
        if (id := f"{prefix}{number}") not in used:
            yield id
        number += 1


def free_name(name: str, taken: Container[str]) -> str:
    """The name of an added column or key: itself, or with `predicted_` in front as often as needed."""
    while name in taken:
        name = f"predicted_{name}"
    return name


def numbered_name(name: str, taken: Container[str]) -> str:
    """A name that several things share: itself, or with `_2`, `_3` behind it where it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free
