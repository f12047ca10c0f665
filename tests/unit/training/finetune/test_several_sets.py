"""One head for several data sets, each of which annotates some of the labels: read, learned, and asked for a part."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import make_small_model

from biogpt import Extractor
from biogpt.errors import CheckpointError, InputError
from biogpt.evaluation.runs import evaluate
from biogpt.extraction import task_models
from biogpt.extraction.predictor import Predictor
from biogpt.extraction.task_models import default_task, find_task_model
from biogpt.model.checkpoint import load_tokenizer, resolve_model
from biogpt.model.loading import load_model
from biogpt.model.modeling import BioGptForTokenClassification
from biogpt.tasks.encoding import NOT_LABELLED, label_ids
from biogpt.tasks.task import SCHEMAS_PATH, load_task
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.finetune.batches import collate
from biogpt.training.finetune.data import encode_examples
from biogpt.training.finetune.recipe import make_recipe
from biogpt.training.finetune.run import run_recipe
from biogpt.training.finetune.trainer import KeptWeights
from biogpt.training.run_directory import find_checkpoint

ENTITIES = load_task("entities")
CHOICES = ENTITIES.schema.slots["label"].choices

SETS = {
    "NCBI-disease": "Gout B-Disease | is O | painful O | . O",
    "BC5CDR-disease": "Aspirin O | gave O | rash B-Disease | . O",
    "BC5CDR-chem": "Aspirin B-Chemical | gave O | rash O | . O",
    "BC2GM": "TP53 B-GENE | protein I-GENE | binds O | . O",
    "JNLPBA": "TP53 B-protein | gene O | in O | T B-CLTP | cells I-CLTP | . O",
}
DEV = "Nothing O | was O | seen O | . O"


def rows(sentence: str) -> str:
    return "\n".join("\t".join(word.split()) for word in sentence.split(" | ")) + "\n\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets")
    for name, sentence in SETS.items():
        part = next(part for part in ENTITIES.schema.dataset.parts.values() if part.directory == name)
        (path / name).mkdir()
        (path / name / part.files["train"]).write_text(rows(sentence) + rows(DEV))
        (path / name / part.files["dev"]).write_text(rows(DEV))
        (path / name / part.files["test"]).write_text(rows(sentence))
    return path


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has memorised the sentences, which is why they may stand in test and train alike."""
    for file in data.glob("*/test.tsv"):
        file.write_text(rows("Other O | words O"))
    output = tmp_path_factory.mktemp("runs") / "entities"
    model = make_small_model(tmp_path_factory.mktemp("small"))
    settings = {"epochs": 60, "tokens_per_step": 64, "learning_rate": 1e-2, "warmup_steps": 1, "dropout": 0.0}
    more = {"result": "last", "precision": "fp32", "token_dropout": 0.0, "checkpoint_every": 60, "evaluate_every": 60}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_recipe(make_recipe("entities", data, output, str(model), settings={**settings, **more}))
    for name, sentence in SETS.items():
        (data / name / "test.tsv").write_text(rows(sentence))
    return output


def test_the_same_sentence_in_two_sets_is_one_example(data: Path) -> None:
    test = {example.text: example for example in ENTITIES.read(data, "test")}
    both = test["Aspirin gave rash ."]
    assert set(both.labelled) == {"Disease", "Chemical"}
    assert [dict(item.slots) for item in both.items] == [
        {"mention": "Aspirin", "label": "Chemical"},
        {"mention": "rash", "label": "Disease"},
    ]
    assert test["Gout is painful ."].labelled == ("Disease",)
    assert test["TP53 gene in T cells ."].items[1].slots["label"] == "cell_type"  # the file has CLTP


def test_what_any_set_tests_on_is_not_trained_on(data: Path) -> None:
    """Cut into words in another way and in capitals it is the same sentence."""
    file = data / "BC2GM" / "train.tsv"
    content = file.read_text()
    file.write_text(content + rows("GOUT O | is O | painful. O") + rows("New O"))
    try:
        assert [example.text for example in ENTITIES.read(data, "train")] == ["New"]
    finally:
        file.write_text(content)


def test_what_nobody_looked_for_counts_nothing(data: Path) -> None:
    (example,) = (one for one in ENTITIES.read(data, "test") if one.text == "Gout is painful .")
    ids = label_ids(ENTITIES, example)
    assert ids[: len(CHOICES)] == [1] + [NOT_LABELLED] * 7
    assert ids[len(CHOICES) :: len(CHOICES)] == [0, 0, 0]
    batch = collate(encode_examples(ENTITIES, _tokenizer(), BioGptForTokenClassification, [example], 0.0).examples)
    assert batch["targets"].shape == batch["weights"].shape == (1, batch["input_ids"].shape[1], len(CHOICES))
    assert batch["weights"].sum(dim=(0, 1)).tolist() == [4.0] + [0.0] * 7
    chemical = ENTITIES.parse("B-Disease|B-Chemical O O O", example)
    assert ENTITIES.score([chemical], [example])["precision"] == 1.0


