"""Trivial baselines: what they find, on examples small enough to check by hand and on the real sets."""

from dataclasses import replace

import pytest
from trivial_baselines import Lexicon, baseline_names, predict_trivially

from biogpt.errors import InputError
from biogpt.tasks.example import Example, Item
from biogpt.tasks.task import Task, load_task, task_names

BC5CDR = load_task("bc5cdr")
DDI = load_task("ddi")
IDS = {"chemical": {"aspirin": "D1", "asa": "D1", "lithium": "D2"}, "disease": {"bleeding": "D3", "tremor": "D4"}}


def relations_of(prediction) -> set[tuple[str, ...]]:
    return {tuple(item.slots.values()) for item in prediction.items}


def linked(id: str, title: str, abstract: str, *pairs: tuple[str, str]) -> Example:
    items = tuple(
        Item(
            {"chemical": chemical, "disease": disease},
            ids={"chemical": IDS["chemical"][chemical], "disease": IDS["disease"][disease]},
        )
        for chemical, disease in pairs
    )
    return Example(id, f"{title} {abstract}", items, {"title": title, "abstract": abstract}, IDS)


TRAIN = [
    linked("1", "Aspirin and bleeding.", "Aspirin (ASA) was given.", ("aspirin", "bleeding")),
    linked("2", "Lithium.", "Tremor was seen.", ("lithium", "tremor")),
]
TEST = linked("3", "ASA in old age.", "Bleeding was seen. Lithium caused no tremor, and coma was not seen.")


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("co-occurring", {("asa", "bleeding"), ("asa", "tremor"), ("lithium", "bleeding"), ("lithium", "tremor")}),
        ("same sentence", {("lithium", "tremor")}),
        ("same sentence in order", {("lithium", "tremor")}),
        ("first in title", {("asa", "bleeding"), ("asa", "tremor")}),
        ("known", {("asa", "bleeding"), ("lithium", "tremor")}),
        ("first in title or known", {("asa", "bleeding"), ("asa", "tremor"), ("lithium", "tremor")}),
        ("known of the first", {("lithium", "tremor")}),
        ("copied", {("aspirin", "bleeding")}),
    ],
)
def test_pairs_of_known_entities(baseline, expected):
    prediction = predict_trivially(BC5CDR, baseline, TRAIN, [TEST])[0]
    assert relations_of(prediction) == expected
    assert prediction.id == "3"
    assert not prediction.problems
    assert all(
        item.ids["chemical"] in ("D1", "D2") and item.ids["disease"] in ("D3", "D4") for item in prediction.items
    )


def test_entities_without_a_training_relation_are_not_paired():
    prediction = predict_trivially(BC5CDR, "co-occurring", TRAIN[:1], [TEST])[0]
    assert relations_of(prediction) == {("asa", "bleeding")}


def test_a_pair_is_related_as_it_mostly_was_and_else_as_most_pairs_were():
    def triple(drug: str, target: str, interaction: str) -> Item:
        return Item({"drug": drug, "target": target, "interaction": interaction})

    train = [
        Example("1", "A and B. C and D.", (triple("A", "B", "advise"), triple("C", "D", "int"))),
        Example("2", "A and B. C and B.", (triple("A", "B", "effect"), triple("C", "B", "int"))),
        Example("3", "A and B.", (triple("A", "B", "effect"),)),
    ]
    text = Example("4", "A and B are given. C was not given with d, nor d with itself.")
    found = relations_of(predict_trivially(DDI, "co-occurring", train, [text])[0])
    assert found == {("a", "b", "effect"), ("a", "d", "effect"), ("c", "b", "int"), ("c", "d", "int")}
    assert relations_of(predict_trivially(DDI, "copied", train, [text])[0]) == {("a", "b", "effect")}
    ordered = relations_of(predict_trivially(DDI, "same sentence in order", train, [text])[0])
    assert ordered == {("a", "b", "effect"), ("c", "d", "int")}


def test_the_longest_name_wins_and_holds_no_other():
    lexicon = Lexicon({("renal", "failure"): "long", ("failure",): "short", ("acute",): "other"})
    words = ["acute", "renal", "failure", "or", "heart", "failure"]
    assert list(lexicon.find(words)) == [(0, 1, "other"), (1, 3, "long"), (5, 6, "short")]
    assert list(Lexicon({}).find(words)) == []


