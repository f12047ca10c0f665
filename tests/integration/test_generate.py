"""`biogpt generate` as users run it. The installed command in a process of its own where the process matters: what it
prints while it works, pipes, terminals, signals and the hub; the rest in this process."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlparse

import pytest
import torch
from command_line import Ended
from command_line import run as run_here
from safetensors.torch import load_file, save_file

from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.engine import Engine

BIOGPT = shutil.which("biogpt", path=str(Path(sys.executable).parent)) or "biogpt"
PROMPTS = ["Aspirin reduces the risk of", "IL-6 and TNF-α", "The patients'"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """No network, and no copies from earlier fetches."""
    home = str(tmp_path_factory.mktemp("hub"))
    return {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": home, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def engine(tiny_model_path) -> Engine:
    return Engine.from_pretrained(tiny_model_path)


@pytest.fixture
def run(tiny_model_path):
    """Runs the command in this process."""

    def run_generate(*arguments, stdin: bytes = b"", model=tiny_model_path) -> Ended:
        return run_here("generate", *arguments, "--model", model, stdin=stdin)

    return run_generate


@pytest.fixture
def start(environment, tiny_model_path):
    """Runs the installed command."""

    def start_generate(*arguments, model=tiny_model_path) -> subprocess.CompletedProcess[str]:
        command = [BIOGPT, "generate", *map(str, arguments), "--model", str(model)]
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            check=False,
            timeout=120,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
        )

    return start_generate


def output_of(done: Ended | subprocess.CompletedProcess[str]) -> str:
    """What was printed, of a command that ended well and said nothing else."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def assert_refused(done: Ended | subprocess.CompletedProcess[str], *says: str) -> None:
    """One line on stderr, nothing on stdout, code 1."""
    message = done.stderr
    assert (done.returncode, done.stdout) == (1, ""), message
    assert message.count("\n") == 1, message
    assert message.startswith("biogpt: "), message
    assert "expected" in message or "Unknown model" in message, message
    for part in says:
        assert part in message


# Output


def test_one_prompt_prints_the_text_that_python_gives(run, start, engine):
    completion = engine.generate(PROMPTS[0])[0]
    assert output_of(start(PROMPTS[0])) == completion.prompt + completion.text + "\n"
    assert output_of(run(PROMPTS[0])) == completion.prompt + completion.text + "\n"


def test_several_prompts_print_a_line_each_in_order(run, engine):
    expected = [one.prompt + one.text for (one,) in engine.generate(PROMPTS)]
    assert output_of(run(*PROMPTS)).splitlines() == expected


def test_json_lines_carry_what_a_completion_has(run, engine):
    settings = {"temperature": 1.5, "top_k": 20, "top_p": 0.9, "seed": 7, "num_return_sequences": 2}
    options = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    records = [json.loads(line) for line in output_of(run(*PROMPTS, "--json", *options)).splitlines()]
    completions = [one for each in engine.generate(PROMPTS, GenerationSettings(**settings)) for one in each]
    assert len(records) == len(completions) == 6
    for record, completion in zip(records, completions, strict=True):
        assert record.pop("score") == pytest.approx(completion.score, abs=1e-4)
        assert record == {
            "prompt": completion.prompt,
            "text": completion.text,
            "tokens": list(completion.tokens),
            "stop_reason": completion.stop_reason,
        }


def test_beams_lengths_and_greedy_reach_the_engine(run, engine):
    for settings, options in (
        ({"num_beams": 3, "num_return_sequences": 2}, ["--num-beams", 3, "--num-return-sequences", 2]),
        ({"temperature": 0, "max_new_tokens": 4}, ["--temperature", 0, "--max-new-tokens", 4]),
        ({"min_new_tokens": 60, "max_new_tokens": 70}, ["--min-new-tokens", 60, "--max-new-tokens", 70]),
    ):
        expected = [one.prompt + one.text for one in engine.generate(PROMPTS[0], GenerationSettings(**settings))]
        assert output_of(run(PROMPTS[0], *options)).splitlines() == expected


