"""Generated tokens -> readable text that continues a prompt, whole or as it is made. Knows no model, nor torch.

Moses' detokeniser decides on the space before a word by that word and those before it, and joins the words around a
hyphen that split one (`@-@`). So a text's beginning is final up to a boundary between two words of which neither is, or
may still become, such a hyphen. Everything here follows from that.
"""

from collections.abc import Collection, Sequence

from biogpt.text import moses

WORD_END = "</w>"
SPLIT_HYPHEN = "@-@"


class Continuation:
    """The text that follows one prompt, as its tokens come in.

    Args:
        prompt: as its author wrote it.
        prompt_tokens: the vocabulary's tokens of it.
        special_tokens: tokens that are no text.

    The text is what must be written directly after the prompt to read well: it begins with a space where one is due,
    unless the prompt ends with white space already. The prompt itself stays as its author wrote it, because Moses'
    round trip may change it (`mg/kg` becomes `mg / kg`).

    `add` gives the part that is new and final; all that `add` and `finish` gave, joined, is `text` after `finish`.
    """

    def __init__(self, prompt: str, prompt_tokens: Sequence[str], special_tokens: Collection[str] = ()) -> None:
        self._special = frozenset(special_tokens)
        self._prompt_words = self._join(prompt_tokens).split()
        self._prompt_text = moses.join_words(self._prompt_words)
        self._has_space_before = prompt[-1:].isspace()
        self._joined = ""
        self._num_final_words = 0
        self.text: str = ""

    def add(self, tokens: Sequence[str]) -> str:
        """Take in the next tokens; return the text that became final with them, often none."""
        self._joined += self._join(tokens)
        words = self._joined.split()
        num_complete = len(words) - (1 if words and not self._joined[-1].isspace() else 0)
        num_final = _count_final(words, num_complete)
        if num_final == self._num_final_words:
            return ""
        self._num_final_words = num_final
        return self._extend(words[:num_final])

    def finish(self) -> str:
        """Return what was held back; the last word may be a part of one, where generation stopped inside it."""
        return self._extend(self._joined.split())

    def _extend(self, words: list[str]) -> str:
        known = len(self.text)
        self.text = self._follow(words)
        return self.text[known:]

    def _follow(self, words: list[str]) -> str:
        """The text of `words` after the prompt."""
        if not words:
            return ""
        whole = moses.join_words([*self._prompt_words, *words])
        # Where a hyphen joins the prompt's last sign to the next word, that sign may move: what is written stays
        # written.
        is_kept = whole.startswith(self._prompt_text)
        text = whole[len(self._prompt_text) :] if is_kept else " " + moses.join_words(words)
        return text.removeprefix(" ") if self._has_space_before else text

    def _join(self, tokens: Sequence[str]) -> str:
        return "".join(token.replace(WORD_END, " ") for token in tokens if token not in self._special)


def _count_final(words: Sequence[str], num_complete: int) -> int:
    """How many of `words` have a text that no further token can change; the first `num_complete` words are complete."""
    for boundary in range(len(words) - 1, 0, -1):
        after = words[boundary]
        may_be_hyphen = after == SPLIT_HYPHEN if boundary < num_complete else SPLIT_HYPHEN.startswith(after)
        if not may_be_hyphen and words[boundary - 1] != SPLIT_HYPHEN:
            return boundary
    return 0
