"""`biogpt convert`, and the readers of foreign files against two thousand damaged ones."""

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from command_line import run
from safetensors.torch import load_file

from biogpt.model.checkpoint import load_config
from biogpt.model.conversion import convert

NUM_MUTATIONS = 1500


def test_convert_there_and_back(tiny_model_path, tmp_path):
    for source, destination, layout in (
        (tiny_model_path, "theirs", "fairseq"),
        (tmp_path / "theirs", "hf", "hf"),
        (tmp_path / "theirs/checkpoint.pt", "from-file", "hf"),
    ):
        done = run("convert", source, tmp_path / destination, "--to", layout)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / destination}\n", "")
    expected = load_file(tiny_model_path / "model.safetensors")
    for name in ("hf", "from-file"):
        got = load_file(tmp_path / name / "model.safetensors")
        assert got.keys() == expected.keys()
        assert all(torch.equal(tensor, expected[key]) for key, tensor in got.items())
    texts = [
        run("generate", "Aspirin", "--model", path, "--seed", 1).stdout
        for path in (tiny_model_path, tmp_path / "theirs")
    ]
    assert texts[0] == texts[1] != ""


def test_errors_are_one_line(tiny_model_path, tmp_path):
    flag = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {flag}",)

    (tmp_path / "evil").mkdir()
    torch.save({"args": Namespace(dropout=Trap()), "model": {}}, tmp_path / "evil/checkpoint.pt")
    for arguments, says in (
        ((tmp_path / "evil", tmp_path / "new"), f"would run '{os.system.__module__}.system' when it is read, expected"),
        ((tmp_path / "absent", tmp_path / "new"), "Unknown model"),
        ((tiny_model_path, tmp_path / "evil"), "is there already, expected a new or empty directory"),
    ):
        done = run("convert", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    done = run("convert", tiny_model_path, tmp_path / "new", "--to", "onnx")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'hf', 'fairseq'" in done.stderr
    assert not flag.exists()
    assert not (tmp_path / "new").exists()


def test_weights_that_are_no_numbers_are_told(tiny_model_path, tmp_path):
    from biogpt import BioGptForCausalLM

    model = BioGptForCausalLM.from_pretrained(tiny_model_path)
    model.biogpt.layer_norm.bias.data[0] = float("nan")
    model.save_pretrained(tmp_path / "model")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / "model" / name).write_bytes((tiny_model_path / name).read_bytes())
    done = run("convert", tmp_path / "model", tmp_path / "new", "--to", "fairseq")
    assert done.returncode == 0
    assert "biogpt: warning:" in done.stderr
    assert "1 tensors hold values that are not finite numbers (such as biogpt.layer_norm.bias)" in done.stderr


# Run in a process of its own: a crash of the interpreter would be seen, too.
FUZZER = """
import random, sys, warnings
from pathlib import Path

from biogpt.errors import CheckpointError
from biogpt.model.loading import load_causal_lm

path, name, seed, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
original = (path / name).read_bytes()
load_causal_lm(path)
warnings.simplefilter("ignore")
calls = []
sys.addaudithook(lambda event, _: calls.append(event) if event in FORBIDDEN else None)
FORBIDDEN = {"pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect"}
random = random.Random(seed)
places = [at for at in range(len(original)) if at < 9000 or at > len(original) - 3000]
loaded = refused = 0
for number in range(count):
    content = bytearray(original)
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        at = random.choice(places)
        kind = random.randrange(5)
        if kind == 0:
            content[at % len(content)] = random.randrange(256)
        elif kind == 1:
            content[at % len(content)] ^= 1 << random.randrange(8)
        elif kind == 2:
            del content[at : at + random.choice([1, 2, 8, 100])]
        elif kind == 3:
            content[at:at] = random.randbytes(random.choice([1, 4, 30]))
        else:
            source = random.choice(places)
            content[at : at + 20] = original[source : source + 20]
    target = path / name
    target.unlink()  # not written over: what an earlier round mapped may still be looked at
    target.write_bytes(content)
    try:
        load_causal_lm(path)
        loaded += 1
    except CheckpointError as error:
        assert "\\n" not in str(error), str(error)
        refused += 1
assert not calls, calls
print(loaded, refused)
"""


@pytest.mark.parametrize("layout", ["fairseq", "fairseq before 1.6", "hf", "pytorch_model.bin", "config.json"])
def test_damaged_files_neither_crash_nor_run(tiny_model_path, tmp_path, layout):
    path = convert(tiny_model_path, tmp_path / "model", "fairseq" if layout.startswith("fairseq") else "hf")
    name = {"hf": "model.safetensors"}.get(layout, layout)
    if layout.startswith("fairseq"):
        name = "checkpoint.pt"
    if layout == "fairseq before 1.6":
        content = torch.load(path / name, weights_only=False)  # our own file
        (path / name).unlink()
        torch.save(content, path / name, _use_new_zipfile_serialization=False)
    elif layout == "pytorch_model.bin":
        torch.save(load_file(path / "model.safetensors"), path / name)
        (path / "model.safetensors").unlink()
    assert load_config(path).hidden_size == 32
    count = NUM_MUTATIONS // 5
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", FUZZER, str(path), name, "1", str(count)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded, refused = map(int, done.stdout.split())
    assert loaded + refused == count
    assert refused > count // 4


def test_traps_in_every_place_of_a_damaged_file_stay_shut(tmp_path: Path):
    """Mutations of a file that already holds a trap: none may open it."""
    flag = tmp_path / "sprung"

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {flag}",)

    torch.save({"args": Namespace(dropout=Trap()), "model": {"decoder.x": torch.zeros(3)}}, tmp_path / "trap.pt")
    program = """
import random, sys
from pathlib import Path
from biogpt.errors import CheckpointError
from biogpt.model import fairseq
path = Path(sys.argv[1]); original = path.read_bytes(); random = random.Random(1)
for _ in range(500):
    content = bytearray(original)
    content[random.randrange(len(content))] = random.randrange(256)
    path.unlink(); path.write_bytes(content)
    try:
        fairseq.read_checkpoint(path)
    except CheckpointError:
        pass
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "trap.pt")], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not flag.exists()
