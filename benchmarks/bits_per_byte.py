"""Bits per byte of a corpus's held-out documents: a model, and compressors and n-gram models on the same bytes.

    python benchmarks/bits_per_byte.py --model mini --corpus CORPUS --sources FILE...

CORPUS is a directory that `biogpt pretrain` prepared, the sources are the files that it was prepared from. Writes
benchmarks/results/bits_per_byte.json and prints a table. The yardsticks:

- zlib and xz, strongest settings, over all held-out documents in one stream, a line feed between them;
- xz primed: how much longer the compressed training text gets when the held-out text stands behind it;
- n-gram models over bytes and over words with their blanks, trained on all of the training part.

The training part is recovered exactly: the sources go through the preparation's own reading and its own choice of
documents (duplicates out, held-out ones aside), and the counts must be those of the corpus.

BioGPT's tokens do not record which blanks stood around punctuation (Moses splits it off, and puts it back by rules).
So each figure comes twice: for the text as written, and for the text that the tokens decode to, on which the n-gram
models are trained and tested as well. Of the first, the model's own bits do not quite restore the text: a row of its
own adds what is missing, each blank, given its neighbours and whether the decoded text has one, by an adaptive code.
"""

import argparse
import lzma
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from math import log, log2
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ngrams import ByteModel, NgramModel, WordModel, to_bytes
from record import write_result
from rich.console import Console
from rich.table import Table

from biogpt.evaluation.bits_per_byte import ScoredDocument, score_documents
from biogpt.model.checkpoint import load_tokenizer, resolve_model
from biogpt.model.loading import load_causal_lm
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.corpus import stages
from biogpt.training.corpus.jobs import JobBoard
from biogpt.training.corpus.prepare import Corpus

AS_WRITTEN, DECODED = "as written", "decoded"
XZ_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 27}]


def read_training_texts(corpus: Corpus, sources: list[Path]) -> list[str]:
    """The training documents' texts in the order of their tokens."""
    recipe = corpus.summary["recipe"]
    fields = tuple(recipe["fields"])
    with tempfile.TemporaryDirectory() as directory, JobBoard(1, progress=True) as board:
        work = Path(directory)
        counts = stages.read_sources(sorted(sources), fields, 1.0, work, board)
        counts |= stages.select(len(sources), recipe["heldout_fraction"], recipe["near_duplicates"], work, board)
        selection = stages.Selection.open(work)
        documents = selection.documents(selection.num_heldout, len(selection.rows))
        texts = [document.text(fields) for document in documents]
    counts["num_train_bytes"] = count_bytes(texts)
    for name in ("num_documents_read", "num_heldout_documents", "num_train_documents", "num_train_bytes"):
        if counts[name] != corpus.summary[name]:
            raise SystemExit(
                f"The sources give {name} = {counts[name]}, expected {corpus.summary[name]} as the corpus has. Name "
                "the files that it was prepared from."
            )
    return texts


def decode_training_texts(corpus: Corpus, tokenizer: BioGptTokenizer) -> list[str]:
    """The same as the tokens have them."""
    tokens = corpus.train_tokens()
    stream = tokens.block(0, len(tokens))
    documents = np.split(stream, np.flatnonzero(stream == stages.END_ID))[1:]
    return [tokenizer.decode(document[1:].tolist()) for document in documents]


def count_bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def score_model(name: str, corpus: Corpus, texts: list[str], max_length: int | None, device: str) -> dict[str, Any]:
    """What the model needs for the texts, their ends included; and the texts that its tokens decode to."""
    path = resolve_model(name)
    model = load_causal_lm(path)
    tokenizer = load_tokenizer(path, model.config.vocab_size)
    max_length = max_length or model.config.max_position_embeddings
    token_ids = tokenizer.encode_ids(texts)
    documents = [ScoredDocument(ids, len(text.encode())) for ids, text in zip(token_ids, texts, strict=True)]
    end = tokenizer.eos_token_id
    likelihood = score_documents(model.to(device), documents, eos_token_id=end, max_length=max_length)
    return {
        "bits": likelihood.nats / log(2),
        "num_tokens": likelihood.num_tokens,
        "max_length": max_length,
        "parameters": model.num_parameters(),
        "decoded": tokenizer.batch_decode(token_ids),
    }


def count_spacing_bits(texts: list[str], decoded: list[str]) -> float | None:
    """Bits that tell where blanks stood, for one who has the decoded texts; None where more than blanks differ."""
    counts: Counter[tuple[str, str, bool, bool]] = Counter()
    bits = 0.0
    for text, other in zip(texts, decoded, strict=True):
        if "".join(text.split()) != "".join(other.split()):
            return None
        for (left, right, has_blank), (_, _, expects_blank) in zip(find_gaps(text), find_gaps(other), strict=True):
            context = (left, right, expects_blank)
            seen = counts[*context, has_blank], counts[*context, not has_blank]
            bits -= log2((seen[0] + 0.5) / (sum(seen) + 1))
            counts[*context, has_blank] += 1
    return bits


def find_gaps(text: str) -> list[tuple[str, str, bool]]:
    """Between each two characters of a text that are not blank: their kinds, and whether there is a blank."""
    gaps = []
    last, has_blank = "", False
    for character in text:
        if character.isspace():
            has_blank = True
            continue
        kind = "a" if character.isalpha() else "0" if character.isdigit() else character
        if last:
            gaps.append((last, kind, has_blank))
        last, has_blank = kind, False
    return gaps


def join(texts: Sequence[str]) -> bytes:
    return "\n".join(texts).encode()


def compress_primed(texts: Sequence[str], training: Sequence[str], num_bytes: int) -> float:
    """Bits that xz takes for texts behind `num_bytes` of training text."""
    before = join(training)[:num_bytes] + b"\n"
    lengths = [len(lzma.compress(part, filters=XZ_FILTERS)) for part in (before, before + join(texts))]
    return 8.0 * (lengths[1] - lengths[0])


