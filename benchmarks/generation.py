"""What a model writes after 50 biomedical terms, measured, beside held-out abstracts on the same terms.

    python benchmarks/generation.py --sources FILE... --work DIR [--model mini]
    python benchmarks/generation.py --sources FILE... --work DIR --draw

The first command lets the model continue each term of generation_terms.json: once by beam search with the paper's
settings, and by sampling with the package's default settings and several seeds. It writes the figures to
benchmarks/results/generation.json, and all texts to generation_samples.jsonl beside it. The sources are the files that
`mini` was trained on. The work directory keeps what was written, by the model's weights, and the prepared documents: a
run that was killed goes on by the same command. Another pair of result files is written with --name.

What is measured, over the first 60 words of each text, its term included, so that texts of any length compare:

- repetition: how many 4-grams of a text stood in it before; and how many whole texts end in a loop, which is the same
  block of words three times in a row;
- distinct 1-, 2- and 3-grams of 50 texts, one for each term;
- copies: how many of a text's spans of 8 words stand in the training documents word by word, and the longest such span;
- relatedness of the first sentence. A name is one of the bundled MeSH lexicon. The training documents relate it to the
  term if the two share a sentence in at least 3 documents, and share sentences at least twice as often as by chance; in
  a narrower sense, eight times as often. The control holds the same sentences against all other terms, and against
  those of the same kind.

The second command drew the terms by a fixed seed, before any text was written: names of chemicals, diseases, and genes
or proteins that the training sets of BC5CDR and BC2GM mark, by how many of the corpus's training documents have them in
title or abstract, in three ranges; each also in a held-out document.
"""

import argparse
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from generation_measures import (
    SPAN_WORDS,
    CoOccurrences,
    Copies,
    CopyFinder,
    Dictionary,
    Sentence,
    distinct,
    ends_in_loop,
    repetition,
    sentences_of,
    words_of,
)
from record import RESULTS, ROOT, write_result
from task_data import DIRECTORIES

from biogpt import load_task
from biogpt.evaluation.intervals import bootstrap
from biogpt.extraction.lexicons import load_lexicon
from biogpt.files import dump_json, write_atomically
from biogpt.progress import track
from biogpt.tasks.metrics import Counts, ratio
from biogpt.training.corpus import stages
from biogpt.training.corpus.jobs import JobBoard

TERMS = ROOT / "benchmarks" / "generation_terms.json"
FIELDS = ("title", "abstract", "body")
KINDS = {"chemical": "bc5cdr_chem", "disease": "bc5cdr_disease", "gene or protein": "bc2gm"}
"""Kind of term -> the task whose training set marks such names."""

TYPES = ("Chemical", "Disease", "Protein")
"""Of the lexicon: what a sentence can name."""

RANGES = ((20, 99), (100, 499), (500, 10**9))
"""In how many training documents a term stands."""

NUM_TERMS = ((6, 6, 5), (6, 6, 5), (6, 6, 4))
"""How many of each kind and range."""

SEED = 16
NUM_WORDS = 60
NUM_HELDOUT = 5
"""Held-out abstracts for each term, at most."""

SEEDS = (0, 1, 2, 3, 4)
WAYS = ("beam", "sampling")
BEAM = {"num_beams": 5, "min_new_tokens": 100, "max_new_tokens": 1024}
"""The paper's."""

BOUNDS = {"related": (3, 1.0), "closely_related": (3, 3.0)}
"""Documents that name both in a sentence, at least, and bits of pointwise mutual information, at least."""


Rows = list[dict[str, float]]
"""For each term, what was counted in its texts."""


@dataclass(frozen=True)
class Term:
    """What the model continues."""

    text: str
    identifier: str
    kind: str


@dataclass(frozen=True)
class Text:
    """One text that begins with, or is about, a term."""

    term: Term
    words: list[str]
    """All of them, those of the term included."""
    sentence: Sentence
    """The first one."""


def prepare(sources: Sequence[Path], work: Path) -> stages.Selection:
    """The documents that preparing the corpus of `mini` selects, its bodies included, the held-out ones first."""
    work.mkdir(parents=True, exist_ok=True)
    with JobBoard(1, progress=True) as board:
        stages.read_sources(sorted(sources), FIELDS, 1.0, work, board)
        stages.select(len(sources), 0.01, 0.7, work, board)
    return stages.Selection.open(work)


