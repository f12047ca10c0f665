import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import load_task

TEXT = (
    "Cocaine causes generalised and focal seizures, at 5 mg/kg; and hypotension. Cocaine, not clonidine, is to blame."
)
EXAMPLE = Example("1", TEXT, vocabulary={"chemical": {"cocaine": "D003042"}, "disease": {"hypotension": "D007022"}})
CDR = load_task("bc5cdr")
DDI = load_task("ddi")
KD_DTI = load_task("kd_dti")


def pairs(text: str, task=CDR) -> list[tuple[str, ...]]:
    return [tuple(item.slots.values()) for item in task.parse(text, EXAMPLE).items]


def test_an_item_has_all_mentions_and_an_identifier():
    [item] = CDR.parse("the relation between cocaine and hypotension exists.", EXAMPLE).items
    assert item.slots == {"chemical": "cocaine", "disease": "hypotension"}
    assert [TEXT[start:end] for start, end in item.spans["chemical"]] == ["Cocaine", "Cocaine"]
    assert [TEXT[start:end] for start, end in item.spans["disease"]] == ["hypotension"]
    assert item.ids == {"chemical": "D003042", "disease": "D007022"}
    assert item.score is None


def test_a_name_that_the_source_lacks_is_kept_and_not_found():
    [item] = CDR.parse("the relation between aspirin and rash exists.", EXAMPLE).items
    assert item.slots == {"chemical": "aspirin", "disease": "rash"}
    assert item.spans == {"chemical": (), "disease": ()}
    assert item.ids == {"chemical": "-1", "disease": "-1"}


def test_the_source_decides_between_readings():
    text = "the relation between cocaine and generalised and focal seizures exists."
    assert pairs(text) == [("cocaine", "generalised and focal seizures")]


def test_a_name_with_blanks_from_tokenising_finds_its_identifier():
    example = Example("1", TEXT, vocabulary={"chemical": {"5 mg/kg": "X"}, "disease": {}})
    [item] = CDR.parse("the relation between 5 mg / kg and hypotension exists.", example).items
    assert item.ids["chemical"] == "X"
    assert item.slots["chemical"] == "5 mg / kg"


@pytest.mark.parametrize(
    ("text", "items", "problem"),
    [
        ("", [], "nothing to read"),
        (" \n ", [], "nothing to read"),
        (";;;", [], "cannot read"),
        ("Cocaine is bad.", [], "cannot read 'cocaine is bad'"),
        ("the relation between cocaine and", [], "cannot read"),
        ("the relation between  and  exists.", [], "cannot read"),
        (
            "the relation between cocaine and hypotension exists and so on",
            [("cocaine", "hypotension")],
            "ignored 'and so",
        ),
        ("I say: the relation between cocaine and rash exists.", [("cocaine", "rash")], "cannot read 'i say:'"),
        (
            "the relation between cocaine and rash exists; the relation between cocaine and hypo",
            [("cocaine", "rash")],
            "cannot read 'the relation between cocaine and hypo'",
        ),
        (
            "the relation between cocaine and rash exists; the relation between cocaine and rash exists.",
            [("cocaine", "rash")],
            "1 repeated",
        ),
    ],
)
def test_malformed_text_gives_what_can_be_read_and_says_what_cannot(text, items, problem):
    prediction = CDR.parse(text, EXAMPLE)
    assert [tuple(item.slots.values()) for item in prediction.items] == items
    assert any(problem in said for said in prediction.problems), prediction.problems
    assert prediction.has_failed == (not items)
    assert prediction.text == text


@pytest.mark.parametrize(
    "text",
    [
        "learned1 learned2 learned9 the relation between cocaine and rash exists.",
        "we can conclude that the relation between cocaine and rash exists.",
        "in conclusion , the relation between cocaine and rash exists .",
        "The relation between Cocaine and rash exists",
    ],
)
def test_what_the_prompt_leaves_behind_is_no_problem(text):
    assert pairs(text) == [("cocaine", "rash")]
    assert not CDR.parse(text, EXAMPLE).problems


def test_a_document_without_relations_says_so():
    keeping = load_task("bc5cdr", empty_documents="keep")
    text = keeping.target(Example("1", TEXT))
    assert text == "there is no relation."
    prediction = keeping.parse(text, EXAMPLE)
    assert not prediction.items
    assert not prediction.problems
    assert not prediction.has_failed


def test_an_unknown_choice_is_a_problem_and_no_item():
    prediction = DDI.parse("the interaction between cocaine and clonidine is strange.", EXAMPLE)
    assert not prediction.items
    assert "unknown interaction 'strange'" in prediction.problems[0]


def test_an_open_choice_is_taken_and_a_cut_off_one_is_told():
    prediction = KD_DTI.parse("the interaction between cocaine and clonidine is inhib", EXAMPLE)
    assert prediction.items[0].slots["interaction"] == "inhib"
    assert "may be cut off" in prediction.problems[0]


@pytest.mark.parametrize(
    ("name", "target_format", "text"),
    [
        ("bc5cdr", "svo", "a correlates with b."),
        ("bc5cdr", "is-of", "a is the inducer of b."),
        ("bc5cdr", "marked", "<h> a <t> b."),
    ],
)
def test_other_target_formats_of_pairs(name, target_format, text):
    task = load_task(name, target_format=target_format)
    example = Example("1", "A and B", (Item({"chemical": "A", "disease": "B"}),))
    assert task.target(example) == text
    assert task.parse(text, example).items[0].spans == {"chemical": ((0, 1),), "disease": ((6, 7),)}


@pytest.mark.parametrize(
    ("name", "target_format", "text"),
    [
        ("kd_dti", "rel-is", "the interaction between a and b is weak inhibitor."),
        ("kd_dti", "svo", "a weakly inhibits b."),
        ("kd_dti", "is-of", "a is the weak inhibitor of b."),
        ("kd_dti", "marked", "<h> a <t> b <r> weak inhibitor."),
        ("ddi", "svo", "a interacts with b."),
        ("ddi", "is-of", "a is the int of b."),
        ("ddi", "marked", "<h> a <t> b <r> int."),
        ("ddi", "two-type", "a and b are int."),
    ],
)
def test_other_target_formats_of_triples(name, target_format, text):
    task = load_task(name, target_format=target_format)
    interaction = "int" if name == "ddi" else "weak inhibitor"
    item = Item({"drug": "A", "target": "B", "interaction": interaction})
    example = Example("1", "A and B", (item,))
    assert task.target(example) == text
    assert [dict(read.slots) for read in task.parse(text, example).items] == [
        {"drug": "a", "target": "b", "interaction": interaction}
    ]


WORDS = st.sampled_from(
    [
        *("the", "relation", "interaction", "between", "and", "exists", "is", "int", ";", ".", "cocaine", "rash"),
        *("<h>", "<t>", "learned1", "correlates with", "of", "\n", "the relation between", "there is no relation"),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(WORDS, max_size=30).map(" ".join))


@given(TEXTS)
@settings(max_examples=200)
@pytest.mark.parametrize("task", [CDR, DDI, load_task("kd_dti", target_format="svo")], ids=["cdr", "ddi", "svo"])
def test_parsing_never_raises_never_invents_never_drops(task, text):
    prediction = task.parse(text, EXAMPLE)
    squeezed = "".join(text.lower().split())
    for item in prediction.items:
        assert set(item.slots) == set(task.schema.slots)
        for slot, value in item.slots.items():
            assert value
            if task.schema.slots[slot].is_entity:
                assert "".join(value.split()) in squeezed.replace("learned1", "")
                for start, end in item.spans[slot]:
                    assert "".join(TEXT[start:end].lower().split()) == "".join(value.split())
    says_none = " ".join(text.lower().replace("learned1", "").split()).removesuffix(".").strip() == task.schema.none
    assert prediction.items or prediction.problems or says_none


NAME = st.lists(st.sampled_from(["alpha", "and", "beta", "2-x", "(y)", "is", "of"]), min_size=1, max_size=3).map(
    " ".join
)


@given(st.lists(st.tuples(NAME, NAME), min_size=1, max_size=3, unique=True))
@settings(max_examples=200)
def test_names_of_the_source_survive_rendering_and_parsing(names):
    text = " | ".join(name for pair in names for name in pair)
    items = tuple(Item({"chemical": chemical, "disease": disease}) for chemical, disease in names)
    example = Example("1", text, items)
    parsed = CDR.parse(CDR.target(example), example)
    # Several ways to read may all stand in such a text; what is read always does, and no relation is lost or added.
    num_repeated = sum(int(problem.split()[0]) for problem in parsed.problems if "repeated" in problem)
    assert len(parsed.items) + num_repeated == len(names)
    assert all(item.spans["chemical"] and item.spans["disease"] for item in parsed.items)
