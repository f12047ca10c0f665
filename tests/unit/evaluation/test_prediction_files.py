import json
from dataclasses import replace

import pytest

from biogpt.errors import DataError
from biogpt.evaluation.prediction_files import as_record, read_predictions
from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import load_task

CDR = load_task("bc5cdr")
HOC = load_task("hoc")
QA = load_task("pubmedqa")
NER = load_task("ncbi_disease")
VOCABULARY = {"chemical": {"cocaine": "D003042"}, "disease": {"rash": "D005076"}}
DOCUMENTS = [Example("1", "Cocaine and rash.", vocabulary=VOCABULARY), Example("2", "Nothing.", vocabulary=VOCABULARY)]
SENTENCES = [Example("1", "Breast cancer ."), Example("4", "A .")]
TEXT = "the relation between cocaine and rash exists."


def read(tmp_path, task, examples, name: str, content):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else "\n".join(map(json.dumps, content)), encoding="utf-8")
    return read_predictions(task, path, examples)


def slots(prediction):
    return [dict(item.slots) for item in prediction.items]


PAIR = {"chemical": "cocaine", "disease": "rash"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", [{"id": "1", "text": TEXT}, {"id": 2, "text": ""}]),
        ("p.jsonl", [{"id": 1, "items": [{"chemical": "Cocaine", "disease": "rash", "score": 0.5}]}]),
        ("p.json", json.dumps({"1": TEXT})),
        ("p.json", json.dumps({"1": [PAIR]})),
        ("p.csv", "id,chemical,disease\n1,cocaine,rash\n2,,\n"),
        ("p.tsv", "disease\tid\tchemical\nrash\t1\tcocaine\n"),
        ("p.txt", f"{TEXT}\n\n"),
        ("generate.detok", f"learned1 {TEXT}\nthere is no relation."),
    ],
)
def test_relations_come_in_many_forms_and_are_located(tmp_path, name, content):
    first = read(tmp_path, CDR, DOCUMENTS, name, content)[0]
    assert first.id == "1"
    assert slots(first) == [PAIR]
    assert first.items[0].ids == {"chemical": "D003042", "disease": "D005076"}
    assert first.items[0].spans == {"chemical": ((0, 7),), "disease": ((12, 16),)}


def test_scores_and_identifiers_are_kept(tmp_path):
    item = {"chemical_id": "D1", "disease_id": "D2", "score": 0.5}
    [prediction] = read(tmp_path, CDR, DOCUMENTS, "p.jsonl", [{"id": "1", "items": [item]}])
    assert prediction.items[0].ids == {"chemical": "D1", "disease": "D2"}
    assert prediction.items[0].score == 0.5


def test_pubtator_gives_identifiers(tmp_path):
    found = read(tmp_path, CDR, DOCUMENTS, "p.PubTator", "1\tCID\tMESH:D1\tD2\t1.0\n1\tCID\tD3\t-1\t1.0\n")
    assert [dict(item.ids) for item in found[0].items] == [
        {"chemical": "D1", "disease": "D2"},
        {"chemical": "D3", "disease": "-1"},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", json.dumps({"1": "yes", "2": "the answer to the question given the context is no."})),
        ("p.jsonl", [{"id": "1", "items": [{"answer": "yes"}]}, {"id": "2", "items": [{"answer": "no"}]}]),
        ("p.csv", "id,answer\n1,yes\n2,no\n"),
    ],
)
def test_answers_come_as_labels_or_texts(tmp_path, name, content):
    assert [slots(found) for found in read(tmp_path, QA, DOCUMENTS, name, content)] == [
        [{"answer": "yes"}],
        [{"answer": "no"}],
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.json", json.dumps({"1": ["empty", "cellular energetics"]})),
        ("p.csv", "id,label\n1,empty | cellular energetics\n"),
        ("p.jsonl", [{"id": "1", "text": "the type of this document is empty|cellular energetics."}]),
    ],
)
def test_labels_come_in_lists(tmp_path, name, content):
    [found] = read(tmp_path, HOC, DOCUMENTS, name, content)
    assert slots(found) == [{"label": "empty"}, {"label": "cellular energetics"}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.tsv", "Breast\tB-Disease\ncancer\tI-Disease\n.\tO\n\nA\tO\n.\tO\n"),
        ("p.jsonl", [{"id": "1", "tags": ["B-Disease", "I-Disease", "O"]}]),
        ("p.jsonl", [{"id": "1", "items": [{"mention": "Breast cancer", "label": "Disease", "start": 0, "end": 13}]}]),
        ("p.txt", "B-Disease I-Disease O\nO O\n"),
    ],
)
def test_tags_come_with_words_or_without(tmp_path, name, content):
    first = read(tmp_path, NER, SENTENCES, name, content)[0]
    assert first.items == (Item({"mention": "Breast cancer", "label": "Disease"}, {"mention": ((0, 13),)}),)


