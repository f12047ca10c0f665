"""BioGPT: a generative language model for biomedical text, from raw PubMed files to generated and mined text.

The public names are imported when they are first used: `import biogpt` costs next to nothing and never imports torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module that defines it.
_HOMES = {
    "BioGptError": "biogpt.errors",
    "BioGptConfig": "biogpt.model.config",
    "BioGptForCausalLM": "biogpt.model.modeling",
    "BioGptForSequenceClassification": "biogpt.model.modeling",
    "BioGptForTokenClassification": "biogpt.model.modeling",
    "BioGptModel": "biogpt.model.modeling",
    "BioGptTokenizer": "biogpt.text.tokenizer",
    "Completion": "biogpt.engine.engine",
    "Engine": "biogpt.engine.engine",
    "GenerationSettings": "biogpt.decoding.settings",
    "Predictor": "biogpt.extraction.predictor",
    "load_task": "biogpt.tasks.task",
    "pipeline": "biogpt.extraction.extractor",
    "register_auto_classes": "biogpt.model.auto",
}

__all__ = [
    "BioGptConfig",
    "BioGptError",
    "BioGptForCausalLM",
    "BioGptForSequenceClassification",
    "BioGptForTokenClassification",
    "BioGptModel",
    "BioGptTokenizer",
    "Completion",
    "Engine",
    "GenerationSettings",
    "Predictor",
    "__version__",
    "load_task",
    "pipeline",
    "register_auto_classes",
]

if TYPE_CHECKING:
    from biogpt.decoding.settings import GenerationSettings
    from biogpt.engine.engine import Completion, Engine
    from biogpt.errors import BioGptError
    from biogpt.extraction.extractor import pipeline
    from biogpt.extraction.predictor import Predictor
    from biogpt.model.auto import register_auto_classes
    from biogpt.model.config import BioGptConfig
    from biogpt.model.modeling import (
        BioGptForCausalLM,
        BioGptForSequenceClassification,
        BioGptForTokenClassification,
        BioGptModel,
    )
    from biogpt.tasks.task import load_task
    from biogpt.text.tokenizer import BioGptTokenizer


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'biogpt' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
