"""Examples as token ids: what a model reads, and what it is to write or to label.

Training and prediction both encode here, so that a model meets in use what it was trained on. It knows tokenizers and
tasks, no models; it never imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from biogpt.errors import ConfigError
from biogpt.tasks.example import Example
from biogpt.tasks.task import Task, truncate_source
from biogpt.text.tokenizer import BioGptTokenizer

SPARE_FRACTION = 10
"""Of a model's positions, a tenth is kept free behind the prompt, for the answer."""

NOT_LABELLED = -1
"""In place of a label's index: the data set does not say."""

_ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class EncodedWords:
    """Consecutive words of a source as ids."""

    input_ids: list[int]
    places: list[int]
    """For each word, the index in `input_ids` of the token that carries its label: its last one, because a causal model
    has read the whole word only there."""


def learned_tokens(num_tokens: int) -> list[str]:
    """The names of the virtual tokens of a soft prompt: learned1, learned2, ... as in the reference's checkpoints."""
    return [f"learned{number}" for number in range(1, num_tokens + 1)]


def add_learned_tokens(tokenizer: BioGptTokenizer, num_tokens: int) -> None:
    """Give a tokenizer the tokens of a soft prompt, special tokens at the end of its vocabulary.

    Raises:
        ConfigError: it has a soft prompt already, of another length.
    """
    num_there = len(learned_ids(tokenizer))
    if num_there not in (0, num_tokens):
        raise ConfigError(
            f"Got a soft prompt of {num_tokens} tokens for a model that has one of {num_there}, expected the same "
            f"length. Set prompt_length = {num_there}, or start from a model without one."
        )
    if num_tokens and not num_there:
        tokenizer.add_special_tokens({"extra_special_tokens": learned_tokens(num_tokens)})


def learned_ids(tokenizer: BioGptTokenizer) -> list[int]:
    """The ids of the soft prompt's tokens, in order; none where the tokenizer has none."""
    ids: list[int] = []
    while True:
        index = tokenizer.convert_tokens_to_ids(f"learned{len(ids) + 1}")
        if index is None or index == tokenizer.unk_token_id:
            return ids
        ids.append(index)


def encode_prompt(task: Task, tokenizer: BioGptTokenizer, example: Example) -> list[int]:
    """What the model reads: `</s>`, the source, and the soft prompt where the tokenizer has one.

    A source longer than the schema's limit, or than leaves a tenth of the model's positions (the tokenizer's
    `model_max_length`) free, is cut as the reference does: its last token becomes `...`.
    """
    return encode_prompt_or_cut(task, tokenizer, example)[0]


def encode_prompt_or_cut(task: Task, tokenizer: BioGptTokenizer, example: Example) -> tuple[list[int], bool]:
    """What `encode_prompt` gives, and whether the source was cut for it."""
    learned = learned_ids(tokenizer)
    source = tokenizer.encode_ids([task.prompt(example)])[0]
    limit = _prompt_room(tokenizer) - 1 - len(learned)
    if task.schema.source_limit:
        limit = min(limit, task.schema.source_limit)
    limit = max(1, limit)
    prompt = [tokenizer.sep_token_id, *truncate_source(source, limit, _ellipsis_id(tokenizer)), *learned]
    return prompt, len(source) > limit


def encode_target(task: Task, tokenizer: BioGptTokenizer, example: Example) -> list[int]:
    """What the model is to write: the target and `</s>`, without which generation would never learn to stop."""
    return [*tokenizer.encode_ids([task.target(example)])[0], tokenizer.eos_token_id]


def encode_words(task: Task, tokenizer: BioGptTokenizer, example: Example) -> list[EncodedWords]:
    """The words of a tagging example, word by word, for a head that labels each.

    What does not fit into the model's positions comes in several parts, which follow each other without overlap. With
    `inference.tagging_context = "twice"` each part stands there twice (`</s> A </s> A`) and the second copy carries the
    labels: there a causal model has seen what follows a word, too.

    Returns:
        The parts; their `places` together are one per word of `example.text.split(" ")`.
    """
    # A word of characters that the tokenizer drops is an unknown one: each word needs a token for its label.
    tokens = [ids or [tokenizer.unk_token_id] for ids in tokenizer.encode_ids(task.prompt(example).split(" "))]
    num_copies = 2 if task.inference.tagging_context == "twice" else 1
    room = max(1, min(tokenizer.model_max_length, 10**9) // num_copies - 1)
    parts: list[list[list[int]]] = []
    num_taken = room
    for word in tokens:
        cut = word[:room]
        if num_taken + len(cut) > room:
            parts.append([])
            num_taken = 0
        parts[-1].append(cut)
        num_taken += len(cut)
    return [_join_words(part, num_copies, tokenizer.sep_token_id) for part in parts]


def head_labels(task: Task) -> list[str]:
    """The labels of a classification head, in the order of its outputs: IOB tags of words, or the slot's choices.

    None where the task's kind has no such head.
    """
    return task.kind.head_labels(task.schema)


def label_ids(task: Task, example: Example) -> list[int]:
    """The gold as indices into `head_labels`: one for each word, or those of all labels that the text carries.

    Where labels are decided in several groups (`kind.num_groups`), one for each word and group, as an index into the
    group's labels; `NOT_LABELLED` where nobody looked for them.
    """
    labels = head_labels(task)
    size = len(labels) // task.kind.num_groups(task.schema)
    ids = {label: index % size for index, label in enumerate(labels)} | {"": NOT_LABELLED}
    return [ids[label] for label in task.kind.gold_labels(task.schema, example)]


def _join_words(words: Sequence[Sequence[int]], num_copies: int, separator: int) -> EncodedWords:
    copy = [separator, *(index for word in words for index in word)]
    places = []
    end = (num_copies - 1) * len(copy)
    for word in words:
        end += len(word)
        places.append(end)
    return EncodedWords(copy * num_copies, places)


def _prompt_room(tokenizer: BioGptTokenizer) -> int:
    positions: int = tokenizer.model_max_length
    return positions - positions // SPARE_FRACTION


def _ellipsis_id(tokenizer: BioGptTokenizer) -> int:
    """The token for `...`; in a vocabulary that has none, the last of its tokens."""
    return int(tokenizer.encode_ids([_ELLIPSIS])[0][-1])
