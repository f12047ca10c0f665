"""The whole network, to be read from top to bottom: embeddings, attention, layer, decoder, and the heads on it.

A pre-LayerNorm GPT with learned positions (Luo et al. 2022, "Model"; fairseq `transformer_lm_gpt2`). Parameter names
are Hugging Face's, so weights go back and forth. It knows tensors only: no files, no text, no tasks.

Shapes in comments: B batch, T new tokens, S tokens seen so far including the new ones, H heads, D size of a head,
C hidden size (H * D), V vocabulary, L labels.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPastAndCrossAttentions,
    CausalLMOutputWithCrossAttentions,
    SequenceClassifierOutputWithPast,
    TokenClassifierOutput,
)
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils.generic import can_return_tuple
from transformers.utils.output_capturing import capture_outputs

from biogpt.errors import InputError
from biogpt.model.cache import CACHE_NAME, KeyValuePairs, accept_both_cache_names, make_cache
from biogpt.model.config import BioGptConfig
from biogpt.model.generation import BioGptGenerationMixin

# fairseq numbers positions from padding_idx + 1 = 2, so row 2 of the table is position 0, and row 1 that of padding.
POSITION_OFFSET = 2

# Queries per block of `blocked_attention`: smaller blocks skip more of the masked half but waste matrix products.
ATTENTION_BLOCK = 128

# The label that losses ignore: PyTorch's own default, and Hugging Face's convention.
IGNORED_LABEL = -100

# Keyword arguments of transformers' loss, which Trainer hands to `forward` and attention kernels must not see.
_LOSS_ARGUMENTS = frozenset({"num_items_in_batch", "shift_labels", "ignore_index"})

# Arguments of models that read what an encoder made. There is no encoder here, so a value would change nothing.
_CROSS_ATTENTION_ARGUMENTS = ("encoder_hidden_states", "encoder_attention_mask", "encoder_outputs", "key_value_states")


class BioGptScaledWordEmbedding(nn.Embedding):
    """Token embedding, multiplied by `embed_scale` on the way out (the output projection shares the unscaled matrix).

    PEFT looks for a factor of this name where it trains single rows.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, embed_scale: float) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.embed_scale = embed_scale

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Ids (B, T) -> embeddings (B, T, C)."""
        return super().forward(input_ids) * self.embed_scale


class BioGptLearnedPositionalEmbedding(nn.Embedding):
    """Position embedding; padding has position -1 and reads a row that no token uses."""

    def __init__(self, num_positions: int, embedding_dim: int) -> None:
        super().__init__(num_positions + POSITION_OFFSET, embedding_dim)

    def forward(self, position_ids: torch.Tensor) -> torch.Tensor:
        """Positions (B, T) -> embeddings (B, T, C)."""
        return super().forward(position_ids + POSITION_OFFSET)


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,  # (B, H, T, D)
    key: torch.Tensor,  # (B, H, S, D)
    value: torch.Tensor,  # (B, H, S, D)
    attention_mask: torch.Tensor | None,  # (B, 1, T, S): True or 0 may be seen, False or a large negative may not
    scaling: float,
    dropout: float = 0.0,
    head_mask: torch.Tensor | None = None,  # (H,): each head's weights are multiplied by it
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention written out, the only form that can return its weights; called as transformers' kernels are."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling  # (B, H, T, S)
    if attention_mask is not None:
        if attention_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
        else:
            scores = scores + attention_mask
    weights = scores.softmax(dim=-1)
    if head_mask is not None:
        weights = weights * head_mask.view(1, -1, 1, 1)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights  # (B, T, H, D), (B, H, T, S)


def blocked_attention(
    module: nn.Module,
    query: torch.Tensor,  # (B, H, T, D)
    key: torch.Tensor,  # (B, H, T, D)
    value: torch.Tensor,  # (B, H, T, D)
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention over whole unpadded sequences, block after block of queries: `attn_implementation="blocked"`.

    A block multiplies only with the keys that its last query may see, which halves the work and keeps the scores in
    the processor's cache. Under torch.compile on a CPU it trains faster than PyTorch's flash kernel
    (benchmarks/training.py). It is for pre-training on packed sequences: no padding, no cache.
    """
    num_tokens = query.shape[2]
    if attention_mask is not None or key.shape[2] != num_tokens:
        raise _unsuited_to_blocks()
    attended = []
    for start in range(0, num_tokens, ATTENTION_BLOCK):
        stop = min(start + ATTENTION_BLOCK, num_tokens)
        scores = torch.matmul(
            query[:, :, start:stop] * scaling, key[:, :, :stop].transpose(2, 3)
        )  # (B, H, block, stop)
        visible = torch.ones(stop - start, stop, dtype=torch.bool, device=query.device).tril(start)
        weights = scores.float().masked_fill(~visible, -torch.inf).softmax(dim=-1).to(query.dtype)
        weights = nn.functional.dropout(weights, p=dropout, training=module.training)
        attended.append(torch.matmul(weights, value[:, :, :stop]))
    return torch.cat(attended, dim=2).transpose(1, 2).contiguous(), None  # (B, T, H, D)


