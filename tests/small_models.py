"""A model to train in tests: mini's real vocabulary on a network of two thin layers with random weights."""

from pathlib import Path

import torch

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.model.checkpoint import load_tokenizer, resolve_model

NUM_POSITIONS = 256


def make_small_model(path: Path, dropout: float = 0.1) -> Path:
    """Write the model to the directory `path`."""
    tokenizer = load_tokenizer(resolve_model("mini"), 8192)
    tokenizer.model_max_length = NUM_POSITIONS
    torch.manual_seed(0)
    config = BioGptConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=NUM_POSITIONS,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    BioGptForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path
