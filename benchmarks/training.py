"""Pre-training throughput of our network against transformers' own BioGPT, in the same loop.

    python benchmarks/training.py

One function trains every contestant: forward, loss, backward, a fused AdamW step, on random tokens (speed does not
depend on which), from the same random weights; their first losses stand in the result. Contestants take turns, in
alternating order, so that a machine that slows down slows all; the warm-up, which compiles, does not count. Figures are
medians over the repeats, ratios medians of the ratios within a repeat. Wants a machine that does nothing else, and
records its load. Writes benchmarks/results/training.json and prints a table.
"""

import argparse
import gc
import os
import shutil
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from record import write_result
from rich.console import Console
from rich.table import Table

import biogpt
from biogpt.model.config import PRESETS

SIZES: dict[str, dict[str, int]] = {
    "mini": {name: value for name, value in PRESETS["mini"].items() if isinstance(value, int)},
    "384x8": {
        "vocab_size": 16384,
        "hidden_size": 384,
        "num_hidden_layers": 8,
        "num_attention_heads": 6,
        "intermediate_size": 1536,
        "max_position_embeddings": 1024,
    },
}
PACKAGES: dict[str, Any] = {"transformers": transformers, "biogpt": biogpt}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A network and how it is run."""

    package: str
    attention: str | None = None
    """None: what the package chooses by itself."""
    dropout: float = 0.0
    bf16: bool = False
    compiled: bool = False


# transformers' configuration asks for dropout 0.1 unless told otherwise; our preset for pre-training on CPU for none.
CONTESTANTS = {
    "transformers as is": Contestant("transformers", dropout=0.1),
    "transformers as is, eager attention": Contestant("transformers", "eager", dropout=0.1),
    "transformers, no dropout": Contestant("transformers"),
    "transformers, no dropout, bf16": Contestant("transformers", bf16=True),
    "transformers, no dropout, bf16, compiled": Contestant("transformers", "sdpa", bf16=True, compiled=True),
    "biogpt": Contestant("biogpt"),
    "biogpt, bf16": Contestant("biogpt", bf16=True),
    "biogpt, bf16, compiled": Contestant("biogpt", "sdpa", bf16=True, compiled=True),
    "biogpt, bf16, compiled, blocked": Contestant("biogpt", "blocked", bf16=True, compiled=True),
}
REFERENCE = "transformers as is"
SEED = 0


class Runner:
    """One contestant at work."""

    def __init__(self, contestant: Contestant, size: dict[str, int], device: torch.device) -> None:
        package = PACKAGES[contestant.package]
        config = package.BioGptConfig(
            **size, hidden_dropout_prob=contestant.dropout, attention_probs_dropout_prob=contestant.dropout
        )
        torch.manual_seed(SEED)
        model = package.BioGptForCausalLM(config)
        if contestant.attention:
            model.set_attn_implementation(contestant.attention)
        self.attention: str = model.config._attn_implementation
        self.weights = model
        self.bf16 = contestant.bf16
        self.device = device
        model.to(device).train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
        self.model = torch.compile(model, dynamic=False) if contestant.compiled else model

    def train(self, batches: list[torch.Tensor]) -> tuple[float, float]:
        """One step on each batch; returns the seconds and the last loss."""
        self._wait()
        begin = time.perf_counter()
        for batch in batches:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
                loss = self.model(input_ids=batch, labels=batch, use_cache=False).loss
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self._wait()
        return time.perf_counter() - begin, float(loss.detach())

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def race(size: dict[str, int], length: int, names: list[str], arguments: argparse.Namespace) -> dict[str, Any]:
    """Train all contestants on sequences of one length."""
    device = torch.device(arguments.device)
    generator = torch.Generator().manual_seed(SEED)
    shape = arguments.steps, arguments.micro_batch, length
    batches = list(torch.randint(size["vocab_size"], shape, generator=generator).to(device).unbind())
    runners = {name: Runner(CONTESTANTS[name], size, device) for name in names}
    start = runners[names[0]].weights.state_dict()
    results: dict[str, dict[str, Any]] = {}
    for runner in runners.values():
        runner.weights.load_state_dict({key: value.clone() for key, value in start.items()})
    for name, runner in runners.items():
        first_seconds, first_loss = runner.train(batches[:1])
        runner.train(batches[:1])
        results[name] = asdict(CONTESTANTS[name]) | {
            "attention": runner.attention,
            "first_loss": round(first_loss, 4),
            "first_step_seconds": round(first_seconds, 1),
        }
        print(f"{name}: first step {first_seconds:.1f} s, loss {first_loss:.4f}", file=sys.stderr)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(arguments.repeats):
        for name in names if repeat % 2 == 0 else reversed(names):
            seconds[name].append(runners[name].train(batches)[0])
    num_tokens = arguments.steps * arguments.micro_batch * length
    peers = [name for name in names if CONTESTANTS[name].package == "transformers"]
    fastest_peer = min(peers, key=lambda name: statistics.median(seconds[name]), default=None)
    for name in names:
        results[name]["tokens_per_second"] = [round(num_tokens / each) for each in seconds[name]]
        results[name]["median"] = round(num_tokens / statistics.median(seconds[name]))
        for label, peer in (("to_reference", REFERENCE), ("to_fastest_peer", fastest_peer)):
            if peer in seconds:
                ratios = [theirs / own for theirs, own in zip(seconds[peer], seconds[name], strict=True)]
                results[name][label] = round(statistics.median(ratios), 2)
    return {"fastest_peer": fastest_peer, "contestants": results}


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--lengths", nargs="+", type=int, default=[512], help="tokens in a sequence; also try 1024")
    parser.add_argument("--micro-batch", type=int, default=4, help="sequences in a step")
    parser.add_argument("--steps", type=int, default=1, help="steps in a turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each contestant")
    parser.add_argument("--threads", type=int, help="by default as many as torch chooses")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--output", type=Path, help="where to write instead")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    names = [name for name in CONTESTANTS if name in arguments.contestants]
    if arguments.device == "cpu" and not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), "clang++")):
        print("No C++ compiler: the compiled contestants stay away.", file=sys.stderr)
        names = [name for name in names if not CONTESTANTS[name].compiled]

    load = [os.getloadavg()[0]]
    races = []
    for size in arguments.sizes:
        for length in arguments.lengths:
            print(f"{size}, {length} tokens", file=sys.stderr)
            races.append({"size": size, "length": length} | race(SIZES[size], length, names, arguments))
            torch.compiler.reset()
            gc.collect()
    load.append(os.getloadavg()[0])
    settings = {name: getattr(arguments, name) for name in ("micro_batch", "steps", "repeats", "device")}
    content = settings | {"load_average": load, "reference": REFERENCE, "races": races}
    path = write_result("training", content, arguments.output)
    for one in races:
        print_table(one)
    print(f"Load {load[0]:.1f} before, {load[1]:.1f} after. Written to {path}", file=sys.stderr)


def print_table(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['size']}, sequences of {result['length']} tokens")
    for column in ("", "attention", "tokens/s", "least", "most", "to the first", "to the fastest peer"):
        table.add_column(column, justify="right" if column else "left")
    for name, one in result["contestants"].items():
        rates = [f"{value:,}" for value in (one["median"], *(pick(one["tokens_per_second"]) for pick in (min, max)))]
        ratios = [f"{one[label]:.2f}" if label in one else "" for label in ("to_reference", "to_fastest_peer")]
        table.add_row(name, one["attention"], *rates, *ratios)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
