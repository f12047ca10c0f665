"""BioGptTokenizer: text <-> ids, with the ids of transformers' slow tokenizer of that name, fast, and with offsets.

It derives from transformers' base class of fast tokenizers, because scripts ask for that (`is_fast`, or
`isinstance(tokenizer, PreTrainedTokenizerFast)`), and because that class already has all of the surface: it only wants
an object with the interface of a `tokenizers.Tokenizer`, and `biogpt.text.backend` is one. What is added here is
BioGPT's own: its files, where it puts separators, and Moses' way of putting words together again.
This module knows nothing of models, and never imports torch.
"""

import gc
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerFast

from biogpt.errors import DataError, InputError
from biogpt.text import bpe, moses
from biogpt.text.backend import Backend

_SPACED = re.compile(r"\S+ ?")

# The only language whose Moses rules are implemented here, and the one that BioGPT was trained with.
MOSES_LANGUAGE = "en"


class BioGptTokenizer(PreTrainedTokenizerFast):
    """Moses words, then byte-pair encoding with `</w>` at word ends.

    Args:
        vocab_file: `vocab.json`, tokens and ids.
        merges_file: `merges.txt`, the pairs that are merged.
        unk_token: stands for what the vocabulary lacks.
        bos_token: fairseq's begin of sentence. BioGPT does not use it: texts begin with `sep_token`.
        eos_token: ends a text.
        sep_token: stands before each text.
        pad_token: fills up shorter texts of a batch.

    Raises:
        DataError: a file is damaged; the message names the line.

    Examples:
        >>> tokenizer = biogpt.Engine.from_pretrained("mini").tokenizer
        >>> tokenizer.tokenize("renal failure")
        ['renal</w>', 'failure</w>']
        >>> tokenizer("Aspirin")["input_ids"]
        [2, 32, 7487, 611]
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": bpe.VOCABULARY_FILE, "merges_file": bpe.MERGES_FILE}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | None,
        merges_file: str | os.PathLike[str] | None,
        unk_token: str = "<unk>",
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        sep_token: str = "</s>",
        pad_token: str = "<pad>",
        **kwargs: Any,
    ) -> None:
        if vocab_file is None or merges_file is None:  # `from_pretrained` passes on what it did not find
            raise DataError(
                f"Found no {bpe.VOCABULARY_FILE if vocab_file is None else bpe.MERGES_FILE} in"
                f" '{kwargs.get('name_or_path', '')}'; expected {bpe.VOCABULARY_FILE} and {bpe.MERGES_FILE}. Name a"
                " directory or a model that has them."
            )
        self._vocabulary = bpe.read_vocabulary(vocab_file, merges_file)
        self._tokenizer = Backend(self._vocabulary, str(unk_token))
        self._strings: tuple[list[str], bool] | None = None
        kwargs.pop("tokenizer_file", None)  # another tokenizer's serialised form, where a directory has one
        # What the directories of the slow tokenizer say; it keeps AutoTokenizer from looking for a tokenizer.json.
        kwargs.setdefault("backend", "custom")
        super().__init__(
            unk_token=unk_token,
            bos_token=bos_token,
            eos_token=eos_token,
            sep_token=sep_token,
            pad_token=pad_token,
            **kwargs,
        )

    @classmethod
    def convert_to_native_format(cls, **kwargs: Any) -> dict[str, Any]:
        """What `from_pretrained` found, as it is: this class reads the vocabulary's files itself."""
        return kwargs

    @property
    def encoder(self) -> dict[str, int]:
        """The id of each token, as transformers' slow BioGPT tokenizer has it."""
        return dict(self._vocabulary.ids)

    @property
    def decoder(self) -> dict[int, str]:
        """The token of each id, as transformers' slow BioGPT tokenizer has it."""
        return {index: token for token, index in self._vocabulary.ids.items()}

    @property
    def bpe_ranks(self) -> dict[tuple[str, str], int]:
        """The rank of each merge of two tokens: the lower is merged first."""
        return {pair: rank for rank, pair in enumerate(self._vocabulary.merges)}

    @property
    def lang(self) -> str:
        """The language of the Moses rules: always English."""
        return MOSES_LANGUAGE

    def moses_tokenize(self, text: str, lang: str = MOSES_LANGUAGE) -> list[str]:
        """The Moses words of a text, escaped, before they are cut into tokens.

        Raises:
            InputError: another language than English.
        """
        _check_language(lang)
        return moses.split_words([text])[0]

    def moses_detokenize(self, tokens: list[str], lang: str = MOSES_LANGUAGE) -> str:
        """The text that Moses' rules make of words.

        Raises:
            InputError: another language than English.
        """
        _check_language(lang)
        return moses.join_words(tokens)

    def update_post_processor(self) -> None:
        """Put the current `sep_token` before texts from now on."""
        self._tokenizer.set_separator(self.sep_token, self.sep_token_id)

    def _encode_plus(self, text: Any, text_pair: Any = None, **kwargs: Any) -> Any:
        self.update_post_processor()  # `sep_token` may have been changed
        with _collector_paused():
            return super()._encode_plus(text, text_pair, **kwargs)

    def encode_ids(self, texts: Iterable[str]) -> list[list[int]]:
        """The ids of each text, without the `</s>` that `tokenizer(text)` puts before it. For large collections."""
        with _collector_paused():
            ids: list[list[int]] = self._tokenizer.encode_ids(texts)
        return ids

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """`</s> A`, or `</s> A </s> B`."""
        first = [self.sep_token_id, *token_ids_0]
        return first if token_ids_1 is None else [*first, self.sep_token_id, *token_ids_1]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for each token of `</s> A`, 1 for each of `</s> B`."""
        first = [0] * (1 + len(token_ids_0))
        return first if token_ids_1 is None else first + [1] * (1 + len(token_ids_1))

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for each token that `build_inputs_with_special_tokens` adds, 0 for the others."""
        if already_has_special_tokens:
            special = set(self.all_special_ids)
            return [int(index in special) for index in token_ids_0]
        first = [1] + [0] * len(token_ids_0)
        return first if token_ids_1 is None else [*first, 1] + [0] * len(token_ids_1)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, str]:
        """Write `vocab.json` and `merges.txt`; returns their paths.

        Args:
            save_directory: an existing directory.
            filename_prefix: what to begin the files' names with, and a hyphen.

        Raises:
            InputError: there is no such directory.
        """
        if not Path(save_directory).is_dir():
            raise InputError(f"Got '{save_directory}' to save to, expected an existing directory. Make it first.")
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocabulary_path, merges_path = bpe.write_vocabulary(self._vocabulary, save_directory, prefix)
        return str(vocabulary_path), str(merges_path)

    def _save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        """Write the vocabulary, and add to the configuration the added tokens, which the slow tokenizer reads there."""
        # Whatever `legacy_format` is: there is no other.
        config_path = Path(file_names[0])
        config = json.loads(config_path.read_text(encoding="utf-8"))
        added = self._tokenizer.get_added_tokens_decoder()
        config["added_tokens_decoder"] = {str(index): token.__getstate__() for index, token in sorted(added.items())}
        config_path.write_text(
            json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        return file_names + self.save_vocabulary(str(save_directory), filename_prefix)

    def _add_tokens(self, new_tokens: list[Any], special_tokens: bool = False) -> int:
        self._strings = None
        count: int = super()._add_tokens(new_tokens, special_tokens)
        return count

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text that tokens stand for, put together by Moses' rules."""
        return moses.join_words("".join(map(_to_string, tokens)).split())

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **settings: Any) -> Any:
        """The text of ids, or a list of texts for a batch (lists, arrays or tensors); see `PreTrainedTokenizerBase`."""
        if type(token_ids) is list and set(map(type, token_ids)) == {list}:
            return [self.decode(ids, skip_special_tokens, **settings) for ids in token_ids]
        if type(token_ids) is list and set(map(type, token_ids)) <= {int}:
            return self._decode(token_ids, skip_special_tokens, **settings)  # the base class would first copy them
        return super().decode(token_ids, skip_special_tokens=skip_special_tokens, **settings)

    def _decode(
        self,
        token_ids: int | Sequence[int],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **_: Any,
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        if skip_special_tokens:
            special = set(self.all_special_ids)
            ids = [index for index in ids if index not in special]
        strings, are_spaced = self._strings or self._note_strings()
        try:
            spaced = "".join(map(strings.__getitem__, ids)) if min(ids, default=0) >= 0 else None
        except IndexError:
            spaced = None
        if spaced is None:  # some ids have no token
            spaced = "".join([strings[index] if 0 <= index < len(strings) else strings[-1] for index in ids])
        text = moses.join_spaced(spaced.removesuffix(" ")) if are_spaced else moses.join_words(spaced.split())
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return str(self.clean_up_tokenization(text)) if clean_up_tokenization_spaces else text

    def _note_strings(self) -> tuple[list[str], bool]:
        """What each id adds to a text in which words end in a space; the last is for ids without a token.

        Also whether a text of them can have no white space but single spaces, except at its end.
        """
        unknown = _to_string(self.unk_token)
        vocabulary = self.get_vocab()
        strings = [unknown] * (max(vocabulary.values()) + 2)
        for token, index in vocabulary.items():
            strings[index] = _to_string(token)
        self._strings = strings, all(_SPACED.fullmatch(string) for string in strings)
        return self._strings

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[Sequence[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: list[Any] | None = None,
        **settings: Any,
    ) -> "BioGptTokenizer":
        """A tokenizer of the same kind whose vocabulary is learned from other texts.

        Args:
            text_iterator: batches of texts.
            vocab_size: how many tokens to have.
            length: not used.
            new_special_tokens: added to the new tokenizer.
            settings: those of `biogpt.text.bpe.learn`.
        """
        counts: Counter[str] = Counter()
        for texts in text_iterator:
            for words in moses.split_words([texts] if isinstance(texts, str) else texts):
                counts.update(words)
        vocabulary = bpe.learn(counts.items(), vocab_size, **settings)
        with tempfile.TemporaryDirectory() as directory:
            tokenizer = type(self)(*bpe.write_vocabulary(vocabulary, directory))
        if new_special_tokens:
            tokenizer.add_special_tokens({"extra_special_tokens": new_special_tokens})
        return tokenizer


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the collector of cycles: a batch is many new lists and no cycle, and it would look at all of them often."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _to_string(token: str) -> str:
    """What a token adds to a text in which words end in a space."""
    return token.replace(" ", "").replace("</w>", " ")


def _check_language(lang: str) -> None:
    if lang != MOSES_LANGUAGE:
        raise InputError(f"Got lang={lang!r}, expected '{MOSES_LANGUAGE}': BioGPT's words are English Moses words.")
