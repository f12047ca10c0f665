import argparse
import collections
import enum
import os
import pickle
import re
import subprocess
import sys
import types
import typing
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from biogpt import BioGptConfig, BioGptForCausalLM
from biogpt.errors import CheckpointError
from biogpt.model import fairseq

CONFIG = BioGptConfig(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=6,
    hidden_dropout_prob=0.25,
)
SETTINGS = {
    "arch": "transformer_lm_prompt_biogpt",
    "activation_fn": "gelu",
    "dropout": 0.25,
    "attention_dropout": 0.1,
    "activation_dropout": 0.0,
    "decoder_layerdrop": 0.0,
    "decoder_embed_dim": 8,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "decoder_ffn_embed_dim": 12,
    "decoder_normalize_before": True,
    "no_scale_embedding": False,
    "share_decoder_input_output_embed": True,
    "max_target_positions": 6,
}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Under Hugging Face's names, the projection left out."""
    torch.manual_seed(0)
    weights = BioGptForCausalLM(CONFIG).state_dict()
    return {name: tensor.clone() for name, tensor in weights.items() if name != fairseq.PROJECTION}


def as_fairseq(weights: dict[str, torch.Tensor], projection: str = "shared") -> dict[str, torch.Tensor]:
    model = collections.OrderedDict({"decoder.version": torch.tensor([3.0])})
    model.update({name.replace("biogpt.", "decoder."): tensor for name, tensor in weights.items()})
    embedding = weights["biogpt.embed_tokens.weight"]
    if projection == "shared":
        model["decoder.output_projection.weight"] = embedding
    elif projection == "doubled":
        model["decoder.output_projection.weight"] = embedding.clone()
    return model


def save(path: Path, model, args=None, cfg=None, **others) -> Path:
    """A file of the released layout: what fairseq's trainer writes, optimizer state and counters included."""
    content = {
        "args": args,
        "cfg": cfg,
        "model": model,
        "criterion": collections.OrderedDict(),
        "optimizer_history": [{"criterion_name": "CrossEntropyCriterion", "num_updates": 200_000}],
        "task_state": {},
        "extra_state": {"metrics": [(0, "loss", "AverageMeter", {"val": np.float64(1.5), "round": 3})], "best": None},
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
        **others,
    }
    torch.save(content, path)
    return path


