"""LoRA adapters: merged here they compute what PEFT computes, and what PEFT would compute otherwise is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from small_models import make_small_model

from biogpt import BioGptForCausalLM, BioGptForSequenceClassification, BioGptForTokenClassification
from biogpt.errors import CheckpointError
from biogpt.model.checkpoint import load_config
from biogpt.model.loading import load_causal_lm, load_model

LEARNED = list(range(8192, 8195))
IDS = torch.tensor([[2, 100, 4000, 8192, 8194, 7]])
CLASSES = {
    "CAUSAL_LM": BioGptForCausalLM,
    "SEQ_CLS": BioGptForSequenceClassification,
    "TOKEN_CLS": BioGptForTokenClassification,
}

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT calls transformers


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tmp_path_factory.mktemp("base"))


def make_adapter(base: Path, path: Path, task_type: str = "CAUSAL_LM", **settings: Any) -> torch.Tensor:
    """Write an adapter with random weights to `path`; returns the logits that PEFT computes with it."""
    torch.manual_seed(1)
    config = load_config(base)
    config.num_labels, config.architectures = 3, [CLASSES[task_type].__name__]
    model = CLASSES[task_type](config)
    model.load_state_dict(load_causal_lm(base).state_dict(), strict=False)
    model.resize_token_embeddings(8195, mean_resizing=False)
    chosen: dict[str, Any] = {
        "r": 4,
        "lora_alpha": 6,
        "target_modules": ["q_proj", "fc1"],
        "trainable_token_indices": {"embed_tokens": LEARNED},
        **settings,
    }
    adapted = get_peft_model(model, LoraConfig(task_type=task_type, **chosen))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        adapted.eval()
        logits: torch.Tensor = adapted(IDS).logits
    adapted.save_pretrained(str(path), save_embedding_layers=False)
    model.config.save_pretrained(path)
    return logits


@pytest.mark.parametrize(
    ("task_type", "settings"),
    [
        ("CAUSAL_LM", {}),
        ("CAUSAL_LM", {"use_rslora": True}),
        ("CAUSAL_LM", {"rank_pattern": {"fc1": 2}, "alpha_pattern": {"layers.0.fc1": 40}}),
        ("SEQ_CLS", {"modules_to_save": ["score"]}),
        ("TOKEN_CLS", {"modules_to_save": ["classifier"]}),
    ],
)
def test_a_merged_adapter_computes_what_peft_computes(
    base: Path, tmp_path: Path, task_type: str, settings: dict[str, Any]
) -> None:
    expected = make_adapter(base, tmp_path, task_type, **settings)
    model = load_model(tmp_path)
    assert type(model) is CLASSES[task_type]
    torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-4, atol=1e-4)


def test_an_adapter_of_peft_alone_is_told_by_its_task_type(base: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = load_causal_lm(base)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["v_proj"]))
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(str(tmp_path), save_embedding_layers=False)
    torch.testing.assert_close(load_causal_lm(tmp_path)(IDS[:, :3]).logits, adapted.eval()(IDS[:, :3]).logits)


def test_our_directory_loads_in_peft(base: Path, tmp_path: Path) -> None:
    expected = make_adapter(base, tmp_path)
    model = load_causal_lm(base)
    model.resize_token_embeddings(8195, mean_resizing=False)
    loaded = PeftModel.from_pretrained(model, str(tmp_path)).eval()
    torch.testing.assert_close(loaded(IDS).logits, expected, rtol=1e-5, atol=1e-5)


def change_settings(path: Path, **settings: Any) -> None:
    file = path / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))


def test_what_makes_another_model_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path / "good")
    for name, value in {
        "peft_type": "IA3", "use_dora": True, "bias": "all", "fan_in_fan_out": True, "init_lora_weights": "pissa",
        "layer_replication": [[0, 1]], "something_new": 3, "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": None, "lora_alpha": "8", "trainable_token_indices": None,
    }.items():  # fmt: skip
        path = tmp_path / name
        shutil.copytree(tmp_path / "good", path)
        change_settings(path, **{name: value})
        with pytest.raises(CheckpointError, match=name) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


def test_damaged_adapters_are_refused(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path / "good")
    weights = load_file(tmp_path / "good" / "adapter_model.safetensors")
    prefix = "base_model.model.biogpt.layers.0.self_attn.q_proj"
    for name, changed, message in (
        ("half", {key: value for key, value in weights.items() if "q_proj.lora_B" not in key}, "low-rank matrices"),
        ("other half", {key: value for key, value in weights.items() if "q_proj.lora_A" not in key}, "its other half"),
        ("shape", {**weights, f"{prefix}.lora_B.weight": torch.zeros(4, 4)}, "low-rank matrices"),
        ("unknown", {**weights, "base_model.model.biogpt.extra.weight": torch.zeros(2)}, "biogpt.extra.weight"),
        ("rows", {key: value[:2] if "tokens_delta" in key else value for key, value in weights.items()}, "rows of"),
        ("elsewhere", {key.replace("layers.1", "layers.7"): value for key, value in weights.items()}, "layers.7"),
    ):
        path = tmp_path / name
        shutil.copytree(tmp_path / "good", path)
        save_file(changed, path / "adapter_model.safetensors")
        with pytest.raises(CheckpointError, match=message) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
    (tmp_path / "good" / "adapter_model.safetensors").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_model(tmp_path / "good")


def test_an_adapter_is_no_base_model(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path / "first")
    make_adapter(base, tmp_path / "second")
    change_settings(tmp_path / "second", base_model_name_or_path=str(tmp_path / "first"))
    with pytest.raises(CheckpointError, match="is an adapter itself"):
        load_model(tmp_path / "second")


def test_a_model_with_a_head_writes_no_text(base: Path, tmp_path: Path) -> None:
    make_adapter(base, tmp_path, "SEQ_CLS", modules_to_save=["score"])
    with pytest.raises(CheckpointError, match="BioGptForSequenceClassification, expected a model that writes"):
        load_causal_lm(tmp_path)
