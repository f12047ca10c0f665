"""Several task models over the same documents."""

import io
import json

import pytest

from biogpt.documents import Entity, EntityRelation, Extraction, Label
from biogpt.errors import InputError
from biogpt.extraction.joint import merge_extractions
from biogpt.extraction.task_models import find_task_model
from biogpt.mining.inputs import find_inputs
from biogpt.mining.local import Target, choose_format, predict_files
from biogpt.tasks.task import load_task

TEXT = "Cisplatin-induced renal failure in a patient with cystic fibrosis."


def related(chemical: str, score: float) -> EntityRelation:
    return EntityRelation(
        "CID", {"chemical": Entity("Chemical", chemical), "disease": Entity("Disease", "pain")}, {}, score
    )


def test_what_two_say_alike_stands_there_once_with_the_higher_score():
    one = Extraction(
        (Entity("Disease", "pain", ((3, 7),), "D1", 0.4), Entity("Chemical", "pain", ((3, 7),))),
        (related("aspirin", 0.2),),
        (Label("label", "x", 0.5),),
        ("cut",),
        "one",
    )
    other = Extraction(
        (Entity("Disease", "pain", ((3, 7),), "", 0.9), Entity("Disease", "pain", ((9, 13),))),
        (related("Aspirin", 0.8), related("lithium", 0.1)),
        (Label("label", "y", 0.5),),
        ("cut",),
        "other",
    )
    merged = merge_extractions([one, other])
    assert [(entity.type, entity.spans, entity.score) for entity in merged.entities] == [
        ("Disease", ((3, 7),), 0.9),
        ("Chemical", ((3, 7),), None),
        ("Disease", ((9, 13),), None),
    ]
    assert [(one.roles["chemical"].name, one.score) for one in merged.relations] == [("Aspirin", 0.8), ("lithium", 0.1)]
    assert [label.value for label in merged.labels] == ["x", "y"]
    assert (merged.warnings, merged.annotator) == (("one: cut", "other: cut"), "one, other")


@pytest.fixture(scope="module")
def models():
    return [find_task_model(task=name) for name in ("bc5cdr", "ncbi_disease")]


def test_one_output_has_what_each_model_finds_alone(models, tmp_path):
    (tmp_path / "a.txt").write_text(TEXT, encoding="utf-8")
    inputs = find_inputs([tmp_path / "a.txt"], io.BytesIO())

    def predict(found, format="jsonl"):
        output = io.BytesIO()
        predict_files(found, inputs, Target(format, stream=output))
        return output.getvalue().decode()

    alone = [json.loads(predict(model))["items"] for model in models]
    assert all(alone)
    assert json.loads(predict(models))["items"] == [item for items in alone for item in items]
    rows = predict(models, "csv").splitlines()
    assert len(rows) == 1 + sum(map(len, alone))
    assert rows[0].endswith("disease_spans,mention,mention_id,label,start,end,score,warnings")
    target = Target("bioc-xml", tmp_path / "out.xml", page_path=tmp_path / "out.html")
    whole = predict_files(models, inputs, target)
    page = target.page_path.read_text(encoding="utf-8")
    assert "bc5cdr, ncbi_disease" in page
    assert "cystic fibrosis" in page
    assert predict_files(models, inputs, target).num_resumed == whole.num_records
    with pytest.raises(InputError, match=r'begun with task \["bc5cdr", "ncbi_disease"\], not "bc5cdr"'):
        predict_files(models[0], inputs, target)


def test_tasks_that_read_other_things_or_do_not_fit_the_format_are_refused(models, tuned_model_paths, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"question": "Does it?", "context": "It does.", "text": "It does."}), encoding="utf-8")
    inputs = find_inputs([path], io.BytesIO())
    both = [models[0], find_task_model(tuned_model_paths["pubmedqa"])]
    with pytest.raises(InputError, match=r"'pubmedqa' reads question, context of .*, but 'bc5cdr' reads the text"):
        predict_files(both, inputs, Target("jsonl", stream=io.BytesIO()))
    tasks = [load_task("bc5cdr"), load_task("hoc")]
    with pytest.raises(InputError, match=r"pubtator cannot say the labels that the task 'hoc' finds.*bioc-xml"):
        choose_format(tasks, "pubtator", None, inputs)
    assert choose_format([model.task for model in models], None, tmp_path / "a.pubtator", inputs) == "pubtator"
