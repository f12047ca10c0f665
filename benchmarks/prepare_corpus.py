"""Time and memory of preparing a corpus.

    python benchmarks/prepare_corpus.py DIRECTORY SOURCE... [--fields title,abstract,body] [--vocabulary-size 8192]
        [--num-workers 1] [--output FILE]

Prepares in a process of its own and adds up, five times a second, the resident memory of it and of its workers (pages
that several processes share count for each). Linux only. Writes what ran, on what, the seconds from the start to the
end of each stage, and the counts of corpus.json to benchmarks/results/prepare_corpus.json, and prints it.
"""

import argparse
import multiprocessing
import time
from pathlib import Path

from record import write_result

from biogpt.training.corpus.prepare import Corpus, CorpusRecipe, prepare


def resident_bytes(pid: int) -> int:
    """The resident memory of a process and of all that come from it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    return own + sum(resident_bytes(int(child)) for child in children)


def finished_stages(directory: Path, num_sources: int) -> dict[str, bool]:
    """Which stages are over, by the files they leave."""
    work = directory / "work"
    return {
        "read": len(list(work.glob("source-*.json"))) == num_sources,
        "duplicates": (work / "selection.json").exists(),
        "vocabulary": (work / "tokenizer").exists(),
        "encode": (directory / "corpus.json").exists(),
    }


def main() -> None:
    """Measure one preparation."""
    parser = argparse.ArgumentParser(description="Time and memory of preparing a corpus.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--fields", default="title,abstract,body")
    parser.add_argument("--vocabulary-size", type=int, default=8192)
    parser.add_argument("--num-workers", type=int, default=1)
    parser.add_argument("--output", type=Path, help="where to write instead")
    arguments = parser.parse_args()
    recipe = CorpusRecipe(
        sources=tuple(arguments.sources),
        fields=tuple(arguments.fields.split(",")),
        vocabulary_size=arguments.vocabulary_size,
        num_workers=arguments.num_workers,
    )
    begin = time.perf_counter()
    process = multiprocessing.get_context("spawn").Process(target=prepare, args=(recipe, arguments.directory))
    process.start()
    peak = 0
    ends: dict[str, float] = {}
    num_sources = len(recipe.source_paths())
    while process.is_alive():
        peak = max(peak, resident_bytes(process.pid or 0))
        for stage, is_over in finished_stages(arguments.directory, num_sources).items():
            if is_over:
                ends.setdefault(stage, round(time.perf_counter() - begin, 1))
        time.sleep(0.2)
    if process.exitcode:
        raise SystemExit(process.exitcode)
    summary = Corpus.open(arguments.directory).summary
    measured = {
        "num_workers": arguments.num_workers,
        "seconds": round(time.perf_counter() - begin, 1),
        "stages_end_at_seconds": ends,
        "peak_resident_mib": peak >> 20,
    }
    measured |= {name: value for name, value in summary.items() if name.startswith("num_")}
    print(write_result("prepare_corpus", measured, arguments.output).read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
