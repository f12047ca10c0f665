"""How many passes through the network the texts of a task take, with drafts and without, and whether they are the same.

    python benchmarks/passes.py ../shared/data/benchmarks/BC5CDR --output benchmarks/results/passes.json

Counts, not times: of greedy lists of relations, constrained by the schema, and of the search above a threshold, over
the test split. A pass over a batch counts once for each text that it reads. A difference is a near tie where the two
best tokens' log-probabilities differ by less than 1e-4 without drafts.

Then free text: processor time of completions of the split's texts, with drafts and without by turns.

The result is written after each batch size. The same command goes on with those that lack.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from record import write_result

from biogpt.decoding.constraint import compile_constraint
from biogpt.decoding.settings import GenerationSettings
from biogpt.engine.engine import Engine
from biogpt.engine.search import ScoredSequence
from biogpt.extraction.predictor import Predictor
from biogpt.model.loading import load_causal_lm
from biogpt.tasks import readers
from biogpt.tasks.encoding import encode_prompt_or_cut

NEAR_TIE = 1e-4


class Reads:
    """Counts what an engine's network reads."""

    def __init__(self, engine: Engine) -> None:
        self.num_passes = self.num_texts = self.num_tokens = 0
        self._network = engine.network

    @contextmanager
    def counting(self) -> Iterator["Reads"]:
        """Count within the block."""
        read = self._network.read

        def note(segments: Sequence[Any], cache: Any = None) -> Any:
            self.num_passes += 1
            self.num_texts += len({segment.row for segment in segments})
            self.num_tokens += sum(len(segment.ids) for segment in segments)
            return read(segments, cache)

        self._network.read = note  # type: ignore[method-assign]
        try:
            yield self
        finally:
            self._network.read = read  # type: ignore[method-assign]


