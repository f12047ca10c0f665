"""Constraints on the gold of the real data sets: what an annotator wrote is allowed, where it can be said at all."""

import functools
import re
from pathlib import Path

import pytest

from biogpt.decoding.constraint import compile_constraint
from biogpt.model.checkpoint import resolve_model
from biogpt.tasks.encoding import encode_target
from biogpt.tasks.example import Example
from biogpt.tasks.task import Task, load_task
from biogpt.text import moses
from biogpt.text.tokenizer import BioGptTokenizer

pytestmark = pytest.mark.data

STEP = 20  # every twentieth example is walked through: more says nothing else, and takes long
# Documents of each split, and how many of them cannot be said in full, because a name does not stand in the source as
# one piece ("renal failure" in "renal and hepatic failure"; database names), or the gold says something twice.
COUNTS = {
    ("bc5cdr", "BC5CDR", "train"): (500, 19),
    ("bc5cdr", "BC5CDR", "dev"): (500, 14),
    ("bc5cdr", "BC5CDR", "test"): (500, 8),
    ("ddi", "DDI", "train"): (469, 44),
    ("ddi", "DDI", "dev"): (41, 4),
    ("ddi", "DDI", "test"): (191, 6),
    ("kd_dti", "KD-DTI", "dev"): (1000, 997),
    ("kd_dti", "KD-DTI", "test"): (1159, 1054),
    ("pubmedqa", "PubMedQA", "train"): (450, 0),
    ("pubmedqa", "PubMedQA", "dev"): (50, 0),
    ("pubmedqa", "PubMedQA", "test"): (500, 0),
    ("hoc", "HoC", "test"): (4947, 0),
}
PAGE = Path(__file__).resolve().parents[3] / "docs" / "decoding.md"


@pytest.fixture(scope="module")
def tokenizer() -> BioGptTokenizer:
    return BioGptTokenizer.from_pretrained(resolve_model("mini"))


@functools.lru_cache(maxsize=1)
def split(source: str) -> str:
    """The words of a source, of which every name is asked."""
    return " ".join(moses.split_words([source])[0])


def stands_in(name: str, source: str) -> bool:
    """Whether the words of a name are consecutive words of a source, but for what Moses leaves on the outer ones."""
    words = moses.split_words([f"x {name} x"])[0][1:-1]
    if words[-1].endswith(".") and "." not in words[-1][:-1]:
        return False  # the full stop of a sentence, taken for the name's
    pattern = r"(?:^| )-*" + re.escape(" ".join(words)) + r"[-.']*(?: |$)"
    return re.search(pattern, split(source)) is not None


def can_be_said(task: Task, example: Example) -> bool:
    items = [tuple(value.lower() for value in item.slots.values()) for item in example.items]
    if len(set(items)) < len(items):
        return False
    for item in example.items:
        for name, slot in task.schema.slots.items():
            value = item.slots[name]
            if slot.is_entity and not stands_in(value.lower(), task.prompt(example)):
                return False
            if not slot.is_entity and value not in slot.choices:
                return False
    return True


@pytest.mark.parametrize(("name", "folder", "split"), COUNTS)
def test_gold_is_allowed_wherever_it_can_be_said(data_path, tokenizer, name, folder, split):
    task = load_task(name)
    examples = task.read(data_path / "benchmarks" / folder, split)
    for example in examples[:: STEP * 5 if name == "hoc" else STEP]:
        source_ids = tokenizer.encode_ids([task.prompt(example)])[0]
        state = compile_constraint(task.grammar(example), tokenizer, source_ids).begin(2000)
        ids = encode_target(task, tokenizer, example)
        is_allowed = all(index in state.allowed() and state.accept(index) == 0 for index in ids) and state.is_done
        assert is_allowed is can_be_said(task, example), f"{example.id}: {task.target(example)}"
    num_impossible = sum(not can_be_said(task, example) for example in examples)
    assert (len(examples), num_impossible) == COUNTS[name, folder, split]
    assert f"| `{name}` | {split} | {len(examples):,} | {num_impossible:,} |" in PAGE.read_text(encoding="utf-8")
