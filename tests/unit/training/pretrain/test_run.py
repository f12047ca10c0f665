"""What is refused before a model is built; the training itself is tested as real processes."""

from pathlib import Path

import pytest

from biogpt.documents import Article
from biogpt.errors import ConfigError
from biogpt.training.corpus.prepare import CorpusRecipe
from biogpt.training.pretrain.recipe import ModelRecipe, PretrainRecipe, TrainingRecipe
from biogpt.training.pretrain.run import resolve_config, run_recipe

TRAINING = TrainingRecipe(sequence_length=64, tokens_per_step=64)


def test_overrides_change_the_preset() -> None:
    config = resolve_config(ModelRecipe(preset="mini", overrides={"num_hidden_layers": 2}), TRAINING)
    assert (config.num_hidden_layers, config.hidden_size) == (2, 320)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ModelRecipe(overrides={"hiden_size": 8}), "Unknown setting 'model.hiden_size'.*'hidden_size'"),
        (ModelRecipe(overrides={"hidden_size": "wide"}), r"\[model\] is impossible"),
        (ModelRecipe(overrides={"vocab_size": 100}), "it follows from the corpus"),
        (ModelRecipe(overrides={"max_position_embeddings": 32}), "sequence_length = 64 for a model of 32 positions"),
        (ModelRecipe(overrides={"num_attention_heads": 7}), "multiple of num_attention_heads=7"),
        (ModelRecipe(start_from="mini", overrides={"num_hidden_layers": 2}), "num_hidden_layers = 2, expected 6"),
        (ModelRecipe(start_from="mini", overrides={"max_position_embeddings": 2048}), "expected 1024"),
    ],
)
def test_impossible_networks_are_refused_by_name(model: ModelRecipe, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        resolve_config(model, TRAINING)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("heldout_fraction", "sequence_length", "message"),
    [(0.0, 8, "holds no document out"), (0.5, 1024, "expected at least one sequence of 1024")],
)
def test_a_corpus_that_is_too_small_is_refused(
    tmp_path: Path, heldout_fraction: float, sequence_length: int, message: str
) -> None:
    texts = [Article(str(number), "", f"Abstract {number} tells of {number * 7} patients.") for number in range(12)]
    (tmp_path / "texts.txt").write_text("\n\n".join(document.abstract for document in texts))
    recipe = PretrainRecipe(
        output=tmp_path / "run",
        corpus=CorpusRecipe(
            sources=(str(tmp_path / "texts.txt"),), vocabulary_size=100, heldout_fraction=heldout_fraction
        ),
        model=ModelRecipe(preset="mini"),
        training=TrainingRecipe(sequence_length=sequence_length, tokens_per_step=sequence_length),
        corpus_path=tmp_path / "corpus",
    )
    with pytest.raises(ConfigError, match=message):
        run_recipe(recipe)
    assert not (tmp_path / "run" / "checkpoints").exists()
