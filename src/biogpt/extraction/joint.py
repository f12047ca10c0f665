"""Several task models over the same documents: one `Extraction` of each document, with what all of them found.

The documents are read once and each model is asked about them. Knows nothing of files.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from biogpt.documents import Document, Entity, EntityRelation, Extraction
from biogpt.extraction.conversion import Source
from biogpt.extraction.extractor import Extractor

Found = TypeVar("Found", Entity, EntityRelation)


class JointExtractor:
    """Asks several extractors about the same documents.

    Args:
        extractors: in the order in which what they find is listed.
    """

    def __init__(self, extractors: Sequence[Extractor]) -> None:
        self.extractors: list[Extractor] = list(extractors)

    def extract_documents(self, sources: Sequence[Source]) -> Iterator[Document]:
        """The documents with what all extractors find in them; see `Extractor.extract_documents`."""
        asked = [extractor.extract_documents(sources) for extractor in self.extractors]
        for made in zip(*asked, strict=True):
            extractions = [document.extraction or Extraction() for document in made]
            yield made[0].with_extraction(merge_extractions(extractions))


def merge_extractions(extractions: Sequence[Extraction]) -> Extraction:
    """One extraction with what several say of one document.

    What two of them say alike (the same spans and type, the same relation of the same names) stands there once, with
    the higher score. Each warning names who gave it.
    """
    return Extraction(
        entities=_merge((entity for one in extractions for entity in one.entities), _entity_key),
        relations=_merge((relation for one in extractions for relation in one.relations), _relation_key),
        labels=tuple(dict.fromkeys(label for one in extractions for label in one.labels)),
        warnings=tuple(f"{one.annotator}: {warning}" for one in extractions for warning in one.warnings),
        annotator=", ".join(dict.fromkeys(one.annotator for one in extractions if one.annotator)),
    )


def _merge(found: Iterable[Found], key: Callable[[Found], Hashable]) -> tuple[Found, ...]:
    """Each once, where it came first, as the one with the highest score."""
    best: dict[Hashable, Found] = {}
    for one in found:
        known = best.setdefault(key(one), one)
        if (one.score or 0.0) > (known.score or 0.0):
            best[key(one)] = one
    return tuple(best.values())


def _entity_key(entity: Entity) -> Hashable:
    return entity.type, entity.spans or entity.name


def _relation_key(relation: EntityRelation) -> Hashable:
    roles = tuple((role, entity.type, entity.name.lower()) for role, entity in relation.roles.items())
    return relation.type, roles, tuple(relation.values.items())
