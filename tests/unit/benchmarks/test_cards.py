"""The cards of the bundled models: in one format, and with the scores that were measured on what ships."""

import copy
import json
import re
from typing import Any

import cards
import pytest
from huggingface_hub import ModelCard

from biogpt.extraction.task_models import bundled_tasks
from biogpt.model.checkpoint import BUNDLED

MEASURED: dict[str, dict[str, Any]] = json.loads((cards.RESULTS / "cards.json").read_text(encoding="utf-8"))["models"]
SECTIONS = [
    "Description",
    "Intended use and limits",
    "Data and its terms",
    "Recipe",
    "Scores",
    "Failure examples",
    "Licence",
    "Environmental cost",
]


def test_each_bundled_model_was_measured() -> None:
    assert MEASURED.keys() == BUNDLED.keys()


@pytest.mark.parametrize("name", BUNDLED)
def test_card_and_record_state_what_was_measured_on_the_files_that_ship(name: str) -> None:
    assert cards.compare(name, MEASURED[name]) == [], "run benchmarks/cards.py --write"


@pytest.mark.parametrize("name", BUNDLED)
def test_the_card_is_one_for_the_hub_with_all_sections(name: str) -> None:
    text = (BUNDLED[name] / "README.md").read_text(encoding="utf-8")
    data = ModelCard(text).data.to_dict()
    assert (data["license"], data["language"], data["library_name"]) == ("mit", "en", "biogpt")
    assert data.get("base_model") == ("mini" if name in bundled_tasks() else None)
    results = data["model-index"][0]["results"][0]
    stated = {metric["type"]: metric["value"] for metric in results["metrics"]}
    figures = MEASURED[name]["figures"]
    assert stated == {key: pytest.approx(figures[key], abs=5e-5) for key in stated}
    assert set(data["metrics"]) == stated.keys()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    for picture in re.findall(r"!\[.*\]\((.+)\)", text):
        assert (BUNDLED[name] / picture).is_file()


def test_what_differs_is_named() -> None:
    other = copy.deepcopy(MEASURED["ncbi_disease"])
    other["figures"]["f1"] += 0.01
    assert cards.compare("ncbi_disease", other) == ["finetune.json", "README.md"]
    other["files"] = "of another model"
    assert cards.compare("ncbi_disease", other)[0] == "the files that ship"


def test_mini_s_card_has_the_figure_of_the_benchmark() -> None:
    bits = MEASURED["mini"]["figures"]["bits_per_byte"]
    assert f"| **mini** | **{bits:.3f}** |" in (BUNDLED["mini"] / "README.md").read_text(encoding="utf-8")
