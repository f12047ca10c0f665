"""Models on disk: from a name to a directory, and from a directory to a model and its tokenizer, checked file by file.

A directory has Hugging Face's layout, or fairseq's (`checkpoint.pt`, `dict.txt`, `bpecodes`). Foreign files are data
here: nothing in them is run. Knows nothing of what a model is used for. Importing this module does not import torch.
"""

from __future__ import annotations

import gc
import json
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from biogpt.config import check_format_version
from biogpt.errors import BioGptError, CheckpointError, DataError, InputError, suggest
from biogpt.model import difference, fairseq
from biogpt.model.difference import DIFFERENCE_FILE

if TYPE_CHECKING:
    import torch

    from biogpt.model.config import BioGptConfig
    from biogpt.model.modeling import AnyModel, BioGptPreTrainedModel
    from biogpt.text.tokenizer import BioGptTokenizer

_SMALL_FILES = ("*.json", "*.txt", "*.toml")  # configuration, vocabulary, the task of a fine-tuned model
_ASSETS = Path(__file__).resolve().parents[1] / "assets"

# Bundled models: name -> directory; those that were fine-tuned bear their task's name. They go before a directory of
# that name, which is reached as ./name.
BUNDLED = {
    "mini": _ASSETS / "mini",
    **{path.name: path for path in sorted((_ASSETS / "tasks").glob("[!.]*")) if path.is_dir()},
}

CONFIG_FILE = "config.json"
CONFIG_FORMAT_VERSION = 1
"""Of a model's directory, as its `config.json` says. It rises when an older biogpt would misread the model. Directories
of version 0.1.0 and of other programs do not have one."""
VOCAB_FILE = "vocab.json"
MERGES_FILE = "merges.txt"
SAFETENSORS_FILE = "model.safetensors"
SAFETENSORS_INDEX_FILE = "model.safetensors.index.json"
PYTORCH_FILE = "pytorch_model.bin"
PYTORCH_INDEX_FILE = "pytorch_model.bin.index.json"
INT8_FILE = "int8.safetensors"
INT8_FORMAT_VERSION = 1
"""Of that file, as `config.json` says beside it under `int8`."""
FAIRSEQ_FILE = "checkpoint.pt"
DICTIONARY_FILE = "dict.txt"
CODES_FILE = "bpecodes"
ADAPTER_CONFIG_FILE = "adapter_config.json"

# What a directory's `config.json` says under `architectures` -> the class of ours.
_OTHER_HEADS = ("BioGptForTokenClassification", "BioGptForSequenceClassification")
_ARCHITECTURES = ("BioGptForCausalLM", *_OTHER_HEADS)

# More rows than this beyond the dictionary's are no soft prompt (the paper tries up to 17) but another vocabulary.
_MOST_LEARNED = 100

Model = TypeVar("Model", bound="BioGptPreTrainedModel")
Made = TypeVar("Made")

