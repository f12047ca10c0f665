"""How fast the engine decodes and reads prompts beside transformers, CTranslate2 and vLLM: one run, medians.

    scripts/peers ../peers
    python benchmarks/engine_speed.py --peers ../peers --shape base
    python benchmarks/engine_speed.py --peers ../peers --shape mini

First a sweep: each peer with each of its compute types and 1 to `--threads` threads, one after the other, shortly. Of
each peer the setting that was the fastest for a figure goes on, for that figure. Then all engines are loaded, each in a
process of its own, and each round measures every one of them once, in an order that changes, so that whatever else the
machine does falls on all alike. Decode speed is that of the tokens behind the first: the time of a run of `--new`
tokens less that of a run of one. Beside it stands the limit of one row: how often a second the memory gives out the
int8 weights once, measured in each round. `--quick` takes about 12 minutes with the base shape on two free cores.

The result is written after each step. Killed, the same command goes on. An engine that fails, or answers too late, is
left out with its error.
"""

import argparse
import contextlib
import json
import os
import queue
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from record import RESULTS, describe_run, write_result

from biogpt import BioGptConfig, BioGptForCausalLM, BioGptTokenizer
from biogpt.engine.speed import Load, Plan, count_read_weights, measure_reading
from biogpt.model.checkpoint import resolve_model

WORKER = Path(__file__).with_name("engine_worker.py")
OURS = ("ours-int8", "ours-bfloat16", "ours-float32")
PEERS = {
    "transformers-float32": ("float32",),
    "transformers-bfloat16": ("bfloat16",),
    "ctranslate2": ("int8", "int8_float32", "int8_bfloat16", "int16", "bfloat16", "float32"),
    "vllm": ("bfloat16", "eager"),
}
"""The peers, and the kinds of each that are swept."""
PAUSE = 0.3  # seconds: threads of the engine before may still wait actively for work
SWEEP_TOKENS = 8


@dataclass(frozen=True)
class Arm:
    """An engine with its setting."""

    kind: str
    threads: int

    def __str__(self) -> str:
        return f"{self.kind} x{self.threads}"

    @property
    def peer(self) -> str | None:
        """Whose it is; None: ours."""
        name = self.kind.partition("-")[0]
        return next((peer for peer in PEERS if peer in (name, self.kind)), None)


class WorkerError(Exception):
    """An engine that failed or answers too late."""


class Worker:
    """An engine in its process."""

    def __init__(self, arm: Arm, python: Path | str, model: Path, patience: float) -> None:
        self.arm = arm
        self._patience = patience
        self._errors = model.parent / f"{arm}.log".replace(" ", "-")
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(python), str(WORKER), arm.kind, str(model), str(arm.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._read()
        except WorkerError:
            self.close()
            raise

    def measure(self, load: Load) -> float:
        """Seconds of one run.

        Raises:
            WorkerError: it ended, or takes too long. Close it then.
        """
        assert self._process.stdin is not None
        time.sleep(PAUSE)
        try:
            self._process.stdin.write(f"{load.num_rows} {load.num_prompt} {load.num_new}\n")
            self._process.stdin.flush()
            return float(self._read())
        except OSError:
            return float(self._read())  # why it ended

    def close(self) -> None:
        """End it, and what it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._listener.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("= "):  # else a library speaks
                self._lines.put(line[2:].strip())
        self._lines.put(None)

    def _read(self) -> str:
        try:
            line = self._lines.get(timeout=self._patience)
        except queue.Empty:
            raise WorkerError(f"no answer within {self._patience:.0f} s") from None
        if line is None:
            said = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            raise WorkerError(said[-1][:300] if said else f"ended with {self._process.wait()}")
        return line


class Measurement:
    """What is measured so far, in the file of the result."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.content: dict[str, Any] = facts | {
            "is_finished": False,
            "sweep": {},
            "errors": {},
            "seconds": {},
            "reads": [],
        }
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            known = {key: before.get(key) for key in facts}
            is_same = known == facts and before.get("machine") == describe_run()["machine"]
            if is_same and not before.get("is_finished"):
                self.content = {key: before[key] for key in self.content}
                print("goes on with", path)

    def write(self, **more: Any) -> None:
        """Write the file."""
        self.content |= more
        write_result(self.path.stem, self.content, self.path)

    def fail(self, arm: Arm, error: Exception) -> None:
        """Note that an engine is left out."""
        print(arm, "failed:", error, flush=True)
        self.content["errors"][str(arm)] = str(error)
        self.write()

    def add(self, arm: Arm, load: Load, taken: float) -> None:
        """Note a run."""
        runs = self.content["seconds"].setdefault(str(arm), {})
        runs.setdefault(_name(load), []).append(round(taken, 5))
        self.write()

    def runs(self, arm: Arm, load: Load) -> list[float]:
        """The seconds of the runs of an engine."""
        return list(self.content["seconds"].get(str(arm), {}).get(_name(load), []))

    def has_failed(self, arm: Arm) -> bool:
        """Whether an engine is left out."""
        return str(arm) in self.content["errors"]


def _name(load: Load) -> str:
    return f"{load.num_rows} x {load.num_prompt} + {load.num_new}"


