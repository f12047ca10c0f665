import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt import load_task
from biogpt.extraction.item_scores import _place_tokens, score_items
from biogpt.tasks.example import Example, Item
from biogpt.text import moses

TEXT = "the relation between cis platin and pain exists; the relation between zinc and pain exists."
WORDS = TEXT.split()
TOKENS = [f"{word}</w>" for word in WORDS]


def test_an_item_is_as_sure_as_the_words_that_fill_its_slots():
    schema = load_task("bc5cdr").schema
    probabilities = dict.fromkeys(range(len(WORDS)), 1.0) | {3: 0.5, 4: 0.125, 6: 0.25, 11: 0.9, 13: 0.4}
    items = [Item({"chemical": chemical, "disease": "pain"}) for chemical in ("cis platin", "zinc", "gold")]
    logs = [math.log(probabilities[index]) for index in range(len(WORDS))]
    scores = [item.score for item in score_items(schema, items, TOKENS, logs)]
    assert scores[0] == pytest.approx((0.5 * 0.125 * 0.25) ** (1 / 3))
    assert scores[1] == pytest.approx((0.9 * 0.4) ** 0.5)
    assert scores[2] == pytest.approx(math.exp(sum(logs) / len(logs)))


def test_labels_of_one_sentence_have_their_own_scores():
    task = load_task("hoc")
    words = ["the type of this document is", "cellular", "energetics", "|", "empty", "."]
    items = task.parse(" ".join(words), Example("1", "")).items
    logs = [math.log(value) for value in (0.1, 0.5, 0.5, 0.1, 0.3, 0.1)]
    tokens = [f"{word}</w>" for word in " ".join(words).split()]
    logs = [log for word, log in zip(words, logs, strict=True) for _ in word.split()]
    scored = score_items(task.schema, items, tokens, logs)
    assert [item.score for item in scored] == pytest.approx([0.5, 0.3])


def test_nothing_has_no_scores():
    assert score_items(load_task("bc5cdr").schema, [], ["a", "b</w>"], [0.0, 0.0]) == ()


@given(
    st.lists(
        st.sampled_from(["in", "hib", "it</w>", "&quot;</w>", "&am", "p;</w>", "@-@</w>", "β</w>", "'s</w>", ".</w>"])
    )
)
def test_a_token_owns_what_decoding_with_it_adds(tokens):
    """Against decoding all tokens anew for each one, which takes time with the square of their number."""
    text, owners = "", []
    for index in range(len(tokens)):
        words = "".join(token.replace("</w>", " ") for token in tokens[: index + 1]).split()
        longer = "".join(moses.join_words(words).split()).lower()
        pairs = enumerate(zip(text, longer, strict=False))
        kept = next((place for place, (old, new) in pairs if old != new), min(len(text), len(longer)))
        owners[kept:] = [index] * (len(longer) - kept)
        text = longer
    if "@-@" not in text:  # two split hyphens in a row, which no text has
        assert _place_tokens(tokens) == (text, owners)
