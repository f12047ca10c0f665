"""Masks a second of three constraints on the same relation lists, and what each of them lets through.

    pip install llguidance xgrammar
    python benchmarks/constraints.py ../shared/data/benchmarks/BC5CDR --documents 100 \\
        --output benchmarks/results/constraints.json

Ours, llguidance's and xgrammar's follow the same texts, the gold relations of the test split, token by token: after
each, they say which tokens may come next. The same template ("the relation between X and Y exists; ..."), slots that
are spans of the source, one grammar for each document. Seconds are processor time of one thread; what counts is the
ratio within a run. Ours gives a set of ids, the others fill a mask of bits over the vocabulary.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from record import write_result

from biogpt.decoding.constraint import TokenConstraint, compile_constraint
from biogpt.errors import InputError
from biogpt.extraction.task_models import find_task_model
from biogpt.model.checkpoint import load_tokenizer
from biogpt.tasks import readers
from biogpt.tasks.encoding import encode_prompt_or_cut

WORD_END = "</w>"
MAX_TOKENS = 486


class Case(NamedTuple):
    """One document."""

    constraint_of: Callable[[], TokenConstraint]
    words: list[str]
    """Of the source, as the tokenizer writes them."""
    ids: list[int]
    """A text that ours allows, the end token included."""
    prompt: list[int]


class Measured(NamedTuple):
    """What one constraint did with all documents."""

    compiling: float
    """Processor seconds."""
    masking: float
    num_masks: int
    num_allowed: int
    """Tokens in all masks."""
    num_refused: int
    """Texts that it does not allow to the end."""

    def as_entry(self, num_cases: int) -> dict[str, Any]:
        return {
            "compile_milliseconds": round(1000 * self.compiling / num_cases, 3),
            "masks_per_second": round(self.num_masks / self.masking),
            "masks_per_second_compiling_included": round(self.num_masks / (self.masking + self.compiling)),
            "tokens_allowed": round(self.num_allowed / self.num_masks, 2),
            "texts_refused": self.num_refused,
        }


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the directory of BC5CDR")
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    found = find_task_model("bc5cdr", None)
    config = json.loads((found.path / "config.json").read_text(encoding="utf-8"))
    tokenizer = load_tokenizer(found.path, config["vocab_size"])
    cases = make_cases(found.task, tokenizer, options.data, options.documents)
    end_id: int = tokenizer.eos_token_id
    # A word's end becomes a space: so the texts are words, each with a space behind it.
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(config["vocab_size"])))
    vocabulary = [
        f"<{token}>" if index in special else token.replace(WORD_END, " ") for index, token in enumerate(tokens)
    ]
    measured: dict[str, Any] = {"documents": len(cases), "masks": sum(len(case.ids) for case in cases)}
    for name, measure in (("ours", measure_ours), ("llguidance", measure_llguidance), ("xgrammar", measure_xgrammar)):
        measured[name] = measure(cases, vocabulary, special, end_id)
        print(name, measured[name], flush=True)
    for name in ("llguidance", "xgrammar"):
        for key in ("masks_per_second", "masks_per_second_compiling_included"):
            measured[name][f"{key}_to_ours"] = round(measured[name][key] / measured["ours"][key], 3)
    if options.output:
        print("wrote", write_result("constraints", measured, options.output))


def make_cases(task: Any, tokenizer: Any, data: Path, num_documents: int) -> list[Case]:
    """Documents whose gold list, or the longest beginning of it, our constraint allows."""
    cases = []
    for example in readers.read(task.schema, data, "test")[:num_documents]:
        prompt, _ = encode_prompt_or_cut(task, tokenizer, example)
        grammar = task.grammar(example)

        def compile_it(grammar: Any = grammar, prompt: Sequence[int] = tuple(prompt)) -> TokenConstraint:
            return compile_constraint(grammar, tokenizer, prompt)

        for text in texts_of(task, example):
            (ids,) = tokenizer.encode_ids([text])
            ids = [*ids, tokenizer.eos_token_id]
            if is_allowed(compile_it(), ids):
                words = "".join(
                    token
                    for index, token in zip(prompt, tokenizer.convert_ids_to_tokens(list(prompt)), strict=True)
                    if index not in tokenizer.all_special_ids
                )
                cases.append(Case(compile_it, words.replace(WORD_END, " ").split(), ids, list(prompt)))
                break
    return cases


def texts_of(task: Any, example: Any) -> list[str]:
    """The gold list, and shorter ones."""
    return [task.target(replace(example, items=example.items[:number])) for number in range(len(example.items), 0, -1)]


def is_allowed(constraint: TokenConstraint, ids: Sequence[int]) -> bool:
    state = constraint.begin(MAX_TOKENS)
    try:
        return not any(state.accept(index) for index in ids) and state.is_done
    except InputError:
        return False


def measure_ours(cases: Sequence[Case], vocabulary: Sequence[str], special: set[int], end_id: int) -> dict[str, Any]:
    compiling = masking = 0.0
    num_masks = num_allowed = 0
    for case in cases:
        begin = time.process_time()
        state = case.constraint_of().begin(MAX_TOKENS)
        compiled = time.process_time()
        for index in case.ids:
            num_allowed += len(state.allowed())
            state.accept(index)
            num_masks += 1
        masking += time.process_time() - compiled
        compiling += compiled - begin
    return Measured(compiling, masking, num_masks, num_allowed, 0).as_entry(len(cases)) | {
        "spans_of_the_source": True,
        "no_relation_twice": True,
        "ends_within_a_limit": True,
        "only_the_tokenizers_own_ids": True,
    }


def measure_llguidance(
    cases: Sequence[Case], vocabulary: Sequence[str], special: set[int], end_id: int
) -> dict[str, Any]:
    import llguidance
    import llguidance.numpy

    numbers = {word: index for index, word in enumerate(vocabulary) if index not in special}
    known: dict[str, list[int]] = {}
    for case in cases:
        part, ids = "", list[int]()
        for index in (*case.prompt, *case.ids):
            part, ids = part + vocabulary[index], [*ids, index]
            if index in special or vocabulary[index].endswith(" "):
                known[part] = ids
                part, ids = "", []

    class Vocabulary:
        """What llguidance asks of a tokenizer."""

        eos_token_id = bos_token_id = end_id
        tokens = [b"\xff" * (index in special) + word.encode() for index, word in enumerate(vocabulary)]  # noqa: RUF012
        special_token_ids = sorted(special)

        def __call__(self, text: str | bytes) -> list[int]:
            """The ids of words as the tokenizer has them; of what is no word of these texts the longest tokens."""
            text = text if isinstance(text, str) else text.decode()
            found: list[int] = []
            while text:
                word, space, _ = text.partition(" ")
                part = word + space
                ids = known.get(part)
                if ids is None:
                    length = next(size for size in range(len(part), 0, -1) if part[:size] in numbers)
                    part, ids = part[:length], [numbers[part[:length]]]
                found += ids
                text = text[len(part) :]
            return found

    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Vocabulary()))
    mask = llguidance.numpy.allocate_token_bitmask(1, len(vocabulary))
    compiling = masking = 0.0
    num_masks = num_allowed = num_refused = 0
    for case in cases:
        text = json.dumps(" ".join(case.words) + " ")
        grammar = (
            'start: relation ("; " relation)* ". "\n'
            'relation: "the relation between " SPAN "and " SPAN "exists "\n'
            f'SPAN: %regex {{ "substring_words": {text} }}\n'
        )
        begin = time.process_time()
        matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar))
        compiled = time.process_time()
        if matcher.is_error():
            raise SystemExit(matcher.get_error())
        is_refused, counting = False, 0.0
        for index in case.ids:
            llguidance.numpy.fill_next_token_bitmask(matcher, mask)
            paused = time.process_time()
            num_allowed += count_bits(mask[0])
            counting += time.process_time() - paused
            num_masks += 1
            if not matcher.consume_token(index):
                is_refused = True
                break
        if matcher.is_error() and "panic" in matcher.get_error():
            raise SystemExit(matcher.get_error())
        masking += time.process_time() - compiled - counting
        compiling += compiled - begin
        num_refused += is_refused
    return Measured(compiling, masking, num_masks, num_allowed, num_refused).as_entry(len(cases)) | {
        "version": metadata.version("llguidance"),
        "spans_of_the_source": "substring_words, without what a name may begin or end with",
        "no_relation_twice": False,
        "ends_within_a_limit": False,
        "only_the_tokenizers_own_ids": False,
    }


def measure_xgrammar(
    cases: Sequence[Case], vocabulary: Sequence[str], special: set[int], end_id: int
) -> dict[str, Any]:
    import xgrammar

    info = xgrammar.TokenizerInfo(
        list(vocabulary), xgrammar.VocabType.RAW, vocab_size=len(vocabulary), stop_token_ids=[end_id]
    )
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    mask = xgrammar.allocate_token_bitmask(1, len(vocabulary))
    compiling = masking = 0.0
    num_masks = num_allowed = num_refused = 0
    for case in cases:
        # It has no rule for a part of a text: from each word on, either the next one follows, or nothing.
        rules = [
            f"w{number} ::= {json.dumps(word + ' ')}" + (f" w{number + 1}?" if number + 1 < len(case.words) else "")
            for number, word in enumerate(case.words)
        ]
        spans = " | ".join(f"w{number}" for number in range(len(case.words)))
        grammar = "\n".join(
            [
                'root ::= relation ("; " relation)* ". "',
                'relation ::= "the relation between " span "and " span "exists "',
                f"span ::= {spans}",
                *rules,
            ]
        )
        begin = time.process_time()
        matcher = xgrammar.GrammarMatcher(compiler.compile_grammar(xgrammar.Grammar.from_ebnf(grammar)))
        compiled = time.process_time()
        is_refused, counting = False, 0.0
        for index in case.ids:
            matcher.fill_next_token_bitmask(mask)
            paused = time.process_time()
            num_allowed += count_bits(mask[0].numpy())
            counting += time.process_time() - paused
            num_masks += 1
            if not matcher.accept_token(index):
                is_refused = True
                break
        masking += time.process_time() - compiled - counting
        compiling += compiled - begin
        num_refused += is_refused
    return Measured(compiling, masking, num_masks, num_allowed, num_refused).as_entry(len(cases)) | {
        "version": metadata.version("xgrammar"),
        "spans_of_the_source": "one rule for each word of the source",
        "no_relation_twice": False,
        "ends_within_a_limit": False,
        "only_the_tokenizers_own_ids": False,
    }


def count_bits(mask: Any) -> int:
    return sum(int(word).bit_count() for word in mask.view("uint32"))


if __name__ == "__main__":
    main()
