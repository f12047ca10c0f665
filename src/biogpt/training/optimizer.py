"""Which optimiser moves which parameter.

Knows parameters by name and shape; learning-rate schedules are numbers in the recipe, and loops are the Trainer's.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import nn


class OptimizerSettings(Protocol):
    """What of a recipe an optimiser needs."""

    @property
    def optimizer(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def adam_betas(self) -> tuple[float, float]: ...


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the matrices of the hidden layers, AdamW for embeddings, norms and biases, stepped as one.

    Muon orthogonalises each matrix's momentum (Jordan et al. 2024); its step is scaled to the size of Adam's (Liu et
    al. 2025), so that one learning rate serves both.
    """

    def __init__(
        self, matrices: list[nn.Parameter], adam_groups: list[dict[str, Any]], recipe: OptimizerSettings
    ) -> None:
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(
                matrices,
                lr=recipe.learning_rate,
                weight_decay=recipe.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(adam_groups, lr=recipe.learning_rate, betas=recipe.adam_betas, fused=True),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        # Loading makes new group dictionaries; the scheduler must go on writing learning rates into the ones in use.
        self.param_groups: list[dict[str, Any]] = [group for part in self.parts for group in part.param_groups]


def make_optimizer(model: nn.Module, recipe: OptimizerSettings) -> torch.optim.Optimizer:
    """The recipe's optimiser over the model's trainable parameters. Biases and norms do not decay."""
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    embeddings = [p for name, p in parameters.items() if p.ndim >= 2 and (".layers." not in f".{name}")]
    matrices = [p for name, p in parameters.items() if p.ndim >= 2 and (".layers." in f".{name}")]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    plain = {"params": vectors, "weight_decay": 0.0}
    if recipe.optimizer == "muon":
        return MuonWithAdamW(matrices, [{"params": embeddings, "weight_decay": recipe.weight_decay}, plain], recipe)
    decayed = {"params": embeddings + matrices, "weight_decay": recipe.weight_decay}
    return torch.optim.AdamW([decayed, plain], lr=recipe.learning_rate, betas=recipe.adam_betas, fused=True)
