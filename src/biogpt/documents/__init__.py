"""Documents: files of literature, in and out.

`read_documents` gives plain `Document` objects, which is what pre-training reads. `read_records` gives `Record`s: the
text as a model reads it, with all that is needed to write the record back, in its own format or another, with what was
found in it (`Record.with_findings`, `open_writer`). Nothing here knows of tokens, tasks or models, or imports torch.
"""

from biogpt.documents.document import TEXT_FIELDS, Document
from biogpt.documents.formats import (
    INPUT_FORMATS,
    OUTPUT_FORMATS,
    check_records,
    detect_format,
    open_writer,
    output_format,
    read_records,
    read_stream,
)
from biogpt.documents.reading import check_format, document_format, read_documents
from biogpt.documents.record import Entity, EntityRelation, Findings, Label, Record
from biogpt.documents.tables import item_columns
from biogpt.documents.writing import Writer
from biogpt.files import Problem

__all__ = [
    "INPUT_FORMATS",
    "OUTPUT_FORMATS",
    "TEXT_FIELDS",
    "Document",
    "Entity",
    "EntityRelation",
    "Findings",
    "Label",
    "Problem",
    "Record",
    "Writer",
    "check_format",
    "check_records",
    "detect_format",
    "document_format",
    "item_columns",
    "open_writer",
    "output_format",
    "read_documents",
    "read_records",
    "read_stream",
]
