"""A document -> the examples that a task makes of it; their predictions -> an `Extraction`.

Spans of a prediction count its example's text, those of an extraction the document's. Knows nothing of files
and of how a model predicts, and never imports torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from biogpt.documents import Document, Entity, EntityRelation, Extraction, Label
from biogpt.documents.types import Span, blocks_of
from biogpt.errors import DataError
from biogpt.tasks.example import NO_ID, Example, Item, Prediction
from biogpt.tasks.iob import word_spans
from biogpt.tasks.kinds.relation import entity_type
from biogpt.tasks.mentions import find_mentions
from biogpt.tasks.readers import RELATION_TYPE
from biogpt.tasks.task import Task
from biogpt.tasks.template import slots_of
from biogpt.text.sentences import split_sentences, split_words

Source = tuple[Document, Mapping[str, str]]
"""A document and its named fields, which are empty where the task only reads its text."""

CUT = "the text is longer than the model reads: its end was not looked at"
"""What is said of a document whose prompt had to be cut."""

_DIGITS = 4  # of a score: how texts are batched may change those behind


def make_examples(task: Task, document: Document, fields: Mapping[str, str] | None = None) -> list[Example]:
    """The examples that a task makes of a document: for tagging each sentence, for other kinds the text as a whole.

    The relations of a full text are looked for block by block; see `blocks_of`.

    Args:
        task: the task.
        document: with its text.
        fields: the document's named fields, where it has some. A task whose source is made of several, such as a
            question and its context, needs them.

    Raises:
        DataError: the task reads a field that the document lacks.
    """
    if task.kind.reads_sentences:
        return [
            Example(document.id, " ".join(document.text[start:end] for start, end in words), word_spans=tuple(words))
            for words in (split_words(document.text, sentence) for sentence in split_sentences(document.text))
        ]
    blocks = blocks_of(document) if task.kind.extracts == "relations" and not fields else []
    texts = (
        [document.text[block.start : block.end].rstrip() for block in blocks] if len(blocks) > 1 else [document.text]
    )
    vocabulary = _known_names(task, document)
    rendered = (_render(task, text, fields or {}) for text in texts)
    return [Example(document.id, text, vocabulary=vocabulary) for text in rendered if text.strip()]


def read_extraction(
    task: Task, document: Document, examples: Sequence[Example], predictions: Sequence[Prediction], annotator: str
) -> Extraction:
    """What was found in a document.

    Args:
        task: the task.
        document: the document that `make_examples` was asked about.
        examples: what it gave.
        predictions: one for each of them.
        annotator: who found it.
    """
    warnings = tuple(problem for prediction in predictions for problem in prediction.problems)
    items = [
        (example, replace(item, score=None if item.score is None else round(item.score, _DIGITS)))
        for example, prediction in zip(examples, predictions, strict=True)
        for item in prediction.items
    ]
    if task.kind.extracts == "entities":
        entities = tuple(_as_mention(document, example, item) for example, item in _shown(task, items))
        return Extraction(entities=entities, warnings=warnings, annotator=annotator)
    if task.kind.extracts == "relations":
        relations = [_as_relation(task, document, item) for _, item in items]
        if len(examples) > 1:
            relations = _best_of_each(relations)
        return Extraction(relations=tuple(relations), warnings=warnings, annotator=annotator)
    labels = tuple(Label(slot, value, item.score) for _, item in items for slot, value in item.slots.items())
    return Extraction(labels=labels, warnings=warnings, annotator=annotator)


def _shown(task: Task, items: Sequence[tuple[Example, Item]]) -> list[tuple[Example, Item]]:
    """The mentions under the labels that the task shows; of those of one label that overlap, the most probable.

    Where no label is shown as another they are as they come.
    """
    shown_as = task.schema.shown_as
    if not shown_as:
        return list(items)
    taken: list[tuple[int, str, Span]] = []
    kept: set[int] = set()
    named = [
        (example, replace(item, slots={**item.slots, "label": shown_as.get(item.slots["label"], item.slots["label"])}))
        for example, item in items
    ]
    for place in sorted(range(len(named)), key=lambda place: -(named[place][1].score or 0.0)):
        example, item = named[place]
        label, (start, end) = item.slots["label"], item.spans["mention"][0]
        if not any(
            of == id(example) and other == label and first < end and start < last for of, other, (first, last) in taken
        ):
            taken.append((id(example), label, (start, end)))
            kept.add(place)
    return [pair for place, pair in enumerate(named) if place in kept]


def source_fields(task: Task) -> list[str]:
    """The fields that a document must have, because the task's source is made of several."""
    names = slots_of(task.schema.source)
    return names if len(names) > 1 else []


def _render(task: Task, text: str, fields: Mapping[str, str]) -> str:
    names = slots_of(task.schema.source)
    if not names:
        return text
    columns = {name: name if name in fields else task.schema.dataset.columns.get(name, name) for name in names}
    values = {name: fields[column] for name, column in columns.items() if column in fields}
    missing = [name for name in names if name not in values]
    if not missing:
        return task.schema.render_source(values)
    if len(names) > 1:
        raise DataError(
            f"no '{missing[0]}', which the task '{task.name}' reads; expected the fields {', '.join(names)}, as in "
            "JSON lines or CSV."
        )
    return task.schema.render_source({names[0]: text})


def _known_names(task: Task, document: Document) -> dict[str, dict[str, str]]:
    """For each entity slot whose type the document annotates: lower-cased name -> identifier."""
    known: dict[str, dict[str, str]] = {}
    for slot in (name for name, slot in task.schema.slots.items() if slot.is_entity):
        for annotation in document.annotations:
            if annotation.type.lower() == slot.lower() and annotation.identifier:
                known.setdefault(slot, {}).setdefault(annotation.text.lower(), annotation.identifier)
    return known


def _as_mention(document: Document, example: Example, item: Item) -> Entity:
    start, end = item.spans["mention"][0]
    inside = [
        place
        for place, word in zip(example.word_spans, word_spans(example.text), strict=True)
        if start <= word[0] and word[1] <= end
    ]
    span = inside[0][0], inside[-1][1]
    return Entity(item.slots["label"], document.text[slice(*span)], (span,), score=item.score)


def _as_relation(task: Task, document: Document, item: Item) -> EntityRelation:
    slots = task.schema.slots
    roles = {}
    for name, value in item.slots.items():
        if slots[name].is_entity:
            identifier = item.ids.get(name, NO_ID)
            spans = find_mentions(value, document.text)
            surface = " ".join(document.text[slice(*spans[0])].split()) if spans else value
            roles[name] = Entity(entity_type(name), surface, spans, "" if identifier == NO_ID else identifier)
    values = {name: value for name, value in item.slots.items() if not slots[name].is_entity}
    named = RELATION_TYPE if task.schema.score.metric == "linked" else task.name
    return EntityRelation(next(iter(values.values()), named), roles, values, item.score)


def _best_of_each(relations: Sequence[EntityRelation]) -> list[EntityRelation]:
    """Each relation once, with its highest score: the blocks of a full text may say the same."""
    best: dict[tuple[object, ...], EntityRelation] = {}
    for relation in relations:
        names = ((role, entity.name.lower()) for role, entity in relation.roles.items())
        key = (relation.type, *names, *relation.values.items())
        known = best.get(key)
        if known is None or (relation.score or 0.0) > (known.score or 0.0):
            best[key] = relation
    return list(best.values())
