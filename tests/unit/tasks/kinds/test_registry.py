"""The kinds of tasks: found by name, without state, and alike in what they offer."""

import re
from pathlib import Path

import pytest

import biogpt
from biogpt.errors import ConfigError
from biogpt.tasks.kinds.kind import Kind
from biogpt.tasks.kinds.registry import KINDS, find_kind
from biogpt.tasks.task import Task, load_task, task_names

TASKS = {task.kind.name: task for task in map(load_task, task_names())}


def test_these_kinds_are_known() -> None:
    assert list(KINDS) == ["relation", "answering", "classification", "tagging", "generation"]
    assert all(find_kind(name) is kind for name, kind in KINDS.items())


def test_an_unknown_kind_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"unknown kind 'relations'\. Did you mean 'relation'"):
        find_kind("relations")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_a_kind_has_no_state(kind: Kind) -> None:
    assert vars(kind) == {}


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_head_exists_where_the_kind_can_be_classified(task: Task) -> None:
    labels = task.kind.head_labels(task.schema)
    assert bool(labels) is ("classification" in task.kind.heads)
    assert set(task.kind.gold_labels(task.schema, task.example())) <= set(labels)


@pytest.mark.parametrize(
    ("name", "extracts", "types", "roles"),
    [
        ("bc5cdr", "relations", ("Chemical", "Disease"), ("chemical", "disease")),
        ("ddi", "relations", ("Drug", "Target"), ("drug", "target")),
        ("jnlpba", "entities", ("DNA", "RNA", "cell_line", "cell_type", "protein"), ()),
        ("pubmedqa", "labels", (), ()),
        ("hoc", "labels", (), ()),
        ("textgen", "labels", (), ()),
    ],
)
def test_what_an_extraction_consists_of(
    name: str, extracts: str, types: tuple[str, ...], roles: tuple[str, ...]
) -> None:
    task = load_task(name)
    assert task.kind.extracts == extracts
    assert sorted(task.kind.entity_types(task.schema)) == sorted(types)
    assert task.kind.role_slots(task.schema) == roles


def test_only_classification_has_several_labels_in_a_row() -> None:
    row = {"slot": "a | b"}
    for kind in KINDS.values():
        several = [{"slot": "a"}, {"slot": "b"}]
        assert kind.split_row(row) == (several if kind.has_several_labels else [row])


def test_no_other_module_decides_by_the_name_of_a_kind() -> None:
    source = Path(biogpt.__file__).parent
    kinds = source / "tasks" / "kinds"
    pattern = re.compile(r"\.kind (==|!=) [\"']|\.kind (in|not in) ")
    found = [
        f"{path.relative_to(source)}: {line.strip()}"
        for path in sorted(source.rglob("*.py"))
        if kinds not in path.parents
        for line in path.read_text(encoding="utf-8").split("\n")
        if pattern.search(line)
    ]
    assert found == []
