"""Compare what this checkout computes with what an earlier version computes.

The earlier version is installed into a virtual environment of its own. Its dependencies are those of the present
constraints.txt, so that only our own code differs. Both versions then do the same work on the same documents;
`parts.py` lists it. The outputs are read and compared field by field. Modules and classes may have other names in the
two versions: only the command line, `BioGptTokenizer` and `BioGptForCausalLM` are used.

The environment and the outputs of the earlier version are kept in the cache, and used again by the next run. Delete the
cache when it comes to another processor, whose last digits may be others. The present version is run each time, from
this checkout's `src`, by the Python that runs this script.

Ends with 0 where nothing differs, with 1 where something does, and with 2 where the comparison was not possible.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from differences import Comparison, Renames, compare_outputs
from parts import FULL, QUICK, Part, list_parts, write_inputs

VERSIONS = {"0.1.0": "b9d67dcbdfa8f1ca0dedef75c7e23ef45daf7ebc"}
"""Versions that have no tag in git -> their commit."""

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BIOGPT_DATA", ROOT.parent / "shared" / "data"))
RENAMES = ROOT / "scripts" / "compare-with-renames.toml"
SIDE_SCRIPT = Path(__file__).resolve().with_name("side.py")
NUM_SHOWN = 10
"""Differences that are printed for each part. The file has all of them."""


class CommandFailedError(Exception):
    """A command of one side ended with an error."""


@dataclass(frozen=True)
class Side:
    """One of the two versions, and how to run it."""

    label: str
    python: Path
    source: Path | None = None
    """A directory to import `biogpt` from, instead of the installed package."""

    def run(self, arguments: Sequence[str | Path], directory: Path) -> bytes:
        """Run Python with these arguments, and return what it prints.

        Raises:
            CommandFailedError: it ended with an error.
        """
        # Sums of several threads are taken in another order each time.
        settings = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(self.source or "")}
        command = [str(self.python), "-P", *map(str, arguments)]
        done = subprocess.run(command, cwd=directory, env=os.environ | settings, capture_output=True, check=False)
        if done.returncode:
            error = done.stderr.decode(errors="replace").strip().splitlines() or ["(no message)"]
            raise CommandFailedError(f"exit code {done.returncode}: {error[-1]}")
        return done.stdout

    def make_outputs(self, part: Part, inputs: Path, target: Path, renamed_options: Mapping[str, str]) -> None:
        """Write the outputs of a part into a new directory.

        Raises:
            CommandFailedError: the command ended with an error.
        """
        target.mkdir(parents=True)
        arguments = [renamed_options.get(one, one).replace("{out}", str(target)) for one in part.arguments]
        program = [SIDE_SCRIPT] if part.is_python else ["-m", "biogpt"]
        (target / part.stdout).write_bytes(self.run([*program, *arguments], inputs))

    def versions(self) -> dict[str, str]:
        """The versions of what the results depend on."""
        found: dict[str, str] = json.loads(self.run([SIDE_SCRIPT, "versions"], ROOT))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="compare-with", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revision", help=f"the earlier version: a git revision, or {', '.join(VERSIONS)}")
    parser.add_argument("--quick", action="store_true", help=f"compare {QUICK.documents} documents only")
    parser.add_argument("--part", metavar="TEXT", default="", help="only the parts whose name begins with this")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", default=Path("~/.cache/biogpt-compare"), help="default: %(default)s"
    )
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    parts = [part for part in list_parts(sizes) if part.name.startswith(arguments.part)]
    if not parts:
        fail(
            f"No part begins with '{arguments.part}'. There are: {', '.join(part.name for part in list_parts(sizes))}."
        )
    cache = arguments.cache.expanduser().resolve()
    commit = find_commit(arguments.revision)
    renames = Renames.read(RENAMES)
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    try:
        inputs = work / "inputs"
        try:
            write_inputs(DATA, inputs, sizes)
        except FileNotFoundError as error:
            fail(f"There is no {error.filename}. Put the data sets at {DATA}, or set BIOGPT_DATA.")
        home = environment_directory(cache, commit)
        old = Side(arguments.revision, install(commit, home))
        new = Side("this checkout", Path(sys.executable), ROOT / "src")
        warn_of_other_versions(old, new)
        comparisons = [compare_part(part, old, new, inputs, home / "outputs", work, renames) for part in parts]
    except BaseException:
        shutil.rmtree(work)
        raise
    num_differences = report(parts, comparisons, arguments.revision, work)
    if num_differences == 0:
        shutil.rmtree(work)
    sys.exit(num_differences > 0)


def fail(message: str) -> NoReturn:
    """End with an error in one line."""
    print(f"compare-with: {message}", file=sys.stderr)
    sys.exit(2)


def find_commit(revision: str) -> str:
    """The whole name of a commit."""
    name = VERSIONS.get(revision, revision)
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"git knows no revision '{name}' here. Expected a commit, branch or tag, or one of {', '.join(VERSIONS)}.")
    return done.stdout.strip()


def environment_directory(cache: Path, commit: str) -> Path:
    """Where to keep the environment and outputs of a commit: one for each Python and each set of dependencies."""
    constraints = hashlib.sha256((ROOT / "constraints.txt").read_bytes()).hexdigest()
    return cache / f"{commit[:12]}-python{sys.version_info[0]}.{sys.version_info[1]}-{constraints[:8]}"


def install(commit: str, home: Path) -> Path:
    """Install a commit into a new environment, unless that was done before, and return the environment's Python."""
    environment, mark = home / "environment", home / "environment.complete"
    python = environment / "bin" / "python"
    if mark.is_file() and python.is_file():
        return python
    print(f"Installing {commit[:12]} into {environment} ...", file=sys.stderr)
    shutil.rmtree(environment, ignore_errors=True)
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as source:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(source, filter="data")
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), source]
        if subprocess.run(pip, stdout=sys.stderr, check=False).returncode:
            fail(f"pip could not install {commit[:12]}; its message is above.")
    mark.touch()
    return python


