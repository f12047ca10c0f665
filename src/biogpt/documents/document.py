"""What a file of literature is made of: a `Article`.

Knows nothing of files.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

TEXT_FIELDS = ("title", "abstract", "body")
"""The fields of a `Article` that hold its text, in reading order."""

ENDS_IN_WORD = re.compile(r"\w$")


@dataclass(frozen=True, slots=True)
class Article:
    """One article, or one piece of text without known parts."""

    id: str
    """What the file calls it: its id, PMID or PMCID; otherwise `file name:line`."""
    title: str = ""
    """The title as printed, or empty."""
    abstract: str = ""
    """The abstract, section labels kept as `LABEL: `. Text without known parts is kept here."""
    body: str = ""
    """The full text after the abstract, or empty."""
    pmid: str = ""
    """The PubMed id in digits, or empty. Two documents with the same one are the same article."""

    def text(self, fields: Iterable[str] = ("title", "abstract")) -> str:
        """The chosen fields as one running text.

        As in the paper's data, fields are joined by a space and a title that ends in a word character gets a full stop.

        Args:
            fields: names out of `TEXT_FIELDS`.
        """
        parts: list[str] = []
        for field in fields:
            part: str = getattr(self, field).strip()
            if field == "title" and ENDS_IN_WORD.search(part):
                part += "."
            if part:
                parts.append(part)
        return " ".join(parts)
