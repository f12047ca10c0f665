"""Augmentation of training examples: relations in another order, entities replaced by others, or in any pairs.

A model that reads 500 documents several times memorises their names. Where each pass shows the same sentences
with other entities in them, it has to learn how a text says that two names are related, and to copy them. This knows
texts only, no tokens and no weights.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from biogpt.documents.types import Span
from biogpt.errors import ConfigError
from biogpt.tasks.example import NO_ID, Example, Item
from biogpt.tasks.mentions import fold
from biogpt.tasks.recipe import Recipe
from biogpt.tasks.task import Task

MAX_NAME_WORDS = 12
"""Longer names are not looked for in texts."""

MAX_ABBREVIATION = 3
"""Names of up to so many characters may be common words, unless they are written in capitals."""

MAX_AUGMENTED_EPOCHS = 20
"""Epochs behind those of pairs after which the augmented examples come again."""

MAX_PAIRS = 5
"""How many pairs of names a text gets; about as many as its relations, so that targets are about as long."""

MAX_DRAWS = 8
"""How often an entity that is not in the text already is looked for among all."""

_WORD = re.compile(r"\w+|[^\w\s]")

Entity = tuple[frozenset[str], str]
"""The slots that an entity is found in, and its identifier, or its name where it has none."""


@dataclass(frozen=True)
class Lexicon:
    """The names that a training set knows."""

    entities: Mapping[str, Entity]
    """Of each name, folded."""
    names: Mapping[Entity, Sequence[str]]
    """The names of each entity as they were written, the longest first."""
    alike: Mapping[frozenset[str], Sequence[Entity]]
    """The entities that are found in the same slots, and so may stand for each other."""


def read_lexicon(task: Task, examples: Sequence[Example]) -> Lexicon:
    """All names of entities: of the examples' gold, and of their data set's list where it has one."""
    slots: dict[str, set[str]] = defaultdict(set)
    written: dict[str, str] = {}
    ids: dict[str, str] = {}
    for example in examples:
        for item in example.items:
            for slot in _entity_slots(task):
                name = item.slots[slot]
                slots[fold(name)].add(slot)
                written.setdefault(fold(name), name)
    for vocabulary in {id(example.vocabulary): example.vocabulary for example in examples}.values():
        for slot in _entity_slots(task):
            for name, identifier in vocabulary.get(slot, {}).items():
                slots[fold(name)].add(slot)
                written.setdefault(fold(name), name)
                if identifier != NO_ID:
                    ids.setdefault(fold(name), identifier)
    entities = {name: (frozenset(found), ids.get(name, name)) for name, found in slots.items() if _is_word(name)}
    names: dict[Entity, list[str]] = defaultdict(list)
    for name in sorted(entities, key=lambda name: (-len(name), name)):
        names[entities[name]].append(written[name])
    alike: dict[frozenset[str], list[Entity]] = defaultdict(list)
    for entity in sorted(names, key=lambda entity: (sorted(entity[0]), entity[1])):
        alike[entity[0]].append(entity)
    return Lexicon(entities, names, alike)


def augment(
    task: Task, training: Recipe, examples: Sequence[Example], num_epochs: int, seed: int
) -> list[list[Example]]:
    """What each epoch shows of the examples.

    Args:
        task: whose examples they are.
        training: its `entity_replacement`, `random_pair_epochs` and `shuffle_relations` say what differs from epoch to
            epoch.
        examples: the training set.
        num_epochs: of the run.
        seed: of what chance decides.

    Returns:
        The examples of each epoch, in their order; none, where nothing differs. After `MAX_AUGMENTED_EPOCHS` epochs
        (not counting those of pairs) they come again.

    Raises:
        ConfigError: the settings are for relations and the task is of another kind.
    """
    if not (training.entity_replacement or training.shuffle_relations or training.random_pair_epochs):
        return []
    if not task.kind.has_augmentation:
        raise ConfigError(
            "Got finetune.entity_replacement, finetune.random_pair_epochs or finetune.shuffle_relations for the kind "
            f"'{task.kind.name}', expected them for 'relation' alone. Leave them out."
        )
    num_random_epochs = count_random_pair_epochs(training, num_epochs)
    lexicon = read_lexicon(task, examples)
    numbers = np.random.default_rng((seed, 3))
    epochs = []
    for epoch in range(min(num_epochs, num_random_epochs + MAX_AUGMENTED_EPOCHS)):
        augmented = list(examples)
        if training.entity_replacement:
            augmented = [
                replace_entities(task, example, lexicon, training.entity_replacement, numbers) for example in augmented
            ]
        if epoch < num_random_epochs:
            augmented = [pair_up(task, example, lexicon, numbers) for example in augmented]
        if training.shuffle_relations:
            augmented = [shuffle_relations(example, numbers) for example in augmented]
        epochs.append(augmented)
    return epochs


def count_random_pair_epochs(training: Recipe, num_epochs: int) -> int:
    """How many epochs of a run are of pairs: never more than half, because the others learn the relations."""
    return min(training.random_pair_epochs, num_epochs // 2)


def pair_up(task: Task, example: Example, lexicon: Lexicon, numbers: np.random.Generator) -> Example:
    """The example with any of its entities in the slots, related or not, in place of its gold.

    Args:
        task: whose slots are filled; those with choices by chance.
        example: whose text is looked at.
        lexicon: of all examples.
        numbers: chance.

    Returns:
        The example with at most `MAX_PAIRS` items, none of an entity with itself; or as it is where there is none.
    """
    longest: dict[Entity, str] = {}
    for start, end in _find_names(example.text, lexicon.entities):
        name = example.text[start:end]
        entity = lexicon.entities[fold(name)]
        longest[entity] = max(longest.get(entity, ""), name, key=len)
    fillers: dict[str, list[str]] = {}
    for slot, settings in task.schema.slots.items():
        names = [name for (slots, _), name in longest.items() if slot in slots]
        fillers[slot] = names if settings.is_entity else list(settings.choices)
    if not all(fillers.values()):
        return example
    drawn = (
        {slot: values[int(numbers.integers(len(values)))] for slot, values in fillers.items()} for _ in range(MAX_PAIRS)
    )
    num_entities = len(_entity_slots(task))
    distinct = {
        tuple(slots.values()): Item(slots)
        for slots in drawn
        if len({slots[slot] for slot in _entity_slots(task)}) == num_entities
    }
    return replace(example, items=tuple(distinct.values())) if distinct else example


def shuffle_relations(example: Example, numbers: np.random.Generator) -> Example:
    """The example with its items in another order."""
    order = numbers.permutation(len(example.items)).tolist()
    return replace(example, items=tuple(example.items[index] for index in order))


def replace_entities(
    task: Task, example: Example, lexicon: Lexicon, fraction: float, numbers: np.random.Generator
) -> Example:
    """The example with some of its entities replaced by others, in source and gold alike.

    Args:
        task: whose slots have the names.
        example: with its gold.
        lexicon: of all examples.
        fraction: the part of the entities that is replaced. All mentions of an entity change together, and so do
            the gold's; what is replaced need not be part of the gold, or strange names would give it away.
        numbers: chance.

    Returns:
        The augmented example, whose items have no spans.
    """
    mentions = list(_find_names(example.text, lexicon.entities))
    found = {fold(example.text[start:end]) for start, end in mentions}
    # What the gold names but the text has in pieces only must keep its name.
    fixed = {
        lexicon.entities[name]
        for item in example.items
        for name in (fold(item.slots[slot]) for slot in _entity_slots(task))
        if name in lexicon.entities and name not in found
    }
    present: dict[Entity, list[str]] = defaultdict(list)
    for name in sorted(found, key=lambda name: (-len(name), name)):
        present[lexicon.entities[name]].append(name)
    replacements: dict[str, str] = {}
    taken: set[Entity] = set()
    for entity, names in present.items():
        others = lexicon.alike[entity[0]]
        if entity in fixed or numbers.random() >= fraction:
            continue
        # Two entities of one text must not become one.
        draws = numbers.integers(len(others), size=MAX_DRAWS).tolist()
        other = next((others[draw] for draw in draws if others[draw] not in present.keys() | taken), None)
        if other is None:
            continue
        taken.add(other)
        candidates = lexicon.names[other]
        # Gold names an entity by its longest mention, so the longest name stands for the longest.
        replacements |= {name: candidates[min(place, len(candidates) - 1)] for place, name in enumerate(names)}
    items = []
    for item in example.items:
        names_now = {slot: replacements.get(fold(item.slots[slot]), item.slots[slot]) for slot in _entity_slots(task)}
        items.append(replace(item, slots={**item.slots, **names_now}, spans={}))
    return replace(example, text=_replace_names(example.text, mentions, replacements), items=tuple(items))


def _find_names(text: str, entities: Mapping[str, Entity]) -> Iterator[Span]:
    """The longest names in a text, from left to right; of short ones those in capitals ("NO", not "no" or "mg")."""
    folded = fold(text)
    words = [word.span() for word in _WORD.finditer(folded)]
    position = 0
    while position < len(words):
        start = words[position][0]
        for last in reversed(range(position, min(position + MAX_NAME_WORDS, len(words)))):
            end = words[last][1]
            is_long = end - start > MAX_ABBREVIATION or text[start:end].isupper()
            if is_long and folded[start:end] in entities:
                yield start, end
                position = last
                break
        position += 1


def _replace_names(text: str, mentions: Sequence[Span], replacements: Mapping[str, str]) -> str:
    parts = []
    position = 0
    for start, end in mentions:
        parts += [text[position:start], replacements.get(fold(text[start:end]), text[start:end])]
        position = end
    return "".join([*parts, text[position:]])


def _entity_slots(task: Task) -> list[str]:
    return [name for name, slot in task.schema.slots.items() if slot.is_entity]


def _is_word(name: str) -> bool:
    return bool(name.strip()) and any(map(str.isalnum, name))
