"""How fast, how flat in memory and how exact a collection is mined; results in benchmarks/results/mine.json.

    python benchmarks/mine_collection.py memory   60,000 abstracts in 60 PubMed files, an extractor that costs nothing
    python benchmarks/mine_collection.py kills    the same; a worker and the driver are killed, then it goes on
    python benchmarks/mine_collection.py speed    4,000 abstracts, a real model: 1 and 2 workers beside `predict`

Each part writes its own entry into the result file. `speed` takes the three in turn, block by block, each first in one
of the blocks, with one thread per worker and for `predict`. It has two speeds of each: that of whole programs, which
start and end with each block, and the steady one, from when a tenth of the results are there to the last. Abstracts
are the shared corpus's.
"""

import argparse
import compileall
import gzip
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from record import RESULTS, ROOT, describe_run

DATA = Path(os.environ.get("BIOGPT_DATA", ROOT.parent / "shared" / "data"))
RESULT = RESULTS / "mine.json"
TRIVIAL = """
import sys
from mining_annotators import WordAnnotator
from biogpt.mining.collection import mine_with
print(mine_with([WordAnnotator()], sys.argv[1], sys.argv[2], on_commit=lambda shard: print(shard, flush=True)))
"""


def read_corpus(count: int) -> Iterator[dict[str, Any]]:
    with gzip.open(DATA / "corpus" / "abstracts.jsonl.gz", "rt", encoding="utf-8") as lines:
        usable = (one for one in map(json.loads, lines) if one.get("abstract") or one.get("text"))
        yield from itertools.islice(usable, count)


