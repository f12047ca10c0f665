"""Time and peak memory of reading and converting checkpoints of the released layout at full size, with random weights.

    python benchmarks/checkpoints.py base --vocabulary DIR

DIR holds `dict.txt` and `bpecodes` of that size. Each step runs in a process of its own. Its peak memory is the largest
resident set (mapped pages of the file included), less that of a process which only imports the same modules; the ratio
is to the size of the checkpoint's file.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from record import write_result

STEPS = {
    "imports": "import transformers, torch, biogpt.model.modeling, biogpt.text.tokenizer, biogpt.model.conversion",
    "load fairseq": "biogpt.model.checkpoint.load_causal_lm(path / 'fairseq')",
    "convert to hf": "biogpt.model.conversion.convert(path / 'fairseq', path / 'hf', 'hf')",
    "load hf": "biogpt.model.checkpoint.load_causal_lm(path / 'hf')",
    "convert to fairseq": "biogpt.model.conversion.convert(path / 'hf', path / 'back', 'fairseq')",
}


def write_released_layout(path: Path, size: str, dtype: torch.dtype, vocabulary: Path) -> None:
    """`checkpoint.pt` with a doubled projection, optimizer history and a Namespace, and the vocabulary beside it."""
    from biogpt import BioGptConfig, BioGptForCausalLM
    from biogpt.model import fairseq

    config = BioGptConfig.preset(size)
    with torch.device("meta"):
        shapes = BioGptForCausalLM(config).state_dict()
    torch.manual_seed(0)
    weights = {
        name: torch.randn(tensor.shape, dtype=dtype).mul_(0.02)
        for name, tensor in shapes.items()
        if name != fairseq.PROJECTION
    }
    fairseq.write_checkpoint(path / "checkpoint.pt", config, weights)
    for name in ("dict.txt", "bpecodes"):
        (path / name).write_bytes((vocabulary / name).read_bytes())


def run_step(name: str, path: Path) -> dict[str, float]:
    """Seconds and peak bytes of one step in a process of its own."""
    program = "\n".join(
        [
            "import pathlib, sys, resource, time",
            STEPS["imports"],
            f"path = pathlib.Path({str(path)!r})",
            "start = time.perf_counter()",
            "" if name == "imports" else STEPS[name],
            "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
            "print(time.perf_counter() - start, peak * (1 if sys.platform == 'darwin' else 1024))",
        ]
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    seconds, peak = output.split()[-2:]
    return {"seconds": round(float(seconds), 2), "peak_bytes": int(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("size", choices=["base", "large"])
    parser.add_argument("--vocabulary", type=Path, required=True)
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32")
    parser.add_argument("--name", default="checkpoints", help="name of the result in benchmarks/results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        (path / "fairseq").mkdir()
        # in a process of its own, whose memory is not held while the steps run
        child = os.fork()
        if child == 0:
            write_released_layout(
                path / "fairseq", arguments.size, getattr(torch, arguments.dtype), arguments.vocabulary
            )
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit("The checkpoint could not be written.")
        file_bytes = (path / "fairseq/checkpoint.pt").stat().st_size
        steps = {name: run_step(name, path) for name in STEPS}
        for name, step in steps.items():
            step["ratio"] = round((step["peak_bytes"] - steps["imports"]["peak_bytes"]) / file_bytes, 3)
            print(
                f"{name:20} {step['seconds']:8.2f} s {step['peak_bytes'] / 2**20:8.0f} MiB  {step['ratio']:.3f} x file"
            )
        is_same = same_tensors(path)
    measured = {
        "size": arguments.size,
        "dtype": arguments.dtype,
        "file_bytes": file_bytes,
        "there_and_back_identical": is_same,
        "steps": steps,
    }
    print(f"there and back identical: {is_same}; {write_result(arguments.name, measured)}")


def same_tensors(path: Path) -> bool:
    """Whether the weights that went to Hugging Face's layout and back are those of the first file."""
    from biogpt.model import fairseq

    first = fairseq.read_checkpoint(path / "fairseq/checkpoint.pt")[1]
    second = fairseq.read_checkpoint(path / "back/checkpoint.pt")[1]
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


if __name__ == "__main__":
    main()
