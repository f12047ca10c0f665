"""Run one version's tokenizer or model over documents, by its public names, and print JSON lines.

    python side.py tokens documents.jsonl
    python side.py likelihood documents.jsonl
    python side.py versions

Both versions run this file, each with its own Python. So it imports nothing from beside it, and of biogpt only what
keeps its name. The bundled model comes from `biogpt convert`, which writes it to a directory.
"""

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "sacremoses", "lxml")


def main() -> None:
    if sys.argv[1] == "versions":
        print(json.dumps({"Python": platform.python_version()} | {name: version(name) for name in PACKAGES}))
        return
    functions = {"tokens": tokens, "likelihood": likelihood}
    function, file = functions[sys.argv[1]], Path(sys.argv[2])
    documents = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as directory:
        model_path = Path(directory) / "mini"
        convert = [sys.executable, "-P", "-m", "biogpt", "convert", "mini", str(model_path)]
        subprocess.run(convert, stdout=subprocess.DEVNULL, check=True)
        for document, result in zip(documents, function(documents, model_path), strict=True):
            print(json.dumps({"id": document["pmid"], **result}))


def tokens(documents: list[dict[str, Any]], model_path: Path) -> Iterator[dict[str, Any]]:
    """The tokens of each document, where they stand in it, and the text that they decode to."""
    from biogpt import BioGptTokenizer

    tokenizer = BioGptTokenizer.from_pretrained(model_path)
    for document in documents:
        encoded = tokenizer(text_of(document), return_offsets_mapping=True)
        ids = encoded["input_ids"]
        yield {"ids": ids, "offsets": encoded["offset_mapping"], "decoded": tokenizer.decode(ids)}


def likelihood(documents: list[dict[str, Any]], model_path: Path) -> Iterator[dict[str, Any]]:
    """The log-likelihood of each document, as far as the model reads, and the sum of its last position's logits."""
    import torch

    from biogpt import BioGptForCausalLM, BioGptTokenizer

    tokenizer = BioGptTokenizer.from_pretrained(model_path)
    model = BioGptForCausalLM.from_pretrained(model_path).eval()
    for document in documents:
        ids = torch.tensor([tokenizer(text_of(document))["input_ids"][: model.config.max_position_embeddings]])
        with torch.inference_mode():
            logits = model(ids).logits.double()
        scores = logits.log_softmax(-1)[0, :-1].gather(-1, ids[0, 1:, None])
        yield {"num_tokens": ids.numel(), "log_likelihood": scores.sum().item(), "logits": logits[0, -1].sum().item()}


def text_of(document: dict[str, Any]) -> str:
    return f"{document['title']} {document['abstract']}"


if __name__ == "__main__":
    main()
