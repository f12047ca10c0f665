"""The Trainer of fine-tuning: the loss, the measures on dev, and which weights are kept.

Epochs are the plan's (`biogpt.training.finetune.batches`): the Trainer itself sees one long pass over planned batches.

Shapes in comments: B examples, T tokens, V vocabulary, L labels.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from biogpt.files import replacing
from biogpt.model.modeling import AnyModel, BioGptForCausalLM
from biogpt.tasks.recipe import Recipe
from biogpt.training.curve import PRETRAINING, Curve
from biogpt.training.finetune.batches import Plan, TrainingExample, collate
from biogpt.training.trainer import RunTrainer, not_a_number

_COLUMNS = {name: column for name, column in PRETRAINING.columns.items() if not name.startswith("eval_")}
_DEV_COLUMNS = {"eval_epoch": "epoch", "eval_loss": "dev_loss", "eval_score": "dev_score"}
DEV_SCORE = Curve({**_COLUMNS, **_DEV_COLUMNS}, "dev_score", "score on dev")
"""What a run records whose result is chosen by its score on dev."""
DEV_LOSS = Curve({**_COLUMNS, **_DEV_COLUMNS}, "dev_loss", "loss on dev (targets alone)", is_own_scale=False)
"""What any other run records: only its loss on dev is measured on the way."""

NAN_ADVICE = "lower the learning rate or set max_grad_norm = 1.0"

Batch = dict[str, torch.Tensor]
T = TypeVar("T")


class FinetuneTrainer(RunTrainer):
    """The Trainer of a planned run.

    Args:
        training: the settings.
        plan: which examples each step has.
        dev: encoded examples to measure the loss on.
        num_labels: of a whole sequence; 0 where targets stand at tokens.
        score: predicts and scores the dev examples with the model as it is.
        main_score: which of its figures stands for all.
        kwargs: the Trainer's own.
    """

    control: Any  # set by the Trainer

    def __init__(
        self,
        training: Recipe,
        plan: Plan,
        dev: Sequence[TrainingExample],
        num_labels: int,
        score: Callable[[AnyModel], Mapping[str, float]] | None,
        main_score: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(precision=training.precision, nan_advice=NAN_ADVICE, **kwargs)
        self.training = training
        self.plan = plan
        self.dev: list[TrainingExample] = sorted(dev, key=lambda example: len(example.input_ids))
        self.num_labels = num_labels
        self.score = score
        self.main_score = main_score
        self.loss_is_scaled_for_ga: bool = True  # each batch's loss is divided by the weight of the whole step already

    @property
    def trained_model(self) -> Any:
        """The model without what the Trainer wraps around it; with PEFT's wrapping, where there is one."""
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    def num_tokens_at(self, step: int) -> int:
        return self.plan.num_tokens_at(step)

    def compute_loss_autocast(self, model: Any, inputs: Batch, *_: Any, **__: Any) -> torch.Tensor:
        # The processes' gradients are averaged, but the whole step's weight is what they are to be divided by.
        loss: torch.Tensor = weighted_loss(model, inputs) * self.args.world_size / inputs["total_weight"]
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        began_at = time.monotonic()
        loss = self.dev_loss()
        assert loss is not None
        if not math.isfinite(loss):
            raise not_a_number(f"The loss on dev is {loss}", self.state.global_step, NAN_ADVICE)
        metrics = {"eval_epoch": float(self.state.global_step // self.plan.steps_per_epoch), "eval_loss": loss}
        if self.score is not None and judges_by_dev(self.training):
            metrics["eval_score"] = self.ask_model(self.score)[self.main_score]
        self.log(metrics)
        control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.control = control
        self.skip_time(time.monotonic() - began_at)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        if not self.training.peft:
            super()._save(output_dir, state_dict)
            return
        # PEFT would ask the hub whether the vocabulary has grown; it has, and its new rows are in the adapter.
        self.trained_model.save_pretrained(output_dir, state_dict=state_dict, save_embedding_layers=False)

    def dev_loss(self) -> float | None:
        """Mean loss on dev in nats per target, shared out over the processes; None where there is no dev."""
        if not self.dev:
            return None
        model, device = self.trained_model, self.args.device
        batches = group_by_length(self.dev, 2 * self.training.tokens_per_batch)
        sums = torch.zeros(2, dtype=torch.float64)
        was_training = model.training
        model.eval()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.use_bf16):
            for examples in batches[self.args.process_index :: self.args.world_size]:
                batch = {name: tensor.to(device) for name, tensor in collate(examples, self.num_labels).items()}
                sums += torch.tensor([weighted_loss(model, batch).item(), batch["weights"].sum().item()])
        model.train(was_training)
        nats, weight = self.accelerator.gather(sums.to(device)[None]).sum(dim=0).tolist()
        return float(nats / weight)

    def ask_model(self, ask: Callable[[AnyModel], T]) -> T:
        """What a function makes of the model as it is: the main process predicts, the others wait for its answer."""
        answers: list[Any] = [None]
        if self.is_world_process_zero():
            answers = [self._ask_here(ask)]
        if self.args.world_size > 1:
            torch.distributed.broadcast_object_list(answers, src=0)
        answer: T = answers[0]
        return answer

    def _ask_here(self, ask: Callable[[AnyModel], T]) -> T:
        model = self.trained_model
        model = model.get_base_model() if hasattr(model, "peft_config") else model  # LoRA stays in its layers
        was_training, attention = model.training, model.config._attn_implementation
        model.eval()
        model.set_attn_implementation("sdpa")  # prediction pads and caches
        try:
            return ask(model)
        finally:
            model.set_attn_implementation(attention)
            model.train(was_training)


def judges_by_dev(training: Recipe) -> bool:
    """Whether the run's result depends on what is measured on dev."""
    return training.result == "best" or training.patience > 0


def weighted_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The sum of the targets' negative log-likelihoods, each times its weight."""
    targets, weights = batch["targets"], batch["weights"]
    if weights.dim() == 1:  # labels of whole sequences
        logits: torch.Tensor = model(input_ids=batch["input_ids"]).logits.float()  # (B, L)
        return torch.dot(_label_losses(model, logits, targets), weights)
    is_weighted = weights > 0
    settings: dict[str, Any] = {}
    if _writes(model):
        # Where only targets count, the columns before all of them need no logits, which are most of the work.
        columns = is_weighted.any(dim=0).nonzero().flatten()
        first = int(columns[0]) if len(columns) else 0
        settings = {"logits_to_keep": torch.arange(first, weights.shape[1], device=weights.device), "use_cache": False}
        targets, weights, is_weighted = targets[:, first:], weights[:, first:], is_weighted[:, first:]
    logits = model(input_ids=batch["input_ids"], **settings).logits  # (B, T, V or L)
    if targets.dim() == 3:  # G groups of labels, each decided for itself
        logits = logits.view(*targets.shape, -1)  # (B, T, G, L / G)
    if not is_weighted.any():
        return 0.0 * logits.sum()  # the processes exchange gradients, so a batch without weight needs one, too
    losses = nn.functional.cross_entropy(logits[is_weighted].float(), targets[is_weighted], reduction="none")
    return torch.dot(losses, weights[is_weighted])


def _label_losses(model: Any, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The loss of each sequence, (B,), from logits and hot targets, (B, L) each."""
    if _config_of(model).problem_type == "multi_label_classification":
        return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1)
    return nn.functional.cross_entropy(logits, targets, reduction="none")


def _config_of(model: Any) -> Any:
    return getattr(model, "module", model).config  # DistributedDataParallel has the model in `module`


def _writes(model: Any) -> bool:
    return bool(_config_of(model).architectures == [BioGptForCausalLM.__name__])


def group_by_length(examples: Sequence[TrainingExample], tokens_per_batch: int) -> list[list[TrainingExample]]:
    """Examples that are sorted by length, in batches of at most so many tokens, padding included."""
    batches: list[list[TrainingExample]] = []
    for example in examples:
        if not batches or (len(batches[-1]) + 1) * len(example.input_ids) > tokens_per_batch:
            batches.append([])
        batches[-1].append(example)
    return batches


class EpochEnds(TrainerCallback):
    """Asks at the end of an epoch for what is due: a row of the curve, an evaluation, a checkpoint, the end."""

    def __init__(self, training: Recipe, steps_per_epoch: int, has_dev: bool) -> None:
        self.training = training
        self.steps_per_epoch = steps_per_epoch
        self.has_dev = has_dev

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        epoch, rest = divmod(state.global_step, self.steps_per_epoch)
        is_last = state.global_step >= state.max_steps
        is_between = bool(rest) and not is_last
        is_due = bool(self.training.checkpoint_steps) and state.global_step % self.training.checkpoint_steps == 0
        if is_between and not is_due:
            return
        if not all(parameter.sum().isfinite() for parameter in model.parameters() if parameter.requires_grad):
            raise not_a_number("The weights are no numbers", state.global_step, NAN_ADVICE)  # before they are saved
        control.should_log = True  # a row is the mean since the last one, so none may reach over a checkpoint
        if is_between:
            control.should_save = True
            return
        control.should_evaluate = self.has_dev and (epoch % self.training.evaluate_every == 0 or is_last)
        control.should_save = is_due or epoch % self.training.checkpoint_every == 0 or is_last

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.is_stuck(state.log_history):
            control.should_training_stop = control.should_save = True

    def is_stuck(self, log_history: Sequence[Mapping[str, Any]]) -> bool:
        """Whether dev has seen no new best for as long as the settings allow."""
        values = [value for value, _ in judgements(log_history)]
        if not self.training.patience or not values:
            return False
        return len(values) - 1 - values.index(max(values)) >= self.training.patience


def judgements(log_history: Sequence[Mapping[str, Any]]) -> list[tuple[float, int]]:
    """For each evaluation how good it was, higher is better, and its step: the score, or else the loss, negated."""
    return [(row.get("eval_score", -row["eval_loss"]), row["step"]) for row in log_history if "eval_loss" in row]


class KeptWeights(TrainerCallback):
    """Keeps the trained weights of the last epochs, or of the best one, as files; in the end puts them together."""

    BEST = "best.safetensors"

    def __init__(self, directory: Path, training: Recipe, steps_per_epoch: int) -> None:
        self.directory = directory
        self.training = training
        self.steps_per_epoch = steps_per_epoch
        self.num_kept: int = training.num_averaged if training.result == "average" else 1

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        step, is_last = state.global_step, state.global_step >= state.max_steps
        if self.training.result == "best" or not state.is_world_process_zero:
            return
        epochs_left = (state.max_steps - step) / self.steps_per_epoch
        is_wanted = self.training.patience or epochs_left < self.num_kept  # with patience any may be the last
        if is_last or (step % self.steps_per_epoch == 0 and is_wanted):
            self._write(f"step-{step:08d}.safetensors", model, step)
            for file in self._files()[: -self.num_kept]:
                file.unlink()

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if self.training.result != "best" or not state.is_world_process_zero:
            return
        made = judgements(state.log_history)
        if made[-1][0] > max((value for value, _ in made[:-1]), default=-math.inf):
            self._write(self.BEST, model, state.global_step)

    def load_result(self, model: Any) -> str:
        """Give the model the weights that the run is to leave; returns which they are, in words."""
        if self.training.result == "best":
            step = self._load(model, [self.directory / self.BEST])
            return f"best on dev, of epoch {step // self.steps_per_epoch}"
        files = self._files()
        self._load(model, files)
        return f"average of {len(files)} epochs" if len(files) > 1 else "last"

    def _files(self) -> list[Path]:
        return sorted(self.directory.glob("step-*.safetensors"))

    def _write(self, name: str, model: Any, step: int) -> None:
        trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        self.directory.mkdir(parents=True, exist_ok=True)
        with replacing(self.directory / name) as partial:
            save_file(trained, partial, metadata={"step": str(step)})

    def _load(self, model: Any, files: Sequence[Path]) -> int:
        """Put the mean of the files' weights into the model; returns the last one's step."""
        parameters = dict(model.named_parameters())
        sums: dict[str, torch.Tensor] = {}
        step = 0
        for file in files:
            with safe_open(file, framework="pt") as weights:
                step = int(weights.metadata()["step"])
                for name in weights.keys():  # noqa: SIM118, it is no mapping
                    tensor = weights.get_tensor(name).double()
                    sums[name] = sums[name] + tensor if name in sums else tensor
        with torch.no_grad():
            for name, total in sums.items():
                parameters[name].copy_(total / len(files))
        return step
