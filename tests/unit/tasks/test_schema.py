import pytest

from biogpt.errors import BioGptError, ConfigError, InputError
from biogpt.tasks.task import SCHEMAS_PATH, load_task, task_names

GOOD = """
kind = "relation"
title = "Drugs and genes"
source = "{text}"
sentence = "{drug} acts on {gene}"

[slots.drug]

[slots.gene]

[dataset]
reader = "table"
columns = { id = "pmid", text = "abstract", drug = "Drug", gene = "Gene" }

[score]
metric = "exact"
"""


def load(tmp_path, text: str | bytes, **settings):
    path = tmp_path / "mine.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_task(path, **settings)


def test_a_schema_of_ones_own_is_a_task(tmp_path):
    task = load(tmp_path, GOOD)
    assert task.name == "mine"
    assert list(task.schema.slots) == ["drug", "gene"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "relation"\n', "", "'kind' is missing"),
        ('"relation"', '"relations"', "unknown kind 'relations'. Did you mean 'relation'?"),
        ("title", "titel", "Unknown setting 'titel'. Did you mean 'title'?"),
        ('title = "Drugs and genes"', "title = 3", "Got title = 3, expected text"),
        ('source = "{text}"', "source = 3", "Got source = 3, expected text in quotation marks"),
        ("{gene}", "{gen}", "the slot '{gen}', which nothing fills. Did you mean 'gene'?"),
        (" on {gene}", "", "no place for the slot 'gene'"),
        (" acts on ", "", "two slots with nothing between them"),
        ('"{drug} acts on {gene}"', '"{drug} acts on {gene} as {drug}"', "names a slot twice"),
        ('sentence = "{drug} acts on {gene}"\n', "", "does not say 'sentence'"),
        (', gene = "Gene"', "", "nothing fills '{gene}'"),
        (', text = "abstract"', "", "nothing fills '{text}'"),
        ('id = "pmid", ', "", "nothing fills '{id}'"),
        ('source = "{text}"\n', "", "'source' is missing"),
        ('"table"', '"tables"', "unknown reader 'tables'. Did you mean 'table'?"),
        ('"exact"', '"exactly"', "the metric 'exactly', which the kind 'relation' lacks. Did you mean 'exact'?"),
        (
            "[slots.gene]",
            "[slots.gene]\nchoice = ['x']",
            "'slots.gene.choice'. Did you mean 'choices'?",
        ),
        ("[slots.drug]\n\n[slots.gene]", "[slots]\ndrug = 1", "Got slots.drug = 1, expected a table: [slots.drug]"),
        ('source = "{text}"', 'empty_documents = "no"', "Got empty_documents = 'no', expected 'drop' or 'keep'"),
        ("[score]", "[score", "is not a TOML file"),
        (
            "title",
            "has_overlapping_labels = true\ntitle",
            "Got has_overlapping_labels for the kind 'relation', expected",
        ),
        (
            'columns = { id = "pmid", text = "abstract", drug = "Drug", gene = "Gene" }',
            'columns = "x"',
            "Got dataset.columns = 'x', expected a table",
        ),
        ("[slots.gene]", "[slots.gene]\nchoices = 'x'", "Got slots.gene.choices = 'x', expected a list of texts"),
        ("title", "caveats = 'x'\ntitle", "Got caveats = 'x', expected a list of texts"),
        ("[score]", "alternatives.x = 1\n[score]", "Unknown setting 'dataset.alternatives'"),
        ("[score]", "[alternatives]\nx = 1\n[score]", "Got alternatives.x = 1, expected a table"),
        ("[score]", "[example]\nitems = []\n[score]", "example has no 'text'"),
        (
            "[score]",
            "[example]\ntext = 'x'\nitems = [{drug = 'x'}]\n[score]",
            "an item of the example has drug. Expected",
        ),
        ("[score]", "[example]\ntext = 'x'\nitems = 3\n[score]", "Got example.items = 3, expected a list"),
        ("[dataset]", '[alternatives.x]\nsentence = "{drug} {gen}"\n[dataset]', "alternatives.x.sentence has the slot"),
        ('sentence = "{drug} acts', 'is_lowercase = true\nsentence = "{drug} Acts', "but 'Acts on' has capitals"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choices_of_a_lower_cased_task_are_in_lower_case(tmp_path):
    text = GOOD.replace("sentence", "is_lowercase = true\nsentence", 1)
    for choice in ("x", "X"):
        ours = text.replace("[slots.gene]", f"[slots.gene]\nchoices = ['{choice}']")
        if choice == "x":
            assert load(tmp_path, ours).schema.slots["gene"].choices == ("x",)
        else:
            with pytest.raises(ConfigError, match="is_lowercase is true, but 'X' has capitals"):
                load(tmp_path, ours)


def test_another_encoding_is_said(tmp_path):
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load(tmp_path, GOOD.replace("Drugs", "Drögs").encode("latin-1"))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match="Cannot read the task"):
        load_task(tmp_path / "none.toml")


def test_an_unknown_task_gets_a_suggestion():
    with pytest.raises(InputError, match=r"Unknown task 'bc5cdrr'\. Did you mean 'bc5cdr'\?"):
        load_task("bc5cdrr")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_fromat": "svo"}, "Unknown setting 'target_fromat'. Did you mean 'target_format'?"),
        ({"target_format": "sov"}, "no target_format 'sov'. Did you mean 'svo'?"),
        ({"empty_documents": "maybe"}, "no empty_documents 'maybe'"),
    ],
)
def test_unknown_settings_get_a_suggestion(settings, message):
    with pytest.raises(InputError) as caught:
        load_task("bc5cdr", **settings)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", task_names())