Opener = Callable[[], Mapping[str, "torch.Tensor"]]
"""Opens a file of weights. They are read from the disk when they are used, and as long as they are kept."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")
_REVISION = re.compile(r"[A-Za-z0-9][\w.\-/]*")  # a branch, a tag or a commit


def resolve_model(name: str | Path) -> Path:
    """The directory of a model.

    Args:
        name: a bundled model (`mini`, or the name of a task that a bundled one is fine-tuned for), a directory, or a
            Hugging Face hub id (`microsoft/biogpt`), perhaps with a branch, tag or commit behind an `@`
            (`microsoft/biogpt@main`). A hub id is fetched once and found on this machine afterwards, offline too; a
            directory of the same name goes first. Only data files are fetched, never code.

    Raises:
        CheckpointError: there is no such model, or the hub cannot be reached and has not been fetched from before.
        InputError: a revision of something that is not on the hub.
    """
    if str(name) in BUNDLED:
        path = BUNDLED[str(name)]
        if not path.is_dir():
            raise CheckpointError(
                f"The bundled model '{name}' is not at {path}, where this installation should have it. Reinstall "
                "biogpt, or name another model."
            )
        return path
    path = Path(name).expanduser()
    if str(name) and path.is_dir():  # an empty name would be the current directory
        return path
    known = f"a bundled model ({', '.join(BUNDLED)}), a directory, or a hub id (organisation/name)"
    if path.is_file():
        raise CheckpointError(f"{path} is a file, expected {known}. Name the directory that holds the model's files.")
    base, revision = split_revision(str(name))
    if revision is not None and (base in BUNDLED or Path(base).expanduser().is_dir()):
        kind = "a bundled model" if base in BUNDLED else "a directory"
        raise InputError(
            f"Got the revision '{revision}' of '{base}', which is {kind}; expected a hub id (organisation/name): only "
            "the hub has revisions. Leave the revision out."
        )
    if isinstance(name, str) and _HUB_ID.fullmatch(base):
        if revision is not None and not _REVISION.fullmatch(revision):
            raise InputError(f"Got the revision '{revision}' of '{base}', expected a branch, a tag or a commit.")
        return _fetch_from_hub(base, revision)
    raise CheckpointError(f"Unknown model '{name}', expected {known}.{suggest(str(name), BUNDLED)} Check the name.")


def find_fairseq_file(path: Path) -> Path | None:
    """fairseq's checkpoint in the directory `path` (or `path` itself), or None where it is Hugging Face's.

    Raises:
        CheckpointError: there are several, and none is called `checkpoint.pt`.
    """
    if path.is_file():
        return path
    files = sorted(path.glob("*.pt"))
    if (path / CONFIG_FILE).exists() or not files:
        return None
    if path / FAIRSEQ_FILE in files:
        return path / FAIRSEQ_FILE
    if len(files) > 1:
        raise CheckpointError(
            f"{path} has {len(files)} checkpoints ({files[0].name}, {files[1].name}, ...), expected one, or one called "
            f"{FAIRSEQ_FILE}. Rename the one you mean, or put it into a directory of its own."
        )
    return files[0]


def load_config(path: Path) -> BioGptConfig:
    """The configuration of the model in the directory `path`.

    Raises:
        CheckpointError: `config.json` is missing, damaged, impossible, that of another kind of model, or of a newer
            biogpt.
    """
    from huggingface_hub.errors import StrictDataclassError

    from biogpt.model.config import BioGptConfig

    if fairseq_file := find_fairseq_file(path):
        return fairseq.read_checkpoint(fairseq_file)[0]
    file = path / CONFIG_FILE
    values = read_json_object(file)
    check_format_version(values, CONFIG_FORMAT_VERSION, file, error=CheckpointError)
    values.pop("int8", None)  # says how the weights are saved, see find_weights
    model_type = values.get("model_type")
    if model_type != BioGptConfig.model_type:
        raise CheckpointError(
            f"{file}: model_type is {model_type!r}, expected '{BioGptConfig.model_type}'. Name a BioGPT's directory."
        )
    try:
        config: BioGptConfig = BioGptConfig.from_dict(values)
        config.check_network()
        return config
    except (BioGptError, StrictDataclassError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise CheckpointError(f"{file}: {_in_one_line(error)} Correct the file, or fetch it again.") from error


def read_model(path: Path) -> tuple[BioGptConfig, dict[str, torch.Tensor]]:
    """Configuration and weights of the language model in the directory `path`, checked against each other.

    Hugging Face's weights come from `model.safetensors`, its shards, or `pytorch_model.bin`, the first that is there.
    Every tensor of the model must be there in the right shape, and no other: what is left over means that another
    network was saved. A tied projection is left out. Weights keep the precision of the file, and may still lie in it.

    Raises:
        CheckpointError: a file is missing, damaged, or does not fit the configuration; or the model has another head.

    Warns:
        UserWarning: there are weights that are no numbers.
    """
    from biogpt.model.modeling import BioGptForCausalLM

    config, file, weights = read_files(path)
    check_is_causal(path, config)
    check_weights(file, config, weights, BioGptForCausalLM)
    return config, weights


def find_class(config: BioGptConfig, path: Path) -> type[AnyModel]:
    """The class of the model that a configuration describes; where it does not say, it is a language model.

    Raises:
        CheckpointError: a class that BioGPT does not have.
    """
    from biogpt.model import modeling

    name = (config.architectures or _ARCHITECTURES)[0]
    if name not in _ARCHITECTURES:
        raise CheckpointError(
            f"{path / CONFIG_FILE}: the architecture is {name!r}, expected one of {', '.join(_ARCHITECTURES)}. Name a "
            "model that has one of these heads."
        )
    model_class: type[AnyModel] = getattr(modeling, name)
    return model_class


def check_is_causal(path: Path, config: BioGptConfig) -> None:
    """Raise where the model in the directory `path` has another head than a language model's."""
    if config.architectures and config.architectures[0] in _OTHER_HEADS:
        raise wrong_head(path, config.architectures[0])


