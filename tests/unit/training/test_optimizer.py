"""Which optimiser gets which parameter, and that a saved state goes on exactly."""

import copy

import pytest
import torch

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.training.optimizer import MuonWithAdamW, make_optimizer
from biogpt.training.pretrain.recipe import TrainingRecipe


def make_model() -> BioGptForCausalLM:
    torch.manual_seed(0)
    return BioGptForCausalLM(
        BioGptConfig(
            vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip


def train(model: BioGptForCausalLM, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        ids = torch.randint(4, 40, (2, 12), generator=torch.Generator().manual_seed(step))
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_every_parameter_is_trained_once(name: str) -> None:
    model = make_model()
    optimizer = make_optimizer(model, TrainingRecipe(optimizer=name))  # type: ignore[arg-type]
    held = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_biases_and_norms_do_not_decay(name: str) -> None:
    optimizer = make_optimizer(make_model(), TrainingRecipe(optimizer=name))  # type: ignore[arg-type]
    for group in optimizer.param_groups:
        assert {parameter.ndim >= 2 for parameter in group["params"]} == {group["weight_decay"] > 0}


def test_muon_moves_the_hidden_matrices_only() -> None:
    model = make_model()
    optimizer = make_optimizer(model, TrainingRecipe(optimizer="muon"))
    assert isinstance(optimizer, MuonWithAdamW)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_muon = {names[id(p)] for group in optimizer.parts[0].param_groups for p in group["params"]}
    assert by_muon == {name for name in names.values() if ".layers." in name and name.endswith("proj.weight")} | {
        f"biogpt.layers.{layer}.{part}.weight" for layer in (0, 1) for part in ("fc1", "fc2")
    }


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_saved_state_goes_on_exactly(name: str) -> None:
    recipe = TrainingRecipe(optimizer=name, learning_rate=1e-2)  # type: ignore[arg-type]
    unbroken = make_model()
    losses = train(unbroken, make_optimizer(unbroken, recipe), range(6))

    model = make_model()
    optimizer = make_optimizer(model, recipe)
    first = train(model, optimizer, range(3))
    resumed = make_model()
    resumed.load_state_dict(model.state_dict())
    resumed_optimizer = make_optimizer(resumed, recipe)
    resumed_optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert first + train(resumed, resumed_optimizer, range(3, 6)) == losses


def test_a_schedule_reaches_both_parts_after_a_resume() -> None:
    optimizer = make_optimizer(make_model(), TrainingRecipe(optimizer="muon"))
    assert isinstance(optimizer, MuonWithAdamW)
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.125
    assert {group["lr"] for part in optimizer.parts for group in part.param_groups} == {0.125}
