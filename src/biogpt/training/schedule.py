"""Learning rates over a run, as parts of their peak."""

import math


def learning_rate_factor(
    step: int, *, num_steps: int, warmup_steps: int, schedule: str, decay_fraction: float
) -> float:
    """What part of the peak learning rate is used at optimisation step `step`, counted from 0.

    Args:
        step: which one.
        num_steps: of the run.
        warmup_steps: of linear warm-up.
        schedule: what follows: `"inverse_sqrt"`, `"cosine"` to zero, or `"warmup_stable_decay"`: constant, then linear
            to zero over the last `decay_fraction` of the run.
        decay_fraction: see `schedule`.
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "inverse_sqrt":
        return math.sqrt(max(warmup_steps, 1) / (step + 1))
    if schedule == "cosine":
        done = (step - warmup_steps) / max(1, num_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return min(1.0, (num_steps - step) / max(1.0, decay_fraction * num_steps))


def is_open_ended(schedule: str, decay_fraction: float) -> bool:
    """Whether no step's learning rate depends on the number of steps, so that a run may be made longer."""
    return schedule == "inverse_sqrt" or (schedule == "warmup_stable_decay" and not decay_fraction)
