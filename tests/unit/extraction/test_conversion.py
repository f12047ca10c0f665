from dataclasses import replace

import pytest

from biogpt import load_task
from biogpt.documents.types import Annotation, Passage, choose_passages, make_document, title_and_abstract
from biogpt.errors import DataError
from biogpt.extraction.conversion import make_examples, read_extraction, source_fields
from biogpt.tasks.example import Prediction


def record_of(text: str, **others):
    return make_document("1", [Passage(text)], **others)


def test_mentions_stand_where_the_text_has_them():
    task = load_task("ncbi_disease")
    record = record_of("No fever. Non-Hodgkin's lymphoma (NHL) was seen.")
    examples = make_examples(task, record)
    assert [example.text for example in examples] == [
        "No fever .",
        "Non - Hodgkin ' s lymphoma ( NHL ) was seen .",
    ]
    tags = ["O B-Disease O", "B-Disease I-Disease I-Disease I-Disease I-Disease I-Disease O B-Disease O O O O"]
    answers = [task.parse(text, example) for text, example in zip(tags, examples, strict=True)]
    extraction = read_extraction(task, record, examples, answers, "m")
    assert [(entity.name, entity.spans, entity.type) for entity in extraction.entities] == [
        ("fever", ((3, 8),), "Disease"),
        ("Non-Hodgkin's lymphoma", ((10, 32),), "Disease"),
        ("NHL", ((34, 37),), "Disease"),
    ]
    assert extraction.annotator == "m"
    assert not extraction.warnings


def test_labels_that_are_shown_as_one_are_shown_once_where_they_overlap():
    task = load_task("entities")
    record = record_of("Human TP53 protein binds DNA.")
    examples = make_examples(task, record)
    answer = task.parse("B-GENE B-protein|I-GENE I-protein O B-DNA|B-GENE O", examples[0])
    scores = {("protein", "TP53 protein"): 0.9, ("GENE", "Human TP53"): 0.8, ("DNA", "DNA"): 0.4, ("GENE", "DNA"): 0.5}
    items = tuple(replace(item, score=scores[item.slots["label"], item.slots["mention"]]) for item in answer.items)
    extraction = read_extraction(task, record, examples, [replace(answer, items=items)], "m")
    assert [(entity.type, entity.name, entity.score) for entity in extraction.entities] == [
        ("GENE", "TP53 protein", 0.9),
        ("GENE", "DNA", 0.5),
        ("DNA", "DNA", 0.4),
    ]


def test_relations_have_all_mentions_and_the_identifiers_that_the_record_knows():
    task = load_task("bc5cdr")
    annotations = (
        Annotation("T1", "Chemical", "Aspirin", ((0, 7),), "D001241"),
        Annotation("T2", "Gene", "x", (), "9"),
    )
    record = record_of("Aspirin and rash. Aspirin!", annotations=annotations)
    (example,) = make_examples(task, record)
    answer = task.parse("the relation between aspirin and rash exists; the rest", example)
    (relation,) = read_extraction(task, record, [example], [answer], "m").relations
    assert relation.type == "CID"
    assert relation.roles["chemical"].spans == ((0, 7), (18, 25))
    assert relation.roles["chemical"].identifier == "D001241"
    assert relation.roles["disease"].identifier == ""
    assert read_extraction(task, record, [example], [answer], "m").warnings == answer.problems != ()


def test_names_are_those_of_the_text():
    task = load_task("bc5cdr")
    record = make_document("1", title_and_abstract("[HER2/neu and SLE-GIOP].", "her2/neu came first."))
    assert record.text == "HER2/neu and SLE-GIOP. her2/neu came first."
    (example,) = make_examples(task, record)
    answer = task.parse("the relation between her2 / neu and sle - giop exists; between x-1 and tremor", example)
    relation, *_ = read_extraction(task, record, [example], [answer], "m").relations
    assert {role: entity.name for role, entity in relation.roles.items()} == {
        "chemical": "HER2/neu",
        "disease": "SLE-GIOP",
    }


def test_relations_of_a_full_text_are_looked_for_block_by_block():
    task = load_task("bc5cdr")
    sections = [Passage(f"Aspirin gave rash {number}. " * 60, "", 1000 * number) for number in range(1, 4)]
    short = make_document("1", [*title_and_abstract("Aspirin", "It gave rash."), *sections])
    record = choose_passages(short, "all")
    examples = make_examples(task, record)
    assert len(make_examples(task, short)) == 1
    assert [example.text[:17] for example in examples] == ["Aspirin. It gave ", *["Aspirin gave rash"] * 3]
    assert all(example.text.endswith(".") for example in examples)
    answers = [task.parse("the relation between aspirin and rash exists.", example) for example in examples]
    scores = (0.5, None, 0.75, 0.25)
    answers = [
        replace(answer, items=tuple(replace(item, score=score) for item in answer.items))
        for answer, score in zip(answers, scores, strict=True)
    ]
    (relation,) = read_extraction(task, record, examples, answers, "m").relations
    assert (relation.roles["chemical"].name, relation.score) == ("Aspirin", 0.75)
    assert len(relation.roles["disease"].spans) == 181


def test_values_are_no_entities():
    task = load_task("ddi")
    record = record_of("Aspirin and warfarin.")
    (example,) = make_examples(task, record)
    answer = task.parse(task.target(task.example()), example)
    (relation, *_) = read_extraction(task, record, [example], [answer], "m").relations
    assert set(relation.roles) == {"drug", "target"}
    assert relation.values["interaction"] == relation.type


def test_fields_make_the_source():
    task = load_task("pubmedqa")
    assert source_fields(task) == ["question", "context"]
    fields = {"question": "Why?", "context": "Because."}
    (example,) = make_examples(task, record_of("Why? Because."), fields)
    assert example.text == "question: Why? context: Because. "
    with pytest.raises(DataError, match="no 'question', which the task 'pubmedqa' reads"):
        make_examples(task, record_of("Why?"))
    extraction = read_extraction(task, record_of("Why?"), [example], [task.parse("no", example)], "m")
    assert extraction.labels == ()
    assert extraction.warnings


def test_a_source_of_one_field_is_the_text_and_its_names_are_looked_for_there(tmp_path):
    path = tmp_path / "pairs.toml"
    path.write_text(
        'kind = "relation"\ntitle = "t"\nsource = "read: {text}"\nsentence = "{drug} hits {gene}"\n'
        '[slots.drug]\n[slots.gene]\n[dataset]\nreader = "table"\n'
        'columns = { id = "id", text = "text", drug = "drug", gene = "gene" }\n[score]\nmetric = "exact"\n'
    )
    task = load_task(path)
    record = make_document("1", title_and_abstract("Gefitinib", "It hits EGFR."))
    (example,) = make_examples(task, record)
    assert example.text == "read: Gefitinib. It hits EGFR."
    answer = task.parse("Gefitinib hits EGFR.", example)
    (relation,) = read_extraction(task, record, [example], [answer], "m").relations
    assert relation.roles["gene"].spans == ((19, 23),)
    assert record.text[19:23] == "EGFR"


def test_no_text_has_no_examples():
    for name in ("bc5cdr", "ncbi_disease", "hoc"):
        assert make_examples(load_task(name), record_of(" ")) == []
    assert read_extraction(load_task("hoc"), record_of(""), [], [], "m").labels == ()
    assert Prediction("1").items == ()