def test_a_shipped_schema_says_all_that_one_has_to_know(name):
    schema = load_task(name).schema
    assert schema.title
    assert schema.paper
    assert schema.licence
    assert schema.caveats
    assert schema.example
    if schema.kind != "generation" and not schema.dataset.parts:
        assert schema.score.published
        assert schema.score.source


@pytest.mark.parametrize("name", task_names())
def test_the_example_of_a_shipped_schema_survives_rendering_and_parsing(name):
    for target_format in load_task(name).schema.alternatives or [None]:
        task = load_task(name, **({"target_format": target_format} if target_format else {}))
        example = task.example()
        prediction = task.parse(task.target(example), example)
        assert len(prediction.items) == len(example.items)
        assert not prediction.problems
        for item in prediction.items:
            assert all(item.spans.values()), "an entity of the example does not stand in its text"


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        ("answering", "{context} ", "{abstract} ", "source has '{abstract}', which nothing fills"),
        ("answering", 'choices = ["yes", "no", "maybe"]', "", "needs exactly one, with choices"),
        ("tagging", "[slots.mention]", "[slots.name]", "Tagging needs"),
        ("tagging", 'kind = "tagging"', 'kind = "tagging"\nsentence = "{mention} {label}"', "has a sentence"),
        ("generation", 'sentence = "{text}"', 'sentence = "so: {text}"', "Expected sentence = "),
    ],
)
def test_each_kind_checks_its_schema(tmp_path, kind, old, new, message):
    name = {"answering": "pubmedqa", "tagging": "ncbi_disease", "generation": "textgen"}[kind]
    text = (SCHEMAS_PATH / f"{name}.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(BioGptError) as caught:
        load(tmp_path, text.replace(old, new, 1).partition("[example]")[0])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("has_overlapping_labels = true\n", "", "has some of the labels only: each label must be decided for itself"),
        (
            'labels = ["Chemical"]',
            'labels = ["Chemicals"]',
            "bc5cdr_chem.labels has 'Chemicals'. Did you mean 'Chemical'",
        ),
        ('protein = "GENE"', 'protein = "Gen"', "shown_as has 'Gen'"),
        ('directory = "BC2GM"\n', "", "'dataset.parts.bc2gm.directory' is missing"),
    ],
)
def test_what_several_data_sets_need_is_said(tmp_path, old, new, message):
    text = (SCHEMAS_PATH / "entities.toml").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text.replace(old, new))
    assert message in str(caught.value)
