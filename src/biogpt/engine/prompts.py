"""Prompts: read from a file or a pipe, one a line or JSONL, and checked. Knows no model and never imports torch."""

from collections.abc import Iterable
from pathlib import Path

from biogpt.errors import DataError, InputError
from biogpt.files import describe_bytes, parse_json

# The fields of a JSONL record that may hold its prompt, the first that is there wins.
PROMPT_FIELDS = ("prompt", "text")


def read_prompt_file(path: Path) -> list[str]:
    """The prompts of a file; see `parse_prompts`.

    Raises:
        InputError: the file cannot be read.
        DataError: a line is not what it should be.
    """
    try:
        with path.open("rb") as lines:
            return parse_prompts(lines, str(path))
    except OSError as error:
        raise InputError(
            f"Cannot read {path} ({error.strerror}), expected a text file with one prompt a line, or JSONL. "
            "Check the name."
        ) from error


def parse_prompts(lines: Iterable[bytes], name: str) -> list[str]:
    """The prompts among `lines`, in order.

    A line is a prompt as it stands. If the name ends in `.jsonl`, or the first line begins with `{`, each line is a
    JSON object instead, whose field `prompt` (or else `text`) is the prompt. Empty lines at the end are passed over,
    any other is an error, since output could no longer be matched to input by line.

    Args:
        lines: raw lines in UTF-8, with or without a byte order mark.
        name: what to call the source in errors.

    Raises:
        DataError: a line is empty, is not UTF-8, or is not the JSON that was expected; says which (`name:line`).
        InputError: there are no prompts.
    """
    texts = [_decode(line, f"{name}:{number}") for number, line in enumerate(lines, start=1)]
    if texts:
        texts[0] = texts[0].removeprefix("\ufeff")
    while texts and not texts[-1].strip():
        texts.pop()
    if not texts:
        raise InputError(f"{name} is empty, expected one prompt a line, or JSONL. Give it at least one prompt.")

    is_jsonl = name.endswith(".jsonl") or texts[0].lstrip().startswith("{")
    prompts = []
    for number, text in enumerate(texts, start=1):
        place = f"{name}:{number}"
        prompt = _parse_record(text, place) if is_jsonl and text.strip() else text
        if not prompt.strip():
            raise DataError(f"{place}: empty prompt, expected some text. Remove the line or fill it.")
        prompts.append(prompt)
    return prompts


def check_prompt(prompt: str) -> None:
    """Raise an `InputError` unless this is a text that a model could continue (how long it may be, the model knows)."""
    if not isinstance(prompt, str):
        raise InputError(f"Got a prompt of type {type(prompt).__name__}, expected a string.")
    if not prompt.strip():
        raise InputError("The prompt is empty, expected some text to continue. Give at least one word.")
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"The prompt {shorten(prompt)} is no valid text (character {error.start + 1} cannot be encoded), expected "
            "Unicode. Check where it was read from."
        ) from error


def shorten(prompt: str, max_length: int = 40) -> str:
    """The prompt's beginning in quotes, to name it in a message."""
    return repr(prompt if len(prompt) <= max_length else prompt[: max_length - 3] + "...")


def _decode(line: bytes, place: str) -> str:
    try:
        return line.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{place}: {describe_bytes(error)} Convert the file, for example with iconv.") from error


def _parse_record(text: str, place: str) -> str:
    try:
        record = parse_json(text)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from error
    fields = record if isinstance(record, dict) else {}
    for name in PROMPT_FIELDS:
        if name in fields:
            if isinstance(fields[name], str):
                return str(fields[name])
            raise DataError(f"{place}: the field '{name}' is {fields[name]!r}, expected a string.")
    raise DataError(
        f"{place}: got {', '.join(fields) or 'no object'}, expected an object with a field 'prompt' (or 'text'). "
        "Add or rename the field."
    )
