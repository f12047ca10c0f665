"""How fast this machine computes a model: decoding, reading prompts, and how far that is from the memory's limit.

A row's next token needs every weight once, so the time in which the memory hands out the weights bounds decoding at
batch 1. Prompts are random ids, since what they say changes no speed, and nothing is drafted: a figure is the cost of a
token that the model itself computes.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from biogpt.engine.engine import Engine, set_num_threads
from biogpt.engine.processor import DTYPES, check_dtype, choose_dtype, has_int8_kernel, processor_features
from biogpt.errors import InputError
from biogpt.model.config import BioGptConfig
from biogpt.model.loading import choose_device


@dataclass(frozen=True)
class Load:
    """One run to be timed: so many rows, each with a prompt of so many tokens, to which so many are added."""

    num_rows: int
    num_prompt: int
    num_new: int


@dataclass(frozen=True)
class Plan:
    """What is measured of a model.

    Args:
        batch_sizes: rows that decode side by side.
        num_prompt: tokens of their prompts.
        num_new: tokens that each writes.
        num_prefill: tokens of the single prompt whose reading is timed.
    """

    batch_sizes: Sequence[int] = (1, 8, 32)
    num_prompt: int = 32
    num_new: int = 16
    num_prefill: int = 512

    @property
    def loads(self) -> list[Load]:
        """All runs that are timed: with `num_new` tokens and with one, whose difference is decoding alone."""
        decoding = [Load(size, self.num_prompt, num) for size in self.batch_sizes for num in (1, self.num_new)]
        return [*decoding, Load(1, self.num_prefill, 1)]

    def speeds(self, seconds: Mapping[Load, Sequence[float]]) -> dict[str, float]:
        """The figures, of the median of each load's runs.

        Args:
            seconds: of each run, by load; loads without any are left out.

        Returns:
            `decode_N`: tokens per second of N rows together, their first tokens left out; `prefill_N`: seconds.
        """
        medians = {load: statistics.median(each) for load, each in seconds.items() if each}
        found = {}
        for size in self.batch_sizes:
            first, whole = Load(size, self.num_prompt, 1), Load(size, self.num_prompt, self.num_new)
            if first in medians and whole in medians:
                taken = max(medians[whole] - medians[first], 1e-9)
                found[f"decode_{size}"] = round(size * (self.num_new - 1) / taken, 1)
        prefill = Load(1, self.num_prefill, 1)
        if prefill in medians:
            found[f"prefill_{self.num_prefill}"] = round(medians[prefill], 4)
        return found


DEFAULT_PLAN = Plan()


@dataclass(frozen=True)
class TypeSpeed:
    """The speed of a model in one type."""

    dtype: str
    figures: dict[str, float]
    """See `Plan.speeds`."""
    weight_bytes: int
    """What is read for each token."""
    read_limit: float
    """How often a second the memory hands out so many bytes: the bound of tokens per second at batch 1."""

    @property
    def share_of_limit(self) -> float | None:
        """How much of the bound is reached at batch 1; above 1 where the weights lie in the processor's caches."""
        reached = self.figures.get("decode_1")
        return None if reached is None else reached / self.read_limit

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it."""
        return self.figures | {
            "weight_bytes": self.weight_bytes,
            "read_bytes_per_second": round(self.read_limit * self.weight_bytes),
            "read_limit": round(self.read_limit, 1),
            "share_of_read_limit": None if self.share_of_limit is None else round(self.share_of_limit, 3),
        }


@dataclass(frozen=True)
class Speed:
    """What `measure_speed` found."""

    model: str
    device: str
    num_threads: int
    num_repeats: int
    plan: Plan
    types: tuple[TypeSpeed, ...]

    def to_dict(self) -> dict[str, object]:
        """As JSON holds it: tokens and bytes per second, prompts in seconds."""
        return {
            "model": self.model,
            "device": self.device,
            "threads": self.num_threads,
            "repeats": self.num_repeats,
            "prompt_tokens": self.plan.num_prompt,
            "new_tokens": self.plan.num_new,
            "types": {each.dtype: each.to_dict() for each in self.types},
        }

    def as_text(self) -> str:
        """A small table: a column for each type."""
        sizes, num_prefill = self.plan.batch_sizes, self.plan.num_prefill
        rows = [["tokens per second", *(each.dtype for each in self.types)]]
        for size in sizes:
            rows.append([f"decoding, batch {size}", *(f"{each.figures[f'decode_{size}']:.1f}" for each in self.types)])
        prefills = (num_prefill / each.figures[f"prefill_{num_prefill}"] for each in self.types)
        rows.append([f"reading a prompt of {num_prefill}", *(f"{each:.0f}" for each in prefills)])
        rows.append(["limit of batch 1 *", *(f"{each.read_limit:.1f}" for each in self.types)])
        if 1 in sizes:
            rows.append(["reached of it", *(f"{each.share_of_limit or 0:.0%}" for each in self.types)])
        width = max(len(row[0]) for row in rows)
        reads = (
            f"{each.dtype} {each.weight_bytes / 1e6:.0f} MB at {each.read_limit * each.weight_bytes / 1e9:.1f} GB/s"
            for each in self.types
        )
        threads = "1 thread" if self.num_threads == 1 else f"{self.num_threads} threads"
        return "\n".join(
            [
                f"{self.model} on {f'{self.device}, {threads}' if self.device == 'cpu' else self.device}, "
                f"median of {self.num_repeats}",
                *(f"{row[0].ljust(width)}{''.join(cell.rjust(10) for cell in row[1:])}" for row in rows),
                f"* one read of the weights per token: {', '.join(reads)}",
            ]
        )


def measure_speed(
    model: str | Path = "mini",
    *,
    dtypes: Sequence[str] = ("auto",),
    device: str = "auto",
    num_threads: int | None = None,
    num_repeats: int = 5,
    plan: Plan = DEFAULT_PLAN,
    on_progress: Callable[[int, int], None] | None = None,
) -> Speed:
    """Measure how fast this machine computes a model.

    All types are loaded, then each round times each of them once, so that what else the machine does falls on all
    alike.

        >>> found = measure_speed("mini", dtypes=["float32"], num_repeats=1, plan=Plan(batch_sizes=[1], num_new=4))
        >>> found.types[0].figures["decode_1"] > 0
        True

    Args:
        model: a bundled name, a directory, or a hub id.
        dtypes: the types to compute in; `auto`: all that the device does well.
        device: as `Engine.from_pretrained` takes it.
        num_threads: of PyTorch, in the whole process; by default as many as there are.
        num_repeats: how often each run is timed, after one that is not.
        plan: which runs.
        on_progress: called with how many runs are done and how many there are.

    Raises:
        InputError: there is no such type or device, a type has no kernel here, or the model has too few positions.
        CheckpointError: there is no such model, or its files are damaged.
    """
    if num_repeats < 1:
        raise InputError(f"Got num_repeats {num_repeats}, expected at least 1.")
    place = choose_device(device)
    names = _choose_types(dtypes, place)
    set_num_threads(num_threads)
    engines = {name: Engine.from_pretrained(model, dtype=name, device=device) for name in names}
    config = engines[names[0]].config
    _check_positions(config, plan)
    loads = plan.loads
    seconds: dict[str, dict[Load, list[float]]] = {name: {load: [] for load in loads} for name in names}
    num_done, num_runs = 0, (num_repeats + 1) * len(loads) * len(names)
    for number in range(num_repeats + 1):
        for load in loads:
            for name in random.Random(f"{number} {load}").sample(names, len(names)):
                # The first round warms up: a few tokens do.
                taken = time_run(engines[name], load if number else replace(load, num_new=min(load.num_new, 2)))
                if number:
                    seconds[name][load].append(taken)
                num_done += 1
                if on_progress:
                    on_progress(num_done, num_runs)
    types = []
    for name in names:
        num_bytes = count_read_weights(config) * DTYPES[name].itemsize
        types.append(TypeSpeed(name, plan.speeds(seconds[name]), num_bytes, measure_reading(num_bytes, place)))
    return Speed(
        model=Path(model).name if Path(model).exists() else str(model),
        device=str(place),
        num_threads=torch.get_num_threads(),
        num_repeats=num_repeats,
        plan=plan,
        types=tuple(types),
    )


def time_run(engine: Engine, load: Load) -> float:
    """Seconds of one run: greedy, without drafts."""
    engine = engine.with_batch_size(load.num_rows)
    engine._is_drafting = False
    prompts = make_prompts(load, engine.config.vocab_size)
    start = time.perf_counter()
    for _ in engine.generate_ids(prompts, temperature=0, max_new_tokens=load.num_new, min_new_tokens=load.num_new):
        pass
    return time.perf_counter() - start


def make_prompts(load: Load, vocab_size: int) -> list[list[int]]:
    """Random ids behind `</s>`, the same for the same load."""
    chance = random.Random(f"{load.num_rows} {load.num_prompt}")
    return [[2, *(chance.randrange(4, vocab_size) for _ in range(load.num_prompt - 1))] for _ in range(load.num_rows)]


def count_read_weights(config: BioGptConfig) -> int:
    """How many weights a pass reads, whatever its rows: those of all linear layers, the head's among them."""
    width = config.hidden_size
    each_layer = 4 * width * width + 2 * width * config.intermediate_size
    return config.num_hidden_layers * each_layer + width * config.vocab_size


