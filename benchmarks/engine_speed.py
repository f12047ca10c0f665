"""How fast the engine decodes and reads prompts, beside transformers and CTranslate2: interleaved, medians, one run.

    scripts/peers ../peers
    python benchmarks/engine_speed.py --peers ../peers --shape base --output benchmarks/results/engine_speed-base.json

All engines are loaded first, each in a process of its own. Then each round measures every one of them once, in an order
that changes, so that whatever else the machine does falls on all alike. Decode speed is that of the tokens behind the
first: the time of a run of `--new` tokens less that of a run of one. Beside it stands the limit of one row: how often a
second the memory gives out the int8 weights once.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import write_result

from biogpt import BioGptConfig, BioGptForCausalLM, BioGptTokenizer
from biogpt.model.checkpoint import resolve_model

WORKER = Path(__file__).with_name("engine_worker.py")
OURS = ("ours-int8", "ours-bfloat16", "ours-float32")
PEERS = ("transformers-float32", "transformers-bfloat16", "ctranslate2-int8")


class Worker:
    """An engine in its process."""

    def __init__(self, kind: str, python: str, model: Path, threads: int) -> None:
        self.kind = kind
        self._process = subprocess.Popen(
            [python, str(WORKER), kind, str(model), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        """Until it is loaded."""
        self._read("ready")

    def measure(self, batch: int, length: int, num_new: int) -> float:
        """Seconds of one run."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{batch} {length} {num_new}\n")
        self._process.stdin.flush()
        return float(self._read())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self, expected: str | None = None) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line or (expected and line != expected):
            raise SystemExit(f"{self.kind} failed: {line or 'it ended'}")
        return line


def make_model(shape: str, directory: Path) -> int:
    """Save a model with random weights; how many bytes its linear layers take in int8."""
    torch.manual_seed(0)
    config = BioGptConfig.preset(shape)
    model = BioGptForCausalLM(config)
    model.save_pretrained(directory)
    # The bundled vocabulary, filled up to the size of the released one: what the tokens say changes no speed.
    bundled = resolve_model("mini")
    vocabulary = json.loads((bundled / "vocab.json").read_text(encoding="utf-8"))
    vocabulary |= {f"filler{index}</w>": index for index in range(len(vocabulary), config.vocab_size)}
    vocab_file = directory / "vocab.json"
    vocab_file.write_text(json.dumps(vocabulary), encoding="utf-8")
    BioGptTokenizer(str(vocab_file), str(bundled / "merges.txt")).save_pretrained(directory)
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear))


def measure_reading(num_bytes: int, threads: int) -> float:
    """How often a second so many bytes can be read from memory."""
    torch.set_num_threads(threads)
    data = torch.ones(num_bytes // 4, dtype=torch.float32)
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        data.sum()
        seconds.append(time.perf_counter() - start)
    return 1 / min(seconds)


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the environment that scripts/peers made; without it ours alone")
    parser.add_argument("--shape", default="base", choices=("mini", "base"))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", help="these engines alone")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    kinds = options.only or [*OURS, *(PEERS if options.peers else ())]
    tasks = [(batch, options.prompt, count) for batch in options.batches for count in (1, options.new)]
    tasks.append((1, options.prefill, 1))
    seconds: dict[tuple[str, int, int, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model"
        num_bytes = make_model(options.shape, model)
        workers = []
        for kind in kinds:
            python = sys.executable if kind.startswith("ours") else str(options.peers / "bin" / "python")
            workers.append(Worker(kind, python, model, options.threads))
            workers[-1].wait()
        for number in range(options.rounds + 1):  # the first warms up
            for batch, length, count in tasks:
                for worker in random.Random(f"{number} {batch} {count}").sample(workers, len(workers)):
                    taken = worker.measure(batch, length, count)
                    if number:
                        seconds.setdefault((worker.kind, batch, length, count), []).append(taken)
        for worker in workers:
            worker.close()
    limit = measure_reading(num_bytes, options.threads)
    measured: dict[str, Any] = {"shape": options.shape, "threads": options.threads, "read_limit_per_second": limit}
    for kind in kinds:
        speeds: dict[str, float] = {}
        for batch in options.batches:
            first, whole = (
                statistics.median(seconds[kind, batch, options.prompt, count]) for count in (1, options.new)
            )
            speeds[f"decode_{batch}"] = round(batch * (options.new - 1) / (whole - first), 1)
        prefill = statistics.median(seconds[kind, 1, options.prefill, 1])
        speeds[f"prefill_{options.prefill}_seconds"] = round(prefill, 3)
        measured[kind] = speeds
        print(kind, speeds, flush=True)
    print(f"{num_bytes / 1e6:.0f} MB of int8 weights can be read {limit:.1f} times a second")
    if options.output:
        print("wrote", write_result("engine_speed", measured, options.output))


if __name__ == "__main__":
    main()
