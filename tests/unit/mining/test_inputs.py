import gzip
import io
import zipfile

import pytest
from openpyxl import Workbook

from biogpt.errors import DataError, InputError
from biogpt.mining.inputs import find_inputs, prepare_inputs, read_input
from biogpt.tasks.task import load_task

QUESTIONS = load_task("pubmedqa")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "b.txt").write_text("Second.", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "First."}\n', encoding="utf-8")
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / ".hidden.txt").write_text("Hidden.", encoding="utf-8")
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "d.txt").write_text("Deep.", encoding="utf-8")
    return tmp_path


def read_all(inputs):
    problems = []
    asked = [pair for source in inputs for pair in read_input(source, problems.append)]
    return asked, [str(problem) for problem in problems]


def test_a_directory_is_its_files_by_name(folder):
    problems = []
    inputs = find_inputs([folder], io.BytesIO(), on_problem=problems.append)
    assert [(source.path.name, source.format) for source in inputs] == [("a.jsonl", "jsonl"), ("b.txt", "text")]
    assert [record.text for record, _ in read_all(inputs)[0]] == ["First.", "Second."]
    assert len(problems) == 2
    assert "c.pdf is a PDF. Expected text" in str(problems[0])
    assert "within: left out: a folder in a folder. --recursive reads it" in str(problems[1])


def test_folders_within_are_walked_where_that_is_wanted(folder):
    (folder / "within" / "brat").mkdir()
    (folder / "within" / "brat" / "1.ann").touch()
    (folder / "within" / "loop").symlink_to(folder)
    problems = []
    inputs = find_inputs([folder], io.BytesIO(), on_problem=problems.append, is_recursive=True)
    names = [(source.path.name, source.format) for source in inputs]
    assert names == [("a.jsonl", "jsonl"), ("b.txt", "text"), ("brat", "brat"), ("d.txt", "text")]
    assert [problem.place.rpartition("/")[2] for problem in problems] == ["c.pdf", "loop"]


def test_names_keep_their_order_and_may_come_twice(folder):
    inputs = find_inputs([folder / "b.txt", folder / "a.jsonl", folder / "b.txt"], io.BytesIO())
    assert [record.text for record, _ in read_all(inputs)[0]] == ["Second.", "First.", "Second."]


def test_a_directory_with_annotations_is_one_of_brat(folder):
    (folder / ".hidden.txt").unlink()
    (folder / "b.ann").write_text("T1\tDrug 0 6\tSecond\n", encoding="utf-8")
    (source,) = find_inputs([folder], io.BytesIO())
    assert source.format == "brat"
    assert [record.id for record, _ in read_all([source])[0]] == ["b"]


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (b"Just text.", "text"),
        (b'{"text": "Just text."}\n', "jsonl"),
        (b"1|t|Just text.\n1|a|\n", "pubtator"),
        (b"id,text\n1,Just text.\n", "csv"),
        (b"PMID\tTitle\n1\tJust text.\n", "tsv"),
        (gzip.compress(b"Just text.", mtime=0), "text"),
        (gzip.compress(b"id,text\n1,Just text.\n", mtime=0), "csv"),
    ],
)
def test_standard_input_is_known_by_its_first_bytes(content, format):
    stdin = io.BufferedReader(io.BytesIO(content))
    if content.startswith(b"\x1f\x8b"):
        inputs = find_inputs(["-"], stdin)
        assert inputs[0].path.name == "stdin.gz"
    else:
        inputs = find_inputs(["-"], stdin)
        assert inputs[0].format == format
    ((record, _),), problems = read_all(inputs)
    assert record.text == "Just text."
    assert not problems


def packed(**files):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        for name, content in files.items():
            made.writestr(name.replace("_", "."), content)
    return archive.getvalue()


def workbook(*rows):
    made, book = io.BytesIO(), Workbook()
    for row in rows:
        book.active.append(row)
    book.save(made)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "format"),
    [
        (packed(a_txt="Just text."), "text"),
        (packed(a_pubtator="1|t|Just text.\n1|a|\n"), "pubtator"),
        (workbook(["id", "text"], [1, "Just text."]), "xlsx"),
    ],
)
def test_archives_and_workbooks_are_read_from_standard_input(content, format):
    for stdin in (io.BufferedReader(io.BytesIO(content)), io.BytesIO(content)):
        inputs = find_inputs(["-"], stdin)
        assert inputs[0].format == format
        ((record, _),), problems = read_all(prepare_inputs(load_task("bc5cdr"), inputs))
        assert (record.text, problems) == ("Just text.", [])


