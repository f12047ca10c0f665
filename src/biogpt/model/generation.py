"""`generate` as transformers has it, kept within the positions of the model.

It knows of a model only its configuration: how many positions there are.
"""

import warnings
from typing import Any

import torch
from transformers import GenerationConfig, GenerationMixin

from biogpt.model.cache import name_cache

# How many tokens transformers generates where nobody says how many.
DEFAULT_NEW_TOKENS = 20


class BioGptGenerationMixin(GenerationMixin):
    """transformers' generation, which stops at the last position of the model instead of failing there."""

    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Generate as `transformers.GenerationMixin.generate` documents, on as many positions as the model has.

        Args:
            inputs: the prompts, (B, T), also as `input_ids` or, as embeddings, `inputs_embeds`.
            generation_config: settings in place of the model's own; keyword arguments win over both.
            args: further positional arguments of transformers.
            kwargs: further settings and arguments of transformers. A cache is taken as `cache` or `past_key_values`.

        Returns:
            What transformers returns: token ids, (B, T + new), or an object with more. Where generation comes to the
            last position it stops, returns what is written, and warns.

        Raises:
            InputError: a prompt of more tokens than positions.
        """
        name_cache(kwargs)
        num_prompt, num_longest = _measure_prompt(inputs, kwargs)
        room = self.config.max_position_embeddings - num_longest
        if room == 0:
            room = 1  # what follows the last position can still be predicted
        config = generation_config or self.generation_config
        # transformers proposes as many tokens by prompt lookup beyond the length that it was told, too.
        num_proposed = kwargs.get("prompt_lookup_num_tokens", config.prompt_lookup_num_tokens) or 0
        if num_proposed and room > 0:
            room = max(1, room - num_proposed)
        is_limited = room > 0 and _limit_new_tokens(room, num_prompt, config, kwargs)
        output = super().generate(inputs, generation_config, *args, **kwargs)
        if is_limited:
            sequences = output if isinstance(output, torch.Tensor) else output.sequences
            num_returned = 0 if inputs is None and kwargs.get("input_ids") is None else num_prompt
            if sequences.shape[1] - num_returned >= room:
                kept = f" but {num_proposed}, kept for prompt lookup" if num_proposed else ""
                warnings.warn(
                    f"Generation stopped at the last of the model's {self.config.max_position_embeddings} positions"
                    f"{kept}. Shorten the prompt for a longer text.",
                    stacklevel=2,
                )
        return output


def _measure_prompt(inputs: torch.Tensor | None, arguments: dict[str, Any]) -> tuple[int, int]:
    """Columns of a prompt, and the number of tokens of its longest row, padding left out."""
    given = (inputs, arguments.get("input_ids"), arguments.get("inputs_embeds"))
    prompt = next((one for one in given if isinstance(one, torch.Tensor) and one.dim() > 1), None)
    if prompt is None:
        return 1, 1  # transformers begins with one token, or refuses what it got
    num_prompt = int(prompt.shape[1])
    mask = arguments.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.dim() == 2 and mask.numel():
        return num_prompt, int((mask != 0).sum(dim=1).max())
    return num_prompt, num_prompt


def _limit_new_tokens(room: int, num_prompt: int, config: GenerationConfig, arguments: dict[str, Any]) -> bool:
    """Lower the requested length to `room` new tokens, in the arguments, where it is more; whether it was."""
    max_new_tokens = arguments.get("max_new_tokens", config.max_new_tokens)
    max_length = arguments.get("max_length", config.max_length)
    if max_new_tokens is not None:
        if max_new_tokens <= room:
            return False
        arguments["max_new_tokens"] = room
    elif max_length is not None:
        if max_length - num_prompt <= room:
            return False
        arguments["max_length"] = num_prompt + room
    elif room < DEFAULT_NEW_TOKENS:
        arguments["max_new_tokens"] = room
    else:
        return False
    return True
