"""Relations: which entities of a text are related, and how.

A target is a list of sentences, one per relation. Where a sentence can be read in several ways, the source decides: the
reading whose names stand in it. Nothing is guessed: a name that the source lacks is kept as the model wrote it, with no
span.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from biogpt.documents.types import Span
from biogpt.errors import ConfigError
from biogpt.tasks.example import NO_ID, Example, Item, Prediction
from biogpt.tasks.kinds.completion import PREAMBLE, clean, quote
from biogpt.tasks.kinds.kind import Extracts, Kind, ThresholdOf
from biogpt.tasks.mentions import find_mentions, fold
from biogpt.tasks.metrics import RELATION_METRICS, Metric
from biogpt.tasks.schema import Schema
from biogpt.tasks.template import Reading, Template
from biogpt.text.grammar import Grammar


class RelationKind(Kind):
    """Relations between entities of a text."""

    name = "relation"
    extracts: ClassVar[Extracts] = "relations"
    metrics: ClassVar[Mapping[str, Metric]] = RELATION_METRICS
    needs_gold = False
    has_augmentation = True
    threshold_of: ClassVar[ThresholdOf] = "sequences"

    def check_schema(self, schema: Schema) -> None:
        if not schema.sentence:
            raise ConfigError(
                f"The task '{schema.name}' does not say 'sentence'. Relations need one with a slot for each."
            )
        self.check_metric(schema)

    def target(self, schema: Schema, example: Example) -> str:
        """All relations of the example, a sentence each."""
        text = schema.template.render([_cased(schema, item) for item in example.items])
        return text.lower() if schema.is_lowercase else text

    def grammar(self, schema: Schema, example: Example) -> Grammar:
        """A sentence for each relation, entities as spans of the source, the rest as the schema's choices."""
        return schema.template.grammar(str.lower if schema.is_lowercase else str)

    def parse(self, schema: Schema, text: str, example: Example) -> Prediction:
        """Read the relations that a completion states. Repeated ones are kept once."""
        template = schema.template
        problems: list[str] = []
        items: dict[tuple[str, ...], Item] = {}
        num_repeated = 0
        is_last_read = False
        cleaned = clean(text)
        if schema.is_lowercase:
            cleaned = cleaned.lower()
        for clause, readings in [] if says_none(template, cleaned) else template.read(cleaned):
            is_last_read = bool(readings)
            if not readings:
                if not PREAMBLE.fullmatch(clause):
                    problems.append(f"cannot read {quote(clause)}: expected '{template.sentence}'")
                continue
            item, reading = _choose(schema, readings, example)
            if reading.ignored:
                problems.append(f"ignored {quote(reading.ignored)} behind '{template.sentence}'")
            unknown = _unknown_choice(schema, item)
            if unknown:
                problems.append(unknown)
                continue
            problems += _ambiguous(template, item)
            key = tuple(item.slots.values())
            num_repeated += key in items
            items.setdefault(key, item)
        if num_repeated:
            problems.append(f"{num_repeated} repeated relations are kept once")
        if is_last_read and template.may_be_cut_off(cleaned):
            problems.append(f"the text ends without '{template.end}': its last {template.slots[-1]} may be cut off")
        if not items and not problems and not says_none(template, cleaned):
            problems.append(f"nothing to read in {quote(text)}")
        return Prediction(example.id, tuple(items.values()), tuple(problems), text)

    def role_slots(self, schema: Schema) -> tuple[str, ...]:
        return tuple(name for name, slot in schema.slots.items() if slot.is_entity)

    def entity_types(self, schema: Schema) -> tuple[str, ...]:
        return tuple(map(entity_type, self.role_slots(schema)))

    def make_item(
        self, schema: Schema, slots: Mapping[str, str], record: Mapping[str, Any], example: Example, place: str
    ) -> Item:
        """A relation whose entities are found in the source; `<slot>_id` of the record is an entity's identifier."""
        names = {slot: value.lower() if schema.is_lowercase else value for slot, value in slots.items()}
        ids = {slot: str(record[f"{slot}_id"]) for slot in schema.slots if f"{slot}_id" in record}
        item = locate(schema, names, example)
        return replace(item, ids={**item.ids, **ids})


def entity_type(slot: str) -> str:
    """What the entities of a slot are called in files: "Chemical" for `chemical`."""
    return slot.capitalize()


def locate(schema: Schema, values: Mapping[str, str], example: Example) -> Item:
    """An item with each entity's mentions in the source, and its identifier where the data set has them."""
    spans, ids = {}, {}
    for name, slot in schema.slots.items():
        if slot.is_entity:
            spans[name] = find_mentions(values[name], example.text)
            if name in example.vocabulary:
                ids[name] = _identify(example.vocabulary[name], values[name], example.text, spans[name])
    return Item({name: values[name] for name in schema.slots}, spans, ids)


def says_none(template: Template, text: str) -> bool:
    """The text says that there is nothing."""
    stated = {" ".join(none.split()) for none in (template.none, template.none + template.end)}
    return " ".join(text.split()) in stated - {""}


def _choose(schema: Schema, readings: Sequence[Reading], example: Example) -> tuple[Item, Reading]:
    """The reading whose names stand in the source; of several, the first."""
    best = readings[0]
    if len(readings) > 1:
        best = max(readings, key=lambda reading: _weigh(schema, reading, example))
    return locate(schema, best.values, example), best


def _weigh(schema: Schema, reading: Reading, example: Example) -> tuple[int, int, int]:
    found = balanced = listed = 0
    for name, value in reading.values.items():
        slot = schema.slots[name]
        if slot.is_entity:
            found += bool(find_mentions(value, example.text))
            listed += value in example.vocabulary.get(name, ())
            balanced += value.count("(") == value.count(")")
        else:
            found += value in slot.choices
    return found, balanced, listed


def _identify(vocabulary: Mapping[str, str], name: str, text: str, spans: Sequence[Span]) -> str:
    """The identifier of a name, or of the name as the source spells it: tokenising adds spaces to some names."""
    spellings = (fold(text[start:end]) for start, end in spans)
    return next((vocabulary[spelling] for spelling in (name, *spellings) if spelling in vocabulary), NO_ID)


def _unknown_choice(schema: Schema, item: Item) -> str:
    for name, slot in schema.slots.items():
        if slot.choices and not slot.is_open and item.slots[name] not in slot.choices:
            return f"unknown {name} {quote(item.slots[name])}: expected one of {', '.join(slot.choices)}"
    return ""


def _ambiguous(template: Template, item: Item) -> list[str]:
    problems = []
    for name, value in item.slots.items():
        others = [other for other in template.alternatives(name, value) if other != value]
        if others:
            problems.append(f"the text for the {name} '{value}' may also mean {', '.join(others)}")
    return problems


def _cased(schema: Schema, item: Item) -> dict[str, str]:
    if not schema.is_lowercase:
        return dict(item.slots)
    return {name: value.lower() for name, value in item.slots.items()}
