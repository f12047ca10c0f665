"""Whole runs of pre-training: killed and resumed, in several processes, the model that comes out, and the errors."""

import csv
import json
import pickletools
import runpy
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from command_line import Ended
from command_line import run as run_here

from biogpt import BioGptForCausalLM, BioGptTokenizer

RECIPE = """
output = "run"
corpus_path = "corpus"

[corpus]
sources = ["{sources}"]
vocabulary_size = 1000
heldout_fraction = 0.05

[model]
hidden_size = 32
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 64
max_position_embeddings = 64
hidden_dropout_prob = 0.1
attention_probs_dropout_prob = 0.0

[training]
sequence_length = 64
tokens_per_step = 512
sequences_per_device = 2
num_steps = 16
optimizer = "adam"
learning_rate = 1e-2
warmup_steps = 4
log_every = 1
evaluate_every = 8
checkpoint_every = 4
eval_documents = 10
compile = false
precision = "fp32"
"""


def run(path: Path) -> Ended:
    """A run in this process."""
    return run_here("pretrain", path, "--json")


def losses(directory: Path) -> list[float]:
    with (directory / "run" / "curve.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, data_path: Path) -> Path:
    """A finished run on a MEDLINE file of 604 citations; its corpus serves the other runs."""
    directory = tmp_path_factory.mktemp("pretrain")
    sources = data_path / "pubmed_xml" / "medline16n0902.xml.gz"
    (directory / "recipe.toml").write_text(RECIPE.format(sources=sources))
    result = run(directory / "recipe.toml")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report == json.loads((directory / "run" / "report.json").read_text())
    assert (report["steps"], report["tokens"]) == (16, 16 * 512)
    return directory


def variant(unbroken: Path, tmp_path: Path, old: str = "", new: str = "") -> Path:
    """The unbroken run's recipe, with a change, in a directory of its own that shares the corpus."""
    text = (unbroken / "recipe.toml").read_text().replace('"corpus"', f'"{unbroken / "corpus"}"')
    assert old in text
    (tmp_path / "recipe.toml").write_text(text.replace(old, new))
    return tmp_path / "recipe.toml"


def test_what_a_run_leaves(unbroken: Path) -> None:
    run_path = unbroken / "run"
    assert losses(unbroken)[-1] < losses(unbroken)[0] - 0.5
    assert (run_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((run_path / "recipe.json").read_text())["recipe"]["training"]["seed"] == 0
    assert {path.name for path in (run_path / "model").iterdir()} >= {
        "config.json", "generation_config.json", "model.safetensors", "vocab.json", "merges.txt"
    }  # fmt: skip


def test_the_model_loads_here_and_in_transformers(unbroken: Path) -> None:
    import transformers

    path = unbroken / "run" / "model"
    tokenizer = BioGptTokenizer.from_pretrained(path)
    ids = torch.tensor([tokenizer("The patients were treated with")["input_ids"]])
    ours = BioGptForCausalLM.from_pretrained(path)(ids).logits
    theirs = transformers.BioGptForCausalLM.from_pretrained(path)(ids).logits
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_killed_run_goes_on_with_the_same_losses(unbroken: Path, tmp_path: Path) -> None:
    recipe = variant(unbroken, tmp_path)
    command = [sys.executable, "-m", "biogpt", "pretrain", str(recipe)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "checkpoint-8").is_dir() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "model").exists()

    result = run(recipe)
    assert result.returncode == 0, result.stderr
    assert losses(tmp_path) == losses(unbroken)


def test_a_finished_run_is_not_trained_again(unbroken: Path, tmp_path: Path) -> None:
    before = (unbroken / "run" / "model" / "model.safetensors").read_bytes()
    shutil.copytree(unbroken / "run", tmp_path / "run")
    recipe = variant(unbroken, tmp_path)
    assert json.loads(run(recipe).stdout)["steps"] == 16  # report and model are there
    shutil.rmtree(tmp_path / "run" / "model")
    result = run(recipe)  # as if killed between the last checkpoint and the saved model
    assert json.loads(result.stdout)["steps"] == 16, result.stderr
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == before
    assert losses(tmp_path) == losses(unbroken)


def test_no_file_of_a_run_names_a_module_of_ours(unbroken: Path) -> None:
    """So that modules can move while a run goes on: what a checkpoint holds is tensors and values by name."""
    checkpoint = unbroken / "run" / "checkpoints" / "checkpoint-12"
    archives = [path for path in checkpoint.iterdir() if path.suffix in (".bin", ".pt", ".pth")]
    assert {path.name for path in archives} >= {"optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin"}
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            (pickled,) = (archive.read(name) for name in archive.namelist() if name.endswith(".pkl"))
        operations = [(operation.name, argument) for operation, argument, _ in pickletools.genops(pickled)]
        assert not {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"} & {name for name, _ in operations}, path.name
        classes = {str(argument) for name, argument in operations if name in ("GLOBAL", "INST")}
        assert not [name for name in classes if name.startswith("biogpt")], path.name
    for name in ("optimizer.pt", "scheduler.pt"):
        assert torch.load(checkpoint / name, weights_only=True)
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    assert set(state["stateful_callbacks"]) == {"TrainerControl"}
    for path in [*(unbroken / "corpus").glob("*.json"), unbroken / "run" / "recipe.json", *checkpoint.glob("*.json")]:
        assert "biogpt." not in path.read_text(), path.name


def test_two_processes_train_the_same_model(unbroken: Path, tmp_path: Path) -> None:
    text = variant(unbroken, tmp_path, "_prob = 0.1", "_prob = 0.0").read_text()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.toml").write_text(text.replace("num_steps = 16", "num_steps = 8"))
    alone = run(tmp_path / "one" / "recipe.toml")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "biogpt"]
    command = [*launcher, "pretrain", str(tmp_path / "two" / "recipe.toml"), "--json"]
    both = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert both.returncode == 0, both.stderr
    assert [json.loads(result.stdout)["processes"] for result in (alone, both)] == [1, 2]
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "two"), abs=1e-4)


