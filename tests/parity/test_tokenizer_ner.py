"""Token classification with our tokenizer: a sample of tokenizer_entities.py, and a model with long texts."""

from pathlib import Path

import pytest
import tokenizer_entities
from transformers.pipelines.token_classification import AggregationStrategy

from biogpt import BioGptForTokenClassification

NUM_SENTENCES = 40
# Unknown pieces within a word of an entity, signs that are escaped, and the quotes that all of JNLPBA has.
SENTENCES = [
    (["type", "I", "or", "``", "steroid-like", "''", "receptors"], ["O", "O", "O", "B-P", "I-P", "I-P", "I-P"]),
    (["a", "TNF-α/β", "&", "β2-AR", "<0.5", "IL-2", "IL-4"], ["O", "B-P", "I-P", "I-P", "O", "B-P", "B-P"]),
]
pytestmark = [
    pytest.mark.parametrize("released_files", ["BioGPT"], indirect=True),
    # What the pipeline says of every tokenizer that marks the ends of words rather than their insides.
    pytest.mark.filterwarnings("ignore:Tokenizer does not support real words:UserWarning"),
]


@pytest.fixture(scope="module", params=tokenizer_entities.SETS)
def sentences(request: pytest.FixtureRequest, data_path: Path) -> list[tokenizer_entities.Sentence]:
    """The first sentences of a test split."""
    return tokenizer_entities.read_sentences(data_path / "ner" / request.param / "test.tsv")[:NUM_SENTENCES]


@pytest.mark.parametrize("as_words", [False, True])
@pytest.mark.parametrize("strategy", list(AggregationStrategy))
def test_the_pipeline_gives_back_the_gold_entities(ours, sentences, strategy, as_words):
    assert sum(len(tokenizer_entities.entities_of(*sentence)[1]) for sentence in sentences) > 15
    assert tokenizer_entities.count_wrong_entities(ours, sentences, strategy, as_words) == 0


@pytest.mark.parametrize("as_words", [False, True])
@pytest.mark.parametrize("strategy", list(AggregationStrategy))
def test_unknown_pieces_and_signs(ours, strategy, as_words):
    assert ours.unk_token_id in ours(" ".join(SENTENCES[0][0])).input_ids
    assert tokenizer_entities.count_wrong_entities(ours, SENTENCES, strategy, as_words) == 0
    assert tokenizer_entities.count_wrong_labels(ours, SENTENCES) == 0


def test_a_wrong_place_is_noticed(ours, monkeypatch, capsys):
    monkeypatch.setattr(tokenizer_entities, "entities_of", lambda words, _: (" ".join(words), [(0, 4, "P")]))
    count = tokenizer_entities.count_wrong_entities(ours, SENTENCES, AggregationStrategy.SIMPLE)
    assert count == 1  # (0, 4) is "type" in the one and "a TN" in the other
    assert "expected" in capsys.readouterr().out


@pytest.mark.parametrize("sentences", ["NCBI-disease"], indirect=True)
def test_a_real_model_and_a_long_text(ours, sentences, monkeypatch):
    """Whatever a model with random weights finds: places are the text's, also where the text is read in parts."""
    pipe = tokenizer_entities.make_pipeline(ours, BioGptForTokenClassification, ["thing"])
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
    assert tokenizer_entities.count_wrong_labels(ours, sentences) == 0