def lexicon_dictionary(terms: Sequence[Term] = ()) -> Dictionary:
    """The terms, and the lexicon's names: first what annotators chose most often, then main names, then others."""
    names = [name for name in load_lexicon("mesh").names if name.type in TYPES and name.rank != "related"]
    order = {"label": 1, "exact": 2}
    names.sort(key=lambda name: (order[name.rank], 0) if name.rank in order else (0, -int(name.rank)))
    own = [(term.identifier, term.text) for term in terms]
    return Dictionary([*own, *((name.identifier, name.name) for name in names)])


def annotated_names(data: Path) -> dict[str, str]:
    """Names that the training sets mark at least twice, as one kind only; in their usual spelling, with the kind."""
    marked: dict[str, Counter[tuple[str, str]]] = {}
    for kind, task in KINDS.items():
        for example in load_task(task).read(data / DIRECTORIES[task], "train"):
            for item in example.items:
                name = item.slots["mention"].replace(" - ", "-")  # the sets have blanks around each sign
                if re.fullmatch(r"[\w -]+", name):
                    marked.setdefault(" ".join(words_of(name)), Counter())[kind, name] += 1
    names = {}
    for spellings in marked.values():
        if spellings.total() >= 2 and len({kind for kind, _ in spellings}) == 1:
            kind, name = max(sorted(spellings), key=spellings.__getitem__)
            names[name] = kind
    return names


def draw(selection: stages.Selection, data: Path) -> None:
    """Write the list of terms."""
    names = annotated_names(data)
    dictionary = Dictionary((name, name) for name in names)
    counts: Counter[str] = Counter()
    heldout: Counter[str] = Counter()
    documents = track(selection.documents(0, len(selection.rows)), "Counting names", len(selection.rows))
    for number, document in enumerate(documents):
        sentences = sentences_of(document.text())
        named = {mention.identifier for sentence in sentences for mention in dictionary.find_longest(sentence)}
        (counts if number >= selection.num_heldout else heldout).update(named)
    identifiers = lexicon_dictionary()
    best: dict[str, tuple[int, str]] = {}  # identifier -> its most frequent name
    for name in names:
        if heldout[name]:
            (sentence,) = sentences_of(name)
            whole = [one for one in identifiers.find_longest(sentence) if one.length == len(sentence.words)]
            identifier = whole[0].identifier if whole else name
            best[identifier] = max(best.get(identifier, (0, "")), (counts[name], name))
    generator = np.random.default_rng(SEED)
    terms = []
    for place_of_kind, kind in enumerate(KINDS):
        for place, (least, most) in enumerate(RANGES):
            there = sorted(
                (name, identifier, count)
                for identifier, (count, name) in best.items()
                if names[name] == kind and least <= count <= most
            )
            size = NUM_TERMS[place_of_kind][place]
            print(f"{kind}: {size} of {len(there)} names in {least} to {most} documents", file=sys.stderr)
            for index in sorted(generator.permutation(len(there))[:size].tolist()):
                name, identifier, count = there[index]
                first = name.split()[0]
                text = name[0].upper() + name[1:] if first.islower() else name  # as a text begins; but mTOR
                term = {"term": text, "kind": kind, "identifier": identifier}
                terms.append(term | {"num_documents": count})
    TERMS.write_text(json.dumps({"seed": SEED, "terms": terms}, indent=1) + "\n", encoding="utf-8")


def read_terms() -> list[Term]:
    """The fixed list."""
    terms = json.loads(TERMS.read_text(encoding="utf-8"))["terms"]
    return [Term(one["term"], one["identifier"], one["kind"]) for one in terms]


def digest_of(model: str) -> str:
    """Of the weights: tells whether they are the same."""
    from biogpt.model.checkpoint import resolve_model

    seen = hashlib.sha256()
    for file in sorted(path for path in resolve_model(model).iterdir() if path.suffix in (".safetensors", ".bin")):
        seen.update(file.read_bytes())
    return seen.hexdigest()[:16]