def _unsuited_to_blocks() -> InputError:
    return InputError(
        "Got a padded batch or a cache with attn_implementation='blocked', expected whole sequences without padding. "
        "Choose 'sdpa' or 'eager'."
    )


AttentionInterface.register("blocked", blocked_attention)


class BioGptAttention(nn.Module):
    """Causal multi-head self-attention."""

    is_causal = True  # read by transformers' sdpa and flash kernels

    def __init__(self, config: BioGptConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim: int = config.hidden_size // config.num_attention_heads
        self.scaling: float = self.head_dim**-0.5
        self.dropout: float = config.attention_probs_dropout_prob
        self.k_proj: nn.Linear = nn.Linear(config.hidden_size, config.hidden_size)
        self.v_proj: nn.Linear = nn.Linear(config.hidden_size, config.hidden_size)
        self.q_proj: nn.Linear = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj: nn.Linear = nn.Linear(config.hidden_size, config.hidden_size)

    @accept_both_cache_names
    def forward(
        self,
        hidden_states: torch.Tensor,  # (B, T, C)
        key_value_states: None = None,  # transformers' place for what an encoder made
        cache: Cache | None = None,
        attention_mask: Any = None,
        implementation: str | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend: hidden states (B, T, C) -> the same shape, and the weights (B, H, T, S) where they are made."""
        refuse_cross_attention({"key_value_states": key_value_states})
        split = (*hidden_states.shape[:-1], -1, self.head_dim)
        query = self.q_proj(hidden_states).view(split).transpose(1, 2)  # (B, H, T, D)
        key = self.k_proj(hidden_states).view(split).transpose(1, 2)
        value = self.v_proj(hidden_states).view(split).transpose(1, 2)
        if cache is not None:
            key, value = cache.update(key, value, self.layer_idx)  # (B, H, S, D)

        implementation = implementation or self.config._attn_implementation
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention)
        dropout = self.dropout if self.training else 0.0
        attended, weights = attend(
            self, query, key, value, attention_mask, scaling=self.scaling, dropout=dropout, **kwargs
        )
        return self.out_proj(attended.reshape(hidden_states.shape)), weights


class BioGptDecoderLayer(GradientCheckpointingLayer):
    """Attention, then feed-forward; each normalises its input and adds its output to the residual stream.

    Like transformers' layers it returns the hidden states alone, so that hooks can replace them. Attention weights are
    recorded from `BioGptAttention`.
    """

    is_read_by_engine = True  # which computes its parts by itself

    def __init__(self, config: BioGptConfig, layer_idx: int) -> None:
        super().__init__()
        eps = config.effective_layer_norm_eps
        self.self_attn: BioGptAttention = BioGptAttention(config, layer_idx)
        self.self_attn_layer_norm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=eps)
        self.fc1: nn.Linear = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2: nn.Linear = nn.Linear(config.intermediate_size, config.hidden_size)
        self.final_layer_norm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=eps)
        self.activation_fn: Callable[[torch.Tensor], torch.Tensor] = ACT2FN[config.hidden_act]
        self.dropout: float = config.hidden_dropout_prob
        self.activation_dropout: float = config.activation_dropout

    @accept_both_cache_names
    def forward(
        self,
        hidden_states: torch.Tensor,  # (B, T, C)
        attention_mask: Any = None,
        cache: Cache | None = None,
        use_cache: bool | None = None,  # transformers passes it; a layer extends the cache that it is given
        position_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Hidden states (B, T, C) -> the same shape."""
        drop = nn.functional.dropout
        if position_ids is not None:
            kwargs["position_ids"] = position_ids  # some attention kernels read them
        attended, _ = self.self_attn(
            self.self_attn_layer_norm(hidden_states), cache=cache, attention_mask=attention_mask, **kwargs
        )
        hidden_states = hidden_states + drop(attended, p=self.dropout, training=self.training)

        inner = self.activation_fn(self.fc1(self.final_layer_norm(hidden_states)))
        inner = drop(inner, p=self.activation_dropout, training=self.training)
        return hidden_states + drop(self.fc2(inner), p=self.dropout, training=self.training)


class BioGptPreTrainedModel(PreTrainedModel):
    """What all BioGPT models share: how transformers loads, saves and initialises them."""

    config_class: type[BioGptConfig] = BioGptConfig
    config: BioGptConfig
    base_model_prefix = "biogpt"
    supports_gradient_checkpointing = True
    _no_split_modules = ["BioGptDecoderLayer"]  # noqa: RUF012, transformers' convention
    _skip_keys_device_placement = ["past_key_values", "cache"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _can_compile_fullgraph = True
    _can_record_outputs = {"hidden_states": BioGptDecoderLayer, "attentions": BioGptAttention}  # noqa: RUF012


class BioGptModel(BioGptPreTrainedModel):
    """The decoder without a head: token ids to hidden states.

    Args:
        config: every number that shapes the network.

    Examples:
        >>> config = biogpt.BioGptConfig.preset("mini", num_hidden_layers=1)
        >>> model = biogpt.BioGptModel(config).eval()
        >>> model(torch.tensor([[2, 32, 7487, 611]])).last_hidden_state.shape
        torch.Size([1, 4, 320])
    """

    def __init__(self, config: BioGptConfig) -> None:
        config.check_network()
        super().__init__(config)
        scale = math.sqrt(config.hidden_size) if config.scale_embedding else 1.0
        self.embed_tokens: BioGptScaledWordEmbedding = BioGptScaledWordEmbedding(
            config.vocab_size, config.hidden_size, config.pad_token_id, embed_scale=scale
        )
        self.embed_positions: BioGptLearnedPositionalEmbedding = BioGptLearnedPositionalEmbedding(
            config.max_position_embeddings, config.hidden_size
        )
        self.layers: nn.ModuleList = nn.ModuleList(
            [BioGptDecoderLayer(config, index) for index in range(config.num_hidden_layers)]
        )
        self.layer_norm: nn.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.effective_layer_norm_eps)
        self.num_layers_built: int = config.num_hidden_layers
        self.gradient_checkpointing: bool = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.embed_tokens

    def set_input_embeddings(self, value: BioGptScaledWordEmbedding) -> None:
        """Put another token embedding in its place."""
        self.embed_tokens = value

    @capture_outputs  # type: ignore[untyped-decorator]
    @accept_both_cache_names
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache: Cache | KeyValuePairs | None = None,
        use_cache: bool | None = None,
        position_ids: torch.Tensor | None = None,
        head_mask: torch.Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPastAndCrossAttentions:
        """Run the decoder.

        Args:
            input_ids: token ids, (B, T).
            attention_mask: 1 for tokens, 0 for padding, (B, S): it spans what the cache holds and the new tokens.
                Positions are counted from it, so padding on either side never changes a result. A prepared
                (B, 1, T, S) mask is used as it is.
            inputs_embeds: scaled embeddings in place of `input_ids`, (B, T, C).
            cache: cache of earlier tokens, which is extended in place; or the (key, value) pairs of all layers, which
                stay as they are, and pairs come back. `past_key_values` is its older name, and works everywhere.
            use_cache: return the cache (created when none is given).
            position_ids: positions of the new tokens, (B, T) or (1, T), overriding those counted from the mask.
            head_mask: factor of each head's attention weights (0 switches a head off), (H,) or one (H,) per layer;
                uses the eager attention.
            output_attentions: return attention weights, one (B, H, T, S) per layer; uses the eager attention.
            output_hidden_states: return the input of every layer and the final output, (B, T, C) each.
            kwargs: `return_dict=False` for a tuple rather than a `ModelOutput`; the rest goes to the attention kernel.

        Raises:
            InputError: both or neither of `input_ids` and `inputs_embeds`, a mask shorter than past and new tokens,
                more tokens than positions, a `head_mask` or pairs of another shape, or what only a model with
                cross-attention could read.
        """
        config = self.config
        refuse_cross_attention(kwargs)
        use_cache = config.use_cache if use_cache is None else use_cache
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        if inputs_embeds is None and input_ids is not None:
            inputs_embeds = self.embed_tokens(input_ids)
        elif inputs_embeds is None or input_ids is not None:
            raise InputError(
                "Got both or neither of input_ids and inputs_embeds, expected exactly one. Pass one of them."
            )
        given = cache
        cache, use_cache = self._find_cache(given, use_cache)
        num_past = cache.get_seq_length() if cache is not None else 0

        if position_ids is None:
            position_ids = count_positions(attention_mask, num_past, inputs_embeds)
        check_positions(position_ids, num_past, self.embed_positions.num_embeddings - POSITION_OFFSET)
        layers = self._choose_layers()
        head_masks = split_head_mask(head_mask, len(layers), config.num_attention_heads)
        implementation = "eager" if output_attentions or head_mask is not None else None  # None: the configured one
        causal_mask = self._make_mask(implementation, inputs_embeds, attention_mask, cache)

        hidden_states = inputs_embeds + self.embed_positions(position_ids)
        hidden_states = nn.functional.dropout(hidden_states, p=config.hidden_dropout_prob, training=self.training)
        for layer, layer_head_mask in zip(layers, head_masks, strict=True):
            if self.training and config.layerdrop > 0.0 and torch.rand([]) < config.layerdrop:
                continue
            hidden_states = layer(
                hidden_states,
                attention_mask=causal_mask,
                cache=cache,
                implementation=implementation,
                **({} if layer_head_mask is None else {"head_mask": layer_head_mask}),
                **kwargs,
            )
        hidden_states = self.layer_norm(hidden_states)

        if isinstance(given, tuple | list) and cache is not None:
            cache = tuple((layer.keys, layer.values) for layer in cache.layers)  # the form that was passed in
        return BaseModelOutputWithPastAndCrossAttentions(
            last_hidden_state=hidden_states, **{CACHE_NAME: cache if use_cache else None}
        )

    def _choose_layers(self) -> nn.ModuleList:
        """All layers that are there, edited or not; fewer where `generate(assistant_early_exit=...)` drafts.

        That call lowers `config.num_hidden_layers` for a while, below the number that the model was built with.
        """
        num_layers = self.config.num_hidden_layers
        return self.layers[:num_layers] if num_layers < self.num_layers_built else self.layers

    def _find_cache(self, given: Cache | KeyValuePairs | None, use_cache: bool) -> tuple[Cache | None, bool]:
        """The cache to go on from, if any, and whether to return it."""
        if self.training and self.gradient_checkpointing and torch.is_grad_enabled():
            if given is not None:
                raise InputError(
                    "Got a cache in training with gradient checkpointing, expected none, since the layers run "
                    "twice. Leave it out, or turn checkpointing off."
                )
            return None, False  # the backward pass would run each layer again and extend the cache twice
        if isinstance(given, Cache):
            return given, use_cache
        return (make_cache(self.config, given or ()) if use_cache or given is not None else None), use_cache

    def _make_mask(
        self,
        implementation: str | None,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        cache: Cache | None,
    ) -> Any:
        """Which of the seen tokens each new token may see, in the form that the attention implementation wants."""
        config = self.config
        if implementation is not None:
            config = copy.copy(config)
            config._attn_implementation = implementation
        is_padded = (
            config._attn_implementation == "blocked"
            and attention_mask is not None
            and not torch.compiler.is_compiling()
            and not attention_mask.all()
        )
        if is_padded:  # transformers would make no mask for it
            raise _unsuited_to_blocks()
        return create_causal_mask(
            config=config, inputs_embeds=inputs_embeds, attention_mask=attention_mask, **{CACHE_NAME: cache}
        )


def split_head_mask(head_mask: torch.Tensor | None, num_layers: int, num_heads: int) -> list[torch.Tensor | None]:
    """The head mask of each layer, (H,), from one for all layers or one per layer."""
    if head_mask is None:
        return [None] * num_layers
    shape = (num_layers, num_heads)
    if tuple(head_mask.shape) not in (shape, shape[1:]):
        raise InputError(
            f"Got a head_mask of shape {tuple(head_mask.shape)}, expected {shape[1:]} or {shape}: a factor for each "
            "attention head, of all layers alike or of each layer. Reshape it."
        )
    return list(head_mask.expand(shape))


def refuse_cross_attention(arguments: dict[str, Any]) -> None:
    """Raise where an argument is given that only a model with cross-attention reads."""
    for name in _CROSS_ATTENTION_ARGUMENTS:
        if arguments.get(name) is not None:
            raise InputError(f"Got {name}, expected none: BioGPT has no cross-attention. Leave it out.")


def count_positions(
    attention_mask: torch.Tensor | None, num_past: int | torch.Tensor, inputs_embeds: torch.Tensor
) -> torch.Tensor:
    """Positions of the new tokens, (B, T) or (1, T): counted over the mask where there is one, -1 at padding.

    Hugging Face's v4.34 did this inside the model; later versions count from the index unless told otherwise, which
    makes a left-padded batch differ from its members run alone.
    """
    num_new = inputs_embeds.shape[1]
    new = torch.arange(num_new, device=inputs_embeds.device) + num_past
    if attention_mask is None or attention_mask.dim() != 2:
        return new.unsqueeze(0)
    if _is_known(num_past) and attention_mask.shape[1] < num_past + num_new:
        raise InputError(
            f"Got an attention_mask of {attention_mask.shape[1]} columns for {num_past} cached and {num_new} new "
            f"tokens, expected {num_past + num_new}. Extend the mask with the cached tokens' part."
        )
    mask = attention_mask.long()
    positions = mask.cumsum(dim=1) * mask - 1
    return positions.index_select(1, new)


def check_positions(position_ids: torch.Tensor, num_past: int | torch.Tensor, max_positions: int) -> None:
    """Raise where there are more tokens than positions; only looks at the numbers where there may be."""
    if _is_known(num_past) and num_past + position_ids.shape[1] > max_positions:
        num_tokens = int(position_ids.max()) + 1
        if num_tokens > max_positions:
            raise InputError(
                f"Got {num_tokens} tokens, expected at most {max_positions}, which is the number of positions of this "
                "model. Shorten the text (a tokenizer does with truncation=True, max_length=...), or generate less."
            )


def _is_known(num_past: int | torch.Tensor) -> bool:
    """A static cache counts in a tensor: looking at that would stop a GPU, and split a compiled graph."""
    return isinstance(num_past, int) and not torch.compiler.is_compiling()


class BioGptForCausalLM(BioGptPreTrainedModel, BioGptGenerationMixin):
    """The decoder with a language-model head that shares the token embedding's matrix.

    Args:
        config: every number that shapes the network.

    Examples:
        >>> config = biogpt.BioGptConfig.preset("mini", num_hidden_layers=1)
        >>> model = biogpt.BioGptForCausalLM(config).eval()
        >>> model(torch.tensor([[2, 32, 7487, 611]])).logits.shape
        torch.Size([1, 4, 8192])
    """

    _tied_weights_keys = {"output_projection.weight": "biogpt.embed_tokens.weight"}  # noqa: RUF012, transformers' form

    def __init__(self, config: BioGptConfig) -> None:
        super().__init__(config)
        self.biogpt: BioGptModel = BioGptModel(config)
        self.output_projection: nn.Linear = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_output_embeddings(self) -> nn.Module:
        """The output projection, whose weights are those of the token embedding."""
        return self.output_projection

    def set_output_embeddings(self, new_embeddings: nn.Linear) -> None:
        """Put another output projection in its place."""
        self.output_projection = new_embeddings

    @can_return_tuple  # type: ignore[untyped-decorator]
    @accept_both_cache_names
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        cache: Cache | KeyValuePairs | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        position_ids: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithCrossAttentions:
        """Predict each next token; arguments as `BioGptModel.forward`, and:

        Args:
            labels: ids to predict, (B, T), usually `input_ids`: they are shifted inside, and -100 is ignored.
            logits_to_keep: compute logits of the last this-many positions only (0: all), or of the given indices.

        Returns:
            Loss (with `labels`: mean negative log-likelihood in nats per token), logits (B, T, V), the cache, and what
            else was asked for.
        """
        decoded = self.biogpt(
            input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache=cache,
            use_cache=use_cache,
            position_ids=position_ids,
            **{name: value for name, value in kwargs.items() if name not in _LOSS_ARGUMENTS},
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.output_projection(decoded.last_hidden_state[:, kept, :])  # (B, T, V)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)

        return CausalLMOutputWithCrossAttentions(
            loss=loss,
            logits=logits,
            **{CACHE_NAME: decoded.get(CACHE_NAME)},
            hidden_states=decoded.hidden_states,
            attentions=decoded.attentions,
        )


class BioGptForTokenClassification(BioGptPreTrainedModel):
    """The decoder with a label for every token, as for named entities.

    Args:
        config: every number that shapes the network; `num_labels` says how many labels there are.

    Examples:
        >>> config = biogpt.BioGptConfig.preset("mini", num_hidden_layers=1, num_labels=3)
        >>> model = biogpt.BioGptForTokenClassification(config).eval()
        >>> model(torch.tensor([[2, 32, 7487, 611]])).logits.shape
        torch.Size([1, 4, 3])
    """

    accepts_loss_kwargs = False  # tells Trainer that the loss is the mean over this batch

    def __init__(self, config: BioGptConfig) -> None:
        super().__init__(config)
        self.num_labels: int | None = config.num_labels
        self.biogpt: BioGptModel = BioGptModel(config)
        dropout = config.hidden_dropout_prob if config.classifier_dropout is None else config.classifier_dropout
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self.classifier: nn.Linear = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    @accept_both_cache_names
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: Cache | KeyValuePairs | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        position_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput:
        """Label each token; arguments as `BioGptModel.forward`, and:

        Args:
            token_type_ids: accepted for tokenizers that make them; BioGPT has no types of tokens.
            labels: a label of each token, (B, T), 0 to L - 1. Where it is -100 or the mask is 0, it is ignored.

        Returns:
            Loss (with `labels`: mean cross-entropy in nats per token), logits (B, T, L), and what else was asked for.
        """
        decoded = self.biogpt(
            input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache=cache,
            use_cache=use_cache,
            position_ids=position_ids,
            **kwargs,
        )
        logits = self.classifier(self.dropout(decoded.last_hidden_state))  # (B, T, L)
        loss = None
        if labels is not None:
            labels = labels.to(logits.device)
            if attention_mask is not None and attention_mask.dim() == 2:
                is_token = attention_mask[:, -labels.shape[1] :].to(labels.device) == 1
                labels = labels.masked_fill(~is_token, IGNORED_LABEL)
            loss = nn.functional.cross_entropy(
                logits.view(-1, self.num_labels), labels.reshape(-1), ignore_index=IGNORED_LABEL
            )

        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=decoded.hidden_states, attentions=decoded.attentions
        )


class BioGptForSequenceClassification(BioGptPreTrainedModel):
    """The decoder with labels or values for a whole text, read off its last token, the only one that has seen all.

    Args:
        config: every number that shapes the network; `num_labels` says how many labels there are.

    Examples:
        >>> config = biogpt.BioGptConfig.preset("mini", num_hidden_layers=1, num_labels=3)
        >>> model = biogpt.BioGptForSequenceClassification(config).eval()
        >>> model(torch.tensor([[2, 32, 7487, 611]])).logits.shape
        torch.Size([1, 3])
    """

    accepts_loss_kwargs = False  # tells Trainer that the loss is the mean over this batch

    def __init__(self, config: BioGptConfig) -> None:
        super().__init__(config)
        self.num_labels: int | None = config.num_labels
        self.biogpt: BioGptModel = BioGptModel(config)
        self.score: nn.Linear = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.post_init()

    @can_return_tuple  # type: ignore[untyped-decorator]
    @accept_both_cache_names
    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: Cache | KeyValuePairs | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        position_ids: torch.Tensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        **kwargs: Any,
    ) -> SequenceClassifierOutputWithPast:
        """Classify texts; arguments as `BioGptModel.forward`, and:

        Args:
            labels: (B,) labels from 0 to L - 1, (B,) or (B, L) values to regress on, or (B, L) of 0 and 1. Which loss
                they mean is `config.problem_type`; where that is None it becomes `"regression"` for one label,
                `"single_label_classification"` for integer labels, `"multi_label_classification"` for others.
            logits_to_keep: accepted and of no effect: one position of each text is scored anyway.

        Returns:
            Loss (with `labels`: mean square, cross-entropy, or binary cross-entropy), logits (B, L), the cache, and
            what else was asked for.

        Raises:
            InputError: a batch of several texts without `config.pad_token_id`: where would a text end?
        """
        decoded = self.biogpt(
            input_ids,
            attention_mask=attention_mask,
            inputs_embeds=inputs_embeds,
            cache=cache,
            use_cache=use_cache,
            position_ids=position_ids,
            **kwargs,
        )
        hidden_states = decoded.last_hidden_state
        last = find_last_tokens(self.config.pad_token_id, input_ids, attention_mask, hidden_states)
        rows = torch.arange(hidden_states.shape[0], device=hidden_states.device)
        logits = self.score(hidden_states[rows, last])  # (B, L)
        loss = None if labels is None else self._compute_loss(logits, labels.to(logits.device))

        return SequenceClassifierOutputWithPast(
            loss=loss,
            logits=logits,
            **{CACHE_NAME: decoded.get(CACHE_NAME)},
            hidden_states=decoded.hidden_states,
            attentions=decoded.attentions,
        )

    def _compute_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if self.config.problem_type is None:  # remembered, so that pipelines know what the scores mean
            is_integer = labels.dtype in (torch.long, torch.int)
            several = "single_label_classification" if is_integer else "multi_label_classification"
            self.config.problem_type = "regression" if self.num_labels == 1 else several
        if self.config.problem_type == "regression":
            return nn.functional.mse_loss(logits, labels.view_as(logits).to(logits.dtype))
        if self.config.problem_type == "single_label_classification":
            return nn.functional.cross_entropy(logits, labels.view(-1))
        return nn.functional.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))


AnyModel = BioGptForCausalLM | BioGptForTokenClassification | BioGptForSequenceClassification
"""A model with any of its heads."""


def find_last_tokens(
    pad_token_id: int | None,
    input_ids: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    hidden_states: torch.Tensor,
) -> torch.Tensor:
    """Index of the last token of each text that is neither masked nor the pad token, (B,), whichever side is padded."""
    batch_size, num_new = hidden_states.shape[:2]
    if pad_token_id is None and batch_size > 1:
        raise InputError(
            f"Got {batch_size} texts and no pad_token_id, expected one text or to know which tokens are padding. Set "
            "model.config.pad_token_id (BioGPT's is 1)."
        )
    is_token = torch.ones(batch_size, num_new, dtype=torch.bool, device=hidden_states.device)
    if attention_mask is not None and attention_mask.dim() == 2:
        is_token = is_token & (attention_mask[:, -num_new:].to(is_token.device) != 0)
    if input_ids is not None and pad_token_id is not None:
        is_token = is_token & (input_ids.to(is_token.device) != pad_token_id)
    return (is_token * torch.arange(num_new, device=is_token.device)).argmax(dim=1)
