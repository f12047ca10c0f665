"""BioGptTokenizer: text <-> ids, with the ids of Hugging Face's slow tokenizer of the same name.

Moses words (`biogpt.text.moses`), then BPE. This module knows nothing of models, and never imports torch.
"""

import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sacremoses import MosesDetokenizer
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizer

from biogpt.text import bpe, moses

_MEMO_LIMIT = 500_000
_SURROGATE = re.compile("[\ud800-\udfff]")


class BioGptTokenizer(PreTrainedTokenizer):
    """Moses words, then BPE with `</w>` word ends.

    Args:
        vocab_file: `vocab.json`, pieces and ids.
        merges_file: `merges.txt`, the pairs that are merged.
    """

    vocab_files_names = {"vocab_file": bpe.VOCABULARY_FILE, "merges_file": bpe.MERGES_FILE}  # noqa: RUF012
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(
        self,
        vocab_file: str | os.PathLike[str],
        merges_file: str | os.PathLike[str],
        unk_token: str = "<unk>",
        bos_token: str = "<s>",
        eos_token: str = "</s>",
        sep_token: str = "</s>",
        pad_token: str = "<pad>",
        **kwargs: Any,
    ) -> None:
        self._vocabulary = bpe.read_vocabulary(Path(vocab_file), Path(merges_file))
        self._pieces = {index: piece for piece, index in self._vocabulary.ids.items()}
        self._set_up()
        super().__init__(
            unk_token=unk_token,
            bos_token=bos_token,
            eos_token=eos_token,
            sep_token=sep_token,
            pad_token=pad_token,
            **kwargs,
        )

    def _set_up(self) -> None:
        """What can not be pickled: the merger and the memo."""
        ids, merges = self._vocabulary
        # Some merges make pieces that the vocabulary lacks; they get ids past its end, and become <unk> afterwards.
        self._end = max(ids.values()) + 1
        lacking = dict.fromkeys(piece for pair in merges for piece in (*pair, "".join(pair)) if piece not in ids)
        all_ids = {**ids, **{piece: self._end + index for index, piece in enumerate(lacking)}}
        model = BPE(vocab=all_ids, merges=merges, end_of_word_suffix="</w>", unk_token="<unk>", fuse_unk=False)
        self._merger = Tokenizer(model)
        self._memo: moses.ChunkMemo[list[int]] = moses.ChunkMemo(self._encode_keys, _MEMO_LIMIT)

    def _encode_keys(self, keys: list[str]) -> list[list[int]]:
        return self._merge([[word.text for word in moses.split_chunk(key)] for key in keys])

    def _merge(self, batch: list[list[str]]) -> list[list[int]]:
        """The ids of the pieces of each list of words."""
        unknown: int = self._vocabulary.ids["<unk>"]
        words = [list(map(_replace_surrogates, words)) for words in batch]
        encodings = self._merger.encode_batch(words, is_pretokenized=True, add_special_tokens=False)
        return [[index if index < self._end else unknown for index in encoding.ids] for encoding in encodings]

    def _encode_plain(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of texts in which no special token is looked for."""
        chunks = [[] if moses.is_entangled(text) else text.split() for text in texts]
        ids = [list(chain.from_iterable(values)) for values in self._memo.look_up(chunks)]
        for index, text in enumerate(texts):
            if not chunks[index] and text:
                ids[index] = self._merge([[word.text for word in moses.split_whole(text)]])[0]
        return ids

    def encode_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, without the `</s>` that `tokenizer(text)` puts before them. Made for large batches."""
        special = self.tokens_trie
        parts = [special.split(text) for text in texts]
        known = self._added_tokens_encoder
        plain = [part for text_parts in parts for part in text_parts if part not in known]
        encoded = iter(self._encode_plain(plain))
        return [
            list(chain.from_iterable([known[part]] if part in known else next(encoded) for part in text_parts))
            for text_parts in parts
        ]

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary.ids)

    def get_vocab(self) -> dict[str, int]:
        return {**self._vocabulary.ids, **self.added_tokens_encoder}

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        words = moses.split_words([text])[0]
        encoding = self._merger.encode(
            list(map(_replace_surrogates, words)), is_pretokenized=True, add_special_tokens=False
        )
        tokens: list[str] = encoding.tokens
        return tokens

    def _convert_token_to_id(self, token: str) -> int:
        return self._vocabulary.ids.get(token, self._vocabulary.ids["<unk>"])

    def _convert_id_to_token(self, index: int) -> str:
        return self._pieces.get(index, "<unk>")

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text that pieces stand for, put together by Moses' rules."""
        words = "".join(token.replace(" ", "").replace("</w>", " ") for token in tokens).split()
        text: str = MosesDetokenizer("en").detokenize(words)
        return text

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """`</s> A`, or `</s> A </s> B`."""
        first = [self.sep_token_id, *token_ids_0]
        return first if token_ids_1 is None else [*first, self.sep_token_id, *token_ids_1]

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 for each token that `build_inputs_with_special_tokens` adds, 0 for the others."""
        if already_has_special_tokens:
            mask: list[int] = super().get_special_tokens_mask(token_ids_0, token_ids_1, True)
            return mask
        first = [1] + [0] * len(token_ids_0)
        return first if token_ids_1 is None else [*first, 1] + [0] * len(token_ids_1)

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, str]:
        """Write `vocab.json` and `merges.txt`; returns their paths."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        vocabulary_path, merges_path = bpe.write_vocabulary(self._vocabulary, save_directory, prefix)
        return str(vocabulary_path), str(merges_path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_merger", "_memo")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set_up()


def _replace_surrogates(word: str) -> str:
    """The word with a character that no vocabulary has (Moses drops it) for lone surrogates, which UTF-8 lacks."""
    return word if word.isascii() else _SURROGATE.sub("\x00", word)