def write_texts(model: str, terms: Sequence[Term], path: Path) -> list[dict[str, Any]]:
    """What the model writes after each term, as records. Those that are in the file are not made again."""
    from biogpt import Engine

    done = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    records = {(one["term"], one["way"], one["seed"]): one for one in done}
    ways: list[tuple[str, int | None, dict[str, Any]]] = [("beam", None, BEAM)]
    ways += [("sampling", seed, {"seed": seed}) for seed in SEEDS]
    engine = None
    for way, seed, settings in ways:
        for term in track(terms, f"{way} {'' if seed is None else seed}"):
            key = (term.text, way, seed)
            if key in records:
                continue
            engine = engine or Engine.from_pretrained(model)
            (completion,) = engine.generate(term.text, **settings)
            records[key] = {
                "term": term.text,
                "kind": term.kind,
                "way": way,
                "seed": seed,
                "text": completion.text,
                "num_tokens": len(completion.token_ids),
                "stop_reason": completion.stop_reason,
            }
            write_atomically(path, "".join(dump_json(one) + "\n" for one in records.values()))
    return [records[term.text, way, seed] for way, seed, _ in ways for term in terms]


def text_of(term: Term, whole: str) -> Text:
    """A text with its first sentence, which says more than the term, as far as its first words go."""
    sentences = sentences_of(whole)
    raw, words = list(sentences[0].raw), list(sentences[0].words)
    if len(words) <= len(words_of(term.text)) and len(sentences) > 1:
        raw, words = raw + sentences[1].raw, words + sentences[1].words
    return Text(term, words_of(whole), Sentence(raw[:NUM_WORDS], words[:NUM_WORDS]))


def find_heldout(selection: stages.Selection, terms: Sequence[Term], dictionary: Dictionary) -> list[Text]:
    """The first held-out abstracts that name each term, from the sentence that does."""
    found: dict[str, list[Text]] = {term.text: [] for term in terms}
    by_identifier = {term.identifier: term for term in terms}
    for document in selection.documents(0, selection.num_heldout):
        sentences = sentences_of(document.text())
        seen: set[str] = set()
        for number, sentence in enumerate(sentences):
            for mention in dictionary.find_all(sentence):
                term = by_identifier.get(mention.identifier)
                if term and term.text not in seen and len(found[term.text]) < NUM_HELDOUT:
                    seen.add(term.text)
                    words = [word for later in sentences[number:] for word in later.words]
                    found[term.text].append(
                        Text(term, words, Sentence(sentence.raw[:NUM_WORDS], sentence.words[:NUM_WORDS]))
                    )
    return [text for texts in found.values() for text in texts]


@dataclass
class Names:
    """Finds names in first sentences, and tells what the training documents relate them to."""

    dictionary: Dictionary
    counts: CoOccurrences | None = None

    def beside(self, text: Text) -> dict[str, tuple[str, ...]]:
        """The identifiers that a text's first sentence names, with their words. Not the term or its parts."""
        names: dict[str, tuple[str, ...]] = {}
        for mention in self.dictionary.find_longest(text.sentence):
            words = tuple(text.sentence.words[mention.first : mention.first + mention.length])
            if not is_same(mention.identifier, words, text.term):
                names.setdefault(mention.identifier, words)
        return names

    def related(self, names: Mapping[str, Sequence[str]], term: Term, limits: tuple[int, float]) -> list[str]:
        """Those of the names that are related to a term."""
        counts = self.counts
        return [
            identifier
            for identifier, words in names.items()
            if counts
            and not is_same(identifier, words, term)
            and counts.are_related(term.identifier, identifier, *limits)
        ]


def is_same(identifier: str, words: Iterable[str], term: Term) -> bool:
    """Whether a name stands for the term, is part of it, or has it as a part."""
    own, given = set(words_of(term.text)), set(words)
    return identifier == term.identifier or given <= own or given >= own