def main() -> None:
    """Count, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the directory of BC5CDR")
    parser.add_argument("--task", default="bc5cdr", help="with a bundled model that generates")
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--only", nargs="+", choices=("lists", "search"), default=["lists", "search"])
    parser.add_argument("--free-texts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5, help="of the free texts")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    predictor = Predictor.load(options.task, device="cpu", dtype="float32")
    task, tokenizer = predictor.task, predictor.tokenizer
    examples = readers.read(task.schema, options.data, "test")[: options.documents]
    prompts = [encode_prompt_or_cut(task, tokenizer, example)[0] for example in examples]
    constraints = [
        compile_constraint(task.grammar(example), tokenizer, ids)
        for example, ids in zip(examples, prompts, strict=True)
    ]
    what: dict[str, Any] = {"task": options.task, "documents": len(examples), "dtype": "float32"}
    measured = what | {"lists": [], "search": []} | read_measured(options.output, what)

    def is_open(part: str, batch_size: int) -> bool:
        done = {entry["batch_size"] for entry in measured[part]}
        return part in options.only and batch_size not in done

    def keep() -> None:
        if options.output:
            print("wrote", write_result("passes", measured, options.output), flush=True)

    limit = task.inference.target_limit
    settings = GenerationSettings(temperature=0, max_new_tokens=limit)

    def ask_lists(engine: Engine) -> list[tuple[int, ...]]:
        return [(*one.token_ids, tokenizer.eos_token_id) for one in engine.generate_ids(prompts, settings, constraints)]

    def ask_search(engine: Engine) -> list[list[ScoredSequence]]:
        once = [constraint.once() for constraint in constraints]
        return list(engine.search_each(prompts, once, task.inference.threshold))

    for batch_size in (size for size in options.batch_sizes if is_open("lists", size)):
        without, with_drafts = (
            Engine(predictor.model, tokenizer, batch_size, is_drafting=is_drafting) for is_drafting in (False, True)
        )
        expected, before = count(without, ask_lists)
        got, after = count(with_drafts, ask_lists)
        num_tokens = sum(map(len, expected))
        entry = {
            "batch_size": batch_size,
            "tokens": num_tokens,
            "passes_per_100_tokens": per_100(after.num_texts, sum(map(len, got))),
            "passes_per_100_tokens_without_drafts": per_100(before.num_texts, num_tokens),
            "tokens_read": after.num_tokens,
            "tokens_read_without_drafts": before.num_tokens,
            **compare_lists(without, prompts, expected, got),
        }
        measured["lists"].append(entry)
        print(entry, flush=True)
        keep()
    for batch_size in (size for size in options.batch_sizes if is_open("search", size)):
        without, with_drafts = (
            Engine(predictor.model, tokenizer, batch_size, is_drafting=is_drafting) for is_drafting in (False, True)
        )
        expected, before = count(without, ask_search)
        got, after = count(with_drafts, ask_search)
        entry = {
            "batch_size": batch_size,
            "threshold": task.inference.threshold,
            "sequences": sum(map(len, expected)),
            "passes_per_document": round(after.num_texts / len(prompts), 3),
            "passes_per_document_without_drafts": round(before.num_texts / len(prompts), 3),
            "tokens_read": after.num_tokens,
            "tokens_read_without_drafts": before.num_tokens,
            **compare_searches(expected, got),
        }
        measured["search"].append(entry)
        print(entry, flush=True)
        keep()
    if options.free_texts and "free_text" not in measured:
        measured["free_text"] = time_free_text([example.text for example in examples[: options.free_texts]], options)
        print(measured["free_text"], flush=True)
        keep()


def read_measured(path: Path | None, what: dict[str, Any]) -> dict[str, Any]:
    """The parts that an earlier run on the same documents wrote."""
    if path is None or not path.is_file():
        return {}
    result = json.loads(path.read_text(encoding="utf-8"))
    if any(result.get(key) != value for key, value in what.items()):
        raise SystemExit(f"Got {path}, which has other documents, expected {what}. Give another --output.")
    return {key: result[key] for key in ("lists", "search", "free_text") if key in result}


def count(engine: Engine, ask: Callable[[Engine], Any]) -> tuple[Any, Reads]:
    """What an engine answers, and what it read for that."""
    with Reads(engine).counting() as reads:
        return ask(engine), reads


def per_100(num_passes: int, num_tokens: int) -> float:
    return round(100 * num_passes / num_tokens, 2)


def compare_lists(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    expected: Sequence[tuple[int, ...]],
    got: Sequence[tuple[int, ...]],
) -> dict[str, int]:
    """How many lists are the same, and how many of the others differ behind a near tie."""
    near_ties = others = 0
    for prompt, one, other in zip(prompts, expected, got, strict=True):
        if one == other:
            continue
        place = next(at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
        scores = engine.score_ids(prompt, [ids[: place + 1] for ids in (one, other)])
        if abs(scores[0][-1] - scores[1][-1]) < NEAR_TIE:
            near_ties += 1
        else:
            others += 1
    return {"same": len(expected) - near_ties - others, "near_ties": near_ties, "different": others}


def compare_searches(
    expected: Sequence[Sequence[ScoredSequence]], got: Sequence[Sequence[ScoredSequence]]
) -> dict[str, Any]:
    """How many searches found the same, and how far probabilities of the same sequences are apart."""
    pairs = [
        ({one.ids: one.probability for one in each}, {one.ids: one.probability for one in other})
        for each, other in zip(expected, got, strict=True)
    ]
    apart = [abs(one[ids] - other[ids]) for one, other in pairs for ids in one.keys() & other.keys()]
    return {
        "same": sum(one.keys() == other.keys() for one, other in pairs),
        "largest_difference_of_a_probability": max(apart, default=0.0),
    }


def time_free_text(texts: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Processor time of one thread for completions of texts' first words by `mini`."""
    from biogpt.model.checkpoint import load_tokenizer, resolve_model

    torch.set_num_threads(1)
    path = resolve_model("mini")
    model = load_causal_lm(path)
    tokenizer = load_tokenizer(path, model.config.vocab_size)
    prompts = [" ".join(text.split()[:40]) for text in texts]
    measured: dict[str, Any] = {"model": "mini", "texts": len(texts), "new_tokens": 100, "batch_sizes": {}}
    for batch_size in options.batch_sizes:
        engines = [Engine(model, tokenizer, batch_size, is_drafting=is_drafting) for is_drafting in (False, True)]
        seconds: list[list[float]] = [[], []]
        completions: list[list[tuple[int, ...]]] = [[], []]
        for _ in range(options.rounds):
            for which, engine in enumerate(engines):
                begin = time.process_time()
                made = engine.generate(prompts, temperature=0, max_new_tokens=100)
                seconds[which].append(time.process_time() - begin)
                completions[which] = [one.token_ids for (one,) in made]
        measured["batch_sizes"][str(batch_size)] = {
            "processor_seconds_without_drafts": round(median(seconds[0]), 3),
            "processor_seconds": round(median(seconds[1]), 3),
            "ratio": round(median(after / before for before, after in zip(*seconds, strict=True)), 3),
            "same": sum(one == other for one, other in zip(*completions, strict=True)),
        }
    return measured


if __name__ == "__main__":
    main()
