"""Runs the code blocks of the README and the docs, file by file, in a directory that is empty but for the examples.

```python blocks of a file run one after the other in one process, so that a later block may use what an earlier one
made; ```console blocks run as commands, each after a `$ `; ```csv file=NAME blocks are files that lie there before.
A block marked `no-run` says itself why it cannot run here. Notebooks are run from the first cell to the last.

All of it runs in this process but for what a shell has to do. Training is cut short (`SHORTER`): that it works is shown
here, how well in `benchmarks/`.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import command_line
import pytest

import biogpt

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
FILE = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORTER = {
    "epochs = 12\ntokens_per_step = 1024\n": "epochs = 4\nnum_averaged = 1\ntokens_per_step = 256\n",
    "epochs=8)": "epochs=2)",
}
"""What of examples and notebooks trains for long -> what trains for a few seconds."""


def test_what_trains_for_long_is_cut_short() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "examples/finetuning/triage.toml", *NOTEBOOKS)]
    assert all(any(whole in text for text in texts) for whole in SHORTER)


def blocks(path: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(path.read_text(encoding="utf-8"))


def run(command: list[str], directory: Path) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    result = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def run_command(command: str) -> None:
    """A line of a console: `biogpt` in this process, what else there is in a shell."""
    words = shlex.split(command)
    if words[0] != "biogpt" or set("|<>&;") & set(command):
        run(["bash", "-euo", "pipefail", "-c", command], Path.cwd())
        return
    done = command_line.run(*words[1:])
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def cut_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for whole, part in SHORTER.items():
        text = text.replace(whole, part)
    path.write_text(text, encoding="utf-8")


ELSEWHERE = {"add-a-task.md": "integration/test_tasks.py", "formats.md": "unit/documents/test_formats_page.py"}
"""Pages that are run where all that they show is compared, too."""


@pytest.mark.parametrize(
    "path", [path for path in FILES if blocks(path) and path.name not in ELSEWHERE], ids=lambda path: path.name
)
def test_code_blocks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks(path)
    assert found
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples" / "finetuning", "examples/finetuning")
    cut_short(Path("examples/finetuning/triage.toml"))
    for name, num_rows in {"train.csv": 100, "test.csv": 10}.items():
        table = Path("examples/finetuning", name)
        lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
        table.write_text("".join(lines[: num_rows + 1]), encoding="utf-8")
    for name, text in FILE.findall(path.read_text(encoding="utf-8")):
        Path(name).write_text(text, encoding="utf-8")
    for _, text in (block for block in found if block[0] == "console"):
        for command in re.findall(r"^\$ (.+)$", text, re.MULTILINE):
            run_command(command)
    script = "\n".join(text for language, text in found if language == "python")
    if "register_auto_classes" in script:  # which would last for all tests after this one
        run([sys.executable, "-W", "ignore", "-c", script], tmp_path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(script, str(path), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="the 'docs' extra is not installed")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    cut_short(copy)
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


@pytest.mark.parametrize("name", ELSEWHERE)
def test_pages_that_are_run_elsewhere_are(name: str) -> None:
    assert f'"{name}"' in (ROOT / "tests" / ELSEWHERE[name]).read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    for path in FILES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
