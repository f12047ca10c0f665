"""The error tree: what callers may catch, and what survives the way out of a worker process."""

import pickle

import pytest

from biogpt import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InputError", ValueError),
        ("ConfigError", ValueError),
        ("DataError", ValueError),
        ("CheckpointError", OSError),
        ("MissingExtraError", ImportError),
    ],
)
def test_callers_may_catch_the_builtin(name: str, builtin: type[Exception]) -> None:
    with pytest.raises(builtin) as caught:
        raise getattr(errors, name)("got", "expected")
    assert issubclass(caught.type, errors.BioGptError)


def test_the_docstring_draws_the_whole_tree() -> None:
    for name, one in vars(errors).items():
        if isinstance(one, type) and issubclass(one, errors.BioGptError):
            assert name in (errors.__doc__ or "")


def test_a_missing_extra_says_what_to_install_also_from_another_process() -> None:
    error = pickle.loads(pickle.dumps(errors.MissingExtraError("lxml", "train")))
    assert 'pip install ".[train]"' in str(error)
    assert str(error) == str(errors.MissingExtraError("lxml", "train"))


def test_suggestions_are_close_or_none() -> None:
    assert errors.suggest("bc5cdrr", ["bc5cdr", "ddi"]) == " Did you mean 'bc5cdr'?"
    assert errors.suggest("xyz", ["bc5cdr", "ddi"]) == ""
