"""Grammar: what a text that a model writes may look like, as plain data.

A list of sentences, each made of known words, choices among known texts, and spans of the source that the model reads.
It knows no tokens, no tasks and no models: who generates compiles it for a vocabulary and a source.
"""

from dataclasses import dataclass

MAX_SPAN_WORDS = 32
"""The longest span of the source, in words as Moses splits them (`beta-blocker` has three). Chemical names are long:
the longest of the BC5CDR relations has 32."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words that stand there as they are."""

    text: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """Some consecutive words of the source, of which one at least has a letter or a digit.

    It neither begins nor ends with the words that stand beside it, nor has it words that end or separate sentences, nor
    does it run over the end of a sentence of the source.
    """

    max_words: int = MAX_SPAN_WORDS


Part = Words | Choice | SourceSpan


@dataclass(frozen=True, slots=True)
class Grammar:
    """A text: `opening`, then sentences with `separator` between them, then `end`; or `none` alone.

    No sentence stands there twice. All this is written with the spaces that stand between words.
    """

    sentence: tuple[Part, ...]
    """What each sentence is made of. Choices and spans have words between them, or a space at least."""
    opening: str = ""
    """What stands before the first sentence."""
    separator: str = ""
    is_repeated: bool = False
    """Whether there may be more than one sentence."""
    end: str = ""
    none: str | None = None
    """The whole text that says that there is nothing; None: it must not be said."""
