"""Augmentation of training examples: other entities in source and gold alike, relations in another order."""

from dataclasses import replace

import numpy as np
import pytest

from biogpt.errors import ConfigError
from biogpt.tasks.example import Example, Item
from biogpt.tasks.mentions import find_mentions
from biogpt.tasks.recipe import Recipe
from biogpt.tasks.task import Task, load_task
from biogpt.training.finetune.augmentation import (
    MAX_AUGMENTED_EPOCHS,
    augment,
    pair_up,
    read_lexicon,
    replace_entities,
    shuffle_relations,
)

VOCABULARY = {
    "chemical": {"lithium": "C1", "lithium carbonate": "C1", "aspirin": "C2", "cisplatin": "C3", "zinc": "-1"},
    "disease": {"tremor": "D1", "renal failure": "D2", "kidney failure": "D2", "fever": "D3"}
    | {f"disease {letter}": f"X{letter}" for letter in "abcdefghijkl"},
}
TEXT = "Lithium carbonate-induced tremor. Lithium gave no fever, and LITHIUM no Kidney Failure."


def make_example(text: str = TEXT, *pairs: tuple[str, str]) -> Example:
    items = tuple(
        Item({"chemical": chemical, "disease": disease}, {"disease": find_mentions(disease, text)})
        for chemical, disease in pairs
    )
    return Example("one", text, items, vocabulary=VOCABULARY)


@pytest.fixture
def task() -> Task:
    return load_task("bc5cdr")


def test_all_mentions_of_an_entity_change_together_and_so_does_the_gold(task: Task) -> None:
    example = make_example(TEXT, ("lithium carbonate", "tremor"))
    lexicon = read_lexicon(task, [example])
    seen = set()
    for seed in range(30):
        augmented = replace_entities(task, example, lexicon, 1.0, np.random.default_rng(seed))
        (item,) = augmented.items
        chemical, disease = item.slots["chemical"], item.slots["disease"]
        seen.add((chemical, disease))
        assert "ithium" not in augmented.text
        assert "tremor" not in augmented.text
        assert augmented.text.startswith(f"{chemical}-induced {disease}. {chemical} gave no ")
        assert find_mentions(chemical, augmented.text)
        assert not item.spans
        # Of three diseases each gets another's name, and no two the same one.
        assert sum(bool(find_mentions(f"disease {letter}", augmented.text)) for letter in "abcdefghijkl") == 3
    assert {chemical for chemical, _ in seen} == {"aspirin", "cisplatin", "zinc"}
    assert len(seen) > 4


def test_without_replacement_nothing_changes_but_the_spans(task: Task) -> None:
    example = make_example(TEXT, ("lithium carbonate", "tremor"))
    augmented = replace_entities(task, example, read_lexicon(task, [example]), 0.0, np.random.default_rng(0))
    assert (augmented.text, augmented.items[0].slots) == (TEXT, example.items[0].slots)


def test_what_the_gold_says_and_the_text_has_in_pieces_keeps_its_name(task: Task) -> None:
    example = make_example("Aspirin gave renal and hepatic failure.", ("aspirin", "renal failure"))
    lexicon = read_lexicon(task, [example])
    for seed in range(5):
        (item,) = replace_entities(task, example, lexicon, 1.0, np.random.default_rng(seed)).items
        assert item.slots["disease"] == "renal failure"
        assert item.slots["chemical"] != "aspirin"


def test_each_epoch_is_augmented_and_the_same_seed_augments_alike(task: Task) -> None:
    pairs = [("lithium carbonate", "tremor"), ("lithium carbonate", "fever"), ("aspirin", "fever")]
    examples = [make_example(TEXT, *pairs)]
    shuffling = Recipe(shuffle_relations=True)
    epochs = augment(task, shuffling, examples, 12, seed=1)
    assert len(epochs) == 12
    assert len({task.target(one) for (one,) in epochs}) > 3
    assert {frozenset(tuple(item.slots.values()) for item in one.items) for (one,) in epochs} == {frozenset(pairs)}
    assert {one.text for (one,) in epochs} == {TEXT}
    again, other = (augment(task, shuffling, examples, 12, seed=seed) for seed in (1, 2))
    assert again == epochs != other
    assert len(augment(task, Recipe(entity_replacement=0.5), examples, 500, seed=0)) == MAX_AUGMENTED_EPOCHS
    assert augment(task, Recipe(), examples, 12, seed=0) == []
    longer = augment(task, shuffling, examples, 15, seed=1)
    assert longer[:12] == epochs  # a run that is made longer goes on


