"""Weights that stay in their files until they are packed, and models in int8, against the model in float32."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.engine import Engine
from biogpt.engine.network import Network, Segment
from biogpt.engine.processor import choose_dtype
from biogpt.errors import CheckpointError, InputError
from biogpt.model import quantization
from biogpt.model.conversion import convert
from biogpt.model.loading import load_causal_lm
from biogpt.model.stored import load_stored_model, open_weights

needs_int8 = pytest.mark.skipif(
    choose_dtype("int8", torch.device("cpu"), 0)[0] != "int8", reason="there is no int8 kernel here"
)
GREEDY = GenerationSettings(temperature=0, max_new_tokens=20)
IDS = [2, 20, 41, 7, 90]


@pytest.fixture(scope="module")
def planted_path(tiny_model_path, tmp_path_factory) -> Path:
    """The tiny model with weights that int8 cannot hold: one row, and a whole matrix."""
    path = tmp_path_factory.mktemp("planted")
    shutil.copytree(tiny_model_path, path, dirs_exist_ok=True)
    weights = load_file(path / "model.safetensors")
    weights["biogpt.layers.0.fc1.weight"][3, 5] = 40.0
    weights["biogpt.layers.1.self_attn.q_proj.weight"][:, 7] = 40.0
    weights["biogpt.embed_tokens.weight"][30, 2] = 40.0
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


@pytest.fixture(scope="module")
def int8_path(planted_path, tmp_path_factory) -> Path:
    return convert(planted_path, tmp_path_factory.mktemp("int8") / "converted", "int8")


def logits_of(path: Path, *, is_int8: bool) -> torch.Tensor:
    network = Network(load_stored_model(open_weights(path), is_int8=is_int8), is_int8)
    return network.score([Segment(IDS, kept=len(IDS))])


def test_every_layout_of_files_gives_the_models_logits(tiny_model_path, tmp_path):
    shards, pytorch = tmp_path / "shards", tmp_path / "pytorch"
    for path in (shards, pytorch):
        shutil.copytree(tiny_model_path, path)
        (path / "model.safetensors").unlink()
    weights = load_file(tiny_model_path / "model.safetensors")
    torch.save(weights, pytorch / "pytorch_model.bin")
    files = {name: f"part-{number % 2}.safetensors" for number, name in enumerate(weights)}
    for file in set(files.values()):
        save_file({name: weights[name] for name in weights if files[name] == file}, shards / file)
    (shards / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    fairseq = convert(tiny_model_path, tmp_path / "fairseq", "fairseq")
    with torch.inference_mode():
        expected = load_causal_lm(tiny_model_path)(torch.tensor([IDS])).logits[0]
    for path in (tiny_model_path, shards, pytorch, fairseq):
        torch.testing.assert_close(logits_of(path, is_int8=False), expected)


@needs_int8
def test_outliers_are_noticed_and_a_converted_model_writes_the_same(planted_path, int8_path, monkeypatch):
    packed, converted = (Engine.from_pretrained(path, dtype="int8") for path in (planted_path, int8_path))
    prompts = ["Aspirin", "The patients' blood", "IL-6"]
    expected = packed.generate(prompts, GREEDY)
    assert converted.generate(prompts, GREEDY) == expected
    assert Engine.from_pretrained(int8_path).network.is_int8  # though the model is small
    tensors = load_file(int8_path / "int8.safetensors")
    assert tensors["biogpt.layers.0.fc1.weight.outliers"].tolist() == [3]
    assert tensors["output_projection.weight.outliers"].tolist() == [30]
    assert "biogpt.layers.1.self_attn.q_proj.weight" in tensors  # whole
    assert tensors["biogpt.layers.1.self_attn.k_proj.weight.int8"].dtype == torch.int8
    exact = logits_of(planted_path, is_int8=False)
    error = (logits_of(planted_path, is_int8=True) - exact).norm() / exact.norm()
    monkeypatch.setattr(quantization, "MAX_INT8_ERROR", float("inf"))
    unnoticed = (logits_of(planted_path, is_int8=True) - exact).norm() / exact.norm()
    assert error < 0.02
    assert unnoticed > 1.5 * error


def test_a_model_in_int8_is_read_in_float32_where_there_is_no_kernel(planted_path, int8_path, monkeypatch, caplog):
    monkeypatch.setattr("biogpt.engine.processor.processor_features", frozenset)
    engine = Engine.from_pretrained(int8_path)
    Engine.from_pretrained(int8_path)
    assert [record.message for record in caplog.records if "in place of int8" in record.message] == [
        "Computing in float32, in place of int8, for which there is no kernel on cpu here."
    ]
    assert not engine.network.is_int8
    exact = logits_of(planted_path, is_int8=False)
    restored = logits_of(int8_path, is_int8=False)
    assert (restored - exact).norm() / exact.norm() < 0.02
    with torch.inference_mode():
        torch.testing.assert_close(load_causal_lm(int8_path)(torch.tensor([IDS])).logits[0], restored)
        torch.testing.assert_close(engine.model(torch.tensor([IDS])).logits[0], restored)


def test_what_no_file_in_int8_may_be(int8_path, tmp_path):
    with pytest.raises(InputError, match="is in int8 already"):
        convert(int8_path, tmp_path / "again", "int8")
    for name, change, says in (
        ("newer", {"int8": {"format_version": 9}}, "int8 has format_version 9"),
        ("unmarked", {"int8": None}, "format_version is None"),
    ):
        path = shutil.copytree(int8_path, tmp_path / name)
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(CheckpointError, match=says):
            Engine.from_pretrained(path)
    name = "biogpt.layers.0.fc1.weight"
    for number, (part, tensor, says) in enumerate(
        (
            ("scales", torch.ones(3), "parts of biogpt.layers.0.fc1.weight do not fit"),
            ("int8", torch.ones(64, 32), "parts of biogpt.layers.0.fc1.weight do not fit"),
            ("outliers", torch.tensor([64], dtype=torch.int32), "expected rows of a matrix of 64"),
            ("other", torch.ones(3), "unknown to it"),
        )
    ):
        path = shutil.copytree(int8_path, tmp_path / f"damaged{number}")
        tensors = load_file(path / "int8.safetensors")
        save_file(tensors | {f"{name}.{part}": tensor}, path / "int8.safetensors")
        with pytest.raises(CheckpointError, match=says):
            Network(load_stored_model(open_weights(path), is_int8=True), is_int8=True)


@needs_int8
def test_weights_that_are_no_numbers_are_told_as_they_are_packed(tiny_model_path, tmp_path):
    path = shutil.copytree(tiny_model_path, tmp_path / "broken")
    weights = load_file(path / "model.safetensors")
    weights["biogpt.layers.0.fc2.weight"][3, 5] = torch.nan
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.warns(UserWarning, match=r"not finite numbers \(such as biogpt.layers.0.fc2.weight\)"):
        engine = Engine.from_pretrained(path, dtype="int8")
    with pytest.raises(CheckpointError, match="not numbers"):
        engine.generate("Aspirin")


def test_matrices_are_let_go_once_they_are_packed(tiny_model_path, monkeypatch):
    monkeypatch.setattr("biogpt.model.stored._MAX_MAPPED", 5000)
    weights = open_weights(tiny_model_path)
    opened = []
    (opener,) = weights._openers
    weights._openers = [lambda: opened.append(1) or opener()]
    Network(load_stored_model(weights, is_int8=False), is_int8=False)
    assert len(opened) == 1
    weights = open_weights(tiny_model_path)
    (opener,) = weights._openers
    weights._openers = [lambda: opened.append(1) or opener()]
    model = load_stored_model(weights, is_int8=True)
    for module in model.modules():
        if hasattr(module, "read"):
            module.read()
    assert len(opened) > 5


SLOW_TO_IMPORT = (
    *("transformers.modeling_utils", "transformers.activations", "torch._dynamo", "torch._inductor", "sympy", "scipy"),
    *("sacremoses", "joblib"),
)


@needs_int8
def test_generating_imports_nothing_that_takes_long(tiny_model_path, int8_path):
    program = f"""
import sys
from biogpt.cli import main
sys.argv[1:] = ["generate", "IL-6 (5.5%), i.e. the patients' 'blood'.", "-m", {str(tiny_model_path)!r}]
try:
    main()
except SystemExit as ending:
    assert not ending.code, ending.code
assert "scipy" not in sys.modules
from biogpt.engine.engine import Engine
assert Engine.from_pretrained({str(int8_path)!r}).generate("Aspirin")
# Numba, which compiles int8, imports scipy where it is installed.
known = ["scipy"] if "numba" in sys.modules else []
print(*(name for name in {SLOW_TO_IMPORT!r} if name in sys.modules and name not in known), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "\n"
