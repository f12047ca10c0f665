"""All gold data of all tasks: sources and targets byte for byte, rendering and parsing back, and the caveats as stated.

The digests are of the files that the reference's own `rebuild_data.py` scripts write for these data sets (`.x`:
sources, `.y`: targets), made once by running their logic beside this project.
"""

import hashlib
import json
import random

import pytest

from biogpt.tasks.example import NO_ID
from biogpt.tasks.kinds.completion import clean
from biogpt.tasks.task import load_task, truncate_source

pytestmark = pytest.mark.data

FOLDERS = {
    "bc5cdr": "benchmarks/BC5CDR",
    "ddi": "benchmarks/DDI",
    "kd_dti": "benchmarks/KD-DTI",
    "hoc": "benchmarks/HoC",
    "pubmedqa": "benchmarks/PubMedQA",
    "ncbi_disease": "ner/NCBI-disease",
    "bc5cdr_chem": "ner/BC5CDR-chem",
    "bc5cdr_disease": "ner/BC5CDR-disease",
    "bc2gm": "ner/BC2GM",
    "jnlpba": "ner/JNLPBA",
}
# task, target format, split, examples, digest of the sources, digest of the targets
REFERENCE = [
    ("bc5cdr", "rel-is", "dev", 500, "3a1adf91143db695", "b0905424f899b068"),
    ("bc5cdr", "rel-is", "test", 500, "8f4504f3bb5aa112", "2ef79da6c15c910e"),
    ("bc5cdr", "rel-is", "train", 500, "725bf7b5cf66c05a", "78e5a9421b05fca6"),
    ("bc5cdr", "svo", "dev", 500, "3a1adf91143db695", "52a0d47163c0fe4e"),
    ("bc5cdr", "svo", "test", 500, "8f4504f3bb5aa112", "d90832ef6d6b82e0"),
    ("bc5cdr", "svo", "train", 500, "725bf7b5cf66c05a", "68f4fc0c2bcb1c3f"),
    ("ddi", "rel-is", "dev", 41, "63010a135c1c415a", "76a9a37bfa699fd2"),
    ("ddi", "rel-is", "test", 191, "1c64e9acc8de8eca", "be837d3edc6e95a2"),
    ("ddi", "rel-is", "train", 469, "7f556232e0c6aab1", "8db0abdd18df5951"),
    ("ddi", "two-type", "dev", 41, "63010a135c1c415a", "ff51c51dbf90525a"),
    ("ddi", "two-type", "test", 191, "1c64e9acc8de8eca", "9a132d1cf31dbfef"),
    ("ddi", "two-type", "train", 469, "7f556232e0c6aab1", "cfc71bfd5dc813c9"),
    ("hoc", None, "dev", 4947, "3e608d1c58f1be2a", "5ba5e41e5f19e849"),
    ("hoc", None, "test", 4947, "3e608d1c58f1be2a", "5ba5e41e5f19e849"),
    ("hoc", None, "train", 9972, "5898c5d6987d153f", "b9cfd22e38d1e264"),
    ("kd_dti", "is-of", "dev", 1000, "35ae30e25cc485eb", "29f105c98eece159"),
    ("kd_dti", "is-of", "test", 1159, "2c39acef639c42e4", "eea64c01e6bdd4a0"),
    ("kd_dti", "marked", "dev", 1000, "35ae30e25cc485eb", "05f0b2229e14224b"),
    ("kd_dti", "marked", "test", 1159, "2c39acef639c42e4", "8d497efc2aab168c"),
    ("kd_dti", "rel-is", "dev", 1000, "35ae30e25cc485eb", "39526b5b62978383"),
    ("kd_dti", "rel-is", "test", 1159, "2c39acef639c42e4", "3adc9842d8e40e53"),
    ("kd_dti", "svo", "dev", 1000, "35ae30e25cc485eb", "31676eb61c5f5cd6"),
    ("kd_dti", "svo", "test", 1159, "2c39acef639c42e4", "1957d4f4a6a88a0d"),
    ("pubmedqa", None, "dev", 50, "3f4f19408b778cdb", "7ced2e46d492e403"),
    ("pubmedqa", None, "test", 500, "c087e74ec3d848bc", "92aa63a8bb95b47e"),
    ("pubmedqa", None, "train", 450, "6781ac5cc8a80ead", "aacc6ca0a96dce0a"),
]
# task, split, sentences, mentions (the B- tags of the files)
NER = [
    ("ncbi_disease", "train", 5424, 5134),
    ("ncbi_disease", "dev", 923, 787),
    ("ncbi_disease", "test", 940, 960),
    ("bc5cdr_chem", "train", 4560, 5203),
    ("bc5cdr_chem", "dev", 4581, 5347),
    ("bc5cdr_chem", "test", 4797, 5385),
    ("bc5cdr_disease", "train", 4560, 4182),
    ("bc5cdr_disease", "dev", 4581, 4246),
    ("bc5cdr_disease", "test", 4797, 4424),
    ("bc2gm", "train", 12574, 15197),
    ("bc2gm", "dev", 2519, 3061),
    ("bc2gm", "test", 5038, 6325),
    ("jnlpba", "train", 18607 - 1800, 46750),
    ("jnlpba", "dev", 1939 - 200, 4551),
    ("jnlpba", "test", 4260 - 404, 8662),
]
# svo has one text for two interactions each.
ALIKE = {"other/unknown", "other", "bind", "binding"}


