"""The model that fine-tuning starts from: a trained one with a soft prompt, a head, and perhaps LoRA matrices.

It knows how weights begin, not how they are trained.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from biogpt.errors import ConfigError
from biogpt.model.checkpoint import ADAPTER_CONFIG_FILE, BUNDLED, load_tokenizer, resolve_model, split_revision
from biogpt.model.config import BioGptConfig
from biogpt.model.loading import load_model
from biogpt.model.modeling import (
    AnyModel,
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
)
from biogpt.tasks.encoding import add_learned_tokens, head_labels, learned_ids
from biogpt.tasks.kinds.registry import KINDS
from biogpt.tasks.recipe import Recipe
from biogpt.tasks.task import Task
from biogpt.text.tokenizer import BioGptTokenizer


def find_class(task: Task, head: str) -> type[AnyModel]:
    """The class of the model that learns a task.

    Args:
        task: what is learned.
        head: `Recipe.head`.

    Raises:
        ConfigError: a head for a kind of task that has none.
    """
    head = head or task.kind.heads[0]
    if head not in task.kind.heads:
        able = ", ".join(kind.name for kind in KINDS.values() if head in kind.heads)
        raise ConfigError(
            f"Got finetune.head = '{head}' for the kind '{task.kind.name}', expected one of {able}. Leave it out: the "
            "target is written."
        )
    if head == "generation":
        return BioGptForCausalLM
    return BioGptForTokenClassification if task.kind.labels_words else BioGptForSequenceClassification


def build_model(name: str, task: Task, training: Recipe, seed: int) -> tuple[AnyModel, BioGptTokenizer]:
    """The model that is trained, in float32, and its tokenizer.

    Args:
        name: of the trained model to start from, see `checkpoint.resolve_model`.
        task: what is learned.
        training: with which head, soft prompt and dropout.
        seed: of the new rows and the head.

    Raises:
        CheckpointError: there is no such model, or its files do not fit together.
        ConfigError: it has a soft prompt of another length.
    """
    path = resolve_model(name)
    start = load_model(path)
    tokenizer = load_tokenizer(path, start.config.vocab_size)
    tokenizer.model_max_length = start.config.max_position_embeddings
    model_class = find_class(task, training.head)
    torch.manual_seed(seed)
    if model_class is not BioGptForTokenClassification:  # words are labelled where they stand, without a prompt
        add_learned_tokens(tokenizer, training.prompt_length)
    config = _configure(start.config, model_class, task, training.dropout, len(tokenizer))
    model = model_class(config)
    state = start.state_dict()
    if len(tokenizer) > start.config.vocab_size:
        embedding = state["biogpt.embed_tokens.weight"]
        state["biogpt.embed_tokens.weight"] = _grow(embedding, len(tokenizer) - len(embedding))
        if "output_projection.weight" in state:
            projection = state["output_projection.weight"]
            state["output_projection.weight"] = _grow(projection, len(tokenizer) - len(projection))
    fitting = model.state_dict()
    state = {name: tensor for name, tensor in state.items() if name in fitting and tensor.shape == fitting[name].shape}
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model, tokenizer


def add_lora(model: AnyModel, name: str, tokenizer: BioGptTokenizer, training: Recipe) -> Any:
    """The model with PEFT's LoRA matrices; only they, the soft prompt's rows and the head are trained.

    Raises:
        ConfigError: `lora_targets` names no linear layer of the model.
    """
    from peft import LoraConfig, get_peft_model

    task_types: dict[type[PreTrainedModel], tuple[str, list[str] | None]] = {
        BioGptForCausalLM: ("CAUSAL_LM", None),
        BioGptForTokenClassification: ("TOKEN_CLS", ["classifier"]),
        BioGptForSequenceClassification: ("SEQ_CLS", ["score"]),
    }
    task_type, modules_to_save = task_types[type(model)]
    learned = learned_ids(tokenizer)
    config = LoraConfig(
        task_type=task_type,
        r=training.lora_rank,
        lora_alpha=training.lora_alpha,
        lora_dropout=training.lora_dropout,
        target_modules=list(training.lora_targets),
        modules_to_save=modules_to_save,
        trainable_token_indices={"embed_tokens": learned} if learned else None,
    )
    try:
        adapted = get_peft_model(model, config)
    except ValueError as error:
        raise ConfigError(
            f"Got finetune.lora_targets = {', '.join(training.lora_targets)}, expected names of linear layers: q_proj, "
            f"k_proj, v_proj, out_proj, fc1, fc2. PEFT says: {error}"
        ) from error
    base, revision = split_revision(base_name(name))
    adapted.peft_config["default"].base_model_name_or_path = base
    adapted.peft_config["default"].revision = revision
    return adapted


def base_name(name: str) -> str:
    """How an adapter names its base model: a bundled name or a hub id as it is, a directory by its absolute path.

    Raises:
        ConfigError: the base model is an adapter itself.
    """
    path = resolve_model(name)
    if (path / ADAPTER_CONFIG_FILE).is_file():
        raise ConfigError(
            f"Got the adapter {name} to train another adapter on, expected a whole model. Start from its base model, "
            "or train without --peft."
        )
    is_directory = name not in BUNDLED and path.expanduser().resolve() == (path.cwd() / name).expanduser().resolve()
    return str(path.resolve()) if is_directory else name


def _configure(
    start: BioGptConfig, model_class: type[AnyModel], task: Task, dropout: float, vocabulary_size: int
) -> BioGptConfig:
    changes: dict[str, Any] = {
        "vocab_size": vocabulary_size,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
        "architectures": [model_class.__name__],
        "dtype": None,
    }
    if model_class is not BioGptForCausalLM:
        labels = head_labels(task)
        changes |= {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
        if model_class is BioGptForSequenceClassification:
            number = "multi" if task.kind.has_several_labels else "single"
            changes["problem_type"] = f"{number}_label_classification"
    return BioGptConfig.from_dict({**start.to_dict(), **changes})  # type: ignore[no-any-return]


def _grow(matrix: torch.Tensor, num_rows: int) -> torch.Tensor:
    """New rows at the end, each column drawn from the normal distribution of the old ones."""
    new = torch.normal(matrix.mean(dim=0).expand(num_rows, -1), matrix.std(dim=0).expand(num_rows, -1))
    return torch.cat([matrix, new])
