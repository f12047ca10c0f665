"""Settings: built from plain values, and what is refused, by name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from biogpt.config import Limits, build, change, check, check_names, naming, read_toml, require
from biogpt.errors import ConfigError, InputError


@dataclass(frozen=True)
class Part:
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    name: str
    epochs: int = 3
    rate: float = 0.5
    order: Literal["", "left", "right"] = "left"
    is_open: bool = False
    betas: tuple[float, float] = (0.9, 0.98)
    size: int | None = None
    parts: Mapping[str, Part] = field(default_factory=dict)
    part: Part = Part()
    published: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self, LIMITS, "run")


LIMITS = {"epochs": Limits(1), "rate": Limits(0, below=1), "betas": Limits(0, 1), "size": Limits(2)}


def test_plain_values_become_what_the_annotations_say() -> None:
    made = build(
        Settings,
        {
            "name": "a",
            "rate": 0,
            "betas": [0, 0.5],
            "parts": {"drug": {}, "gene": {"choices": ["x"]}},
            "part": {"choices": ["y"]},
            "published": {"BioGPT": 44},
            "more": {"anything": [1]},
        },
    )
    assert (type(made.rate), made.betas, made.part) == (float, (0, 0.5), Part(("y",)))
    assert made.parts == {"drug": Part(), "gene": Part(("x",))}
    assert (type(made.published["BioGPT"]), made.more) == (float, {"anything": [1]})
    assert build(Settings, {"epochs": 5}, start=made).betas == (0, 0.5)
    assert build(Settings, {"name": "a", "size": None, "epochs": np.int64(4)}).epochs == 4


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "'run.name' is missing, expected text in quotation marks"),
        ({"name": "a", "epoch": 1}, r"Unknown setting 'run\.epoch'\. Did you mean 'epochs'\? Known: name, epochs"),
        ({"name": 1}, r"Got run\.name = 1, expected text in quotation marks"),
        ({"name": "a", "epochs": 0}, r"Got run\.epochs = 0, expected a whole number of at least 1\."),
        ({"name": "a", "epochs": True}, r"Got run\.epochs = True, expected a whole number"),
        ({"name": "a", "epochs": 1.5}, r"Got run\.epochs = 1\.5, expected a whole number"),
        ({"name": "a", "rate": 1}, r"Got run\.rate = 1\.0, expected a number from 0 to below 1"),
        ({"name": "a", "rate": math.nan}, r"Got run\.rate = nan, expected a number"),
        ({"name": "a", "rate": "high"}, r"Got run\.rate = 'high', expected a number"),
        ({"name": "a", "order": "lef"}, r"expected 'left' or 'right'\. Did you mean 'left'\?"),
        ({"name": "a", "is_open": 1}, r"Got run\.is_open = 1, expected true or false"),
        ({"name": "a", "betas": [0.9]}, r"Got run\.betas = \[0\.9\], expected a list of 2 numbers"),
        ({"name": "a", "betas": [0.9, 2]}, r"expected a list of 2 numbers from 0 to 1"),
        ({"name": "a", "size": 1}, r"Got run\.size = 1, expected a whole number of at least 2"),
        ({"name": "a", "parts": {"gene": {"choice": []}}}, r"Unknown setting 'run\.parts\.gene\.choice'"),
        ({"name": "a", "parts": {"gene": {"choices": "x"}}}, r"run\.parts\.gene\.choices = 'x', expected a list of t"),
        ({"name": "a", "parts": {"gene": 1}}, r"Got run\.parts\.gene = 1, expected a table: \[run\.parts\.gene\]"),
        ({"name": "a", "part": 1}, r"Got run\.part = 1, expected a table: \[run\.part\]"),
        ({"name": "a", "published": {"BioGPT": "x"}}, r"Got run\.published\.BioGPT = 'x', expected a number"),
        ([], r"Got run = \[\], expected a table: \[run\]"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(table: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build(Settings, table, "run")
    assert "\n" not in str(caught.value)


def test_the_error_is_the_callers() -> None:
    with pytest.raises(InputError, match=r"Unknown setting 'epoch'\. Did you mean 'epochs'"):
        change(Settings("a"), {"epoch": 3}, error=InputError)
    with pytest.raises(InputError):
        build(Settings, {"name": 3}, error=InputError)
    assert change(Settings("a"), {"epochs": 4}).epochs == 4
    with pytest.raises(ConfigError, match=r"Unknown setting 'x\.a'\. Known: b, c"):
        check_names(["b", "a"], ("b", "c"), "x")
    with pytest.raises(ConfigError, match="Got x = 1, expected y"):
        require(False, "x", 1, "y")


@pytest.mark.parametrize(
    ("limits", "text", "inside", "outside"),
    [
        (Limits(1), "of at least 1", [1, 2], [0.5, math.inf]),
        (Limits(0, 1), "from 0 to 1", [0, 1], [-0.1, 1.1, math.nan]),
        (Limits(0, below=1), "from 0 to below 1", [0, 0.99], [1]),
        (Limits(above=0), "above 0", [1e-300], [0, math.inf]),
        (Limits(above=0, maximum=1), "above 0 and at most 1", [1], [0, 1.5]),
        (Limits(0, 2**32 - 1), "from 0 to 4294967295", [0, 2**32 - 1], [2**32]),
        (Limits(0, note="0: greedy"), "of at least 0 (0: greedy)", [0], [-1]),
    ],
)
def test_limits_say_what_they_allow(limits: Limits, text: str, inside: list[float], outside: list[float]) -> None:
    assert str(limits) == text
    assert all(map(limits.allows, inside))
    assert not any(map(limits.allows, outside))


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "Cannot read"), (b"a = ", "is not a TOML file"), (b"a = '\xff'", r"is not UTF-8 \(byte 5\)")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_toml(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match=r"a\.toml: Got x"), naming("a.toml"):
        require(False, "x", 1, "y")