def digest(lines) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize(("name", "target_format", "split", "num_examples", "sources", "targets"), REFERENCE)
def test_sources_and_targets_are_the_reference_s_and_survive_parsing(
    data_path, name, target_format, split, num_examples, sources, targets
):
    task = load_task(name, **({"target_format": target_format} if target_format else {}))
    examples = task.read(data_path / FOLDERS[name], split)
    assert len(examples) == num_examples
    assert digest(map(task.prompt, examples)) == sources
    assert digest(map(task.target, examples)) == targets
    for example in examples:
        prediction = task.parse(task.target(example), example)
        assert names(task, prediction.items) == names(task, example.items), example.id


def key(task, item):
    slots = {slot: value.lower() if task.schema.is_lowercase else value for slot, value in item.slots.items()}
    if task.schema.target_format == "svo" and slots.get("interaction") in ALIKE:
        slots["interaction"] = "alike"
    return tuple(slots[slot] for slot in task.schema.slots)


def names(task, items):
    return list(dict.fromkeys(key(task, item) for item in items))


@pytest.mark.parametrize(("split", "num_lost"), [("train", 5), ("dev", 7), ("test", 13)])
def test_names_give_back_the_identifiers_of_all_relations_but_the_ambiguous(data_path, split, num_lost):
    """Some names mean different things in two documents of a split; its entity list has only one of them."""
    task = load_task("bc5cdr")
    examples = task.read(data_path / FOLDERS["bc5cdr"], split)
    predictions = [task.parse(task.target(example), example) for example in examples]
    num_relations = sum(len(example.items) for example in examples)
    assert task.score(predictions, examples)["recall"] == (num_relations - num_lost) / num_relations
    for prediction, example in zip(predictions, examples, strict=True):
        for read, gold in zip(prediction.items, example.items, strict=True):
            for slot, id in read.ids.items():
                assert id in (gold.ids[slot], example.vocabulary[slot].get(gold.slots[slot], NO_ID))


@pytest.mark.parametrize("target_format", ["is-of", "marked"])
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_our_own_target_formats_of_bc5cdr_survive_parsing(data_path, target_format, split):
    task = load_task("bc5cdr", target_format=target_format)
    for example in task.read(data_path / FOLDERS["bc5cdr"], split):
        assert names(task, task.parse(task.target(example), example).items) == names(task, example.items)


@pytest.mark.parametrize("target_format", ["svo", "is-of", "marked"])
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_our_own_target_formats_of_ddi_survive_parsing(data_path, target_format, split):
    task = load_task("ddi", target_format=target_format)
    for example in task.read(data_path / FOLDERS["ddi"], split):
        assert names(task, task.parse(task.target(example), example).items) == names(task, example.items)


