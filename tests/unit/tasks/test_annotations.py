"""Annotated documents as training data: the same examples from every format, and what does not fit is said."""

import json
import warnings
from pathlib import Path

import pytest

from biogpt.documents import read_documents, write_documents
from biogpt.errors import DataError
from biogpt.tasks.task import Task, load_task

PUBTATOR = """1|t|Lithium and tremor
1|a|Ten patients had severe tremor. Lithium caused tremor. Anti-lithium drugs help.
1\t0\t7\tLithium\tChemical\tMESH:D008094
1\t12\t18\ttremor\tDisease\tMESH:D014202
1\t36\t49\tsevere tremor\tDisease\tMESH:D014202
1\t51\t58\tLithium\tChemical\tMESH:D008094
1\t66\t72\ttremor\tDisease\tMESH:D014202
1\tCID\tMESH:D008094\tMESH:D014202

2|t|Nothing here
2|a|No drug.

"""
TAGGING = """
kind = "tagging"
title = "Names"
slots.mention = {}
slots.label.choices = ["chemical", "disease"]
dataset.reader = "annotations"
score = { metric = "spans", main = "f1" }
"""
RELATION = """
kind = "relation"
title = "Pairs"
sentence = "{chemical} {effect} {disease}"
slots.chemical = {}
slots.disease = {}
slots.effect.choices = ["causes", "treats"]
dataset.reader = "annotations"
dataset.renamed = { CID = "causes" }
score = { metric = "exact", main = "f1" }
"""
WRITTEN = {
    "a.PubTator": None,
    "b.xml": None,
    "c.json": None,
    "d": "brat",
    "e.jsonl": "doccano",
    "f.json": "label-studio",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotated")
    (folder / "a.PubTator").write_text(PUBTATOR)
    for name, format in list(WRITTEN.items())[1:]:
        write_documents(read_documents(folder / "a.PubTator"), folder / name, format)
    tasks = json.loads((folder / "f.json").read_text())
    for task in tasks:
        task.setdefault("annotations", [{"result": []}])  # somebody has looked, and found nothing
    (folder / "f.json").write_text(json.dumps(tasks))
    return folder


def make_task(folder: Path, text: str) -> Task:
    path = folder / "task.toml"
    path.write_text(text)
    return load_task(path)


@pytest.mark.parametrize("name", WRITTEN)
def test_mentions_are_tags_of_words(folder: Path, tmp_path: Path, name: str) -> None:
    examples = make_task(tmp_path, TAGGING).read(folder / name)
    found = [(each.text, [(item.slots["label"], item.slots["mention"]) for item in each.items]) for each in examples]
    assert found == [
        ("Lithium and tremor .", [("chemical", "Lithium"), ("disease", "tremor")]),
        ("Ten patients had severe tremor .", [("disease", "severe tremor")]),
        ("Lithium caused tremor .", [("chemical", "Lithium"), ("disease", "tremor")]),
        ("Anti - lithium drugs help .", []),
        ("Nothing here .", []),
        ("No drug .", []),
    ]
    assert len({each.id for each in examples}) == len(examples)
    assert [each.document for each in examples] == ["1", "1", "1", "1", "2", "2"]


@pytest.mark.parametrize("name", WRITTEN)
def test_relations_are_between_entities(folder: Path, tmp_path: Path, name: str) -> None:
    first, second = make_task(tmp_path, RELATION).read(folder / name)
    (item,) = first.items
    has_identifiers = name not in ("e.jsonl", "f.json")  # which these cannot say: only the same name is the same entity
    disease = "severe tremor" if has_identifiers else "tremor"
    assert item.slots == {"chemical": "Lithium", "disease": disease, "effect": "causes"}
    assert [first.text[slice(*span)] for span in item.spans["chemical"]] == ["Lithium", "Lithium"]
    assert len(item.spans["disease"]) == (3 if has_identifiers else 2)
    assert second.items == ()


def test_a_shipped_task_takes_them_too(folder: Path) -> None:
    with pytest.warns(UserWarning, match=r"b\.xml: left out other types: Chemical \(2\)"):
        examples = load_task("ncbi_disease").read(folder / "b.xml")
    assert [item.slots["mention"] for example in examples for item in example.items] == [
        *("tremor", "severe tremor", "tremor")
    ]
    (example,) = load_task("bc5cdr").read(folder / "b.xml")  # without relations it is dropped, as the task says
    assert example.items[0].ids == {"chemical": "D008094", "disease": "D014202"}


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    lines = [
        {"id": 1, "text": "Antitumour drugs. Bad gout hurts.", "label": [[4, 10, "Disease"], [18, 26, "Disease"]]},
        {"id": 2, "text": "Bad gout hurts.", "label": [[0, 8, "Disease"], [4, 8, "Disease"], [9, 14, "Verb"]]},
        {"id": 3, "text": "See Dr. X. Jones now.", "label": [[4, 16, "Chemical"]]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    task = make_task(tmp_path, TAGGING)
    with pytest.warns(UserWarning, match="left out") as caught:
        examples = task.read(path)
    (message,) = [str(each.message) for each in caught]
    assert "1 parts of words, whose whole words are taken (the first: 1: 'tumour')" in message
    assert "1 mentions inside others (the first: 2: 'gout')" in message
    assert "other types: Verb (1)" in message
    assert [item.slots["mention"] for each in examples for item in each.items] == [
        *("Antitumour", "Bad gout", "Bad gout", "Dr . X . Jones")
    ]


def test_nothing_that_fits_is_an_error_with_the_types_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "text": "Bad gout.", "label": [[0, 8, "DISO"]]}\n')
    with pytest.raises(DataError, match=r"no annotation of the task 'task'\. .* found DISO \(1\)\. .*renamed"):
        make_task(tmp_path, TAGGING).read(path)
    renamed = TAGGING.replace('"annotations"', '"annotations"\ndataset.renamed = { DISO = "disease" }')
    assert len(make_task(tmp_path, renamed).read(path)) == 1


def test_tasks_that_nobody_has_annotated_are_left_out(tmp_path: Path) -> None:
    value = {"start": 0, "end": 4, "labels": ["Disease"]}
    tasks = [
        {"data": {"text": "Gout hurts."}, "annotations": [{"result": [{"type": "labels", "value": value}]}]},
        {"data": {"text": "Gout again."}, "annotations": [], "predictions": [{"result": []}]},
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks))
    with pytest.warns(UserWarning, match="1 documents that nobody has annotated"):
        (example,) = make_task(tmp_path, TAGGING).read(path)
    assert example.text == "Gout hurts ."


@pytest.mark.data
def test_the_development_set_of_bc5cdr(data_path: Path, tmp_path: Path) -> None:
    path = data_path / "benchmarks/BC5CDR/CDR_Data/CDR.Corpus.v010516/CDR_DevelopmentSet.PubTator.txt"
    task = load_task("bc5cdr")
    first = task.read(path)
    write_documents(read_documents(path), tmp_path / "dev.xml")
    second = task.read(tmp_path / "dev.xml")
    assert [example.text for example in second] == [example.text for example in first]
    pairs = [{tuple(item.slots.values()) for item in example.items} for example in first]
    same = [
        {tuple(item.slots.values()) for item in example.items} == known
        for example, known in zip(second, pairs, strict=True)
    ]
    assert sum(same) >= 497  # in three, one name has several identifiers, which a node of BioC cannot tell apart
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples = load_task("bc5cdr_disease").read(path)
    assert sum(len(example.items) for example in examples) == 4244