def test_prompts_from_a_file_and_from_stdin_are_the_same_as_arguments(run, engine, tmp_path):
    expected = "".join(f"{one.prompt}{one.text}\n" for (one,) in engine.generate(PROMPTS))
    lines = "".join(f"{prompt}\n" for prompt in PROMPTS).encode()
    records = "".join(json.dumps({"id": 1, "text": prompt}) + "\n" for prompt in PROMPTS).encode()
    (tmp_path / "prompts.jsonl").write_bytes(records)
    assert output_of(run(stdin=lines)) == expected
    assert output_of(run("--input", tmp_path / "prompts.jsonl")) == expected


def test_text_is_printed_as_it_is_made(environment, tiny_model_path):
    """A reader that takes single characters sees the text grow in several steps, the prompt first."""
    command = [BIOGPT, "generate", PROMPTS[0], "--model", str(tiny_model_path), "--min-new-tokens", "60"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, bufsize=0) as process:
        parts = []
        while part := os.read(process.stdout.fileno(), 10_000):
            parts.append(part.decode("utf-8"))
    assert process.returncode == 0
    assert parts[0].startswith(PROMPTS[0])
    assert len(parts) > 5


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals")
def test_someone_looking_sees_progress_and_the_output_is_the_same(environment, tiny_model_path, tmp_path, engine):
    import pty

    looking, shown = pty.openpty()
    command = [BIOGPT, "generate", *PROMPTS, "--model", str(tiny_model_path)]
    seen = b""
    with (
        (tmp_path / "output.txt").open("wb") as output,
        subprocess.Popen(command, env=environment, stdin=shown, stdout=output, stderr=shown) as process,
    ):
        os.close(shown)
        with contextlib.suppress(OSError):  # Linux reports a terminal's end as an error
            while part := os.read(looking, 10_000):
                seen += part
    os.close(looking)
    assert process.returncode == 0
    assert b"Loading" in seen
    assert b"3/3 prompts" in seen
    expected = "".join(f"{one.prompt}{one.text}\n" for (one,) in engine.generate(PROMPTS))
    assert (tmp_path / "output.txt").read_text(encoding="utf-8") == expected