def test_common_words_are_no_names(task: Task) -> None:
    vocabulary = {"chemical": {"mg": "C8", "no": "C9", "aspirin": "C2"}, "disease": {"all": "D9", "fever": "D3"}}
    text = "No rats had all of 5 mg/kg. NO and ALL were seen."
    example = replace(make_example(text), vocabulary=vocabulary)
    lexicon = read_lexicon(task, [example, make_example()])
    augmented = replace_entities(task, example, lexicon, 1.0, np.random.default_rng(0))
    assert augmented.text.startswith("No rats had all of 5 mg/kg. ")
    assert "NO" not in augmented.text
    assert "ALL" not in augmented.text


def test_the_first_epochs_pair_any_names_of_the_text(task: Task) -> None:
    pairing = Recipe(random_pair_epochs=2)
    example = make_example(TEXT, ("lithium carbonate", "tremor"))
    first, second, third, fourth = (one for (one,) in augment(task, pairing, [example], 4, seed=0))
    assert third == fourth == example
    seen = {tuple(item.slots.values()) for one in (first, second) for item in one.items}
    assert {chemical for chemical, _ in seen} == {"Lithium carbonate"}  # an entity by its longest name
    assert {disease for _, disease in seen} == {"tremor", "fever", "Kidney Failure"}
    assert first.text == TEXT
    nothing = make_example("No name stands here.", ("aspirin", "fever"))
    assert augment(task, pairing, [nothing], 3, seed=0) == [[nothing]] * 3


def test_pairs_are_of_two_names_and_something_is_left_to_learn_relations() -> None:
    task = load_task("ddi")
    item = Item({"drug": "zinc", "target": "iron", "interaction": "effect"})
    example = Example("one", "Zinc and iron.", (item,))
    paired = pair_up(task, example, read_lexicon(task, [example]), np.random.default_rng(0))
    assert {(one.slots["drug"], one.slots["target"]) for one in paired.items} == {("Zinc", "iron")}
    alone = Example("two", "Zinc alone.", (item,))
    assert pair_up(task, alone, read_lexicon(task, [alone]), np.random.default_rng(0)) == alone
    for num_epochs, num_of_pairs in ((1, 0), (4, 2), (9, 3)):
        epochs = augment(task, Recipe(random_pair_epochs=3), [example], num_epochs, seed=0)
        assert [one.items != example.items for (one,) in epochs] == [
            epoch < num_of_pairs for epoch in range(num_epochs)
        ]


def test_names_keep_the_case_they_were_written_in_and_choices_are_no_names() -> None:
    task = load_task("ddi")
    pairs = [("Imatinib", "ABL1"), ("Gefitinib", "EGFR"), ("effect", "mTOR")]
    examples = [
        Example(
            f"{drug}", f"{drug} binds {target}.", (Item({"drug": drug, "target": target, "interaction": "effect"}),)
        )
        for drug, target in pairs
    ]
    lexicon = read_lexicon(task, examples)
    for seed in range(9):
        augmented = replace_entities(task, examples[0], lexicon, 1.0, np.random.default_rng(seed))
        (item,) = augmented.items
        assert item.slots["interaction"] == "effect"
        assert (item.slots["drug"], item.slots["target"]) in {
            (drug, target) for drug, _ in pairs[1:] for _, target in pairs[1:]
        }
        assert augmented.text == f"{item.slots['drug']} binds {item.slots['target']}."


def test_only_relations_are_augmented() -> None:
    task = load_task("pubmedqa")
    with pytest.raises(ConfigError, match="for the kind 'answering', expected them for 'relation' alone"):
        augment(task, Recipe(shuffle_relations=True), [task.example()], 3, seed=0)


def test_shuffling_keeps_every_item() -> None:
    example = make_example(TEXT, *[("aspirin", str(number)) for number in range(9)])
    shuffled = shuffle_relations(example, np.random.default_rng(0))
    assert shuffled.items != example.items
    assert sorted(item.slots["disease"] for item in shuffled.items) == [str(number) for number in range(9)]


@pytest.mark.data
@pytest.mark.parametrize(("name", "folder"), [("bc5cdr", "BC5CDR"), ("ddi", "DDI")])
def test_replaced_gold_stands_in_the_changed_text_as_often_as_before(data_path, name, folder) -> None:
    task = load_task(name)
    examples = task.read(data_path / "benchmarks" / folder, "train")
    lexicon = read_lexicon(task, examples)
    numbers = np.random.default_rng(0)

    def count_found(examples: list[Example]) -> int:
        entities = [slot for slot in task.schema.slots if task.schema.slots[slot].is_entity]
        return sum(
            bool(find_mentions(item.slots[slot], example.text))
            for example in examples
            for item in example.items
            for slot in entities
        )

    augmented = [replace_entities(task, example, lexicon, 0.5, numbers) for example in examples]
    assert sum(one.text != other.text for one, other in zip(augmented, examples, strict=True)) > 0.7 * len(examples)
    assert count_found(augmented) >= 0.99 * count_found(examples)
