"""Whole runs of fine-tuning: killed and resumed, in several processes, the model that comes out, and the errors."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import Ended
from command_line import run as run_here
from small_models import make_small_model

from biogpt.extraction.predictor import Predictor
from biogpt.model.checkpoint import load_tokenizer
from biogpt.model.loading import load_causal_lm
from biogpt.tasks.encoding import encode_prompt, learned_ids
from biogpt.tasks.task import load_task
from biogpt.training.public import finetune

RECIPE = """
epochs = 4
tokens_per_step = 4096
tokens_per_batch = 2048
learning_rate = 1e-2
warmup_steps = 2
schedule = "inverse_sqrt"
result = "average"
num_averaged = 2
max_grad_norm = 1.0
precision = "fp32"
"""


def verb(directory: Path, model: Path, data: Path, *more: str) -> list[str]:
    """The arguments of `biogpt`."""
    (directory / "recipe.toml").write_text(RECIPE)
    return [
        "finetune", "--task", "ddi", "--model", str(model), "--data", str(data), "--out", str(directory / "run"),
        "--recipe", str(directory / "recipe.toml"), "--json", *more,
    ]  # fmt: skip


def run(directory: Path, model: Path, data: Path, *more: str) -> Ended:
    """A run in this process."""
    return run_here(*verb(directory, model, data, *more))


def losses(directory: Path) -> list[float]:
    with (directory / "run" / "curve.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def data(data_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty real documents with drug-drug interactions, of which four are held out."""
    documents = json.loads((data_path / "benchmarks" / "DDI" / "valid.json").read_text())
    path = tmp_path_factory.mktemp("ddi") / "forty.json"
    path.write_text(json.dumps(dict(list(documents.items())[:40])))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tmp_path_factory.mktemp("small-model"))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, model: Path, data: Path) -> Path:
    """A finished run."""
    directory = tmp_path_factory.mktemp("finetune")
    result = run(directory, model, data)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == json.loads((directory / "run" / "finetune.json").read_text())
    return directory


def test_what_a_run_leaves(unbroken: Path) -> None:
    path = unbroken / "run"
    report = json.loads((path / "finetune.json").read_text())
    assert (report["epochs"], report["weights"], report["stopped_early"]) == (4, "average of 2 epochs", False)
    assert report["scores"]["num_examples"] == report["dev_examples"]
    assert report["recipe"]["finetune"]["learning_rate"] == 1e-2
    assert losses(unbroken)[-1] < losses(unbroken)[0] - 1
    assert (path / "curve.png").read_bytes().startswith(b"\x89PNG")
    task = load_task(path / "task.toml")
    assert (task.name, report["recipe"]["prompt_length"], report["recipe"]["finetune"]["epochs"]) == ("ddi", 9, 4)


def test_plain_transformers_loads_and_runs_it(unbroken: Path, data: Path) -> None:
    import transformers

    path = unbroken / "run"
    tokenizer = transformers.BioGptTokenizer.from_pretrained(path)
    theirs = transformers.BioGptForCausalLM.from_pretrained(path).eval()
    task = load_task(path / "task.toml")
    example = min(task.read(data), key=lambda example: len(example.text))
    assert len(tokenizer) == theirs.config.vocab_size == 8192 + 9
    learned = [f"learned{number}" for number in range(1, 10)]
    ids = tokenizer(f"{task.prompt(example)} {' '.join(learned)}", return_tensors="pt")["input_ids"]
    ours = load_tokenizer(path, len(tokenizer))
    assert ids[0].tolist() == encode_prompt(task, ours, example)
    torch.testing.assert_close(load_causal_lm(path)(ids).logits, theirs(ids).logits, rtol=1e-4, atol=1e-4)
    written = theirs.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :].tolist()
    assert written
    assert not set(written) & set(learned_ids(ours))
    assert "learned" not in tokenizer.decode(written)