def assert_same(got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, tensor in got.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name


def make_module(monkeypatch: pytest.MonkeyPatch, name: str, **members) -> None:
    """A module of a package that is not installed, so that its classes can be pickled under their names."""
    module = types.ModuleType(name)
    for member, value in members.items():
        value.__module__, value.__qualname__ = name, member
        setattr(module, member, value)
    monkeypatch.setitem(sys.modules, name, module)
    while "." in name:
        name = name.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


@pytest.fixture
def omegaconf(monkeypatch: pytest.MonkeyPatch):
    """Turns settings into objects of omegaconf's layout, version 2: nodes with content, metadata and a parent."""
    node = type("AnyNode", (), {})
    dictionary = type("DictConfig", (), {})
    metadata = type("ContainerMetadata", (), {})
    choice = enum.Enum("DDP_BACKEND_CHOICES", {"c10d": "c10d", "legacy_ddp": "legacy_ddp"})
    make_module(monkeypatch, "omegaconf.nodes", AnyNode=node)
    make_module(monkeypatch, "omegaconf.dictconfig", DictConfig=dictionary)
    make_module(monkeypatch, "omegaconf.base", ContainerMetadata=metadata)
    make_module(monkeypatch, "fairseq.dataclass.constants", DDP_BACKEND_CHOICES=choice)

    def wrap(value, parent=None):
        described = metadata()
        described.__dict__.update(
            ref_type=typing.Any,
            object_type=dict,
            optional=True,
            key=None,
            flags={"struct": True},
            element_type=typing.Optional[int],  # noqa: UP045, as it was written then
            resolver_cache=collections.defaultdict(dict, env={}),
        )
        if isinstance(value, dict):
            wrapped = dictionary()
            content = {key: wrap(item, wrapped) for key, item in value.items()}
            wrapped.__dict__.update(_metadata=described, _parent=parent, _content=content, _flags_cache=None)
        else:
            wrapped = node()
            wrapped.__dict__.update(_metadata=described, _parent=parent, _val=value)
        return wrapped

    return lambda settings: wrap(
        {"_name": None, "model": settings, "distributed_training": {"ddp_backend": choice.legacy_ddp}}
    )


# Reading


@pytest.mark.parametrize("form", ["args", "cfg", "cfg with a Namespace", "omegaconf"])
@pytest.mark.parametrize("projection", ["shared", "doubled", "missing"])
def test_all_forms(tmp_path, weights, omegaconf, form, projection):
    model = as_fairseq(weights, projection)
    namespace = argparse.Namespace(**SETTINGS)
    forms = {
        "args": {"args": namespace},
        "cfg": {"cfg": {"model": {"_name": "transformer_lm_prompt_biogpt", **SETTINGS}}},
        "cfg with a Namespace": {"cfg": {"model": namespace, "common": {"seed": 1}}},
        "omegaconf": {"cfg": omegaconf(SETTINGS)},
    }
    config, got = fairseq.read_checkpoint(save(tmp_path / "checkpoint.pt", model, **forms[form]))
    assert_same(got, weights)
    expected = CONFIG.to_dict() | {"dtype": "float32"}
    assert config.to_dict() == expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept(tmp_path, weights, dtype):
    halved = {name: tensor.to(dtype) for name, tensor in weights.items()}
    config, got = fairseq.read_checkpoint(save(tmp_path / "c.pt", as_fairseq(halved), argparse.Namespace(**SETTINGS)))
    assert_same(got, halved)
    assert config.dtype == dtype


def test_files_from_before_pytorch_1_6(tmp_path, weights):
    content = {"args": argparse.Namespace(**SETTINGS), "model": as_fairseq(weights)}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    assert_same(fairseq.read_checkpoint(tmp_path / "c.pt")[1], weights)


def test_an_untied_projection(tmp_path, weights):
    projection = torch.randn(20, 8)
    model = as_fairseq(weights) | {"decoder.output_projection.weight": projection}
    config, got = fairseq.read_checkpoint(save(tmp_path / "c.pt", model, argparse.Namespace(**SETTINGS)))
    assert not config.tie_word_embeddings
    assert_same(got, {**weights, "output_projection.weight": projection})


def test_settings_that_are_not_there(tmp_path):
    """Heads of 64, as both published models have; the other settings as in the published configuration."""
    torch.manual_seed(0)
    config = BioGptConfig(
        vocab_size=10, hidden_size=128, num_hidden_layers=1, intermediate_size=4, num_attention_heads=2
    )
    weights = BioGptForCausalLM(config).state_dict()
    del weights["output_projection.weight"]
    got, _ = fairseq.read_checkpoint(save(tmp_path / "c.pt", as_fairseq(weights)))
    assert got.to_dict() == config.to_dict() | {"dtype": "float32"}


def test_writing_and_reading(tmp_path, weights):
    fairseq.write_checkpoint(tmp_path / "c.pt", CONFIG, weights, num_learned=9)
    config, got = fairseq.read_checkpoint(tmp_path / "c.pt")
    assert_same(got, weights)
    assert config.to_dict() == CONFIG.to_dict() | {"dtype": "float32"}
    content = torch.load(tmp_path / "c.pt", weights_only=False)  # our own file, as fairseq would read it
    assert content["args"].learned_prompt == 9
    assert content["args"].decoder_attention_heads == 2
    assert torch.equal(content["model"]["decoder.output_projection.weight"], weights["biogpt.embed_tokens.weight"])
    assert content["model"].keys() == as_fairseq(weights).keys()


# Refusing


class Trap:
    """What a pickle can do when it is read."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts


def caveats(flag: Path) -> dict[str, Trap]:
    return {
        "posix.system": Trap(os.system, f"touch {flag}"),
        "subprocess.Popen": Trap(subprocess.Popen, ["touch", str(flag)]),
        "builtins.exec": Trap(exec, f"open({str(flag)!r}, 'w')"),
        "builtins.eval": Trap(eval, f"open({str(flag)!r}, 'w')"),
        "builtins.getattr": Trap(getattr, "text", "upper"),
        "builtins.open": Trap(open, str(flag), "w"),
        "torch.load": Trap(torch.load, str(flag)),
        "torch.hub.load": Trap(torch.hub.load, "a/b", "c"),
    }


@pytest.mark.parametrize("kind", list(caveats(Path())))
@pytest.mark.parametrize("place", ["args", "cfg", "model", "tensor", "extra_state", "top"])
@pytest.mark.parametrize("is_archive", [True, False])
def test_code_is_refused_before_it_runs(tmp_path, weights, kind, place, is_archive):
    flag = tmp_path / "sprung"
    trap = caveats(flag)[kind]
    model = as_fairseq(weights)
    content = {"args": argparse.Namespace(**SETTINGS), "cfg": None, "model": model, "extra_state": {}}
    if place == "args":
        content["args"].dropout = trap
    elif place == "model":
        content["model"] = trap
    elif place == "tensor":
        model["decoder.layers.0.fc1.weight"] = trap
    elif place == "top":
        content = trap
    else:
        content[place] = {"model": trap}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=is_archive)
    with pytest.raises(CheckpointError) as caught:
        fairseq.read_checkpoint(tmp_path / "c.pt")
    assert not flag.exists()
    name = {
        "builtins.open": "_?io.open",
        "torch.load": "torch.serialization.load",
        "subprocess.Popen": "(subprocess|commands).Popen",
    }.get(kind, kind)
    assert re.search(f"would run '{name}' when it is read, expected .* Nothing was run", str(caught.value))


def test_code_in_a_bare_pickle_or_behind_a_second_name_is_refused(tmp_path):
    flag = tmp_path / "sprung"
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Trap(os.system, f"touch {flag}"), protocol=2))
    (tmp_path / "new.pt").write_bytes(pickle.dumps(Trap(os.system, f"touch {flag}"), protocol=5))
    torch.save({"model": {}}, tmp_path / "twice.pt")
    with zipfile.ZipFile(tmp_path / "twice.pt", "a") as archive:
        archive.writestr("twice/constants.pkl", pickle.dumps(Trap(os.system, f"touch {flag}"), protocol=2))
    for name in ("bare.pt", "new.pt", "twice.pt"):
        with pytest.raises(CheckpointError, match=r"would run 'posix\.system'|cannot be read \(ValueError\)"):
            fairseq.read_checkpoint(tmp_path / name)
    assert not flag.exists()


def test_inert_objects_are_nothing_but_inert(tmp_path, monkeypatch):
    """A class of fairseq's that does something when it is read is not even imported."""
    flag = tmp_path / "sprung"
    make_module(monkeypatch, "fairseq.evil", Model=type("Model", (), {"__setstate__": lambda *_: flag.touch()}))
    model = sys.modules["fairseq.evil"].Model()
    model.anything = 1
    torch.save({"cfg": {"model": model}, "model": {}}, tmp_path / "c.pt")
    content = fairseq.load_inertly(tmp_path / "c.pt")
    assert isinstance(content["cfg"]["model"], fairseq.Inert)
    assert content["cfg"]["model"].state == {"anything": 1}
    assert not flag.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda model: model.clear(), "got no weights under 'model', expected a fairseq checkpoint"),
        (lambda model: model.pop("decoder.embed_tokens.weight"), r"decoder\.embed_tokens\.weight is missing"),
        (lambda model: model.pop("decoder.embed_positions.weight"), r"decoder\.embed_positions\.weight is missing"),
        (lambda model: model.update({"encoder.x": torch.zeros(1)}), "a tensor 'encoder.x', expected names that begin"),
        (lambda model: model.update({"decoder.x": 5}), "got a int named 'decoder.x' among the weights"),
        (lambda model: model.update({7: torch.zeros(1)}), "got a Tensor named '7' among the weights"),
        (lambda model: model.update({"decoder.x": torch.zeros(1, dtype=torch.int64)}), "holds torch.int64, expected"),
        (lambda model: model.update({"decoder.x": torch.zeros(1).expand(10**6)}), "is not one piece of the file"),
        (
            lambda model: model.update({"decoder.embed_tokens.weight": torch.zeros(3)}),
            r"decoder\.embed_tokens\.weight has 1 dimensions, expected 2",
        ),
    ],
)
def test_odd_weights(tmp_path, weights, change, says):
    model = as_fairseq(weights)
    change(model)
    save(tmp_path / "c.pt", model, argparse.Namespace(**SETTINGS))
    with pytest.raises(CheckpointError, match=says):
        fairseq.read_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"decoder_attention_heads": "two"}, "give decoder_attention_heads as 'two', expected a int"),
        ({"decoder_attention_heads": 3}, r"impossible settings \(.*hidden_size=8.*num_attention_heads=3"),
        ({"activation_fn": "gelo"}, r"impossible settings \(Unknown hidden_act='gelo'"),
        ({"dropout": 7.0}, "impossible settings .*hidden_dropout_prob=7.0"),
        ({"decoder_layers": 3}, "say decoder_layers=3, expected 2 as its weights have"),
        ({"decoder_embed_dim": 16}, "say decoder_embed_dim=16, expected 8 as its weights have"),
        ({"decoder_normalize_before": False}, "say decoder_normalize_before=False, expected True"),
    ],
)
def test_odd_settings(tmp_path, weights, settings, says):
    save(tmp_path / "c.pt", as_fairseq(weights), argparse.Namespace(**{**SETTINGS, **settings}))
    with pytest.raises(CheckpointError, match=says):
        fairseq.read_checkpoint(tmp_path / "c.pt")


@pytest.mark.parametrize("kept", [0, 1, 100, 2000, -1, -100])
@pytest.mark.parametrize("is_archive", [True, False])
def test_files_that_are_cut_short(tmp_path, weights, kept, is_archive):
    content = {"args": argparse.Namespace(**SETTINGS), "model": as_fairseq(weights)}
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=is_archive)
    (tmp_path / "c.pt").write_bytes((tmp_path / "c.pt").read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"c\.pt cannot be read \(\w+\), expected a PyTorch file"):
        fairseq.read_checkpoint(tmp_path / "c.pt")


def test_missing_files(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        fairseq.read_checkpoint(tmp_path / "absent.pt")


def test_importing_the_module_imports_no_torch():
    program = "import sys, biogpt.model.fairseq, biogpt.model.conversion; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
