"""The cache of keys and values under both of its names: `past_key_values`, and `cache` from transformers 5.24 on.

It knows no network. `BioGptModel` and what generates from it take their caches from here.
"""

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions

from biogpt.errors import InputError
from biogpt.model.config import BioGptConfig

# What transformers calls a cache, as an argument and in an output: "past_key_values" up to 5.23, then "cache".
CACHE_NAME = next(
    field.name
    for field in dataclasses.fields(CausalLMOutputWithCrossAttentions)
    if field.name in ("cache", "past_key_values")
)

# How caches were written before transformers had classes for them: keys and values, (B, H, S, D) each, of every layer.
KeyValuePairs = tuple[tuple[torch.Tensor, torch.Tensor], ...]

_Forward = TypeVar("_Forward", bound=Callable[..., Any])


def accept_both_cache_names(forward: _Forward) -> _Forward:
    """Let a `forward` with the argument `cache` take it as `past_key_values` too, as older transformers passes it.

    Where the installed transformers says `cache`, the older name is deprecated, as it is in transformers.
    """

    @functools.wraps(forward)
    def renamed(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        older = kwargs.pop("past_key_values", None)
        if older is not None:
            if kwargs.get("cache") is not None:
                raise _given_twice()
            if CACHE_NAME == "cache":
                warnings.warn(
                    "`past_key_values` is deprecated, and goes away in transformers 5.40. Pass `cache` instead.",
                    FutureWarning,
                    stacklevel=5,  # behind a decorator of transformers and two functions of torch stands the caller
                )
            kwargs["cache"] = older
        return forward(self, *args, **kwargs)

    return renamed  # type: ignore[return-value]


def name_cache(arguments: dict[str, Any]) -> None:
    """Rename the cache among keyword arguments, in place, to what the installed transformers calls it."""
    other = "past_key_values" if CACHE_NAME == "cache" else "cache"
    cache = arguments.pop(other, None)
    if cache is not None:
        if arguments.get(CACHE_NAME) is not None:
            raise _given_twice()
        arguments[CACHE_NAME] = cache


def _given_twice() -> InputError:
    return InputError("Got both cache and past_key_values, expected one: they name the same argument. Leave one out.")


def make_cache(config: BioGptConfig, pairs: KeyValuePairs = ()) -> Cache:
    """A cache that holds the (key, value) pairs of all layers, or, where there are none, an empty one."""
    cache = DynamicCache(config=config)
    if pairs and (len(pairs) != config.num_hidden_layers or any(len(pair) != 2 for pair in pairs)):
        raise InputError(
            f"Got a cache of {len(pairs)} layers, expected a pair of key and value for each of the "
            f"{config.num_hidden_layers} layers. Pass what an earlier call returned."
        )
    for index, (key, value) in enumerate(pairs):
        cache.update(key, value, index)
    return cache
