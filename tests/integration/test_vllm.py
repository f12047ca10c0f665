"""A directory saved by us in vLLM: the same greedy tokens.

`BIOGPT_VLLM` names the Python of an environment that has vLLM.
"""

import json
import os
import subprocess

import pytest

from biogpt.engine.engine import Engine
from biogpt.model.conversion import convert

PYTHON = os.environ.get("BIOGPT_VLLM")
PROMPTS = ["Aspirin reduces the risk of", "Mutations of BRCA1", "The patients' blood pressure (n = 40) was"]

GENERATE = """
import json, sys

if __name__ == "__main__":
    from vllm import LLM, SamplingParams

    path, prompts, result = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    model = LLM(model=path, dtype="float32", max_model_len=128, max_num_seqs=4, enforce_eager=True)
    outputs = model.generate(prompts, SamplingParams(temperature=0, max_tokens=20), use_tqdm=False)
    with open(result, "w") as file:  # vLLM writes to stdout, too
        json.dump([list(output.outputs[0].token_ids) for output in outputs], file)
"""


@pytest.mark.skipif(not PYTHON, reason="BIOGPT_VLLM does not name the Python of an environment with vLLM")
def test_vllm_writes_the_same_greedy_tokens(tmp_path):
    assert PYTHON
    path = convert("mini", tmp_path / "mini", "hf")
    script = tmp_path / "generate.py"
    script.write_text(GENERATE)
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    result = tmp_path / "tokens.json"
    command = [PYTHON, script, path, json.dumps(PROMPTS), result]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(result.read_text())
    ours = Engine.from_pretrained(path, dtype="float32", device="cpu").generate(
        PROMPTS, temperature=0, max_new_tokens=20
    )
    for tokens, (completion,) in zip(theirs, ours, strict=True):
        assert tuple(index for index in tokens if index != 2) == completion.token_ids
