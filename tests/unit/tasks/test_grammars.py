"""What each kind of task lets a model write."""

import pytest

from biogpt.tasks.example import Example
from biogpt.tasks.task import Task, load_task
from biogpt.text.grammar import Choice, Grammar, SourceSpan, Words

EXAMPLE = Example("x", "Some text.")
SCHEMA = """
kind = "{kind}"
title = "Mine"
source = "{{text}}"
sentence = "It is {{label}} for sure"
end = "!"

[slots.label]
choices = ["Yes", "No"]

[dataset]
reader = "table"
columns = {{ id = "id", text = "text", label = "label" }}

[score]
metric = "{metric}"
"""


def load(tmp_path, kind: str, metric: str) -> Task:
    path = tmp_path / "mine.toml"
    path.write_text(SCHEMA.format(kind=kind, metric=metric))
    return load_task(path)


def test_relations_are_sentences_with_spans_of_the_source():
    task = load_task("bc5cdr")
    assert task.grammar(EXAMPLE) == Grammar(
        sentence=(Words("the relation between "), SourceSpan(), Words(" and "), SourceSpan(), Words(" exists")),
        separator="; ",
        is_repeated=True,
        end=".",
        none="there is no relation.",
    )


@pytest.mark.parametrize(
    ("settings", "none"),
    [("", "."), ('none = "nothing"', "nothing."), ('end = " STOP"', " STOP"), ('end = ""', None)],
)
def test_what_says_that_there_is_nothing_is_read_as_that(tmp_path, settings, none):
    path = tmp_path / "mine.toml"
    text = SCHEMA.format(kind="relation", metric="exact").replace('end = "!"', settings)
    path.write_text(text.replace('choices = ["Yes", "No"]', ""))
    task = load_task(path)
    assert task.grammar(EXAMPLE).none == none
    assert none is None or task.parse(none, EXAMPLE).problems == ()
    assert task.parse("", EXAMPLE).problems


def test_choices_are_verbalized_as_in_the_target():
    task = load_task("ddi", target_format="svo")
    verbalizers = Choice(("affects", "changes the mechanism of", "needs advice with", "interacts with"))
    assert task.grammar(EXAMPLE).sentence == (SourceSpan(), Words(" "), verbalizers, Words(" "), SourceSpan())


def test_verbalizers_of_several_values_are_one_choice():
    task = load_task("kd_dti", target_format="svo")
    (choice,) = (part for part in task.grammar(EXAMPLE).sentence if isinstance(part, Choice))
    assert len(choice.texts) == len(set(choice.texts)) < len(task.schema.slots["interaction"].choices)


def test_labels_are_repeated_within_the_sentence(tmp_path):
    task = load(tmp_path, "classification", "labels")
    assert task.grammar(EXAMPLE) == Grammar(
        sentence=(Choice(("Yes", "No")),), opening="It is ", separator="|", is_repeated=True, end=" for sure!"
    )


def test_an_answer_is_one_sentence(tmp_path):
    task = load(tmp_path, "answering", "accuracy")
    assert task.grammar(EXAMPLE) == Grammar(
        sentence=(Words("It is "), Choice(("Yes", "No")), Words(" for sure")), separator="; ", end="!"
    )


@pytest.mark.parametrize("name", ["textgen", "jnlpba"])
def test_free_texts_and_tags_have_no_grammar(name):
    task = load_task(name)
    assert task.grammar(EXAMPLE) is None
