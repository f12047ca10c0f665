"""Documents and predictions: a record -> the examples that a task asks about it, and their answers -> `Extraction`.

Whatever a prediction says of places is said of the record's own text here. Knows nothing of files and of how a model
predicts, and never imports torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from biogpt.documents import Document, Entity, EntityRelation, Extraction, Label
from biogpt.errors import DataError
from biogpt.tasks.example import NO_ID, Example, Item, Prediction
from biogpt.tasks.kinds.tagging import word_spans
from biogpt.tasks.mentions import find_mentions
from biogpt.tasks.readers import RELATION_TYPE
from biogpt.tasks.task import Task
from biogpt.tasks.template import slots_of
from biogpt.text.sentences import Span, split_sentences, split_words

if TYPE_CHECKING:
    from biogpt.extraction.predictor import Predictor

Asked = tuple[Document, Mapping[str, str]]
"""A record and its named fields, which are empty where the task only reads its text."""

CUT = "the text is longer than the model reads: its end was not looked at"
"""The problem of a record whose prompt had to be cut."""

_DIGITS = 4  # of a score: how texts are batched may change those behind


@dataclass(frozen=True, slots=True)
class Question:
    """One example made of a record, or of a sentence of it."""

    example: Example
    words: tuple[Span, ...] = ()
    """For tagging: where in the record's text the words of the example stand."""


def extract_from_documents(
    predictor: "Predictor", asked: Sequence[Asked], annotator: str, constrained: bool = True
) -> Iterator[Document]:
    """Records with what a model finds in them; all that they ask is asked together.

    Args:
        predictor: the model.
        asked: the records, each with its named fields.
        annotator: what the model is called.
        constrained: hold what is generated to the task's schema.

    Raises:
        DataError: the task reads a field that a record lacks.
    """
    task = predictor.task
    questions = [make_questions(task, record, fields) for record, fields in asked]
    examples = [question.example for each in questions for question in each]
    predictions = predictor.predict(examples, constrained)
    for (record, _), each in zip(asked, questions, strict=True):
        made = list(islice(predictions, len(each)))
        findings = read_extraction(task, record, each, made, annotator)
        if any(prediction.is_source_cut for prediction in made):
            findings = replace(findings, problems=(*findings.problems, CUT))
        yield record.with_extraction(findings)


def make_questions(task: Task, record: Document, fields: Mapping[str, str] | None = None) -> list[Question]:
    """What the task asks about a record: for tagging each sentence, for other kinds the text as a whole.

    Args:
        task: the task.
        record: with its text.
        fields: the record's named fields, where it has some. A task whose source is made of several, such as a question
            and its context, needs them.

    Raises:
        DataError: the task reads a field that the record lacks.
    """
    if task.schema.kind == "tagging":
        return [
            Question(Example(record.id, " ".join(record.text[start:end] for start, end in words)), tuple(words))
            for words in (split_words(record.text, sentence) for sentence in split_sentences(record.text))
        ]
    text = _render(task, record, fields or {})
    return [Question(Example(record.id, text, vocabulary=_known_names(task, record)))] if text.strip() else []


def read_extraction(
    task: Task, record: Document, questions: Sequence[Question], predictions: Sequence[Prediction], annotator: str
) -> Extraction:
    """What was found in a record.

    Args:
        task: the task.
        record: the record that `make_questions` was asked about.
        questions: what it gave.
        predictions: one for each of them.
        annotator: who found it.
    """
    problems = tuple(problem for prediction in predictions for problem in prediction.problems)
    items = [
        (question, replace(item, score=None if item.score is None else round(item.score, _DIGITS)))
        for question, prediction in zip(questions, predictions, strict=True)
        for item in prediction.items
    ]
    kind = task.schema.kind
    if kind == "tagging":
        entities = tuple(_as_mention(record, question, item) for question, item in items)
        return Extraction(entities=entities, problems=problems, annotator=annotator)
    if kind == "relation":
        relations = tuple(_as_relation(task, record, item) for _, item in items)
        return Extraction(relations=relations, problems=problems, annotator=annotator)
    labels = tuple(Label(slot, value, item.score) for _, item in items for slot, value in item.slots.items())
    return Extraction(labels=labels, problems=problems, annotator=annotator)


def entity_type(slot: str) -> str:
    """What the entities of a slot are called in files: "Chemical" for `chemical`."""
    return slot.capitalize()


def source_fields(task: Task) -> list[str]:
    """The fields that a record must have, because the task's source is made of several."""
    names = slots_of(task.schema.source)
    return names if len(names) > 1 else []


def _render(task: Task, record: Document, fields: Mapping[str, str]) -> str:
    names = slots_of(task.schema.source)
    if not names:
        return record.text
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
    return task.schema.render_source({names[0]: record.text})


def _known_names(task: Task, record: Document) -> dict[str, dict[str, str]]:
    """For each entity slot whose type the record annotates: lower-cased name -> identifier."""
    known: dict[str, dict[str, str]] = {}
    for slot in (name for name, slot in task.schema.slots.items() if slot.is_entity):
        for annotation in record.annotations:
            if annotation.type.lower() == slot.lower() and annotation.identifier:
                known.setdefault(slot, {}).setdefault(annotation.text.lower(), annotation.identifier)
    return known


def _as_mention(record: Document, question: Question, item: Item) -> Entity:
    start, end = item.spans["mention"][0]
    inside = [
        place
        for place, word in zip(question.words, word_spans(question.example.text), strict=True)
        if start <= word[0] and word[1] <= end
    ]
    span = inside[0][0], inside[-1][1]
    return Entity(item.slots["label"], record.text[slice(*span)], (span,), score=item.score)


def _as_relation(task: Task, record: Document, item: Item) -> EntityRelation:
    slots = task.schema.slots
    roles = {}
    for name, value in item.slots.items():
        if slots[name].is_entity:
            identifier = item.ids.get(name, NO_ID)
            spans = find_mentions(value, record.text)
            roles[name] = Entity(entity_type(name), value, spans, "" if identifier == NO_ID else identifier)
    values = {name: value for name, value in item.slots.items() if not slots[name].is_entity}
    named = RELATION_TYPE if task.schema.score.metric == "linked" else task.name
    return EntityRelation(next(iter(values.values()), named), roles, values, item.score)