@pytest.mark.parametrize(("name", "split", "num_sentences", "num_mentions"), NER)
def test_tags_survive_reading_and_rendering(data_path, name, split, num_sentences, num_mentions):
    task = load_task(name)
    examples = task.read(data_path / FOLDERS[name], split)
    assert len(examples) == num_sentences
    assert sum(len(example.items) for example in examples) == num_mentions
    for example in examples:
        assert task.target(example) == example.fields["tags"]
        for item in example.items:
            [(start, end)] = item.spans["mention"]
            assert example.text[start:end] == item.slots["mention"]
    for example in examples[:1000]:
        prediction = task.parse(task.target(example), example)
        assert prediction.items == example.items
        assert not prediction.problems


def test_documents_without_relations_are_counted(data_path):
    for split, dropped, kept in (("train", 469, 664), ("dev", 41, 50), ("test", 191, 191)):
        assert len(load_task("ddi").read(data_path / FOLDERS["ddi"], split)) == dropped
        task = load_task("ddi", empty_documents="keep")
        examples = task.read(data_path / FOLDERS["ddi"], split)
        assert len(examples) == kept
        for example in examples:
            if not example.items:
                assert not task.parse(task.target(example), example).problems


def test_names_with_and_that_the_reference_loses_are_read(data_path):
    import re

    num_lost = num_read = 0
    task = load_task("bc5cdr")
    for split in ("train", "dev", "test"):
        for example in task.read(data_path / FOLDERS["bc5cdr"], split):
            read = {tuple(item.slots.values()) for item in task.parse(task.target(example), example).items}
            for item in example.items:
                pair = tuple(item.slots[slot] for slot in task.schema.slots)
                sentence = f"the relation between {pair[0]} and {pair[1]} exists"
                if re.fullmatch("the relation between (.*) and (.*) exists", sentence).groups() != pair:
                    num_lost += 1
                    num_read += pair in read
    assert num_lost == num_read == 22


def test_reading_needs_no_entity_list(data_path):
    """On new text there is none; the source alone decides, with the same result."""
    from dataclasses import replace

    task = load_task("bc5cdr")
    for split in ("train", "dev", "test"):
        for example in task.read(data_path / FOLDERS["bc5cdr"], split):
            bare = replace(example, vocabulary={})
            assert names(task, task.parse(task.target(example), bare).items) == names(task, example.items)


class TestTraps:
    """What the schemas say of the data is so."""

    def test_hoc_dev_is_test(self, data_path):
        folder = data_path / FOLDERS["hoc"]
        assert (folder / "valid.tsv").read_bytes() == (folder / "test.tsv").read_bytes()
        assert "same bytes" in load_task("hoc").schema.caveats[0]

    def test_hoc_train_repeats_itself_and_is_mostly_empty(self, data_path):
        task = load_task("hoc")
        train = task.read(data_path / FOLDERS["hoc"], "train")
        assert len({example.text for example in train}) < len(train)
        test = task.read(data_path / FOLDERS["hoc"])
        assert sum(example.items[0].slots["label"] == "empty" for example in test) == 3452

    def test_ddi_shares_abstracts_between_train_and_test(self, data_path):
        train = json.loads((data_path / FOLDERS["ddi"] / "train.json").read_text(encoding="utf-8"))
        test = json.loads((data_path / FOLDERS["ddi"] / "test.json").read_text(encoding="utf-8"))
        texts = {document["abstract"].strip(): id for id, document in train.items()}
        shared = {(texts[text], id) for id, document in test.items() if (text := document["abstract"].strip()) in texts}
        assert shared == {("DDI-DrugBank.d457", "DDI-DrugBank.d601"), ("DDI-DrugBank.d261", "DDI-DrugBank.d747")}
        assert "d457 is d601" in load_task("ddi").schema.caveats[0]

    def test_kd_dti_names_entities_by_identifiers(self, data_path):
        task = load_task("kd_dti")
        for split, named, total in (("dev", 864, 2269), ("test", 752, 1567)):
            items = [item for example in task.read(data_path / FOLDERS["kd_dti"], split) for item in example.items]
            assert len(items) == total
            assert sum("DrugBank####" in "".join(item.slots.values()) for item in items) == named

    def test_bc5cdr_dev_lacks_three_relations(self, data_path):
        task = load_task("bc5cdr")
        folder = data_path / FOLDERS["bc5cdr"]
        official = folder / "CDR_Data" / "CDR.Corpus.v010516" / "CDR_DevelopmentSet.PubTator.txt"

        def relations(path):
            return {(example.id, *item.ids.values()) for example in task.read(path, "dev") for item in example.items}

        assert relations(official) - relations(folder) == {
            ("9022662", "D010389", "D002819"),
            ("9022662", "D010389", "D001264"),
            ("1595783", "D000638", "D011014"),
        }
        assert not relations(folder) - relations(official)

    def test_always_yes_is_right_in_552_of_1000(self, data_path):
        task = load_task("pubmedqa")
        examples = task.read(data_path / FOLDERS["pubmedqa"])
        text = "the answer to the question given the context is yes."
        scores = task.score([task.parse(text, example) for example in examples], examples)
        assert scores["accuracy"] == 0.552
        assert not any(
            "long_answer" in example.fields and example.fields["long_answer"] in example.text for example in examples
        )


