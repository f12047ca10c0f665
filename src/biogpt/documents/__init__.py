"""Documents: files of literature, in and out.

`read_documents` gives plain `Document` objects, which is what pre-training reads. `read_records` gives `Record`s: the
text as a model reads it, with all that is needed to write the record back, in its own format or another, with what was
found in it (`open_writer`). Nothing here knows of tokens, tasks or models, or imports torch.
"""

from biogpt.documents.document import TEXT_FIELDS, Document, Problem
from biogpt.documents.reading import check_format, document_format, read_documents

__all__ = ["TEXT_FIELDS", "Document", "Problem", "check_format", "document_format", "read_documents"]
