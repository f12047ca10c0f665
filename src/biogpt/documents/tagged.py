"""What a file of text holds rather than prose: tagged lines of reference managers, or a list of identifiers.

Nothing of the kind is ever read as prose: it is read by its own reader, or refused in a line that says what to do.
"""

import re
from pathlib import Path

from biogpt.documents import medline, ris
from biogpt.errors import DataError

_NBIB = re.compile(rb"(?:\s*[A-Z]{2,4} *- .*\r?\n)?\s*PMID- ?\d+\s")
_RIS = re.compile(rb"(?:\s*|(?:.*\r?\n){0,5}?)TY  - ")
_WOS = re.compile(rb"\s*(?:FN .*\r?\n)?(?:VR \d.*\r?\n)\s*|\s*(?:FN .*\r?\n\s*)?PT [A-Z]\r?\n[A-Z][A-Z0-9] ")
_ID = re.compile(
    r"(?:PMID:|PMC|https?://pubmed\.ncbi\.nlm\.nih\.gov/)?\d{3,9}/?"
    r"|(?:https?://(?:dx\.)?doi\.org/|doi:)?10\.\d{4,9}/\S+",
    re.IGNORECASE,
)
_HEADINGS = ("id", "ids", "pmid", "pmids", "pmcid", "pmcids", "doi", "dois")
_BETWEEN = re.compile(r"[\s,;]+")

_REFUSED = (
    (
        re.compile(rb"\s*1[.:] [^\n]+\n(?s:.*)^PMID: ?\d+", re.MULTILINE),
        "holds references as PubMed prints them. Expected a format of fields; save them again as 'PubMed' (.nbib), or "
        "fetch them as PubMed XML.",
    ),
    (
        re.compile(rb"\s*%[0A] ?\S"),
        "holds EndNote's tagged lines, which are not read. Export the references as RIS.",
    ),
    (
        re.compile(rb"\s*@\w+\s*[{(]"),
        "holds BibTeX, which is not read. Export the references as RIS.",
    ),
    (
        re.compile(rb"\s*<1>\s*\r?\n"),
        "holds Ovid's tagged lines, which are not read. Export the references as RIS.",
    ),
)


def detect(path: Path, head: bytes) -> str | None:
    """The format of tagged lines; None for prose.

    Args:
        path: the file's name, for the message.
        head: its first bytes.

    Raises:
        DataError: lines of a kind that is not read, or a list of identifiers.
    """
    if _NBIB.match(head):
        return medline.NAME
    if _RIS.match(head):
        return ris.RIS
    if _WOS.match(head):
        return ris.WOS
    for pattern, message in _REFUSED:
        if pattern.match(head):
            raise DataError(f"{path} {message}")
    if are_identifiers(head.decode("utf-8", "replace")):
        raise DataError(
            f"{path} lists identifiers, not texts. Get the texts first: search PubMed for them and save as 'PubMed' "
            "(.nbib), or fetch XML: efetch -db pubmed -id 123,456 -format xml."
        )
    return None


def are_identifiers(text: str) -> bool:
    """Whether a text is a list of PMIDs, PMCIDs or DOIs, and nothing else."""
    words = _BETWEEN.split(re.sub(r"(?i)(PMID|doi):\s*", r"\1:", text.strip()))
    if words[0].lower() in _HEADINGS and len(words) > 1:
        words = words[1:]
    return words != [""] and all(_ID.fullmatch(word) for word in words[:1000])
