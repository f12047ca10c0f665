"""Limits: changed by name, checked when they are stated."""

import pytest

from biogpt.errors import InputError
from biogpt.server.limits import Limits, change_limits


def test_single_limits_are_changed_by_name():
    assert change_limits({"max_documents": 3, "request_seconds": 0.5}) == Limits(max_documents=3, request_seconds=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_document": 3}, "Unknown limit 'max_document'. Did you mean 'max_documents'"),
        ({"max_documents": 0}, "Got max_documents 0, expected a whole number above 0"),
        ({"max_documents": 2.5}, "Got max_documents 2.5"),
        ({"request_seconds": float("nan")}, "Got request_seconds nan, expected a number above 0"),
        ({"max_waiting": True}, "Got max_waiting True"),
    ],
)
def test_what_is_no_limit_is_named(changes, message):
    with pytest.raises(InputError, match=message):
        change_limits(changes)
