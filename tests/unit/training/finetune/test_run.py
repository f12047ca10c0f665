"""What a run reads, refuses and warns of before it trains, and what short runs leave; the rest are real processes."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from small_models import make_small_model

from biogpt import BioGptForSequenceClassification, BioGptTokenizer
from biogpt.errors import BioGptError, ConfigError, DataError, InputError, TrainingError
from biogpt.model.loading import load_causal_lm, load_model
from biogpt.tasks.encoding import add_learned_tokens, learned_ids
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.readers import read_without
from biogpt.tasks.recipe_files import find_recipe
from biogpt.tasks.task import load_task
from biogpt.tasks.task_directory import read_task_directory
from biogpt.training import trainer as trainer_module
from biogpt.training.finetune import prepare as prepare_module
from biogpt.training.finetune import scoring
from biogpt.training.finetune.data import encode_examples, read_splits
from biogpt.training.finetune.model import base_name
from biogpt.training.finetune.recipe import make_recipe
from biogpt.training.finetune.run import run_recipe
from biogpt.training.run_directory import plain_failures

SENTENCES = """\
Ibuprofen\tO\nrelieves\tO\nheadache\tB-Disease\n.\tO\n
Breast\tB-Disease\ncancer\tI-Disease\nis\tO\ncommon\tO\n.\tO\n
No\tO\ndisease\tO\nwas\tO\nseen\tO\n.\tO\n
Colorectal\tB-Disease\nadenoma\tI-Disease\nand\tO\nfever\tB-Disease\n.\tO\n
"""

QUICK = {
    "epochs": 2,
    "tokens_per_step": 64,
    "learning_rate": 1e-2,
    "warmup_steps": 1,
    "precision": "fp32",
    "result": "last",
}

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT calls transformers


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tmp_path_factory.mktemp("small"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    for name in ("train.tsv", "test.tsv"):
        (path / name).write_text(SENTENCES)
    (path / "devel.tsv").write_text("Pain\tB-Disease\nis\tO\nrare\tO\n.\tO\n")
    return path


def recipe_of(model: Path, data: Path, task: str = "ncbi_disease", **more: Any) -> Any:
    settings = {**QUICK, **more.pop("settings", {})}
    return make_recipe(task, data, data.parent / "run", str(model), settings=settings, **more)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "Unknown setting 'finetune.epoch'"),
        ({"prompt_length": -1}, "Got finetune.prompt_length = -1"),
        ({"head": "regression"}, "Got finetune.head = 'regression', expected 'generation' or 'classification'"),
        ({"peft": "lora", "lora_targets": ["attention"]}, "expected names of linear layers"),
    ],
)
def test_impossible_settings_are_refused(model: Path, data: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        run_recipe(recipe_of(model, data, settings=settings))
    assert "\n" not in str(caught.value)


def test_a_recipe_file_goes_before_the_schema_and_flags_before_both(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text("prompt_length = 4\n[finetune]\nepochs = 3\nlearning_rate = 2e-4\n")
    recipe = make_recipe("bc5cdr", tmp_path, tmp_path, settings={"epochs": 5}, recipe_path=tmp_path / "r.toml")
    training = recipe.training
    small = find_recipe("bc5cdr", 320).training
    assert (training.epochs, training.learning_rate, training.schedule) == (5, 2e-4, small.schedule)
    assert recipe.as_dict()["recipe_file"] == "bc5cdr-small.toml"
    assert training.prompt_length == 4
    (tmp_path / "r.toml").write_text("epochs =")
    with pytest.raises(ConfigError, match="is not a TOML file"):
        make_recipe("bc5cdr", tmp_path, tmp_path, recipe_path=tmp_path / "r.toml")


def test_data_that_cannot_be_learned_from_is_refused(model: Path, data: Path) -> None:
    for change, message in (
        (lambda: (data / "train.tsv").write_text(""), "has no examples"),
        (lambda: (data / "train.tsv").write_text("word\tB-Gene\n"), "unknown label 'Gene'|B-Gene"),
        ((data / "train.tsv").unlink, "has no file 'train.tsv'"),
    ):
        change()
        with pytest.raises(DataError, match=message):
            run_recipe(recipe_of(model, data))
    assert not (data.parent / "run").exists()
    with pytest.raises(BioGptError, match="no split 'train'"):
        run_recipe(recipe_of(model, data, "textgen"))


def test_examples_are_held_out_where_there_is_no_dev_split(model: Path, data: Path) -> None:
    assert len(read_splits(recipe_of(model, data)).dev) == 1
    assert read_splits(recipe_of(model, data)).dev[0].text.startswith("Pain")
    one_file = read_splits(recipe_of(model, data / "train.tsv"))
    assert (len(one_file.train), len(one_file.dev)) == (3, 1)
    from_dev = read_splits(recipe_of(model, data, train_split="test", dev_fraction=0.5, seed=3))
    assert (len(from_dev.train), len(from_dev.dev)) == (2, 2)
    assert not {example.text for example in from_dev.train} & {example.text for example in from_dev.dev}
    nothing = read_splits(recipe_of(model, data / "train.tsv", dev_fraction=0.0))
    assert (len(nothing.train), len(nothing.dev)) == (4, 0)
    with pytest.raises(ConfigError, match="expected more than the 1 to hold out"):
        read_splits(recipe_of(model, data / "devel.tsv"))
    with pytest.raises(ConfigError, match="without anything to measure on"):
        run_recipe(recipe_of(model, data / "train.tsv", dev_fraction=0.0, settings={"result": "best"}))


def test_sentences_of_one_document_are_held_out_together(model: Path, data: Path) -> None:
    documents = [
        f"{number}|t|Pain after aspirin in case {number}.\n{number}|a|More pain {number}. Less pain {number}.\n"
        f"{number}\t0\t4\tPain\tDisease\tD1\n"
        for number in range(6)
    ]
    path = data / "six.pubtator"
    path.write_text("\n".join(documents))
    splits = read_splits(recipe_of(model, path, "ncbi_disease", dev_fraction=0.3))
    train, dev = ({example.document for example in part} for part in (splits.train, splits.dev))
    assert (len(train), len(dev), train & dev) == (4, 2, set())
    assert (len(splits.train), len(splits.dev)) == (12, 6)
    path.write_text(documents[0])
    one = read_splits(recipe_of(model, path, "ncbi_disease", dev_fraction=0.3))
    assert (len(one.train), len(one.dev)) == (2, 1), "of one document its sentences"


def test_choosing_on_test_is_said(model: Path, data: Path) -> None:
    shutil.copy(data / "test.tsv", data / "devel.tsv")
    (data / "train.tsv").write_text("A\tO\nfever\tB-Disease\nrose\tO\n")
    with pytest.warns(UserWarning, match="is its test split, byte for byte"):
        run_recipe(recipe_of(model, data, settings={"result": "best"}))


def test_texts_of_train_in_dev_are_said(model: Path, data: Path) -> None:
    (data / "devel.tsv").write_text(SENTENCES.split("\n\n", maxsplit=1)[0] + "\n")
    with pytest.warns(UserWarning, match="1 of the 1 texts of dev stand in train"):
        run_recipe(recipe_of(model, data))


def test_a_warm_up_as_long_as_the_run_is_said(model: Path, data: Path) -> None:
    with pytest.warns(UserWarning, match="never reaches its peak"):
        run_recipe(recipe_of(model, data, settings={"warmup_steps": 100}))


def test_targets_that_do_not_fit_are_said(model: Path, tmp_path: Path) -> None:
    pairs = [{"drug": f"drug {number}", "target": "enzyme", "interaction": "int"} for number in range(60)]
    documents = {"1": {"abstract": "Sixty drugs.", "triples": pairs}, "2": {"abstract": "One.", "triples": pairs[:1]}}
    (tmp_path / "d.json").write_text(json.dumps(documents))
    settings = {"epochs": 1, "shuffle_relations": False}
    with pytest.warns(UserWarning, match="1 of the 2 targets are longer than the model's 256 positions"):
        run_recipe(recipe_of(model, tmp_path / "d.json", "ddi", dev_fraction=0.0, settings=settings))


def test_a_head_reads_words_where_it_learned_them(model: Path, data: Path) -> None:
    """A few memorised sentences come back, with context on both sides."""
    from biogpt.extraction.predictor import Predictor

    settings = {"epochs": 25, "tagging_context": "twice", "dropout": 0.0}
    report = run_recipe(recipe_of(model, data, settings=settings))
    assert report["scores"]["num_examples"] == report["dev_examples"] == 1
    predictor = Predictor.load(data.parent / "run")
    examples = predictor.task.read(data, "train")
    assert predictor.task.inference.tagging_context == "twice"
    assert predictor.task.score(predictor.predict(examples), examples)["f1"] == 1.0


@pytest.mark.parametrize(
    ("task", "lines", "name"),
    [
        ("ncbi_disease", SENTENCES, "BioGptForTokenClassification"),
        ("hoc", "Cells died .\tresisting cell death\nA fine day .\tempty\n" * 2, "BioGptForSequenceClassification"),
    ],
)
def test_plain_transformers_loads_a_head(model: Path, tmp_path: Path, task: str, lines: str, name: str) -> None:
    import transformers

    (tmp_path / "lines.tsv").write_text(lines)
    settings = {"head": "classification"}
    run_recipe(recipe_of(model, tmp_path / "lines.tsv", task, dev_fraction=0.0, settings=settings))
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "run").eval()
    ours = load_model(tmp_path / "run")
    ids = torch.tensor([[2, 100, 4000, 7], [2, 50, 1, 1]])
    mask = (ids != 1).long()
    shown, expected = (one(ids, attention_mask=mask).logits for one in (ours, theirs))
    if task == "ncbi_disease":  # padding has no position here and some there, and no one asks for its label
        shown, expected = shown[mask.bool()], expected[mask.bool()]
    torch.testing.assert_close(shown, expected, rtol=1e-4, atol=1e-4)
    assert theirs.config.id2label == ours.config.id2label
    assert theirs.config.problem_type == ("multi_label_classification" if task == "hoc" else None)


def test_the_best_epoch_is_left_and_the_run_stops(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "devel.tsv").write_text("Pain\tB-Disease\nis\tO\nrare\tO\n.\tO\n\n" * 9)
    nums_right = iter([2, 6, 5, 1, 9])
    shown: list[torch.Tensor] = []

    def predict(task: Any, asked: Any, tokenizer: Any, examples: Sequence[Example], constrained: bool) -> Any:
        assert not constrained
        shown.append(asked.classifier.weight.detach().clone())
        return [Prediction(example.id, example.items) for example in examples[: next(nums_right)]]

    monkeypatch.setattr(scoring, "predict", predict)
    report = run_recipe(recipe_of(model, data, settings={"epochs": 9, "result": "best", "patience": 2}))
    assert (report["epochs"], report["stopped_early"]) == (4, True)
    assert report["weights"] == "best on dev, of epoch 2"
    assert report["scores"]["f1"] == 1.0  # scored once more in the end, with the weights that are left
    assert torch.equal(load_model(data.parent / "run").classifier.weight, shown[1])  # type: ignore[union-attr]
    assert run_recipe(recipe_of(model, data, settings={"epochs": 9, "result": "best", "patience": 2})) == report


def test_shuffled_relations_set_the_least_probability_where_dev_is_scored_best(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = {
        f"d{number}": {
            "title": "",
            "abstract": f"Aspirin{number} raises the effect of warfarin.",
            "triples": [{"drug": f"aspirin{number}", "target": "warfarin", "interaction": "effect"}],
        }
        for number in range(4)
    }
    (tmp_path / "d.json").write_text(json.dumps(documents))
    asked: list[tuple[float, bool]] = []

    def predict(task: Any, asked_model: Any, tokenizer: Any, examples: Sequence[Example], constrained: bool) -> Any:
        asked.append((task.inference.threshold, constrained))
        (right,) = examples[0].items
        wrong = replace(right, slots={**right.slots, "target": "fever"})
        return [Prediction(examples[0].id, (replace(right, score=0.3), replace(wrong, score=0.12)))]

    settings = {"shuffle_relations": True, "entity_replacement": 0.5, "epochs": 1}
    monkeypatch.setattr(scoring, "predict", predict)
    report = run_recipe(recipe_of(model, tmp_path / "d.json", "ddi", dev_fraction=0.25, settings=settings))
    assert asked == [(scoring.RELATION_THRESHOLDS[0], True), (0.14, False)]
    assert read_task_directory(tmp_path / "run").inference.threshold == 0.14
    assert report["constrained_scores"]["f1"] == 1.0
    assert 0 < report["scores"]["f1"] < 1


def test_what_only_scoring_would_find_is_said_before_training(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = """\
kind = "relation"
title = "Own"
source = "{text}"
sentence = "{a} hits {b}"
separator = "SEPARATOR"
none = "nothing"
slots.a = {}
slots.b = {}
dataset.reader = "table"
dataset.columns = { id = "id", text = "text", a = "a", b = "b" }
score = { metric = "exact", main = "MAIN" }
"""
    (tmp_path / "d.csv").write_text("id,text,a,b\n" + "".join(f"{n},zinc hits iron,zinc,iron\n" for n in range(4)))

    def run(separator: str, main: str, **more: Any) -> None:
        (tmp_path / "own.toml").write_text(schema.replace("SEPARATOR", separator).replace("MAIN", main))
        settings = {"shuffle_relations": True, "epochs": 1, "warmup_steps": 0}
        run_recipe(recipe_of(model, tmp_path / "d.csv", str(tmp_path / "own.toml"), settings=settings, **more))

    def never(*_: Any) -> Any:
        pytest.fail("nothing is to be predicted")

    monkeypatch.setattr(scoring, "predict", never)
    with pytest.raises(ConfigError, match="has the main figure 'f2'"):
        run("; ", "f2")
    with pytest.raises(ConfigError, match="Cannot hold a text to"):
        run("", "f1")
    assert not (tmp_path / "run").exists()
    with pytest.warns(UserWarning, match="nothing sets the probability threshold"):
        run("; ", "f1", dev_fraction=0.0)


def test_a_stopped_run_whose_model_was_not_saved_is_saved(model: Path, data: Path) -> None:
    first = run_recipe(recipe_of(model, data))
    weights = (data.parent / "run" / "model.safetensors").read_bytes()
    for name in ("finetune.json", "config.json", "model.safetensors"):
        (data.parent / "run" / name).unlink()
    assert run_recipe(recipe_of(model, data))["steps"] == first["steps"]
    assert (data.parent / "run" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("kind", ["writes", "labels"])
def test_an_adapter_loads_in_peft_and_here_alike(model: Path, data: Path, tmp_path: Path, kind: str) -> None:
    settings = {"peft": "lora", "lora_rank": 4, "dropout": 0.0}
    questions = {
        str(number): {"QUESTION": f"Is {number} odd?", "CONTEXTS": ["It was counted."], "final_decision": "yes"}
        for number in range(6)
    }
    (tmp_path / "questions.json").write_text(json.dumps(questions))
    if kind == "writes":
        recipe = recipe_of(model, tmp_path / "questions.json", "pubmedqa", settings=settings)
    else:
        recipe = recipe_of(model, data, settings=settings)
    report = run_recipe(recipe)
    assert report["trained_parameters"] < report["parameters"] / 10
    path = recipe.output
    assert not (path / "model.safetensors").exists()
    merged = load_model(path)
    start = type(merged)(merged.config)
    start.load_state_dict(load_causal_lm(model).state_dict() if kind == "labels" else {}, strict=False)
    if kind == "writes":
        start = load_causal_lm(model)
        start.resize_token_embeddings(8201, mean_resizing=False)
    loaded = PeftModel.from_pretrained(start, str(path)).eval()
    ids = torch.tensor([[2, 100, 4000, 8200 if kind == "writes" else 5, 7]])
    torch.testing.assert_close(merged(ids).logits, loaded(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("peft", ["", "lora"])
def test_a_run_can_be_made_longer(model: Path, data: Path, peft: str) -> None:
    """It goes on from its checkpoint, to what it would have been in one piece."""
    settings = {"peft": peft, "result": "average", "num_averaged": 2, "schedule": "inverse_sqrt"}
    for epochs in (2, 4):
        run_recipe(recipe_of(model, data, settings={**settings, "epochs": epochs}))
    whole = make_recipe(
        "ncbi_disease", data, data.parent / "whole", str(model), settings={**QUICK, **settings, "epochs": 4}
    )
    assert run_recipe(whole)["epochs"] == 4
    first, second = (load_model(path).state_dict() for path in (data.parent / "run", whole.output))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_adapter_can_be_left_merged(model: Path, data: Path) -> None:
    run_recipe(recipe_of(model, data, settings={"peft": "lora", "merge": True}))
    assert not (data.parent / "run" / "adapter_config.json").exists()
    assert type(load_model(data.parent / "run")).__name__ == "BioGptForTokenClassification"


def test_an_adapter_names_its_base_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    assert base_name("mini") == "mini"
    assert base_name(model.name) == str(model.resolve())


def test_a_tuned_model_can_be_tuned_again(model: Path, data: Path) -> None:
    run_recipe(recipe_of(model, data))
    again = make_recipe("ncbi_disease", data, data.parent / "again", str(data.parent / "run"), settings=QUICK)
    assert run_recipe(again)["dev_loss"] < json.loads((data.parent / "run" / "finetune.json").read_text())["dev_loss"]


def test_a_full_disk_is_said_before_the_run(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(data)._replace(free=1000)
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ConfigError, match=r"0\.0 GB free, expected"):
        run_recipe(recipe_of(model, data))
    assert not (data.parent / "run").exists()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory.*take less"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (OSError(28, "No space left on device"), "make room"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "make room"),
    ],
)
def test_what_stopped_a_run_is_said_in_a_line(error: Exception, message: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught, plain_failures("take less."):
        raise error
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="something else"), plain_failures("take less."):
        raise RuntimeError("something else")


def test_nothing_of_the_soft_prompt_is_hidden_from_a_sequence_head(model: Path) -> None:
    task, tokenizer = load_task("hoc"), BioGptTokenizer.from_pretrained(model)
    add_learned_tokens(tokenizer, 5)
    label = task.schema.slots["label"].choices[0]
    examples = [Example("1", "Cells died by apoptosis .", (Item({"label": label}),))]
    encoded = encode_examples(task, tokenizer, BioGptForSequenceClassification, examples, 1.0)
    (example,) = encoded.examples
    learned = set(learned_ids(tokenizer))
    assert len(learned) == 5
    assert not learned & set(example.input_ids[: example.num_hideable])
    assert learned == set(example.input_ids[example.num_hideable :])


def test_a_run_goes_where_it_is_told(model: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Cannot use the device 'abacus'"):
        run_recipe(recipe_of(model, data, device="abacus"))
    assert run_recipe(recipe_of(model, data, device="cpu"))["device"] == "cpu"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(trainer_module, "choose_device", torch.device)
    with pytest.raises(InputError, match="for 2 processes, expected 'auto'"):
        trainer_module.common_arguments(0, "cuda:0")


def test_documents_without_relations_are_trained_on_and_measured_on(model: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    document = {"title": "Gout.", "abstract": "Aspirin gave gout.", "chemical2id": {"aspirin": "C"}}
    document |= {"disease2id": {"gout": "D"}, "relations": [{"chemical": "C", "disease": "D"}]}
    for split in ("train", "valid"):
        documents = {f"{split}{number}": document for number in range(3)}
        (data / f"{split}.json").write_text(json.dumps(documents))
        lines = [json.dumps({"id": f"n{number}", "title": "Nothing.", "abstract": "No harm."}) for number in range(4)]
        (data / f"{split}.without.jsonl").write_text("\n".join(lines))
    recipe = recipe_of(model, data, "bc5cdr", settings={"empty_fraction": 0.5})
    splits = read_splits(recipe)
    assert [len(examples) for examples in (splits.train, splits.dev)] == [6, 7]
    assert [bool(example.items) for example in splits.train] == [True] * 3 + [False] * 3
    assert recipe.task.target(splits.train[-1]) == "there is no relation."
    assert read_splits(recipe_of(model, data, "bc5cdr")).train == splits.train[:3]
    with pytest.raises(DataError, match="has 4 documents in which nothing is to be found, expected 7"):
        read_splits(recipe_of(model, data, "bc5cdr", settings={"empty_fraction": 0.7}))
    (data / "train.without.jsonl").unlink()
    with pytest.raises(DataError, match=r"There is no file .*train\.without\.jsonl"):
        read_splits(recipe)
    with pytest.raises(InputError, match="The task 'ddi' names no documents without relations"):
        read_without(load_task("ddi").schema, data, "train")


def test_a_long_epoch_has_checkpoints(model: Path, data: Path) -> None:
    settings = {"epochs": 1, "tokens_per_step": 8, "checkpoint_steps": 1}
    run_recipe(recipe_of(model, data, settings=settings))
    rows = (data.parent / "run" / "curve.csv").read_text().splitlines()[1:]
    assert len(rows) >= 3  # a row for each checkpoint, so that none reaches over one
    assert len(list((data.parent / "run" / "checkpoints").glob("checkpoint-*"))) == 2  # the last ones are kept
