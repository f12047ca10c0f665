"""Making transformers' Auto classes and pipelines give this package's BioGPT instead of their own; on request only."""

import importlib.util

from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from biogpt.model.config import BioGptConfig
from biogpt.model.modeling import (
    BioGptForCausalLM,
    BioGptForSequenceClassification,
    BioGptForTokenClassification,
    BioGptModel,
)
from biogpt.text.tokenizer import BioGptTokenizer

LORA_TARGETS = ["q_proj", "v_proj"]


def register_auto_classes() -> None:
    """Let `AutoConfig`, `AutoModel*` and `AutoTokenizer` give this package's classes for models of type `biogpt`.

    Where PEFT is installed, it also learns which layers LoRA adapts unless told otherwise (queries and values, as for
    models alike). For this process, from now on; calling it again changes nothing. Importing `biogpt` never does this
    by itself.

        >>> biogpt.register_auto_classes()  # doctest: +SKIP
        >>> transformers.AutoModelForCausalLM.from_pretrained("out")  # doctest: +SKIP
    """
    AutoConfig.register(BioGptConfig.model_type, BioGptConfig, exist_ok=True)
    AutoModel.register(BioGptConfig, BioGptModel, exist_ok=True)
    AutoModelForCausalLM.register(BioGptConfig, BioGptForCausalLM, exist_ok=True)
    AutoModelForTokenClassification.register(BioGptConfig, BioGptForTokenClassification, exist_ok=True)
    AutoModelForSequenceClassification.register(BioGptConfig, BioGptForSequenceClassification, exist_ok=True)
    AutoTokenizer.register(BioGptConfig, fast_tokenizer_class=BioGptTokenizer, exist_ok=True)
    if importlib.util.find_spec("peft"):
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

        TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.setdefault(BioGptConfig.model_type, LORA_TARGETS)
