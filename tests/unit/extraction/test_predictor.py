from dataclasses import replace

import pytest
import torch
from tuned_models import DOCUMENTS, examples_of

from biogpt import BioGptForTokenClassification, load_task
from biogpt.errors import CheckpointError, InputError
from biogpt.extraction.predictor import Predictor, _is_within
from biogpt.extraction.task_models import find_task_model
from biogpt.model.checkpoint import load_tokenizer
from biogpt.model.loading import load_model
from biogpt.tasks.example import Example, Item
from biogpt.tasks.mentions import find_mentions

TASKS = ("bc5cdr", "pubmedqa", "hoc", "bc5cdr_chem")


def found_in(predictions) -> list[list[dict[str, str]]]:
    return [[dict(item.slots) for item in prediction.items] for prediction in predictions]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("constrained", [True, False])
def test_what_was_learned_by_heart_is_predicted_with_scores(tuned_model_paths, name, constrained):
    predictor = Predictor.load(tuned_model_paths[name])
    examples = examples_of(predictor.task)
    predictions = list(predictor.predict(examples, constrained))
    assert [prediction.id for prediction in predictions] == [example.id for example in examples]
    assert found_in(predictions) == found_in(examples)
    for prediction in predictions:
        assert not prediction.problems
        assert all(0 < item.score <= 1 for item in prediction.items)


@pytest.mark.parametrize("name", TASKS)
def test_groups_and_neighbours_change_nothing(tuned_model_paths, name):
    alone = Predictor.load(tuned_model_paths[name], batch_size=1)
    together = Predictor.load(tuned_model_paths[name], batch_size=3)
    examples = [replace(example, id=f"{turn}-{example.id}") for turn in range(4) for example in examples_of(alone.task)]
    for one, other in zip(alone.predict(examples), together.predict(examples), strict=True):
        assert replace(one, items=()) == replace(other, items=())
        assert [(item.slots, item.spans) for item in one.items] == [(item.slots, item.spans) for item in other.items]
        scores = [[item.score for item in prediction.items] for prediction in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_with_a_least_score_all_likely_relations_are_given(tuned_model_paths):
    loaded = Predictor.load(tuned_model_paths["bc5cdr"])
    task = loaded.task.with_inference(threshold=1e-4)
    predictor = Predictor(task, loaded.model, loaded.tokenizer)
    examples = examples_of(task)
    predictions = list(predictor.predict(examples))
    for prediction, example in zip(predictions, examples, strict=True):
        scores = [item.score for item in prediction.items]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) <= 1 + 1e-5
        assert not prediction.problems
        assert [item.slots for item in task.parse(prediction.text, example).items] == [
            item.slots for item in prediction.items
        ]
        # What the model learned to say first is the most probable.
        if example.items:
            assert prediction.items[0].slots == example.items[0].slots
    assert sum(len(prediction.items) for prediction in predictions) > sum(len(example.items) for example in examples)
    likely = Predictor(task.with_inference(threshold=0.5), loaded.model, loaded.tokenizer)
    assert [len(prediction.items) for prediction in likely.predict(examples)] == [1, 1, 1, 0]
    assert found_in(likely.predict(examples, constrained=False)) == found_in(examples)  # one list, as published


def test_a_relation_within_another_one_is_none():
    text = "Lithium carbonate gave tremor and renal failure. Failure was rare."
    whole, shorter, free, other = (
        Item(
            {"chemical": chemical, "disease": disease},
            {"chemical": find_mentions(chemical, text), "disease": find_mentions(disease, text)},
        )
        for chemical, disease in (
            ("lithium carbonate", "renal failure"),
            ("lithium", "renal failure"),
            ("lithium", "failure"),
            ("lithium", "tremor"),
        )
    )
    entities = ["chemical", "disease"]
    assert _is_within(shorter, whole, entities)
    assert not _is_within(whole, shorter, entities)
    assert not _is_within(free, whole, entities)  # "failure" stands by itself, too
    assert not _is_within(other, whole, entities)


def test_examples_are_read_as_predictions_are_asked_for(tuned_model_paths):
    predictor = Predictor.load(tuned_model_paths["hoc"], batch_size=2)
    num_read = 0

    def read():
        nonlocal num_read
        for number in range(100):
            num_read += 1
            yield Example(str(number), "Cells died by apoptosis .")

    assert next(predictor.predict(read())).id == "0"
    assert num_read == predictor.window_size == 8


def test_a_sentence_longer_than_the_model_is_tagged_in_parts(tuned_model_paths):
    predictor = Predictor.load(tuned_model_paths["bc5cdr_chem"])
    one = examples_of(predictor.task)[1]
    many = Example("long", " ".join([one.text] * 60))
    (prediction,) = predictor.predict([many])
    assert len(predictor.tokenizer(many.text, verbose=False)["input_ids"]) > 2 * 256
    assert sum(item.slots["mention"] == "Aspirin" for item in prediction.items) > 20
    for item in prediction.items:
        ((start, end),) = item.spans["mention"]
        assert many.text[start:end] == item.slots["mention"]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("text", ["", " ", "\u200b", "?" * 3000])
