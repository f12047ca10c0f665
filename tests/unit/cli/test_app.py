import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from command_line import run
from safetensors.torch import load_file
from typer.testing import CliRunner

from biogpt import __version__
from biogpt.cli.app import app, plain_endings
from biogpt.errors import BioGptError
from biogpt.extraction.task_models import bundled_tasks, find_task_model
from biogpt.model.checkpoint import BUNDLED

HEAVY = ("torch", "transformers", "tokenizers", "sacremoses", "huggingface_hub", "numpy", "rich")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--help"], "generate"),
        (["-h"], "generate"),
        (["generate", "--help"], "--num-return-sequences"),
        (["finetune", "--help"], "--dev-fraction"),
        (["--version"], f"biogpt {__version__}"),
    ],
)
def test_help_and_version_import_nothing_heavy(arguments, says):
    program = f"""
import sys
from pathlib import Path
from biogpt.cli import main
sys.argv[1:] = {arguments!r}
try:
    main()
except SystemExit as ending:
    assert not ending.code, ending.code
print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert says in done.stdout
    assert done.stderr == "\n"


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "biogpt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"biogpt {__version__}\n"


def run_ending(error: BaseException) -> int:
    @plain_endings()
    def verb() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        verb()
    return caught.value.code


def test_an_error_of_ours_is_one_line_and_code_1(capsys):
    assert run_ending(BioGptError("got this,\nexpected  that.\tDo so.")) == 1
    assert capsys.readouterr() == ("", "biogpt: got this, expected that. Do so.\n")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory (MemoryError)"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\n 2 GiB"),
            "memory (CUDA out of memory. T",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory (DefaultCPUAlloc"),
        (RuntimeError("CUDA error: device-side assert triggered"), "The device failed (CUDA error: device-side"),
    ],
)
def test_a_machine_that_fails_is_one_line_with_advice(error, says, capfd):
    saved = os.dup(1)
    try:
        assert run_ending(error) == 1
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    written = capfd.readouterr().err
    assert says in written
    assert "--batch-size" in written
    assert written.count("\n") == 1


def test_other_errors_keep_their_traceback():
    @plain_endings()
    def verb() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verb()


def test_every_bundled_model_is_listed_with_its_size_and_score():
    result = CliRunner().invoke(app, ["models"])
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert rows.keys() == BUNDLED.keys()
    num_parameters = sum(tensor.numel() for tensor in load_file(BUNDLED["mini"] / "model.safetensors").values())
    assert f"{num_parameters / 1e6:.1f} M" in rows["mini"]
    for name in bundled_tasks():
        assert find_task_model(name).quality() in rows[name]


def test_the_environment_is_described_for_a_bug_report():
    result = CliRunner().invoke(app, ["env"])
    assert result.exit_code == 0
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["transformers"] == importlib.metadata.version("transformers")
    assert facts["python"] == platform.python_version()


@pytest.fixture
def log_level():
    """Leaves the log as it was."""
    logger = logging.getLogger("biogpt")
    level, handlers = logger.level, list(logger.handlers)
    yield lambda: logging.getLevelName(logger.level)
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.mark.parametrize(
    ("arguments", "level"),
    [
        (["tasks"], "WARNING"),
        (["-v", "tasks"], "INFO"),
        (["tasks", "-v"], "INFO"),
        (["-vv", "tasks"], "DEBUG"),
        (["tasks", "--verbose", "--verbose"], "DEBUG"),
        (["-q", "tasks"], "ERROR"),
        (["tasks", "--quiet"], "ERROR"),
    ],
)
def test_verbose_and_quiet_stand_before_or_after_the_verb(log_level, capsys, arguments, level):
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert log_level() == level


def test_verbose_says_what_is_done_and_quiet_says_nothing_but_never_a_text(tuned_model_paths, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "Cells died by apoptosis ."}\nnot JSON\n', encoding="utf-8")
    command = ["predict", "-m", tuned_model_paths["hoc"], tmp_path / "a.jsonl"]
    loud = run(*command, "-vv")
    assert loud.returncode == 0
    assert "parameters" in loud.stderr
    assert " on cpu: " in loud.stderr
    assert "1 input" in loud.stderr
    assert "predict took" in loud.stderr
    assert "apoptosis" not in loud.stderr
    quiet = run(*command, "-q")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert quiet.stdout == loud.stdout
    missing = run(*command, "missing.txt", "-q")
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("verb", [["generate", "Aspirin"], ["predict", "-t", "ncbi_disease", "a.txt"]])
@pytest.mark.parametrize("device", ["cuda:77", "tpu", "meta"])
def test_a_device_that_does_not_exist_is_one_line(verb, device, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("Some text.", encoding="utf-8")
    result = CliRunner().invoke(app, [*verb, "--device", device])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"device '{device}'" in result.stderr
    assert "expected" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "Aspirin", "--revision", "main"], "Got the revision 'main' of 'mini', which is a bundled model"),
        (["predict", "x.txt", "-m", "{here}", "--revision", "v1"], "which is a directory; expected a hub id"),
        (["convert", "{here}", "new", "--revision", "v1"], "which is a directory; expected a hub id"),
        (["generate", "Aspirin", "-m", "some/model", "--revision", "../x"], "expected a branch, a tag or a commit"),
    ],
)
def test_a_revision_of_something_that_has_none_is_one_line(tmp_path, arguments, says):
    result = CliRunner().invoke(app, [each.format(here=tmp_path) for each in arguments])
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
