"""transformers' Trainer with what all our runs share: precision, the order of the data, the log, a stop at NaN.

It knows no task and no corpus.
"""

import copy
import math
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments

from biogpt.engine.processor import processor_features
from biogpt.errors import InputError, TrainingError
from biogpt.model.loading import choose_device
from biogpt.training.run_directory import num_processes


class RunTrainer(Trainer):
    """The Trainer of a run.

    Args:
        precision: `"auto"`, `"bf16"` or `"fp32"`; see `computes_bf16`.
        nan_advice: what to do where the loss is no number; the end of a sentence.
        kwargs: the Trainer's own.
    """

    def __init__(self, precision: str, nan_advice: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.use_bf16: bool = computes_bf16(precision, self.args.device)
        self.nan_advice = nan_advice
        self.seconds_before: float = 0.0
        self.last_row: tuple[int, float] = (0, 0.0)
        self.began_at: float = 0.0
        self.remove_callback(PrinterCallback)  # it writes to stdout, which is for data

    def num_tokens_at(self, step: int) -> int:
        """How many tokens have been trained on after so many steps."""
        raise NotImplementedError

    def train(self, *args: Any, **kwargs: Any) -> Any:
        self.began_at = time.monotonic()
        self.last_row = (0, self.began_at)
        return super().train(*args, **kwargs)

    def _get_train_sampler(self, *_: Any, **__: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # the data set shuffles itself

    def compute_loss(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        # Autocast here rather than by accelerate, which would copy all logits to float32 after the model has returned.
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.use_bf16):
            return self.compute_loss_autocast(model, *args, **kwargs)

    def compute_loss_autocast(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """The loss, in the run's precision; by default the model's own."""
        return super().compute_loss(model, *args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        now = time.monotonic()
        step = self.state.global_step
        if "loss" in logs:
            if not math.isfinite(logs["loss"]):
                raise not_a_number(f"The loss is {logs['loss']}", step, self.nan_advice)
            # After a resume the time and the tokens of earlier processes come from the log that the checkpoint kept.
            if not self.last_row[0] and self.state.log_history:
                earlier = [row for row in self.state.log_history if "seconds" in row]
                self.seconds_before = earlier[-1]["seconds"] if earlier else 0.0
                self.last_row = (earlier[-1]["step"] if earlier else 0, self.began_at)
            new_tokens = self.num_tokens_at(step) - self.num_tokens_at(self.last_row[0])
            logs["tokens_per_second"] = new_tokens / (now - self.last_row[1])
            logs["seconds"] = self.seconds_before + now - self.began_at
            self.last_row = (step, now)
        if "loss" in logs or "eval_loss" in logs:
            logs["tokens"] = self.num_tokens_at(step)
        super().log(logs, *args, **kwargs)

    def skip_time(self, seconds: float) -> None:
        """Leave time that was not spent on training out of the speed in the log."""
        self.last_row = (self.last_row[0], self.last_row[1] + seconds)

    def logged_seconds(self) -> int:
        """How long the run has trained, over all its processes one after the other."""
        return round(next((row["seconds"] for row in reversed(self.state.log_history) if "seconds" in row), 0))


def not_a_number(what: str, step: int, advice: str) -> TrainingError:
    """The error of a run whose numbers have run away."""
    return TrainingError(
        f"{what} at step {step}, expected a number. The last checkpoint is kept: {advice}, in a new output."
    )


def computes_bf16(precision: str, device: torch.device) -> bool:
    """Whether training computes in bfloat16: where asked for, or `"auto"` and the hardware multiplies it natively."""
    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and "bf16" in processor_features()


@dataclass
class RunArguments(TrainingArguments):
    """The Trainer's arguments, with the device that a run was given; without one, transformers chooses."""

    chosen_device: str = ""
    """In PyTorch's terms, such as `cpu` or `cuda:1`."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Saved as transformers' own class: a checkpoint names no module of ours, which may move while a run goes on.
        plain = TrainingArguments.__new__(TrainingArguments)
        vars(plain).update(vars(self))
        return copy.copy, (plain,)

    @cached_property
    def _setup_devices(self) -> torch.device:
        device: torch.device = TrainingArguments._setup_devices.func(self)
        if not self.chosen_device or device.type == "cpu":
            return device
        chosen = torch.device(self.chosen_device)
        if chosen.type == "cuda":
            self._n_gpu = 1  # else the Trainer would use all GPUs that it finds
            torch.cuda.set_device(chosen.index or 0)  # accelerate takes the current one
            return torch.device("cuda", chosen.index or 0)
        return chosen


def common_arguments(seed: int, device: str = "auto") -> dict[str, Any]:
    """Arguments of the Trainer that all our runs share.

    Args:
        seed: of all that is random.
        device: where to run, in PyTorch's terms; `auto`: all GPUs that there are, else `cpu`.

    Raises:
        InputError: there is no such device, or several processes are to share one.
    """
    chosen = None if device == "auto" else choose_device(device)
    if chosen is not None and num_processes() > 1 and chosen.type != "cpu":
        raise InputError(
            f"Got the device '{device}' for {num_processes()} processes, expected 'auto': each takes a GPU of its own."
        )
    has_gpu = torch.cuda.is_available() if chosen is None else chosen.type != "cpu"
    return {
        "chosen_device": "" if chosen is None else str(chosen),
        "logging_nan_inf_filter": False,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not has_gpu,
        "ddp_backend": None if num_processes() == 1 else "nccl" if has_gpu else "gloo",
        "ddp_find_unused_parameters": False,
        "dataloader_drop_last": True,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": [],
    }
