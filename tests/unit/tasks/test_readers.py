import json

import pytest

from biogpt.errors import DataError, InputError
from biogpt.tasks.readers import read_pubtator_pairs
from biogpt.tasks.task import load_task

TABLE = """
kind = "relation"
title = "Drugs and genes"
source = "{title} {text}"
sentence = "{drug} acts on {gene}: {effect}"
[slots.drug]
[slots.gene]
[slots.effect]
choices = ["induces", "inhibits"]
[dataset]
reader = "table"
files = { test = "pairs.csv" }
columns = { id = "pmid", title = "title", text = "abstract", drug = "Drug", gene = "Gene", effect = "Effect" }
[score]
metric = "exact"
"""
HEADER = "pmid,title,abstract,Drug,Gene,Effect\n"
ROWS = '1,A title.,"One, two.",x,y,induces\n1,A title.,"One, two.",x,z,inhibits\n2,B.,Three.,,,\n'


@pytest.fixture
def table_task(tmp_path):
    path = tmp_path / "table.toml"
    path.write_text(TABLE, encoding="utf-8")
    return load_task(path)


def write(path, text: str | bytes):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message_of(read) -> str:
    with pytest.raises((DataError, InputError)) as caught:
        read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_with_the_same_id_are_one_example(table_task, tmp_path):
    write(tmp_path / "pairs.csv", "\ufeff" + HEADER + ROWS)
    first, second = table_task.read(tmp_path)
    assert (first.id, first.text, len(first.items)) == ("1", "A title. One, two.", 2)
    assert dict(first.items[1].slots) == {"drug": "x", "gene": "z", "effect": "inhibits"}
    assert (second.id, second.items) == ("2", ())


@pytest.mark.parametrize(("name", "separator"), [("pairs.csv", ";"), ("pairs.csv", "\t"), ("pairs.tsv", "\t")])
def test_other_separators_are_seen(table_task, tmp_path, name, separator):
    text = separator.join(HEADER.split(",")) + separator.join(["1", "A.", "Text.", "x", "y", "induces"]) + "\r\n"
    [example] = table_task.read(write(tmp_path / name, text))
    assert len(example.items) == 1


def test_json_lines_are_a_table_too(table_task, tmp_path):
    record = {"pmid": 1, "title": "A.", "abstract": "Text.", "Drug": "x", "Gene": "y", "Effect": "induces"}
    [example] = table_task.read(write(tmp_path / "pairs.jsonl", json.dumps(record) + "\n"))
    assert example.id == "1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER.replace("Gene", "Genes") + ROWS, "no column 'Gene'. Did you mean 'Genes'?"),
        (HEADER + "1,A.,T.,x,y\n", "pairs.csv:2: 5 cells; expected 6: "),
        (HEADER + "1,A.,T.,x,y,induce\n", "pairs.csv:2: unknown effect 'induce'. Did you mean 'induces'?"),
        (HEADER + "1,A.,T.,x,,induces\n", "pairs.csv:2: 'gene' is empty but others are not"),
        (HEADER + ",A.,T.,x,y,induces\n", "pairs.csv:2: the column 'pmid' is empty"),
        (
            HEADER + "1,A.,T.,x,y,induces\n1,A.,U.,x,z,induces\n",
            "pairs.csv:3: the text of '1' is not the one of line 2",
        ),
        (HEADER, "has no examples"),
        ("", "has no examples"),
        (HEADER + '1,A.,"T.,x,y,induces\n', "pairs.csv:2: quotes do not fit"),
        ((HEADER + "1,Ä.,T.,x,y,induces\n").encode("latin-1"), "is not UTF-8: byte 0xc4"),
        ((HEADER + ROWS).encode("utf-16"), "is not UTF-8: byte 0xff"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_line(table_task, tmp_path, text, message):
    path = write(tmp_path / "pairs.csv", text)
    assert message in message_of(lambda: table_task.read(path))


def test_files_that_are_not_there_are_said(table_task, tmp_path):
    assert "no file 'pairs.csv'" in message_of(lambda: table_task.read(tmp_path))
    assert "There is no file or directory" in message_of(lambda: table_task.read(tmp_path / "none"))
    assert "no split 'tset'. Did you mean 'test'?" in message_of(lambda: table_task.read(tmp_path, "tset"))
    workbook = write(tmp_path / "pairs.xlsx", b"PK")
    assert "Save its sheet as CSV" in message_of(lambda: table_task.read(workbook))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bc5cdr", "[1]", "one JSON object of id -> document"),
        ("bc5cdr", "{", "is not JSON"),
        (
            "bc5cdr",
            '{"1": {"title": "t", "abstract": "a", "relation": []}}',
            "no 'relations'. Did you mean 'relation'?",
        ),
        (
            "bc5cdr",
            '{"1": {"title": "t", "abstract": "a", "relations": [{"chemical": "D1", "disease": "D2"}], '
            '"chemical2id": {}, "disease2id": {}}}',
            "document 1 has no name for the chemical 'D1'",
        ),
        (
            "ddi",
            '{"1": {"abstract": "a", "triples": [{"drug": "x", "target": "y"}]}}',
            "a triple without 'interaction'",
        ),
        (
            "ddi",
            '{"1": {"abstract": "a", "triples": [{"drug": "x", "target": "y", "interaction": "effects"}]}}',
            "unknown interaction 'effects'. Did you mean 'effect'?",
        ),
        ("pubmedqa", '{"1": {"QUESTION": "q", "CONTEXT": []}}', "no 'CONTEXTS'. Did you mean 'CONTEXT'?"),
        ("pubmedqa", '{"1": {"QUESTION": "q", "CONTEXTS": ["c"], "final_decision": "yess"}}', "unknown answer 'yess'"),
    ],
)
def test_what_is_wrong_with_a_data_set_is_said(tmp_path, name, content, message):
    path = write(tmp_path / "test.json", content)
    assert message in message_of(lambda: load_task(name).read(path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("hoc", "A sentence .\tempty\tmore\n", "test.tsv:1: got 3 columns"),
        ("hoc", "A .\tempty\n\nB .\temty\n", "test.tsv:3: unknown label 'emty'. Did you mean 'empty'?"),
        ("hoc", " \tempty\n", "the sentence is empty"),
        ("ncbi_disease", "A\tO\nB\tB-Diseas\n", "test.tsv:2: unknown label 'Diseas'. Did you mean 'Disease'?"),
        ("ncbi_disease", "A\tO\nB\tX\n", "test.tsv:2: got the tag 'X'"),
        ("ncbi_disease", "A\n", "test.tsv:1: got 'A'. Expected a word"),
        ("ncbi_disease", "A B\tO\n", "a word contains a space"),
    ],
)
def test_what_is_wrong_with_lines_is_said(tmp_path, name, content, message):
    path = write(tmp_path / "test.tsv", content)
    assert message in message_of(lambda: load_task(name).read(path))