def test_no_text_is_too_odd(tuned_model_paths, name, text):
    predictor = Predictor.load(tuned_model_paths[name])
    (prediction,) = predictor.predict([Example("odd", text)])
    assert prediction.id == "odd"


def test_an_unread_answer_is_a_problem_and_no_item(tuned_model_paths):
    """A model that was tuned for another sentence: nothing is found, and that is said; constrained, it can be read."""
    path = tuned_model_paths["pubmedqa"]
    model = load_model(path)
    predictor = Predictor(load_task("bc5cdr"), model, load_tokenizer(path, model.config.vocab_size))
    (prediction,) = predictor.predict([Example("1", "Does aspirin help?")], constrained=False)
    assert prediction.items == ()
    assert prediction.problems
    assert prediction.text
    texts = ["Does aspirin help?", *DOCUMENTS, "\u200b", "?"]
    for held in predictor.predict([Example(str(number), text) for number, text in enumerate(texts)]):
        assert not held.problems
        assert all(item.spans["chemical"] and item.spans["disease"] for item in held.items)


def test_several_labels_hold_from_one_half_on_and_empty_only_alone(tuned_model_paths):
    predictor = Predictor.load(tuned_model_paths["hoc"])
    names = predictor.model.config.id2label
    empty = next(index for index, name in names.items() if name == "empty")
    nothing = [0.1] * len(names)
    both = [0.9] * len(names)
    assert [item.slots["label"] for item in predictor._choose_labels(nothing, True)] == ["empty"]
    assert [item.slots["label"] for item in predictor._choose_labels(both, True)] == [
        name for index, name in names.items() if index != empty
    ]
    assert len(predictor._choose_labels(both, False)) == 1


@pytest.mark.parametrize(
    ("model", "task", "message"),
    [
        ("bc5cdr", "ddi", "tuned for the task 'bc5cdr', not for 'ddi'"),
        ("mini", None, "does not say its task"),
        ("mini", "bc5cdr", "tuned neither for the task 'bc5cdr' nor"),
        (None, "kd_dti", "No model for the task 'kd_dti' is bundled"),
        (None, None, "neither a model nor a task"),
        ("bc5cdr", "bc5cdrr", "Unknown task 'bc5cdrr'"),
    ],
)
def test_a_model_without_that_task_is_refused_in_one_line(tuned_model_paths, model, task, message):
    with pytest.raises(InputError, match=message) as caught:
        Predictor.load(tuned_model_paths.get(model, model), task)
    assert "\n" not in str(caught.value)


def test_a_task_with_other_labels_is_another_task(tuned_model_paths, tmp_path):
    text = (tuned_model_paths["hoc"] / "task.toml").read_text(encoding="utf-8")
    (tmp_path / "hoc.toml").write_text(text.replace('"inducing angiogenesis"', '"growing vessels"'), encoding="utf-8")
    with pytest.raises(InputError, match="another version of the task 'hoc'"):
        Predictor.load(tuned_model_paths["hoc"], tmp_path / "hoc.toml")
    same = Predictor.load(tuned_model_paths["hoc"], load_task("hoc"))
    assert same.task.name == "hoc"


def test_a_head_with_other_labels_is_refused(tuned_model_paths):
    path = tuned_model_paths["bc5cdr_chem"]
    model = load_model(path)
    tokenizer = load_tokenizer(path, model.config.vocab_size)
    for task in ("bc5cdr_disease", "hoc", "bc5cdr"):
        with pytest.raises(CheckpointError, match="do not fit the task"):
            Predictor(load_task(task), model, tokenizer)
    with pytest.raises(InputError, match="batch_size 0"):
        Predictor(load_task("bc5cdr_chem"), model, tokenizer, batch_size=0)


def test_damaged_weights_are_said(tuned_model_paths):
    predictor = Predictor.load(tuned_model_paths["bc5cdr_chem"])
    assert isinstance(predictor.model, BioGptForTokenClassification)
    with torch.no_grad():
        predictor.model.classifier.weight.fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not numbers"):
        next(predictor.predict(examples_of(predictor.task)))


def test_a_model_says_how_good_it_is(tuned_model_paths):
    found = find_task_model(tuned_model_paths["bc5cdr"])
    assert (found.label, found.quality()) == ("bc5cdr", "f1 50.0 on dev")
    assert replace(found, record={"scores": {"f1": 0.5}, "test_scores": {"f1": 0.412}}).quality() == "f1 41.2 on test"
    for record in ({}, {"scores": None}, {"scores": {"f1": "?"}}, {"scores": {"accuracy": 1.0}}):
        assert replace(found, record=record).quality() == ""
