"""Uploads: what a client sends is read as the file that it is, within limits, and forgotten."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from biogpt.server.failures import ApiError
from biogpt.server.uploads import Upload


def read(content, name="", format=None, fields=(), max_bytes=10_000):
    async def chunks():
        for start in range(0, len(content), 100):
            yield content[start : start + 100]

    problems = []
    upload = Upload(name, max_bytes)
    place = Path(upload._directory.name)
    try:
        asyncio.run(upload.receive(chunks()))
        found = upload.check(format, fields)
        sources = list(upload.read(found, fields, lambda problem: problems.append(upload.tell(problem))))
        assert {path.parent for path in place.rglob("*")} == {place}, "nothing is written elsewhere"
    finally:
        upload.close()
    assert not place.exists()
    return sources, problems


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "../../etc/a.jsonl", "..", "", "/x/.jsonl", "a\0.jsonl"])
def test_a_name_says_no_more_than_the_format(name):
    content = b'{"id": "1", "text": "One."}\n{"text": 3}\n'
    sources, problems = read(gzip.compress(content) if name.endswith(".gz") else content, name)
    assert [document.text for document, _ in sources] == ["One."]
    assert len(problems) == 1
    assert "/" not in problems[0]


def test_named_fields_are_read_from_json_lines():
    lines = [{"id": 4, "question": "Q?", "context": "C."}, {"question": "Q?"}, ["no object"]]
    sources, problems = read("\n".join(map(json.dumps, lines)).encode(), "a.jsonl", fields=["question", "context"])
    ((document, values),) = sources
    assert (document.id, values) == ("4", {"question": "Q?", "context": "C."})
    assert ["a.jsonl:2" in problems[0], "a.jsonl:3" in problems[1]] == [True, True]
    with pytest.raises(ApiError, match="expected JSON lines"):
        read(b"x", "a.txt", "text", ["question", "context"])


@pytest.mark.parametrize(
    ("content", "name", "format", "status", "message"),
    [
        (b"", "a.txt", None, 400, "empty"),
        (b"x" * 10_001, "a.txt", None, 413, "more than 10,000 bytes"),
        (gzip.compress(b"x" * 50_000, mtime=0), "a.txt.gz", None, 413, "more than 40,000 bytes"),
        (gzip.compress(b"x" * 500, mtime=0)[:-9], "a.txt.gz", None, 400, "damaged or cut off"),
        (b"\xff\xfe\x00x", "a.txt", None, 400, "a.txt"),
        (b"text", "a.what", None, 400, "Cannot tell what a.what holds"),
        (b"text", "a.txt", "docx", 400, "Unknown format 'docx'"),
        (b"text", "a.txt", "brat", 400, "brat is a directory"),
        (b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><collection><x>&e;</x>", "a.xml", None, 400, "a.xml"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_does_not_say_where_it_lies(content, name, format, status, message):
    with pytest.raises(ApiError, match=message) as refused:
        read(content, name, format)
    assert refused.value.status == status
    assert "biogpt-" not in str(refused.value)
