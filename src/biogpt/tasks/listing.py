"""The tasks as text: all in a list, or one with its example rendered. Knows nothing of terminals."""

from biogpt.tasks.task import Task, load_task, task_names


def list_tasks() -> str:
    """A line for each shipped task: name, kind, published figure of BioGPT, title."""
    lines = []
    for task in map(load_task, task_names()):
        score = task.schema.score
        best = next(iter(score.published.items()), None)
        published = f"{score.main} {best[1]:.2f} ({best[0]})" if best else "no published figure"
        lines.append((task.name, task.schema.kind, published, task.schema.title))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]) for line in lines
    )


def describe_task(name: str) -> str:
    """Everything about one task, and its example as the model would read and write it.

    Args:
        name: a shipped task's name, or the path of a TOML file.
    """
    task = load_task(name)
    schema = task.schema
    published = ", ".join(f"{model} {value:.2f}" for model, value in schema.score.published.items())
    files = ", ".join(f"{split} {file}" for split, file in schema.dataset.files.items())
    files = files or ", ".join(f"{name} ({', '.join(part.labels)})" for name, part in schema.dataset.parts.items())
    rows = {
        "kind": schema.kind,
        "sentence": schema.template.sentence or "one tag per word",
        "slots": "; ".join(_describe_slot(task, slot) for slot in schema.slots),
        "other formats": ", ".join(schema.alternatives),
        "empty documents": schema.empty_documents if task.kind.extracts == "relations" else "",
        "source limit": f"{schema.source_limit} tokens" if schema.source_limit else "",
        "metric": f"{schema.score.metric}, mainly {schema.score.main}",
        "published": f"{published} ({schema.score.source})" if published else "none",
        "data": f"{schema.dataset.reader}: {files}" if files else schema.dataset.reader,
        "data's paper": schema.paper,
        "data's licence": schema.licence,
    }
    lines = [f"{task.name}: {schema.title}", ""]
    lines += [f"{key + ':':17}{value}" for key, value in rows.items() if value]
    if schema.caveats:
        lines += ["", "About the data:", *(f"  - {caveat}" for caveat in schema.caveats)]
    if schema.example:
        lines += ["", "Example, as the model reads it and should answer:", *_render_example(task)]
    return "\n".join(lines)


def _render_example(task: Task) -> list[str]:
    example = task.example()
    target = task.target(example)
    lines = [f"  prompt:      {task.prompt(example)}", f"  target:      {target}"]
    for item in task.parse(target, example).items:
        spans = [
            f"{slot} at " + ", ".join(f"{start}-{end}" for start, end in places) if places else f"{slot} not found"
            for slot, places in item.spans.items()
        ]
        values = ", ".join(f"{slot} = {value}" for slot, value in item.slots.items())
        lines.append(f"  read back:   {values}" + (f" ({'; '.join(spans)})" if spans else ""))
    return lines


def _describe_slot(task: Task, name: str) -> str:
    slot = task.schema.slots[name]
    if slot.is_entity:
        return f"{name} (from the text)"
    return f"{name} ({', '.join(slot.choices)}{', ...' if slot.is_open else ''})"
