"""One engine in a process of its own, for engine_speed.py: reads what to measure, line by line, and answers in seconds.

Runs in the environment of a peer, which need not have biogpt.

    python benchmarks/engine_worker.py KIND MODEL THREADS

KIND: ours-int8, ours-float32, ours-bfloat16, transformers-float32, transformers-bfloat16 or ctranslate2-int8.
A line `BATCH PROMPT NEW` is answered by the seconds of a run with so many rows, tokens in each prompt and new tokens.
"""

import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[list[list[int]], int], None]


def load_ours(path: str, dtype: str, threads: int) -> Run:
    """Our engine, greedy, without drafts: random weights copy nothing."""
    from biogpt.engine.engine import Engine

    made = Engine.from_pretrained(path, dtype=dtype, num_threads=threads)
    made._is_drafting = False

    def run(prompts: list[list[int]], num_new: int) -> None:
        engine = made.with_batch_size(len(prompts))
        list(engine.generate_ids(prompts, temperature=0, max_new_tokens=num_new, min_new_tokens=num_new))

    return run


def load_transformers(path: str, dtype: str, threads: int) -> Run:
    """`generate` of transformers, greedy."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    model = transformers.BioGptForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()

    def run(prompts: list[list[int]], num_new: int) -> None:
        ids = torch.tensor(prompts)
        with torch.inference_mode():
            model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=num_new,
                min_new_tokens=num_new,
            )

    return run


def load_ctranslate2(path: str, dtype: str, threads: int) -> Run:
    """CTranslate2's generator, greedy, with a GPT-2 of the same shape and random weights.

    CTranslate2 4.8.0 has no converter for BioGPT. GPT-2's layers are BioGPT's (normed before, GELU, learned positions),
    so that a pass costs the same; what it writes means nothing.
    """
    import ctranslate2
    import transformers

    converted = Path(f"{path}-ctranslate2-{dtype}")
    if not converted.is_dir():
        original = Path(f"{path}-gpt2")
        _save_gpt2(transformers.BioGptConfig.from_pretrained(path), original)
        ctranslate2.converters.TransformersConverter(str(original)).convert(str(converted), quantization=dtype)
    generator = ctranslate2.Generator(str(converted), device="cpu", compute_type=dtype, intra_threads=threads)

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


LOADERS = {"ours": load_ours, "transformers": load_transformers, "ctranslate2": load_ctranslate2}


def main() -> None:
    """Answer lines until there are no more."""
    kind, path, threads = sys.argv[1:]
    name, dtype = kind.split("-")
    run = LOADERS[name](path, dtype, int(threads))
    print("ready", flush=True)
    for line in sys.stdin:
        batch, length, num_new = map(int, line.split())
        chance = random.Random(f"{batch} {length}")
        prompts = [[2, *(chance.randrange(4, 8000) for _ in range(length - 1))] for _ in range(batch)]
        start = time.perf_counter()
        run(prompts, num_new)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
