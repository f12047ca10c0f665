"""XML as a stream of elements, from untrusted files.

Neither the network nor the disk is asked for a DTD, and entities stay unexpanded: a hostile file costs nothing.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any

from lxml import etree

from biogpt.errors import DataError
from biogpt.files import Reading

SAFELY = {"load_dtd": False, "no_network": True, "resolve_entities": False, "huge_tree": False}

_LXML_PLACE = re.compile(r",? *line \d+, column \d+$")


def parse(
    stream: IO[bytes],
    reading: Reading,
    roots: Collection[str],
    expected: str,
    name_of: Callable[[Any], str] = lambda element: str(element.tag),
) -> Iterator[tuple[str, Any]]:
    """The starts and ends of a stream's elements; comments and processing instructions are left out.

    Args:
        stream: the file.
        reading: what is told of it.
        roots: the names that its root element may have.
        expected: what the file is expected to be, for the error.
        name_of: the name of an element.

    Raises:
        DataError: the root is another, or the file is not well-formed.
    """
    is_first = True
    with stopping_at_bad_xml(reading):
        for event, element in etree.iterparse(
            stream, events=("start", "end"), remove_comments=True, remove_pis=True, **SAFELY
        ):
            if is_first and name_of(element) not in roots:
                raise DataError(f"{reading.path}: the root element is <{name_of(element)}>. Expected {expected}.")
            is_first = False
            yield event, element


def parse_element(text: str) -> Any:
    """One element, as a file had it."""
    return etree.fromstring(text, etree.XMLParser(**SAFELY))


def forget(element: Any) -> None:
    """Free an element that was read, and everything before it."""
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def find_entity(element: Any) -> str:
    """An entity that stands in an element unexpanded, or an empty string."""
    entity = next(element.iter(etree.Entity), None)
    return "" if entity is None else str(entity.text)


@contextmanager
def stopping_at_bad_xml(reading: Reading) -> Iterator[None]:
    """Turn what is not well-formed into one `DataError`."""
    try:
        yield
    except etree.XMLSyntaxError as error:
        reason = " ".join(_LXML_PLACE.sub("", error.msg).split())
        message = f"not well-formed XML ({reason}). Fetch the file again, or leave it out."
        raise DataError(f"{reading.path}:{error.lineno or 1}: {message}") from error
