import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.tasks.mentions import find_mentions, fold

TEXT = (
    "Beta-blockers at 5 mg/kg: a beta-blocker, İmipramine; RAS and the 5-HT1A receptor. BETA-BLOCKER, antihypertensive"
)


def surfaces(name: str) -> list[str]:
    return [TEXT[start:end] for start, end in find_mentions(name, TEXT)]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("beta-blocker", ["Beta-blocker", "beta-blocker", "BETA-BLOCKER"]),  # a plural is a mention
        ("5 mg / kg", ["5 mg/kg"]),  # blanks that tokenising adds
        ("5-ht 1a receptor", ["5-HT1A receptor"]),
        ("hypertensive", []),  # only within a longer word
        ("RA", []),  # RAS is not its plural
        ("ras", ["RAS"]),
        ("mipramine", []),
        ("receptor.", ["receptor."]),
        ("aspirin", []),
        ("  ", []),
        ("", []),
    ],
)
def test_all_mentions_are_found_and_nothing_else(name, found):
    assert surfaces(name) == found


def test_positions_survive_letters_that_grow_in_lower_case():
    assert len("İ".lower()) == 2
    assert len(fold("İx")) == 2
    assert [TEXT[start:end] for start, end in find_mentions("ras", TEXT)] == ["RAS"]


@given(st.text(), st.text())
def test_a_mention_is_the_name_but_for_case_and_blanks(name, text):
    for start, end in find_mentions(name, text):
        assert "".join(fold(text[start:end]).split()) == "".join(fold(name).split())


@given(
    st.lists(st.sampled_from(["abab", "ababs", "-", "c", " "]), max_size=12), st.sampled_from(["abab", "ababs", "c"])
)
def test_mentions_are_whole_words(parts, name):
    text = "".join(parts)
    for start, end in find_mentions(name, text):
        assert not text[:start][-1:].isalnum()
        assert text[end : end + 1] in ("", "-", " ") or text[end : end + 2] in ("s", "s-", "s ")
