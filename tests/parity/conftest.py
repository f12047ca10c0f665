"""The released vocabularies, in our tokenizer and in transformers' slow one."""

from pathlib import Path

import pytest
import tokenizer_texts
from transformers.models.biogpt.tokenization_biogpt import BioGptTokenizer as SlowTokenizer

from biogpt import BioGptTokenizer
from biogpt.text import bpe


@pytest.fixture(scope="session", params=["BioGPT", "BioGPT-Large"])
def released_files(
    request: pytest.FixtureRequest, data_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Each released vocabulary in Hugging Face's layout: its two files."""
    folder = data_path / "vocab" / request.param
    vocabulary = bpe.read_fairseq_vocabulary(folder / "dict.txt", folder / "bpecodes")
    return bpe.write_vocabulary(vocabulary, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def ours(released_files: tuple[Path, Path]) -> BioGptTokenizer:
    return BioGptTokenizer(*released_files)


@pytest.fixture(scope="session")
def slow(released_files: tuple[Path, Path]) -> SlowTokenizer:
    return SlowTokenizer(*map(str, released_files))


@pytest.fixture(scope="session")
def benchmark_texts(data_path: Path) -> list[str]:
    """All texts of the benchmark sets."""
    return tokenizer_texts.benchmark_texts(data_path)
