import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.tasks.example import Example
from biogpt.tasks.task import load_task

JNLPBA = load_task("jnlpba")
EXAMPLE = Example("1", "IL-2 gene in T cells")
TAGS = st.sampled_from(["O", "B-DNA", "I-DNA", "B-RNA", "I-RNA"])


def mentions(text: str) -> list[tuple[str, str]]:
    return [(item.slots["mention"], item.slots["label"]) for item in JNLPBA.parse(text, EXAMPLE).items]


def test_mentions_have_their_words_and_characters():
    prediction = JNLPBA.parse("B-DNA I-DNA O B-cell_type I-cell_type", EXAMPLE)
    assert mentions(prediction.text) == [("IL-2 gene", "DNA"), ("T cells", "cell_type")]
    assert [item.spans for item in prediction.items] == [{"mention": ((0, 9),)}, {"mention": ((13, 20),)}]
    assert not prediction.problems


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("I-DNA I-DNA O O O", [("IL-2 gene", "DNA")]),
        ("B-DNA I-RNA O O O", [("IL-2", "DNA"), ("gene", "RNA")]),
        ("B-DNA B-DNA O O O", [("IL-2", "DNA"), ("gene", "DNA")]),
        ("O O O O I-DNA", [("cells", "DNA")]),
        ("B-DNA O I-DNA O O", [("IL-2", "DNA"), ("in", "DNA")]),
    ],
)
def test_broken_sequences_are_read_as_seqeval_reads_them(tags, found):
    assert mentions(tags) == found


@pytest.mark.parametrize(
    ("tags", "found", "problem"),
    [
        ("B-DNA I-DNA", [("IL-2 gene", "DNA")], "got 2 tags for 5 words"),
        ("O O O O O B-DNA", [], "got 6 tags for 5 words"),
        ("", [], "got 0 tags"),
        ("B-DNA X-DNA O O B-gene", [("IL-2", "DNA")], "2 unknown tags are outside: 'X-DNA', 'B-gene'"),
    ],
)
def test_what_does_not_fit_is_told(tags, found, problem):
    assert mentions(tags) == found
    assert problem in JNLPBA.parse(tags, EXAMPLE).problems[0]


@given(st.lists(TAGS, min_size=5, max_size=5))
def test_tags_survive_reading_and_rendering(tags):
    items = JNLPBA.parse(" ".join(tags), EXAMPLE).items
    example = Example("1", EXAMPLE.text, items)
    again = JNLPBA.parse(JNLPBA.target(example), example)
    assert again.items == items
    assert not again.problems


@given(st.text(), st.text())
def test_parsing_never_raises_and_spans_stand_in_the_source(text, source):
    for item in JNLPBA.parse(text, Example("1", source)).items:
        [(start, end)] = item.spans["mention"]
        assert source[start:end] == item.slots["mention"]