def assemble_model(model_class: type[Model], config: BioGptConfig, weights: Mapping[str, torch.Tensor]) -> Model:
    """A model in evaluation mode, in float32, out of checked weights."""
    import torch

    config.dtype = None  # what the file has; the model has float32
    with torch.device("meta"):  # shapes only: filling the weights at random first would take longer than reading them
        model = model_class(config)
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()}, strict=False, assign=True)
    model.tie_weights()
    model.eval()
    return model


def read_files(path: Path) -> tuple[BioGptConfig, Path, dict[str, torch.Tensor]]:
    """Configuration, the file that the weights come from, and the weights without a tied projection; not yet checked
    against each other."""
    if fairseq_file := find_fairseq_file(path):
        config, own = fairseq.read_checkpoint(fairseq_file)
        return config, fairseq_file, own
    config = load_config(path)
    file, openers = find_weights(path)
    weights: dict[str, torch.Tensor] = {}
    for opener in openers:
        weights.update(opener())
    if file.name == INT8_FILE:
        from biogpt.model.quantization import restore_weights

        if config.tie_word_embeddings:  # the embedding is there as it was, and more exact
            weights = {name: tensor for name, tensor in weights.items() if not name.startswith(fairseq.PROJECTION)}
        weights = restore_weights(file, weights)
    if config.tie_word_embeddings and fairseq.PROJECTION in weights:
        check_tied(file, weights.pop(fairseq.PROJECTION), weights.get(fairseq.EMBEDDING))
    return config, file, weights


def check_tied(file: Path, projection: torch.Tensor, embedding: torch.Tensor | None) -> None:
    """Raise unless the two are the same matrix, saved twice."""
    import torch

    if embedding is not None and not torch.equal(projection, embedding):
        raise CheckpointError(
            f"{file}: {fairseq.PROJECTION} differs from {fairseq.EMBEDDING}, expected the same matrix since "
            f'{CONFIG_FILE} ties them. Set "tie_word_embeddings": false there if both are meant.'
        )


def check_weights(
    file: Path, config: BioGptConfig, weights: Mapping[str, torch.Tensor], model_class: type[BioGptPreTrainedModel]
) -> None:
    """Raise unless names and shapes are those of the configuration; warn of weights that are no numbers."""
    check_shapes(file, config, weights, lay_out(file, config, len(weights), model_class).state_dict())
    broken = [name for name, tensor in weights.items() if not is_finite(tensor)]
    if broken:
        warn_of_broken(file, broken, stacklevel=4)


def lay_out(file: Path, config: BioGptConfig, num_tensors: int, make: Callable[[BioGptConfig], Made]) -> Made:
    """A model of a configuration, without memory for its weights.

    Args:
        file: where the weights are, for messages.
        config: of the model.
        num_tensors: that the file has.
        make: makes the model.

    Raises:
        CheckpointError: the configuration's sizes are impossible.
    """
    import torch

    if config.num_hidden_layers > num_tensors:  # a number out of a damaged file could take for ever to lay out
        raise CheckpointError(
            f"{file}: got {num_tensors} tensors, expected those of the {config.num_hidden_layers} layers that "
            f"{CONFIG_FILE} describes. Put files together that were saved together."
        )
    try:
        with torch.device("meta"):
            return make(config)
    except (RuntimeError, OverflowError, TypeError) as error:  # sizes beyond what a tensor can have
        raise CheckpointError(
            f"{file}: the configuration's sizes are impossible ({_in_one_line(error)}), expected those of a BioGPT. "
            "Fetch the model again."
        ) from error


