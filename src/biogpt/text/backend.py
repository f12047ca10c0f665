"""The backend of `BioGptTokenizer`: stands where transformers' fast tokenizers have a `tokenizers.Tokenizer`.

`tokenizers` has no Moses, so its `Tokenizer` cannot turn text into these tokens; our `Encoder` does that. All the rest
is left to `tokenizers`: what becomes of a vocabulary when tokens are added to it, and of an encoding when it is paired,
cut into overlapping parts, or looked into. `Encoding` gives the plain lists that most callers want straight from the
encoder's arrays, and turns into a `tokenizers.Encoding` when anything else is asked of it.
This module knows nothing of files and of transformers, and never imports torch.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import tokenizers
from tokenizers.models import WordLevel
from tokenizers.processors import TemplateProcessing

from biogpt.errors import InputError
from biogpt.text.bpe import Vocabulary
from biogpt.text.encoder import Article, Encoder, Segment, Tokens

# What is left to the `tokenizers.Tokenizer` within. Its other attributes would not tell the truth (as serialisation).
_INNER = frozenset(
    {
        "decoder",
        "get_added_tokens_decoder",
        "get_vocab",
        "get_vocab_size",
        "model",
        "normalizer",
        "num_special_tokens_to_add",
        "pre_tokenizer",
        "token_to_id",
    }
)


class Truncation(NamedTuple):
    """How to truncate; the names and the defaults are those of `tokenizers.Tokenizer.enable_truncation`."""

    max_length: int
    stride: int = 0
    strategy: str = "longest_first"
    direction: str = "right"


class Padding(NamedTuple):
    """How to pad; the names and the defaults are those of `tokenizers.Tokenizer.enable_padding`."""

    direction: str = "right"
    pad_id: int = 0
    pad_type_id: int = 0
    pad_token: str = "[PAD]"
    length: int | None = None
    pad_to_multiple_of: int | None = None


class Backend:
    """The part of `tokenizers.Tokenizer` that transformers uses.

    Args:
        vocabulary: tokens and merges.
        unknown_token: the token that stands for what the vocabulary lacks.
    """

    def __init__(self, vocabulary: Vocabulary, unknown_token: str) -> None:
        ids = vocabulary.ids
        self._unknown_token = unknown_token
        self._encoder = Encoder(vocabulary, ids.get(unknown_token, ids["<unk>"]))
        # Knows ids and added tokens, and finishes encodings. It is never given a text.
        self._inner = tokenizers.Tokenizer(WordLevel(ids, unk_token=unknown_token))
        self._separator_id: int | None = None
        self._truncation: Truncation | None = None
        self._padding: Padding | None = None
        self.encode_special_tokens = False
        """Whether to take added tokens for ordinary text."""
        self._note_added_tokens()

    def __getattr__(self, name: str) -> Any:
        if name not in _INNER:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self._inner, name)

    @property
    def post_processor(self) -> Any:
        """What puts the separator before texts."""
        return self._inner.post_processor

    def set_separator(self, token: str, token_id: int) -> None:
        """Set the token that stands before each text, and before the second of a pair."""
        if token_id != self._separator_id:
            self._separator_id = token_id
            self._inner.post_processor = TemplateProcessing(
                single=f"{token}:0 $A:0", pair=f"{token}:0 $A:0 {token}:1 $B:1", special_tokens=[(token, token_id)]
            )

    @property
    def truncation(self) -> dict[str, Any] | None:
        """How encodings are truncated."""
        return self._truncation._asdict() if self._truncation else None

    def enable_truncation(self, **settings: Any) -> None:
        """Truncate from now on; `settings`: those of `Truncation`."""
        self._truncation = Truncation(**settings)

    def no_truncation(self) -> None:
        """Truncate no longer."""
        self._truncation = None

    @property
    def padding(self) -> dict[str, Any] | None:
        """How encodings are padded."""
        return self._padding._asdict() if self._padding else None

    def enable_padding(self, **settings: Any) -> None:
        """Pad from now on; `settings`: those of `Padding`."""
        self._padding = Padding(**settings)

    def no_padding(self) -> None:
        """Pad no longer."""
        self._padding = None

    def add_tokens(self, tokens: list[Any]) -> int:
        """Add tokens that are taken out of texts before anything else; returns how many of them have a new id."""
        size = self._inner.get_vocab_size()
        self._inner.add_tokens(tokens)
        self._note_added_tokens()
        return self._inner.get_vocab_size() - size

    def add_special_tokens(self, tokens: list[Any]) -> int:
        """As `add_tokens`, for tokens that decoding may skip."""
        size = self._inner.get_vocab_size()
        self._inner.add_special_tokens(tokens)
        self._note_added_tokens()
        return self._inner.get_vocab_size() - size

    def id_to_token(self, index: int) -> str:
        """The token with this id, or the unknown token."""
        token: str | None = self._inner.id_to_token(index) if index >= 0 else None
        return token or self._unknown_token

    def encode_ids(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, without a separator."""
        return [
            tokens.ids[first:last]
            for tokens in self._encoder.encode(map(self._segments, texts))
            for first, last in pairwise(tokens.bounds)
        ]

    def encode(
        self, sequence: Any, pair: Any = None, is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> "Encoding | tokenizers.Encoding":
        """As `encode_batch`, for one text or pair."""
        inputs = [sequence if pair is None else (sequence, pair)]
        return self.encode_batch(inputs, is_pretokenized, add_special_tokens)[0]

    def encode_batch(
        self, inputs: Iterable[Any], is_pretokenized: bool = False, add_special_tokens: bool = True
    ) -> "list[Encoding | tokenizers.Encoding]":
        """Encode texts.

        Args:
            inputs: each a text or a pair of texts; if `is_pretokenized`, a list of words or a pair of those.
            is_pretokenized: whether texts come as words. Offsets are then counted in each word.
            add_special_tokens: whether to put the separator before each text.
        """
        texts, sizes = _flatten(inputs, is_pretokenized)
        documents = map(self._word_segments if is_pretokenized else self._segments, texts)
        separator_id = self._separator_id if add_special_tokens else None
        singles = (
            Encoding(self, tokens, first, last, separator_id)
            for tokens in self._encoder.encode(documents, is_pretokenized)
            for first, last in pairwise(tokens.bounds)
        )
        encodings: list[Encoding | tokenizers.Encoding] = []
        for size in sizes:
            parts = list(islice(singles, size))
            if self._truncation:
                _cut(parts, self._truncation)
            encodings.append(parts[0] if size == 1 else self.join(parts))
        if self._padding:
            _pad(encodings, self._padding)
        return encodings

    def join(self, parts: "Sequence[Encoding]") -> tokenizers.Encoding:
        """Let `tokenizers` put separators before a text, or put a pair together with them."""
        first, *second = [self._to_rust(part) for part in parts]
        return self._inner.post_process(first, second[0] if second else None, parts[0].has_separator)

    def _to_rust(self, part: "Encoding") -> tokenizers.Encoding:
        """The tokens of a text as a `tokenizers.Encoding`. It can only be made from its serialised form."""
        tokens, first, last, length, truncation = part.source
        ids = tokens.ids[first:last]
        state = {
            "ids": ids,
            "type_ids": [0] * len(ids),
            "tokens": list(map(self.id_to_token, ids)),
            "words": tokens.words[first:last],
            "offsets": tokens.offsets[first:last],
            "special_tokens_mask": [0] * len(ids),
            "attention_mask": [1] * len(ids),
            "overflowing": [],
            "sequence_ranges": {},
        }
        encoding = _from_state(json.dumps(state).encode())
        if truncation:
            encoding.truncate(length, stride=truncation.stride, direction=truncation.direction)
        return encoding

    def _note_added_tokens(self) -> None:
        """Prepare to find added tokens: the one that begins first, and of those the longest."""
        self._added = {token.content: (index, token) for index, token in self._inner.get_added_tokens_decoder().items()}
        longest_first = sorted(self._added, key=len, reverse=True)
        self._added_pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def _word_segments(self, words: Sequence[str]) -> list[Segment]:
        """The segments of a text that came as words."""
        segments = []
        for number, word in enumerate(words):
            document = self._segments(word)
            if isinstance(document, str):
                segments.append(Segment(document, word=number))
            else:
                segments += [segment._replace(word=number) for segment in document]
        return segments

    def _segments(self, text: str) -> Article:
        """Take the added tokens out of a text, as transformers' slow tokenizers do.

        `lstrip` and `rstrip` tokens take the white space on that side with them. A `single_word` token that touches
        other text is joined to the text before it, or else to that after it, as if it were no token.
        """
        if self.encode_special_tokens or not self._added_pattern.search(text):
            return text
        cuts = [0, *(cut for match in self._added_pattern.finditer(text) for cut in match.span()), len(text)]
        segments = [self._segment(text[first:last], first) for first, last in pairwise(cuts) if first < last]
        for index, segment in enumerate(segments):
            if segment.added_id is None:
                continue
            token = self._added[segment.text][1]
            before = segments[index - 1] if index else Segment("")
            after = segments[index + 1] if index + 1 < len(segments) else Segment("")
            if token.rstrip and after.text:
                stripped = after.text.lstrip()
                segments[index + 1] = self._segment(stripped, after.start + len(after.text) - len(stripped))
            if token.lstrip and before.text:
                segments[index - 1] = self._segment(before.text.rstrip(), before.start)
            if token.single_word:
                if before.text and before.text[-1] != " ":
                    segments[index - 1] = self._segment(segments[index - 1].text + segment.text, before.start)
                    segments[index] = Segment("")
                elif after.text and after.text[0] != " ":
                    segments[index + 1] = self._segment(segment.text + segments[index + 1].text, segment.start)
                    segments[index] = Segment("")
        return [segment for segment in segments if segment.text] or ""

    def _segment(self, text: str, start: int) -> Segment:
        known = self._added.get(text)
        return Segment(text, start, added_id=known[0] if known else None)


_NO_PADDING: dict[str, Any] = {}


class Encoding:
    """The encoding of one text: in place of a `tokenizers.Encoding`, and with all its methods.

    Args:
        backend: what made it.
        tokens: holds its tokens, numbers `first` to `last` (not included).
        separator_id: what stands before them, if anything.
    """

    __slots__ = (
        "_backend",
        "_first",
        "_last",
        "_num_left",
        "_num_right",
        "_num_separators",
        "_padding",
        "_rust",
        "_separator_id",
        "_start",
        "_stop",
        "_tokens",
        "_truncation",
    )

    def __init__(self, backend: Backend, tokens: Tokens, first: int, last: int, separator_id: int | None) -> None:
        self._backend, self._tokens, self._separator_id = backend, tokens, separator_id
        self._first, self._last = first, last
        self._start, self._stop = first, last  # what is left after cutting
        self._num_separators = 0 if separator_id is None else 1
        self._num_left = self._num_right = 0
        self._truncation: Truncation | None = None
        self._padding = _NO_PADDING
        self._rust: tokenizers.Encoding | None = None

    def cut(self, length: int, truncation: Truncation) -> None:
        """Leave `length` tokens. Not for encodings that are padded already."""
        if length < self._last - self._first:
            self._truncation = truncation
            if truncation.direction == "left":
                self._start = self._last - length
            else:
                self._stop = self._first + length

    @property
    def has_separator(self) -> bool:
        """Whether a separator stands before the tokens."""
        return self._num_separators > 0

    @property
    def source(self) -> tuple[Tokens, int, int, int, Truncation | None]:
        """The tokens, first, last, how many to leave of them, and how to cut, if that is not all of them."""
        return self._tokens, self._first, self._last, self._stop - self._start, self._truncation

    def to_rust(self) -> tokenizers.Encoding:
        """The same as a `tokenizers.Encoding`; from now on this object only passes on what is asked of it."""
        if self._rust is None:
            rust = self._backend.join([self])
            if self._padding:
                rust.pad(**self._padding)
            self._rust = rust
        return self._rust

    def pad(self, length: int, direction: str = "right", pad_id: int = 0, **settings: Any) -> None:
        """Pad up to `length` tokens."""
        if self._rust is not None or self._padding:
            self.to_rust().pad(length, direction=direction, pad_id=pad_id, **settings)
            return
        self._padding = {"length": length, "direction": direction, "pad_id": pad_id, **settings}
        missing = max(length - len(self), 0)
        if direction == "left":
            self._num_left = missing
        else:
            self._num_right = missing

    def __len__(self) -> int:
        return self._num_left + self._num_separators + self._stop - self._start + self._num_right

    def _frame(self, values: list[Any], separator: Any, padding: Any) -> list[Any]:
        """Put the separator's and the padding's values about those of the tokens."""
        framed = values[self._start : self._stop]
        if self._num_separators:
            framed.insert(0, separator)
        if self._padding:
            framed = [padding] * self._num_left + framed + [padding] * self._num_right
        return framed

    def _fill(self, token: Any, separator: Any, padding: Any) -> list[Any]:
        """As `_frame`, with the same value for all tokens."""
        return (
            [padding] * self._num_left
            + [separator] * self._num_separators
            + [token] * (self._stop - self._start)
            + [padding] * self._num_right
        )

    @property
    def n_sequences(self) -> int:
        """How many texts: one."""
        return 1

    @property
    def ids(self) -> list[int]:
        """The id of each token."""
        if self._rust is not None:
            return list(self._rust.ids)
        return self._frame(self._tokens.ids, self._separator_id, self._padding.get("pad_id"))

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The place of each token in the text; (0, 0) for separator and padding."""
        if self._rust is not None:
            return list(self._rust.offsets)
        return self._frame(self._tokens.offsets, (0, 0), (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        """The number of each token's word; None for separator and padding."""
        if self._rust is not None:
            return list(self._rust.word_ids)
        return self._frame(self._tokens.words, None, None)

    @property
    def type_ids(self) -> list[int]:
        """0 for each token; for padding as asked."""
        if self._rust is not None:
            return list(self._rust.type_ids)
        return self._fill(0, 0, self._padding.get("pad_type_id", 0))

    @property
    def attention_mask(self) -> list[int]:
        """1 for each token, 0 for padding."""
        return list(self._rust.attention_mask) if self._rust is not None else self._fill(1, 1, 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for separator and padding, 0 for the others."""
        return list(self._rust.special_tokens_mask) if self._rust is not None else self._fill(0, 1, 1)

    @property
    def overflowing(self) -> list[tokenizers.Encoding]:
        """The encodings of what was cut off."""
        return list(self.to_rust().overflowing) if self._truncation else []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.to_rust(), name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_state, (self.to_rust().__getstate__(),)


def _from_state(state: bytes) -> tokenizers.Encoding:
    encoding = tokenizers.Encoding()
    encoding.__setstate__(state)
    return encoding


def _flatten(inputs: Iterable[Any], is_pretokenized: bool) -> tuple[list[Any], list[int]]:
    """The texts of inputs that are one text or two each, and how many each is."""
    texts: list[Any] = []
    sizes = []
    is_text = _is_list_of_words if is_pretokenized else _is_string
    for each in inputs:
        if is_text(each):
            texts.append(each)
            sizes.append(1)
        elif isinstance(each, list | tuple) and len(each) == 2 and is_text(each[0]) and is_text(each[1]):
            texts += each
            sizes.append(2)
        else:
            text = "list of words (strings)" if is_pretokenized else "text (string)"
            raise InputError(f"Got {each!r:.100} to tokenize; expected a {text} or a pair of them. Leave it out.")
    return texts, sizes


def _is_string(text: Any) -> bool:
    return isinstance(text, str)


def _is_list_of_words(text: Any) -> bool:
    return isinstance(text, list | tuple) and all(isinstance(word, str) for word in text)


def _cut(parts: Sequence[Encoding], truncation: Truncation) -> None:
    """Cut a text or a pair as transformers' slow tokenizers do."""
    excess = sum(map(len, parts)) - truncation.max_length
    if excess <= 0:
        return
    num_separators = sum(part.has_separator for part in parts)
    lengths = [len(part) - part.has_separator for part in parts]
    if len(lengths) == 1:
        cuts = [excess if truncation.strategy != "only_second" else 0]
    elif truncation.strategy == "longest_first":
        first, second = lengths
        level = min(abs(first - second), excess)
        half, other_half = (excess - level) // 2, (excess - level + 1) // 2
        cuts = [level + half, other_half] if first > second else [half, level + other_half]
    else:
        cuts = [excess, 0] if truncation.strategy == "only_first" else [0, excess]
    kept = [length - cut for length, cut in zip(lengths, cuts, strict=True)]
    if sum(cuts) < excess or min(kept) < 0:
        raise InputError(
            f"Cannot cut texts of {' and '.join(map(str, lengths))} tokens with {num_separators} separators to"
            f" max_length={truncation.max_length} by {truncation.strategy!r}. Give a larger one or another strategy."
        )
    if any(cut and 0 < length <= truncation.stride for cut, length in zip(cuts, kept, strict=True)):
        raise InputError(
            f"Got stride={truncation.stride}, expected less than the {min(kept)} tokens that max_length="
            f"{truncation.max_length} leaves of a text. Give a smaller stride or a larger max_length."
        )
    for part, length in zip(parts, kept, strict=True):
        part.cut(length, truncation)


def _pad(encodings: Sequence[Encoding | tokenizers.Encoding], padding: Padding) -> None:
    """Pad all to one length."""
    length = padding.length if padding.length is not None else max(map(len, encodings), default=0)
    multiple = padding.pad_to_multiple_of
    if multiple:
        length = -(-length // multiple) * multiple
    for encoding in encodings:
        encoding.pad(
            length,
            direction=padding.direction,
            pad_id=padding.pad_id,
            pad_type_id=padding.pad_type_id,
            pad_token=padding.pad_token,
        )
