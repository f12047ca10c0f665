import math
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from biogpt.decoding.settings import GenerationSettings, change_settings
from biogpt.errors import InputError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", -3),
        ("max_new_tokens", 2.5),
        ("max_new_tokens", "5"),
        ("max_new_tokens", True),
        ("min_new_tokens", -1),
        ("temperature", -0.1),
        ("temperature", math.inf),
        ("temperature", math.nan),
        ("temperature", None),
        ("top_k", -1),
        ("top_k", 1.0),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", math.nan),
        ("num_beams", 0),
        ("num_return_sequences", 0),
        ("seed", -1),
    ],
)
def test_an_impossible_number_is_named_with_what_was_expected(name, value):
    with pytest.raises(InputError, match=rf"Got {name} .*, expected a .*number .*\.$"):
        GenerationSettings(**{name: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"min_new_tokens": 5, "max_new_tokens": 4},
        {"num_beams": 4, "temperature": 0.5},
        {"num_beams": 4, "top_k": 3},
        {"num_beams": 4, "top_p": 0.5},
        {"num_beams": 4, "seed": 1},
        {"num_beams": 4, "num_return_sequences": 5},
        {"temperature": 0, "num_return_sequences": 2},
    ],
)
def test_impossible_combinations_name_both_numbers(settings):
    with pytest.raises(InputError) as caught:
        GenerationSettings(**settings)
    for name, value in settings.items():
        assert f"{name} {value}" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "is_sampling"),
    [
        ({}, True),
        ({"temperature": 0}, False),
        ({"temperature": 1e-300, "top_k": 0, "top_p": 1}, True),
        ({"num_beams": 5, "num_return_sequences": 5, "min_new_tokens": 100, "max_new_tokens": 1024}, False),
    ],
)
def test_possible_settings_stand_and_stay(settings, is_sampling):
    made = GenerationSettings(**settings)
    assert made.is_sampling == is_sampling
    with pytest.raises(FrozenInstanceError):
        made.seed = 5


def test_settings_and_prompts_are_checked_without_torch():
    program = "import sys, biogpt.decoding.settings, biogpt.engine.prompts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_single_settings_by_name():
    assert change_settings(GenerationSettings(), {"max_new_tokens": 5}) == GenerationSettings(max_new_tokens=5)
    with pytest.raises(InputError, match=r"Unknown setting 'max_new_token'\. Did you mean 'max_new_tokens'\?"):
        change_settings(GenerationSettings(), {"max_new_token": 5})
    with pytest.raises(InputError, match="settings of type dict, expected GenerationSettings"):
        change_settings({"max_new_tokens": 5}, {})
