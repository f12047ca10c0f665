"""The bundled models as text: what each is for, how good it is, how large. Reads files, computes nothing."""

import json
import struct
from math import prod
from pathlib import Path

from biogpt.extraction.task_models import bundled_tasks, find_task_model
from biogpt.model.checkpoint import BUNDLED, SAFETENSORS_FILE


def list_models() -> str:
    """A line for each bundled model: name, parameters, size on disk, measured quality, and what it does."""
    lines = []
    for name, path in BUNDLED.items():
        if name in bundled_tasks():
            found = find_task_model(name)
            num_parameters = int(found.record.get("parameters", 0))
            quality, purpose = found.quality() or "not measured", found.task.schema.title
        else:
            num_parameters = _count_parameters(path / SAFETENSORS_FILE)
            quality, purpose = "", "continues text (generate), and is what finetune starts from"
        size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
        lines.append((name, f"{num_parameters / 1e6:.1f} M", f"{size / 1e6:.0f} MB", quality, purpose))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]) for line in lines
    )


def _count_parameters(file: Path) -> int:
    """The numbers in a safetensors file, from its header alone."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