def test_training_goes_on_from_a_trained_model(unbroken: Path, tmp_path: Path) -> None:
    start = f'start_from = "{unbroken / "run" / "model"}"\n[training]'
    text = variant(unbroken, tmp_path).read_text()
    head, tail = text.split("[model]")
    tail = start + tail.split("[training]")[1].replace("num_steps = 16", "num_steps = 2")
    head = head.replace("vocabulary_size = 1000\n", "").replace("/corpus", "/corpus_of_the_model")
    (tmp_path / "recipe.toml").write_text(f"{head}[model]\n{tail}")
    result = run(tmp_path / "recipe.toml")
    assert result.returncode == 0, result.stderr
    assert losses(tmp_path)[0] < losses(unbroken)[3]


def test_a_model_is_not_trained_on_the_ids_of_another_vocabulary(unbroken: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(unbroken / "run" / "model", other)
    pieces = json.loads((other / "vocab.json").read_text())
    first, second = list(pieces)[500:502]  # as many pieces, two of them exchanged
    (other / "vocab.json").write_text(
        json.dumps({**pieces, first: pieces[second], second: pieces[first]}, ensure_ascii=False)
    )
    text = variant(unbroken, tmp_path).read_text().replace("vocabulary_size = 1000", f'tokenizer = "{other}"')
    head, tail = text.split("[model]")
    start = f'start_from = "{unbroken / "run" / "model"}"\n[training]'
    (tmp_path / "recipe.toml").write_text(f"{head}[model]\n{start}{tail.split('[training]')[1]}")
    result = run(tmp_path / "recipe.toml")
    assert result.returncode == 1
    assert "998 of 1000 tokens have the same id" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_no_number_stops_the_run(unbroken: Path, tmp_path: Path) -> None:
    recipe = variant(unbroken, tmp_path, "learning_rate = 1e-2", "learning_rate = 1e30")
    result = run(recipe)
    assert result.returncode == 1
    assert "expected a number" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run" / "model").exists()


def test_a_mistake_costs_one_line(unbroken: Path, tmp_path: Path) -> None:
    result = run(variant(unbroken, tmp_path, "hidden_size = 32", "hidden_size = 33"))
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == ["biogpt: Got hidden_size=33, expected a multiple of num_attention_heads=2."]
    assert not (tmp_path / "run").exists()


def test_another_recipe_in_the_same_output_is_refused(unbroken: Path) -> None:
    before = (unbroken / "run" / "recipe.json").read_bytes()
    text = (unbroken / "recipe.toml").read_text()
    (unbroken / "other.toml").write_text(text.replace("warmup_steps = 4", "warmup_steps = 5"))
    result = run(unbroken / "other.toml")
    assert result.returncode == 1
    assert "training.warmup_steps = 4, got 5" in result.stderr
    assert (unbroken / "run" / "recipe.json").read_bytes() == before


def test_an_output_that_cannot_be_made_is_refused(unbroken: Path, tmp_path: Path) -> None:
    recipe = variant(unbroken, tmp_path)
    (tmp_path / "run").write_text("a file stands here")
    result = run(recipe)
    assert result.returncode == 1
    assert "Cannot write to" in result.stderr
    assert (tmp_path / "run").read_text() == "a file stands here"


def test_a_milestone_goes_on_where_its_checkpoint_was(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "milestone"
    milestone = tmp_path / "milestone"
    recipe = variant(unbroken, tmp_path)
    checkpoint = unbroken / "run" / "checkpoints" / "checkpoint-12"
    for command in (("save", checkpoint, milestone), ("restore", milestone, tmp_path / "run")):
        monkeypatch.setattr(sys, "argv", [str(script), *map(str, command)])
        runpy.run_path(str(script), run_name="__main__")
    assert {file.suffix for file in milestone.iterdir()} == {".json", ".safetensors"}
    sizes = [sum(file.stat().st_size for file in path.iterdir()) for path in (milestone, checkpoint)]
    assert sizes[0] < 0.7 * sizes[1]
    result = run(recipe)
    assert result.returncode == 0, result.stderr
    got, expected = losses(tmp_path), losses(unbroken)
    assert len(got) == len(expected)
    assert got[12:] == pytest.approx(expected[12:], abs=0.02)
    assert got[12:] != expected[12:]
