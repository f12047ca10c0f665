"""Scores against seqeval (mentions) and scikit-learn (labels, answers), on real test sets with disturbed answers."""

import random

import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as label_f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from biogpt.tasks.example import Item, Prediction
from biogpt.tasks.task import load_task

pytestmark = pytest.mark.data

FOLDERS = {"ncbi_disease": "NCBI-disease", "jnlpba": "JNLPBA", "bc2gm": "BC2GM"}


def disturb(tags: list[str], known: list[str], dice: random.Random) -> list[str]:
    """Other tags in one place of ten, so that spans break, shift, merge, change their label and break the scheme."""
    return [dice.choice(known) if dice.random() < 0.1 else tag for tag in tags]


@pytest.mark.parametrize("name", FOLDERS)
def test_mentions_are_scored_as_seqeval_does(data_path, name):
    task = load_task(name)
    examples = task.read(data_path / "ner" / FOLDERS[name])[:500]
    dice = random.Random(7)
    known = ["O", *(f"{mark}-{label}" for label in task.schema.slots["label"].choices for mark in "BI")]
    gold = [task.target(example).split() for example in examples]
    predicted = [disturb(tags, known, dice) for tags in gold]
    predicted[0] = ["O"] * len(gold[0])
    predictions = [task.parse(" ".join(tags), example) for tags, example in zip(predicted, examples, strict=True)]
    scores = task.score(predictions, examples)
    assert scores["precision"] == pytest.approx(precision_score(gold, predicted), abs=1e-12)
    assert scores["recall"] == pytest.approx(recall_score(gold, predicted), abs=1e-12)
    assert scores["f1"] == pytest.approx(f1_score(gold, predicted), abs=1e-12)
    assert scores["macro_f1"] == pytest.approx(f1_score(gold, predicted, average="macro"), abs=1e-12)
    report = classification_report(gold, predicted, output_dict=True)
    for label, numbers in task.counts(predictions, examples).classes.items():
        assert numbers["f1"] == pytest.approx(report[label]["f1-score"], abs=1e-12)
        assert numbers["support"] == report[label]["support"]


def test_labels_are_scored_as_scikit_learn_does(data_path):
    task = load_task("hoc")
    examples = task.read(data_path / "benchmarks" / "HoC")
    labels = task.schema.slots["label"].choices
    dice = random.Random(7)
    gold = [[item.slots["label"] for item in example.items] for example in examples]
    predicted = [
        dice.sample(labels, dice.randint(0, 3)) if dice.random() < 0.3 else list(names) for names in gold
    ]  # 0: a completion that could not be read
    predictions = [
        Prediction(example.id, tuple(Item({"label": name}) for name in names))
        for example, names in zip(examples, predicted, strict=True)
    ]
    hot = MultiLabelBinarizer(classes=labels)
    truth, guess = hot.fit_transform(gold), hot.transform(predicted)
    scores = task.score(predictions, examples)
    assert scores["f1"] == pytest.approx(label_f1_score(truth, guess, average="micro"), abs=1e-12)
    assert scores["macro_f1"] == pytest.approx(label_f1_score(truth, guess, average="macro"), abs=1e-12)
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, guess), abs=1e-12)


def test_answers_are_scored_as_scikit_learn_does(data_path):
    task = load_task("pubmedqa")
    examples = task.read(data_path / "benchmarks" / "PubMedQA")
    dice = random.Random(7)
    gold = [example.items[0].slots["answer"] for example in examples]
    predicted = [dice.choice(["yes", "no", "maybe"]) if dice.random() < 0.4 else answer for answer in gold]
    predictions = [
        task.parse(f"the answer to the question given the context is {answer}.", example)
        for answer, example in zip(predicted, examples, strict=True)
    ]
    scores = task.score(predictions, examples)
    assert scores["accuracy"] == pytest.approx(accuracy_score(gold, predicted), abs=1e-12)
    assert scores["macro_f1"] == pytest.approx(label_f1_score(gold, predicted, average="macro"), abs=1e-12)
    failed = [task.parse("failed", example) for example in examples[:10]] + predictions[10:]
    assert task.score(failed, examples)["accuracy"] == pytest.approx(
        accuracy_score(gold, ["failed"] * 10 + predicted[10:]), abs=1e-12
    )
