"""Preparing a corpus in real processes: several, killed, short of disk, on a terminal."""

import json
import os
import pty
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
import sys
from biogpt.errors import BioGptError
from biogpt.training.corpus.prepare import CorpusRecipe, prepare

if __name__ == "__main__":
    recipe = CorpusRecipe(
        sources=(sys.argv[1],),
        vocabulary_size=600,
        heldout_fraction=0.05,
        shard_bytes=100_000,
        num_workers=int(sys.argv[3]),
    )
    try:
        prepare(recipe, sys.argv[2])
    except BioGptError as error:
        sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six sources (3 MB), the script, and the corpus `unbroken` made of them in one go."""
    directory = tmp_path_factory.mktemp("corpus")
    (directory / "prepare.py").write_text(SCRIPT)
    choose = random.Random(0)
    syllables = [first + second for first in "bdgklmnprst" for second in "aeiou"]
    words = ["".join(choose.choices(syllables, k=choose.randint(1, 5))) for _ in range(20_000)]
    for source in range(6):
        with (directory / f"{source}.jsonl").open("w") as file:
            for number in range(250):
                record = {
                    "id": f"{source}-{number}",
                    "title": "A title",
                    "abstract": " ".join(choose.choices(words, k=300)),
                }
                print(json.dumps(record), file=file)
    result = run(directory, "unbroken", num_workers=1)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert len(list((directory / "unbroken").glob("train-*.bin"))) > 25
    return directory


def command(directory: Path, name: str, num_workers: int) -> list[str]:
    return [sys.executable, "prepare.py", "*.jsonl", str(directory / name), str(num_workers)]


def run(directory: Path, name: str, num_workers: int, **options: object) -> subprocess.CompletedProcess[str]:
    line = command(directory, name, num_workers)
    return subprocess.run(line, cwd=directory, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def end_at(process: "subprocess.Popen[bytes]", mark: Path, how: signal.Signals) -> None:
    """End a run as soon as a file is there, and see its workers end."""
    wait_until(lambda: mark.exists() or process.poll() is not None)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    if how == signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, how)  # what Ctrl-C does
    process.communicate()
    assert process.returncode == -how, "the run was complete before it could be ended"
    wait_until(lambda: not any(map(is_running, map(int, children))))


def test_more_processes_give_the_same_bytes(place: Path) -> None:
    result = run(place, "three", num_workers=3)
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(place / "three") == contents(place / "unbroken")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for left processes in /proc")
@pytest.mark.parametrize(
    ("num_workers", "how", "marks"),
    [
        (1, signal.SIGKILL, ("work/source-00001.json", "train-00018.bin")),
        (2, signal.SIGKILL, ("work/words-00012.json", "train-00002.bin")),
        (2, signal.SIGINT, ("work/source-00001.json", "train-00018.bin")),
    ],
)
def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    place: Path, num_workers: int, how: signal.Signals, marks: tuple[str, ...]
) -> None:
    name = f"killed-{num_workers}-{how.name}"
    finished: dict[Path, int] = {}
    # Each run is ended as soon as it has done a little more than the one before.
    for mark in marks:
        line = command(place, name, num_workers)
        with subprocess.Popen(line, cwd=place, stderr=subprocess.PIPE, start_new_session=True) as process:
            try:
                end_at(process, place / name / mark, how)
            finally:
                process.kill()
        assert not (place / name / "corpus.json").exists()
        for path, written in finished.items():
            assert path.stat().st_mtime_ns == written, f"{path.name} was made again"
        finished = {path: path.stat().st_mtime_ns for path in (place / name).glob("train-*.bin")}
        finished |= {path: path.stat().st_mtime_ns for path in (place / name / "work").glob("source-*.json")}
    result = run(place, name, num_workers)
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(place / name) == contents(place / "unbroken")


@pytest.mark.skipif(sys.platform == "win32", reason="limits files by setrlimit")
def test_a_full_disk_is_explained_and_the_run_goes_on_later(place: Path) -> None:
    import resource

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))

    result = run(place, "full", num_workers=2, preexec_fn=limit_files)
    assert result.returncode == 1
    assert "Cannot work on" in result.stderr
    assert "enough space" in result.stderr
    assert result.stderr.count("\n") == 1
    result = run(place, "full", num_workers=1)
    assert (result.returncode, result.stderr) == (0, "")
    assert contents(place / "full") == contents(place / "unbroken")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_is_shown_on_a_terminal(place: Path) -> None:
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(command(place, "terminal", 2), cwd=place, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 1 << 16)
        except OSError:  # Linux' way to say that the other side has closed
            break
        if not part:
            break
        shown += part
    os.close(controller)
    assert process.wait() == 0
    text = shown.decode()
    for stage in (
        "Checking sources",
        "Reading",
        "Finding duplicates",
        "Counting words",
        "Learning the vocabulary",
        "Encoding",
    ):
        assert stage in text
    assert "1,500 documents" in text
