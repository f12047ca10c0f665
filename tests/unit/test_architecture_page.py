"""docs/architecture.md names what there is: every module once, no others, and the layers that import-linter holds."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "biogpt"


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_tree_has_every_module_once_and_no_others(page):
    (tree,) = re.findall(r"```text\nsrc/biogpt/\n(.*?)```", page, re.DOTALL)
    shown, folders, room = [], [], ""
    for line in tree.splitlines():
        if line and line[0] != " ":
            room = line.split()[0]
            folders.append(room)
        shown += [room + name for name in re.findall(r"[\w/]+\.py", line)]
        folders += [room + name for name in re.findall(r"[\w/]+/(?=[ ,]|$)", line) if name != room]
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    assert sorted(shown) == sorted(name for name in modules if not name.endswith("__init__.py"))
    assert {f"{path.name}/" for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"} <= set(folders)
    assert all((PACKAGE / folder).is_dir() for folder in folders), folders


def test_what_is_named_in_the_text_exists(page):
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[\w*]+\.(?:py|toml|html))?)`", page))
    named |= {f"**/{name}" for name in re.findall(r"`(\w+\.py)`", page)}
    assert len(named) > 60
    for name in named:
        assert any(list(base.glob(name)) for base in (PACKAGE, ROOT)), name


def test_the_picture_has_the_layers(page):
    (picture,) = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    nodes = dict(re.findall(r'(\w+)\["([\w, ]+)', picture))
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = [layer.split(" | ") for layer in contracts[0]["layers"]]
    heights = {name: -height for height, layer in enumerate(layers) for name in layer}
    assert {name for node in nodes.values() for name in node.split(", ")} == heights.keys()
    for arrows in re.findall(r"^ *(\w+(?: --> \w+)+)$", picture, re.MULTILINE):
        rooms = [nodes[node].split(", ") for node in arrows.split(" --> ")]
        for above, below in pairwise(rooms):
            assert min(heights[name] for name in above) > max(heights[name] for name in below), arrows
