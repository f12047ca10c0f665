"""The options: the same in every verb, closed sets with all that the package knows, and settings by name."""

import inspect
import os
import subprocess
import sys
from dataclasses import fields
from typing import get_args, get_type_hints

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from biogpt.cli import options
from biogpt.cli.app import app
from biogpt.cli.generate import generate
from biogpt.decoding.settings import GenerationSettings
from biogpt.documents import INPUT_FORMATS, OUTPUT_FORMATS
from biogpt.model.conversion import LAYOUTS
from biogpt.tasks.recipe import Recipe
from biogpt.tasks.schema_file import EMPTY_DOCUMENTS


def test_short_forms_mean_the_same_in_every_verb():
    meanings = {"-m": "model", "-t": "task", "-o": "output", "-h": "help", "-v": "verbose", "-q": "quiet"}
    commands = get_command(app).commands
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


def test_a_flag_is_the_same_in_every_verb():
    seen = {}
    for verb, command in get_command(app).commands.items():
        for parameter in command.params:
            if parameter.opts[0][0] == "-":
                is_repeated = parameter.multiple and parameter.name not in (
                    "task",
                    "model",
                    "dtype",
                )  # some take several
                facts = (parameter.name, parameter.help, parameter.metavar, is_repeated)
                assert seen.setdefault(parameter.opts[0], facts) == facts, (verb, parameter.opts[0])
    assert {"--model", "--task", "--output", "--device", "--batch-size", "--seed", "--set", "--format"} <= seen.keys()


def test_generate_has_an_option_for_every_setting_with_the_same_default():
    parameters = inspect.signature(generate).parameters
    for field in fields(GenerationSettings):
        assert parameters[field.name].default == field.default


@pytest.mark.parametrize(
    ("choices", "known"),
    [
        (options.InputFormat, INPUT_FORMATS),
        (options.OutputFormat, OUTPUT_FORMATS),
        (options.Layout, LAYOUTS),
        (options.EmptyDocumentsChoice, EMPTY_DOCUMENTS),
        (options.HeadChoice, [choice for choice in get_args(get_type_hints(Recipe)["head"]) if choice]),
        (options.PeftChoice, [choice for choice in get_args(get_type_hints(Recipe)["peft"]) if choice]),
    ],
)
def test_choices_are_all_that_the_package_knows(choices, known):
    assert {str(choice) for choice in choices} == set(known)


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["predict", "-t", "bc5cdr", "a.txt", "--format", "pdf"], "pubtator"),
        (["predict", "-t", "bc5cdr", "a.txt", "--input-format", "txt"], "bioc-xml"),
        (["predict", "-t", "bc5cdr", "a.txt", "--threshold", "1.5"], "--threshold"),
        (["convert", "mini", "new", "--to", "onnx"], "fairseq"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--head", "tagging"], "classification"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--peft", "adapter"], "lora"),
        (["evaluate", "-t", "bc5cdr", "--data", ".", "-m", "bc5cdr", "--empty-documents", "no"], "drop"),
        (["generate", "Aspirin", "--seed", "-1"], "--seed"),
        (["generate", "Aspirin", "--set", "top_k"], "expected KEY=VALUE"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--epochs", "3", "--set", "epochs=4"], "--epochs, once"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--set", "seed=4"], "expected --seed"),
        (["evaluate", "-t", "hoc", "--data", ".", "--predictions", "x", "--device", "cpu"], "--model"),
        (["predict", "-t", "bc5cdr", "a.txt", "--revision", "v1"], "--model"),
        (["predict", "-t", "bc5cdr", "-t", "hoc", "-m", "bc5cdr", "a.txt"], "expected one task"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--set", "device=cpu"], "expected --device"),
    ],
)
def test_wrong_usage_is_code_2_and_says_what_is_allowed(arguments, allowed):
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert allowed in result.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("biogpt predict --format bio", {"bioc-xml", "bioc-json"}),
        ("biogpt finetune --head ", {"generation", "classification"}),
        ("biogpt predict -t bc5cdr_", {"bc5cdr_chem", "bc5cdr_disease"}),
        ("biogpt generate -m mi", {"mini"}),
    ],
)
def test_the_shell_completes_choices_and_names(line, offered):
    words = line.split(" ")
    environment = {
        **os.environ, "_BIOGPT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "biogpt"], env=environment, capture_output=True, text=True, check=False
    )
    assert set(done.stdout.split()) == offered


def test_settings_by_name_have_the_types_that_they_look_like():
    pairs = ["a=3", "b=1e-4", "c=true", "d=[0.9, 0.98]", 'e=["q_proj", "fc1"]', "f=muon", "top-k = 5", "h=", "i=x=y"]
    assert options.parse_settings(pairs) == {
        "a": 3,
        "b": 1e-4,
        "c": True,
        "d": [0.9, 0.98],
        "e": ["q_proj", "fc1"],
        "f": "muon",
        "top_k": 5,
        "h": "",
        "i": "x=y",
    }
    assert options.parse_settings(None) == {}
    for wrong in (["a"], ["=3"], ["a=1", "a=2"]):
        with pytest.raises(typer.BadParameter):
            options.parse_settings(wrong)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "Aspirin", "--set", "topk=3"], "Unknown setting 'topk'"),
        (["generate", "Aspirin", "--set", "top_k=many"], "Got top_k = 'many', expected a whole number"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--set", "epoch=3"], "Did you mean 'epochs'?"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--set", "epochs=many"], "expected a whole number"),
        (["finetune", "-t", "hoc", "--data", ".", "-o", "new", "--set", "optimizer=mun"], "Did you mean 'muon'?"),
    ],
)
def test_an_unknown_or_impossible_setting_is_one_line(arguments, says):
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
