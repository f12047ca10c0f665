import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from biogpt import BioGptForCausalLM, BioGptTokenizer
from biogpt.errors import CheckpointError
from biogpt.model import checkpoint
from biogpt.model.checkpoint import load_config, load_tokenizer, resolve_model
from biogpt.model.loading import load_causal_lm

ids = torch.tensor([[2, 10, 20, 30]])


@pytest.fixture
def model_path(tiny_model_path, tmp_path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(tiny_model_path, tmp_path / "model"))


def logits_of(path: Path) -> torch.Tensor:
    with torch.no_grad():
        return load_causal_lm(path)(ids).logits


def change_json(path: Path, **changes) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def change_weights(path: Path, change) -> None:
    weights = load_file(path)
    change(weights)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)


# Names


def test_a_directory_is_itself(tiny_model_path, monkeypatch):
    assert resolve_model(tiny_model_path) == resolve_model(str(tiny_model_path)) == tiny_model_path
    monkeypatch.chdir(tiny_model_path.parent)
    assert resolve_model(tiny_model_path.name) == Path(tiny_model_path.name)
    monkeypatch.setenv("HOME", str(tiny_model_path.parent))
    assert resolve_model(f"~/{tiny_model_path.name}") == tiny_model_path


def test_a_bundled_name_goes_before_a_directory(tmp_path, monkeypatch):
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(checkpoint.BUNDLED, "mini", tmp_path)
    assert resolve_model("mini") == tmp_path
    assert resolve_model("./mini") == Path("mini")
    monkeypatch.setitem(checkpoint.BUNDLED, "mini", tmp_path / "absent")
    with pytest.raises(CheckpointError, match="bundled model 'mini' is not at"):
        resolve_model("mini")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "minni",
            r"Unknown model 'minni', expected a bundled model \(mini, .*\), a directory, or .* Did you mean 'mini'\?",
        ),
        ("./absent", "Unknown model './absent', expected a bundled model"),
        ("/a/b/c", "Unknown model '/a/b/c', expected"),
        ("", "Unknown model"),
        (__file__, "is a file, expected .* directory that holds"),
    ],
)
def test_unknown_names(name, says):
    with pytest.raises(CheckpointError, match=says):
        resolve_model(name)


def run_offline(tmp_path: Path, hub_id: str) -> subprocess.CompletedProcess[str]:
    program = f"from biogpt.model.checkpoint import resolve_model; print(resolve_model({hub_id!r}))"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_a_hub_model_fetched_before_is_found_offline(tiny_model_path, tmp_path):
    cached = tmp_path / "hub" / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40, encoding="utf-8")
    shutil.copytree(tiny_model_path, cached / "snapshots" / ("0" * 40))
    found = run_offline(tmp_path, "some/model")
    assert found.stdout.strip() == str(cached / "snapshots" / ("0" * 40)), found.stderr
    assert "Unknown model 'some/other'" in run_offline(tmp_path, "some/other").stderr


def test_importing_the_module_imports_no_torch():
    program = "import sys, biogpt.model.checkpoint; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Whole models


def test_a_model_is_what_transformers_loads(tiny_model_path):
    model = load_causal_lm(tiny_model_path)
    assert not model.training
    assert model.output_projection.weight is model.biogpt.embed_tokens.weight
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    reference = BioGptForCausalLM.from_pretrained(tiny_model_path).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, reference[name]), name


