"""What every benchmark's result carries: when, which commit, which command, on what machine, with which versions.

Knows nothing of what is measured.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

_PACKAGES = ("biogpt", "torch", "transformers", "tokenizers", "sacremoses", "numpy")


def describe_run() -> dict[str, Any]:
    """Date, commit, command, machine and versions of this process."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _describe_commit(),
        "command": _describe_command(),
        "machine": _describe_machine(),
        "versions": _describe_versions(),
    }


def write_result(name: str, measured: dict[str, Any], path: Path | None = None) -> Path:
    """Write what was measured, after the description of the run, to `path` or benchmarks/results/NAME.json."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(describe_run() | measured, indent=2, ensure_ascii=False) + "\n"
    path.write_text(content, encoding="utf-8")
    return path


def _describe_commit() -> str:
    """The commit; with a plus where files of the package or of the benchmarks differ from it."""
    commit = _run_git("rev-parse", "--short=12", "HEAD")
    return commit + ("+" if _run_git("status", "--porcelain", "--", "src", "benchmarks/*.py") else "")


def _run_git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _describe_command() -> str:
    """The command line. Of absolute paths only the last part: the others say nothing to somebody else."""
    arguments = [Path(one).name if one.startswith(("/", "~")) else one for one in sys.argv[1:]]
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])


def _describe_machine() -> dict[str, Any]:
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    machine: dict[str, Any] = {"processor": _processor(), "cores": len(cores), "system": platform.system()}
    torch = sys.modules.get("torch")  # a benchmark that does without it does not load it for this
    if torch is not None:
        machine["threads"] = torch.get_num_threads()
        if torch.cuda.is_available():
            machine["gpu"] = torch.cuda.get_device_name()
    return machine


def _processor() -> str:
    """The processor's name and the instructions that matter here, as Linux gives them."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor()
    lines = [line.partition(":") for line in path.read_text().splitlines()]
    values = {name.strip(): value.strip() for name, _, value in lines}
    wanted = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
    present = [flag for flag in wanted if flag in values.get("flags", "").split()]
    return f"{values.get('model name', platform.machine())} ({' '.join(present)})"


def _describe_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
