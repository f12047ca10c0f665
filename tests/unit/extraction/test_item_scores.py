import math

import pytest

from biogpt import load_task
from biogpt.extraction.item_scores import score_items
from biogpt.tasks.example import Example, Item

TEXT = "the relation between cis platin and pain exists; the relation between zinc and pain exists."
WORDS = TEXT.split()


def decode(ids):
    return " ".join(WORDS[index] for index in ids)


def test_an_item_is_as_sure_as_the_words_that_fill_its_slots():
    schema = load_task("bc5cdr").schema
    probabilities = dict.fromkeys(range(len(WORDS)), 1.0) | {3: 0.5, 4: 0.125, 6: 0.25, 11: 0.9, 13: 0.4}
    items = [Item({"chemical": chemical, "disease": "pain"}) for chemical in ("cis platin", "zinc", "gold")]
    logs = [math.log(probabilities[index]) for index in range(len(WORDS))]
    scores = [item.score for item in score_items(schema, items, range(len(WORDS)), logs, decode)]
    assert scores[0] == pytest.approx((0.5 * 0.125 * 0.25) ** (1 / 3))
    assert scores[1] == pytest.approx((0.9 * 0.4) ** 0.5)
    assert scores[2] == pytest.approx(math.exp(sum(logs) / len(logs)))


def test_labels_of_one_sentence_have_their_own_scores():
    task = load_task("hoc")
    words = ["the type of this document is", "cellular", "energetics", "|", "empty", "."]
    items = task.parse(" ".join(words), Example("1", "")).items
    logs = [math.log(value) for value in (0.1, 0.5, 0.5, 0.1, 0.3, 0.1)]
    scored = score_items(task.schema, items, range(6), logs, lambda ids: " ".join(words[index] for index in ids))
    assert [item.score for item in scored] == pytest.approx([0.5, 0.3])


def test_nothing_has_no_scores():
    assert score_items(load_task("bc5cdr").schema, [], [1, 2], [0.0, 0.0], decode) == ()