def test_it_predicts_by_path(unbroken: Path, data: Path) -> None:
    predictor = Predictor.load(unbroken / "run")
    examples = predictor.task.read(data)[:3]
    predictions = list(predictor.predict(examples, constrained=False))
    assert [prediction.id for prediction in predictions] == [example.id for example in examples]
    assert not any("learned" in prediction.text for prediction in predictions)


def test_a_killed_run_goes_on_with_the_same_losses(unbroken: Path, tmp_path: Path, model: Path, data: Path) -> None:
    command = [sys.executable, "-m", "biogpt", *verb(tmp_path, model, data)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run").glob("checkpoints/checkpoint-*/complete")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "finetune.json").exists()

    result = run(tmp_path, model, data)
    assert result.returncode == 0, result.stderr
    assert losses(tmp_path) == losses(unbroken)
    names = ("model.safetensors", "task.toml", "vocab.json", "tokenizer_config.json")
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (unbroken / "run" / name).read_bytes(), name


def test_it_ends_with_a_table_and_the_next_command(unbroken: Path, model: Path, data: Path) -> None:
    arguments = [argument for argument in verb(unbroken, model, data) if argument != "--json"]
    result = run_here(*arguments)
    assert (result.returncode, result.stdout) == (0, "")
    table = result.stderr[result.stderr.index("biogpt: fine-tuned") :]
    rows = dict(line.split(maxsplit=1) for line in table.splitlines()[1:])
    report = json.loads((unbroken / "run" / "finetune.json").read_text())
    assert rows["split"] == f"dev ({report['dev_examples']} examples)"
    assert any(name.startswith("f1") for name in rows)
    assert rows["next"] == f"biogpt predict -m {unbroken / 'run'} FILE"
    result = run_here(*arguments, "-q")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_settings_by_name_replace_a_recipe(unbroken: Path, tmp_path: Path, model: Path, data: Path) -> None:
    settings = [part for line in RECIPE.strip().splitlines() for part in ("--set", line)]
    arguments = verb(tmp_path, model, data)
    at = arguments.index("--recipe")
    arguments[at : at + 2] = settings
    result = run_here(*arguments)
    assert result.returncode == 0, result.stderr
    assert losses(tmp_path) == losses(unbroken)


def test_a_finished_run_is_not_trained_again(unbroken: Path, model: Path, data: Path) -> None:
    before = (unbroken / "run" / "model.safetensors").stat().st_mtime_ns
    result = run(unbroken, model, data)
    assert json.loads(result.stdout)["epochs"] == 4, result.stderr
    assert (unbroken / "run" / "model.safetensors").stat().st_mtime_ns == before
    result = run(unbroken, model, data, "--learning-rate", "1e-3")
    assert result.returncode == 1
    assert "holds a run with finetune.learning_rate = 0.01, got 0.001" in result.stderr


@pytest.mark.filterwarnings("ignore:18 of the 31 targets are longer")  # documents are long for this small a model
def test_two_processes_learn_the_same(tmp_path: Path, data: Path) -> None:
    model = make_small_model(tmp_path / "model")
    text = RECIPE.replace("epochs = 4", "epochs = 2") + "dropout = 0.0\n"
    (tmp_path / "same.toml").write_text(text)
    alone = finetune("ddi", data, tmp_path / "one" / "run", model=model, recipe=tmp_path / "same.toml")
    (tmp_path / "two").mkdir()
    arguments = verb(tmp_path / "two", model, data)
    arguments[arguments.index("--recipe") + 1] = str(tmp_path / "same.toml")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "biogpt"]
    result = subprocess.run([*launcher, *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["processes"] == 2
    assert report["scores"]["num_examples"] == alone["scores"]["num_examples"] == alone["dev_examples"]
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=2e-4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--learning-rate", "1e30"), "expected a number. The last checkpoint is kept"),
        (("--head", "classification"), "Got finetune.head = 'classification' for the kind 'relation'"),
    ],
)
def test_a_mistake_costs_one_line(tmp_path: Path, model: Path, data: Path, more: tuple[str, ...], message: str) -> None:
    result = run(tmp_path, model, data, *more)
    assert result.returncode == 1
    assert result.stdout == ""
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "finetune.json").exists()