class HubHandler(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub as fetching one model takes: what there is, its files, and their contents."""

    server: "HubServer"

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        files = list(self.server.model_path.iterdir())
        headers = {}
        if path.startswith("/api/models/some/model/tree/"):
            entries = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": "a" * 40} for file in files
            ]
            content = json.dumps(entries).encode()
        elif path.startswith("/api/models/some/model/revision/") and path.split("/")[-1] not in self.server.revisions:
            content, headers = b"", {"X-Error-Code": "RevisionNotFound"}
        elif path.startswith("/api/models/some/model"):
            siblings = [{"rfilename": file.name} for file in files]
            content = json.dumps({"id": "some/model", "sha": "1" * 40, "siblings": siblings}).encode()
        elif path.startswith("/some/model/resolve/"):
            file = self.server.model_path / Path(path).name
            content = file.read_bytes()
            headers = {"ETag": f'"{file.name}"', "X-Repo-Commit": "1" * 40}
            self.server.fetched.add(file.name)
        else:
            content = b""
            headers = {"X-Error-Code": "RepoNotFound"}
        self.send_response(404 if "X-Error-Code" in headers else 200)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class HubServer(ThreadingHTTPServer):
    def __init__(self, model_path: Path) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.model_path = model_path
        self.fetched: set[str] = set()
        self.revisions = {"main", "v1", "1" * 40}


@pytest.fixture
def hub(environment, tiny_model_path, tmp_path, monkeypatch):
    """A hub on this machine that has one model, `some/model`, and something that is no part of one."""
    path = Path(shutil.copytree(tiny_model_path, tmp_path / "hub"))
    (path / "training.log").write_bytes(b"of no use here")
    server = HubServer(path)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setitem(environment, "HF_HUB_OFFLINE", "0")
    monkeypatch.setitem(environment, "HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setitem(environment, "HF_HOME", str(tmp_path / "home"))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def resolve(environment: dict[str, str], *names: str) -> list[Path]:
    """Where a new process finds models, fetched if need be; without torch, so that it starts at once."""
    program = "import sys; from biogpt.model.checkpoint import resolve_model; print(*map(resolve_model, sys.argv[1:]))"
    command = [sys.executable, "-c", program, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [Path(path) for path in done.stdout.split()]


def test_a_hub_model_is_fetched_once_and_found_offline(start, hub, environment, monkeypatch, engine):
    torch.save(load_file(hub.model_path / "model.safetensors"), hub.model_path / "pytorch_model.bin")
    completion = engine.generate(PROMPTS[0])[0]
    assert output_of(start(PROMPTS[0], model="some/model")) == completion.prompt + completion.text + "\n"
    assert "model.safetensors" in hub.fetched
    assert not hub.fetched & {"pytorch_model.bin", "training.log"}
    monkeypatch.setitem(environment, "HF_HUB_OFFLINE", "1")
    (path,) = resolve(environment, "some/model")
    assert (path / "model.safetensors").read_bytes() == (hub.model_path / "model.safetensors").read_bytes()
    assert_refused(start(PROMPTS[0], model="some/other"), "Unknown model 'some/other'", "HF_HUB_OFFLINE")


def test_a_hub_model_at_a_revision(start, hub, environment):
    branch, commit = resolve(environment, "some/model@v1", f"some/model@{'1' * 40}")
    assert branch == commit
    assert branch.name == "1" * 40
    assert_refused(start(PROMPTS[0], "--revision", "v2", model="some/model"), "'some/model@v2'", "no such branch, tag")


def test_a_hub_model_with_pytorch_weights_only(start, hub, environment):
    torch.save(load_file(hub.model_path / "model.safetensors"), hub.model_path / "pytorch_model.bin")
    (hub.model_path / "model.safetensors").unlink()
    (path,) = resolve(environment, "some/model")
    assert (path / "pytorch_model.bin").read_bytes() == (hub.model_path / "pytorch_model.bin").read_bytes()
    assert_refused(start(PROMPTS[0], model="some/other"), "hub has no model of this name")


# Endings


@pytest.fixture
def long_run(environment, tiny_model_path, tmp_path):
    """A process that has printed its first line and has many more to print."""
    (tmp_path / "prompts.txt").write_text(f"{PROMPTS[0]}\n" * 5000, encoding="utf-8")
    command = [BIOGPT, "generate", "--input", str(tmp_path / "prompts.txt"), "--model", str(tiny_model_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(PROMPTS[0].encode())
        yield process
        process.kill()


def test_a_reader_that_leaves_early_ends_it_quietly(long_run):
    long_run.stdout.close()
    assert long_run.stderr.read() == b""
    assert long_run.wait() == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a process")
def test_an_interruption_ends_it_quietly(long_run):
    long_run.send_signal(signal.SIGINT)
    assert long_run.communicate()[1] == b""
    assert long_run.returncode == 130


# Refusals


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["Aspirin", "--temperature", "-1"], "Got temperature = -1.0"),
        (["Aspirin", "--temperature", "nan"], "Got temperature = nan"),
        (["Aspirin", "--top-p", "1.5"], "Got top_p = 1.5"),
        (["Aspirin", "--top-k", "-2"], "Got top_k = -2"),
        (["Aspirin", "--max-new-tokens", "0"], "Got max_new_tokens = 0"),
        (["Aspirin", "--min-new-tokens", "9", "--max-new-tokens", "8"], "min_new_tokens 9 above max_new_tokens 8"),
        (["Aspirin", "--num-beams", "0"], "Got num_beams = 0"),
        (["Aspirin", "--num-beams", "2", "--num-return-sequences", "3"], "num_return_sequences 3 with num_beams 2"),
        (["Aspirin", "--num-beams", "2", "--temperature", "0.5"], "temperature 0.5 with num_beams 2"),
        (["Aspirin", "--set", "seed=-1"], "Got seed = -1"),
        ([""], "The prompt is empty"),
        (["Aspirin", "  "], "The prompt is empty"),
        (["Aspirin", "word " * 100], "tokens, expected at most 95"),
        (["--input", "absent.txt"], "Cannot read absent.txt"),
        ([], "stdin is empty"),
    ],
)
def test_impossible_numbers_and_prompts(run, arguments, says):
    assert_refused(run(*arguments), says)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"Aspirin\ncaf\xe9\n", ":2: byte 4"),
        (b"Aspirin\n\nIL-6\n", ":2: empty prompt"),
        (b'{"prompt": "Aspirin"}\n{"prompt": \n', ":2: not JSON"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(run, tmp_path, content, place):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    assert_refused(run("--input", path), f"{path}{place}")
    assert_refused(run(stdin=content), f"stdin{place}")


def test_the_last_of_many_prompts_is_checked_before_the_first_is_completed(run):
    assert_refused(run(stdin=b"Aspirin\n" * 100 + b"word " * 100), "tokens, expected at most 95")


@pytest.mark.parametrize("name", ["minni", "./absent"])
def test_unknown_models(run, name):
    assert_refused(run("Aspirin", model=name), f"Unknown model '{name}'")


def test_a_hub_that_cannot_be_reached(start, environment, monkeypatch):
    monkeypatch.setitem(environment, "HF_HUB_OFFLINE", "0")
    monkeypatch.setitem(environment, "HF_ENDPOINT", "http://127.0.0.1:9")  # the discard port: nothing listens
    assert_refused(start("Aspirin", model="some/model"), "Unknown model 'some/model'", "could not be reached")


def cut_short(path: Path) -> None:
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def shrink_vocabulary(path: Path) -> None:
    vocabulary = json.loads((path / "vocab.json").read_text(encoding="utf-8"))
    kept = {piece: index for piece, index in vocabulary.items() if index < len(vocabulary) - 10}
    (path / "vocab.json").write_text(json.dumps(kept), encoding="utf-8")


def change_config(path: Path, **changes) -> None:
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    (path / "config.json").write_text(json.dumps({**config, **changes}), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: (path / "config.json").unlink(), "config.json is missing"),
        (lambda path: (path / "model.safetensors").unlink(), "has no weights"),
        (lambda path: (path / "vocab.json").unlink(), "vocab.json is missing"),
        (lambda path: (path / "merges.txt").unlink(), "merges.txt is missing"),
        (cut_short, "model.safetensors cannot be read"),
        (shrink_vocabulary, "vocab.json: the vocabulary has"),
        (lambda path: change_config(path, model_type="gpt2"), "model_type is 'gpt2', expected 'biogpt'"),
        (lambda path: change_config(path, hidden_size=64), "has shape"),
        (lambda path: change_config(path, num_hidden_layers=3), "16 missing"),
    ],
)
def test_damaged_models(run, tiny_model_path, tmp_path, damage, says):
    path = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    damage(path)
    assert_refused(run("Aspirin", model=path), says, str(path))


def test_weights_that_are_no_numbers_are_told(run, tiny_model_path, tmp_path):
    path = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    tensors = load_file(path / "model.safetensors")
    tensors["biogpt.layer_norm.weight"][0] = float("nan")
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    done = run("Aspirin", model=path)
    assert (done.returncode, done.stdout) == (1, "")  # the prompt is printed with the first piece
    warning, error = done.stderr.splitlines()
    assert warning.startswith("biogpt: warning: ")
    assert "not finite numbers" in warning
    assert "predictions are not numbers" in error


@pytest.mark.parametrize(
    "arguments",
    [["--temperature", "warm", "Aspirin"], ["--no-such-option"], ["Aspirin", "--input", "prompts.txt"]],
)
def test_wrong_usage_is_code_2(run, arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: biogpt generate" in done.stderr


def test_the_installed_command_ends_with_these_codes(start):
    assert_refused(start("Aspirin", "--temperature", "-1"), "Got temperature = -1.0")
    done = start("--no-such-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_the_bundled_model_writes(run):
    text = output_of(run(PROMPTS[0], model="mini"))
    assert text.startswith(PROMPTS[0] + " ")
    assert len(text.split()) > 15