def count_rows(texts: Sequence[Text], copies: Sequence[Copies], terms: Sequence[Term], names: Names) -> Rows:
    """For each term the sums over its texts of what `figures_of` divides."""
    rows: dict[str, dict[str, float]] = {term.text: defaultdict(float) for term in terms}
    for text, copied in zip(texts, copies, strict=True):
        row = rows[text.term.text]
        row["texts"] += 1
        row["repeated"] += repetition(text.words[:NUM_WORDS])[0]
        row["4grams"] += repetition(text.words[:NUM_WORDS])[1]
        row["repeated_whole"] += repetition(text.words)[0]
        row["4grams_whole"] += repetition(text.words)[1]
        row["loops"] += ends_in_loop(text.words)
        row["copied"] += copied.num_copied
        row["spans"] += copied.num_spans
        row["with_copy"] += copied.num_copied > 0
        beside = names.beside(text)
        row["naming"] += bool(beside)
        for bound, limits in BOUNDS.items():
            row[bound] += bool(names.related(beside, text.term, limits))
            others = [term for term in terms if term != text.term]
            hits = {term: bool(names.related(beside, term, limits)) for term in others}
            row[f"{bound}_to_others"] += ratio(sum(hits.values()), len(hits))
            own = [hit for term, hit in hits.items() if term.kind == text.term.kind]
            row[f"{bound}_to_others_of_the_kind"] += ratio(sum(own), len(own))
    return list(rows.values())


def figures_of(row: Mapping[str, float]) -> dict[str, float]:
    """The figures that sums over terms give."""
    figures = {
        "repeated_4grams": ratio(row["repeated"], row["4grams"]),
        "repeated_4grams_of_whole_texts": ratio(row["repeated_whole"], row["4grams_whole"]),
        "ending_in_a_loop": ratio(row["loops"], row["texts"]),
        "copied_spans": ratio(row["copied"], row["spans"]),
        "with_a_copied_span": ratio(row["with_copy"], row["texts"]),
        "naming_something": ratio(row["naming"], row["texts"]),
    }
    for bound in BOUNDS:
        figures[bound] = ratio(row[bound], row["texts"])
        for control in ("to_others", "to_others_of_the_kind"):
            figures[f"{bound}_{control}"] = ratio(row[f"{bound}_{control}"], row["texts"])
            figures[f"{bound}_above_{control}"] = figures[bound] - figures[f"{bound}_{control}"]
    return figures


def with_intervals(rows: Rows) -> dict[str, Any]:
    """The figures in percent, each with its 95 % bootstrap interval over terms."""
    columns = sorted(set().union(*rows))
    counts = Counts(
        [tuple(row[column] for column in columns) for row in rows],
        lambda sums, _: figures_of(dict(zip(columns, sums, strict=True))),
    )
    intervals = bootstrap(counts)
    return {
        name: {"percent": round(100 * value, 2), "interval": [round(100 * end, 2) for end in intervals[name]]}
        for name, value in counts.figures().items()
    }