def make_model(shape: str, directory: Path) -> int:
    """Save a model with random weights; how many bytes its linear layers take in int8."""
    torch.manual_seed(0)
    tiny = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 256}
    config = BioGptConfig.preset("mini", **tiny) if shape == "tiny" else BioGptConfig.preset(shape)
    BioGptForCausalLM(config).save_pretrained(directory)
    # The bundled vocabulary, filled up to the size of the released one: what the tokens say changes no speed.
    bundled = resolve_model("mini")
    vocabulary = json.loads((bundled / "vocab.json").read_text(encoding="utf-8"))
    vocabulary |= {f"filler{index}</w>": index for index in range(len(vocabulary), config.vocab_size)}
    vocab_file = directory / "vocab.json"
    vocab_file.write_text(json.dumps(vocabulary), encoding="utf-8")
    BioGptTokenizer(str(vocab_file), str(bundled / "merges.txt")).save_pretrained(directory)
    return count_read_weights(config)


def find_python(arm: Arm, peers: Path | None) -> Path | str:
    """The interpreter that has an engine.

    Raises:
        WorkerError: there is none.
    """
    if arm.peer is None or peers is None:
        return sys.executable
    python = peers / ("vllm" if arm.peer == "vllm" else "transformers") / "bin" / "python"
    if not python.is_file():
        raise WorkerError(f"there is no {python.parent.parent.name} in the directory of the peers")
    return python


def is_higher_better(figure: str) -> bool:
    """Tokens per second, not seconds."""
    return figure.startswith("decode")


def best_of(figures: dict[str, dict[str, float]], figure: str) -> str | None:
    """Whose figure is the best."""
    known = {name: each[figure] for name, each in figures.items() if figure in each}
    if not known:
        return None
    return (max if is_higher_better(figure) else min)(known, key=lambda name: known[name])


def sweep(measured: Measurement, arms: list[Arm], plan: Plan, model: Path, peers: Path, patience: float) -> None:
    """Measure each setting of the peers alone, shortly."""
    for arm in arms:
        if str(arm) in measured.content["sweep"] or measured.has_failed(arm):
            continue
        try:
            with contextlib.closing(Worker(arm, find_python(arm, peers), model, patience)) as worker:
                worker.measure(Load(1, plan.num_prompt, 2))
                seconds = {load: [worker.measure(load)] for load in plan.loads}
        except WorkerError as error:
            measured.fail(arm, error)
            continue
        measured.content["sweep"][str(arm)] = plan.speeds(seconds)
        measured.write()
        print("sweep:", arm, plan.speeds(seconds), flush=True)


def choose_arms(measured: Measurement, arms: list[Arm], plan: Plan) -> dict[Arm, list[Load]]:
    """The settings that were the best of their peer for a figure, each with the loads of these figures."""
    needed: dict[Arm, set[Load]] = {}
    by_name = {str(arm): arm for arm in arms}
    for peer in PEERS:
        own = {str(arm): measured.content["sweep"].get(str(arm), {}) for arm in arms if arm.peer == peer}
        for figure, loads in figures_of(plan).items():
            best = best_of(own, figure)
            if best is not None:
                needed.setdefault(by_name[best], set()).update(loads)
    return {arm: [load for load in plan.loads if load in loads] for arm, loads in needed.items()}


def figures_of(plan: Plan) -> dict[str, list[Load]]:
    """The figures, each with the loads it is made of."""
    figures = {
        f"decode_{size}": [Load(size, plan.num_prompt, 1), Load(size, plan.num_prompt, plan.num_new)]
        for size in plan.batch_sizes
    }
    return figures | {f"prefill_{plan.num_prefill}": [Load(1, plan.num_prefill, 1)]}


def compare(
    measured: Measurement,
    arms: dict[Arm, list[Load]],
    plan: Plan,
    rounds: int,
    model: Path,
    options: argparse.Namespace,
) -> None:
    """Measure all engines side by side, round by round."""
    workers: dict[Arm, Worker] = {}
    num_bytes = measured.content["weight_bytes"]
    torch.set_num_threads(options.threads)
    with contextlib.ExitStack() as stack:
        for arm, loads in arms.items():
            if measured.has_failed(arm):
                continue
            try:
                worker = stack.enter_context(
                    contextlib.closing(Worker(arm, find_python(arm, options.peers), model, options.patience))
                )
                for load in loads:  # once for all that is made at the first call, without the long runs
                    if load.num_new == 1:
                        worker.measure(Load(load.num_rows, load.num_prompt, 2))
            except WorkerError as error:
                measured.fail(arm, error)
                continue
            workers[arm] = worker
            print("ready:", arm, flush=True)
        for number in range(rounds):
            for load in plan.loads:
                asked = [arm for arm in workers if load in arms[arm] and len(measured.runs(arm, load)) <= number]
                for arm in random.Random(f"{number} {load}").sample(asked, len(asked)):
                    try:
                        measured.add(arm, load, workers[arm].measure(load))
                    except WorkerError as error:
                        measured.fail(arm, error)
                        workers.pop(arm).close()
            if len(measured.content["reads"]) <= number:
                time.sleep(PAUSE)
                measured.content["reads"].append(round(measure_reading(num_bytes, torch.device("cpu")), 2))
            print(f"round {number + 1} of {rounds}", flush=True)
            measured.write(**summarize(measured, arms, plan))


