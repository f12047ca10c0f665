import pytest
from huggingface_hub.errors import StrictDataclassError
from torch import nn

from biogpt import BioGptConfig, BioGptForTokenClassification, BioGptModel
from biogpt.errors import ConfigError

TINY = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 10,
}

DEFAULTS = {
    "vocab_size": 42384,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 1024,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "scale_embedding": True,
    "use_cache": True,
    "layerdrop": 0.0,
    "activation_dropout": 0.0,
    "classifier_dropout": None,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "tie_word_embeddings": True,
    "problem_type": None,
    "num_labels": 2,
}


def test_the_defaults_are_those_of_the_released_model():
    config = BioGptConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    base = BioGptConfig.preset("base").to_dict()
    assert base == config.to_dict()


def test_large_is_the_papers():
    large = BioGptConfig.preset("large", use_cache=False)
    shape = (large.hidden_size, large.num_hidden_layers, large.num_attention_heads, large.intermediate_size)
    assert shape == (1600, 48, 25, 6400)
    assert (large.vocab_size, large.max_position_embeddings, large.use_cache) == (57717, 2048, False)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match=r"Unknown preset 'larg', expected one of mini, base, large. Did you mean 'l"):
        BioGptConfig.preset("larg")


@pytest.mark.parametrize(
    ("configured", "in_force"), [(1e-12, 1e-5), (1e-5, 1e-5), (1e-6, 1e-6), (1e-11, 1e-11), (0.0, 0.0)]
)
def test_the_layer_norm_rule(configured, in_force):
    """The released files state 1e-12 and were trained with 1e-5; every other value is meant."""
    model = BioGptModel(BioGptConfig(layer_norm_eps=configured, **TINY))
    found = {module.eps for module in model.modules() if isinstance(module, nn.LayerNorm)}
    assert found == {in_force}
    assert model.config.layer_norm_eps == configured


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"vocab_size": 0}, "vocab_size=0: expected at least 1"),
        ({"hidden_size": -8}, "hidden_size=-8: expected at least 1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers=0"),
        ({"num_attention_heads": 0}, "num_attention_heads=0"),
        ({"intermediate_size": 0}, "intermediate_size=0"),
        ({"max_position_embeddings": 0}, "max_position_embeddings=0"),
        ({"hidden_act": "gelo"}, r"Unknown hidden_act='gelo', expected .* Did you mean 'gelu'\?"),
        ({"hidden_dropout_prob": 1.5}, "Got hidden_dropout_prob=1.5, expected a probability"),
        ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob=-0.1"),
        ({"activation_dropout": 2.0}, "activation_dropout=2.0"),
        ({"classifier_dropout": 2.0}, "classifier_dropout=2.0"),
        ({"layerdrop": -1.0}, "layerdrop=-1.0"),
        ({"initializer_range": -0.02}, "Got initializer_range=-0.02, expected a number from 0 up"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps=-1.0"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps=nan"),
        ({"pad_token_id": 20}, "pad_token_id=20 is not among the token ids, expected less than vocab_size=20"),
    ],
)
def test_impossible_values_are_refused_by_name(changes, says):
    with pytest.raises(ConfigError, match=says) as caught:
        BioGptConfig(**{**TINY, **changes})
    assert "\n" not in str(caught.value)


def test_values_of_a_wrong_type_are_refused_by_name():
    with pytest.raises(StrictDataclassError, match="hidden_size"):
        BioGptConfig(hidden_size="wide")


def test_save_and_load(tmp_path):
    config = BioGptConfig(**TINY, id2label={0: "O", 1: "B-Gene", 2: "I-Gene"}, classifier_dropout=0.3)
    config.save_pretrained(tmp_path)
    loaded = BioGptConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert loaded.num_labels == 3
    assert loaded.id2label[2] == "I-Gene"


def test_the_dropouts_reach_their_places():
    config = BioGptConfig(
        **TINY,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.2,
        activation_dropout=0.3,
        classifier_dropout=0.4,
        num_labels=5,
    )
    model = BioGptForTokenClassification(config)
    layer = model.biogpt.layers[0]
    assert (layer.dropout, layer.self_attn.dropout, layer.activation_dropout) == (0.1, 0.2, 0.3)
    assert model.dropout.p == 0.4
    assert model.classifier.out_features == 5
    config.classifier_dropout = None
    assert BioGptForTokenClassification(config).dropout.p == 0.1