def _tokenizer() -> BioGptTokenizer:
    return load_tokenizer(resolve_model("mini"), 8192)


@pytest.mark.parametrize(
    ("task", "directory"),
    [("ncbi_disease", "NCBI-disease"), ("bc5cdr_chem", "BC5CDR-chem"), ("bc2gm", "BC2GM"), ("jnlpba", "JNLPBA")],
)
def test_the_task_of_each_set_is_done_by_the_model_of_all(run: Path, data: Path, task: str, directory: str) -> None:
    report = evaluate(task, data / directory, model=run)
    assert report.figures["f1"] == 1.0


def test_another_task_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was fine-tuned for the task 'entities', not for 'hoc'"):
        find_task_model(run, "hoc")
    other = tmp_path / "bc2gm.toml"
    other.write_text('name = "bc2gm"\n' + _schema("bc2gm").replace('"GENE"', '"Virus"').replace("[example]", "[x]"))
    text = other.read_text()
    other.write_text(text[: text.index("[x]")])
    with pytest.raises(InputError, match="learned of 'bc2gm' the labels GENE, not tagging of mention, label"):
        find_task_model(run, other)


def test_the_sets_and_nothing_resolve_to_the_model_of_all_once_it_is_bundled(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_task() is None
    monkeypatch.setattr(task_models, "BUNDLED", {"entities": run})
    monkeypatch.setattr("biogpt.model.checkpoint.BUNDLED", {"entities": run})
    assert default_task() == "entities"
    found = find_task_model(task="jnlpba")
    assert (found.name, found.task.name, found.path, found.is_tuned) == ("entities", "jnlpba", run, True)
    assert found.task.inference.tagging_context == "twice"
    assert set(found.task.inference.thresholds) == set(load_task("jnlpba").schema.slots["label"].choices)
    with pytest.raises(InputError, match="No model for the task 'ddi' is bundled"):
        find_task_model(task="ddi")


def test_an_extractor_for_one_set_gives_its_labels_alone(run: Path) -> None:
    extraction = Extractor.from_pretrained(run, "jnlpba")("TP53 gene in T cells.")
    assert [(entity.type, entity.name) for entity in extraction.entities] == [
        ("protein", "TP53"),
        ("cell_type", "T cells"),
    ]


def test_a_run_that_is_killed_within_an_epoch_goes_on_as_if_it_had_not_been(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_small_model(tmp_path / "small")
    settings = {"epochs": 2, "tokens_per_step": 24, "checkpoint_steps": 2, "warmup_steps": 1, "result": "last"}
    settings |= {"precision": "fp32", "learning_rate": 1e-2, "tagging_context": "twice"}
    for file in data.glob("*/test.tsv"):
        file.write_text(rows("Other O | words O"))  # or nothing would be left to train on
    runs = [make_recipe("entities", data, tmp_path / name, str(model), settings=settings) for name in ("one", "other")]
    whole = run_recipe(runs[0])
    assert (whole["steps"], whole["epochs"]) == (6, 2)
    on_step_end = KeptWeights.on_step_end

    def kill(self: KeptWeights, args: Any, state: Any, *more: Any, **named: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt
        on_step_end(self, args, state, *more, **named)

    monkeypatch.setattr(KeptWeights, "on_step_end", kill)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(runs[1])
    monkeypatch.undo()
    assert find_checkpoint(tmp_path / "other" / "checkpoints", True) == tmp_path / "other/checkpoints/checkpoint-4"
    assert run_recipe(runs[1])["dev_loss"] == whole["dev_loss"]
    weights = [load_model(tmp_path / name).state_dict() for name in ("one", "other")]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())
    for name, sentence in SETS.items():
        (data / name / "test.tsv").write_text(rows(sentence))


def test_a_head_without_the_labels_is_refused(run: Path) -> None:
    predictor = Predictor.load(run)
    with pytest.raises(CheckpointError, match="do not fit the task 'hoc'"):
        Predictor(load_task("hoc"), predictor.model, predictor.tokenizer)


def _schema(name: str) -> str:
    return (SCHEMAS_PATH / f"{name}.toml").read_text(encoding="utf-8")
