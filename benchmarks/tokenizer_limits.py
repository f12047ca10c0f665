"""What a long word costs BioGptTokenizer in time, and what remembering costs it in memory.

    python benchmarks/tokenizer_limits.py --data ../shared/data

Words of 100,000 characters, made of different things, in seconds of the processor; and by how much the process grows at
most while it encodes the corpus of literature, a few documents at a time. Runs on Linux. Writes
benchmarks/results/tokenizer_limits.json.
"""

import argparse
import gzip
import json
import tempfile
import time
from itertools import islice
from pathlib import Path

from record import ROOT, write_result

from biogpt import BioGptTokenizer
from biogpt.text import bpe

LENGTH = 100_000
PARTS = ["a", "acgt", ".", "-a", "'", ",", "e.g.", "&", "é", "☃"]


def measure_long_words(tokenizer: BioGptTokenizer) -> dict[str, float]:
    """For each of PARTS the seconds that a word takes that repeats it."""
    seconds = {}
    for part in PARTS:
        word = part * (LENGTH // len(part))
        start = time.process_time()
        tokenizer(word, return_offsets_mapping=True)
        seconds[part] = round(time.process_time() - start, 4)
    return seconds


def measure_memory(tokenizer: BioGptTokenizer, data: Path) -> tuple[float, float]:
    """How many MB of text the corpus has, and by how many MB the process grows while it encodes them."""
    before = _read_kilobytes("VmRSS")
    num_bytes = 0
    for path in sorted((data / "corpus").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            while batch := list(islice(lines, 10)):
                texts = [text for line in batch for text in json.loads(line).values() if isinstance(text, str)]
                num_bytes += sum(len(text.encode("utf-8")) for text in texts)
                tokenizer.encode_ids(texts)
    return round(num_bytes / 1e6, 1), round((_read_kilobytes("VmHWM") - before) * 1024 / 1e6, 1)


def _read_kilobytes(name: str) -> int:
    """What Linux says of this process's memory: now (VmRSS), or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder of data sets")
    arguments = parser.parse_args()
    released = arguments.data / "vocab" / "BioGPT"
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = bpe.read_fairseq_vocabulary(released / "dict.txt", released / "bpecodes")
        tokenizer = BioGptTokenizer(*bpe.write_vocabulary(vocabulary, folder))
    tokenizer("warm")
    corpus, memory = measure_memory(tokenizer, arguments.data)  # first, while nothing is remembered yet
    seconds = measure_long_words(tokenizer)
    measured = {"characters": LENGTH, "seconds": seconds, "corpus_mb": corpus, "memory_mb": memory}
    write_result("tokenizer_limits", measured)
    print(json.dumps(measured, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