def warn_of_other_versions(old: Side, new: Side) -> None:
    """Say which dependencies differ: then numbers may differ without a change of ours."""
    try:
        theirs, ours = old.versions(), new.versions()
    except CommandFailedError as error:
        fail(
            f"{sys.executable} cannot run this checkout ({error}). Expected a Python with its dependencies: activate "
            "the environment that has them."
        )
    for name in theirs:
        if theirs[name] != ours[name]:
            print(f"Note: {old.label} has {name} {theirs[name]}, {new.label} has {ours[name]}.", file=sys.stderr)


def compare_part(
    part: Part, old: Side, new: Side, inputs: Path, cached: Path, work: Path, renames: Renames
) -> Comparison:
    """Let both sides do one part of the work, the old side only if it has not done it before, and compare."""
    directory = re.sub(r"\W+", "-", part.name)
    old_outputs = cached / f"{directory}-{fingerprint(part, inputs)}"
    new_outputs = work / "new" / directory
    print(f"{part.name} ...", end="", file=sys.stderr, flush=True)
    begin = time.monotonic()
    if not old_outputs.is_dir():
        try:
            old.make_outputs(part, inputs, work / "old" / directory, {})
        except CommandFailedError as error:
            fail(f"{old.label} failed at '{part.name}': {error}")
        cached.mkdir(exist_ok=True)
        (work / "old" / directory).rename(old_outputs)
    middle = time.monotonic()
    try:
        new.make_outputs(part, inputs, new_outputs, renames.options)
        comparison = compare_outputs(part, old_outputs, new_outputs, renames)
    except (CommandFailedError, ValueError) as error:
        comparison = Comparison([f"no output that can be read: {error}"])
    end = time.monotonic()
    print(f" {middle - begin:.0f} s + {end - middle:.0f} s", file=sys.stderr)
    return comparison


def fingerprint(part: Part, inputs: Path) -> str:
    """Tells whether a part is still the same work: a digest of its command and of the files that it reads."""
    digest = hashlib.sha256(json.dumps([part.arguments, part.stdout]).encode())
    if part.is_python:
        digest.update(SIDE_SCRIPT.read_bytes())
    for path in (inputs / argument for argument in part.arguments):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def report(parts: Sequence[Part], comparisons: Sequence[Comparison], revision: str, work: Path) -> int:
    """Print the differences and the table, and return the number of differences."""
    lines = []
    for part, comparison in zip(parts, comparisons, strict=True):
        found = [f"{part.name}: {difference}" for difference in comparison.differences]
        print(*found[:NUM_SHOWN], sep="\n", end="\n" if found else "")
        if len(found) > NUM_SHOWN:
            print(f"{part.name}: ... and {len(found) - NUM_SHOWN} more")
        lines += found
    width = max(len(part.name) for part in parts)
    print(f"\n{'part':{width}}  documents  differences  largest change of a number")
    for part, comparison in zip(parts, comparisons, strict=True):
        largest = f"{comparison.largest:.3g}" if comparison.largest else ""
        print(f"{part.name:{width}}  {part.documents:9}  {len(comparison.differences):11}  {largest}".rstrip())
    print()
    if lines:
        (work / "differences.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{len(lines)} differences from {revision}. All of them, and the outputs: {work}")
    else:
        print(f"No differences from {revision}.")
    return len(lines)


if __name__ == "__main__":
    main()
