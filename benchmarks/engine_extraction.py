"""How many abstracts a second the bundled models extract from.

    python benchmarks/engine_extraction.py abstracts.jsonl.gz --documents 2000 --threads 2

Abstracts a second by the clock, and by the processor's time, which other processes disturb less. With `--compare` the
extractions are compared with those of float32.
"""

import argparse
import gzip
import json
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from record import write_result

from biogpt.extraction.extractor import Extractor


def main() -> None:
    """Measure, print, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("abstracts", type=Path, help="JSON lines with title and abstract, gzipped")
    parser.add_argument("--tasks", nargs="+", default=["ncbi_disease", "bc5cdr"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "int8"])
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with gzip.open(options.abstracts, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line) for line in islice(lines, options.documents)]
    texts = [{"title": text["title"], "abstract": text["abstract"]} for text in texts]
    measured: dict[str, Any] = {}
    for task in options.tasks:
        exact: list[set[str]] = []
        for dtype in options.dtypes:
            extractor = Extractor.from_pretrained(task, dtype=dtype, device="cpu", batch_size=options.batch_size)
            extractor(texts[:8])
            start, processor = time.perf_counter(), time.process_time()
            found = [_items(one.to_dict()) for one in extractor.pipe(texts)]
            wall, processor = time.perf_counter() - start, time.process_time() - processor
            exact = exact or found
            num_same = sum(len(one & other) for one, other in zip(found, exact, strict=True))
            result = {
                "documents_per_second": round(len(texts) / wall, 2),
                "documents_per_processor_second": round(len(texts) / processor, 2),
                "items": sum(map(len, found)),
                "items_also_of_the_first_type": num_same,
            }
            measured[f"{task} {dtype}"] = result
            print(task, dtype, result, flush=True)
    if options.output:
        print("wrote", write_result("engine_extraction", measured, options.output))


def _items(extraction: dict[str, Any]) -> set[str]:
    items = [*extraction["entities"], *extraction["relations"], *extraction["labels"]]
    return {json.dumps(_without_scores(item), sort_keys=True) for item in items}


def _without_scores(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_scores(each) for key, each in value.items() if key != "score"}
    return [_without_scores(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
