"""transformers' own tests of models and configurations, on our classes and on its own; `scripts/test-transformers` runs
them, from transformers' source distribution, which is where the package `tests` below comes from."""

import unittest

import torch
import transformers
from tests.generation.test_utils import GenerationTesterMixin
from tests.test_configuration_common import ConfigTester
from tests.test_modeling_common import ModelTesterMixin

import biogpt

NAMES = ("BioGptModel", "BioGptForCausalLM", "BioGptForSequenceClassification", "BioGptForTokenClassification")


class SmallModel:
    """What transformers' tests ask of a model tester: sizes, and a batch."""

    batch_size = 5
    seq_length = 7
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 4
    is_training = True

    def __init__(self, config_class: type) -> None:
        self.config_class = config_class

    def get_config(self) -> transformers.PreTrainedConfig:
        return self.config_class(
            vocab_size=99,
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=37,
            max_position_embeddings=128,
            hidden_dropout_prob=0.1,
            attention_probs_dropout_prob=0.1,
        )

    def prepare_config_and_inputs_for_common(self) -> tuple[transformers.PreTrainedConfig, dict[str, torch.Tensor]]:
        ids = torch.randint(4, 99, (self.batch_size, self.seq_length))  # (B, T)
        return self.get_config(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


class ConfigTests:
    def test_config(self) -> None:
        ConfigTester(self, config_class=self.package.BioGptConfig, hidden_size=37).run_common_tests()


class OursTest(ConfigTests, ModelTesterMixin, GenerationTesterMixin, unittest.TestCase):
    package = biogpt
    all_model_classes = tuple(getattr(biogpt, name) for name in NAMES)

    def setUp(self) -> None:
        self.model_tester = SmallModel(self.package.BioGptConfig)


class TheirsTest(ConfigTests, ModelTesterMixin, GenerationTesterMixin, unittest.TestCase):
    package = transformers
    all_model_classes = tuple(getattr(transformers, name) for name in NAMES)

    def setUp(self) -> None:
        self.model_tester = SmallModel(self.package.BioGptConfig)
