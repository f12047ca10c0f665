import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.engine.prompts import parse_prompts, read_prompt_file
from biogpt.errors import DataError, InputError

LINE = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), min_size=1).filter(str.strip)


@given(prompts=st.lists(LINE.filter(lambda text: text[0] not in "{\ufeff \t"), min_size=1))
def test_a_line_is_a_prompt_as_it_stands(prompts):
    assert parse_prompts([f"{prompt}\n".encode() for prompt in prompts], "stdin") == prompts


@given(prompts=st.lists(st.text(st.characters(blacklist_categories=["Cs"])).filter(str.strip), min_size=1))
@pytest.mark.parametrize("field", ["prompt", "text"])
def test_jsonl_gives_the_field(prompts, field):
    lines = [json.dumps({"id": 1, field: prompt}).encode() for prompt in prompts]
    assert parse_prompts(lines, "stdin") == prompts


def test_prompt_wins_over_text():
    assert parse_prompts([b'{"text": "a", "prompt": "b"}'], "x") == ["b"]


@pytest.mark.parametrize(
    "content",
    ["one\ntwo", "one\ntwo\n", "one\r\ntwo\r\n", "one\ntwo\n\n  \n", "\ufeffone\ntwo\n"],
    ids=["no last newline", "unix", "windows", "empty lines at the end", "byte order mark"],
)
def test_forms_of_text_files(tmp_path, content):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content.encode())
    assert read_prompt_file(path) == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "place", "says"),
    [
        (b"one\n\ntwo\n", ":2: ", "empty prompt"),
        (b"one\ncaf\xe9\n", ":2: ", r"byte 4 \(0xe9\) is not UTF-8"),
        (b'{"prompt": "a"}\nplain\n', ":2: ", "not JSON"),
        (b'{"prompt": "a"}\n["b"]\n', ":2: ", "got no object"),
        (b'{"prompt": "a"}\n{"Prompt": "b", "id": 2}\n', ":2: ", "got Prompt, id, expected an object with a field"),
        (b'{"prompt": 5}\n', ":1: ", "the field 'prompt' is 5, expected a string"),
        (b'{"prompt": "  "}\n', ":1: ", "empty prompt"),
        (b'{"prompt": "a"}\n\n{"prompt": "b"}\n', ":2: ", "empty prompt"),
    ],
)
def test_a_bad_line_is_named(tmp_path, content, place, says):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{path}{place}.*{says}"):
        read_prompt_file(path)


def test_the_name_can_say_that_it_is_jsonl(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"plain\n")
    with pytest.raises(DataError, match=r"prompts\.jsonl:1: not JSON"):
        read_prompt_file(path)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_a_file_without_prompts_is_an_error(tmp_path, content):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is empty, expected one prompt a line"):
        read_prompt_file(path)


def test_an_unreadable_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_prompt_file(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="Cannot read"):
        read_prompt_file(tmp_path)
