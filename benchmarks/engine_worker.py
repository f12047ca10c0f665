"""One engine in a process of its own, for engine_speed.py: reads what to measure, line by line, and answers in seconds.

Runs in the environment of a peer, which need not have biogpt.

    python benchmarks/engine_worker.py KIND MODEL THREADS

KIND: ours-int8, ours-float32, ours-bfloat16, transformers-float32, transformers-bfloat16 or ctranslate2-int8.
A line `BATCH PROMPT NEW` is answered by the seconds of a run with so many rows, tokens in each prompt and new tokens.
"""

import random
import sys
import time
from collections.abc import Callable

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
    """CTranslate2's generator, greedy; the model is converted once, beside the original."""
    from pathlib import Path

    import ctranslate2
    import transformers

    converted = Path(f"{path}-ctranslate2-{dtype}")
    if not converted.is_dir():
        ctranslate2.converters.TransformersConverter(path).convert(str(converted), quantization=dtype)
    generator = ctranslate2.Generator(str(converted), device="cpu", compute_type=dtype, intra_threads=threads)
    tokenizer = transformers.BioGptTokenizer.from_pretrained(path)

    def run(prompts: list[list[int]], num_new: int) -> None:
        tokens = [tokenizer.convert_ids_to_tokens(ids) for ids in prompts]
        generator.generate_batch(
            tokens, max_length=num_new, min_length=num_new, sampling_topk=1, include_prompt_in_result=False
        )

    return run


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
