"""One engine in a process of its own, for engine_speed.py: reads what to measure, line by line, and answers in seconds.

Runs in the environment of a peer, which need not have biogpt.

    python benchmarks/engine_worker.py KIND MODEL THREADS

KIND: ours-int8, ours-float32, ours-bfloat16, transformers-float32, transformers-bfloat16, ctranslate2-TYPE or
vllm-bfloat16, vllm-eager.
A line `BATCH PROMPT NEW` is answered by a line `= SECONDS` of a run with so many rows, tokens in each prompt and new
tokens. Other lines are what libraries print.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[list[list[int]], int], None]


def load_ours(path: str, dtype: str, threads: int) -> Callable[[int, int, int], float]:
    """Our engine, greedy, without drafts: random weights copy nothing."""
    from biogpt.engine.engine import Engine
    from biogpt.engine.speed import Load, time_run

    engine = Engine.from_pretrained(path, dtype=dtype, device="cpu", num_threads=threads)
    return lambda batch, length, num_new: time_run(engine, Load(batch, length, num_new))


def load_transformers(path: str, dtype: str, threads: int) -> Run:
    """`generate` of transformers, greedy."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    model = transformers.BioGptForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()

    def run(prompts: list[list[int]], num_new: int) -> None:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            made = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=num_new,
                min_new_tokens=num_new,
            )
        assert made.shape[1] == ids.shape[1] + num_new

    return run


def load_ctranslate2(path: str, dtype: str, threads: int) -> Run:
    """CTranslate2's generator, greedy, with a GPT-2 of the same shape and random weights.

    CTranslate2 has no converter for BioGPT. GPT-2's layers are BioGPT's (normed before, GELU, learned positions),
    so that a pass costs the same; what it writes means nothing.
    """
    import ctranslate2
    import transformers

    supported = ctranslate2.get_supported_compute_types("cpu")
    if dtype not in supported:
        raise SystemExit(f"CTranslate2 computes no {dtype} here, only {', '.join(sorted(supported))}.")
    converted = Path(f"{path}-ctranslate2-{dtype}")
    if not converted.is_dir():
        original = Path(f"{path}-gpt2")
        if not original.is_dir():
            _save_gpt2(transformers.BioGptConfig.from_pretrained(path), original)
        ctranslate2.converters.TransformersConverter(str(original)).convert(str(converted), quantization=dtype)
    generator = ctranslate2.Generator(
        str(converted), device="cpu", compute_type=dtype, inter_threads=1, intra_threads=threads
    )

    def run(prompts: list[list[int]], num_new: int) -> None:
        found = generator.generate_batch(
            [[f"t{index}" for index in ids] for ids in prompts],
            max_length=num_new,
            min_length=num_new,
            sampling_topk=1,
            include_prompt_in_result=False,
        )
        assert all(len(each.sequences_ids[0]) == num_new for each in found)

    return run


def _save_gpt2(config: Any, directory: Path) -> None:
    """Save a GPT-2 of BioGPT's shape with random weights, and a vocabulary of as many tokens."""
    import transformers

    names = [f"t{index}" for index in range(config.vocab_size)]
    shape = transformers.GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.max_position_embeddings,
        n_embd=config.hidden_size,
        n_layer=config.num_hidden_layers,
        n_head=config.num_attention_heads,
        n_inner=config.intermediate_size,
        activation_function="gelu",
        bos_token_id=2,
        eos_token_id=2,
    )
    transformers.GPT2LMHeadModel(shape).save_pretrained(directory)
    vocabulary = {name: index for index, name in enumerate(names)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (directory / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    tokenizer = {"tokenizer_class": "GPT2Tokenizer", "unk_token": "t3", "bos_token": "t2", "eos_token": "t2"}
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def load_vllm(path: str, kind: str, threads: int) -> Run:
    """vLLM's CPU build in bfloat16, greedy, the engine in this process; `eager`: without compiling its step."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    os.environ["VLLM_CPU_OMP_THREADS_BIND"] = ",".join(map(str, cores))
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "1"  # GiB
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    from vllm import LLM, SamplingParams

    engine = LLM(
        model=path,
        dtype="bfloat16",
        max_model_len=1024,
        max_num_seqs=64,
        enable_prefix_caching=False,
        enforce_eager=kind == "eager",
    )

    def run(prompts: list[list[int]], num_new: int) -> None:
        chosen = SamplingParams(temperature=0, max_tokens=num_new, ignore_eos=True, detokenize=False)
        found = engine.generate([{"prompt_token_ids": ids} for ids in prompts], chosen, use_tqdm=False)
        assert all(len(each.outputs[0].token_ids) == num_new for each in found)

    return run


PEERS = {"transformers": load_transformers, "ctranslate2": load_ctranslate2, "vllm": load_vllm}


def load_peer(name: str, path: str, dtype: str, threads: int) -> Callable[[int, int, int], float]:
    """An engine that is not ours, to be timed as ours is."""
    run = PEERS[name](path, dtype, threads)

    def measure(batch: int, length: int, num_new: int) -> float:
        chance = random.Random(f"{batch} {length}")
        prompts = [[2, *(chance.randrange(4, 8000) for _ in range(length - 1))] for _ in range(batch)]
        start = time.perf_counter()
        run(prompts, num_new)
        return time.perf_counter() - start

    return measure


def main() -> None:
    """Answer lines until there are no more."""
    kind, path, threads = sys.argv[1:]
    name, _, dtype = kind.partition("-")
    measure = load_ours(path, dtype, int(threads)) if name == "ours" else load_peer(name, path, dtype, int(threads))
    print("= ready", flush=True)
    for line in sys.stdin:
        print("=", measure(*map(int, line.split())), flush=True)


if __name__ == "__main__":
    main()