def test_fields_come_from_a_workbook_on_standard_input():
    content = workbook(["id", "question", "context"], [7, "A?", "B."])
    inputs = prepare_inputs(QUESTIONS, find_inputs(["-"], io.BufferedReader(io.BytesIO(content))))
    assert [fields for _, fields in read_all(inputs)[0]] == [{"question": "A?", "context": "B."}]


def test_a_damaged_archive_on_standard_input_is_refused():
    with pytest.raises(DataError, match=r"stdin\.zip: the zip archive is damaged"):
        find_inputs(["-"], io.BufferedReader(io.BytesIO(b"PK\x03\x04rest")))
    with pytest.raises(DataError, match="files of several kinds"):
        find_inputs(["-"], io.BufferedReader(io.BytesIO(packed(a_txt="A.", b_csv="id,text"))))


def test_fields_come_from_json_lines_and_tables(tmp_path):
    (tmp_path / "q.jsonl").write_text(
        '{"id": 1, "question": "A?", "context": "B."}\n\n[1]\n{"question": "A?"}\nnot json\n'
        '{"question": "C?", "context": "D."}\n{"question": "C?", "context": 7}\n',
        encoding="utf-8",
    )
    (tmp_path / "q.csv").write_text('id,question,context\n7,A?,"B, b."\n8,only\n9,A?,\n', encoding="utf-8")
    inputs = find_inputs([tmp_path / "q.jsonl", tmp_path / "q.csv"], io.BytesIO())
    asked, problems = read_all(prepare_inputs(QUESTIONS, inputs))
    assert [(record.id, fields["question"], fields["context"]) for record, fields in asked] == [
        ("1", "A?", "B."),
        ("q.jsonl:6", "C?", "D."),
        ("7", "A?", "B, b."),
    ]
    places = [problem.removeprefix(str(tmp_path)) for problem in problems]
    assert [place.split(": ")[0] for place in places] == [
        "/q.jsonl:3",
        "/q.jsonl:4",
        "/q.jsonl:5",
        "/q.jsonl:7",
        "/q.csv:3",
        "/q.csv:4",
    ]


