"""Our models in what users have around them: Auto classes, pipelines, Trainer, PEFT, accelerate's device maps."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainingArguments

from biogpt import (
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
    BioGptModel,
)

TEXT = "Aspirin reduces the risk of myocardial infarction."

AUTO = """
import json, sys
import biogpt
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

path = sys.argv[1]
biogpt.BioGptForCausalLM, biogpt.BioGptTokenizer
CLASSES = [AutoConfig, AutoTokenizer, AutoModel, AutoModelForCausalLM, AutoModelForTokenClassification]
CLASSES.append(AutoModelForSequenceClassification)
homes = lambda: [type(auto.from_pretrained(path)).__module__.partition(".")[0] for auto in CLASSES]
before = homes()
biogpt.register_auto_classes()
biogpt.register_auto_classes()
labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
judge = biogpt.BioGptForSequenceClassification.from_pretrained(
    path, num_labels=3, id2label=labels, label2id={name: index for index, name in labels.items()}
)
text = "Aspirin reduces the risk of myocardial infarction."
print(json.dumps({
    "before": before,
    "after": homes(),
    "generation": pipeline("text-generation", model=path)(text, max_new_tokens=4, do_sample=False),
    "generations": pipeline("text-generation", model=path, batch_size=2)([text, "Cisplatin"], max_new_tokens=4),
    "features": pipeline("feature-extraction", model=path)(text),
    "classes": pipeline("text-classification", model=path)([text, "x"], batch_size=2),
    "tokens": pipeline("token-classification", model=path, aggregation_strategy="first")(text),
    "zero-shot": pipeline("zero-shot-classification", model=judge, tokenizer=path)(text, ["heart", "brain"]),
}, default=float))
"""


@pytest.fixture(scope="module")
def pipelines(tiny_model_path):
    done = subprocess.run(
        [sys.executable, "-c", AUTO, str(tiny_model_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_auto_classes_are_ours_after_one_call_only(pipelines):
    assert pipelines["before"] == ["transformers"] * 6
    assert pipelines["after"] == ["biogpt"] * 6


def test_pipelines(pipelines, tiny_model_path):
    assert pipelines["generation"][0]["generated_text"].startswith("Aspirin")
    assert [len(texts) for texts in pipelines["generations"]] == [1, 1]
    assert len(pipelines["features"][0][0]) == 32
    assert [result["label"] in ("LABEL_0", "LABEL_1") for result in pipelines["classes"]] == [True, True]
    for entity in pipelines["tokens"]:
        assert "".join(entity["word"].split()) == "".join(TEXT[entity["start"] : entity["end"]].split())
    assert sorted(pipelines["zero-shot"]["labels"]) == ["brain", "heart"]
    assert sum(pipelines["zero-shot"]["scores"]) == pytest.approx(1)


# Trainer


def rows_for(model_class) -> list[dict[str, list[int]]]:
    torch.manual_seed(0)
    rows = []
    for length in (6, 3, 5, 4, 6, 2, 3, 6):
        ids = torch.randint(4, 100, (length,)).tolist()
        padding = [1] * (6 - length)
        row = {"input_ids": ids + padding, "attention_mask": [1] * length + [0] * (6 - length)}
        if model_class is BioGptForCausalLM:
            row["labels"] = ids + [-100] * (6 - length)
        elif model_class is BioGptForTokenClassification:
            row["labels"] = [token % 2 for token in ids] + [-100] * (6 - length)
        else:
            row["labels"] = ids[0] % 2
        rows.append(row)
    return rows


def train(model_class, path: Path, output: Path, **settings):
    torch.manual_seed(0)
    model = model_class.from_pretrained(path)
    arguments = TrainingArguments(
        output_dir=str(output), report_to=[], max_steps=2, logging_steps=1, use_cpu=True, seed=1, **settings
    )
    rows = rows_for(model_class)
    trainer = Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses, trainer


@pytest.mark.parametrize(
    "model_class", [BioGptForCausalLM, BioGptForTokenClassification, BioGptForSequenceClassification]
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # PyTorch's and accelerate's own
def test_trainer(model_class, tiny_model_path, tmp_path):
    whole, trainer = train(model_class, tiny_model_path, tmp_path / "whole", per_device_train_batch_size=8)
    parts, _ = train(
        model_class,
        tiny_model_path,
        tmp_path / "parts",
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
    )
    if model_class is not BioGptForTokenClassification:  # there batches weigh alike, however many labels they hold
        assert parts == pytest.approx(whole, rel=1e-3)
    assert parts == pytest.approx(whole, rel=0.2)
    assert trainer.evaluate()["eval_loss"] > 0
    predicted = trainer.predict(rows_for(model_class))
    assert isinstance(predicted.predictions, np.ndarray)  # logits alone, without caches
    assert len(predicted.predictions) == 8
    trainer.save_model(str(tmp_path / "saved"))
    saved = model_class.from_pretrained(tmp_path / "saved").state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in trainer.model.state_dict().items())


# PEFT


@pytest.mark.filterwarnings("ignore")  # PEFT's and bitsandbytes' own
def test_lora_with_default_targets(tiny_model_path, tmp_path):
    peft = pytest.importorskip("peft", reason="PEFT is not installed")
    program = """
