"""Weights that stay in their files until they are used, and a model made of them for the engine.

The engine packs the matrices one by one, so that no more than one of them is in memory as it was saved. `StoredModel`
has the modules and names of `BioGptForCausalLM` that the engine uses, and nothing of transformers' models, whose import
takes longer than reading a small model.

Shapes in comments: B batch, T tokens, C hidden size.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from biogpt.errors import InputError
from biogpt.model import fairseq
from biogpt.model.checkpoint import (
    INT8_FILE,
    Opener,
    check_is_causal,
    check_shapes,
    check_tied,
    find_fairseq_file,
    find_weights,
    is_finite,
    lay_out,
    load_config,
    warn_of_broken,
)
from biogpt.model.config import BioGptConfig
from biogpt.model.fairseq import EMBEDDING, PROJECTION
from biogpt.model.quantization import INT8_PARTS, Int8Matrix, assemble_matrix, quantize, restore_shapes

_MAX_MAPPED = 2**27  # bytes; pages of a file that were read count as memory until it is let go
_POSITION_OFFSET = 2  # as in modeling.py


class StoredWeights:
    """The weights of a language model in their files.

    Args:
        config: of the model.
        file: what to call the files in messages.
        openers: of the files.

    Raises:
        CheckpointError: names or shapes are not those of the configuration.
    """

    def __init__(self, config: BioGptConfig, file: Path, openers: Sequence[Opener]) -> None:
        self.config = config
        self.file = file
        self.is_int8: bool = file.name == INT8_FILE
        self._openers = openers
        self._where: dict[str, int] = {}
        self._opened: tuple[int, Mapping[str, torch.Tensor]] | None = None
        self._num_bytes = 0
        self._broken: list[str] = []
        shapes: dict[str, torch.Tensor] = {}
        for number, opener in enumerate(openers):
            for name, tensor in opener().items():
                self._where[name] = number
                shapes[name] = torch.empty_like(tensor, device="meta")
        if self.is_int8:
            shapes = restore_shapes(file, shapes)
        if config.tie_word_embeddings and PROJECTION in shapes:
            if not self.is_int8:
                check_tied(file, self.read(PROJECTION), self.read(EMBEDDING) if EMBEDDING in self else None)
            del shapes[PROJECTION]
        self.shapes: dict[str, torch.Tensor] = shapes
        """All weights but a tied projection, without memory."""
        self.model: StoredModel = lay_out(file, config, len(shapes), StoredModel)
        """The model, without memory for its weights."""
        check_shapes(file, config, shapes, self.model.state_dict())
        self.close()

    def __contains__(self, name: str) -> bool:
        return name in self._where

    @property
    def num_parameters(self) -> int:
        """Of the model."""
        return sum(tensor.numel() for tensor in self.shapes.values())

    def read(self, name: str) -> torch.Tensor:
        """One tensor as it was saved, to be let go soon."""
        number = self._where[name]
        if self._opened is None or self._opened[0] != number or self._num_bytes > _MAX_MAPPED:
            self._opened = None  # before the next one is opened
            self._opened, self._num_bytes = (number, self._openers[number]()), 0
        tensor = self._opened[1][name]
        self._num_bytes += tensor.nbytes
        return tensor

    def read_matrix(self, name: str) -> torch.Tensor | Int8Matrix:
        """A matrix as it was saved; warns of one that is not of numbers, if it is the first."""
        if f"{name}.int8" not in self:
            weight = self.read(name)
            self._check_numbers(name, weight)
            return weight
        parts = [f"{name}.{part}" for part in INT8_PARTS]
        matrix = assemble_matrix(self.file, name, {part: self.read(part) for part in parts if part in self})
        self._check_numbers(name, matrix.scales)
        return matrix

    def keep(self, names: Iterable[str], unread: str | None = None) -> dict[str, torch.Tensor]:
        """Tensors that are kept as they were saved: nothing else of their files stays in memory for them.

        Args:
            names: of these.
            unread: one that is not looked at now.
        """
        kept: dict[str, torch.Tensor] = {}
        for number, opener in enumerate(self._openers):
            own = [name for name in names if self._where[name] == number]
            opened = opener() if own else {}
            kept |= {name: opened[name] for name in own}
        for name, tensor in kept.items():
            if name != unread:
                self._check_numbers(name, tensor)
        return kept

    def close(self) -> None:
        """Let the files go, until something is read."""
        self._opened = None

    def _check_numbers(self, name: str, tensor: torch.Tensor) -> None:
        if is_finite(tensor):
            return
        self._broken.append(name)
        if len(self._broken) == 1:
            warn_of_broken(self.file, self._broken, stacklevel=3)


class StoredLinear(nn.Module):
    """A linear layer whose weights are read when they are packed. It computes nothing by itself.

    Args:
        weights: where they are.
        name: of the layer.
        layer: one of its size, without memory for weights.
    """

    def __init__(self, weights: StoredWeights, name: str, layer: nn.Linear) -> None:
        super().__init__()
        self.out_features: int = layer.out_features
        self._weights = weights
        self._weight_name = f"{name}.weight"
        if self._weight_name not in weights.shapes and f"{self._weight_name}.int8" not in weights:
            self._weight_name = EMBEDDING  # a tied projection
        self._bias_name = None if layer.bias is None else f"{name}.bias"

    def read(self) -> tuple[torch.Tensor | Int8Matrix, torch.Tensor | None]:
        """The weight as it was saved, and the bias in float32."""
        weight = self._weights.read_matrix(self._weight_name)
        return weight, None if self._bias_name is None else self._weights.read(self._bias_name).float()


class StoredModel(nn.Module):
    """The modules of a language model that the engine uses; it computes nothing by itself.

    Args:
        config: every number that shapes the network.
    """

    def __init__(self, config: BioGptConfig) -> None:
        super().__init__()
        self.config: BioGptConfig = config
        self.biogpt: _Decoder = _Decoder(config)
        self.output_projection: nn.Linear | StoredLinear = _Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.biogpt.layer_norm.weight.device


class _Decoder(nn.Module):
    def __init__(self, config: BioGptConfig) -> None:
        super().__init__()
        scale = config.hidden_size**0.5 if config.scale_embedding else 1.0
        self.embed_tokens = _TokenEmbedding(config.vocab_size, config.hidden_size, scale)
        self.embed_positions = _PositionEmbedding(config.max_position_embeddings + _POSITION_OFFSET, config.hidden_size)
        self.layers = nn.ModuleList([_Layer(config) for _ in range(config.num_hidden_layers)])
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.effective_layer_norm_eps)


# The weights come from files. To initialise them first, without memory, would import PyTorch's compiler, which takes as
# long as PyTorch itself.
class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        pass


class _Embedding(nn.Embedding):
    def reset_parameters(self) -> None:
        pass


class _TokenEmbedding(_Embedding):
    def __init__(self, num_ids: int, size: int, scale: float) -> None:
        super().__init__(num_ids, size)
        self._scale = scale

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, C)
        return super().forward(input_ids) * self._scale


class _PositionEmbedding(_Embedding):
    def forward(self, position_ids: torch.Tensor) -> torch.Tensor:  # (B, T) -> (B, T, C)
        return super().forward(position_ids + _POSITION_OFFSET)


class _Layer(nn.Module):
    is_read_by_engine = True  # as BioGptDecoderLayer

    def __init__(self, config: BioGptConfig) -> None:
        super().__init__()
        eps = config.effective_layer_norm_eps
        self.self_attn = _Attention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.hidden_size, eps=eps)
        self.fc1 = _Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = _Linear(config.intermediate_size, config.hidden_size)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=eps)
        self.activation_fn = _find_activation(config.hidden_act)


def _find_activation(name: str) -> Callable[[torch.Tensor], torch.Tensor]:
    if name == "gelu":
        return nn.functional.gelu
    from transformers.activations import ACT2FN  # takes a second

    activation: Callable[[torch.Tensor], torch.Tensor] = ACT2FN[name]
    return activation


class _Attention(nn.Module):
    def __init__(self, config: BioGptConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.head_dim = size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            setattr(self, name, _Linear(size, size))


def open_weights(path: Path) -> StoredWeights:
    """The weights of the language model in the directory `path`: checked by names and shapes, but not read.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration; or the model has another head.
    """
    if fairseq_file := find_fairseq_file(path):
        config, _ = fairseq.read_checkpoint(fairseq_file)
        return StoredWeights(config, fairseq_file, [lambda: fairseq.read_checkpoint(fairseq_file)[1]])
    config = load_config(path)
    check_is_causal(path, config)
    return StoredWeights(config, *find_weights(path))


def load_stored_model(
    weights: StoredWeights, *, is_int8: bool = False, dtype: torch.dtype = torch.float32
) -> StoredModel:
    """The model that some weights are of, ready for the engine.

    Args:
        weights: of the model, which is made once.
        is_int8: leave the matrices of linear layers in their files, to be read one by one as they are packed.
        dtype: of all that is read here.

    Raises:
        CheckpointError: the file is damaged.

    Warns:
        UserWarning: there are weights that are no numbers.
    """
    model, is_tied = weights.model, weights.config.tie_word_embeddings
    left: set[str] = set()
    if is_int8:
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear):
                parent, _, own = name.rpartition(".")
                setattr(model.get_submodule(parent), own, StoredLinear(weights, name, module))
                left |= {f"{name}.weight", f"{name}.bias"}
    names = [name for name in weights.shapes if name not in left]
    matrices = [name for name in names if name not in weights]  # in int8
    # Of a tied embedding only the rows that are looked up come into memory, and the projection reads it whole.
    unread = EMBEDDING if is_int8 and is_tied else None
    kept = weights.keep([name for name in names if name in weights], unread)
    for name in matrices:
        matrix = weights.read_matrix(name)
        kept[name] = matrix.to_float() if isinstance(matrix, Int8Matrix) else matrix
    kept = {name: tensor.to(dtype) for name, tensor in kept.items()}
    if is_tied and not is_int8:
        kept[PROJECTION] = kept[EMBEDDING]
    model.load_state_dict(kept, strict=False, assign=True)
    model.requires_grad_(False)
    weights.close()
    return model.eval()


def pack_tensors(weights: StoredWeights) -> dict[str, torch.Tensor]:
    """The tensors of a file in int8: the matrices of linear layers and, also where it is tied, of the projection.

    Matrices that int8 cannot hold well stay as they are, and so does everything else.

    Raises:
        InputError: the weights are in int8 already.
    """
    if weights.is_int8:
        raise InputError(f"{weights.file} is in int8 already, expected a model in float32 or in 16 bits.")
    tensors: dict[str, torch.Tensor] = {}
    for name, module in weights.model.named_modules():
        if isinstance(module, nn.Linear):
            own = f"{name}.weight"
            matrix = quantize(weights.read(own if own in weights.shapes else EMBEDDING))
            if not matrix.is_coarse:
                tensors |= matrix.to_tensors(own)
    left = [name for name in weights.shapes if f"{name}.int8" not in tensors]
    return tensors | weights.keep(left)
