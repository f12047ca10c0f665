import subprocess
import sys

import pytest

import biogpt
from biogpt.errors import DataError, InputError
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.task import load_task, task_names, truncate_source

TASKS = [
    "bc2gm", "bc5cdr", "bc5cdr_chem", "bc5cdr_disease", "ddi", "entities", "hoc", "jnlpba", "kd_dti", "ncbi_disease",
    "pubmedqa", "textgen",
]  # fmt: skip


def test_these_tasks_are_shipped():
    assert task_names() == TASKS
    assert biogpt.load_task("hoc").name == "hoc"


def test_loading_tasks_imports_nothing_heavy():
    program = """
import sys
import biogpt
from biogpt.tasks.listing import describe_task, list_tasks
list_tasks(), describe_task("bc5cdr")
heavy = {"torch", "transformers", "numpy", "matplotlib"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("num_tokens", "limit", "kept"),
    [(3, 3, [0, 1, 2]), (4, 3, [0, 1, "..."]), (9, 1, ["..."]), (0, 5, [])],
)
def test_a_source_that_is_too_long_ends_in_an_ellipsis(num_tokens, limit, kept):
    assert truncate_source(range(num_tokens), limit, "...") == kept


def test_an_impossible_limit_is_refused():
    with pytest.raises(InputError, match="cut to 0 tokens"):
        truncate_source([1], 0, 2)


def relation(chemical: str, disease: str) -> Item:
    return Item({"chemical": chemical, "disease": disease}, ids={"chemical": chemical, "disease": disease})


EXAMPLES = [Example(id, "", (relation("C1", "D1"), relation("C2", "D2"))) for id in ("a", "b", "c", "d")]


def test_missing_repeated_unknown_and_failed_predictions_are_counted():
    predictions = [
        Prediction("a", (relation("C1", "D1"), relation("C1", "D1"))),  # one of two, said twice
        Prediction("b", (), ("cannot read 'x'",)),
        Prediction("c", (relation("C1", "D1"),), ("ignored 'x'",)),
        Prediction("c", (relation("C2", "D2"), relation("-1", "D1"))),  # the same document once more: both count
        Prediction("z", (relation("C1", "D1"),)),
    ]
    scores = load_task("bc5cdr").score(predictions, EXAMPLES)
    assert scores["num_examples"] == 4
    assert scores["num_missing"] == 1
    assert scores["num_duplicate"] == 1
    assert scores["num_unknown"] == 1
    assert scores["num_failed"] == 1
    assert scores["num_with_problems"] == 2
    assert scores["failure_rate"] == 1 / 4
    assert scores["precision"] == 3 / 5  # a: 1 of 1; c: 2 of 3; z: 0 of 1
    assert scores["recall"] == 3 / 8


def test_no_predictions_score_nothing():
    scores = load_task("bc5cdr").score([], EXAMPLES)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0, 0, 0)
    assert scores["num_missing"] == 4


def test_the_gold_scores_everything():
    scores = load_task("bc5cdr").score([Prediction(example.id, example.items) for example in EXAMPLES], EXAMPLES)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (1, 1, 1)


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="got no examples"):
        load_task("bc5cdr").score([], [])