def summarize(measured: Measurement, arms: dict[Arm, list[Load]], plan: Plan) -> dict[str, Any]:
    """The figures of the medians, the best peer's, ours against it, and ours against the memory's limit."""
    speeds = {
        str(arm): plan.speeds({load: measured.runs(arm, load) for load in loads})
        for arm, loads in arms.items()
        if not measured.has_failed(arm)
    }
    ours = {name: each for name, each in speeds.items() if name.startswith("ours")}
    peers = {name: each for name, each in speeds.items() if not name.startswith("ours")}
    limit = statistics.median(measured.content["reads"])
    summary: dict[str, Any] = {
        "speeds": speeds,
        "read_limit": round(limit, 1),
        "read_bytes_per_second": round(limit * measured.content["weight_bytes"]),
        "share_of_read_limit": {
            name: round(each["decode_1"] / limit, 3) for name, each in ours.items() if "decode_1" in each
        },
        "against": {},
    }
    for peer in (None, *PEERS):
        rivals = {name: each for name, each in peers.items() if peer is None or _is_of(name, peer)}
        found = {}
        for figure in figures_of(plan):
            best, rival = best_of(ours, figure), best_of(rivals, figure)
            if best is None or rival is None:
                continue
            mine, theirs = ours[best][figure], rivals[rival][figure]
            ratio = mine / theirs if is_higher_better(figure) else theirs / mine
            found[figure] = {"ours": best, "peer": rival, "times_as_fast": round(ratio, 2)}
        if found:
            summary["against"][peer or "best peer"] = found
    return summary


def _is_of(name: str, peer: str) -> bool:
    return name.split(maxsplit=1)[0] == peer or name.partition("-")[0] == peer


def show(content: dict[str, Any], plan: Plan) -> None:
    """Print the figures as a table."""
    figures = list(figures_of(plan))
    print(f"\n{'':28}" + "".join(figure.rjust(14) for figure in figures))
    for name, speeds in content["speeds"].items():
        print(f"{name:28}" + "".join(str(speeds.get(figure, "")).rjust(14) for figure in figures))
    for peer, found in content["against"].items():
        print(
            f"{'ours / ' + peer:28}"
            + "".join(
                (f"{found[figure]['times_as_fast']:.2f}" if figure in found else "").rjust(14) for figure in figures
            )
        )
    megabytes, limit = content["weight_bytes"] / 1e6, content["read_limit"]
    print(
        f"One read of the {megabytes:.0f} MB of int8 weights: {limit:.1f} times a second "
        f"({content['read_bytes_per_second'] / 1e9:.1f} GB/s). Reached at batch 1:",
        ", ".join(f"{name} {share:.0%}" for name, share in content["share_of_read_limit"].items()),
    )
    for name, error in content["errors"].items():
        print(f"left out: {name}: {error}")


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="the environments that scripts/peers made; without them ours alone")
    parser.add_argument("--shape", default="base", choices=("tiny", "mini", "base"))
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--prefill", type=int, default=512)
    parser.add_argument("--new", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patience", type=float, default=240, help="seconds for an engine to load, or for one run")
    parser.add_argument("--only", nargs="+", help="these alone, such as ours-int8 ctranslate2 vllm")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 16 new tokens")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    num_new, rounds = (16, 3) if options.quick else (options.new, options.rounds)
    plan = Plan(tuple(options.batches), options.prompt, num_new, options.prefill)
    short = Plan(plan.batch_sizes, plan.num_prompt, min(SWEEP_TOKENS, num_new), plan.num_prefill)
    ours = [Arm(kind, options.threads) for kind in OURS if not options.only or kind in options.only]
    peers = [
        Arm(peer if peer == f"{peer.partition('-')[0]}-{kind}" else f"{peer}-{kind}", threads)
        for peer, kinds in PEERS.items()
        if options.peers and (not options.only or peer in options.only)
        for kind in kinds
        for threads in range(options.threads, 0, -1)
    ]
    facts = {
        "shape": options.shape,
        "threads": options.threads,
        "rounds": rounds,
        "batches": options.batches,
        "prompt_tokens": options.prompt,
        "new_tokens": num_new,
        "prefill_tokens": options.prefill,
        "engines": [str(arm) for arm in (*ours, *peers)],
    }
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model"
        facts["weight_bytes"] = make_model(options.shape, model)
        torch.set_num_threads(options.threads)
        measured = Measurement(options.output or RESULTS / f"engine_speed-{options.shape}.json", facts)
        measured.write()
        sweep(measured, peers, short, model, options.peers, options.patience)
        print(f"sweep done after {time.monotonic() - start:.0f} s", flush=True)
        arms = dict.fromkeys(ours, plan.loads) | choose_arms(measured, peers, plan)
        compare(measured, arms, plan, rounds, model, options)
    measured.write(is_finished=True)
    show(measured.content, plan)
    print(f"wrote {measured.path} after {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
