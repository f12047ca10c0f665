import pytest
from typer.testing import CliRunner

import biogpt
from biogpt.cli.app import app
from biogpt.documents import (
    OUTPUT_FORMATS,
    Entity,
    EntityRelation,
    Extraction,
    item_columns,
    open_writer,
    read_documents,
)
from biogpt.documents.types import Annotation, Passage, make_document
from biogpt.extraction.lexicons import Lexicon, Name
from biogpt.extraction.linking import Linker, other_forms
from biogpt.text.names import fold_name

NCBI = "formats/pubtator/ncbi-disease.train.original.txt"
CORPUS = "benchmarks/BC5CDR/CDR_Data/CDR.Corpus.v010516/CDR_{}Set.PubTator.txt"
OWN = Linker(
    Lexicon(
        "own",
        [
            Name("D1", "Kidney Failure", "Disease", "label"),
            Name("D2", "Breast Neoplasms", "Disease", "label"),
            Name("D3", "Ovarian Neoplasms", "Disease", "label"),
            Name("D4", "cold", "Disease", "exact"),
            Name("C4", "cold", "Chemical", "label"),
            Name("C1", "Ketamine", "Chemical", "label"),
            Name("C5", "PD", "Chemical", "2"),
            Name("D5", "Parkinson Disease", "Disease", "label"),
            Name("D6", "Panic Disorder", "Disease", "label"),
            Name("D7", "Hypertension", "Disease", "label"),
            Name("D8", "depression", "Disease", "related"),
            Name("D9", "depression", "Disease", "40"),
            Name("X1", "glomerulonephritis", "", "label"),
        ],
    )
)


@pytest.fixture(scope="module")
def mesh():
    return biogpt.load_linker()


def identifier(linker, name, type="", other_form=""):
    link = linker(name, type, other_form)
    return link.identifier if link else None


@pytest.mark.parametrize(
    ("name", "type", "expected"),
    [
        ("kidney failures", "Disease", "D1"),
        ("failure of the kidney", "Disease", "D1"),
        ("renal insufficiency", "Disease", "D1"),
        ("(S)-ketamine HCl", "Chemical", "C1"),
        ("(S)-ketamine HCl", "Drug", "C1"),
        ("breast and ovarian cancer", "Disease", "D2|D3"),
        ("breast or ovarian tumours", "Disease", "D2|D3"),
        ("breast and foot cancer", "Disease", None),
        ("cold", "Disease", "D4"),
        ("cold", "Chemical", "C4"),
        ("cold", "", "C4"),  # a label counts more than a synonym
        ("depression", "Disease", "D9"),  # what annotators chose counts most
        ("kidney failur", "Disease", "D1"),  # a slip of the pen
        ("glomerulonephritides", "Disease", "X1"),  # a name without a type serves all
        ("hypotension", "Disease", None),
        ("xyzzy", "Disease", None),
        ("", "Disease", None),
        ("-", "Disease", None),
        ("漢字", "Disease", None),
    ],
)
def test_names_get_the_identifier_that_fits(name, type, expected):
    assert identifier(OWN, name, type) == expected


def test_an_abbreviation_means_what_its_own_document_says():
    for long, expected in (("Parkinson's disease", "D5"), ("panic disorder", "D6")):
        forms = other_forms(f"{long.capitalize()} (PD) is common.")
        assert identifier(OWN, "PD", "Disease", forms["pd"]) == expected
        assert identifier(OWN, long, "Disease", forms[fold_name(long.capitalize())]) == expected
    assert identifier(OWN, "PD", "Chemical") == "C5"
    forms = other_forms("Polydactyly (PD) is rare.")
    assert forms == {"pd": "Polydactyly", "polydactyly": "PD"}


def test_what_is_known_stays_and_the_documents_own_annotations_come_first():
    annotated = (Annotation("T1", "Disease", "Ovarian cancer", ((0, 14),), "OWN:1"), Annotation("T2", "Disease", "x"))
    document = make_document("1", [Passage("Ovarian cancer, kidney failure and ketamine.")], annotations=annotated)
    entities = (
        Entity("Disease", "ovarian cancer", ((0, 14),)),
        Entity("Disease", "kidney failure", ((16, 30),), identifier="KEEP"),
        Entity("Chemical", "ketamine", ((35, 43),), identifier="-"),
    )
    relation = EntityRelation("CID", {"chemical": entities[2], "disease": entities[0]})
    linked = OWN.link_document(document.with_extraction(Extraction(entities, (relation,))))
    assert [entity.identifier for entity in linked.extraction.entities] == ["OWN:1", "KEEP", "C1"]
    roles = linked.extraction.relations[0].roles
    assert {role: entity.identifier for role, entity in roles.items()} == {"chemical": "C1", "disease": "OWN:1"}
    assert OWN.link_document(document) is document  # nothing was extracted


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_identifiers_stand_in_every_format(tmp_path, format):
    document = make_document("1", [Passage("Ketamine gave kidney failure.", "abstract")])
    chemical, disease = Entity("Chemical", "ketamine", ((0, 8),)), Entity("Disease", "kidney failure", ((14, 28),))
    extraction = Extraction(relations=(EntityRelation("CID", {"chemical": chemical, "disease": disease}),))
    path = tmp_path / "out"
    with open_writer(path, format, columns=item_columns(("chemical", "disease"))) as writer:
        writer.write(OWN.link_document(document.with_extraction(extraction)))
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    written = b"".join(file.read_bytes() for file in files)
    if format not in {"xlsx", "parquet", "doccano", "label-studio"}:  # compressed, or without a place for identifiers
        assert b"C1" in written
        assert b"D1" in written


