import logging

import pytest

from biogpt.errors import InputError
from biogpt.server.limits import Limits
from biogpt.server.metrics import Metrics
from biogpt.server.served_models import Device, find_models


def find(models, tasks=(), dtype="auto"):
    return find_models([str(model) for model in models], tasks, Metrics(), Limits(), Device("cpu", 8, dtype))


@pytest.mark.parametrize(("dtype", "chosen"), [("auto", "float32"), ("bfloat16", "bfloat16")])
def test_models_compute_in_the_type_that_is_asked_for(tiny_model_path, tuned_model_paths, caplog, dtype, chosen):
    for path in (tiny_model_path, tuned_model_paths["bc5cdr_chem"]):
        served = find([path], dtype=dtype)
        (model,) = served
        caplog.clear()
        with caplog.at_level(logging.INFO, "biogpt"):
            model.worker()
        served.close(1)
        assert f"Computing in {chosen} on cpu" in caplog.text, model.name


def test_completions_have_no_int8(tiny_model_path):
    with pytest.raises(InputError, match=r"int8 for completions by 'tiny.*', expected float32 or bfloat16"):
        find([tiny_model_path], ["bc5cdr"], dtype="int8")
    assert [model.name for model in find([], ["bc5cdr"], dtype="int8")] == ["bc5cdr"]


def test_an_unknown_type_is_refused_before_anything_is_loaded():
    with pytest.raises(InputError, match=r"Unknown dtype 'float23'. Did you mean 'float32'"):
        find([], ["bc5cdr"], dtype="float23")
