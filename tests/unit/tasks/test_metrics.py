import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.metrics import abbreviation_of, body_of, count_matches, normalise
from biogpt.tasks.task import load_task


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("mao2", "maoII"),
        ("mao-b", "maob"),
        ("cyp3a42", "cyp3a42"),  # the last digit does not stand alone
        ("h2", "h2"),  # too short for a type number
        ("x-0", "x0"),
        ("l-typecalciumchannel", "lcalciumchannel"),
        ("β-blocker", "blocker"),
        ("", ""),
    ],
)
def test_names_are_normalised(name, normalised):
    assert normalise(name) == normalised


@pytest.mark.parametrize(
    ("name", "body", "abbreviation"),
    [
        ("monoamineoxidase(mao2)", "monoamineoxidase", "maoII"),
        ("a(b)c", "abc", "abc"),
        ("a(b)(c)", "ab", "c"),
        ("plain", "plain", "plain"),
        ("(x)", "", "x"),
    ],
)
def test_a_trailing_abbreviation_is_taken_off_or_taken_alone(name, body, abbreviation):
    assert body_of(name) == body
    assert abbreviation_of(name) == abbreviation


def triples(id: str, *names: tuple[str, str, str]) -> Prediction:
    return Prediction(
        id, tuple(Item(dict(zip(("drug", "target", "interaction"), name, strict=True))) for name in names)
    )


def hard_match(predictions, golds):
    examples = [Example(gold.id, "", gold.items) for gold in golds]
    return load_task("kd_dti", empty_documents="keep").score(predictions, examples)


def test_hard_match_takes_the_better_of_body_and_abbreviation():
    gold = triples("1", ("Psoralen", "Monoamine oxidase B (MAO-B)", "inhibitor"))
    assert hard_match([triples("1", ("psoralen", "mao-b", "Inhibitor"))], [gold])["f1"] == 1
    assert hard_match([triples("1", ("psoralen", "monoamine  oxidase b", "inhibitor"))], [gold])["f1"] == 1
    assert hard_match([triples("1", ("psoralen", "monoamine oxidase", "inhibitor"))], [gold])["f1"] == 0


def test_hard_match_is_the_mean_over_documents():
    golds = [triples("1", ("a", "b", "x"), ("a", "c", "x")), triples("2", ("d", "e", "y")), triples("3")]
    predictions = [triples("1", ("a", "b", "x")), triples("2", ("d", "f", "y"), ("d", "e", "y"))]  # none for 3: right
    scores = hard_match([*predictions, triples("9", ("q", "q", "q"))], golds)
    f1s = [2 / 3, 2 / 3, 1]
    assert math.isclose(scores["f1"], sum(f1s) / 3)
    assert math.isclose(scores["precision"], (1 + 1 / 2 + 1) / 3)
    assert math.isclose(scores["recall"], (1 / 2 + 1 + 1) / 3)
    assert math.isclose(scores["f1_of_means"], 5 / 6)
    assert math.isclose(scores["target_accuracy"], (1 / 2 + 1 / 2 + 1) / 3)
    assert math.isclose(scores["drug_accuracy"], 1)
    assert math.isclose(scores["collection_f1"], 2 / 3)
    assert math.isclose(scores["collection_target_f1"], 2 / 3)


def test_hard_match_of_nothing_predicted():
    scores = hard_match([], [triples("1", ("a", "b", "x")), triples("2")])
    assert scores["precision"] == scores["recall"] == scores["f1"] == 0.5


LABELS = st.sets(st.sampled_from("abc"))


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1))
def test_counts_are_what_counting_by_hand_gives(pairs):
    figures = count_matches(pairs, str, "abc").figures()
    hits = sum(len(predicted & gold) for predicted, gold in pairs)
    num_predicted = sum(len(predicted) for predicted, _ in pairs)
    num_gold = sum(len(gold) for _, gold in pairs)
    assert math.isclose(figures["precision"], hits / num_predicted if num_predicted else 0)
    assert math.isclose(figures["recall"], hits / num_gold if num_gold else 0)
    assert math.isclose(figures["accuracy"], sum(predicted == gold for predicted, gold in pairs) / len(pairs))
    assert all(0 <= figure <= 1 for figure in figures.values())


def test_classes_are_told_with_their_support():
    counts = count_matches([({"a"}, {"a", "b"}), ({"c"}, {"a"})], str, "abc")
    assert counts.classes["a"] == {"precision": 1, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert counts.classes["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert math.isclose(counts.figures()["macro_f1"], (2 / 3) / 3)


def test_exact_relations_ignore_case_and_blanks_and_count_strangers_as_wrong(tmp_path):
    schema = """
kind = "relation"
title = "t"
source = "{text}"
sentence = "{drug} acts on {gene}"
slots = { drug = {}, gene = {} }
dataset = { reader = "table", columns = { id = "id", text = "text", drug = "drug", gene = "gene" } }
score = { metric = "exact" }
"""
    path = tmp_path / "t.toml"
    path.write_text(schema, encoding="utf-8")
    task = load_task(path)
    examples = [Example("1", "", (Item({"drug": "A b", "gene": "c"}), Item({"drug": "d", "gene": "e"})))]
    predictions = [
        Prediction("1", (Item({"drug": "ab", "gene": "C"}),)),
        Prediction("2", (Item({"drug": "ab", "gene": "C"}),)),
    ]
    scores = task.score(predictions, examples)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)
