"""Runs the code blocks of the README and the docs, file by file, in a directory that is empty but for the examples.

```python blocks of a file run one after the other in one process, so that a later block may use what an earlier one
made; ```console blocks run as commands, each after a `$ `; ```csv file=NAME blocks are files that lie there before.
A block marked `no-run` says itself why it cannot run here. Notebooks are run from the first cell to the last.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import biogpt

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
FILE = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(path: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(path.read_text(encoding="utf-8"))


def run(command: list[str], directory: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.mark.parametrize("path", [path for path in FILES if blocks(path)], ids=lambda path: path.name)
def test_code_blocks_run(path: Path, tmp_path: Path) -> None:
    found = blocks(path)
    assert found
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name, text in FILE.findall(path.read_text(encoding="utf-8")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    for _, text in (block for block in found if block[0] == "console"):
        for command in re.findall(r"^\$ (.+)$", text, re.MULTILINE):
            run(["bash", "-euo", "pipefail", "-c", command], tmp_path)
    script = "\n".join(text for language, text in found if language == "python")
    run([sys.executable, "-W", "ignore", "-c", script], tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="the 'docs' extra is not installed")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    run([sys.executable, str(ROOT / "scripts" / "run-notebooks"), str(copy)], tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_as_they_ran(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
    assert "/tmp" not in json.dumps(outputs), "a path of this machine"


def test_the_reference_of_the_command_line_is_what_the_code_says() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert page == run([sys.executable, str(ROOT / "scripts" / "cli-reference")], ROOT), (
        "run: scripts/cli-reference > docs/cli.md"
    )


def test_the_reference_of_the_python_names_is_complete() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: biogpt\.(\w+)$", page, re.MULTILINE)
    assert sorted(names) == sorted(set(biogpt.__all__) - {"__version__"})


def test_the_navigation_has_every_page_and_ends_with_the_log() -> None:
    settings = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    pages = re.findall(r"'([\w/-]+)\.md'", str(settings["project"]["nav"]))
    docs = ROOT / "docs"
    found = [path.relative_to(docs).with_suffix("").as_posix() for path in [*docs.glob("*.md"), *NOTEBOOKS]]
    assert sorted(pages) == sorted(found)
    assert (pages[0], pages[-1]) == ("index", "log")


def test_links_lead_somewhere() -> None:
    for path in FILES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_the_bundled_models_figures_are_those_of_the_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "bits_per_byte.json").read_text())
    card = (ROOT / "src" / "biogpt" / "assets" / "mini" / "README.md").read_text()
    assert f"{result['bits_per_byte']['as written']['model']:.3f}" in (ROOT / "README.md").read_text()
    for figures in result["bits_per_byte"].values():
        for name, figure in figures.items():
            assert f"{figure:.3f}" in card, f"{name}: {figure}"


def test_the_tokenizers_figures_are_those_of_the_result_file() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "tokenizer.json").read_text())
    page = (ROOT / "docs" / "tokenizer.md").read_text()
    for task, seconds in result["seconds"].items():
        for when in ("cold", "warm"):
            slow, ours = seconds["slow"][when], seconds["ours"][when]
            speeds = [result["bytes"] / 1e6 / slow, result["bytes"] / 1e6 / ours, result["tokens"] / 1e6 / ours]
            row = f"| {task}, {when} | " + " | ".join(f"{speed:.2f}" for speed in speeds) + f" | {slow / ours:.1f} |"
            assert row in page, row
    limits = json.loads((ROOT / "benchmarks" / "results" / "tokenizer_limits.json").read_text())
    slowest = max(limits["seconds"].values())
    assert f"most {slowest:.2f} s" in page, slowest
    assert f"most {limits['memory_mb']:.0f} MB" in page, limits["memory_mb"]
