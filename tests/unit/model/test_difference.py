"""Tuned models as four-bit differences: what is read back is close, complete, and refused where it does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import make_small_model

from biogpt import BioGptForCausalLM, BioGptForTokenClassification
from biogpt.errors import CheckpointError
from biogpt.model.checkpoint import load_config, read_files
from biogpt.model.difference import DIFFERENCE_FILE, write_difference
from biogpt.model.loading import load_causal_lm, load_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tmp_path_factory.mktemp("base"))


def tune(base: Path, path: Path) -> BioGptForCausalLM:
    """The base with every weight moved a little and three rows more; its configuration lies in `path`."""
    model = load_causal_lm(base)
    model.resize_token_embeddings(8195, mean_resizing=False)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    model.config.save_pretrained(path)
    return model


def test_weights_come_back_within_a_step_of_their_row(base: Path, tmp_path: Path) -> None:
    model = tune(base, tmp_path)
    weights = {name: tensor for name, tensor in model.state_dict().items() if name != "output_projection.weight"}
    file = write_difference(weights, str(base), read_files(base)[2], tmp_path)
    loaded = load_model(tmp_path).state_dict()
    _, _, start = read_files(base)
    for name, tensor in weights.items():
        error = (loaded[name] - tensor).abs()
        known = len(start[name]) if tensor.ndim == 2 else 0
        if known:
            step = (tensor[:known] - start[name]).abs().amax(dim=1, keepdim=True) / 7
            assert (error[:known] <= 0.51 * step).all()
        assert (error[known:] <= 1e-3 * tensor[known:].abs() + 1e-6).all()  # half precision
    plain = sum(tensor.numel() * 2 for tensor in weights.values())
    assert file.stat().st_size < 0.4 * plain


def test_a_head_that_the_base_lacks_is_kept_whole(base: Path, tmp_path: Path) -> None:
    config = load_config(base)
    config.num_labels, config.architectures = 3, ["BioGptForTokenClassification"]
    model = BioGptForTokenClassification(config)
    model.load_state_dict(load_causal_lm(base).state_dict(), strict=False)
    model.config.save_pretrained(tmp_path)
    write_difference(model.state_dict(), str(base), read_files(base)[2], tmp_path)
    loaded = load_model(tmp_path)
    assert isinstance(loaded, BioGptForTokenClassification)
    torch.testing.assert_close(loaded.classifier.weight, model.classifier.weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("change", ["codes", "scales", "rows", "base", "cut"])
def test_a_file_that_does_not_fit_is_refused(base: Path, tmp_path: Path, change: str) -> None:
    file = write_difference(tune(base, tmp_path).state_dict(), str(base), read_files(base)[2], tmp_path)
    tensors = load_file(file)
    name = "biogpt.embed_tokens.weight"
    metadata = {"base": str(base)}
    if change == "codes":
        tensors[f"{name}.codes"] = tensors[f"{name}.codes"][:-1]
    elif change == "scales":
        del tensors[f"{name}.scales"]
    elif change == "rows":
        tensors[f"{name}.rows"] = tensors[f"{name}.rows"][:, :-1]
    elif change == "base":
        metadata = {}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file, metadata=metadata)
    if change == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=DIFFERENCE_FILE):
        load_model(tmp_path)
