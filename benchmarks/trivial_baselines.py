"""Trivial baselines: what one scores on a data set without a model, from counts over its training examples alone.

A score means little until it stands beside these: always the same answer, all pairs of known entities, a dictionary.
Nothing here has a knob that could be tuned on the data it is scored on. Never imports torch.
"""

import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from typing import Generic, TypeVar

from biogpt.errors import InputError, suggest
from biogpt.tasks.example import NO_ID, Example, Item, Prediction, Span
from biogpt.tasks.iob import OUTSIDE, word_spans
from biogpt.tasks.kinds import relation
from biogpt.tasks.mentions import fold
from biogpt.tasks.schema import Schema
from biogpt.tasks.task import Task

T = TypeVar("T")
Baseline = Callable[[Task, Sequence[Example], Sequence[Example]], list[Prediction]]
Values = tuple[str, ...]

_WORD = re.compile(r"\w+|[^\w\s]")
_SENTENCE_END = re.compile(r"[.!?]\s+(?=[A-Z0-9\[(\"])")


def baseline_names(task: Task) -> list[str]:
    """The names of the baselines that apply to a task; none for tasks that generate text."""
    return list(_BASELINES.get(task.schema.kind, {}))


def predict_trivially(
    task: Task, baseline: str, train: Sequence[Example], examples: Sequence[Example]
) -> list[Prediction]:
    """What a trivial baseline predicts.

    Args:
        task: what is asked.
        baseline: one of `baseline_names(task)`.
        train: what is counted; its items are the gold.
        examples: what is predicted for; their items are not looked at.

    Returns:
        A prediction for each example, in order.

    Raises:
        InputError: the task has no such baseline, or there is nothing to count.
    """
    known = _BASELINES.get(task.schema.kind, {})
    if baseline not in known:
        raise InputError(
            f"The task '{task.name}' has no baseline '{baseline}'.{suggest(baseline, known)} "
            f"Known: {', '.join(known) or '(none: there is no right answer to compare with)'}."
        )
    if not any(example.items for example in train):
        raise InputError(
            f"The baseline '{baseline}' has nothing to count: {len(train)} training examples without a single item. "
            "Give the labelled training split."
        )
    return known[baseline](task, train, examples)


@dataclass(frozen=True)
class Lexicon(Generic[T]):
    """Names, as sequences of words, and what each stands for. Finds the longest ones first."""

    entries: Mapping[Values, T]

    @cached_property
    def longest(self) -> int:
        """The number of words of the longest name."""
        return max(map(len, self.entries), default=0)

    def find(self, words: Sequence[str]) -> Iterator[tuple[int, int, T]]:
        """The names in a text from left to right, none inside another: first word, the one behind the last, entry."""
        start = 0
        while start < len(words):
            ends = range(min(start + self.longest, len(words)), start, -1)
            end = next((end for end in ends if tuple(words[start:end]) in self.entries), 0)
            if end:
                yield start, end, self.entries[tuple(words[start:end])]
            start = end or start + 1