def measure(model: str, sources: Sequence[Path], work: Path, name: str) -> None:
    """Let the model write, and write figures and samples."""
    terms = read_terms()
    selection = prepare(sources, work / "documents")
    digest = digest_of(model)
    records = write_texts(model, terms, work / f"texts-{digest}.jsonl")
    names = Names(lexicon_dictionary(terms))
    by_text = {term.text: term for term in terms}
    texts = [text_of(by_text[record["term"]], record["term"] + record["text"]) for record in records]
    groups = {way: [text for text, record in zip(texts, records, strict=True) if record["way"] == way] for way in WAYS}
    groups["heldout"] = find_heldout(selection, terms, names.dictionary)
    everything = [text for group in groups.values() for text in group]

    wanted = {identifier for text in everything for identifier in names.beside(text)}
    own = frozenset(term.identifier for term in terms)
    names.counts = CoOccurrences(names.dictionary.only(wanted | own), own)
    finder = CopyFinder([text.words[:NUM_WORDS] for text in everything])
    num_training = len(selection.rows) - selection.num_heldout
    for document in track(selection.documents(selection.num_heldout, len(selection.rows)), "Reading", num_training):
        sentences = sentences_of(document.text(FIELDS))
        names.counts.read(sentences)
        finder.read([word for sentence in sentences for word in sentence.words])
    copies = finder.finish()

    result: dict[str, Any] = {
        "model": Path(model).name,
        "weights": digest,
        "num_terms": len(terms),
        "num_words_compared": NUM_WORDS,
        "span_words": SPAN_WORDS,
        "bounds": {bound: {"documents": least, "bits": bits} for bound, (least, bits) in BOUNDS.items()},
        "settings": {"beam": BEAM, "sampling": {"seeds": list(SEEDS)}},
        "corpus": {
            "num_train_documents": num_training,
            "num_heldout_documents": selection.num_heldout,
            "num_sentences": names.counts.num_sentences,
        },
    }
    first = 0
    for way, group in groups.items():
        copied = copies[first : first + len(group)]
        first += len(group)
        lengths = sorted(len(one.longest) for one in copied)
        result[way] = {
            "num_texts": len(group),
            "mean_words": round(sum(len(text.words) for text in group) / len(group), 1),
            "distinct": distinct_of(group),
            "longest_copied_words": {"median": lengths[len(lengths) // 2], "most": lengths[-1]},
            **with_intervals(count_rows(group, copied, terms, names)),
        }
    write_result(name, result)
    print_table(result)
    lines = [
        dump_json(record | describe(text, copied, names)) + "\n"
        for record, text, copied in zip(records, texts, copies, strict=False)  # the held-out ones are not ours
    ]
    write_atomically(RESULTS / f"{name}_samples.jsonl", "".join(lines))


ROWS = {
    "repeated_4grams": "4-grams that stood in the text before",
    "repeated_4grams_of_whole_texts": "the same, of whole texts",
    "ending_in_a_loop": "whole texts that end in a loop",
    "distinct": "distinct 1-, 2- and 3-grams of 50 texts, one for each term",
    "copied_spans": "spans of 8 words that stand in a training document",
    "with_a_copied_span": "texts with such a span",
    "longest_copied_words": "number of words of the longest one (0: below 8): median, most",
    "naming_something": "first sentences that name something beside the term",
    "related": "... something related to the term",
    "related_to_others": "... to another term (control)",
    "related_to_others_of_the_kind": "... to another term of the same kind (control)",
    "closely_related": "... something closely related to the term",
    "closely_related_to_others": "... to another term (control)",
    "closely_related_to_others_of_the_kind": "... to another term of the same kind (control)",
}


def print_table(result: Mapping[str, Any]) -> None:
    """The figures as a table of docs/reproduce.md."""
    print("| % of | beam search | sampling | held-out abstracts |\n|---|---:|---:|---:|")
    for figure, title in ROWS.items():
        cells = []
        for way in (*WAYS, "heldout"):
            found = result[way][figure]
            if "percent" in found:
                ends = " to ".join(f"{end:.1f}" for end in found["interval"])
                cells.append(f"{found['percent']:.1f} ({ends})")
            else:
                cells.append(
                    ", ".join(f"{value:.1f}" if figure == "distinct" else str(value) for value in found.values())
                )
        print(f"| {title} | {' | '.join(cells)} |")


def distinct_of(texts: Sequence[Text]) -> dict[str, Any]:
    """The share of distinct n-grams in one text for each term, in percent; where there are several, their mean."""
    sets: dict[int, dict[Term, list[str]]] = {}
    seen: Counter[Term] = Counter()
    for text in texts:
        sets.setdefault(seen[text.term], {})[text.term] = text.words[:NUM_WORDS]
        seen[text.term] += 1
    whole = [one.values() for one in sets.values() if len(one) == len(seen)]
    shares = {str(length): [ratio(*distinct(words, length)) for words in whole] for length in (1, 2, 3)}
    return {length: round(100 * sum(values) / len(values), 2) for length, values in shares.items()}


def describe(text: Text, copies: Copies, names: Names) -> dict[str, Any]:
    """What a sample's reader wants to know beside its text."""
    beside = names.beside(text)
    related = {bound: names.related(beside, text.term, limits) for bound, limits in BOUNDS.items()}
    return {
        "names": sorted(" ".join(words) for words in beside.values()),
        **{bound: sorted(" ".join(beside[one]) for one in found) for bound, found in related.items()},
        "longest_copied": " ".join(copies.longest),
    }


def main() -> None:
    """Draw the terms, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, nargs="+", required=True, help="the corpus's files")
    parser.add_argument("--work", type=Path, required=True, help="where texts and prepared documents are kept")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--name", default="generation", help="of the result files")
    parser.add_argument("--draw", action="store_true", help="draw the terms anew")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="data sets, for --draw")
    arguments = parser.parse_args()
    missing = [str(path) for path in arguments.sources if not path.is_file()]
    if missing:
        parser.error(f"There is no file {missing[0]}.")
    if arguments.draw:
        draw(prepare(arguments.sources, arguments.work / "documents"), arguments.data)
    else:
        measure(arguments.model, arguments.sources, arguments.work, arguments.name)


if __name__ == "__main__":
    main()
