import pytest

from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.task import load_task

TEXTGEN = load_task("textgen")
EXAMPLE = Example("1", "COVID-19 is", (Item({"text": "a disease."}),))


def test_a_continuation_is_taken_as_it_is():
    assert TEXTGEN.prompt(EXAMPLE) == "COVID-19 is"
    assert TEXTGEN.parse(TEXTGEN.target(EXAMPLE), EXAMPLE).items == EXAMPLE.items


@pytest.mark.parametrize(("text", "kept"), [("learned1 a disease.", "a disease."), ("  ", None)])
def test_leaked_tokens_and_empty_texts_are_told(text, kept):
    prediction = TEXTGEN.parse(text, EXAMPLE)
    assert [item.slots["text"] for item in prediction.items] == ([kept] if kept else [])
    assert prediction.problems


def test_texts_are_described():
    examples = [Example("1", "p"), Example("2", "q")]
    predictions = [Prediction("1", (Item({"text": "a b a b"}),)), Prediction("2", (Item({"text": "c d"}),))]
    figures = TEXTGEN.score(predictions, examples)
    assert figures["mean_words"] == 3
    assert figures["distinct_2"] == 3 / 4  # ab, ba, (ab again), cd
