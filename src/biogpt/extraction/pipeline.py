"""`biogpt.pipeline`: the former way to ask a fine-tuned model about texts, now `Extractor`. Goes with version 0.3."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from biogpt.documents import Document
from biogpt.documents.types import items_of_extraction
from biogpt.extraction.extractor import Extractor, Text
from biogpt.tasks.task import Task


class Pipeline:
    """An extractor whose extractions are flat lists of dictionaries."""

    def __init__(self, extractor: Extractor) -> None:
        self.extractor = extractor

    def __repr__(self) -> str:
        return f"Pipeline({self.extractor.name!r}, task={self.extractor.task.name!r})"

    def __call__(self, texts: Text | Iterable[Text]) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
        """A list of what was extracted; for several texts a list of such lists."""
        if isinstance(texts, str | Mapping | Document):
            return items_of_extraction(self.extractor(texts))
        return [items_of_extraction(extraction) for extraction in self.extractor(list(texts))]


def pipeline(
    task: str | Path | Task | None = None,
    model: str | Path | None = None,
    *,
    device: str | None = None,
    batch_size: int = 8,
    constrained: bool = True,
) -> Pipeline:
    """The former name of `Extractor.from_pretrained`. Warns."""
    warnings.warn(
        "biogpt.pipeline is now biogpt.Extractor.from_pretrained, which gives an Extraction.",
        FutureWarning,
        stacklevel=2,
    )
    if model is None and isinstance(task, str | Path) and Path(task).is_dir():
        task, model = None, task
    extractor = Extractor.from_pretrained(
        model, task, device=device or "auto", batch_size=batch_size, constrained=constrained
    )
    return Pipeline(extractor)
