import filecmp
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from biogpt import BioGptForCausalLM
from biogpt.errors import CheckpointError, InputError
from biogpt.model import fairseq
from biogpt.model.checkpoint import load_config, load_tokenizer
from biogpt.model.conversion import convert
from biogpt.model.loading import load_causal_lm
from biogpt.text import bpe

TEXT = "Aspirin reduces the risk of myocardial infarction."


@pytest.fixture
def fairseq_path(tiny_model_path, tmp_path) -> Path:
    """A directory as fairseq leaves it: half precision, and nine rows of a soft prompt after the dictionary's."""
    path = tmp_path / "theirs"
    path.mkdir()
    vocabulary = bpe.read_vocabulary(tiny_model_path / "vocab.json", tiny_model_path / "merges.txt")
    pieces = sorted(vocabulary.ids, key=vocabulary.ids.__getitem__)[4:]
    names = [piece[:-4] if piece.endswith("</w>") else piece + "@@" for piece in pieces]
    (path / "dict.txt").write_text("".join(f"{name} {5 * len(name)}\n" for name in names), encoding="utf-8")
    codes = "".join(f"{first} {second} {900 - index}\n" for index, (first, second) in enumerate(vocabulary.merges))
    (path / "bpecodes").write_text(codes, encoding="utf-8")
    config = load_config(tiny_model_path)
    config.vocab_size += 9
    torch.manual_seed(0)
    weights = BioGptForCausalLM(config).half().state_dict()
    weights.pop("output_projection.weight")
    fairseq.write_checkpoint(path / "checkpoint.pt", config, weights, num_learned=9)
    return path


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    return fairseq.read_checkpoint(path / "checkpoint.pt")[1]


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    assert all(
        torch.equal(tensor, expected[name]) and tensor.dtype == expected[name].dtype for name, tensor in got.items()
    )


def test_there_and_back(fairseq_path, tmp_path):
    hf, back, again = tmp_path / "hf", tmp_path / "back", tmp_path / "again"
    assert convert(fairseq_path, hf, "hf") == hf
    expected = weights_of(fairseq_path)
    assert {tensor.dtype for tensor in expected.values()} == {torch.float16}
    assert_same(load_file(hf / "model.safetensors"), expected)
    convert(hf, back, "fairseq")
    assert_same(weights_of(back), expected)
    assert filecmp.cmp(fairseq_path / "bpecodes", back / "bpecodes", shallow=False)
    convert(back, again, "hf")
    names = sorted(file.name for file in hf.iterdir())
    expected_names = ["config.json", "generation_config.json", "merges.txt", "model.safetensors"]
    assert names == [*expected_names, "tokenizer_config.json", "vocab.json"]
    assert filecmp.cmpfiles(hf, again, names, shallow=False) == (names, [], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "back", "hf", "theirs"]


def test_both_layouts_load_and_give_the_same(fairseq_path, tmp_path):
    hf = convert(fairseq_path, tmp_path / "hf", "hf")
    vocab_size = load_config(hf).vocab_size
    written = load_config(hf).to_dict()
    assert written.pop("format_version") == 1
    assert load_config(fairseq_path).to_dict() == written | {"architectures": None}
    tokenizers = [load_tokenizer(path, vocab_size) for path in (fairseq_path, hf)]
    ids = [tokenizer(TEXT, return_tensors="pt").input_ids for tokenizer in tokenizers]
    assert torch.equal(*ids)
    with torch.no_grad():
        logits = [load_causal_lm(path)(ids[0]).logits for path in (fairseq_path, hf)]
        logits.append(BioGptForCausalLM.from_pretrained(hf, dtype=torch.float32)(ids[0]).logits)
    assert torch.equal(logits[0], logits[1])
    assert torch.equal(logits[0], logits[2])
    for tokenizer in tokenizers:
        prompted = tokenizer(TEXT + " learned1 learned9")["input_ids"]
        assert prompted[-2:] == [vocab_size - 9, vocab_size - 1]
        assert "learned" not in tokenizer.decode(prompted, skip_special_tokens=True)


def test_a_tiny_model_there_and_back(tiny_model_path, tmp_path):
    theirs = convert(tiny_model_path, tmp_path / "theirs", "fairseq")
    convert(theirs, tmp_path / "hf", "hf")
    assert_same(load_file(tmp_path / "hf/model.safetensors"), load_file(tiny_model_path / "model.safetensors"))
    assert (tmp_path / "hf/vocab.json").read_bytes() == (tiny_model_path / "vocab.json").read_bytes()
    number_of_merges = len((tiny_model_path / "merges.txt").read_text(encoding="utf-8").splitlines())
    assert (theirs / "bpecodes").read_text(encoding="utf-8").splitlines()[0].split()[2] == str(number_of_merges)


