"""Documents: files of literature, in and out.

`read_articles` gives plain `Article` objects, which is what pre-training reads. `read_documents` gives `Document`s:
the text as a model reads it, with all that is needed to write the document back, in its own format or another, with
what was extracted from it (`Document.with_extraction`, `write_documents`; `open_writer` writes one document after the
other). Nothing here knows of tokens, tasks or models, or imports torch.
"""

from biogpt.documents.offsets import fix_offsets
from biogpt.documents.reading import read_articles, read_documents, read_stream
from biogpt.documents.registry import (
    INPUT_FORMATS,
    OUTPUT_FORMATS,
    check_documents,
    check_format,
    detect_format,
    ending_of,
    output_format,
)
from biogpt.documents.tables import item_columns
from biogpt.documents.types import (
    TEXT_FIELDS,
    Article,
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Label,
    choose_passages,
)
from biogpt.documents.writer import Writer
from biogpt.documents.writing import open_writer, write_documents
from biogpt.files import Problem

__all__ = [
    "INPUT_FORMATS",
    "OUTPUT_FORMATS",
    "TEXT_FIELDS",
    "Article",
    "Document",
    "Entity",
    "EntityRelation",
    "Extraction",
    "Label",
    "Problem",
    "Writer",
    "check_documents",
    "check_format",
    "choose_passages",
    "detect_format",
    "ending_of",
    "fix_offsets",
    "item_columns",
    "open_writer",
    "output_format",
    "read_articles",
    "read_documents",
    "read_stream",
    "write_documents",
]
