"""Texts to compare tokenizers on, shared by the tests beside this file and by tokenizer_exactness.py."""

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

# Text -> the pieces that the released vocabulary makes of it.
CASES = {
    "2'3'-dideoxy": "2</w> &apos;</w> 3&apos; -di deoxy</w>",
    "5' '6": "5</w> &apos;</w> &apos; 6</w>",
    "No. 5": "No.</w> 5</w>",
    "No. Five": "No</w> .</w> Five</w>",
    "Fig. 2": "Fig</w> .</w> 2</w>",
    "foo. bar": "fo o.</w> bar</w>",
    "i.p.)": "i.p.</w> )</w>",
    "1....": "1</w> . ...</w>",
    ",5": ", 5</w>",
    "x ,5": "x</w> ,</w> 5</w>",
    "²-5": "²</w> -5</w>",
    "a--b": "a-- b</w>",
    "@-@": "@</w> -</w> @</w>",
    "&apos;": "&amp;</w> ap os</w> ;</w>",
    "a\x01b": "ab</w>",
    "a\x1fb": "a</w> b</w>",
    "a\xa0b": "a</w> b</w>",
    "a\u200bb": "a</w> <unk> b</w>",
    "evertheless": "<unk>",
    "a</s>b": "a</w> </s> b</w>",
    "": "",
}

# What fuzzed texts are made of: everything that a rule is about, and everything that is not.
_SIGNS = [chr(code) for code in range(0x20, 0x7F)]
_SIGNS += list("éßαβγμ²½–—−“”„’‘…·×≤≥°™€¿\u200b\u00ad\ufeff\u3000漢字カ한\u0301\U0001f600\U0001d400")
_SIGNS += ["\x00", "\x01", "\x02", "\x1b", "\x1c", "\x1f", "\n", "\t", "\r\n", "\x85", "\xa0", "\ud800", "\udfff"]
_SIGNS += ["</s>", "<s>", "<unk>", "<pad>", "DOTMULTI", "DOT", "No. ", "e.g. ", "Fig. ", "...", "'s", "n't", " ' '"]
_SIGNS += [" "] * 15


def benchmark_texts(data: Path) -> list[str]:
    """Every different text in the benchmark sets: all strings of the JSON files, entity names, sentences."""
    texts: list[str] = []
    for path in sorted((data / "benchmarks").rglob("*.json")):
        records = json.loads(path.read_text(encoding="utf-8"))
        texts += _strings(records)
        if path.name.endswith("entities.json"):
            texts += [name for names in records.values() for name in names]
    for path in sorted((data / "benchmarks" / "HoC").glob("*.tsv")):
        texts += [line.split("\t")[0] for line in path.read_text(encoding="utf-8").split("\n")]
    return list(dict.fromkeys(texts))


def corpus_abstracts(data: Path, count: int) -> list[str]:
    """The first abstracts of the corpus."""
    with gzip.open(data / "corpus" / "abstracts.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["abstract"] for line in islice(lines, count)]


def fuzzed_texts(seed: int, count: int, texts: Sequence[str]) -> list[str]:
    """Random texts: one half put together from `_SIGNS`, the other the beginnings of `texts`, changed in places."""
    chance = random.Random(seed)
    fuzzed = []
    for index in range(count):
        if index % 2:
            fuzzed.append("".join(chance.choices(_SIGNS, k=chance.randrange(40))))
            continue
        signs = list(chance.choice(texts)[:200])
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(signs) + 1)
            removed = chance.randrange(2)
            signs[place : place + removed] = chance.choices(_SIGNS, k=chance.randrange(3))
        fuzzed.append("".join(signs))
    return fuzzed


def every_character() -> Iterator[str]:
    """Each character there is, lone surrogates too, within words, alone, and beside signs that have rules."""
    for code in range(0x110000):
        sign = chr(code)
        yield f"a{sign}b {sign} '{sign}' 1{sign}2. {sign}5, {sign}"


def random_ids(seed: int, count: int, vocabulary_size: int) -> list[list[int]]:
    """Sequences of random ids, a few of which do not exist."""
    chance = random.Random(seed)
    return [[chance.randrange(-2, vocabulary_size + 3) for _ in range(chance.randrange(30))] for _ in range(count)]


def _strings(record: Any) -> Iterator[str]:
    if isinstance(record, str):
        yield record
    elif isinstance(record, dict):
        for value in record.values():
            yield from _strings(value)
    elif isinstance(record, list):
        for value in record:
            yield from _strings(value)
