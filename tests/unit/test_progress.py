"""Progress: never on stdout, silent without a terminal, and the right numbers where there is one."""

import io

import pytest
from rich.console import Console

from biogpt import progress
from biogpt.progress import ProgressBars, progress_bar, status_line, track


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal at stderr is sent."""
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=160))
    return screen


def test_nothing_is_shown_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Reading", total=3) as bar:
        bar.update(2, note="two")
    assert list(track("abc", "Reading")) == ["a", "b", "c"]
    with status_line("Loading") as status:
        status.update("loaded")
    assert capsys.readouterr() == ("", "")


def test_lines_are_printed_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBars() as bars:
        assert not bars.is_shown
        bars.print("skipped [one]")
    with status_line("Loading") as status:
        status.print("skipped [two]")
    assert capsys.readouterr() == ("", "skipped [one]\nskipped [two]\n")


def test_a_bar_shows_numbers_and_note(terminal: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("Reading", total=3000, unit="documents") as bar:
        bar.update(1200, note="[3] skipped")
        bar.advance(300)
    assert "1,500/3,000 documents" in terminal.getvalue()
    assert "[3] skipped" in terminal.getvalue()
    assert capsys.readouterr() == ("", "")


def test_bytes_are_shown_in_larger_units(terminal: io.StringIO) -> None:
    with progress_bar("Reading", unit="bytes") as bar:
        bar.update(1_500_000, total=3_000_000)
    assert "1.5/3.0 MB" in terminal.getvalue()


def test_a_loop_has_the_length_of_what_it_goes_through(terminal: io.StringIO) -> None:
    assert list(track([1, 2], "Reading", unit="files")) == [1, 2]
    assert "2/2 files" in terminal.getvalue()


def test_the_bar_is_taken_down_after_an_error(terminal: io.StringIO) -> None:
    def fail() -> None:
        with progress_bar("Reading", total=3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert terminal.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_what_is_not_wanted_is_not_shown(terminal: io.StringIO) -> None:
    assert list(track([1], "Reading", is_wanted=False)) == [1]
    with status_line("Loading", is_wanted=False) as status:
        status.update("loaded")
    assert terminal.getvalue() == ""