def measure_reading(num_bytes: int, device: torch.device, num_repeats: int = 9) -> float:
    """How often a second so many bytes can be read, at best; from the processor's caches where they fit in."""
    data = torch.ones(max(1, num_bytes // 4), dtype=torch.float32, device=device)
    seconds = []
    for _ in range(num_repeats):
        start = time.perf_counter()
        data.sum().item()  # waits for a GPU
        seconds.append(time.perf_counter() - start)
    return 1 / min(seconds)


def _choose_types(dtypes: Sequence[str], device: torch.device) -> list[str]:
    """Types by name, `auto` replaced; the error where one cannot be computed here."""
    names: list[str] = []
    for asked in dtypes:
        check_dtype(asked)
        for name in _good_types(device) if asked == "auto" else [asked]:
            chosen, reason = choose_dtype(name, device, 0)
            if chosen != name:
                raise InputError(f"Got dtype {name}, which cannot be measured: {chosen} would be computed, {reason}.")
            names.append(name)
    return list(dict.fromkeys(names))


def _good_types(device: torch.device) -> list[str]:
    """The types that a device does well; float32 always, to compare with."""
    if device.type != "cpu":
        return ["float32", "bfloat16"]
    features = processor_features()
    names = ["float32"]
    if "bf16" in features:
        names.append("bfloat16")
    if "vnni" in features and has_int8_kernel():
        names.append("int8")
    return names


def _check_positions(config: BioGptConfig, plan: Plan) -> None:
    needed = max(plan.num_prefill + 1, plan.num_prompt + plan.num_new)
    if needed > config.max_position_embeddings:
        raise InputError(
            f"Got a model with {config.max_position_embeddings} positions, expected at least {needed}: so many are "
            "measured. Give a plan with fewer tokens."
        )
