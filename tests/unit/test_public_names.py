import doctest
import inspect
import io
import operator
import subprocess
import sys

import pytest
import torch

import biogpt

# Public name -> what may be passed: a change here is a change for everyone who uses the package.
SIGNATURES = {
    "BioGptConfig": None,  # transformers' classes, whose arguments are Hugging Face's
    "BioGptError": None,
    "BioGptForCausalLM": None,
    "BioGptForSequenceClassification": None,
    "BioGptForTokenClassification": None,
    "BioGptModel": None,
    "BioGptTokenizer": None,
    "Completion": "prompt text token_ids tokens token_scores score stop_reason",
    "Document": "id text parts passages annotations relations metadata format native collection extraction",
    "Engine": "model tokenizer batch_size *is_int8 *is_drafting",
    "Engine.from_pretrained": "model *dtype *device *batch_size *num_threads",
    "Engine.generate": "self prompts settings **changes",
    "Engine.generate_ids": "self prompts settings constraints *return_exceptions **changes",
    "Engine.stream": "self prompt settings **changes",
    "Engine.score_ids": "self prompt_ids continuations",
    "Extraction": "entities relations labels warnings annotator text",
    "Extractor": "predictor name *threshold *constrained *linker",
    "Extractor.from_pretrained": "model task *device *dtype *batch_size *threshold *constrained *link",
    "Extractor.__call__": "self texts",
    "Extractor.pipe": "self texts batch_size",
    "GenerationSettings": (
        "*max_new_tokens *min_new_tokens *temperature *top_k *top_p *num_beams *num_return_sequences *seed"
    ),
    "Linker": "lexicon min_similarity",
    "Linker.__call__": "self name type other_form",
    "Linker.from_lexicon": "lexicon",
    "Linker.link_document": "self document",
    "evaluate": (
        "task data *model *predictions *split *constrained *device *dtype *batch_size *seed *output *on_progress"
    ),
    "finetune": (
        "task data output *model *recipe *train_split *dev_fraction *seed *device *target_format *empty_documents "
        "**settings"
    ),
    "load_linker": "lexicon",
    "load_task": "name **settings",
    "mine": (
        "inputs output *tasks *models *workers *ray_address *device *dtype *batch_size *threshold *link *format "
        "*is_recursive *on_problem"
    ),
    "pretrain": "recipe",
    "read_documents": "path on_problem format *columns *on_read",
    "register_auto_classes": "",
    "summarize": "directory output *table *task *threshold *min_documents",
    "write_documents": "documents path format *on_loss",
}
PUBLIC_NAMES = [name for name in SIGNATURES if "." not in name]


def describe(function) -> str:
    marks = {inspect.Parameter.KEYWORD_ONLY: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    return " ".join(marks.get(parameter.kind, "") + parameter.name for parameter in parameters)


@pytest.mark.parametrize("name", [name for name, signature in SIGNATURES.items() if signature is not None])
def test_a_public_signature_is_this(name):
    assert describe(operator.attrgetter(name)(biogpt)) == SIGNATURES[name]


def test_the_public_names_are_these():
    assert sorted(biogpt.__all__) == sorted(["__version__", *PUBLIC_NAMES])
    assert dir(biogpt) == biogpt.__all__


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_is_there(name):
    assert getattr(biogpt, name).__name__ == name


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_a_public_name_has_an_example_that_holds(name):
    """Those that need files of the reader's own are marked to be skipped; the others are run."""
    (found,) = doctest.DocTestFinder(recurse=False).find(
        getattr(biogpt, name), name, module=False, globs={"biogpt": biogpt, "torch": torch}
    )
    assert found.examples, f"biogpt.{name} has no example (>>>) in its docstring."
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL, verbose=False)
    said = io.StringIO()
    assert runner.run(found, out=said.write).failed == 0, said.getvalue()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"has no attribute 'Extracter'\. Did you mean 'Extractor'"):
        biogpt.Extracter  # noqa: B018
    assert not hasattr(biogpt, "nothing_like_it")


def test_importing_the_package_imports_nothing_heavy():
    program = "import sys, biogpt; sys.exit(bool({'torch', 'transformers', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