def write_files(folder: Path, count: int, num_files: int) -> int:
    """PubMed files of abstracts with PMIDs from 1, so that none comes twice; their bytes."""
    folder.mkdir(parents=True)
    size = 0
    articles = enumerate(read_corpus(count), start=1)
    for number in range(1, num_files + 1):
        part = []
        for pmid, one in itertools.islice(articles, count // num_files):
            title, abstract = escape(one.get("title") or ""), escape(one.get("abstract") or one.get("text"))
            part.append(
                f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><ArticleTitle>{title}'
                f"</ArticleTitle><Abstract><AbstractText>{abstract}</AbstractText></Abstract></Article>"
                "</MedlineCitation></PubmedArticle>"
            )
        text = "".join(filter(lambda sign: sign in "\t\n\r" or sign >= " ", "".join(part)))
        path = folder / f"pubmed25n{number:04d}.xml.gz"
        path.write_bytes(gzip.compress(f"<PubmedArticleSet>{text}</PubmedArticleSet>".encode(), 6, mtime=0))
        size += path.stat().st_size
    return size


def environment() -> dict[str, str]:
    paths = [str(ROOT / "tests"), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}


def start_trivial(folder: Path, output: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", TRIVIAL, str(folder), str(output)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def processes_below(pid: int) -> list[tuple[int, str]]:
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [(int(line.split()[0]), int(line.split()[1]), line.split(maxsplit=2)[2]) for line in table.splitlines()]
    below = {pid}
    for _ in range(5):
        below |= {child for child, parent, _ in rows if parent in below}
    return [(child, name) for child, _, name in rows if child in below]


def memory_of(pid: int) -> int:
    """Proportional memory of a process, in bytes; 0 where it has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def digest_of_rows(output: Path) -> dict[str, Any]:
    """How many rows count in each table, and a sum of their hashes, without what says which run and file made them."""
    from biogpt.mining.dataset import TABLES, Collection

    connection = Collection(output).connect()
    counts, hashes = {}, []
    for table in TABLES:
        columns = [row[0] for row in connection.execute(f"DESCRIBE {table}").fetchall()]
        names = ", ".join(f'"{name}"' for name in columns if name not in ("shard", "run", "source", "file", "ordinal"))
        query = f"SELECT count(*), coalesce(sum(hash(row({names})::VARCHAR)::HUGEINT), 0) FROM {table}"
        counts[table], total = connection.execute(query).fetchone()
        hashes.append(int(total))
    return {"rows": counts, "sha256": hashlib.sha256(repr(hashes).encode()).hexdigest()}


def measure_memory(options: argparse.Namespace, folder: Path, directory: Path) -> dict[str, Any]:
    size = write_files(folder, options.documents, options.files)
    started = time.monotonic()
    process = start_trivial(folder, directory / "out")
    samples: list[tuple[float, int, int]] = []

    def watch() -> None:
        while process.poll() is None:
            driver = memory_of(process.pid)
            everything = sum(memory_of(pid) for pid, _ in processes_below(process.pid))
            samples.append((time.monotonic() - started, driver, everything))
            time.sleep(2)

    thread = threading.Thread(target=watch)
    thread.start()
    commits = []
    assert process.stdout is not None
    for line in process.stdout:
        commits.append((time.monotonic() - started, line.strip()))
    assert process.wait() == 0
    thread.join()
    seconds = time.monotonic() - started
    shards = [at for at, name in commits if name[-4:].isdecimal()]
    middle = (shards[0] + shards[-1]) / 2
    halves = {
        name: {
            "driver_mb": max((driver for at, driver, _ in samples if is_in(at)), default=0) / 1e6,
            "all_mb": max((everything for at, _, everything in samples if is_in(at)), default=0) / 1e6,
        }
        for name, is_in in (
            ("first half", lambda at: shards[0] <= at < middle),
            ("second half", lambda at: middle <= at <= shards[-1]),
        )
    }
    return {
        "documents": options.documents,
        "files": options.files,
        "input_mb": size / 1e6,
        "output_mb": sum(path.stat().st_size for path in (directory / "out").rglob("*.parquet")) / 1e6,
        "seconds": seconds,
        "first_commit_seconds": shards[0],
        "peak_memory": halves,
        **digest_of_rows(directory / "out"),
    }


def measure_kills(options: argparse.Namespace, folder: Path, directory: Path) -> dict[str, Any]:
    write_files(folder, options.documents, options.files)
    output = directory / "out"
    killed = []

    def wait_for(process: "subprocess.Popen[str]", condition: Callable[[], object]) -> None:
        while not condition():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.1)

    def shards() -> int:
        return len(list((output / "manifest").glob("*-[0-9][0-9][0-9][0-9].json")))

    def miners(process: "subprocess.Popen[str]") -> list[int]:
        return [pid for pid, name in processes_below(process.pid) if "Map(Miner)" in name]

    for number in range(options.kills):
        process = subprocess.Popen(
            [sys.executable, "-c", TRIVIAL, str(folder), str(output)], env=environment(), stdout=subprocess.DEVNULL
        )
        before = shards()
        wait_for(process, lambda: shards() >= before + 2 and miners(process))  # noqa: B023
        os.kill(miners(process)[0], signal.SIGKILL)
        at_worker = shards()
        wait_for(process, lambda: shards() >= at_worker + 2)  # noqa: B023
        process.kill()
        process.wait()
        killed.append({"call": number + 1, "worker_at_shard": at_worker, "driver_at_shard": shards()})
    last = start_trivial(folder, output)
    last.communicate()
    assert last.returncode == 0
    broken = digest_of_rows(output)
    whole = start_trivial(folder, directory / "whole")
    whole.communicate()
    assert broken == digest_of_rows(directory / "whole"), "rows differ"
    return {"documents": options.documents, "kills": killed, "are_rows_equal": True, **broken}


_STARTING = 0.1  # share of a block's results that does not count as steady: the first ones of Ray come late


@dataclass
class Arm:
    """`predict`, or `mine` with so many workers: what its calls took."""

    workers: int
    seconds: list[float] = field(default_factory=list)
    """Of the whole program, block by block."""
    num_steady: list[int] = field(default_factory=list)
    """Documents whose results came in the steady state, up to the last."""
    steady_seconds: list[float] = field(default_factory=list)
    """What these took."""

    def run(self, command: list[str], results: Path) -> None:
        """Run the program, and note when results came."""
        sizes: list[tuple[float, int]] = []
        started = time.time()
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        while process.poll() is None:
            if results.is_file() and (not sizes or results.stat().st_size > sizes[-1][1]):
                sizes.append((time.time(), results.stat().st_size))
            time.sleep(0.1)
        self.seconds.append(time.time() - started)
        assert process.returncode == 0, command
        came = documents_in_file(results, sizes) if results.is_file() else documents_in_shards(results)
        last, num_documents = came[-1]
        first, num_before = next(one for one in came if one[1] >= num_documents * _STARTING)
        self.num_steady.append(num_documents - num_before)
        self.steady_seconds.append(last - first)

    @property
    def steady_speed(self) -> float:
        """Documents per second."""
        return sum(self.num_steady) / sum(self.steady_seconds)

    def per_second(self, documents: int, num_blocks: int) -> dict[str, float]:
        """Documents per second: of the programs as they were called, if all were one call, and of the steady state."""
        start_and_end = max(0.0, sum(self.seconds) - documents / self.steady_speed) / num_blocks
        return {
            "as called": documents / sum(self.seconds),
            "in one call": documents / (documents / self.steady_speed + start_and_end),
            "steady": self.steady_speed,
            "start_and_end_seconds": start_and_end,
        }


def documents_in_file(path: Path, sizes: list[tuple[float, int]]) -> list[tuple[float, int]]:
    """At which time JSON lines had how many documents, from the times at which they had so many bytes."""
    content = path.read_bytes()
    return [(at, content.count(b"\n", 0, size)) for at, size in sizes if b"\n" in content[:size]]


def documents_in_shards(output: Path) -> list[tuple[float, int]]:
    """At which time how many documents were committed."""
    came, num_documents = [], 0
    entries = (output / "manifest").glob("*-[0-9][0-9][0-9][0-9].json")
    for entry in sorted(entries, key=lambda path: path.stat().st_mtime_ns):
        num_documents += json.loads(entry.read_text(encoding="utf-8"))["num_documents"]
        came.append((entry.stat().st_mtime, num_documents))
    return came


def measure_speed(options: argparse.Namespace, folder: Path, directory: Path) -> dict[str, Any]:
    write_files(folder, options.documents, options.blocks)
    compileall.compile_dir(ROOT / "src", quiet=1)  # as an installed package is
    arms = {"predict": Arm(1), "1 worker": Arm(1), "2 workers": Arm(2)}
    biogpt = [sys.executable, "-m", "biogpt"]
    num_rows = 0
    worst = 0.0
    for number, block in enumerate(sorted(folder.iterdir())):
        out = directory / f"out-{number}"
        predicted, *mined = results = [Path(f"{out}.jsonl"), Path(f"{out}-1"), Path(f"{out}-2")]
        common = [str(block), "--task", options.task, "--batch-size", str(options.batch_size)]
        commands = [
            [*biogpt, "predict", *common, "--output", str(predicted)],
            *([*biogpt, "mine", *common, "--workers", str(n), "--output", f"{out}-{n}"] for n in (1, 2)),
        ]
        calls = list(zip(arms.items(), commands, results, strict=True))
        for (name, arm), command, result in [*calls[number % 3 :], *calls[: number % 3]]:
            arm.run(command, result)
            steady = arm.num_steady[-1] / arm.steady_seconds[-1]
            print(f"block {number + 1}, {name}: {arm.seconds[-1]:.1f} s, steady {steady:.2f} documents/s", flush=True)
        for collection in mined:
            compared, difference = compare_rows(predicted, collection)
            num_rows += compared
            worst = max(worst, difference)
    per_second = {name: arm.per_second(options.documents, options.blocks) for name, arm in arms.items()}
    return {
        "documents": options.documents,
        "task": options.task,
        "batch_size": options.batch_size,
        "seconds": {name: arm.seconds for name, arm in arms.items()},
        "documents_per_second": per_second,
        "per_worker_beside_predict": {
            name: {
                kind: per_second[name][kind] / arm.workers / per_second["predict"][kind]
                for kind in ("as called", "in one call", "steady")
            }
            for name, arm in arms.items()
            if name != "predict"
        },
        "rows_equal_to_predict": num_rows,
        "largest_difference_of_scores": worst,
    }


def compare_rows(predicted: Path, mined: Path) -> tuple[int, float]:
    """How many items are the same in both, and by how much their scores differ at most."""
    from biogpt.mining.dataset import Collection

    connection = Collection(mined).connect()
    items: dict[str, list[tuple[Any, ...]]] = {}
    # The entities of a task with relations are the arguments of these, which `predict` gives as they are.
    query = 'SELECT document_id, type, mention, start, "end", score FROM entities'
    query += " WHERE task NOT IN (SELECT task FROM relations)"
    for identity, *values, score in connection.execute(query).fetchall():
        items.setdefault(identity, []).append((*values, score))
    query = "SELECT document_id, head_role, head_name, tail_role, tail_name, score FROM relations"
    for identity, *values, score in connection.execute(query).fetchall():
        items.setdefault(identity, []).append((*values, score))
    expected: dict[str, list[tuple[Any, ...]]] = {}
    for line in predicted.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        for item in record["items"]:
            if "mention" in item:
                values = (item["label"], item["mention"], item.get("start"), item.get("end"))
            else:
                roles = [name for name in item if f"{name}_spans" in item]
                values = tuple(value for role in roles for value in (role, item[role]))
            expected.setdefault(str(record["id"]), []).append((*values, item["score"]))
    assert items.keys() == expected.keys()
    count, worst = 0, 0.0
    for identity, found in items.items():
        pairs = list(zip(sorted(found, key=repr_of), sorted(expected[identity], key=repr_of), strict=True))
        for one, other in pairs:
            assert one[:-1] == other[:-1], (identity, one, other)
            worst = max(worst, abs(one[-1] - other[-1]))
        count += len(pairs)
    assert round(worst, 6) <= 1e-4, worst  # JSON lines have four digits: what differs at all differs by one of them
    return count, worst


def repr_of(row: tuple[Any, ...]) -> str:
    return repr(row[:-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["memory", "kills", "speed"])
    parser.add_argument("--documents", type=int)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--task", default="bc5cdr")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    if options.documents is None:
        options.documents = 3999 if options.part == "speed" else 60_000
    measure = {"memory": measure_memory, "kills": measure_kills, "speed": measure_speed}[options.part]
    with tempfile.TemporaryDirectory() as directory:
        measured = measure(options, Path(directory) / "in", Path(directory))
    result = json.loads(options.output.read_text(encoding="utf-8")) if options.output.is_file() else {}
    described = describe_run()
    described["versions"] |= {name: metadata.version(name) for name in ("ray", "pyarrow", "duckdb")}
    result[options.part] = described | measured
    options.output.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()
