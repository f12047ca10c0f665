"""The loss that is trained on, and which weights a run leaves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from biogpt import BioGptConfig, BioGptForCausalLM, BioGptForSequenceClassification, BioGptForTokenClassification
from biogpt.errors import TrainingError
from biogpt.tasks.recipe import Recipe
from biogpt.training.finetune.batches import TrainingExample, collate, sequence_to_write, words_to_label
from biogpt.training.finetune.trainer import EpochEnds, KeptWeights, judgements, weighted_loss

CONFIG = {
    "vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 32, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "num_labels": 3,
}  # fmt: skip


def make_model(model_class: Any, **settings: Any) -> Any:
    torch.manual_seed(0)
    return model_class(BioGptConfig(**CONFIG, architectures=[model_class.__name__], **settings)).eval()


@pytest.mark.parametrize("source_weight", [1.0, 0.0])
def test_the_loss_of_writing_is_hugging_faces(source_weight: float) -> None:
    model = make_model(BioGptForCausalLM)
    pairs = [([2, 10, 11, 12], [20, 21, 2]), ([2, 13], [22, 2])]
    batch = collate([sequence_to_write(*pair, source_weight) for pair in pairs])
    expected = torch.tensor(0.0)
    for prompt, target in pairs:
        ids = torch.tensor([[*prompt, *target]])
        labels = ids.clone() if source_weight else torch.tensor([[-100] * len(prompt) + target])
        num_predicted = int((labels[:, 1:] != -100).sum())
        expected = expected + model(ids, labels=labels).loss * num_predicted
    torch.testing.assert_close(weighted_loss(model, batch), expected)


def test_the_loss_of_words_is_hugging_faces() -> None:
    model = make_model(BioGptForTokenClassification)
    batch = collate([words_to_label([2, 10, 11], [1, 2], [2, 1]), words_to_label([2, 12], [1], [0])])
    labels = torch.tensor([[-100, 2, 1], [-100, 0, -100]])
    expected = model(batch["input_ids"], attention_mask=(batch["input_ids"] != 1).long(), labels=labels).loss * 3
    torch.testing.assert_close(weighted_loss(model, batch), expected)


@pytest.mark.parametrize("problem_type", ["single_label_classification", "multi_label_classification"])
def test_the_loss_of_texts_is_hugging_faces(problem_type: str) -> None:
    model = make_model(BioGptForSequenceClassification, problem_type=problem_type)
    batch = collate([TrainingExample([2, 10, 11], [2], [1.0]), TrainingExample([2, 12], [0], [1.0])], num_labels=3)
    is_single = problem_type.startswith("single")
    labels = torch.tensor([2, 0]) if is_single else torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    expected = model(batch["input_ids"], labels=labels).loss * 2
    torch.testing.assert_close(weighted_loss(model, batch), expected)


def test_a_batch_without_weight_has_a_gradient_of_nothing() -> None:
    model = make_model(BioGptForCausalLM)
    weighted_loss(model, collate([TrainingExample([2], [0], [0.0])])).backward()
    assert all(not parameter.grad.any() for parameter in model.parameters())


def log_of(*values: float, name: str = "eval_score") -> list[dict[str, float]]:
    return [{"step": 10 * place, "eval_loss": 1.0, name: value} for place, value in enumerate(values, 1)]


def test_a_run_is_stuck_after_as_many_evaluations_as_its_patience() -> None:
    ends = EpochEnds(Recipe(patience=2), 10, has_dev=True)
    assert not ends.is_stuck([])
    assert not ends.is_stuck(log_of(0.1, 0.3, 0.2))
    assert ends.is_stuck(log_of(0.1, 0.3, 0.2, 0.3))  # as good as the best is not better
    assert not ends.is_stuck(log_of(0.1, 0.3, 0.2, 0.4))
    assert not EpochEnds(Recipe(), 10, has_dev=True).is_stuck(log_of(0.3, 0.2, 0.1))


def test_without_a_score_the_loss_judges() -> None:
    assert [value for value, _ in judgements(log_of(2.0, 1.5, name="eval_loss"))] == [-2.0, -1.5]


def step_end(callback: Any, model: nn.Module, step: int, max_steps: int = 60, **state: Any) -> SimpleNamespace:
    control = SimpleNamespace(should_log=False, should_evaluate=False, should_save=False)
    stand = SimpleNamespace(global_step=step, max_steps=max_steps, is_world_process_zero=True, log_history=[], **state)
    callback.on_step_end(None, stand, control, model=model)
    return control


def test_what_is_due_comes_at_epochs_ends_and_at_the_last_step() -> None:
    ends = EpochEnds(Recipe(evaluate_every=2, checkpoint_every=3), 10, has_dev=True)
    model = nn.Linear(1, 1)
    due = {step: step_end(ends, model, step, max_steps=65) for step in (5, 10, 20, 30, 65)}
    assert [due[step].should_log for step in due] == [False, True, True, True, True]
    assert [due[step].should_evaluate for step in due] == [False, False, True, False, True]
    assert [due[step].should_save for step in due] == [False, False, False, True, True]


def test_weights_that_are_no_numbers_stop_the_run() -> None:
    model = nn.Linear(2, 1)
    model.weight.data[0, 1] = float("nan")
    with pytest.raises(TrainingError, match="The weights are no numbers at step 10"):
        step_end(EpochEnds(Recipe(), 10, has_dev=False), model, 10)


def train(kept: KeptWeights, num_steps: int = 60) -> nn.Linear:
    """A model whose weight is the number of the step."""
    model = nn.Linear(1, 1)
    for step in range(1, num_steps + 1):
        model.weight.data[:] = step
        step_end(kept, model, step, max_steps=num_steps)
    model.weight.data[:] = -1
    return model


@pytest.mark.parametrize("patience", [0, 4])
def test_the_last_epochs_are_averaged(tmp_path: Path, patience: int) -> None:
    kept = KeptWeights(tmp_path, Recipe(result="average", num_averaged=3, patience=patience), steps_per_epoch=10)
    model = train(kept)
    assert kept.load_result(model) == "average of 3 epochs"
    assert model.weight.item() == (40 + 50 + 60) / 3
    assert len(list(tmp_path.iterdir())) == 3


def test_an_unfinished_epoch_counts_where_the_run_ends_with_it(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, Recipe(result="average", num_averaged=2), steps_per_epoch=10)
    model = train(kept, 25)
    kept.load_result(model)
    assert model.weight.item() == (20 + 25) / 2


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    kept = KeptWeights(tmp_path, Recipe(result="best"), steps_per_epoch=10)
    model = nn.Linear(1, 1)
    log: list[dict[str, float]] = []
    for epoch, score in enumerate([0.1, 0.4, 0.3, 0.4], 1):
        model.weight.data[:] = epoch
        log.append({"step": 10 * epoch, "eval_loss": 1.0, "eval_score": score})
        state = SimpleNamespace(global_step=10 * epoch, is_world_process_zero=True, log_history=log)
        kept.on_evaluate(None, state, None, model=model)
    assert kept.load_result(model) == "best on dev, of epoch 2"
    assert model.weight.item() == 2
