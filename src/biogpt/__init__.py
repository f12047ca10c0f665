"""BioGPT: a generative language model for biomedical text, from raw PubMed files to generated and mined text.

The public names are imported when they are first used: `import biogpt` costs next to nothing and never imports torch.
"""

import difflib
import importlib
import warnings
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name -> the module that defines it.
_HOMES = {
    "BioGptConfig": "biogpt.model.config",
    "BioGptError": "biogpt.errors",
    "BioGptForCausalLM": "biogpt.model.modeling",
    "BioGptForSequenceClassification": "biogpt.model.modeling",
    "BioGptForTokenClassification": "biogpt.model.modeling",
    "BioGptModel": "biogpt.model.modeling",
    "BioGptTokenizer": "biogpt.text.tokenizer",
    "Completion": "biogpt.engine.engine",
    "Document": "biogpt.documents",
    "Engine": "biogpt.engine.engine",
    "Extraction": "biogpt.documents",
    "Extractor": "biogpt.extraction.extractor",
    "GenerationSettings": "biogpt.decoding.settings",
    "Linker": "biogpt.extraction.linking",
    "evaluate": "biogpt.evaluation.runs",
    "finetune": "biogpt.training.public",
    "load_linker": "biogpt.extraction.linking",
    "load_task": "biogpt.tasks.task",
    "mine": "biogpt.mining.collection",
    "pretrain": "biogpt.training.public",
    "read_documents": "biogpt.documents",
    "register_auto_classes": "biogpt.model.auto",
    "summarize": "biogpt.mining.summary",
    "write_documents": "biogpt.documents",
}

# Names of version 0.1.0 that go with version 0.3: name -> (module, what to use now).
_FORMER = {
    "Predictor": ("biogpt.extraction.predictor", "biogpt.Extractor"),
    "pipeline": ("biogpt.extraction.pipeline", "biogpt.Extractor.from_pretrained"),
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
    "Document",
    "Engine",
    "Extraction",
    "Extractor",
    "GenerationSettings",
    "Linker",
    "__version__",
    "evaluate",
    "finetune",
    "load_linker",
    "load_task",
    "mine",
    "pretrain",
    "read_documents",
    "register_auto_classes",
    "summarize",
    "write_documents",
]

if TYPE_CHECKING:
    from biogpt.decoding.settings import GenerationSettings
    from biogpt.documents import Document, Extraction, read_documents, write_documents
    from biogpt.engine.engine import Completion, Engine
    from biogpt.errors import BioGptError
    from biogpt.evaluation.runs import evaluate
    from biogpt.extraction.extractor import Extractor
    from biogpt.extraction.linking import Linker, load_linker
    from biogpt.mining.collection import mine
    from biogpt.mining.summary import summarize
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
    from biogpt.training.public import finetune, pretrain


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        module, now = _FORMER[name]
        warnings.warn(f"biogpt.{name} is deprecated, use {now}.", FutureWarning, stacklevel=2)
        return getattr(importlib.import_module(module), name)
    if name not in _HOMES:
        hint = difflib.get_close_matches(name, __all__, 1)
        raise AttributeError(
            f"module 'biogpt' has no attribute {name!r}" + (f". Did you mean {hint[0]!r}?" if hint else "")
        )
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
