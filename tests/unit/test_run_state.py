import json

import pytest

from biogpt.errors import DataError, InputError
from biogpt.run_state import RunState, note_path


@pytest.fixture
def begun(tmp_path):
    path = tmp_path / "results" / "out.jsonl"
    run_state = RunState([path], {"model": "m", "files": ["a", "b"]})
    run_state.begin()
    path.write_bytes(b"12345")
    run_state.commit(3, [4], read=7)
    return path


def test_a_run_goes_on_where_it_was(begun):
    run_state = RunState([begun], {"model": "m", "files": ["a", "b"]})
    assert (run_state.num_records, run_state.positions, run_state.facts, run_state.is_complete) == (
        3,
        [4],
        {"read": 7},
        False,
    )
    run_state.finish()
    assert RunState([begun], {"model": "m", "files": ["a", "b"]}).is_complete


def test_other_settings_are_named(begun):
    with pytest.raises(InputError, match=r'begun with files \["a", "b"\], not \["a"\]'):
        RunState([begun], {"model": "m", "files": ["a"]})
    with pytest.raises(InputError, match="begun with model"):
        RunState([begun], {"files": ["a", "b"]})


def test_files_of_others_are_not_touched(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("mine")
    with pytest.raises(InputError, match="was not begun by this command"):
        RunState([path], {})
    assert path.read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"settings": 1}'])
def test_a_damaged_note_is_said(begun, content):
    note_path(begun).write_text(content)
    with pytest.raises(DataError, match="is damaged"):
        RunState([begun], {})


def test_a_note_of_version_0_1_0_is_read_and_one_of_a_newer_biogpt_refused(begun):
    note = json.loads(note_path(begun).read_text())
    assert note.pop("format_version") == 1
    note_path(begun).write_text(json.dumps(note))
    assert RunState([begun], note["settings"]).num_records == 3
    note_path(begun).write_text(json.dumps({"format_version": 2, "something": "else"}))
    with pytest.raises(DataError, match=r"out\.jsonl\.run\.json has format_version 2, but this biogpt knows"):
        RunState([begun], note["settings"])


def test_a_lost_output_is_said(begun):
    begun.unlink()
    with pytest.raises(DataError, match="is gone"):
        RunState([begun], json.loads(note_path(begun).read_text())["settings"])


def test_a_place_that_cannot_be_written_is_said_before_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        RunState([tmp_path / "file" / "out.jsonl"], {}).begin()
