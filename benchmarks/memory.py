"""Memory of a model from its file to its 20th token, and the time to the first one, each in a process of its own.

    python benchmarks/memory.py --directory DIR [--shapes mini base large] [--starts 3] [--output FILE]

Models with random weights in the released shapes are written to the directory, tensor by tensor, and stay there. The
memory is VmHWM of the process, as Linux tells it, imports and mapped pages of files included. The times are medians;
they say little on a machine that does anything else.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PROMPT = "Aspirin reduces the risk of"
NUM_NEW = 20


def write_model(shape: str, path: Path) -> None:
    """A model in float32 with random weights: one file, or shards of some layers where it is large."""
    import torch
    from safetensors.torch import save_file

    from biogpt.model.checkpoint import resolve_model
    from biogpt.model.config import BioGptConfig
    from biogpt.model.stored import StoredModel
    from biogpt.text.tokenizer import BioGptTokenizer

    if (path / "tokenizer_config.json").exists():
        return
    path.mkdir(parents=True, exist_ok=True)
    config = BioGptConfig.preset(shape)
    config.architectures = ["BioGptForCausalLM"]
    config.save_pretrained(path)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in StoredModel(config).state_dict().items()}
    del shapes["output_projection.weight"]
    torch.manual_seed(0)
    shards: dict[int, list[str]] = {}
    for name in shapes:
        match = re.search(r"layers\.(\d+)\.", name)
        shards.setdefault(int(match[1]) // 8 if match and shape == "large" else 0, []).append(name)
    files: dict[str, str] = {}
    for number, names in shards.items():
        file = "model.safetensors" if len(shards) == 1 else f"model-{number}.safetensors"
        tensors = {}
        for name in names:
            is_norm = "layer_norm" in name
            start = torch.ones if name.endswith("weight") and is_norm else torch.zeros
            is_random = name.endswith("weight") and not is_norm
            tensors[name] = torch.randn(shapes[name]).mul_(0.02) if is_random else start(shapes[name])
            files[name] = file
        save_file(tensors, path / file, metadata={"format": "pt"})
    if len(shards) > 1:
        (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    # The bundled vocabulary, filled up to the size of the released one.
    bundled = resolve_model("mini")
    vocabulary = json.loads((bundled / "vocab.json").read_text(encoding="utf-8"))
    vocabulary |= {f"filler{index}</w>": index for index in range(len(vocabulary), config.vocab_size)}
    vocab_file = path / "vocab.json"
    vocab_file.write_text(json.dumps(vocabulary), encoding="utf-8")
    BioGptTokenizer(str(vocab_file), str(bundled / "merges.txt")).save_pretrained(path)


def write_bin(source: Path, path: Path) -> None:
    """The same model in a PyTorch file."""
    import torch
    from safetensors.torch import load_file

    if (path / "tokenizer_config.json").exists():
        return
    path.mkdir(parents=True, exist_ok=True)
    torch.save(load_file(source / "model.safetensors"), path / "pytorch_model.bin")
    for file in (*source.glob("*.json"), *source.glob("*.txt")):
        (path / file.name).write_bytes(file.read_bytes())


def run_alone(path: str, dtype: str) -> dict[str, Any]:
    """Load and generate, in this process, which did nothing else."""
    start = time.perf_counter()
    from biogpt.engine.engine import Engine

    imported = time.perf_counter()
    engine = Engine.from_pretrained(path, dtype=dtype, device="cpu")
    loaded = time.perf_counter()
    (completion,) = engine.generate(PROMPT, temperature=0, max_new_tokens=NUM_NEW, min_new_tokens=NUM_NEW)
    return {
        "is_int8": engine.network.is_int8,
        "import_seconds": round(imported - start, 2),
        "load_seconds": round(loaded - imported, 2),
        "generate_seconds": round(time.perf_counter() - loaded, 2),
        "peak_mb": round(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6),  # type: ignore[index]
        "ids": list(completion.token_ids),
    }


def measure(path: Path | str, dtype: str) -> dict[str, Any]:
    """`run_alone` in a new process."""
    command = [sys.executable, __file__, "--alone", str(path), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def measure_start(path: Path | str, times: int) -> dict[str, float]:
    """Seconds and processor seconds from the start of `biogpt generate` until its first token can be read."""
    walls, processor = [], []
    command = [sys.executable, "-m", "biogpt", "generate", PROMPT, "-m", str(path), "--max-new-tokens", "1"]
    # As in an installation: modules are compiled once, in the first of the starts, which does not count.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(times + 1):
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout is not None
            read = b""
            while len(read) <= len(PROMPT) and (more := os.read(process.stdout.fileno(), 1000)):
                read += more
            walls.append(time.perf_counter() - start)
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            processor.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "wall_seconds": round(statistics.median(walls[1:]), 2),
        "processor_seconds": round(statistics.median(processor[1:]), 2),
    }


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--shapes", nargs="+", default=["mini", "base", "large"], choices=("mini", "base", "large"))
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--alone", nargs=2, metavar=("MODEL", "DTYPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(run_alone(*arguments.alone)))
        return
    if arguments.directory is None:
        parser.error("--directory is needed: where models are written")
    from record import write_result

    from biogpt.model.conversion import convert

    cases: list[tuple[str, Path | str, str]] = []
    starts: list[tuple[str, Path | str]] = []
    if "mini" in arguments.shapes:
        cases.append(("mini, float32", "mini", "float32"))
        starts.append(("mini", "mini"))
    for shape in ("base", "large"):
        if shape not in arguments.shapes:
            continue
        path = arguments.directory / shape
        write_model(shape, path)
        cases.append((f"{shape}, int8 from safetensors", path, "int8"))
        if shape == "base":
            write_bin(path, arguments.directory / "base-bin")
            cases.append((f"{shape}, int8 from a PyTorch file", arguments.directory / "base-bin", "int8"))
        converted = arguments.directory / f"{shape}-int8"
        if not converted.exists():
            convert(path, converted, "int8")
        cases.append((f"{shape}, converted to int8", converted, "int8"))
        starts.append((f"{shape}, converted to int8", converted))
    measured: dict[str, Any] = {}
    ids: dict[str, list[int]] = {}
    for name, model, dtype in cases:
        measure(model, dtype)  # so that the file is in the system's cache
        found = measure(model, dtype)
        shape = name.partition(",")[0]
        found["same_ids"] = ids.setdefault(shape, found["ids"]) == found.pop("ids")
        measured[name] = found
        print(f"{name:34s} {json.dumps(found)}", flush=True)
    first_token = {name: measure_start(model, arguments.starts) for name, model in starts} if arguments.starts else {}
    for name, each in first_token.items():
        print(f"{name:34s} first token: {json.dumps(each)}", flush=True)
    result = write_result("memory", {"runs": measured, "first_token": first_token}, arguments.output)
    print(result)


if __name__ == "__main__":
    main()