def test_the_shipped_lexicon_knows_usual_names(mesh):
    assert identifier(mesh, "paracetamol", "Chemical") == "D000082"
    assert identifier(mesh, "Haemorrhage", "Disease") == "D006470"
    assert identifier(mesh, "renal failure", "Disease") == "D051437"
    assert identifier(mesh, "HER2/neu", "Gene") is None
    assert repr(mesh).startswith("Linker('mesh', ")


@pytest.mark.data
def test_gold_identifiers_of_real_documents(mesh, data_path):
    documents = list(read_documents(data_path / CORPUS.format("Development")))[:20]
    num_right = num_linkable = 0
    for document in documents:
        forms = other_forms(document.text)
        for annotation in document.annotations:
            found = identifier(mesh, annotation.text, annotation.type, forms.get(fold_name(annotation.text), ""))
            gold = {mesh.lexicon.former.get(one, one) for one in annotation.identifier.split("|")}
            num_linkable += gold != {"-1"}
            num_right += gold == set((found or "").split("|"))
    assert num_linkable > 300
    assert num_right / num_linkable > 0.9


@pytest.mark.data
def test_no_name_is_in_the_shipped_lexicon_for_the_test_set_alone(mesh, data_path):
    """Names that were counted in annotations stand in those of the training and development sets.

    Other names are those of biomappings and of scripts/lexicon/synonyms.txt, which may occur in any text.
    """
    known = {name.identifier for name in mesh.lexicon.names}
    gold = {
        split: {
            one
            for document in read_documents(data_path / CORPUS.format(split))
            for annotation in document.annotations
            for one in annotation.identifier.split("|")
        }
        for split in ("Training", "Development", "Test")
    }
    alone = gold["Test"] - gold["Training"] - gold["Development"] - {"-1"}
    assert alone - known, "the test set has identifiers that no permitted source has"
    annotated = {(name.identifier, name.name) for name in mesh.lexicon.names if name.rank.isdigit()}
    assert len(annotated) > 4_000
    read = {
        fold_name(annotation.text)
        for path in (CORPUS.format("Training"), CORPUS.format("Development"), NCBI)
        for document in read_documents(data_path / path, lambda problem: None)
        for annotation in document.annotations
    }
    assert {name for _, name in annotated if fold_name(name) not in read} == set()


def test_extractor_and_predict_link(tuned_model_paths, tmp_path, monkeypatch):
    lexicon = tmp_path / "own.tsv"
    lexicon.write_text("identifier\tname\nOWN:1\tlithium\nOWN:2\ttremors\n", encoding="utf-8")
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr"], link=lexicon)
    text = "Lithium gave tremor, and haloperidol gave dystonia."
    first, second = extractor(text).relations
    assert [entity.identifier for entity in first.roles.values()] == ["OWN:1", "OWN:2"]
    assert [entity.identifier for entity in second.roles.values()] == ["", ""]
    assert next(extractor.pipe([text], batch_size=1)).relations[0].roles["disease"].identifier == "OWN:2"

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text(text, encoding="utf-8")
    command = ["predict", "in.txt", "--model", str(tuned_model_paths["bc5cdr"]), "--format", "jsonl", "-o", "out.jsonl"]
    result = CliRunner().invoke(app, [*command, "--lexicon", "own.tsv"])
    assert result.exit_code == 0, result.stderr
    assert '"chemical_id": "OWN:1"' in (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    other = CliRunner().invoke(app, [*command, "--link"])
    assert other.exit_code == 1
    assert "lexicon" in other.stderr
    lexicon.write_text("name\nx\n", encoding="utf-8")
    bad = CliRunner().invoke(app, [*command[:-1], "new.jsonl", "--lexicon", "own.tsv"])
    assert (bad.exit_code, bad.stderr.count("\n")) == (1, 1)
    assert not (tmp_path / "new.jsonl").exists()
