"""Generated tokens -> readable text that continues a prompt, whole or as it is made. Knows no model, nor torch.

Moses' detokeniser decides on the space before a word by that word and those before it, and joins the words around a
hyphen that split one (`@-@`). So a text's beginning is final up to a boundary between two words of which neither is, or
may still become, such a hyphen. Everything here follows from that. Of what is written, only what later spaces depend on
is kept (`moses.Joiner`): each word is joined once, however long the text becomes.
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
        self._has_space_before = prompt[-1:].isspace()
        self._unfinished = ""  # the word that the next token may go on with
        self._waiting: list[str] = []  # complete words whose text may still change
        self._joiner: moses.Joiner | None = None  # once something is written
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """What `add` and `finish` gave so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    def add(self, tokens: Sequence[str]) -> str:
        """Take in the next tokens; return the text that became final with them, often none."""
        text = self._unfinished + self._join(tokens)
        words = text.split()
        self._unfinished = words.pop() if words and not text[-1].isspace() else ""
        final: list[str] = []
        for word in words:
            if SPLIT_HYPHEN not in (word, *self._waiting[-1:]):
                final += self._waiting
                self._waiting = []
            self._waiting.append(word)
        if not SPLIT_HYPHEN.startswith(self._unfinished) and self._waiting[-1:] != [SPLIT_HYPHEN]:
            final += self._waiting
            self._waiting = []
        return self._write(final)

    def finish(self) -> str:
        """Return what was held back; the last word may be a part of one, where generation stopped inside it."""
        words = [*self._waiting, self._unfinished] if self._unfinished else self._waiting
        self._waiting, self._unfinished = [], ""
        return self._write(words)

    def _write(self, words: list[str]) -> str:
        """The text of the next words, which no further token can change."""
        if not words:
            return ""
        text = self._begin(words) if self._joiner is None else self._joiner.add(words)
        self._parts.append(text)
        return text

    def _begin(self, words: list[str]) -> str:
        """The text of the first words after the prompt."""
        prompt_text = moses.join_words(self._prompt_words)
        self._joiner = moses.Joiner()
        whole = self._joiner.add([*self._prompt_words, *words]).removeprefix(" ")
        if whole.startswith(prompt_text):
            text = whole[len(prompt_text) :]
        else:
            # Where a hyphen joins the prompt's last sign to the next word, that sign may move: what is written stays
            # written.
            self._joiner = moses.Joiner()
            text = " " + self._joiner.add(words).removeprefix(" ")
        return text.removeprefix(" ") if self._has_space_before else text

    def _join(self, tokens: Sequence[str]) -> str:
        return "".join(token.replace(WORD_END, " ") for token in tokens if token not in self._special)
