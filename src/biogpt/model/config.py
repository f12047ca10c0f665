"""BioGptConfig: every number that shapes the network, and the sizes that have names.

Knows nothing of weights or files beyond what transformers' `PreTrainedConfig` does with `config.json`.
"""

import math
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from biogpt.errors import ConfigError, suggest

# The epsilon of every LayerNorm in fairseq, which trained the released weights.
FAIRSEQ_LAYER_NORM_EPS = 1e-5
# What the released config.json states instead. It was never in force: Hugging Face's port ignores the value.
RELEASED_LAYER_NORM_EPS = 1e-12

# Named sizes: paper, "Model configuration"; `mini` is this project's own, see src/biogpt/assets/mini.
PRESETS: dict[str, dict[str, Any]] = {
    "mini": {
        "vocab_size": 8192,
        "hidden_size": 320,
        "num_hidden_layers": 6,
        "num_attention_heads": 5,
        "intermediate_size": 1280,
        "max_position_embeddings": 1024,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "base": {
        "vocab_size": 42384,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "max_position_embeddings": 1024,
    },
    "large": {
        "vocab_size": 57717,
        "hidden_size": 1600,
        "num_hidden_layers": 48,
        "num_attention_heads": 25,
        "intermediate_size": 6400,
        "max_position_embeddings": 2048,
    },
}


@strict
class BioGptConfig(PreTrainedConfig):
    """Configuration of a BioGPT model; the defaults are those of `microsoft/biogpt`.

    Args:
        vocab_size: number of token ids, special tokens included.
        hidden_size: width of the residual stream.
        num_hidden_layers: number of decoder layers.
        num_attention_heads: attention heads per layer; must divide `hidden_size`.
        intermediate_size: width of the feed-forward layer.
        hidden_act: its activation: `"gelu"` (the exact, erf form), `"relu"`, `"silu"`, `"swish"`, `"gelu_new"`,
            or another name of transformers' activations.
        hidden_dropout_prob: dropout on embeddings and on what each block adds to the residual stream.
        attention_probs_dropout_prob: dropout on attention weights.
        max_position_embeddings: longest sequence in tokens; the position table has two more rows (see modeling.py).
        initializer_range: standard deviation of the initial weights.
        layer_norm_eps: LayerNorm epsilon. The released files say 1e-12 but were trained with 1e-5, so exactly that
            value stands for 1e-5 (see `effective_layer_norm_eps`); any other value is taken as it is.
        scale_embedding: multiply token embeddings by `sqrt(hidden_size)`.
        use_cache: return the key/value cache by default.
        layerdrop: probability of skipping a whole layer in training.
        activation_dropout: dropout inside the feed-forward layer.
        classifier_dropout: dropout before the token-classification head; None means `hidden_dropout_prob`.
        pad_token_id, bos_token_id, eos_token_id: ids of `<pad>`, `<s>` and `</s>`.
        tie_word_embeddings: share one matrix between token embeddings and output projection.
        kwargs: what every `PreTrainedConfig` knows, such as `num_labels`, `id2label`, `label2id`, `problem_type`.

    Raises:
        ConfigError: (also a `ValueError`) a value that no network can have, named.

    Examples:
        >>> biogpt.BioGptConfig.preset("mini").hidden_size
        320
        >>> biogpt.BioGptConfig(hidden_size=0)
        Traceback (most recent call last):
        biogpt.errors.ConfigError: hidden_size=0: expected at least 1.
    """

    model_type = "biogpt"
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cache",
        "past_key_values",
    ]  # Trainer would gather the caches of all batches

    vocab_size: int = 42384
    hidden_size: int = 1024
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.1
    attention_probs_dropout_prob: float | int = 0.1
    max_position_embeddings: int = 1024
    initializer_range: float = 0.02
    layer_norm_eps: float = RELEASED_LAYER_NORM_EPS
    scale_embedding: bool = True
    use_cache: bool = True
    layerdrop: float | int = 0.0
    activation_dropout: float | int = 0.0
    classifier_dropout: float | int | None = None
    pad_token_id: int | None = 1
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 2
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected at least 1.")
        if self.hidden_act != "gelu":
            from transformers.activations import ACT2FN  # takes a second

            if self.hidden_act not in ACT2FN:
                raise ConfigError(
                    f"Unknown hidden_act={self.hidden_act!r}, expected an activation such as 'gelu', 'relu', 'silu' or "
                    f"'gelu_new'.{suggest(self.hidden_act, ACT2FN)}"
                )
        for name in (
            "hidden_dropout_prob",
            "attention_probs_dropout_prob",
            "activation_dropout",
            "classifier_dropout",
            "layerdrop",
        ):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ConfigError(f"Got {name}={value}, expected a probability (0 to 1).")
        for name in ("initializer_range", "layer_norm_eps"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"Got {name}={getattr(self, name)}, expected a number from 0 up.")
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ConfigError(
                f"pad_token_id={self.pad_token_id} is not among the token ids, expected less than "
                f"vocab_size={self.vocab_size}."
            )

    def check_network(self) -> None:
        """Raise where no network can be built: a model asks, so that a configuration alone may hold any numbers.

        Raises:
            ConfigError: heads that do not divide `hidden_size`, or a request for cross-attention.
        """
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"Got hidden_size={self.hidden_size}, expected a multiple of num_attention_heads="
                f"{self.num_attention_heads}."
            )
        for name in ("add_cross_attention", "is_encoder_decoder"):
            if getattr(self, name, False):
                raise ConfigError(f"Got {name}=True, expected False: BioGPT has no cross-attention. Leave it out.")

    @property
    def effective_layer_norm_eps(self) -> float:
        """The LayerNorm epsilon in force: 1e-5 where the configuration says 1e-12 as released, else as configured."""
        return FAIRSEQ_LAYER_NORM_EPS if self.layer_norm_eps == RELEASED_LAYER_NORM_EPS else self.layer_norm_eps

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> "BioGptConfig":
        """The configuration of a named size: `"mini"`, `"base"` (BioGPT) or `"large"` (BioGPT-Large).

        Args:
            name: which size.
            overrides: fields that differ from it.

        Raises:
            ConfigError: there is no such size.
        """
        if name not in PRESETS:
            raise ConfigError(f"Unknown preset '{name}', expected one of {', '.join(PRESETS)}.{suggest(name, PRESETS)}")
        return cls(**{**PRESETS[name], **overrides})
