import math

import pytest

from biogpt.evaluation.intervals import bootstrap
from biogpt.tasks.metrics import count_matches


def coins(num_right: int, num_examples: int):
    return count_matches([({"a"} if number < num_right else {"b"}, {"a"}) for number in range(num_examples)], str)


def test_the_interval_of_a_share_is_that_of_the_binomial():
    lower, upper = bootstrap(coins(3000, 4000), num_resamples=2000)["accuracy"]
    spread = 1.96 * math.sqrt(0.75 * 0.25 / 4000)
    assert lower == pytest.approx(0.75 - spread, abs=0.001)
    assert upper == pytest.approx(0.75 + spread, abs=0.001)


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    counts = coins(30, 80)
    assert bootstrap(counts, seed=3) == bootstrap(counts, seed=3)
    assert bootstrap(counts, seed=3) != bootstrap(counts, seed=4)


def test_what_cannot_vary_does_not():
    assert bootstrap(coins(5, 5), num_resamples=10)["accuracy"] == (1, 1)
    assert bootstrap(coins(1, 1), num_resamples=10)["f1"] == (1, 1)


def test_more_examples_make_it_narrower():
    def width(num_examples: int) -> float:
        lower, upper = bootstrap(coins(num_examples // 2, num_examples))["accuracy"]
        return upper - lower

    assert width(1600) < 0.6 * width(400)