def check_sums(model: NgramModel, stream: np.ndarray, order: int) -> float:
    """How far the probabilities after contexts are from adding up to 1, at most; contexts seen, unseen and mixed."""
    generator = np.random.default_rng(0)
    contexts = [stream[place : place + order - 1] for place in generator.integers(0, len(stream) - order, 10)]
    contexts += list(generator.integers(0, model.num_symbols, (10, order - 1)))
    return float(max(abs(model.distribution(context).sum() - 1) for context in contexts))


def measure_yardsticks(
    texts: list[str], training: list[str], arguments: argparse.Namespace
) -> tuple[dict[str, float], dict[str, float]]:
    """Bits of each yardstick for the texts, and how far each n-gram model's probabilities are from adding up to 1."""
    sums: dict[str, float] = {}

    def use_bytes() -> float:
        model = ByteModel(training, arguments.byte_order)
        sums["byte"] = check_sums(model.ngrams, to_bytes(texts), arguments.byte_order)
        return model.bits(texts)

    def use_words() -> float:
        model = WordModel(training, arguments.word_order, arguments.byte_order)
        sums["word"] = check_sums(model.ngrams, model.to_symbols(texts), arguments.word_order)
        return model.bits(texts)

    primed_bytes = round(arguments.prime_megabytes * 1e6)
    yardsticks: dict[str, Callable[[], float]] = {
        "zlib -9": lambda: 8.0 * len(zlib.compress(join(texts), 9)),
        "xz -9e": lambda: 8.0 * len(lzma.compress(join(texts), preset=9 | lzma.PRESET_EXTREME)),
        f"xz -9e after {arguments.prime_megabytes:g} MB of training text": lambda: compress_primed(
            texts, training, primed_bytes
        ),
        f"byte {arguments.byte_order}-gram": use_bytes,
        f"word {arguments.word_order}-gram": use_words,
    }
    bits = {}
    for name, measure in yardsticks.items():
        begin = time.process_time()
        bits[name] = measure()
        print(f"{name}: {bits[name]:,.0f} bits, {time.process_time() - begin:.0f} s", file=sys.stderr)
    return bits, sums


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini", help="a bundled model, a directory or a hub id")
    parser.add_argument("--corpus", type=Path, required=True, help="the prepared corpus")
    parser.add_argument("--sources", type=Path, nargs="+", required=True, help="the files it was prepared from")
    parser.add_argument("--max-length", type=int, help="the model's window in tokens; by default all its positions")
    parser.add_argument("--device", default="cpu", help="where the model runs")
    parser.add_argument("--prime-megabytes", type=float, default=20, help="training text that xz sees first")
    parser.add_argument("--byte-order", type=int, default=5, help="n of the byte n-grams")
    parser.add_argument("--word-order", type=int, default=5, help="n of the word n-grams")
    parser.add_argument("--output", type=Path, help="where to write instead")
    arguments = parser.parse_args()

    corpus = Corpus.open(arguments.corpus)
    texts = list(corpus.heldout_texts())
    training = read_training_texts(corpus, arguments.sources)
    scored = score_model(arguments.model, corpus, texts, arguments.max_length, arguments.device)
    decoded = scored.pop("decoded")
    spacing_bits = count_spacing_bits(texts, decoded)
    model_bits = scored["bits"]
    print(f"model: {model_bits:,.0f} bits; blanks: {spacing_bits} bits", file=sys.stderr)

    num_bytes = {AS_WRITTEN: count_bytes(texts), DECODED: count_bytes(decoded)}
    rows: dict[str, dict[str, float]] = {AS_WRITTEN: {}, DECODED: {}}
    rows[AS_WRITTEN], sums = measure_yardsticks(texts, training, arguments)
    training = decode_training_texts(corpus, load_tokenizer(corpus.tokenizer_path, corpus.vocabulary_size))
    rows[DECODED], decoded_sums = measure_yardsticks(decoded, training, arguments)
    for bits in rows.values():
        bits["model"] = model_bits
    if spacing_bits is not None:
        rows[AS_WRITTEN]["model and blanks"] = model_bits + spacing_bits
    bits_per_byte = {
        form: {name: round(one / num_bytes[form], 4) for name, one in bits.items()} for form, bits in rows.items()
    }
    path = write_result(
        "bits_per_byte",
        {
            "model": arguments.model if "/" not in arguments.model else Path(arguments.model).name,
            "scored": scored | {"bits": round(model_bits)},
            "corpus": {name: value for name, value in corpus.summary.items() if name.startswith("num_")},
            "heldout_bytes": num_bytes,
            "same_after_decoding": sum(one == other for one, other in zip(texts, decoded, strict=True)),
            "ngram_sums_off_by_at_most": {AS_WRITTEN: sums, DECODED: decoded_sums},
            "bits_per_byte": bits_per_byte,
        },
        arguments.output,
    )
    print_table(bits_per_byte, num_bytes)
    print(f"Written to {path}", file=sys.stderr)


def print_table(bits_per_byte: dict[str, dict[str, float]], num_bytes: dict[str, int]) -> None:
    table = Table(title="Bits per byte of the held-out documents")
    table.add_column("")
    for form in bits_per_byte:
        table.add_column(f"{form}, {num_bytes[form]:,} bytes", justify="right")
    names = dict.fromkeys(name for form in bits_per_byte.values() for name in form)
    for name in names:
        figures = [form.get(name) for form in bits_per_byte.values()]
        table.add_row(name, *("" if figure is None else f"{figure:.3f}" for figure in figures))
    Console(width=110).print(table)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
