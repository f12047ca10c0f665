"""Atomic writing: the file is whole or as it was."""

import json
from pathlib import Path

import pytest

from biogpt.files import read_json, write_atomically, write_json, writing_atomically


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
