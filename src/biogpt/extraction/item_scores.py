"""How sure a model was of each item that it wrote, from the probabilities of its tokens.

An item's score is the geometric mean of the probabilities of the tokens that fill its slots. The words of the sentence
around them say nothing: a fine-tuned model writes them whatever it reads. Knows tokens and texts, no models.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from biogpt.decoding.text_stream import WORD_END
from biogpt.tasks.example import Item
from biogpt.tasks.schema import Schema
from biogpt.text import moses


def score_items(
    schema: Schema,
    items: Sequence[Item],
    tokens: Sequence[str],
    log_probabilities: Sequence[float],
) -> tuple[Item, ...]:
    """Items with their scores, from 0 to 1.

    Args:
        schema: of the task whose items these are.
        items: in the order in which they were read from the text.
        tokens: of the text, without special tokens; the last one of each word ends in `</w>`.
        log_probabilities: of these tokens, in nats; those of further tokens are not looked at.

    Returns:
        The items; one that is not found in the text gets the mean over all tokens.
    """
    if not items or not tokens:
        return tuple(items)
    text, owners = _place_tokens(tokens)
    overall = math.exp(sum(log_probabilities[: len(tokens)]) / len(tokens))
    scored = []
    for item in items:
        numbers = sorted({owner for start, end in _find_values(schema, item, text) for owner in owners[start:end]})
        logs = [log_probabilities[number] for number in numbers]
        scored.append(replace(item, score=math.exp(sum(logs) / len(logs)) if logs else overall))
    return tuple(scored)


def _find_values(schema: Schema, item: Item, text: str) -> list[tuple[int, int]]:
    """Where the item's values stand in a text without spaces; a value that is written in another way is left out."""
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


def _place_tokens(tokens: Sequence[str]) -> tuple[str, list[int]]:
    """The text without spaces, and for each of its characters the token that wrote it.

    Moses joins and unescapes words one by one, so what a token adds is seen from the beginning of its word alone.
    """
    text = ""
    owners: list[int] = []
    word, start = "", 0  # the tokens of the word so far, and where it begins in the text
    for index, token in enumerate(tokens):
        word += token.removesuffix(WORD_END)
        longer = _squeeze(moses.join_words([word])) if word else ""
        pairs = enumerate(zip(text[start:], longer, strict=False))
        kept = next((place for place, (old, new) in pairs if old != new), min(len(text) - start, len(longer)))
        owners[start + kept :] = [index] * (len(longer) - kept)
        text = text[:start] + longer
        if token.endswith(WORD_END):
            word, start = "", len(text)
    return text, owners


def _squeeze(text: str) -> str:
    return "".join(text.split()).lower()
