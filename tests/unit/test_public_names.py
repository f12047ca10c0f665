import subprocess
import sys

import pytest

import biogpt

PUBLIC_NAMES = [
    "BioGptConfig",
    "BioGptError",
    "BioGptForCausalLM",
    "BioGptForSequenceClassification",
    "BioGptForTokenClassification",
    "BioGptModel",
    "BioGptTokenizer",
    "Completion",
    "Document",
    "Engine",
    "Extraction",
    "Extractor",
    "GenerationSettings",
    "evaluate",
    "load_task",
    "read_documents",
    "register_auto_classes",
]


def test_the_public_names_are_these():
    assert sorted(biogpt.__all__) == sorted(["__version__", *PUBLIC_NAMES])
    assert dir(biogpt) == biogpt.__all__


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_is_there(name):
    assert getattr(biogpt, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'BioGpt'"):
        biogpt.BioGpt  # noqa: B018


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, biogpt; sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
