"""How sure a model was of each item that it wrote, from the probabilities of its tokens.

An item's score is the geometric mean of the probabilities of the tokens that fill its slots. The words of the sentence
around them say nothing: a tuned model writes them whatever it reads. Knows token ids and texts, no models.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from biogpt.tasks.example import Item
from biogpt.tasks.schema import Schema


def score_items(
    schema: Schema,
    items: Sequence[Item],
    token_ids: Sequence[int],
    log_probabilities: Sequence[float],
    decode: Callable[[Sequence[int]], str],
) -> tuple[Item, ...]:
    """Items with their scores, from 0 to 1.

    Args:
        schema: of the task whose items these are.
        items: in the order in which they were read from the text.
        token_ids: of the text, without the end token.
        log_probabilities: of these tokens, in nats; those of further tokens are not looked at.
        decode: ids -> text without special tokens.

    Returns:
        The items; one that is not found in the text gets the mean over all tokens.
    """
    if not items or not token_ids:
        return tuple(items)
    text, owners = _place_tokens(token_ids, decode)
    overall = math.exp(sum(log_probabilities[: len(token_ids)]) / len(token_ids))
    scored = []
    for item in items:
        tokens = sorted({owner for start, end in _find_values(schema, item, text) for owner in owners[start:end]})
        logs = [log_probabilities[token] for token in tokens]
        scored.append(replace(item, score=math.exp(sum(logs) / len(logs)) if logs else overall))
    return tuple(scored)


def _find_values(schema: Schema, item: Item, text: str) -> list[tuple[int, int]]:
    """Where the item's values stand in a text without blanks; a value that is worded in another way is left out."""
    template = schema.template
    literals = [_squeeze(literal) for literal in re.split(r"\{\w+\}", template.sentence)]
    # Labels of one sentence share it, so that an item's own sentence need not stand there.
    sentence = template.render([item.slots]).removesuffix(template.end) if len(schema.slots) > 1 else ""
    start = text.find(_squeeze(sentence))
    if start < 0:
        return []
    places = []
    for literal, slot in zip(literals, template.slots, strict=False):
        start = max(start, text.find(literal, start) + len(literal))
        value = _squeeze(item.slots[slot])
        found = text.find(value, start)
        if value and found >= 0:
            places.append((found, found + len(value)))
            start = found + len(value)
    return places


def _place_tokens(token_ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> tuple[str, list[int]]:
    """The text without blanks, and for each of its characters the token that wrote it.

    What a token adds is seen by decoding without and with it: how pieces become text depends on those before.
    """
    text = ""
    owners: list[int] = []
    for index in range(len(token_ids)):
        longer = _squeeze(decode(token_ids[: index + 1]))
        pairs = enumerate(zip(text, longer, strict=False))
        kept = next((place for place, (old, new) in pairs if old != new), min(len(text), len(longer)))
        owners[kept:] = [index] * (len(longer) - kept)
        text = longer
    return text, owners


def _squeeze(text: str) -> str:
    return "".join(text.split()).lower()
