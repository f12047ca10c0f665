"""Continue texts from Python: one, several, and as they are made.

python examples/generate.py            # the bundled model
python examples/generate.py DIRECTORY  # or any other
"""

import sys

import biogpt
from biogpt.decoding.settings import GenerationSettings

engine = biogpt.Engine.from_pretrained(sys.argv[1] if len(sys.argv) > 1 else "mini")

# One prompt gives its completions; the text is what follows the prompt.
completion = engine.generate("Aspirin reduces the risk of")[0]
print(completion.prompt + completion.text)
print(f"{len(completion.token_ids)} tokens, {completion.score:.2f} nats a token, stopped by {completion.stop_reason}\n")

# Several prompts give a list each. Settings say how: here three different samples of each prompt.
settings = GenerationSettings(max_new_tokens=20, temperature=1.0, num_return_sequences=3, seed=7)
for completions in engine.generate(["The patients were treated with", "Mutations in BRCA1"], settings):
    for completion in sorted(completions, key=lambda completion: -completion.score):
        print(f"{completion.score:6.2f}  {completion.prompt}{completion.text}")
print()

# As the paper does it: a beam search.
completion = engine.generate("COVID-19 is", GenerationSettings(num_beams=5, max_new_tokens=40))[0]
print(completion.prompt + completion.text + "\n")

# As it is made.
prompt = "The aim of this study was"
print(prompt, end="")
for text in engine.stream(prompt, GenerationSettings(max_new_tokens=40)):
    print(text, end="", flush=True)
print()
