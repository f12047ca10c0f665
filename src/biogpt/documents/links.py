"""Links: the PubMed id of a document, whatever its format, and the pages of identifiers."""

import re
from collections.abc import Iterator
from typing import Any

from biogpt.documents.tables import Row
from biogpt.documents.types import Document

_PMID = re.compile(r"[1-9][0-9]{0,7}")
_NAMED = re.compile(r"pmid[\s:_-]*([1-9][0-9]{0,7})", re.IGNORECASE)
_PMID_KEYS = ("pmid", "pubmed_id", "pubmed id", "pubmedid", "accession number (pmid)")
_PAGES = (
    (re.compile(r"(?:MESH:)?([CD][0-9]{6,9})", re.IGNORECASE), "https://meshb.nlm.nih.gov/record/ui?ui={}"),
    (re.compile(r"CHEBI:([0-9]+)", re.IGNORECASE), "https://www.ebi.ac.uk/chebi/searchId.do?chebiId=CHEBI:{}"),
    (re.compile(r"OMIM:([0-9]+)", re.IGNORECASE), "https://omim.org/entry/{}"),
    (re.compile(r"(?:NCBIGene|Gene):([0-9]+)", re.IGNORECASE), "https://www.ncbi.nlm.nih.gov/gene/{}"),
    (re.compile(r"(?:NCBITaxon|taxonomy):([0-9]+)", re.IGNORECASE), "https://www.ncbi.nlm.nih.gov/taxonomy/{}"),
    (re.compile(r"UniProt(?:KB)?:([A-Z0-9]+)", re.IGNORECASE), "https://www.uniprot.org/uniprotkb/{}"),
    (re.compile(r"DrugBank:(DB[0-9]{5})", re.IGNORECASE), "https://go.drugbank.com/drugs/{}"),
    (re.compile(r"(HP|DOID|MONDO):([0-9]+)"), "https://purl.obolibrary.org/obo/{}_{}"),
)


def pmid_of(document: Document) -> str:
    """The PubMed id of a document in digits, by its id or what its file says besides; empty where none is known."""
    for value in _said(document):
        text = str(value).strip()
        if _PMID.fullmatch(text):
            return text
        if found := _NAMED.fullmatch(text):
            return found[1]
    return ""


def _said(document: Document) -> Iterator[Any]:
    native = document.native
    yield document.metadata.pmid if document.metadata else ""
    if document.format == "bioc-json" and isinstance(native, dict):
        yield native.get("pmid")
        units = [native, *(native.get("passages") or ())]
        infons = [unit.get("infons") or {} for unit in units]
        yield from (each.get("article-id_pmid") or each.get("pmid") for each in infons)
        if any(each.get("article-id_pmc") for each in infons):
            return  # the id is that of PubMed Central
    elif isinstance(native, dict):
        yield from _values(native)
    elif isinstance(native, Row):
        yield from _values(dict(zip(native.header, native.cells, strict=False)))
    if document.format == "bioc-xml" and document.metadata and document.metadata.pmcid:
        return  # the same
    if document.format in ("pubmed", "pubtator", "bioc-xml", "bioc-json") or _NAMED.fullmatch(document.id):
        yield document.id


def _values(fields: Any) -> Iterator[Any]:
    if isinstance(fields, dict):
        yield from (value for name, value in fields.items() if str(name).strip().lower() in _PMID_KEYS)


def page_of(identifier: str) -> str:
    """The address of an identifier's page; empty where its vocabulary is not known."""
    for pattern, address in _PAGES:
        if found := pattern.fullmatch(identifier):
            return address.format(*found.groups())
    return ""


def pubmed_page(pmid: str) -> str:
    """The address of an article in PubMed."""
    return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"
