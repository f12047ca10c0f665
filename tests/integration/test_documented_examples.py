"""What Hugging Face's documentation of BioGPT shows (v4.34 and today's), done with our classes on a local directory."""

import pytest
import torch
from transformers import pipeline, set_seed

from biogpt import (
    BioGptConfig,
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
    BioGptModel,
    BioGptTokenizer,
)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_path) -> BioGptTokenizer:
    return BioGptTokenizer.from_pretrained(tiny_model_path)


@pytest.fixture
def inputs(tokenizer):
    return tokenizer("Hello, my dog is cute", return_tensors="pt")


def test_a_configuration_and_a_model_of_it():
    configuration = BioGptConfig(num_hidden_layers=1, hidden_size=32, num_attention_heads=2, intermediate_size=8)
    assert BioGptModel(configuration).config is configuration


def test_hidden_states(tiny_model_path, inputs):
    model = BioGptModel.from_pretrained(tiny_model_path)
    outputs = model(**inputs)
    assert outputs.last_hidden_state.shape == (*inputs["input_ids"].shape, 32)


def test_language_modelling(tiny_model_path, inputs):
    model = BioGptForCausalLM.from_pretrained(tiny_model_path)
    outputs = model(**inputs, labels=inputs["input_ids"])
    assert outputs.loss.shape == ()
    assert outputs.logits.shape == (*inputs["input_ids"].shape, model.config.vocab_size)
    loss, logits = model(**inputs, labels=inputs["input_ids"], return_dict=False)[:2]
    assert torch.equal(loss, outputs.loss)
    assert torch.equal(logits, outputs.logits)


def test_token_classification(tiny_model_path, tokenizer):
    model = BioGptForTokenClassification.from_pretrained(tiny_model_path)
    inputs = tokenizer("Hugging Face is a company in New York", add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted = logits.argmax(-1)
    classes = [model.config.id2label[index.item()] for index in predicted[0]]
    assert set(classes) <= {"LABEL_0", "LABEL_1"}
    assert model(**inputs, labels=predicted).loss.item() > 0


@pytest.mark.parametrize("problem_type", [None, "multi_label_classification"])
def test_sequence_classification(tiny_model_path, inputs, problem_type):
    settings = {"problem_type": problem_type} if problem_type else {}
    model = BioGptForSequenceClassification.from_pretrained(tiny_model_path, **settings)
    with torch.no_grad():
        logits = model(**inputs).logits
    if problem_type:
        chosen = torch.arange(logits.shape[-1])[torch.sigmoid(logits).squeeze(0) > 0.5]
        number = len(model.config.id2label)
        labels = torch.nn.functional.one_hot(chosen, num_classes=number).sum(0, keepdim=True).to(torch.float)
    else:
        labels = logits.argmax(-1)
    model = BioGptForSequenceClassification.from_pretrained(tiny_model_path, num_labels=logits.shape[-1], **settings)
    assert model(**inputs, labels=labels).loss.isfinite()


def test_a_pipeline_that_samples(tiny_model_path, tokenizer):
    model = BioGptForCausalLM.from_pretrained(tiny_model_path)
    generator = pipeline("text-generation", model=model, tokenizer=tokenizer)
    set_seed(42)
    texts = generator("COVID-19 is", max_new_tokens=15, num_return_sequences=5, do_sample=True)
    assert len(texts) == 5
    assert all(text["generated_text"].startswith("COVID-19 is") for text in texts)


def test_beam_search(tiny_model_path, tokenizer):
    model = BioGptForCausalLM.from_pretrained(tiny_model_path)
    inputs = tokenizer("Aspirin reduces", return_tensors="pt")
    set_seed(42)
    with torch.no_grad():
        ids = model.generate(**inputs, min_length=60, max_length=90, num_beams=5, early_stopping=True)
    assert 60 <= ids.shape[1] <= 90
    assert tokenizer.decode(ids[0], skip_special_tokens=True).startswith("Aspirin reduces")


def test_half_precision_and_a_chosen_attention(tiny_model_path, tokenizer):
    model = BioGptForCausalLM.from_pretrained(tiny_model_path, dtype=torch.float16, attn_implementation="sdpa")
    inputs = tokenizer("Ibuprofen is best used for", return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, max_length=50)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True)[0].startswith("Ibuprofen is best")