def test_documents_without_relations_are_dropped_or_kept(tmp_path):
    triple = {"drug": "x", "target": "y", "interaction": "int"}
    documents = {"1": {"abstract": "a", "triples": []}, "2": {"abstract": "b", "triples": [triple]}}
    path = write(tmp_path / "test.json", json.dumps(documents))
    assert [example.id for example in load_task("ddi").read(path)] == ["2"]
    assert [example.id for example in load_task("ddi", empty_documents="keep").read(path)] == ["1", "2"]


def test_labels_of_the_file_get_the_schema_s_names(tmp_path):
    path = write(tmp_path / "test.tsv", "-DOCSTART-\tO\n\nT\tB-CLTP\ncells\tI-CLTP\n\nNF\tB-protein\n")
    first, second = load_task("jnlpba").read(path)
    assert dict(first.items[0].slots) == {"mention": "T cells", "label": "cell_type"}
    assert dict(second.items[0].slots) == {"mention": "NF", "label": "protein"}
    assert (first.id, second.id) == ("3", "6")


def test_pubtator_is_read_with_its_offsets(tmp_path):
    text = (
        "7|t|Asthma and aspirin\n7|a|Aspirin induces asthma.\n7\t0\t6\tAsthma\tDisease\tMESH:D001249\n"
        "7\t11\t18\taspirin\tChemical\tD001241\n7\t19\t26\tAspirin\tChemical\tD001241\n7\t35\t41\tasthma\tDisease\tD001249\n"
        "7\tCID\tD001241\tD001249\n"
    )
    [example] = load_task("bc5cdr").read(write(tmp_path / "x.PubTator", text))
    assert example.text == "Asthma and aspirin. Aspirin induces asthma."
    [item] = example.items
    assert [example.text[start:end] for start, end in item.spans["chemical"]] == ["aspirin", "Aspirin"]
    assert [example.text[start:end] for start, end in item.spans["disease"]] == ["Asthma", "asthma"]
    assert example.vocabulary["disease"] == {"asthma": "D001249"}


def test_pubtator_that_is_none_is_said(tmp_path):
    path = write(tmp_path / "x.pubtator", "hello\n")
    assert "x.pubtator:1: got 'hello'" in message_of(lambda: load_task("bc5cdr").read(path))


def test_prompts_are_lines_or_records(tmp_path):
    task = load_task("textgen")
    assert [example.text for example in task.read(write(tmp_path / "p.txt", "one\n\ntwo\n"))] == ["one", "two"]
    [example] = task.read(write(tmp_path / "p.jsonl", '{"id": "x", "prompt": "one", "text": "more"}\n'))
    assert (example.id, task.target(example)) == ("x", "more")
    broken = write(tmp_path / "q.jsonl", '{"text": "one"}\n')
    assert "no 'prompt'" in message_of(lambda: task.read(broken))


def test_pubtator_may_hold_relations_alone(tmp_path):
    text = "1\tCID\tMESH:D1\tD2\t0.5\r\n2\t0\t3\tAsp\tChemical\tD3\n\n1\tCID\tD4\tD5\n1\tother\tD6\tD7\n"
    pairs = read_pubtator_pairs(write(tmp_path / "p.PubTator", text))
    assert pairs == {"1": [["D1", "D2"], ["D4", "D5"]], "2": []}
    with pytest.raises(DataError, match=r"q\.PubTator:2: got 'x'; expected id\|t\|title"):
        read_pubtator_pairs(write(tmp_path / "q.PubTator", "1\tCID\ta\tb\nx\n"))
    for reader in (read_pubtator_pairs, load_task("bc5cdr").read):
        with pytest.raises(DataError, match="document 1: a relation of 1 identifiers"):
            reader(write(tmp_path / "r.PubTator", "1|t|Title\n1\tCID\tD1\n"))
