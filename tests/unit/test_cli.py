import inspect
import subprocess
import sys
from dataclasses import fields

import pytest

from biogpt import __version__, cli
from biogpt.inference.settings import GenerationSettings

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
