"""Token classification with BioGptTokenizer on every sentence of the named-entity sets.

    python tests/parity/tokenizer_entities.py --data ../shared/data

With the gold labels in the place of a model's answers, what transformers' pipeline gives back has to be the gold
entities, to the character: for every aggregation strategy, with sentences given as texts and as words. And labels
aligned with tokens by `word_ids`, as training scripts do it, have to be the gold labels. Takes about fifteen minutes on
one core. Prints a line for each set and strategy, exits with 1 if anything differs, and writes the numbers to
benchmarks/results/tokenizer_entities.json.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizer_exactness import ROOT, write_report
from transformers import TokenClassificationPipeline
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.pipelines.token_classification import AggregationStrategy

from biogpt import BioGptConfig, BioGptForTokenClassification, BioGptTokenizer
from biogpt.text import bpe

RESULT = ROOT / "benchmarks" / "results" / "tokenizer_entities.json"
SETS = ["BC2GM", "BC5CDR-chem", "BC5CDR-disease", "JNLPBA", "NCBI-disease"]

Span = tuple[int, int, str]
Sentence = tuple[list[str], list[str]]
"""Words and their tags: O, or B- or I- and the kind of entity."""


def read_sentences(path: Path) -> list[Sentence]:
    """The sentences of a file with a word and its tag on each line, and an empty line between sentences."""
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    rows = [[line.split("\t") for line in block.split("\n")] for block in blocks]
    return [([word for word, _ in sentence], [tag for _, tag in sentence]) for sentence in rows]


def entities_of(words: list[str], tags: list[str]) -> tuple[str, list[Span]]:
    """The words with single spaces between them, and the gold entities in that text."""
    entities: list[Span] = []
    start = 0
    before = "O"
    for word, tag in zip(words, tags, strict=True):
        kind = tag[2:]
        if tag[0] == "B" or (tag[0] == "I" and before[2:] != kind):
            entities.append((start, start + len(word), kind))
        elif tag[0] == "I":
            entities[-1] = (entities[-1][0], start + len(word), kind)
        start += len(word) + 1
        before = tag
    return " ".join(words), entities


class Oracle(BioGptForTokenClassification):
    """Answers with the labels that it was told: stands for a model that has learned them."""

    def tell(self, ids: list[int], labels: list[str]) -> None:
        """Set what the answer will be, and to what."""
        self.ids = ids
        numbers = torch.tensor([self.config.label2id[label] for label in labels])
        self.logits = torch.nn.functional.one_hot(numbers, self.num_labels)[None] * 20.0  # (1, T, L)

    def forward(self, input_ids: torch.Tensor, **_: object) -> TokenClassifierOutput:
        if input_ids.tolist() != [self.ids]:
            raise ValueError(f"told about {self.ids}, asked about {input_ids.tolist()}")
        return TokenClassifierOutput(logits=self.logits)


def make_pipeline(
    tokenizer: BioGptTokenizer, model_class: type[BioGptForTokenClassification], kinds: Sequence[str]
) -> TokenClassificationPipeline:
    """A pipeline with a small model of this class, whose labels are O, and B- and I- of each kind."""
    labels = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
    config = BioGptConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    torch.manual_seed(0)
    return TokenClassificationPipeline(model=model_class(config).eval(), tokenizer=tokenizer)


def gold_tags(
    text: str, places: Sequence[tuple[int, int]], unknown: Sequence[bool], entities: Sequence[Span], by_words: bool
) -> list[str]:
    """The tag of each token: B- where an entity begins, or `by_words` in all of its first word.

    A word is what the pipeline takes for one: what stands between spaces, but a token that is `unknown` begins another.
    """
    tags = []
    word_start = 0
    for (start, end), is_unknown in zip(places, unknown, strict=True):
        if is_unknown or start == 0 or " " in text[start - 1 : start + 1] or not by_words:
            word_start = start
        tag = "O"
        for first, last, kind in entities:
            if first < end and start < last:
                tag = f"{'B' if word_start == first else 'I'}-{kind}"
        tags.append(tag)
    return tags


def spans_of(found: Sequence[dict[str, Any]]) -> list[Span]:
    """Entities as the pipeline gives them. Where those are single tokens, they are put together by their tags."""
    spans: list[Span] = []
    for entity in found:
        tag = entity.get("entity") or "B-" + entity["entity_group"]
        if tag.startswith("B"):
            spans.append((entity["start"], entity["end"], tag[2:]))
        else:
            spans[-1] = (spans[-1][0], entity["end"], tag[2:])
    return spans


def find_entities(
    tokenizer: BioGptTokenizer, sentences: Sequence[Sentence], strategy: AggregationStrategy, as_words: bool
) -> Iterator[tuple[str, list[Span], list[dict[str, Any]]]]:
    """Each sentence's text, its gold entities, and what the pipeline makes of the gold labels.

    Args:
        tokenizer: encodes them.
        sentences: one at a time, because some stand twice in the sets, with different entities.
        strategy: how the pipeline puts tokens together.
        as_words: whether to give the pipeline the words and not the text.
    """
    pipe = make_pipeline(tokenizer, Oracle, sorted({tag[2:] for _, tags in sentences for tag in tags if tag != "O"}))
    by_words = strategy not in (AggregationStrategy.NONE, AggregationStrategy.SIMPLE)
    for words, tags in sentences:
        text, gold = entities_of(words, tags)
        if as_words:
            encoding = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
            starts = [len(" ".join(words[:number])) + (number > 0) for number in range(len(words))]
            shifts = [0 if number is None else starts[number] for number in encoding.word_ids()]
            places = [(a + by, b + by) for (a, b), by in zip(encoding.offset_mapping, shifts, strict=True)]
        else:
            encoding = tokenizer(text, return_offsets_mapping=True)
            places = encoding.offset_mapping
        unknown = [index == tokenizer.unk_token_id for index in encoding.input_ids]
        pipe.model.tell(encoding.input_ids, gold_tags(text, places, unknown, gold, by_words))
        given = {"inputs": words, "is_split_into_words": True} if as_words else {"inputs": text}
        found = pipe(**given, aggregation_strategy=strategy)
        yield text, gold, found[0] if as_words else found


def count_wrong_entities(
    tokenizer: BioGptTokenizer, sentences: Sequence[Sentence], strategy: AggregationStrategy, as_words: bool = False
) -> int:
    """Of how many sentences the pipeline's entities are not the gold ones, or their words not the text's; shows some.

    For the arguments see `find_entities`.
    """
    wrong = 0
    for text, gold, found in find_entities(tokenizer, sentences, strategy, as_words):
        are_words = strategy == AggregationStrategy.NONE or all(
            entity["word"].replace(" ", "") == text[entity["start"] : entity["end"]].replace(" ", "")
            for entity in found
        )
        if spans_of(found) != gold or not are_words:
            wrong += 1
            if wrong <= 3:
                print(f"{text}\n  expected {gold}\n  got      {found}")
    return wrong


def count_wrong_labels(tokenizer: BioGptTokenizer, sentences: Sequence[Sentence]) -> int:
    """Of how many sentences the labels aligned by `word_ids` are not the gold ones, or the pieces not the words'.

    Labels are aligned as training scripts do it: the first token of each word gets its label, the others and the
    separator -100.
    """
    encodings = tokenizer([words for words, _ in sentences], is_split_into_words=True, return_offsets_mapping=True)
    wrong = 0
    for index, (words, tags) in enumerate(sentences):
        labels: list[str | int] = []
        places: list[list[tuple[int, int]]] = [[] for _ in words]
        before = None
        for number, place in zip(encodings.word_ids(index), encodings.offset_mapping[index], strict=True):
            labels.append(-100 if number is None or number == before else tags[number])
            before = number
            if number is not None and place not in places[number]:  # pieces of an entity, as &amp;, have one place
                places[number].append(place)
        parts = ["".join(word[slice(*place)] for place in each) for word, each in zip(words, places, strict=True)]
        if [label for label in labels if label != -100] != tags or parts != words:
            wrong += 1
            if wrong <= 3:
                print(f"{words}\n  expected {tags}\n  got      {labels}, {parts}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="the folder of data sets")
    parser.add_argument("--vocabulary", default="BioGPT", choices=["BioGPT", "BioGPT-Large"])
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--splits", nargs="+", default=["train", "devel", "valid", "test"], help="which files")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)  # it would say at length that it knows no Oracle
    warnings.filterwarnings("ignore", "Tokenizer does not support real words")  # as with all that mark words' ends
    folder = arguments.data / "vocab" / arguments.vocabulary
    with tempfile.TemporaryDirectory() as directory:
        vocabulary = bpe.read_fairseq_vocabulary(folder / "dict.txt", folder / "bpecodes")
        tokenizer = BioGptTokenizer(*bpe.write_vocabulary(vocabulary, directory))
    rows: list[dict[str, Any]] = []

    def note(what: str, name: str, count: int, wrong: int) -> None:
        rows.append({"what": what, "texts": name, "count": count, "different": wrong})
        print(f"{name}, {what}: {wrong} of {count:,} sentences differ", flush=True)

    for name in arguments.sets:
        files = [arguments.data / "ner" / name / f"{split}.tsv" for split in arguments.splits]
        sentences = [sentence for path in files if path.exists() for sentence in read_sentences(path)]
        note("labels by word_ids", name, len(sentences), count_wrong_labels(tokenizer, sentences))
        for as_words in (False, True):
            for strategy in AggregationStrategy:
                wrong = count_wrong_entities(tokenizer, sentences, strategy, as_words)
                note(f"{strategy.value}, {'words' if as_words else 'text'}", name, len(sentences), wrong)
    write_report(arguments.output, "tokenizer_entities.py", rows)
    if any(row["different"] for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
