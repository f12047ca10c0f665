"""The abstracts in which relations are counted: a fixed list, held out, and the rule for treatment alone."""

import json

import pytest
from corpus_abstracts import is_held_out, speaks_of_treatment_alone, tells_no_harm
from relations_without import IDS, NUM_DRAWN, shares


def test_the_list_is_of_held_out_abstracts() -> None:
    drawn = json.loads(IDS.read_text(encoding="utf-8"))
    assert len(set(drawn["abstracts"])) == len(drawn["abstracts"]) == NUM_DRAWN
    assert all(is_held_out(int(mark, 16)) for mark in drawn["abstracts"])
    assert set(drawn["treatment_alone"]) < set(drawn["abstracts"])


@pytest.mark.parametrize(
    ("text", "is_treatment", "is_harmless"),
    [
        ("Risperidone improved schizophrenia.", True, True),
        ("Risperidone treatment of schizophrenia caused tremor.", False, False),
        ("Treatment of drug-induced tremor.", False, False),
        ("Adverse effects were rare.", False, False),
        ("The gene is expressed in liver.", False, True),
    ],
)
def test_words_tell_of_treatment_and_harm(text: str, is_treatment: bool, is_harmless: bool) -> None:
    assert (speaks_of_treatment_alone(text), tells_no_harm(text)) == (is_treatment, is_harmless)


def test_shares_are_of_abstracts_not_of_relations() -> None:
    records = [
        {"scores": [0.45, 0.2], "relations": [["a", "b"], ["a", "c"]]},
        {"scores": [0.15], "relations": [["d", "e"]]},
        {"scores": [], "relations": []},
        {"scores": [], "relations": []},
    ]
    made = shares(records)
    expected = {"threshold": 0.5, "0.10": 0.5, "0.20": 0.25, "0.30": 0.25, "0.40": 0.25, "0.50": 0.0}
    assert made["share_with_a_relation"] == expected
    assert made["likeliest"][0] == {"score": 0.45, "names": ["a", "b"]}