def test_the_official_evaluation_of_bc5cdr_gives_the_same_counts(data_path):
    """The counts in the evaluation tool's own readme: 90 right, 533 wrong, 33 missed."""
    from biogpt.evaluation.prediction_files import read_predictions

    folder = data_path / FOLDERS["bc5cdr"] / "BC5CDR_Evaluation-0.0.3" / "data"
    for empty_documents in ("keep", "drop"):
        task = load_task("bc5cdr", empty_documents=empty_documents)
        examples = task.read(folder / "gold" / "CDR_sample.gold.PubTator")
        predictions = read_predictions(task, folder / "test" / "CDR_sample.test.CID.PubTator", examples)
        scores = task.score(predictions, examples)
        assert scores["precision"] == 0.14446227929373998
        assert scores["recall"] == 0.7317073170731707
        assert abs(scores["f1"] - 0.24128686327077747) < 1e-15


def test_pubtator_spans_stand_in_the_source(data_path):
    folder = data_path / FOLDERS["bc5cdr"] / "CDR_Data" / "CDR.Corpus.v010516"
    num_spans = 0
    for split in ("Training", "Development", "Test"):
        for example in load_task("bc5cdr").read(folder / f"CDR_{split}Set.PubTator.txt"):
            known = {slot: set(names) for slot, names in example.vocabulary.items()}
            for item in example.items:
                for slot, spans in item.spans.items():
                    num_spans += len(spans)
                    assert all(example.text[start:end].lower() in known[slot] for start, end in spans), example.id
    assert num_spans > 10_000


def test_the_official_files_score_one_as_predictions(data_path):
    from biogpt.evaluation.prediction_files import read_predictions

    task = load_task("pubmedqa")
    folder = data_path / FOLDERS["pubmedqa"]
    examples = task.read(folder)
    truth = read_predictions(task, folder / "test_ground_truth.json", examples)
    assert task.score(truth, examples)["accuracy"] == 1

    task = load_task("bc5cdr")
    folder = data_path / FOLDERS["bc5cdr"]
    examples = task.read(folder)
    truth = read_predictions(task, folder / "CDR_Data" / "CDR.Corpus.v010516" / "CDR_TestSet.PubTator.txt", examples)
    assert task.score(truth, examples)["f1"] == 1


@pytest.mark.parametrize("name", ["bc5cdr", "ddi", "kd_dti"])
def test_mutilated_targets_never_raise_never_invent_never_vanish(data_path, name):
    task = load_task(name)
    dice = random.Random(11)
    junk = ["; ", " and ", " is ", ".", "learned3 ", "\n", "exists", "(", "the relation between ", "\ufffd", "  "]
    for example in task.read(data_path / FOLDERS[name], "dev")[:400]:
        text = task.target(example)
        for _ in range(dice.randint(1, 4)):
            start, end = sorted(dice.choices(range(len(text) + 1), k=2))
            text = dice.choice(
                [text[:start], text[:start] + text[end:], text[:start] + dice.choice(junk) + text[start:]]
            )
        prediction = task.parse(text, example)
        assert prediction.items or prediction.problems
        for item in prediction.items:
            for slot, value in item.slots.items():
                assert value in clean(text).lower()
                for start, end in item.spans.get(slot, ()):
                    assert "".join(example.text[start:end].lower().split()) == "".join(value.split())


