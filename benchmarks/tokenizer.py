"""Speed of BioGptTokenizer against transformers' slow tokenizer of the same name, on the texts of the benchmark sets.

    python benchmarks/tokenizer.py --data ../shared/data

Each measurement is a fresh process on one thread, so that cold means cold; the two tokenizers take turns, and the
median of the repeats counts. Ours gives offsets, the slow one cannot. Writes benchmarks/results/tokenizer.json and
prints a table.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from record import ROOT, write_result
from rich.console import Console
from rich.table import Table

BATCH = 1000
ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
FIELDS = {"title", "abstract", "QUESTION", "CONTEXTS", "LONG_ANSWER"}
TASKS = ["encode", "encode one by one", "decode", "decode one by one"]


def read_texts(data: Path) -> list[str]:
    """Titles, abstracts, questions, contexts, answers, sentences and entity names of the benchmark sets."""
    texts: list[str] = []
    for path in sorted((data / "benchmarks").rglob("*.json")):
        records = json.loads(path.read_text(encoding="utf-8"))
        if path.name.endswith("entities.json"):
            texts += [name for names in records.values() for name in names]
        else:
            texts += _fields(records)
    for path in sorted((data / "benchmarks" / "HoC").glob("*.tsv")):
        texts += [line.split("\t")[0] for line in path.read_text(encoding="utf-8").split("\n") if line]
    return texts


def _fields(record: Any) -> Iterator[str]:
    """All texts that stand in a field of FIELDS, however deep."""
    if isinstance(record, dict):
        for name, value in record.items():
            if name in FIELDS:
                yield from [value] if isinstance(value, str) else value
            else:
                yield from _fields(value)


def measure(tokenizer_name: str, task: str, vocabulary: Path, texts: list[str]) -> dict[str, float]:
    """Seconds that a task takes at first and when it is repeated, in this process."""
    files = vocabulary / "vocab.json", vocabulary / "merges.txt"
    tokenizer: Any
    if tokenizer_name == "ours":
        from biogpt import BioGptTokenizer

        tokenizer = BioGptTokenizer(*files)
        settings = {"return_offsets_mapping": True}
    else:
        from transformers.models.biogpt.tokenization_biogpt import BioGptTokenizer as SlowTokenizer

        tokenizer = SlowTokenizer(*map(str, files))
        settings = {}
    size = 1 if task.endswith("one by one") else BATCH
    if task.startswith("encode"):
        work: Sequence[Any] = texts
        run: Callable[[Any], Any] = lambda batch: tokenizer(batch, **settings)  # noqa: E731
    else:
        from biogpt import BioGptTokenizer

        work = BioGptTokenizer(*files).encode_ids(texts)
        run = tokenizer.batch_decode
    batches = [work[place : place + size] if size > 1 else work[place] for place in range(0, len(work), size)]
    if size == 1 and task.startswith("decode"):
        run = tokenizer.decode
    seconds = {}
    for name in ("cold", "warm"):
        gc.collect()
        start = time.process_time()
        for batch in batches:
            run(batch)
        seconds[name] = time.process_time() - start
    return seconds


def measure_apart(tokenizer_name: str, task: str, vocabulary: Path, data: Path) -> dict[str, float]:
    """As `measure`, in a process of its own."""
    command = [sys.executable, __file__, "--data", str(data), "--only", tokenizer_name, task, str(vocabulary)]
    done = subprocess.run(command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def take_medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each."""
    return {name: round(statistics.median(run[name] for run in runs), 4) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder of data sets")
    parser.add_argument("--repeats", type=int, default=3, help="how often to measure each")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--output", type=Path, help="the result file; benchmarks/results/tokenizer.json if not given")
    parser.add_argument("--only", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    texts = list(dict.fromkeys(read_texts(arguments.data)))
    if arguments.only:
        name, task, vocabulary = arguments.only
        print(json.dumps(measure(name, task, Path(vocabulary), texts)))
        return

    from biogpt import BioGptTokenizer
    from biogpt.text import bpe

    released = arguments.data / "vocab" / "BioGPT"
    results: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = bpe.write_vocabulary(bpe.read_fairseq_vocabulary(released / "dict.txt", released / "bpecodes"), folder)
        num_tokens = sum(map(len, BioGptTokenizer(*files).encode_ids(texts)))
        for task in arguments.tasks:
            runs: dict[str, list[dict[str, float]]] = {"ours": [], "slow": []}
            for repeat in range(arguments.repeats):
                for name, done in runs.items():
                    done.append(measure_apart(name, task, Path(folder), arguments.data))
                    print(f"{task}, {name}, {repeat + 1} of {arguments.repeats}: {done[-1]}", file=sys.stderr)
            results[task] = {name: take_medians(each) for name, each in runs.items()}
    num_bytes = sum(len(text.encode("utf-8")) for text in texts)
    measured = {
        "documents": len(texts),
        "bytes": num_bytes,
        "tokens": num_tokens,
        "repeats": arguments.repeats,
        "batch": BATCH,
        "seconds": results,
        "ratios": {
            task: {when: round(seconds["slow"][when] / seconds["ours"][when], 2) for when in ("cold", "warm")}
            for task, seconds in results.items()
        },
    }
    write_result("tokenizer", measured, arguments.output)
    _print_table(results, num_bytes, num_tokens)


def _print_table(results: dict[str, dict[str, dict[str, float]]], num_bytes: int, num_tokens: int) -> None:
    table = Table(title=f"{num_bytes / 1e6:.1f} MB, {num_tokens / 1e6:.2f} M tokens, one thread")
    for column in ("", "slow MB/s", "ours MB/s", "slow tokens/s", "ours tokens/s", "times"):
        table.add_column(column, justify="right" if column else "left")
    for task, seconds in results.items():
        for when in ("cold", "warm"):
            slow, ours = seconds["slow"][when], seconds["ours"][when]
            rates = [f"{num_bytes / 1e6 / each:.2f}" for each in (slow, ours)]
            rates += [f"{num_tokens / each:,.0f}" for each in (slow, ours)]
            table.add_row(f"{task}, {when}", *rates, f"{slow / ours:.1f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
