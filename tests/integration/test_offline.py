"""No verb asks anyone: with bundled models no process opens a socket to another machine.

A `sitecustomize` on the path of each process refuses it, and keeps a list of who asked, for an error could be caught.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import command_line
import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "finetuning"
GUARD = """
import os, socket

LOCAL = ("127.", "::1", "localhost", "0.0.0.0")
connect, getaddrinfo = socket.socket.connect, socket.getaddrinfo

def check(host):
    if host is not None and not str(host).startswith(LOCAL) and str(host) != socket.gethostname():
        with open(os.environ["ASKED"], "a") as file:
            file.write(f"{host}\\n")
        raise OSError(f"a socket to {host}")

def guarded_connect(self, address):
    if self.family != socket.AF_UNIX:
        check(address[0])
    return connect(self, address)

def guarded_getaddrinfo(host, *arguments, **settings):
    check(host.decode() if isinstance(host, bytes) else host)
    return getaddrinfo(host, *arguments, **settings)

socket.socket.connect = socket.socket.connect_ex = guarded_connect
socket.getaddrinfo = guarded_getaddrinfo
"""


@pytest.fixture
def run(tmp_path):
    """Runs a command under the guard; it tells which hosts were asked for."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    tests = str(Path(command_line.__file__).parent)
    path = os.pathsep.join([str(tmp_path / "guard"), tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "ASKED": str(tmp_path / "asked"), "HF_HOME": str(tmp_path / "hub")}
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        environment.pop(name, None)

    def run_guarded(*arguments: object, stdin: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
        command = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, input=stdin, capture_output=True, text=True, check=False
        )
        asked = tmp_path / "asked"
        return done, asked.read_text().split() if asked.exists() else []

    return run_guarded


def test_the_guard_sees_who_asks(run):
    program = "import socket\ntry: socket.create_connection(('example.org', 443))\nexcept OSError: pass"
    assert run("-c", program)[1] == ["example.org"]
    done, asked = run("-m", "biogpt", "generate", "Aspirin", "--model", "some/model")
    assert done.returncode == 1
    assert asked


VERBS = """
import json, sys
from command_line import run

for arguments in json.load(sys.stdin):
    ended = run(*arguments)
    assert ended.returncode == 0, (arguments, ended.stderr)
    with open("done", "a") as file:
        print(arguments[0], file=file)
"""


def test_no_verb_opens_a_socket_to_another_machine(run, tmp_path):
    """All verbs in one process, each of which would import the same libraries."""
    (tmp_path / "a.txt").write_text("Lithium gave tremor.", encoding="utf-8")
    data = ["--task", EXAMPLES / "triage.toml", "--data"]
    steps = ["--set", "num_steps=2", "--set", "warmup_steps=1"]
    verbs = [
        ["generate", "Aspirin", "--max-new-tokens", 5],
        ["predict", "--task", "bc5cdr", "a.txt"],
        ["predict", "--task", "ncbi_disease", "a.txt", "--output", "found.jsonl", "--html", "found.html"],
        ["finetune", *data, EXAMPLES / "train.csv", "--output", "model", *steps],
        ["finetune", *data, EXAMPLES / "train.csv", "--output", "adapter", *steps, "--peft", "lora"],
        ["evaluate", *data, EXAMPLES / "test.csv", "--model", "model", "--output", "report"],
        ["convert", "mini", "fairseq", "--to", "fairseq"],
        ["tasks"],
        ["models"],
        ["env"],
    ]
    done, asked = run("-c", VERBS, stdin=json.dumps(verbs, default=str))
    assert done.returncode == 0, done.stderr
    assert not asked
    assert (tmp_path / "done").read_text().split() == [arguments[0] for arguments in verbs]