def test_long_sources_are_cut_by_the_real_tokenizer(data_path, tmp_path):
    """Its `...` is one token, and the cut source is what the reference's data set makes of it."""
    from biogpt import BioGptTokenizer
    from biogpt.text import bpe

    folder = data_path / "vocab" / "BioGPT"
    vocabulary = bpe.read_fairseq_vocabulary(folder / "dict.txt", folder / "bpecodes")
    tokenizer = BioGptTokenizer(*bpe.write_vocabulary(vocabulary, tmp_path))
    [ellipsis] = tokenizer("...", add_special_tokens=False)["input_ids"]
    task = load_task("bc5cdr")
    longest = max(task.read(data_path / FOLDERS["bc5cdr"]), key=lambda example: len(example.text))
    ids = tokenizer(task.prompt(longest), add_special_tokens=False)["input_ids"]
    limit = task.schema.source_limit
    assert len(ids) > limit == 640
    assert truncate_source(ids, limit, ellipsis) == [*ids[:639], ellipsis]
    assert truncate_source(ids[:640], limit, ellipsis) == ids[:640]


# Figures of the reference's hard_match_evaluation.py for the predictions that `disturb` makes of the gold.
HARD_MATCH = {
    "ddi": {
        "drug_accuracy": 0.633372, "target_accuracy": 0.650357, "interaction_accuracy": 0.756108, "precision": 0.682356,
        "recall": 0.672053, "f1": 0.673073, "f1_of_means": 0.677166, "collection_precision": 0.936141,
        "collection_recall": 0.738478, "collection_f1": 0.825644, "collection_drug_f1": 0.855457,
        "collection_target_f1": 0.867925, "collection_interaction_f1": 0.888889,
    },
    "kd_dti": {
        "drug_accuracy": 0.480049, "target_accuracy": 0.479861, "interaction_accuracy": 0.708513, "precision": 0.492037,
        "recall": 0.501149, "f1": 0.492052, "f1_of_means": 0.496551, "collection_precision": 0.758845,
        "collection_recall": 0.597507, "collection_f1": 0.668581, "collection_drug_f1": 0.667972,
        "collection_target_f1": 0.658915, "collection_interaction_f1": 0.9,
    },
}  # fmt: skip


def disturb(triples: list[tuple[str, str, str]], number: int) -> list[tuple[str, str, str]]:
    """Predictions with every kind of mistake: empty, too few, swapped, shortened, too many, twice the same."""
    if number % 7 == 0:
        return []
    if number % 5 == 0:
        triples = triples[:-1]
    if number % 3 == 0:
        triples = [(target, drug, kind) for drug, target, kind in triples[:1]] + triples[1:]
    if number % 4 == 0:
        triples = [(drug.upper(), target.split("(")[0], kind) for drug, target, kind in triples]
    if number % 11 == 0:
        triples = [*triples, ("aspirin", "cyclooxygenase 2 (COX-2)", "inhibitor")]
    if number % 2 == 0:
        triples = triples + triples[:1]
    return triples


@pytest.mark.parametrize("name", ["ddi", "kd_dti"])
def test_hard_match_gives_the_reference_s_figures(data_path, name):
    from biogpt.tasks.example import Item, Prediction

    gold = json.loads((data_path / FOLDERS[name] / "test.json").read_text(encoding="utf-8"))
    task = load_task(name)
    examples = task.read(data_path / FOLDERS[name])
    slots = tuple(task.schema.slots)
    predictions = []
    for number, example in enumerate(examples):
        triples = [tuple(triple[slot] for slot in slots) for triple in gold[example.id]["triples"]]
        items = tuple(Item(dict(zip(slots, triple, strict=True))) for triple in disturb(triples, number))
        predictions.append(Prediction(example.id, items))
    scores = task.score(predictions, examples)
    assert {figure: round(scores[figure], 6) for figure in HARD_MATCH[name]} == HARD_MATCH[name]