@pytest.mark.parametrize(
    ("task", "examples", "name", "content", "message"),
    [
        (CDR, DOCUMENTS, "p.jsonl", "{", "p.jsonl:1: not JSON"),
        (CDR, DOCUMENTS, "p.jsonl", "[]", "p.jsonl:1: got list"),
        (CDR, DOCUMENTS, "p.jsonl", [{"text": "x"}], "p.jsonl:1: no 'id'"),
        (CDR, DOCUMENTS, "p.jsonl", [{"id": "1", "txt": "x"}], "none of 'text', 'items' and 'tags'. Found: id, txt"),
        (CDR, DOCUMENTS, "p.jsonl", [{"id": "1", "items": "x"}], "'items' is 'x'. Expected a list"),
        (CDR, DOCUMENTS, "p.jsonl", [{"id": "1", "items": ["x"]}], "got the item 'x'"),
        (
            CDR,
            DOCUMENTS,
            "p.jsonl",
            [{"id": "1", "items": [{"chemical": "x", "diseases": "y"}]}],
            "an item has no 'disease'. Did you mean 'diseases'?",
        ),
        (CDR, DOCUMENTS, "p.jsonl", [{"id": "1", "items": [{**PAIR, "score": "high"}]}], "the score is 'high'"),
        (CDR, DOCUMENTS, "p.json", "[]", "holds a list"),
        (CDR, DOCUMENTS, "p.json", '{"1": 3}', "'1' is 3"),
        (CDR, DOCUMENTS, "p.csv", "pmid,chemical,disease\n1,x,y\n", "no column 'id'"),
        (CDR, DOCUMENTS, "p.csv", "id,chemical,diseas\n1,x,y\n", "no column 'disease'. Did you mean 'diseas'?"),
        (CDR, DOCUMENTS, "p.txt", "one line\n", "has 1 lines for 2 examples"),
        (CDR, DOCUMENTS, "p.xlsx", "PK", "is a workbook"),
        (HOC, DOCUMENTS, "p.csv", "id,label\n1,emty\n", "p.csv:2: unknown label 'emty'. Did you mean 'empty'?"),
        (HOC, DOCUMENTS, "p.pubtator", "1\tCID\ta\tb\n", "is scored by names"),
        (NER, SENTENCES, "p.tsv", "Breast\tO\n", "has 1 sentences for 2"),
        (NER, SENTENCES, "p.tsv", "Breast\tO\n\nA\tO\n.\tO\n", "p.tsv:1: other words than those"),
        (
            NER,
            SENTENCES,
            "p.jsonl",
            [{"id": "1", "items": [{"mention": "x", "label": "Disease"}]}],
            "a mention without 'start' and 'end'",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(tmp_path, task, examples, name, content, message):
    with pytest.raises(DataError) as caught:
        read(tmp_path, task, examples, name, content)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_encoding_is_said(tmp_path):
    path = tmp_path / "p.txt"
    path.write_bytes("naïve\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8: byte 0xef"):
        read_predictions(CDR, path, DOCUMENTS[:1])


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(DataError, match="Cannot read"):
        read_predictions(CDR, tmp_path / "none.jsonl", DOCUMENTS)


@pytest.mark.parametrize("name", ["bc5cdr", "hoc", "pubmedqa", "ncbi_disease", "textgen"])
def test_a_written_prediction_reads_back_whole(tmp_path, name):
    task = load_task(name)
    example = task.example()
    text = task.target(example) + (" and more" if task.schema.kind in ("relation", "classification") else "")
    parsed = task.parse(text, example)
    prediction = replace(parsed, items=tuple(replace(item, score=1 / 3) for item in parsed.items))
    path = tmp_path / "predictions.jsonl"
    path.write_text(json.dumps(as_record(prediction)), encoding="utf-8")
    assert prediction.items
    assert read_predictions(task, path, [example]) == [prediction]
