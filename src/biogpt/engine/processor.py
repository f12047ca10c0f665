"""Which type to compute in: what the processor at hand does well, looked up, and what was asked for."""

import functools
from pathlib import Path

import torch

from biogpt.engine.linear import Int8Linear
from biogpt.errors import InputError, suggest
from biogpt.model.quantization import quantize

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}
"""The types to compute in, by name; `auto` is one of them."""

# Smaller models are computed in float32, which is fast enough for a text, and gives the same on every machine.
_MIN_INT8_PARAMETERS = 50_000_000


def check_dtype(dtype: str) -> None:
    """Raise an `InputError` unless this is the name of a type, or `auto`."""
    names = ["auto", *DTYPES]
    if dtype not in names:
        raise InputError(f"Unknown dtype '{dtype}'.{suggest(str(dtype), names)} Expected one of {', '.join(names)}.")


def choose_dtype(dtype: str, device: torch.device, num_parameters: int) -> tuple[str, str]:
    """The type to compute in.

    Args:
        dtype: what was asked for; `auto`: the fastest that the processor does well.
        device: where the model runs.
        num_parameters: of the model.

    Returns:
        `float32`, `bfloat16` or `int8`, and why, in a few words.

    Raises:
        InputError: there is no such type.
    """
    check_dtype(dtype)
    if dtype == "int8" and not _can_int8(device):
        instead = "bfloat16" if device.type != "cpu" or processor_features() & {"bf16", "amx"} else "float32"
        return instead, f"in place of int8, for which there is no kernel on {device.type} here"
    if dtype != "auto":
        return dtype, "as asked for"
    if device.type != "cpu":
        return "bfloat16", f"on {device.type}"
    if num_parameters < _MIN_INT8_PARAMETERS:
        hint = "; int8 is faster here, and rounds more" if _can_int8(device) else ""
        return "float32", f"a small model of {num_parameters:,} parameters{hint}"
    if _can_int8(device):
        return "int8", "the processor has VNNI"
    return "float32", "there is no kernel for int8 here"


def _can_int8(device: torch.device) -> bool:
    # Without VNNI the kernel adds products in 16 bits, where they may not fit.
    return device.type == "cpu" and "vnni" in processor_features() and has_int8_kernel()


@functools.cache
def processor_features() -> frozenset[str]:
    """What this processor has of `vnni`, `vnni512`, `bf16` and `amx`, as the system tells; nothing where it does not.

    `bf16` is that of AMD or of AMX: Intel's `avx512_bf16` alone multiplies more slowly than float32.
    """
    flags: set[str] = set()
    vendor = ""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, values = line.partition(":")
            if name.strip() == "vendor_id":
                vendor = values.strip()
            if name.strip() in ("flags", "Features"):
                flags = set(values.split())
                break
    except OSError:
        pass
    found = set()
    if flags & {"avx512_vnni", "avx_vnni"}:
        found.add("vnni")
    if "avx512_vnni" in flags:
        found.add("vnni512")
    if "amx_bf16" in flags or ("avx512_bf16" in flags and vendor == "AuthenticAMD"):
        found.add("bf16")
    if flags & {"amx_int8"}:
        found.add("amx")
    return frozenset(found)


@functools.cache
def has_int8_kernel() -> bool:
    """Whether this PyTorch multiplies int8 matrices with oneDNN's kernels here; tried out once."""
    try:
        made = Int8Linear(quantize(torch.eye(32)), None)(torch.ones(2, 32))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool((made - 1).abs().max() < 0.02)
