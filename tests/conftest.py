"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("BIOGPT_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def data_path() -> Path:
    """The folder of real data sets beside the checkout (or $BIOGPT_DATA). CI fails where it is missing; elsewhere the test skips."""
    if not DATA.is_dir():
        message = f"no data sets at {DATA}: put them there or set BIOGPT_DATA"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA
