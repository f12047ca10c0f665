import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt.decoding.constraint import ConstraintState, TokenConstraint, compile_constraint
from biogpt.errors import ConfigError, InputError
from biogpt.model.checkpoint import resolve_model
from biogpt.tasks.encoding import encode_target
from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import Task, load_task
from biogpt.text.grammar import Choice, Grammar, SourceSpan, Words
from biogpt.text.tokenizer import BioGptTokenizer

RELATIONS = Grammar(
    sentence=(Words("the relation between "), SourceSpan(), Words(" and "), SourceSpan(), Words(" exists")),
    separator="; ",
    is_repeated=True,
    end=".",
    none="there is no relation.",
)
SOURCE = "Cisplatin-induced nephrotoxicity. Generalised and focal seizures were seen after 5 mg/kg (R)-ketamine."
# Every task and target format whose answers a grammar describes, but for one: svo of KD-DTI words two choices alike.
TASKS = [
    ("bc5cdr", "rel-is"),
    ("bc5cdr", "svo"),
    ("bc5cdr", "is-of"),
    ("bc5cdr", "marked"),
    ("ddi", "rel-is"),
    ("ddi", "svo"),
    ("ddi", "is-of"),
    ("ddi", "marked"),
    ("ddi", "two-type"),
    ("kd_dti", "rel-is"),
    ("kd_dti", "is-of"),
    ("kd_dti", "marked"),
    ("pubmedqa", ""),
    ("hoc", ""),
]


# What a source may have to lead a constraint or a reader astray.
WORDS = re.findall(
    r"\S+",
    """and exists is of the relation between interaction correlates with inducer effect int affects <h> <t> ; . , :
    ( ) % - -- ' " cisplatin (R)-ketamine IL-6 α-blocker 5-HT2A patients' Alzheimer's e.g. 0.5 5 mg/kg renal
    failure. d. [3H] a|b 日本 Ünal""",
)


@pytest.fixture(scope="module")
def tokenizer() -> BioGptTokenizer:
    return BioGptTokenizer.from_pretrained(resolve_model("mini"))


@pytest.fixture(scope="module")
def encode(tokenizer):
    return lambda text: tokenizer.encode_ids([text])[0]


@pytest.fixture(scope="module")
def compiled(tokenizer, encode):
    return lambda grammar, source=SOURCE: compile_constraint(grammar, tokenizer, encode(source.lower()))


def follow(state: ConstraintState, ids: list[int]) -> ConstraintState:
    for index in ids:
        assert index in state.allowed()
        assert state.accept(index) == 0
    return state


def accepts(constraint: TokenConstraint, ids: list[int]) -> bool:
    state = constraint.begin(1000)
    return all(index in state.allowed() and state.accept(index) == 0 for index in ids) and state.is_done


def load(name: str, target_format: str) -> Task:
    return load_task(name, **({"target_format": target_format} if target_format else {}))


def wander(state: ConstraintState, dice: random.Random, stay: float) -> ConstraintState:
    """To the end of a constraint by chance; `stay` is how often to take the highest id, which makes spans long."""
    while not state.is_done:
        allowed = sorted(state.allowed())
        forced = state.fast_forward() if dice.random() < 0.3 else []
        for index in forced or [allowed[-1] if dice.random() < stay else dice.choice(allowed)]:
            assert index in state.allowed()
            state.accept(index)
    return state


class TestRelations:
    @pytest.mark.parametrize(
        "target",
        [
            "there is no relation.",
            "the relation between cisplatin and nephrotoxicity exists.",
            "the relation between cisplatin and nephrotoxicity exists; the relation between ketamine and focal "
            "seizures exists; the relation between (r)-ketamine and generalised and focal seizures exists.",
            "the relation between 5 mg/kg and cisplatin-induced nephrotoxicity exists.",
        ],
    )
    def test_what_the_grammar_describes_is_allowed(self, compiled, encode, tokenizer, target):
        assert accepts(compiled(RELATIONS), [*encode(target), tokenizer.eos_token_id])

    @pytest.mark.parametrize(
        "target",
        [
            "the relation between cisplatin and nephrotoxicity exists",
            "the relation between cisplatin and exists.",
            "the relation between aspirin and nephrotoxicity exists.",
            "the relation between cisplatin and nephro exists.",
            "the relation between cisplatin and seizures focal exists.",
            "the relation between cisplatin and (exists.",
            "the relation between cisplatin and nephrotoxicity. generalised exists, too.",
            "the relation between cisplatin and nephrotoxicity. exists.",
            "the relation between cisplatin- and nephrotoxicity exists.",
            "there is no relation; the relation between cisplatin and nephrotoxicity exists.",
            "the relation between cisplatin and nephrotoxicity exists; there is no relation.",
            "no relation.",
            "",
        ],
    )
    def test_nothing_else_is(self, compiled, encode, tokenizer, target):
        assert not accepts(compiled(RELATIONS), [*encode(target), tokenizer.eos_token_id])

    def test_the_template_is_forced_and_a_choice_is_not(self, compiled, encode):
        state = compiled(RELATIONS).begin(100)
        assert state.fast_forward() == []
        assert state.allowed() == {encode("the")[0], encode("there")[0]}
        follow(state, encode("the")[:1])
        assert state.fast_forward() == encode("relation between")
        follow(state, state.fast_forward())
        assert state.fast_forward() == []
        follow(state, encode("ketamine"))
        assert state.fast_forward() == encode("and")  # the last word of the source: a span cannot go on
        follow(state, [*encode("and"), *encode("focal")])
        assert {encode("seizures")[0], encode("exists")[0]} == state.allowed()
        follow(state, encode("exists"))
        assert state.allowed() == {encode(";")[0], encode(".")[0]}
        follow(state, encode(";"))
        assert state.fast_forward() == encode("the relation between")
        assert len(state.ids) == len(encode("the relation between ketamine and focal exists;")), "it only looked ahead"

    def test_a_sentence_said_before_ends_the_list(self, compiled, encode, tokenizer):
        first, second = "the relation between cisplatin and nephrotoxicity exists", "the relation between ketamine and"
        state = follow(compiled(RELATIONS).begin(200), encode(f"{first}; {second} focal exists; {second} focal"))
        num_before = len(state.ids)
        # "focal seizures" would be new
        assert state.accept(encode("exists")[0]) == num_before + 1 - len(encode(f"{first}; {second} focal"))
        assert state.ids == encode(f"{first}; {second} focal")
        assert state.fast_forward() == [*encode("exists."), tokenizer.eos_token_id]
        follow(state, state.fast_forward())
        assert state.is_done
        assert state.allowed() == set()

    def test_one_with_the_same_beginning_does_not(self, compiled, encode, tokenizer):
        target = (
            "the relation between ketamine and focal exists; the relation between ketamine and focal seizures exists."
        )
        assert accepts(compiled(RELATIONS), [*encode(target), tokenizer.eos_token_id])

    def test_names_with_the_templates_own_words_are_followed_in_all_ways(self, compiled, encode):
        state = compiled(RELATIONS).begin(200)
        follow(state, encode("the relation between generalised and focal seizures"))
        assert encode("were")[0] in state.allowed(), "one span of five words"
        assert encode("exists")[0] in state.allowed(), "or 'generalised' and 'focal seizures'"
        assert encode("and")[0] in state.allowed()

    def test_a_source_without_words_leaves_only_what_says_none(self, compiled, encode, tokenizer):
        state = compiled(RELATIONS, " -- (;) ... ").begin(10)
        assert state.fast_forward() == [*encode(RELATIONS.none), tokenizer.eos_token_id]
        with pytest.raises(InputError, match="The source has no word that could fill a slot"):
            compiled(replace(RELATIONS, none=None), " -- (;) ... ").begin(10)


class TestSpans:
    @pytest.fixture
    def allows(self, compiled, encode, tokenizer):
        def allows(span: str, source: str, grammar: Grammar = Grammar((Words("say "), SourceSpan()))) -> bool:  # noqa: B008
            return accepts(compiled(grammar, source), [*encode(f"say {span}"), tokenizer.eos_token_id])

        return allows

    def test_full_stops_that_moses_leaves_on_words_are_no_part_of_names(self, allows):
        source = "rats had renal failure. the u.s. food. e. coli and vitamin d. it"
        assert allows("renal failure", source)
        assert not allows("renal failure.", source)
        assert allows("vitamin d", source)
        assert allows("e. coli", source)
        assert allows("the u.s.", source)
        assert allows("u.s.", source)

    def test_they_do_not_run_over_the_end_of_a_sentence(self, allows):
        source = "no renal failure. aspirin was safe? yes: e. coli and st. john's wort i.v. lithium."
        for name in ("renal failure", "aspirin", "e. coli", "st. john's wort", "i.v. lithium", "failure", "yes"):
            assert allows(name, source), name
        for name in ("renal failure. aspirin", "failure. aspirin", "safe? yes", "aspirin was safe? yes: e. coli"):
            assert not allows(name, source), name

    def test_they_are_no_longer_than_they_may_be(self, allows):
        source = " ".join("abcdefg")
        for length in (1, 3, 7):
            grammar = Grammar((Words("say "), SourceSpan(max_words=length)))
            assert allows(" ".join("abcdefg"[:length]), source, grammar)
            assert allows(" ".join("abcdefg"[-length:]), source, grammar)
            assert not allows(" ".join("abcdefg"[: length + 1]), source, grammar) or length == 7

    def test_they_have_no_word_that_a_reader_takes_for_the_templates_own(self, allows, compiled, encode, tokenizer):
        grammar = Grammar((Words("say "), SourceSpan()), separator="; ", is_repeated=True, end=".")
        source = "one; two (say three) four .5 five"
        assert allows("two.", source, grammar)
        for span in ("one; two.", "two (say.", "say three.", "four.5 five.", "four.5."):
            assert not allows(span, source, grammar)

    def test_they_neither_begin_nor_end_with_the_templates_words_beside_them(self, compiled, encode, tokenizer):
        constraint = compiled(Grammar((SourceSpan(), Words(" and "), SourceSpan())), "and one and two and")
        for text, is_allowed in {
            "one and two": True,
            "one and two and one": True,
            "and and two": False,
            "and one and two": False,
            "one and and": False,
            "one and two and": False,
        }.items():
            assert accepts(constraint, [*encode(text), tokenizer.eos_token_id]) is is_allowed

    def test_special_tokens_and_unknown_characters_interrupt_them(self, tokenizer, encode):
        special = [tokenizer.eos_token_id, *encode("one"), tokenizer.unk_token_id, *encode("two three four")]
        constraint = compile_constraint(Grammar((SourceSpan(),)), tokenizer, special)
        for span, is_allowed in {"one": True, "one two": False, "two": False, "three four": True}.items():
            assert accepts(constraint, [*encode(span), tokenizer.eos_token_id]) is is_allowed

    def test_a_word_that_was_cut_in_two_is_none(self, tokenizer, encode):
        ids = encode("renal opistothonus")
        assert len(encode("opistothonus")) > 1
        constraint = compile_constraint(Grammar((SourceSpan(),)), tokenizer, [*ids[:-1], encode("...")[0]])
        state = constraint.begin(10)
        follow(state, encode("renal"))
        assert state.fast_forward() == [tokenizer.eos_token_id]


class TestLimits:
    def test_the_text_is_closed_in_time(self, compiled, tokenizer):
        constraint = compiled(RELATIONS)
        for limit in range(9, 60):
            for seed in range(3):
                state = wander(constraint.begin(limit), random.Random(seed), 0.5)
                assert len(state.ids) <= limit
                assert state.ids[-1] == tokenizer.eos_token_id
        endless = [
            state for seed in range(30) if len((state := wander(constraint.begin(40), random.Random(seed), 0)).ids) > 36
        ]
        assert endless

    def test_too_little_room_is_refused_before_the_first_id(self, compiled):
        constraint = compiled(replace(RELATIONS, none=None))
        with pytest.raises(InputError, match=r"Got room for 8 new tokens, expected at least 9: no text"):
            constraint.begin(8)
        assert len(wander(constraint.begin(9), random.Random(0), 0).ids) == 9

    def test_an_id_that_is_not_allowed_is_refused(self, compiled):
        with pytest.raises(InputError, match="Got the id 7, expected one of those that `allowed` gives"):
            compiled(RELATIONS).begin(100).accept(7)


@pytest.mark.parametrize(
    ("grammar", "says"),
    [
        (Grammar((Words("no slots"),)), "expected at least one slot"),
        (Grammar((Words("the pre"), SourceSpan())), "each apart from the words around it"),
        (Grammar((SourceSpan(), SourceSpan())), "each apart from the words around it"),
        (
            Grammar((SourceSpan(), Words(" "), SourceSpan()), is_repeated=True, separator="\n"),
            "nothing stands between its sentences",
        ),
        (Grammar((Words("\U00013000 "), SourceSpan())), "the vocabulary lacks a character"),
        (Grammar((Words("is "), Choice(("a", "\U00013000")))), "the vocabulary lacks a character"),
    ],
)
def test_grammars_that_no_rule_can_hold_are_refused(compiled, grammar, says):
    with pytest.raises(ConfigError, match=says) as caught:
        compiled(grammar)
    assert "\n" not in str(caught.value)


class TestTasks:
    @pytest.mark.parametrize(("name", "target_format"), TASKS)
    def test_the_schemas_own_example_is_allowed(self, tokenizer, encode, name, target_format):
        task = load(name, target_format)
        example = task.example()
        constraint = compile_constraint(task.grammar(example), tokenizer, encode(task.prompt(example)))
        assert accepts(constraint, encode_target(task, tokenizer, example))

    @settings(max_examples=150, deadline=None)
    @given(
        task=st.sampled_from(TASKS),
        words=st.lists(
            st.sampled_from(WORDS) | st.text(st.sampled_from("abA5.,;'-()/"), min_size=1, max_size=5),
            min_size=1,
            max_size=40,
        ),
        limit=st.integers(12, 120),
        seed=st.integers(0, 2**32),
        stay=st.sampled_from([0.0, 0.5, 0.95]),
    )
    def test_any_path_reads_back_without_problems_and_names_stand_in_the_source(
        self, tokenizer, encode, task, words, limit, seed, stay
    ):
        task = load(*task)
        example = Example("x", " ".join(words))
        constraint = compile_constraint(task.grammar(example), tokenizer, encode(task.prompt(example)))
        try:
            state = constraint.begin(limit)
        except InputError:
            return  # the shortest answer is longer
        text = tokenizer.decode(wander(state, random.Random(seed), stay).ids, skip_special_tokens=True)
        assert len(state.ids) <= limit
        prediction = task.parse(text, example)
        assert prediction.problems == (), text
        assert task.schema.kind == "relation" or prediction.items
        for item in prediction.items:
            for slot, spans in item.spans.items():
                assert spans, f"{slot} in {text}"

    def test_labels_are_each_said_once(self, tokenizer, encode):
        task = load_task("hoc")
        for seed in range(50):
            constraint = compile_constraint(task.grammar(task.example()), tokenizer, [])
            text = tokenizer.decode(wander(constraint.begin(200), random.Random(seed), 0).ids, skip_special_tokens=True)
            labels = text.removeprefix("the type of this document is ").removesuffix(".").split(" | ")
            assert len(labels) == len(set(labels)) > 0
            assert set(labels) <= set(task.schema.slots["label"].choices)

    def test_an_answer_is_one_of_the_choices(self, tokenizer, encode):
        task = load_task("pubmedqa")
        constraint = compile_constraint(task.grammar(task.example()), tokenizer, [])
        texts = {
            tokenizer.decode(wander(constraint.begin(200), random.Random(seed), 0).ids, skip_special_tokens=True)
            for seed in range(30)
        }
        assert texts == {
            f"the answer to the question given the context is {answer}." for answer in ("yes", "no", "maybe")
        }

    def test_tags_and_free_texts_have_no_grammar(self):
        for name in ("ncbi_disease", "textgen"):
            task = load_task(name)
            assert task.grammar(Example("x", "A text .", (Item({}),))) is None