def tagged(task: Task, text: str, tags: str) -> Example:
    example = Example(text, text)
    return replace(example, items=task.parse(tags, example).items)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("dictionary", "O O B-Disease O O O B-Disease"),
        ("dictionary in any case", "B-Disease I-Disease B-Disease O O O B-Disease"),
        ("trusted dictionary", "O O B-Disease O O O O"),
        ("trusted dictionary in any case", "B-Disease I-Disease B-Disease O O O O"),
        ("tag of each word", "B-Disease I-Disease B-Disease O O O O"),
    ],
)
def test_a_dictionary_of_training_mentions(baseline, expected):
    task = load_task("ncbi_disease")
    train = [
        tagged(task, "breast cancer or gout or was", "B-Disease I-Disease O B-Disease O B-Disease"),
        tagged(task, "it was and was", "O O O O"),
    ]
    example = Example("9", "Breast cancer gout and it never was")
    assert task.target(replace(example, items=predict_trivially(task, baseline, train, [example])[0].items)) == expected


def test_the_majority_is_the_most_frequent_set_of_labels():
    task = load_task("hoc")
    both = (Item({"label": "resisting cell death"}), Item({"label": "inducing angiogenesis"}))
    train = [Example("1", "a", both), Example("2", "b", both[::-1]), Example("3", "c", both[:1])]
    prediction = predict_trivially(task, "majority", train, [Example("4", "d")])[0]
    assert relations_of(prediction) == {("inducing angiogenesis",), ("resisting cell death",)}


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(InputError, match="Did you mean 'known'"):
        predict_trivially(BC5CDR, "knwon", TRAIN, [TEST])
    with pytest.raises(InputError, match="nothing to count: 1 training examples"):
        predict_trivially(BC5CDR, "known", [TEST], [TEST])
    assert not baseline_names(load_task("textgen"))
    with pytest.raises(InputError, match="none: there is no right answer"):
        predict_trivially(load_task("textgen"), "majority", TRAIN, [TEST])


def test_every_task_with_a_right_answer_has_a_baseline():
    assert all(baseline_names(load_task(name)) for name in task_names() if name != "textgen")


def test_gold_of_the_examples_is_not_looked_at():
    answer = TRAIN[0]
    for baseline in baseline_names(BC5CDR):
        blind = predict_trivially(BC5CDR, baseline, TRAIN, [replace(answer, items=())])
        assert predict_trivially(BC5CDR, baseline, TRAIN, [answer]) == blind


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "directory", "baseline", "expected"),
    [
        ("pubmedqa", "benchmarks/PubMedQA", "majority", {"accuracy": 0.552}),
        ("hoc", "benchmarks/HoC", "majority", {"precision": 3452 / 4947}),
    ],
)
def test_the_majority_on_real_sets(data_path, name, directory, baseline, expected):
    task = load_task(name)
    train, test = (task.read(data_path / directory, split) for split in ("train", "test"))
    score = task.score(predict_trivially(task, baseline, train, test), test)
    assert {figure: score[figure] for figure in expected} == pytest.approx(expected)
    assert score["num_missing"] == score["num_with_problems"] == 0


@pytest.mark.data
def test_real_pairs_stand_in_their_sources_and_are_fewer_where_more_is_asked(data_path):
    train, test = (BC5CDR.read(data_path / "benchmarks" / "BC5CDR", split) for split in ("train", "test"))
    test = test[:30]
    found = {
        baseline: predict_trivially(BC5CDR, baseline, train, test)
        for baseline in ("co-occurring", "same sentence", "same sentence in order", "first in title", "known")
    }
    for index in range(len(test)):
        everything = relations_of(found["co-occurring"][index])
        assert all(relations_of(predictions[index]) <= everything for predictions in found.values())
        in_order = relations_of(found["same sentence in order"][index])
        assert in_order <= relations_of(found["same sentence"][index])
    items = [item for prediction in found["co-occurring"] for item in prediction.items]
    assert items
    assert all(all(item.spans.values()) for item in items)
    scores = {baseline: BC5CDR.score(predictions, test) for baseline, predictions in found.items()}
    assert scores["known"]["precision"] > scores["co-occurring"]["precision"]
    assert scores["known"]["recall"] < scores["co-occurring"]["recall"]
