"""What a bug report should say: versions and hardware."""

import importlib.metadata
import os
import platform
import sys

PACKAGES = (
    "biogpt", "torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "numpy", "numba", "lxml",
    "accelerate", "peft",
)  # fmt: skip


def describe_environment() -> str:
    """A line for each fact: Python, the system, processors, what PyTorch computes on, and the packages' versions."""
    import torch

    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    facts = {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processors": f"{os.cpu_count()} ({platform.machine()}), {torch.get_num_threads()} threads of PyTorch",
        "gpus": ", ".join(devices) or "none that PyTorch can use",
        **{name: _version_of(name) for name in PACKAGES},
    }
    width = max(map(len, facts))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in facts.items())


def _version_of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
