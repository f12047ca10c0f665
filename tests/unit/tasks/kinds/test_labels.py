"""Classification and answering: sentences with known labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import load_task

HOC = load_task("hoc")
QA = load_task("pubmedqa")
EXAMPLE = Example("1", "A sentence .")
LABELS = HOC.schema.slots["label"].choices


def labels(text: str) -> list[str]:
    return [item.slots["label"] for item in HOC.parse(text, EXAMPLE).items]


@given(st.lists(st.sampled_from(LABELS), min_size=1, unique=True))
def test_labels_survive_rendering_and_parsing(names):
    example = Example("1", "A sentence .", tuple(Item({"label": name}) for name in names))
    prediction = HOC.parse(HOC.target(example), example)
    assert prediction.items == example.items
    assert not prediction.problems


@pytest.mark.parametrize(
    ("text", "found", "problem"),
    [
        ("the type of this document is empty | cellular energetics .", ["empty", "cellular energetics"], None),
        ("learned1 the type of this document is empty.", ["empty"], None),
        ("the type of this document is foo|empty.", ["empty"], "unknown label 'foo'"),
        ("the type of this document is empty. So it is.", ["empty"], "ignored 'So it is'"),
        ("Well, the type of this document is empty.", ["empty"], "cannot read 'Well,'"),
        ("the type of this document is empty. the type of this document is foo.", ["empty"], "expected one sentence"),
        ("the type of this document is", [], "cannot read"),
        ("empty", [], "cannot read 'empty'"),
        ("", [], "nothing to read"),
    ],
)
def test_known_labels_are_read_and_the_rest_is_told(text, found, problem):
    assert labels(text) == found
    problems = HOC.parse(text, EXAMPLE).problems
    assert any(problem in said for said in problems) if problem else not problems


@pytest.mark.parametrize("answer", ["yes", "no", "maybe"])
def test_answers_survive_rendering_and_parsing(answer):
    example = Example("1", "question: q context: c ", (Item({"answer": answer}),))
    assert QA.target(example) == f"the answer to the question given the context is {answer}."
    prediction = QA.parse(QA.target(example), example)
    assert prediction.items == example.items
    assert not prediction.problems


@pytest.mark.parametrize(
    "text", ["yes", "the answer to the question given the context is yes because", "is yes.", "", "no"]
)
def test_what_is_not_exactly_an_answer_is_none(text):
    prediction = QA.parse(text, EXAMPLE)
    assert prediction.has_failed


def test_a_question_without_an_answer_has_no_target():
    assert QA.target(EXAMPLE) == ""


@given(
    st.one_of(st.text(), st.lists(st.sampled_from([*LABELS, "|", ".", "the type of this document is"])).map(" ".join))
)
def test_parsing_never_raises_never_invents_never_drops(text):
    prediction = HOC.parse(text, EXAMPLE)
    assert all(item.slots["label"] in text for item in prediction.items)
    assert prediction.items or prediction.problems
