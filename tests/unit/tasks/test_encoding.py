"""What a model reads and writes, as ids."""

from pathlib import Path

import pytest

from biogpt import BioGptTokenizer
from biogpt.errors import ConfigError
from biogpt.model.checkpoint import load_tokenizer, resolve_model
from biogpt.tasks.encoding import (
    add_learned_tokens,
    encode_prompt,
    encode_target,
    encode_words,
    head_labels,
    label_ids,
    learned_ids,
)
from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import load_task


@pytest.fixture
def tokenizer() -> BioGptTokenizer:
    return load_tokenizer(resolve_model("mini"), 8192)


def test_a_soft_prompt_stands_behind_the_source_and_in_no_text(tokenizer: BioGptTokenizer) -> None:
    task = load_task("bc5cdr")
    example = task.example()
    plain = encode_prompt(task, tokenizer, example)
    add_learned_tokens(tokenizer, 9)
    prompt = encode_prompt(task, tokenizer, example)
    assert plain == tokenizer(example.text.lower())["input_ids"]
    assert prompt == [*plain, *range(8192, 8201)]
    assert learned_ids(tokenizer) == list(range(8192, 8201))
    assert tokenizer.decode(prompt, skip_special_tokens=True) == tokenizer.decode(plain, skip_special_tokens=True)


def test_a_soft_prompt_of_another_length_is_refused(tokenizer: BioGptTokenizer) -> None:
    add_learned_tokens(tokenizer, 3)
    add_learned_tokens(tokenizer, 3)
    assert len(tokenizer) == 8195
    with pytest.raises(ConfigError, match="soft prompt of 9 tokens for a model that has one of 3"):
        add_learned_tokens(tokenizer, 9)


def test_the_prompt_survives_saving(tokenizer: BioGptTokenizer, tmp_path: Path) -> None:
    add_learned_tokens(tokenizer, 9)
    tokenizer.save_pretrained(tmp_path)
    assert learned_ids(load_tokenizer(tmp_path, 8201)) == list(range(8192, 8201))


def test_a_target_ends(tokenizer: BioGptTokenizer) -> None:
    task = load_task("pubmedqa")
    target = encode_target(task, tokenizer, task.example())
    assert target[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(target[:-1]) == "the answer to the question given the context is yes."


@pytest.mark.parametrize(("positions", "longest"), [(1024, 641 + 9), (256, 256 - 25)])
def test_a_long_source_ends_in_dots(tokenizer: BioGptTokenizer, positions: int, longest: int) -> None:
    """By the schema's limit, or so that a tenth of the positions stays free."""
    task = load_task("bc5cdr")
    add_learned_tokens(tokenizer, 9)
    tokenizer.model_max_length = positions
    prompt = encode_prompt(task, tokenizer, Example("1", "the patients had fever " * 500))
    assert len(prompt) == longest
    assert tokenizer.decode(prompt[-10:-9]) == "."  # the last piece of `...` in a vocabulary without it
    assert prompt[-9:] == learned_ids(tokenizer)


@pytest.mark.parametrize("context", ["left", "twice"])
def test_a_word_is_labelled_at_its_last_piece(tokenizer: BioGptTokenizer, context: str) -> None:
    task = load_task("ncbi_disease").with_inference(tagging_context=context)
    example = Example("1", "Non-polyposis colorectal carcinomas , \u200b seldom .")
    (words,) = encode_words(task, tokenizer, example)
    pieces = tokenizer.convert_ids_to_tokens(words.input_ids)
    assert len(words.places) == len(example.text.split(" "))
    assert words.places == sorted(set(words.places))
    assert words.places[-1] == len(words.input_ids) - 1
    assert all(pieces[place].endswith("</w>") or pieces[place] == "<unk>" for place in words.places)
    if context == "twice":
        half = len(words.input_ids) // 2
        assert words.input_ids[:half] == words.input_ids[half:]
        assert words.places[0] > half


@pytest.mark.parametrize("context", ["left", "twice"])
def test_words_beyond_the_positions_come_in_parts(tokenizer: BioGptTokenizer, context: str) -> None:
    task = load_task("ncbi_disease").with_inference(tagging_context=context)
    tokenizer.model_max_length = 32
    example = Example("1", " ".join(f"word{number} of the adenocarcinomas" for number in range(20)))
    parts = encode_words(task, tokenizer, example)
    assert len(parts) > 1
    assert all(len(part.input_ids) <= 32 for part in parts)
    assert sum(len(part.places) for part in parts) == 80


def test_labels_of_words_and_of_texts() -> None:
    tagging, several = load_task("bc5cdr_chem"), load_task("hoc")
    assert head_labels(tagging) == ["O", "B-Chemical", "I-Chemical"]
    example = Example(
        "1", "Acetyl salicylic acid helps", (Item({"mention": "", "label": "Chemical"}, {"mention": ((0, 21),)}),)
    )
    assert label_ids(tagging, example) == [1, 2, 2, 0]
    assert [head_labels(several)[index] for index in label_ids(several, several.example())] == [
        "resisting cell death",
        "inducing angiogenesis",
    ]