def test_all_forms_of_weights_give_the_same(model_path):
    expected = logits_of(model_path)
    weights = load_file(model_path / "model.safetensors")
    (model_path / "model.safetensors").unlink()

    torch.save(weights, model_path / "pytorch_model.bin")
    assert torch.equal(logits_of(model_path), expected)

    twice = {**weights, "output_projection.weight": weights["biogpt.embed_tokens.weight"].clone()}
    torch.save(twice, model_path / "pytorch_model.bin")
    assert torch.equal(logits_of(model_path), expected)
    (model_path / "pytorch_model.bin").unlink()

    BioGptForCausalLM(load_config(model_path)).save_pretrained(model_path)  # its files are to be replaced by shards
    (model_path / "model.safetensors").unlink()
    halves = [dict(list(weights.items())[index::2]) for index in range(2)]
    for index, half in enumerate(halves):
        torch.save(half, model_path / f"pytorch_model-{index}.bin")
    weight_map = {key: f"pytorch_model-{index}.bin" for index, half in enumerate(halves) for key in half}
    (model_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    assert torch.equal(logits_of(model_path), expected)

    shards = {f"model-{index}.safetensors": half for index, half in enumerate(halves)}
    for name, shard in shards.items():
        save_file(shard, model_path / name)
    weight_map = {key: name for name, shard in shards.items() for key in shard}
    (model_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    assert torch.equal(logits_of(model_path), expected)


def test_half_precision_weights_run_in_float32(model_path):
    change_weights(
        model_path / "model.safetensors", lambda weights: weights.update({k: v.half() for k, v in weights.items()})
    )
    model = load_causal_lm(model_path)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


def test_an_untied_projection_is_read(model_path):
    change_json(model_path / "config.json", tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match=r"1 missing \(such as output_projection.weight\)"):
        load_causal_lm(model_path)
    projection = torch.randn(load_config(model_path).vocab_size, 32)
    change_weights(
        model_path / "model.safetensors", lambda weights: weights.update({"output_projection.weight": projection})
    )
    assert torch.equal(load_causal_lm(model_path).output_projection.weight, projection)


def test_a_tokenizer_is_what_transformers_loads(tiny_model_path):
    vocab_size = load_config(tiny_model_path).vocab_size
    text = "The patients' blood pressure, 5 mg/kg; TNF-α"
    expected = BioGptTokenizer.from_pretrained(tiny_model_path)(text)["input_ids"]
    assert load_tokenizer(tiny_model_path, vocab_size)(text)["input_ids"] == expected


# Damage


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "config.json is missing, expected it beside"),
        (b"", "config.json cannot be read .* expected JSON"),
        (b"{", "config.json cannot be read .* expected JSON"),
        (b"[]", "config.json: got a JSON list, expected an object"),
        (b"\xff{}", "config.json cannot be read .* expected text in UTF-8"),
        (b'{"model_type": "gpt2"}', "config.json: model_type is 'gpt2', expected 'biogpt'"),
        (b"{}", "config.json: model_type is None, expected 'biogpt'"),
        (b'{"model_type": "biogpt", "format_version": 2}', "config.json has format_version 2, but this biogpt knows"),
        (b'{"model_type": "biogpt", "format_version": "1"}', "config.json: format_version is '1', expected a whole"),
        (b'{"model_type": "biogpt", "hidden_size": "wide"}', "config.json: .*hidden_size"),
        (b'{"model_type": "biogpt", "hidden_size": 0}', "config.json: .*hidden_size=0: expected at least 1"),
        (b'{"model_type": "biogpt", "hidden_size": 10, "num_attention_heads": 3}', "config.json: .*hidden_size=10"),
    ],
)
def test_a_bad_configuration(model_path, content, says):
    (model_path / "config.json").unlink()
    if content is not None:
        (model_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        load_config(model_path)
    with pytest.raises(CheckpointError, match=says):
        load_causal_lm(model_path)


@pytest.mark.parametrize("kept", [0, 4, 1000, -1])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_that_are_cut_short(model_path, name, kept):
    weights = load_file(model_path / "model.safetensors")
    (model_path / "model.safetensors").unlink()
    (torch.save if name.endswith("bin") else save_file)(weights, model_path / name)
    content = (model_path / name).read_bytes()
    (model_path / name).write_bytes(content[:kept])
    with pytest.raises(CheckpointError, match=f"{name} cannot be read .*, expected a"):
        load_causal_lm(model_path)


def test_missing_weights(model_path):
    (model_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no weights, expected model\.safetensors"):
        load_causal_lm(model_path)
    index = model_path / "model.safetensors.index.json"
    for weight_map in ({"a": "model-1.safetensors"}, {"a": "../model.safetensors"}, ["a"]):
        index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"model-1\.safetensors cannot be read|no weight_map of tensors to"):
            load_causal_lm(model_path)


def test_a_pickle_is_never_run(model_path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    (model_path / "model.safetensors").unlink()
    torch.save({"biogpt.layer_norm.bias": Trap()}, model_path / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"would run 'builtins\.getattr' when it is read, expected tensors and"
    ) as caught:
        load_causal_lm(model_path)
    assert not (tmp_path / "sprung").exists()
    assert "weights_only" not in str(caught.value)
    torch.save([1, 2], model_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="expected a state dictionary"):
        load_causal_lm(model_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda weights: weights.pop("biogpt.layers.1.fc1.bias"),
            r"1 missing \(such as biogpt.layers.1.fc1.bias\)\.",
        ),
        (
            lambda weights: weights.update({"score.weight": torch.zeros(2, 32)}),
            r"1 unknown to it \(such as score.weight\)\.",
        ),
        (
            lambda weights: weights.update({"biogpt.layer_norm.bias": torch.zeros(31)}),
            r"biogpt.layer_norm.bias has shape \(31,\), expected \(32,\) from config.json",
        ),
    ],
)
def test_weights_of_another_network(model_path, change, says):
    change_weights(model_path / "model.safetensors", change)
    with pytest.raises(CheckpointError, match=says):
        load_causal_lm(model_path)