import sys, torch, biogpt
from peft import AutoPeftModelForCausalLM, LoraConfig, PeftModel, get_peft_model

path, output = sys.argv[1:]
biogpt.register_auto_classes()
ids = torch.tensor([[2, 10, 20, 30]])
plain = biogpt.BioGptForCausalLM.from_pretrained(path)
before = plain(ids).logits
torch.manual_seed(0)
model = get_peft_model(biogpt.BioGptForCausalLM.from_pretrained(path), LoraConfig(task_type="CAUSAL_LM", r=4))
names = [name for name, _ in model.named_parameters() if "lora_A" in name]
assert len(names) == 4 and all("q_proj" in name or "v_proj" in name for name in names), names
assert torch.allclose(model(ids).logits, before)
optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
for _ in range(3):
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
trained = model(ids).logits
assert not torch.allclose(trained, before, atol=1e-3)
model.save_pretrained(output)
loaded = PeftModel.from_pretrained(biogpt.BioGptForCausalLM.from_pretrained(path), output)
assert torch.allclose(loaded(ids).logits, trained, atol=1e-5)
found = AutoPeftModelForCausalLM.from_pretrained(output)
assert type(found.get_base_model()) is biogpt.BioGptForCausalLM
text = loaded.generate(ids, max_new_tokens=5, do_sample=False)
merged = loaded.merge_and_unload()
assert type(merged) is biogpt.BioGptForCausalLM
assert torch.allclose(merged(ids).logits, trained, atol=1e-5)
assert torch.equal(merged.generate(ids, max_new_tokens=5, do_sample=False), text)
merged.save_pretrained(output + "/merged")
again = biogpt.BioGptForCausalLM.from_pretrained(output + "/merged")
assert torch.allclose(again(ids).logits, trained, atol=1e-5)
"""
    assert peft
    command = [sys.executable, "-c", program, str(tiny_model_path), str(tmp_path / "adapter")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


# Loading


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loading_in_half_precision(tiny_model_path, dtype):
    model = BioGptForCausalLM.from_pretrained(tiny_model_path, dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert model.output_projection.weight is model.biogpt.embed_tokens.weight
    ids = torch.tensor([[2, 10, 20, 30]])
    exact = BioGptForCausalLM.from_pretrained(tiny_model_path)(ids).logits
    assert (model(ids).logits - exact).abs().max() < 8 * torch.finfo(dtype).eps * exact.abs().max()
    assert model.generate(ids, max_new_tokens=3).dtype == torch.int64


@pytest.mark.filterwarnings("ignore")  # accelerate's own
def test_device_maps(tiny_model_path, tmp_path):
    ids = torch.tensor([[2, 10, 20, 30]])
    expected = BioGptForCausalLM.from_pretrained(tiny_model_path)
    text = expected.generate(ids, max_new_tokens=5, do_sample=False)
    parts = {
        "biogpt.embed_tokens": "cpu",
        "biogpt.embed_positions": "cpu",
        "biogpt.layers.0": "cpu",
        "biogpt.layers.1": "disk",
        "biogpt.layer_norm": "cpu",
        "output_projection": "cpu",
    }
    for device_map in ("cpu", "auto", parts):
        model = BioGptForCausalLM.from_pretrained(
            tiny_model_path, device_map=device_map, offload_folder=str(tmp_path / "offload")
        )
        assert torch.allclose(model(ids).logits, expected(ids).logits, atol=1e-5)
        assert torch.equal(model.generate(ids, max_new_tokens=5, do_sample=False), text)


def test_freezing_the_decoder(tiny_model_path):
    model = BioGptForSequenceClassification.from_pretrained(tiny_model_path)
    model.base_model.requires_grad_(False)
    model(torch.tensor([[2, 10, 20]]), labels=torch.tensor([1])).loss.backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == ["score.weight"]
    assert type(model.base_model) is BioGptModel