def test_a_checkpoint_file_and_a_vocabulary_elsewhere(fairseq_path, tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("dict.txt", "bpecodes"):
        shutil.move(fairseq_path / name, tmp_path / "data" / name)
    (fairseq_path / "checkpoint.pt").rename(fairseq_path / "checkpoint_avg.pt")
    convert(fairseq_path / "checkpoint_avg.pt", tmp_path / "hf", "hf", vocabulary_path=tmp_path / "data")
    assert load_causal_lm(tmp_path / "hf").config.vocab_size == load_config(fairseq_path).vocab_size
    with pytest.raises(CheckpointError, match=r"vocab\.json is missing"):
        convert(fairseq_path, tmp_path / "other", "hf")
    shutil.copy(fairseq_path / "checkpoint_avg.pt", fairseq_path / "checkpoint_last.pt")
    with pytest.raises(CheckpointError, match=r"has 2 checkpoints \(checkpoint_avg.pt, checkpoint_last.pt, ...\), exp"):
        convert(fairseq_path, tmp_path / "other", "hf")


def test_an_untied_model_there_and_back(fairseq_path, tmp_path):
    config, weights = fairseq.read_checkpoint(fairseq_path / "checkpoint.pt")
    weights["output_projection.weight"] = torch.randn_like(weights["biogpt.embed_tokens.weight"])
    fairseq.write_checkpoint(tmp_path / "new.pt", config, weights)  # the old file is still in use
    (tmp_path / "new.pt").replace(fairseq_path / "checkpoint.pt")
    convert(fairseq_path, tmp_path / "hf", "hf")
    assert not load_config(tmp_path / "hf").tie_word_embeddings
    assert_same(load_file(tmp_path / "hf/model.safetensors"), weights)
    convert(tmp_path / "hf", tmp_path / "back", "fairseq")
    assert_same(weights_of(tmp_path / "back"), weights)


# Refusing


def test_a_destination_that_is_taken(fairseq_path, tmp_path):
    (tmp_path / "empty").mkdir()
    convert(fairseq_path, tmp_path / "empty", "hf")
    for taken in (tmp_path / "empty", tmp_path / "empty/config.json"):
        with pytest.raises(InputError, match="is there already, expected a new or empty directory"):
            convert(fairseq_path, taken, "hf")
    with pytest.raises(
        InputError, match=r"Unknown layout 'fairsek', expected one of hf, fairseq, int8. Did you mean 'fairseq'"
    ):
        convert(fairseq_path, tmp_path / "new", "fairsek")


def test_a_failure_leaves_nothing_behind(fairseq_path, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(
        CheckpointError, match=r"new cannot be written .No space left on device., expected a place with"
    ):
        convert(fairseq_path, tmp_path / "new", "hf")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda config: setattr(config, "layer_norm_eps", 1e-6),
            "layer_norm_eps=1e-06 and hidden_act='gelu', expected",
        ),
        (lambda config: setattr(config, "hidden_act", "gelu_new"), "hidden_act='gelu_new', expected 1e-05 and one of"),
    ],
)
def test_what_fairseq_cannot_have(tiny_model_path, tmp_path, change, says):
    path = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    config = load_config(path)
    change(config)
    config.save_pretrained(path)
    with pytest.raises(CheckpointError, match=says):
        convert(path, tmp_path / "new", "fairseq")
    assert not (tmp_path / "new").exists()


def test_a_vocabulary_that_does_not_fit(fairseq_path, tmp_path):
    lines = (fairseq_path / "dict.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    (fairseq_path / "dict.txt").write_text("".join([*lines, *(f"x{n} 1\n" for n in range(10))]), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"dict\.txt: the vocabulary has \d+ entries, expected \d+ as the model"):
        convert(fairseq_path, tmp_path / "new", "hf")
    (fairseq_path / "dict.txt").write_text("broken\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"dict\.txt, line 1 is 'broken'; expected 'token count'"):
        convert(fairseq_path, tmp_path / "new", "hf")


def test_weights_that_are_no_numbers_are_told(fairseq_path, tmp_path):
    hf = convert(fairseq_path, tmp_path / "hf", "hf")
    weights = {name: tensor.clone() for name, tensor in load_file(hf / "model.safetensors").items()}
    weights["biogpt.layers.1.fc1.weight"][3, 3] = float("nan")
    weights["biogpt.layer_norm.bias"][0] = float("inf")
    save_file(weights, hf / "model.safetensors")
    with pytest.warns(UserWarning, match=r"2 tensors hold values that are not finite numbers \(such as biogpt\."):
        load_causal_lm(hf)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_causal_lm(fairseq_path)


def test_two_different_matrices_of_a_tied_model(fairseq_path, tmp_path):
    hf = convert(fairseq_path, tmp_path / "hf", "hf")
    weights = {name: tensor.clone() for name, tensor in load_file(hf / "model.safetensors").items()}
    weights["output_projection.weight"] = weights["biogpt.embed_tokens.weight"] * 2
    save_file(weights, hf / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"output_projection.weight differs from biogpt.embed_tokens.weight, expect"
    ):
        load_causal_lm(hf)


@pytest.mark.parametrize("name", ["num_hidden_layers", "vocab_size", "hidden_size", "intermediate_size"])
def test_absurd_sizes_are_refused_at_once(tiny_model_path, tmp_path, name):
    path = Path(shutil.copytree(tiny_model_path, tmp_path / "model"))
    config = load_config(path)
    setattr(config, name, 2**62)
    config.save_pretrained(path)
    with pytest.raises(CheckpointError, match="expected"):
        load_causal_lm(path)
