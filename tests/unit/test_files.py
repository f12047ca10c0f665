"""Files are read with what is wrong with them in one line, and written whole or not at all."""

import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.errors import DataError
from biogpt.files import (
    Problem,
    Reading,
    decoded_lines,
    dump_json,
    format_row,
    parse_json,
    parse_rows,
    raise_problem,
    read_json,
    read_json_lines,
    read_table,
    read_text,
    replacing,
    write_atomically,
    write_json,
    writing_atomically,
)


def test_a_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("indent", [None, 1, 2])
def test_json_ends_in_a_line_end(tmp_path: Path, indent: int | None) -> None:
    value = {"é": [1, None, "x"]}
    write_json(tmp_path / "a.json", value, indent=indent)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == json.dumps(
        value, ensure_ascii=False, indent=indent
    ) + "\n"
    assert read_json(tmp_path / "a.json") == value


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "before")
    with pytest.raises(TypeError), writing_atomically(path) as file:
        file.writelines([b"half", "no bytes"])
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    with pytest.raises(TypeError):
        write_json(path, object())
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_place_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "a.txt", "x")


def test_a_library_can_write_in_one_step_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError), replacing(path) as partial:
        partial.write_text("half\ud800", encoding="utf-8")
    assert path.read_text() == "before"
    with replacing(path) as partial:
        partial.write_text("after")
    assert path.read_text() == "after"
    assert [each.name for each in tmp_path.iterdir()] == ["a.csv"]


def test_a_file_in_another_encoding_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes('{"é": 1}'.encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8: byte 0xe9 at position 2"):
        read_json(path)
    path.write_bytes('\ufeff{"é": 1}'.encode())
    assert read_json(path) == {"é": 1}
    path.write_text("{")
    with pytest.raises(DataError, match=r"a\.json is not JSON"):
        read_json(path)
    with pytest.raises(DataError, match="Cannot read"):
        read_text(tmp_path / "missing")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON (Expecting property name enclosed in double quotes at column 2)"),
        (b"\xff", "byte 1 (0xff) is not UTF-8"),
        ("[" * 100_000, "JSON nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_line_of_json_is_said(line: bytes | str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_json(line)


def test_a_bad_line_is_reported_or_refuses_the_file(tmp_path: Path) -> None:
    content = b'{"a": 1}\n\n{\n[2]\n'
    problems: list[Problem] = []
    values = read_json_lines(io.BytesIO(content), Reading(Path("a.jsonl"), problems.append))
    assert list(values) == [(1, {"a": 1}), (4, [2])]
    assert [problem.place for problem in problems] == ["a.jsonl:3"]
    with pytest.raises(DataError, match=r"^a\.jsonl:3: not JSON"):
        list(read_json_lines(io.BytesIO(content), Reading(Path("a.jsonl"), raise_problem)))


def test_rows_of_a_table_have_the_line_where_they_begin() -> None:
    problems: list[Problem] = []
    reading = Reading(Path("a.csv"), problems.append)
    content = '\ufeffid,text\n1,"two\nlines"\n\n2\n3,"\n'.encode() + b""
    header, rows = read_table(decoded_lines(io.BytesIO(content), reading), reading, ",")
    assert (header, list(rows)) == (["id", "text"], [(2, ["1", "two\nlines"])])
    assert [str(problem) for problem in problems] == [
        "a.csv:5: 1 cells; expected 2: id, text. Put quotation marks around a cell that contains the separator.",
        "a.csv:6: quotes do not fit (unexpected end of data); expected one row, cells with quotes quoted.",
    ]


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4).filter(any), st.sampled_from(",;\t"))
def test_a_written_row_is_read_again(cells: list[str], delimiter: str) -> None:
    line = format_row(cells, delimiter)
    assert list(parse_rows(io.StringIO(line, newline=""), delimiter)) == [cells]


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_json_is_on_one_line(value: object) -> None:
    line = dump_json(value)
    assert len(line.splitlines()) == 1
    assert parse_json(line.encode()) == value
