"""One optimisation step of each task's fine-tuning recipe at BioGPT's own size: memory and time.

    python benchmarks/finetune_step.py --data DIR --vocabulary DIR --work DIR

The model has the shape of BioGPT and its vocabulary, which `--vocabulary` holds as dict.txt and bpecodes, with random
weights; examples, soft prompt, loss and optimiser are those of `biogpt finetune`. A step is made of pieces of at most
1,024 tokens, as in the paper (32 times so many tokens are accumulated). On a GPU all of them are computed; on a CPU
`--pieces`, and the seconds of the whole step are those per token times all tokens and the optimiser; seconds there are
processor time, so run it on one thread. Memory does not depend on how many pieces are accumulated. Each task runs in a
process of its own; what is measured is kept in `--work`, and not measured again. Writes
benchmarks/results/finetune_step.json and prints a table.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from record import write_result
from rich.console import Console
from rich.table import Table
from task_data import DIRECTORIES, TRAIN_SPLITS

from biogpt import BioGptConfig, BioGptForCausalLM, BioGptTokenizer
from biogpt.tasks.encoding import learned_ids
from biogpt.text import bpe
from biogpt.training.finetune.batches import Plan, collate
from biogpt.training.finetune.data import encode_examples
from biogpt.training.finetune.model import build_model
from biogpt.training.finetune.recipe import make_recipe
from biogpt.training.finetune.trainer import weighted_loss
from biogpt.training.optimizer import make_optimizer
from biogpt.training.trainer import computes_bf16

TOKENS_PER_PIECE = 1024
SEED = 0


def make_base_model(directory: Path, vocabulary: Path) -> Path:
    """Write the untrained model, unless it is there."""
    if not (directory / "config.json").is_file():
        torch.manual_seed(SEED)
        found = bpe.read_fairseq_vocabulary(vocabulary / "dict.txt", vocabulary / "bpecodes")
        with tempfile.TemporaryDirectory() as files:
            tokenizer = BioGptTokenizer(*bpe.write_vocabulary(found, files))
        BioGptForCausalLM(BioGptConfig.preset("base", vocab_size=len(tokenizer))).save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    return directory


def measure(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One step of one task, in this process."""
    data = arguments.data / DIRECTORIES[name]
    recipe = make_recipe(name, data, arguments.work / name, str(arguments.work / "base"))
    task, training = recipe.task, recipe.training
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = build_model(recipe.model, task, training, SEED)
    model.set_attn_implementation("sdpa" if device.type == "cuda" else "blocked")
    model.to(device).train()
    optimizer = make_optimizer(model, training)
    train = task.read(recipe.data, TRAIN_SPLITS.get(name, "train"))
    encoded = encode_examples(task, tokenizer, type(model), train, training.source_weight)
    examples, lengths = encoded.examples, encoded.lengths()
    plan = Plan(lengths, tokens_per_step=training.tokens_per_step, seed=SEED)
    pieces = plan.batches_of(0, TOKENS_PER_PIECE)
    chosen = pieces if device.type == "cuda" else pieces[: arguments.pieces]
    uses_bf16 = computes_bf16(arguments.precision, device)
    seconds, losses = [], []
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    for piece in chosen:
        batch = {key: tensor.to(device) for key, tensor in collate([examples[index] for index in piece]).items()}
        begin = clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16):
            loss = weighted_loss(model, batch) / batch["weights"].sum()
        (loss / len(chosen)).backward()
        wait(device)
        seconds.append(clock() - begin)
        losses.append(float(loss.detach()))
    begin = clock()
    optimizer.step()
    wait(device)
    optimizer_seconds = clock() - begin
    tokens = [sum(lengths[index] for index in piece) for piece in pieces]
    # The first piece pays for what is only done once; of one piece there is nothing else.
    first = 1 if len(chosen) > 1 else 0
    seconds_per_token = sum(seconds[first:]) / sum(tokens[first : len(chosen)])
    return {
        "head": type(model).__name__,
        "num_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": len(tokenizer),
        "prompt_length": len(learned_ids(tokenizer)),
        "pieces_in_step": len(pieces),
        "pieces_computed": len(chosen),
        "tokens_in_step": sum(tokens),
        "tokens_in_pieces": tokens[: len(chosen)],
        "seconds_of_pieces": [round(one, 3) for one in seconds],
        "seconds_of_optimizer": round(optimizer_seconds, 3),
        "seconds_per_step": round(seconds_per_token * sum(tokens) + optimizer_seconds, 1),
        "peak_resident_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "peak_gpu_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if device.type == "cuda" else None,
        "loss": round(sum(losses) / len(losses), 3),
        "computes_bf16": uses_bf16,
    }


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure every task in a process of its own, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="where the directories of task_data.py lie")
    parser.add_argument("--vocabulary", type=Path, required=True, help="a directory with BioGPT's dict.txt, bpecodes")
    parser.add_argument("--work", type=Path, required=True, help="where the untrained model is written (1.4 GB)")
    parser.add_argument("--tasks", nargs="+", choices=DIRECTORIES, default=list(DIRECTORIES))
    parser.add_argument("--pieces", type=int, default=2, help="how many pieces of a step are computed on a CPU")
    parser.add_argument("--precision", choices=("auto", "bf16", "fp32"), default="fp32")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="where to write instead")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.only:
        (arguments.work / f"{arguments.only}.json").write_text(json.dumps(measure(arguments.only, arguments)))
        return
    make_base_model(arguments.work / "base", arguments.vocabulary)
    load = [os.getloadavg()[0]]
    tasks = {}
    for name in arguments.tasks:
        measured = arguments.work / f"{name}.json"
        if not measured.is_file():
            print(name, file=sys.stderr)
            subprocess.run([sys.executable, *sys.argv, "--only", name], check=True)
        tasks[name] = json.loads(measured.read_text())
    load.append(os.getloadavg()[0])
    path = write_result("finetune_step", {"load_average": load, "tasks": tasks}, arguments.output)
    print_table(tasks)
    print(f"Written to {path}", file=sys.stderr)


def print_table(tasks: dict[str, Any]) -> None:
    table = Table(title="One optimisation step at BioGPT's size")
    for column in ("task", "pieces", "tokens", "s of optimiser", "s per step", "peak GiB", "loss"):
        table.add_column(column, justify="right" if column != "task" else "left")
    for name, one in tasks.items():
        keys = ("pieces_in_step", "tokens_in_step", "seconds_of_optimizer", "seconds_per_step")
        memory = one["peak_gpu_gib"] or one["peak_resident_gib"]
        table.add_row(name, *(str(one[key]) for key in keys), str(memory), str(one["loss"]))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
