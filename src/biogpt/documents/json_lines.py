"""JSON lines: one object a line, with some of title, abstract, body and text.

What else an object holds is kept but not understood.
"""

import json
import re
from collections.abc import Iterator
from typing import IO, Any

from biogpt.documents.document import TEXT_FIELDS, Document
from biogpt.documents.files import Reading, describe_bytes, lines
from biogpt.errors import suggest

_DIGITS = re.compile(r"[0-9]{1,18}")


def read_documents(stream: IO[bytes], reading: Reading) -> Iterator[Document]:
    for number, line in lines(stream, reading):
        if not line.strip():
            continue
        try:
            yield _document_of_record(json.loads(line.decode()), f"{reading.path.name}:{number}")
        except UnicodeDecodeError as error:
            reading.report(number, describe_bytes(error))
        except RecursionError:
            reading.report(number, "JSON nested too deeply; expected one flat object a line.")
        except json.JSONDecodeError as error:
            reading.report(number, f"not JSON ({error.msg} at column {error.colno}); expected one object a line.")
        except ValueError as error:
            reading.report(number, str(error))


def _document_of_record(record: object, fallback_id: str) -> Document:
    """The document in one JSON object.

    Raises:
        ValueError: what is wrong with the record.
    """
    if not isinstance(record, dict):
        raise ValueError(f"a JSON {type(record).__name__}; expected an object with title, abstract, body or text.")
    texts = {name: _string(record, name) for name in (*TEXT_FIELDS, "text") if name in record}
    if not texts:
        near = next((hint for name in record if (hint := suggest(str(name).lower(), (*TEXT_FIELDS, "text")))), "")
        raise ValueError(f"has none of title, abstract, body and text.{near}")
    pmid = _string(record, "pmid").strip()
    ids = (_string(record, name).strip() for name in ("id", "pmid", "pmcid"))
    return Document(
        id=next(filter(None, ids), fallback_id),
        title=texts.get("title", ""),
        abstract=texts.get("abstract") or ("" if texts.get("title") or texts.get("body") else texts.get("text", "")),
        body=texts.get("body", ""),
        pmid=pmid if _DIGITS.fullmatch(pmid) else "",
    )


def _string(record: dict[Any, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and name not in (*TEXT_FIELDS, "text"):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is a {type(value).__name__}; expected a string.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{name}' holds half of a surrogate pair; expected text that UTF-8 can hold.") from None
    return value