def test_what_cannot_have_fields_is_refused_before_work(tmp_path):
    (tmp_path / "a.txt").write_text("Text.", encoding="utf-8")
    (tmp_path / "q.csv").write_text("id,question,contexts\n1,a,b\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"a.txt is text, but the task 'pubmedqa' reads several fields"):
        prepare_inputs(QUESTIONS, find_inputs([tmp_path / "a.txt"], io.BytesIO()))
    with pytest.raises(DataError, match=r"no column 'context'. Did you mean 'contexts'?"):
        prepare_inputs(QUESTIONS, find_inputs([tmp_path / "q.csv"], io.BytesIO()))
    assert prepare_inputs(load_task("bc5cdr"), find_inputs([tmp_path / "a.txt"], io.BytesIO()))[0].fields == ()


@pytest.mark.parametrize("name", ["missing.txt", "unknown.xyz"])
def test_a_wrong_name_is_one_line(tmp_path, name):
    (tmp_path / "unknown.xyz").write_bytes(b"\x00\x01")
    with pytest.raises(DataError) as caught:
        find_inputs([tmp_path / name], io.BytesIO())
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_format_is_said_at_once():
    with pytest.raises(InputError, match=r"Unknown format 'cvs'. Did you mean 'csv'"):
        find_inputs(["-"], io.BytesIO(), "cvs")


def test_an_empty_directory_is_said(tmp_path):
    with pytest.raises(DataError, match="has no file that can be read"):
        find_inputs([tmp_path], io.BytesIO())


def test_the_columns_of_the_tasks_own_table_are_read_where_a_file_has_them(tmp_path):
    (tmp_path / "pairs.toml").write_text(
        'kind = "relation"\ntitle = "t"\nsource = "{text}"\nsentence = "{drug} hits {gene}"\n'
        '[slots.drug]\n[slots.gene]\n[dataset]\nreader = "table"\n'
        'columns = { id = "key", text = "Sentence", drug = "Drug", gene = "Gene" }\n[score]\nmetric = "exact"\n'
    )
    (tmp_path / "own.csv").write_text('key,Sentence,title\nk1,"One, two.",T\n', encoding="utf-8")
    (tmp_path / "own.jsonl").write_text('{"key": 5, "Sentence": "Three."}\n', encoding="utf-8")
    (tmp_path / "other.csv").write_text("id,title,abstract\n7,Four,Five.\n", encoding="utf-8")
    (tmp_path / "wrong.csv").write_text("key,Sentense\nk1,x\n", encoding="utf-8")
    task = load_task(tmp_path / "pairs.toml")
    names = [tmp_path / name for name in ("own.csv", "own.jsonl", "other.csv")]
    asked, problems = read_all(prepare_inputs(task, find_inputs(names, io.BytesIO())))
    assert [(record.id, record.text) for record, _ in asked] == [
        ("k1", "One, two."),
        ("5", "Three."),
        ("7", "Four. Five."),
    ]
    assert not problems
    with pytest.raises(DataError, match="has no column 'text'"):
        prepare_inputs(task, find_inputs([tmp_path / "wrong.csv"], io.BytesIO()))


def test_results_in_the_folder_of_the_input_are_no_input(folder):
    (folder / "found.jsonl").write_text('{"text": "Found."}\n', encoding="utf-8")
    (folder / "found.jsonl.run.json").write_text("{}", encoding="utf-8")
    inputs = find_inputs([folder], io.BytesIO())
    assert [source.path.name for source in inputs] == ["a.jsonl", "b.txt"]


def test_standard_input_is_read_once():
    with pytest.raises(InputError, match="twice"):
        find_inputs(["-", "-"], io.BytesIO())


def test_running_text_with_commas_on_standard_input_is_no_table():
    for text in (
        "Text, they say, is text.",
        "id\rtext, old line ends",
        "In 1999, title holders of the ID, which we asked, agreed.",
        "a,b\n",
        ",\n",
    ):
        (source,) = find_inputs(["-"], io.BufferedReader(io.BytesIO(text.encode())))
        assert source.format == "text", text


@pytest.mark.parametrize("content", ["Fieber, 38,5 °C, geht vorüber".encode("latin-1"), bytes(range(256)) * 4])
def test_what_is_no_utf_8_on_standard_input_is_refused_before_it_is_read(content):
    inputs = find_inputs(["-"], io.BufferedReader(io.BytesIO(content)))
    with pytest.raises(DataError, match=r"stdin is (not in UTF-8|UTF-16 or binary)"):
        prepare_inputs(load_task("bc5cdr"), inputs)


def test_columns_of_fields_are_found_whatever_their_case(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("PMID,Question,CONTEXT\n7,Does it help?,It did.\n", encoding="utf-8")
    ((record, fields),), problems = read_all(prepare_inputs(QUESTIONS, find_inputs([path], io.BytesIO())))
    assert (record.native.cells[0], fields) == ("7", {"question": "Does it help?", "context": "It did."})
    assert not problems


def test_a_table_of_fields_with_a_column_twice_or_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text("question,context,Question\na,b,c\n", encoding="utf-8")
    with pytest.raises(DataError, match="has the column 'question' more than once"):
        prepare_inputs(QUESTIONS, find_inputs([path], io.BytesIO()))
    path.write_text("question,context\nHilft es?,Fieber für Tage\nÜbel?,ja\n", encoding="latin-1")
    with pytest.raises(DataError, match="is not in UTF-8"):
        prepare_inputs(QUESTIONS, find_inputs([path], io.BytesIO()))


def test_a_character_that_the_look_ahead_cuts_in_two_is_none_too_many():
    text = "a" * (io.DEFAULT_BUFFER_SIZE - 1) + "β-blockers"
    inputs = prepare_inputs(load_task("bc5cdr"), find_inputs(["-"], io.BufferedReader(io.BytesIO(text.encode()))))
    assert [record.text for record, _ in read_all(inputs)[0]] == [text]


def test_keys_of_json_lines_are_read_as_they_are_written(tmp_path):
    (tmp_path / "own.toml").write_text(
        'kind = "classification"\ntitle = "Own"\nsource = "{text}"\nsentence = "it is {label}"\n'
        'slots.label.choices = ["a", "b"]\n'
        'dataset.reader = "table"\ndataset.columns = { id = "id", text = "Text", label = "Label" }\n'
        'score = { metric = "labels", main = "f1" }\n'
    )
    (tmp_path / "d.jsonl").write_text('{"text": "First."}\n')
    asked, problems = read_all(
        prepare_inputs(load_task(tmp_path / "own.toml"), find_inputs([tmp_path / "d.jsonl"], io.BytesIO()))
    )
    assert ([record.text for record, _ in asked], problems) == (["First."], [])
