import importlib.metadata
import inspect
import platform
import subprocess
import sys
from dataclasses import fields

import pytest
from safetensors.torch import load_file
from typer.main import get_command
from typer.testing import CliRunner

from biogpt import __version__, cli
from biogpt.decoding.settings import GenerationSettings
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


def test_generate_has_an_option_for_every_setting_with_the_same_default():
    parameters = inspect.signature(cli.generate).parameters
    for field in fields(GenerationSettings):
        assert parameters[field.name].default == field.default


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "biogpt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"biogpt {__version__}\n"


def run_ending(error: BaseException) -> int:
    @cli.plain_endings()
    def verb() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        verb()
    return caught.value.code


def test_an_error_of_ours_is_one_line_and_code_1(capsys):
    assert run_ending(cli.BioGptError("got this,\nexpected  that.\tDo so.")) == 1
    assert capsys.readouterr() == ("", "biogpt: got this, expected that. Do so.\n")


def test_other_errors_keep_their_traceback():
    @cli.plain_endings()
    def verb() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        verb()


def test_every_bundled_model_is_listed_with_its_size_and_score():
    result = CliRunner().invoke(cli.app, ["models"])
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert rows.keys() == BUNDLED.keys()
    num_parameters = sum(tensor.numel() for tensor in load_file(BUNDLED["mini"] / "model.safetensors").values())
    assert f"{num_parameters / 1e6:.1f} M" in rows["mini"]
    for name in bundled_tasks():
        assert find_task_model(name).quality() in rows[name]


def test_the_environment_is_described_for_a_bug_report():
    result = CliRunner().invoke(cli.app, ["env"])
    assert result.exit_code == 0
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert facts["transformers"] == importlib.metadata.version("transformers")
    assert facts["python"] == platform.python_version()


def test_short_forms_mean_the_same_in_every_verb():
    meanings = {"-m": "model", "-t": "task", "-o": "output", "-h": "help"}
    commands = get_command(cli.app).commands
    for verb, command in commands.items():
        for parameter in command.params:
            for short in (flag for flag in parameter.opts if len(flag) == 2):
                assert meanings[short] == parameter.name, verb
    for name in ("model", "task", "output"):
        verbs = [
            verb
            for verb, command in commands.items()
            if name in {p.name for p in command.params if p.opts[0][0] == "-"}
        ]
        assert verbs
        for verb in verbs:
            (parameter,) = (p for p in commands[verb].params if p.name == name)
            assert {f"--{name}", f"-{name[0]}"} <= set(parameter.opts), (verb, name)
