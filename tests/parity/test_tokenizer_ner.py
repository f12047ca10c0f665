"""Token classification with our tokenizer: transformers' pipeline, and the usual alignment of labels with words.

On test splits of the NER sets, with the gold labels in the place of a model's answers: what comes back has to be the
gold entities, to the character.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TokenClassificationPipeline
from transformers.modeling_outputs import TokenClassifierOutput
from transformers.pipelines.token_classification import AggregationStrategy

from biogpt import BioGptConfig, BioGptForTokenClassification, BioGptTokenizer

SETS = ["BC2GM", "BC5CDR-chem", "BC5CDR-disease", "JNLPBA", "NCBI-disease"]
NUM_SENTENCES = 400
pytestmark = [
    pytest.mark.parametrize("released_files", ["BioGPT"], indirect=True),
    # What the pipeline says of every tokenizer that marks the ends of words rather than their insides.
    pytest.mark.filterwarnings("ignore:Tokenizer does not support real words:UserWarning"),
]

Span = tuple[int, int, str]


@pytest.fixture(scope="module", params=SETS)
def sentences(request: pytest.FixtureRequest, data_path: Path) -> list[tuple[list[str], list[str]]]:
    """The first sentences of a test split: words and their tags, B-, I- and O."""
    text = (data_path / "ner" / request.param / "test.tsv").read_text(encoding="utf-8")
    rows = [[line.split("\t") for line in block.split("\n")] for block in text.strip().split("\n\n")]
    return [([word for word, _ in sentence], [tag for _, tag in sentence]) for sentence in rows[:NUM_SENTENCES]]


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
    """Knows the gold labels of the texts that it is asked about: stands for a model that has learned them."""

    def learn(self, ids: list[int], labels: list[int]) -> None:
        logits = torch.nn.functional.one_hot(torch.tensor(labels), self.num_labels) * 20.0  # (T, L)
        self.answers = {**getattr(self, "answers", {}), tuple(ids): logits}

    def forward(self, input_ids: torch.Tensor, **_: object) -> TokenClassifierOutput:
        return TokenClassifierOutput(logits=torch.stack([self.answers[tuple(ids)] for ids in input_ids.tolist()]))


def make_pipeline(tokenizer: BioGptTokenizer, model_class: type[BioGptForTokenClassification], kinds: list[str]):
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


def gold_tags(text: str, offsets: list[tuple[int, int]], entities: list[Span], by_words: bool) -> list[str]:
    """The tag of each token, by its place in the text; B for the first token of an entity, or of its first word all."""
    tags = []
    for start, end in offsets:
        tag = "O"
        for first, last, kind in entities:
            if first < end and start < last:
                is_first = " " not in text[first:start] if by_words else start == first
                tag = f"{'B' if is_first else 'I'}-{kind}"
        tags.append(tag)
    return tags


def spans_of(found: list[dict[str, Any]]) -> list[Span]:
    """Entities as the pipeline gives them. Where those are single tokens, they are put together by their tags."""
    spans: list[Span] = []
    for entity in found:
        tag = entity.get("entity") or "B-" + entity["entity_group"]
        if tag.startswith("B"):
            spans.append((entity["start"], entity["end"], tag[2:]))
        else:
            spans[-1] = (spans[-1][0], entity["end"], tag[2:])
    return spans


@pytest.mark.parametrize("strategy", list(AggregationStrategy))
def test_the_pipeline_gives_back_the_gold_entities(ours, sentences, strategy):
    kinds = sorted({tag[2:] for _, tags in sentences for tag in tags if tag != "O"})
    pipe = make_pipeline(ours, Oracle, kinds)
    texts, gold = zip(*(entities_of(words, tags) for words, tags in sentences), strict=True)
    encodings = ours(list(texts), return_offsets_mapping=True)
    by_words = strategy not in (AggregationStrategy.NONE, AggregationStrategy.SIMPLE)
    for text, entities, ids, offsets in zip(texts, gold, encodings.input_ids, encodings.offset_mapping, strict=True):
        tags = gold_tags(text, offsets, entities, by_words)
        pipe.model.learn(ids, [pipe.model.config.label2id[tag] for tag in tags])
    found = pipe(list(texts), aggregation_strategy=strategy)
    assert sum(map(len, gold)) > 100
    assert [spans_of(entities) for entities in found] == list(gold)
    for text, entities in zip(texts, found, strict=True):
        for entity in entities:
            if strategy != AggregationStrategy.NONE:
                assert entity["word"].replace(" ", "") == text[entity["start"] : entity["end"]].replace(" ", "")


@pytest.mark.parametrize("sentences", ["NCBI-disease"], indirect=True)
def test_a_real_model_and_a_long_text(ours, sentences, monkeypatch):
    """Whatever a model with random weights finds: places are the text's, also where the text is read in parts."""
    pipe = make_pipeline(ours, BioGptForTokenClassification, ["thing"])
    monkeypatch.setattr(ours, "model_max_length", 64)
    text = " ".join(word for words, _ in sentences[:8] for word in words)
    for strategy in list(AggregationStrategy)[1:]:
        found = pipe(text, aggregation_strategy=strategy, stride=16)
        assert found
        for entity in found:
            assert text[entity["start"] : entity["end"]].strip()
            assert 0 <= entity["start"] < entity["end"] <= len(text)
    assert found[-1]["end"] > len(text) // 2


def test_labels_aligned_with_words_by_word_ids(ours, sentences):
    """As a training script does it: the first token of each word gets the label, the others and the separator -100."""
    encodings = ours([words for words, _ in sentences], is_split_into_words=True, return_offsets_mapping=True)
    for index, (words, tags) in enumerate(sentences):
        labels: list[str | int] = []
        before = None
        for number in encodings.word_ids(index):
            labels.append(-100 if number is None or number == before else tags[number])
            before = number
        assert len(labels) == len(encodings.input_ids[index])
        assert [label for label in labels if label != -100] == tags  # no word is without a token
        pieces: list[list[str]] = [[] for _ in words]
        for number, (start, end) in zip(encodings.word_ids(index), encodings.offset_mapping[index], strict=True):
            if number is not None:
                pieces[number].append(words[number][start:end])
        for word, parts in zip(words, pieces, strict=True):
            assert "".join(parts) == word or "&" in word
