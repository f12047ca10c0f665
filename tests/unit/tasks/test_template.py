import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.tasks.template import MAX_READINGS, Template

TRIPLE = Template("the interaction between {drug} and {target} is {kind}", choices={"kind": ("inhibitor", "agonist")})
PAIR = Template("{a} correlates with {b}")
WORDED = Template(
    "{drug} {kind} {target}",
    choices={"kind": ("inhibitor", "agonist", "binding", "bind")},
    phrases={"kind": {"inhibitor": "inhibits", "agonist": "is an agonist of"}},
    endings={"kind": [("ing", "s"), ("", "s")]},
)


def values(template: Template, text: str) -> list[list[dict[str, str]]]:
    return [[dict(reading.values) for reading in readings] for _, readings in template.read(text)]


def test_items_are_joined_and_ended():
    text = PAIR.render([{"a": "x", "b": "y"}, {"a": "z", "b": "w"}])
    assert text == "x correlates with y; z correlates with w."
    assert values(PAIR, text) == [[{"a": "x", "b": "y"}], [{"a": "z", "b": "w"}]]


def test_no_items_are_said_in_words():
    assert Template("{a} of {b}", none="there is nothing").render([]) == "there is nothing."


def test_all_ways_to_read_a_name_with_and_are_returned_the_shortest_first_name_first():
    [readings] = values(TRIPLE, "the interaction between a and b and c is inhibitor.")
    assert [(reading["drug"], reading["target"]) for reading in readings] == [("a", "b and c"), ("a and b", "c")]


def test_blanks_around_punctuation_do_not_matter():
    marked = Template("<h> {a} <t> {b}", separator=" ")
    assert values(marked, "< h > x < t > y <h>z<t>w .") == [[{"a": "x", "b": "y"}], [{"a": "z", "b": "w"}]]


def test_a_name_may_contain_the_separator():
    text = "x correlates with y; z; u; v correlates with w."
    assert values(PAIR, text)[0] == [{"a": "x", "b": "y"}]
    assert {"a": "z; u; v", "b": "w"} in values(PAIR, text)[1]


def test_text_before_and_behind_a_sentence_is_not_lost():
    clauses = list(TRIPLE.read("As I said, the interaction between a and b is inhibitor; who knows. Not I."))
    assert clauses[0] == ("As I said,", [])
    [reading] = clauses[1][1]
    assert reading.values == {"drug": "a", "target": "b", "kind": "inhibitor"}
    assert reading.ignored == "who knows. Not I"


def test_a_sentence_ends_at_its_first_mark():
    template = Template("the relation between {a} and {b} exists")
    assert values(template, "the relation between x exists; y and z exists.") == [[]]


def test_verbalizers_are_read_back_also_longer_ones():
    items = [
        {"drug": "a b", "kind": "agonist", "target": "c"},
        {"drug": "d", "kind": "inhibitor", "target": "e f"},
        {"drug": "g", "kind": "binding", "target": "h"},
    ]
    text = WORDED.render(items)
    assert text == "a b is an agonist of c; d inhibits e f; g binds h."
    assert [readings[0] for readings in values(WORDED, text)] == items


def test_verbalizers_that_mean_several_values_are_told():
    assert WORDED.alternatives("kind", "binding") == ["binding", "bind"]
    assert WORDED.alternatives("kind", "agonist") == ["agonist"]


@pytest.mark.parametrize("text", ["and " * 4000, "the interaction between " + "and " * 4000 + "is x", " " * 50_000])
def test_endless_repetition_is_bounded(text):
    for template in (TRIPLE, PAIR, WORDED):
        for _, readings in template.read(text):
            assert len(readings) <= MAX_READINGS


NAME = st.text(alphabet="abxyz0-() ", min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)


@given(
    st.lists(st.fixed_dictionaries({"drug": NAME, "target": NAME, "kind": st.sampled_from(["inhibitor", "agonist"])}))
)
def test_what_is_rendered_is_among_the_readings(items):
    if items:
        found = values(TRIPLE, TRIPLE.render(items))
        assert len(found) == len(items)
        assert all(item in readings for item, readings in zip(items, found, strict=True))