def check_shapes(
    file: Path, config: BioGptConfig, weights: Mapping[str, torch.Tensor], expected: dict[str, torch.Tensor]
) -> None:
    """Raise unless names and shapes are the expected ones, of a model with all its tensors."""
    if config.tie_word_embeddings:
        expected.pop(fairseq.PROJECTION, None)
    _check_names(file, weights, expected)
    for name, tensor in weights.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{file}: {name} has shape {tuple(tensor.shape)}, expected {tuple(expected[name].shape)} from "
                f"{CONFIG_FILE}. Put files together that were saved together."
            )
        if not tensor.is_floating_point():
            raise CheckpointError(
                f"{file}: {name} holds {tensor.dtype}, expected floating-point numbers. Fetch the model again."
            )


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether all of a tensor are numbers."""
    import torch

    return bool(tensor.sum(dtype=torch.float32).isfinite())


def warn_of_broken(file: Path, names: Sequence[str], stacklevel: int) -> None:
    """Warn of tensors that are not numbers."""
    warnings.warn(
        f"{file}: {len(names)} tensors hold values that are not finite numbers (such as "
        f"{fairseq.show_name(names[0])}), expected numbers. The model will write nonsense: fetch it again.",
        stacklevel=stacklevel,
    )


def load_tokenizer(path: Path, vocab_size: int) -> BioGptTokenizer:
    """The tokenizer in the directory `path`.

    Args:
        path: directory with `vocab.json`, `merges.txt` and perhaps `tokenizer_config.json`, or fairseq's with
            `dict.txt` and `bpecodes`.
        vocab_size: number of token ids the model knows, which must be as many as the vocabulary has.

    Raises:
        CheckpointError: a file is missing or damaged, or the vocabulary does not fit the model.
    """
    from biogpt.text.tokenizer import BioGptTokenizer

    if not (path / VOCAB_FILE).exists() and (path / DICTIONARY_FILE).exists():
        return _load_fairseq_tokenizer(path, vocab_size)
    vocab_file, merges_file = path / VOCAB_FILE, path / MERGES_FILE
    vocabulary = read_json_object(vocab_file)
    if not all(type(index) is int for index in vocabulary.values()) or sorted(vocabulary.values()) != list(
        range(len(vocabulary))
    ):
        raise CheckpointError(
            f"{vocab_file}: the ids are not the numbers 0 to {len(vocabulary) - 1}, each once, as expected. Fetch or "
            "save the file again."
        )
    _read_text(merges_file)
    try:
        with _without_collection():
            tokenizer = BioGptTokenizer.from_pretrained(str(path), local_files_only=True)
    except (BioGptError, OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise CheckpointError(
            f"{path}: the tokenizer cannot be made from {VOCAB_FILE}, {MERGES_FILE} and tokenizer_config.json "
            f"({_in_one_line(error)}), expected files that belong together. Fetch or save them again."
        ) from error
    if len(tokenizer) != vocab_size:
        raise CheckpointError(
            f"{vocab_file}: the vocabulary has {len(tokenizer)} entries, expected {vocab_size} as the model's weights "
            f"and {CONFIG_FILE} have. Put files together that were saved together."
        )
    return tokenizer  # type: ignore[no-any-return]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage: the many small objects of a vocabulary are none, and to look at all there are takes long."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


def _load_fairseq_tokenizer(path: Path, vocab_size: int) -> BioGptTokenizer:
    """The tokenizer of `dict.txt` and `bpecodes`.

    Rows of the embedding beyond the dictionary are a soft prompt: they become the special tokens learned1, learned2...,
    which decoding leaves out with `skip_special_tokens=True`.
    """
    from biogpt.text import bpe
    from biogpt.text.tokenizer import BioGptTokenizer

    for name in (DICTIONARY_FILE, CODES_FILE):
        _read_text(path / name)
    try:
        vocabulary = bpe.read_fairseq_vocabulary(path / DICTIONARY_FILE, path / CODES_FILE)
    except DataError as error:
        raise CheckpointError(str(error)) from error
    num_learned = vocab_size - len(vocabulary.ids)
    if not 0 <= num_learned <= _MOST_LEARNED:
        raise CheckpointError(
            f"{path / DICTIONARY_FILE}: the vocabulary has {len(vocabulary.ids)} entries, expected {vocab_size} as the "
            "model's weights have. Put files together that belong together."
        )
    learned = [f"learned{number}" for number in range(1, num_learned + 1)]
    ids = {**vocabulary.ids, **{token: len(vocabulary.ids) + index for index, token in enumerate(learned)}}
    with tempfile.TemporaryDirectory() as directory:
        files = bpe.write_vocabulary(bpe.Vocabulary(ids, vocabulary.merges), directory)
        settings: dict[str, Any] = {"extra_special_tokens": learned} if learned else {}
        return BioGptTokenizer(*files, **settings)


def split_revision(name: str) -> tuple[str, str | None]:
    """A model's name and, where it has one behind an `@`, the revision; a directory's name is left whole."""
    base, sign, revision = name.partition("@")
    return (base, revision) if sign and not Path(name).expanduser().is_dir() else (name, None)


def commit_of(path: Path) -> str | None:
    """The hub's commit that a model's directory was fetched from; None where it does not come from the hub."""
    return path.name if path.parent.name == "snapshots" else None


def _fetch_from_hub(hub_id: str, revision: str | None = None) -> Path:
    """The local copy of a hub model, fetched if it is not there or outdated."""
    from huggingface_hub import snapshot_download

    name = f"{hub_id}@{revision}" if revision else hub_id
    # Many hub models carry their weights twice; the PyTorch file is fetched only where it is the only one.
    try:
        path = Path(snapshot_download(hub_id, revision=revision, allow_patterns=[*_SMALL_FILES, "*.safetensors"]))
        if not any(path.glob("*.safetensors")):
            patterns = [*_SMALL_FILES, "pytorch_model*.bin"]
            path = Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except Exception as error:  # the hub client lets through errors of its network library, which varies by version
        raise CheckpointError(
            f"Unknown model '{name}': there is no such directory, no copy from an earlier fetch, and the Hugging "
            f"Face hub {_why_not_fetched(error)}. Check the name and the network, or name a directory."
        ) from error
    return path


def _why_not_fetched(error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.HF_HUB_OFFLINE:
        return "was not asked since HF_HUB_OFFLINE is set"
    if isinstance(error, GatedRepoError):
        return "wants you to accept its terms and to log in first ('hf auth login')"
    if isinstance(error, RepositoryNotFoundError):
        return "has no model of this name that you may read"
    if isinstance(error, RevisionNotFoundError):
        return "has no such branch, tag or commit of this model"
    return f"could not be reached ({type(error.__cause__ or error).__name__})"


def find_weights(path: Path) -> tuple[Path, list[Opener]]:
    """The file that holds the weights (the index, where they are in shards), and what opens it, or each shard.

    Raises:
        CheckpointError: there is none, or a newer biogpt wrote it.
    """
    if (path / DIFFERENCE_FILE).exists():
        return path / DIFFERENCE_FILE, [lambda: _read_difference(path / DIFFERENCE_FILE)]
    if (path / INT8_FILE).exists():
        mark = read_json_object(path / CONFIG_FILE).get("int8")
        settings = mark if isinstance(mark, dict) else {}
        check_format_version(
            settings, INT8_FORMAT_VERSION, f"{path / CONFIG_FILE}, int8", is_required=True, error=CheckpointError
        )
        return path / INT8_FILE, [partial(_OpenedSafetensors, path / INT8_FILE)]
    for name, index_name, read in (
        (SAFETENSORS_FILE, SAFETENSORS_INDEX_FILE, read_safetensors),
        (PYTORCH_FILE, PYTORCH_INDEX_FILE, _read_pytorch),
    ):
        if (path / name).exists():
            return path / name, [partial(read, path / name)]
        if (path / index_name).exists():
            return path / index_name, [partial(read, shard) for shard in _list_shards(path / index_name)]
    raise CheckpointError(
        f"{path} has no weights, expected {SAFETENSORS_FILE} (or {SAFETENSORS_INDEX_FILE}, or {PYTORCH_FILE}). Fetch "
        "or save the model again."
    )


def _read_difference(file: Path) -> dict[str, torch.Tensor]:
    tensors = read_safetensors(file)
    base = difference.read_base(file)
    _, _, base_weights = read_files(resolve_model(base))
    return difference.apply_difference(file, tensors, base, base_weights)


def _list_shards(index_file: Path) -> list[Path]:
    weight_map = read_json_object(index_file).get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_file_name(name) for name in weight_map.values()):
        raise CheckpointError(
            f"{index_file}: no weight_map of tensors to files of this directory, as expected. Fetch it again."
        )
    return [index_file.parent / name for name in sorted(set(weight_map.values()))]


def read_safetensors(file: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, as stored.

    Raises:
        CheckpointError: the file cannot be read or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, "a whole safetensors file", error) from error


class _OpenedSafetensors(Mapping[str, "torch.Tensor"]):
    """The tensors of a file, each made when it is asked for: a file that is opened several times has hundreds.

    Raises:
        CheckpointError: the file cannot be read or is damaged.
    """

    def __init__(self, file: Path) -> None:
        from safetensors import SafetensorError, safe_open

        opener: Any = safe_open  # it has no types
        try:
            self._opened = opener(file, framework="pt")
        except (SafetensorError, OSError) as error:
            raise _unreadable(file, "a whole safetensors file", error) from error
        self._names: dict[str, None] = dict.fromkeys(self._opened.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._names:
            raise KeyError(name)
        tensor: torch.Tensor = self._opened.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _read_pytorch(file: Path) -> dict[str, torch.Tensor]:
    import torch

    weights = fairseq.load_inertly(file)
    if not isinstance(weights, Mapping) or not all(isinstance(tensor, torch.Tensor) for tensor in weights.values()):
        raise CheckpointError(
            f"{file}: got something else than named tensors, expected a state dictionary. Save the model again."
        )
    if not all(isinstance(name, str) for name in weights) or any(
        tensor.layout != torch.strided or tensor.is_meta or not tensor.is_contiguous() for tensor in weights.values()
    ):
        raise CheckpointError(
            f"{file}: got tensors that are no plain ones, expected those of a BioGPT. Fetch it again."
        )
    return dict(weights)


def _check_names(file: Path, got: Iterable[str], expected: Iterable[str]) -> None:
    """Raise unless the two sets of tensor names are the same."""
    missing, unknown = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    differences = [
        f"{len(names)} {what} (such as {fairseq.show_name(names[0])})"
        for names, what in ((missing, "missing"), (unknown, "unknown to it"))
        if names
    ]
    if differences:
        raise CheckpointError(
            f"{file}: tensors differ from those of the BioGPT that {CONFIG_FILE} describes, which were expected: "
            f"{', '.join(differences)}. Put files together that were saved together."
        )


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{file} is missing, expected it beside the model's other files. Fetch or save the model again."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(file, "text in UTF-8", error) from error


def read_json_object(file: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        CheckpointError: the file is missing, no JSON in UTF-8, or holds something else than an object.
    """
    text = _read_text(file)
    try:
        values = json.loads(text)
    except ValueError as error:
        raise _unreadable(file, "JSON", error) from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: got a JSON {type(values).__name__}, expected an object. Fetch the file again.")
    return values


def wrong_head(path: Path, name: str) -> CheckpointError:
    """The error of whoever needs a language model and gets the class `name`."""
    return CheckpointError(
        f"{path} holds a {name}, expected a model that writes text (BioGptForCausalLM). Name another model, or let "
        "'biogpt predict' run this one."
    )


def _unreadable(file: Path, expected: str, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{file} cannot be read ({_in_one_line(error)}), expected {expected}. If it is cut short, fetch it again."
    )


def _is_file_name(name: object) -> bool:
    """Whether a shard's name stays inside its directory."""
    return isinstance(name, str) and Path(name).name == name


def _in_one_line(error: Exception, max_length: int = 200) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= max_length else text[: max_length - 3] + "..."