def _majority(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> list[Prediction]:
    """The most frequent answer, or set of labels, for each."""
    slot = next(iter(task.schema.slots))
    counts = Counter(tuple(sorted(item.slots[slot] for item in example.items)) for example in train if example.items)
    items = tuple(Item({slot: label}) for label in counts.most_common(1)[0][0])
    return [Prediction(example.id, items) for example in examples]


def _dictionary(
    task: Task, train: Sequence[Example], examples: Sequence[Example], *, is_cased: bool, is_trusted: bool
) -> list[Prediction]:
    """Training mentions wherever they stand, each with its most frequent label.

    Trusted: only those that are marked in at least half of the places where the training texts have them.
    """
    labels: defaultdict[Values, Counter[str]] = defaultdict(Counter)
    for example in train:
        for item in example.items:
            labels[_words_of(item.slots["mention"], is_cased)][item.slots["label"]] += 1
    lexicon = Lexicon({words: (words, counts.most_common(1)[0][0]) for words, counts in labels.items()})
    if is_trusted:
        num_found: Counter[Values] = Counter()
        num_marked: Counter[Values] = Counter()
        for example in train:
            marked = {span for item in example.items for span in item.spans["mention"]}
            for span, (words, _) in _find_tagged(lexicon, example, is_cased):
                num_found[words] += 1
                num_marked[words] += span in marked
        lexicon = Lexicon(
            {words: entry for words, entry in lexicon.entries.items() if 2 * num_marked[words] >= num_found[words] > 0}
        )
    return [
        Prediction(
            example.id,
            tuple(
                Item({"mention": example.text[slice(*span)], "label": label}, {"mention": (span,)})
                for span, (_, label) in _find_tagged(lexicon, example, is_cased)
            ),
        )
        for example in examples
    ]


def _words_of(text: str, is_cased: bool) -> Values:
    return tuple((text if is_cased else fold(text)).split(" "))


def _find_tagged(lexicon: Lexicon[T], example: Example, is_cased: bool) -> Iterator[tuple[Span, T]]:
    spans = word_spans(example.text)
    for start, end, entry in lexicon.find(_words_of(example.text, is_cased)):
        yield (spans[start][0], spans[end - 1][1]), entry


def _tag_of_each_word(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> list[Prediction]:
    """Each word's most frequent tag; of unknown words none."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in train:
        tags = task.target(example).split(" ")
        for word, tag in zip(_words_of(example.text, is_cased=False), tags, strict=True):
            counts[word][tag] += 1
    tags_of_words = {word: tags.most_common(1)[0][0] for word, tags in counts.items()}
    return [
        task.parse(
            " ".join(tags_of_words.get(word, OUTSIDE) for word in _words_of(example.text, is_cased=False)), example
        )
        for example in examples
    ]


@dataclass(frozen=True)
class Relations:
    """What the training examples say: which entities are related to which, how, and what they are called."""

    schema: Schema
    entity_slots: Sequence[str]
    known: Mapping[Values, Counter[Values]]
    """Related entities, one per entity slot -> how often with which values of the other slots."""
    entities: Mapping[str, Mapping[str, str]]
    """Slot -> name, lower-cased -> entity: its identifier, or the name itself where the data has none."""
    lexicon: Lexicon[list[tuple[str, str]]]
    """Every name -> (slot, name) of each slot that it can fill."""
    labels: Values
    """The most frequent values of the other slots."""

    def fill(self, names: Values, entities: Values) -> Values:
        """A value for every slot: names, and how these entities, or else any, are most frequently related."""
        counts = self.known.get(entities)
        others = iter(counts.most_common(1)[0][0] if counts else self.labels)
        values = dict(zip(self.entity_slots, names, strict=True))
        return tuple(values[slot] if slot in values else next(others) for slot in self.schema.slots)


def _read_relations(schema: Schema, train: Sequence[Example]) -> Relations:
    """Count the relations of the training examples. An entity is known by all names that the data set lists for it."""
    slots = [name for name, slot in schema.slots.items() if slot.is_entity]
    known: defaultdict[Values, Counter[Values]] = defaultdict(Counter)
    entities: dict[str, dict[str, str]] = {slot: {} for slot in slots}
    for item in (item for example in train for item in example.items):
        for slot in slots:
            name = fold(item.slots[slot])
            entities[slot][name] = name if item.ids.get(slot, NO_ID) == NO_ID else item.ids[slot]
        related = tuple(entities[slot][fold(item.slots[slot])] for slot in slots)
        known[related][tuple(item.slots[slot] for slot in schema.slots if slot not in slots)] += 1
    for vocabulary in {id(example.vocabulary): example.vocabulary for example in train}.values():
        for slot in slots:
            related_ids = set(entities[slot].values())
            listed = vocabulary.get(slot, {})
            entities[slot] |= {name: entity for name, entity in listed.items() if entity in related_ids - {NO_ID}}
    entries: defaultdict[Values, list[tuple[str, str]]] = defaultdict(list)
    for slot in slots:
        for name in entities[slot]:
            entries[tuple(_WORD.findall(name))].append((slot, name))
    entries.pop((), None)
    labels: Counter[Values] = Counter()
    for counts in known.values():
        labels.update(counts)
    return Relations(schema, slots, known, entities, Lexicon(entries), labels.most_common(1)[0][0])


@dataclass(frozen=True)
class Found:
    """The known names that stand in one example."""

    relations: Relations
    example: Example
    places: Mapping[str, Mapping[str, Sequence[int]]]
    """Entity slot -> name -> where it begins."""

    def combinations(self) -> Iterator[Values]:
        """All ways to fill the entity slots with different names."""
        for names in product(*(self.places[slot] for slot in self.relations.entity_slots)):
            if len(set(names)) == len(names):
                yield names

    def starts(self, names: Values) -> list[Sequence[int]]:
        """Where each of these names begins."""
        return [self.places[slot][name] for slot, name in zip(self.relations.entity_slots, names, strict=True)]

    def entities(self, names: Values) -> Values:
        """What these names stand for."""
        slots = self.relations.entity_slots
        return tuple(self.relations.entities[slot][name] for slot, name in zip(slots, names, strict=True))


def _find_names(relations: Relations, example: Example) -> Found:
    words = list(_WORD.finditer(fold(example.text)))
    places: dict[str, dict[str, list[int]]] = {slot: {} for slot in relations.entity_slots}
    for first, _, entry in relations.lexicon.find([word[0] for word in words]):
        for slot, name in entry:
            places[slot].setdefault(name, []).append(words[first].start())
    return Found(relations, example, places)


def _sentence_of(text: str) -> Callable[[int], int]:
    """Which sentence a character belongs to."""
    ends = [end.end() for end in _SENTENCE_END.finditer(text)]
    return lambda place: bisect_right(ends, place)


def _co_occurring(found: Found) -> Iterator[Values]:
    """All names that can be related."""
    yield from found.combinations()


def _in_one_sentence(found: Found) -> Iterator[Values]:
    """Names that stand in the same sentence."""
    sentence = _sentence_of(found.example.text)
    for names in found.combinations():
        if set.intersection(*({sentence(place) for place in starts} for starts in found.starts(names))):
            yield names


def _in_order(found: Found) -> Iterator[Values]:
    """Names that stand in the same sentence in the order of the slots."""
    sentence = _sentence_of(found.example.text)
    for names in found.combinations():
        for places in product(*found.starts(names)):
            if list(places) == sorted(places) and len({sentence(place) for place in places}) == 1:
                yield names
                break


def _first_in_title(found: Found) -> Iterator[Values]:
    """Names of which the first stands in the title, or where there is none in the first sentence."""
    sentence = _sentence_of(found.example.text)
    title = len(found.example.fields.get("title", ""))
    for names in found.combinations():
        if any(place < title if title else sentence(place) == 0 for place in found.starts(names)[0]):
            yield names


def _known(found: Found) -> Iterator[Values]:
    """Names of entities that are related in a training example."""
    for names in found.combinations():
        if found.entities(names) in found.relations.known:
            yield names


def _in_title_or_known(found: Found) -> Iterator[Values]:
    """Both of these together."""
    yield from dict.fromkeys([*_first_in_title(found), *_known(found)])


def _pairing(
    task: Task,
    train: Sequence[Example],
    examples: Sequence[Example],
    *,
    choose: Callable[[Found], Iterable[Values]],
) -> list[Prediction]:
    """Names from training relations that stand in the text, combined; how they are related is what is most frequent."""
    relations = _read_relations(task.schema, train)
    predictions = []
    for example in examples:
        found = _find_names(relations, example)
        filled = [relations.fill(names, found.entities(names)) for names in choose(found)]
        predictions.append(_predict(task, example, filled))
    return predictions


def _known_of_first(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> list[Prediction]:
    """All training relations of each first name that stands in the text, whether or not the others stand there."""
    relations = _read_relations(task.schema, train)
    first = relations.entity_slots[0]
    of_name: defaultdict[str, dict[Values, None]] = defaultdict(dict)
    for item in (item for example in train for item in example.items):
        of_name[fold(item.slots[first])][tuple(item.slots[slot] for slot in task.schema.slots)] = None
    return [
        _predict(
            task,
            example,
            [values for name in _find_names(relations, example).places[first] for values in of_name.get(name, ())],
        )
        for example in examples
    ]


def _copied(task: Task, train: Sequence[Example], examples: Sequence[Example]) -> list[Prediction]:
    """The most frequent training relation for each."""
    slots = task.schema.slots
    counts = Counter(tuple(fold(item.slots[slot]) for slot in slots) for example in train for item in example.items)
    return [_predict(task, example, [counts.most_common(1)[0][0]]) for example in examples]


def _predict(task: Task, example: Example, filled: Iterable[Values]) -> Prediction:
    schema = task.schema
    items = []
    for values in filled:
        cased = (fold(value) if schema.is_lowercase else value for value in values)
        items.append(relation.locate(schema, dict(zip(schema.slots, cased, strict=True)), example))
    return Prediction(example.id, tuple(items))


_BASELINES: dict[str, dict[str, Baseline]] = {
    "answering": {"majority": _majority},
    "classification": {"majority": _majority},
    "tagging": {
        "dictionary": partial(_dictionary, is_cased=True, is_trusted=False),
        "dictionary in any case": partial(_dictionary, is_cased=False, is_trusted=False),
        "trusted dictionary": partial(_dictionary, is_cased=True, is_trusted=True),
        "trusted dictionary in any case": partial(_dictionary, is_cased=False, is_trusted=True),
        "tag of each word": _tag_of_each_word,
    },
    "relation": {
        "co-occurring": partial(_pairing, choose=_co_occurring),
        "same sentence": partial(_pairing, choose=_in_one_sentence),
        "same sentence in order": partial(_pairing, choose=_in_order),
        "first in title": partial(_pairing, choose=_first_in_title),
        "known": partial(_pairing, choose=_known),
        "first in title or known": partial(_pairing, choose=_in_title_or_known),
        "known of the first": _known_of_first,
        "copied": _copied,
    },
}
