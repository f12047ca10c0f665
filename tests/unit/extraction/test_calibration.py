"""Calibration: curves that rise, errors as they are defined, thresholds there and back."""

import math
import random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biogpt.extraction.calibration import (
    ANY,
    MIN_ITEMS,
    calibrate,
    expected_calibration_error,
    fit_calibration,
    search_threshold,
    threshold_of,
)
from biogpt.tasks.inference import Calibration, InferenceSettings

PAIRS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2 * MIN_ITEMS, max_size=300)


@pytest.mark.parametrize("min_isotonic", [0, 1000], ids=["isotonic", "logistic"])
@given(pairs=PAIRS)
def test_a_curve_rises_from_0_to_1_whatever_it_is_fitted_on(pairs: list[tuple[float, bool]], min_isotonic: int) -> None:
    with patch("biogpt.extraction.calibration.MIN_ISOTONIC", min_isotonic):
        curve = fit_calibration([score for score, _ in pairs], [right for _, right in pairs])
    assert curve is not None  # a `Calibration` that does not rise is refused
    inference = InferenceSettings(calibration={ANY: curve})
    values = [calibrate(step / 20, inference) for step in range(21)]
    assert values == sorted(values)
    assert 0 <= values[0] <= values[-1] <= 1


@pytest.mark.parametrize("number", [2000, 900], ids=["isotonic", "logistic"])
def test_a_model_that_is_too_sure_is_calibrated(number: int) -> None:
    numbers = random.Random(0)
    scores = [numbers.random() for _ in range(4000)]
    is_right = [numbers.random() < score**2 for score in scores]
    curve = fit_calibration(scores[2000 - number : 2000], is_right[2000 - number : 2000])
    assert curve is not None
    inference = InferenceSettings(calibration={ANY: curve})
    before, _ = expected_calibration_error(scores[2000:], is_right[2000:])
    after, bins = expected_calibration_error([calibrate(score, inference) for score in scores[2000:]], is_right[2000:])
    assert before > 0.13
    assert after < 0.04
    assert [number for _, _, number in bins] == [number for _, _, number in bins if 133 <= number <= 134]


def test_of_few_items_the_curve_is_a_line_over_log_odds() -> None:
    numbers = random.Random(0)
    scores = [numbers.random() for _ in range(900)]
    odds = [math.log(score / (1 - score)) for score in scores]
    is_right = [numbers.random() < 1 / (1 + math.exp(1 - 0.5 * value)) for value in odds]
    curve = fit_calibration(scores, is_right)
    assert curve is not None
    inference = InferenceSettings(calibration={ANY: curve})
    for score in (0.2, 0.5, 0.9):
        expected = 1 / (1 + math.exp(1 - 0.5 * math.log(score / (1 - score))))
        assert calibrate(score, inference) == pytest.approx(expected, abs=0.05)


def test_the_error_is_the_mean_distance_of_score_and_share() -> None:
    error, bins = expected_calibration_error([0.2, 0.2, 0.9, 0.9], [False, True, True, True], num_bins=2)
    assert bins == [(0.2, 0.5, 2), (0.9, 1.0, 2)]
    assert error == pytest.approx((0.3 + 0.1) / 2)
    assert expected_calibration_error([], []) == (0.0, [])


def test_of_too_few_items_nothing_is_learned() -> None:
    number = 2 * MIN_ITEMS - 1
    assert fit_calibration([0.5] * number, [True] * number) is None


def test_the_search_goes_as_far_down_as_the_threshold_asks() -> None:
    curve = Calibration((0.0, 0.1, 0.4, 1.0), (0.0, 0.3, 0.5, 0.9))
    inference = InferenceSettings(threshold=0.4, calibration={ANY: curve})
    assert calibrate(search_threshold(inference), inference) == pytest.approx(0.4)
    assert search_threshold(InferenceSettings(threshold=0.001, calibration={ANY: curve})) == 0.01
    assert search_threshold(InferenceSettings(threshold=0.07)) == 0.07


def test_a_label_has_its_own_curve_and_threshold() -> None:
    curve = Calibration((0.0, 1.0), (0.0, 0.5))
    inference = InferenceSettings(threshold=0.3, thresholds={"RNA": 0.6}, calibration={"RNA": curve})
    assert (calibrate(0.8, inference, "RNA"), calibrate(0.8, inference, "DNA")) == (0.4, 0.8)
    assert (threshold_of(inference, "RNA"), threshold_of(inference, "DNA")) == (0.6, 0.3)
