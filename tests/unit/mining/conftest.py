import pytest
from mining_without_ray import run_here


@pytest.fixture
def without_ray(monkeypatch):
    run_here(monkeypatch)
