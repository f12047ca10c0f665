"""Compare BioGptTokenizer with transformers' slow one on everything there is: words, ids, places and decoded text.

    python tests/parity/tokenizer_exactness.py --data ../shared/data

Both released vocabularies; every text of the benchmark sets, 20,000 abstracts, all cases, 40,000 fuzzed texts, and each
character of Unicode (ids and places: every 16th). Takes about ten minutes on one core, half of them for the characters
(`--every 16` takes but a few of those). Prints a line for each, exits with 1 if anything differs,
and writes the numbers to benchmarks/results/tokenizer_exactness.json.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tokenizer_texts
from sacremoses import MosesTokenizer
from transformers.models.biogpt.tokenization_biogpt import BioGptTokenizer as SlowTokenizer

from biogpt import BioGptTokenizer
from biogpt.text import bpe, moses

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "benchmarks" / "results" / "tokenizer_exactness.json"
BATCH = 2000
_NOT_KEPT = re.compile(r"[\s\x00-\x1f]+")
_ADDED = re.compile("(</s>|<s>|<unk>|<pad>)")
_ENTITY = re.compile("&[^;]+;")


_SPLITTER = MosesTokenizer("en")


@lru_cache(maxsize=200_000)
def split_by_sacremoses(text: str) -> list[str]:
    """The words of the reference, escaped. All the rest of it is run as it is; only this is not done anew each time."""
    words: list[str] = _SPLITTER.tokenize(text, aggressive_dash_splits=True)
    return words


class Reference(SlowTokenizer):
    """transformers' slow tokenizer, with its Moses words from `split_by_sacremoses`."""

    def moses_tokenize(self, text: str, lang: str) -> list[str]:
        assert lang == "en"
        return split_by_sacremoses(text)


def count_wrong(texts: Sequence[Any], ours: Callable[[Any], list[Any]], theirs: Callable[[Any], Any]) -> int:
    """How many of `texts` come out otherwise by `ours` (a batch at a time) than by `theirs`; shows the first."""
    wrong = 0
    for place in range(0, len(texts), BATCH):
        batch = texts[place : place + BATCH]
        for text, result in zip(batch, ours(batch), strict=True):
            expected = theirs(text)
            if result != expected:
                wrong += 1
                if wrong <= 3:
                    print(f"{text!r:.300}\n  expected {expected!r:.300}\n  got      {result!r:.300}")
    return wrong


def words_of(texts: Sequence[str]) -> list[list[str]]:
    """The words of each text as they stand in it: added tokens, and Moses words without entities."""
    unescaped = {entity: sign for sign, entity in moses.ENTITIES.items() if entity.startswith("&")}
    parts = [_ADDED.split(text) for text in texts]  # every second one is an added token
    split = iter(moses.split_words([part for each in parts for part in each[::2]]))
    words = []
    for each in parts:
        escaped = [word for index, part in enumerate(each) for word in ([part] if index % 2 else next(split))]
        words.append(["-" if word == "@-@" else _ENTITY.sub(lambda m: unescaped[m[0]], word) for word in escaped])
    return words


def places_hold(text: str, words: list[str], encoding: Any) -> bool:
    """Whether places are in order and in bounds, give back each word, and leave out nothing that Moses keeps."""
    spans: dict[int, tuple[int, int]] = {}
    before = (0, 0)
    for (start, stop), number in zip(encoding.offsets, encoding.word_ids, strict=True):
        if not (0 <= start < stop <= len(text)) or start < before[0] or stop < before[1]:
            return False
        before = start, stop
        spans[number] = (spans.get(number, before)[0], stop)
    found = [_NOT_KEPT.sub("", text[start:stop]) for start, stop in spans.values()]
    # Moses takes its own mark for dots, if a text has it; the words are then not those of the text.
    return (found == words or "DOTMULTI" in text) and "".join(found) == _NOT_KEPT.sub("", text)


def count_wrong_places(texts: Sequence[str], tokenizer: BioGptTokenizer) -> int:
    """How many of `texts` have places that do not `places_hold`; shows the first."""
    wrong = 0
    for place in range(0, len(texts), BATCH):
        batch = texts[place : place + BATCH]
        encodings = tokenizer(batch, add_special_tokens=False).encodings
        for text, words, encoding in zip(batch, words_of(batch), encodings, strict=True):
            if not places_hold(text, words, encoding):
                wrong += 1
                if wrong <= 3:
                    print(f"places of {text!r:.300}: {encoding.offsets[:20]}")
    return wrong


def write_report(path: Path, script: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write to `path` what a script of this folder counted, when, and with what."""
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    arguments = [Path(one).name if one.startswith("/") else one for one in sys.argv[1:]]
    report = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "command": " ".join(["python", f"tests/parity/{script}", *arguments]),
        "versions": {package: version(package) for package in ("transformers", "tokenizers", "sacremoses")},
        "comparisons": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder of data sets")
    parser.add_argument("--abstracts", type=int, default=20_000)
    parser.add_argument("--fuzzed", type=int, default=40_000)
    parser.add_argument("--every", type=int, default=1, help="take every which character of Unicode")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()

    real = tokenizer_texts.benchmark_texts(arguments.data)
    groups = {
        "benchmark sets": real,
        "abstracts": tokenizer_texts.corpus_abstracts(arguments.data, arguments.abstracts),
        "cases": list(tokenizer_texts.CASES),
        "fuzzed": tokenizer_texts.fuzzed_texts(arguments.seed, arguments.fuzzed, real),
    }
    rows: list[dict[str, Any]] = []

    def note(what: str, group: str, count: int, wrong: int) -> None:
        rows.append({"what": what, "texts": group, "count": count, "different": wrong})
        print(f"{what}, {group}: {wrong} of {count:,} differ", flush=True)

    for group, texts in groups.items():
        note("words", group, len(texts), count_wrong(texts, moses.split_words, split_by_sacremoses))
    characters = list(tokenizer_texts.every_character())
    groups["characters"] = characters[::16]
    for name in ("BioGPT", "BioGPT-Large"):
        folder = arguments.data / "vocab" / name
        with tempfile.TemporaryDirectory() as directory:
            vocabulary = bpe.read_fairseq_vocabulary(folder / "dict.txt", folder / "bpecodes")
            files = bpe.write_vocabulary(vocabulary, directory)
            ours, slow = BioGptTokenizer(*files), Reference(*map(str, files))
        for group, texts in groups.items():
            wrong = count_wrong(
                texts, ours.encode_ids, lambda text, slow=slow: slow.convert_tokens_to_ids(slow.tokenize(text))
            )
            note(f"ids, {name}", group, len(texts), wrong)
            note(f"places, {name}", group, len(texts), count_wrong_places(texts, ours))
            sequences = ours.encode_ids(texts)
            note(f"decoded, {name}", group, len(texts), count_wrong(sequences, ours.batch_decode, slow.decode))
        sequences = tokenizer_texts.random_ids(arguments.seed, 40_000, len(ours))
        note(f"decoded, {name}", "random ids", len(sequences), count_wrong(sequences, ours.batch_decode, slow.decode))

    characters = characters[:: arguments.every]
    note("words", "characters", len(characters), count_wrong(characters, moses.split_words, split_by_sacremoses))
    write_report(arguments.output, "tokenizer_exactness.py", rows)
    if any(row["different"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
