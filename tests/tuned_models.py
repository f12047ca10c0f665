"""Tuned models of shipped tasks, made in a few seconds: tiny, one for each head, a few texts memorised.

They are ordinary directories as fine-tuning leaves them: configuration, weights, tokenizer, `task.toml`,
`finetune.json`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch

from biogpt import (
    BioGptConfig,
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
    BioGptTokenizer,
)
from biogpt.tasks.encoding import (
    add_learned_tokens,
    encode_prompt,
    encode_target,
    encode_words,
    head_labels,
    label_ids,
)
from biogpt.tasks.example import Example, Item
from biogpt.tasks.mentions import find_mentions
from biogpt.tasks.recipe_files import find_recipe
from biogpt.tasks.task import SCHEMAS_PATH, Task, load_task
from biogpt.text import bpe, moses

DOCUMENTS = {
    "Cisplatin-induced nephrotoxicity was seen in ten patients.": [("cisplatin", "nephrotoxicity")],
    "Aspirin may cause bleeding. No fever was seen.": [("aspirin", "bleeding")],
    "Lithium gave tremor, and haloperidol gave dystonia.": [("lithium", "tremor"), ("haloperidol", "dystonia")],
    "Ten healthy volunteers took part.": [],
}
"""Text -> its pairs of a chemical and the disease that it induces."""

QUESTIONS = {
    ("Does aspirin help?", "Pain fell in all patients."): "yes",
    ("Does zinc help?", "No change was seen at all."): "no",
    ("Does iron help?", "Some patients improved, others worsened."): "maybe",
}

SENTENCES = {
    "Cells died by apoptosis .": ["resisting cell death"],
    "New vessels grew and cells spread .": ["activating invasion and metastasis", "inducing angiogenesis"],
    "The weather was fine .": ["empty"],
}

_NUM_POSITIONS = 256
_NUM_STEPS = 120
_NUM_HEAD_STEPS = 40


def make_tuned_models(path: Path) -> dict[str, Path]:
    """The directories of tuned models in `path`, by the name of their task."""
    tokenizer = _make_tokenizer(path)
    made = {name: path / name for name in ("bc5cdr", "pubmedqa", "hoc", "bc5cdr_chem")}
    for name, directory in made.items():
        _tune(load_task(name), tokenizer.name_or_path or str(path), directory)
    return made


def examples_of(task: Task) -> list[Example]:
    """What the model of a task has memorised."""
    kind = task.schema.kind
    if kind == "relation":
        return [
            Example(
                f"doc{number}",
                text,
                tuple(
                    Item({"chemical": chemical, "disease": disease}, {"chemical": find_mentions(chemical, text)})
                    for chemical, disease in pairs
                ),
            )
            for number, (text, pairs) in enumerate(DOCUMENTS.items())
        ]
    if kind == "tagging":
        return [_tagged(number, text, pairs) for number, (text, pairs) in enumerate(DOCUMENTS.items())]
    if kind == "answering":
        fields = [dict(zip(("question", "context"), texts, strict=True)) for texts in QUESTIONS]
        return [
            Example(f"q{number}", task.schema.render_source(values), (Item({"answer": answer}),), values)
            for number, (values, answer) in enumerate(zip(fields, QUESTIONS.values(), strict=True))
        ]
    return [
        Example(f"s{number}", text, tuple(Item({"label": label}) for label in labels))
        for number, (text, labels) in enumerate(SENTENCES.items())
    ]


def _tagged(number: int, text: str, pairs: Sequence[tuple[str, str]]) -> Example:
    words = " ".join(text.replace("-", " - ").replace(".", " .").replace(",", " ,").split())
    items = [
        Item({"mention": words[start:end], "label": "Chemical"}, {"mention": ((start, end),)})
        for chemical, _ in pairs
        for start, end in find_mentions(chemical, words)
    ]
    return Example(f"doc{number}", words, tuple(items))


def _make_tokenizer(path: Path) -> BioGptTokenizer:
    templates = ["the relation between and exists ; there is no relation .", "the answer to the question given the"]
    texts = [*DOCUMENTS, *(part for pair in QUESTIONS for part in pair), *SENTENCES, *templates]
    texts += [
        "".join(map(chr, range(33, 127))),
        "question: context: yes no maybe is the type of this document is | ...",
    ]
    words = [(word, 1) for text in moses.split_words([*texts, *map(str.lower, texts)]) for word in text]
    files = bpe.write_vocabulary(bpe.learn(words, vocabulary_size=500, min_character_count=1), path)
    tokenizer = BioGptTokenizer(*files, model_max_length=_NUM_POSITIONS)
    tokenizer.save_pretrained(path)
    return BioGptTokenizer.from_pretrained(str(path))


def _tune(task: Task, base: str, directory: Path) -> None:
    tokenizer = BioGptTokenizer.from_pretrained(base)
    kind = task.schema.kind
    writes = kind in ("relation", "answering")
    if writes:
        add_learned_tokens(tokenizer, find_recipe(task.name, 48).training.prompt_length)
    config = BioGptConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=_NUM_POSITIONS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    if not writes:
        config.id2label = dict(enumerate(head_labels(task)))
        config.label2id = {label: index for index, label in config.id2label.items()}
        config.problem_type = "multi_label_classification" if kind == "classification" else None
    torch.manual_seed(0)
    heads = {"tagging": BioGptForTokenClassification, "classification": BioGptForSequenceClassification}
    model = heads.get(kind, BioGptForCausalLM)(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    batches = [_batch(task, tokenizer, example) for example in examples_of(task)]
    model.train()
    num_steps = _NUM_STEPS if writes else _NUM_HEAD_STEPS
    for step in range(num_steps):
        loss = model(**batches[step % len(batches)]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * (1 - step / num_steps)
    model.eval()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    schema = (SCHEMAS_PATH / f"{task.name}.toml").read_text(encoding="utf-8")
    (directory / "task.toml").write_text(f'name = "{task.name}"\n{schema}', encoding="utf-8")
    (directory / "finetune.json").write_text(json.dumps({"scores": {task.schema.score.main: 0.5}}), encoding="utf-8")


def _batch(task: Task, tokenizer: BioGptTokenizer, example: Example) -> dict[str, torch.Tensor]:
    if task.schema.kind == "tagging":
        part = encode_words(task, tokenizer, example)[0]
        labels = torch.full((1, len(part.input_ids)), -100)
        labels[0, part.places] = torch.tensor(label_ids(task, example))
        return {"input_ids": torch.tensor([part.input_ids]), "labels": labels}
    prompt = encode_prompt(task, tokenizer, example)
    if task.schema.kind == "classification":
        labels = torch.zeros(1, len(head_labels(task)))
        labels[0, label_ids(task, example)] = 1.0
        return {"input_ids": torch.tensor([prompt]), "labels": labels}
    ids = torch.tensor([[*prompt, *encode_target(task, tokenizer, example)]])
    return {"input_ids": ids, "labels": ids}