def test_a_configuration_of_another_network(model_path):
    change_json(model_path / "config.json", num_hidden_layers=1)
    with pytest.raises(CheckpointError, match=r"16 unknown to it \(such as biogpt.layers.1"):
        load_causal_lm(model_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("vocab.json", None, "vocab.json is missing"),
        ("merges.txt", None, "merges.txt is missing"),
        ("vocab.json", b"{", "vocab.json cannot be read .* expected JSON"),
        ("vocab.json", b'{"<s>": 0, "a": 2}', "vocab.json: the ids are not the numbers 0 to 1, each once"),
        ("vocab.json", b'{"<s>": 0, "a": 0}', "vocab.json: the ids are not the numbers 0 to 1, each once"),
        ("vocab.json", b'{"<s>": "0"}', "vocab.json: the ids are not the numbers"),
        ("vocab.json", b'{"a": 0}', "tokenizer cannot be made"),
        ("merges.txt", b"one two three four\nfive\n", "tokenizer cannot be made"),
        ("merges.txt", b"\xff", "merges.txt cannot be read .* expected text in UTF-8"),
        ("tokenizer_config.json", b"{", "tokenizer cannot be made"),
    ],
)
def test_a_bad_tokenizer(model_path, name, content, says):
    (model_path / name).unlink()
    if content is not None:
        (model_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=says):
        load_tokenizer(model_path, load_config(model_path).vocab_size)


def test_a_vocabulary_that_does_not_fit_the_weights(model_path):
    vocab_size = load_config(model_path).vocab_size
    for other in (vocab_size - 1, vocab_size + 1):
        with pytest.raises(CheckpointError, match=f"has {vocab_size} entries, expected {other} as the model's weights"):
            load_tokenizer(model_path, other)


def test_every_message_is_one_line_and_tells_what_to_do(model_path):
    for damage in ("config.json", "vocab.json", "merges.txt", "model.safetensors"):
        (model_path / damage).write_bytes(b"\x80\n\n")
        with pytest.raises(CheckpointError) as caught:
            load_tokenizer(model_path, 5) if damage in ("vocab.json", "merges.txt") else load_causal_lm(model_path)
        message = str(caught.value)
        assert "\n" not in message
        assert "expected" in message
        assert message.endswith((".", "again."))
