import pytest

import biogpt
from biogpt.errors import InputError
from biogpt.extraction.conversion import CUT
from biogpt.model.checkpoint import BUNDLED


def test_one_text_gives_a_list_and_several_a_list_of_lists(tuned_model_paths):
    find = biogpt.pipeline(tuned_model_paths["bc5cdr"])
    text = "  Lithium gave tremor, and haloperidol gave dystonia."
    found = find(text)
    assert [(item["chemical"], item["disease"]) for item in found] == [
        ("lithium", "tremor"),
        ("haloperidol", "dystonia"),
    ]
    for item in found:
        for slot in ("chemical", "disease"):
            ((start, end),) = item[f"{slot}_spans"]
            assert text[start:end].lower() == item[slot]
    assert find([text, "Ten healthy volunteers took part."]) == [found, []]
    assert find({"text": text}) == found
    assert find([]) == []
    assert repr(find) == "Pipeline('bc5cdr', task='bc5cdr')"


def test_mentions_answers_and_labels_are_flat_objects(tuned_model_paths):
    mentions = biogpt.pipeline(model=tuned_model_paths["bc5cdr_chem"])("Aspirin may cause bleeding. No fever was seen.")
    assert [{**item, "score": 1} for item in mentions] == [
        {"mention": "Aspirin", "label": "Chemical", "start": 0, "end": 7, "score": 1}
    ]
    ask = biogpt.pipeline("pubmedqa", tuned_model_paths["pubmedqa"])
    (answer,) = ask({"question": "Does zinc help?", "context": "No change was seen at all."})
    assert answer["answer"] == "no"
    assert 0 < answer["score"] <= 1
    labels = biogpt.pipeline(tuned_model_paths["hoc"])("New vessels grew and cells spread .")
    assert {item["label"] for item in labels} == {"activating invasion and metastasis", "inducing angiogenesis"}


def test_title_and_abstract_are_read_as_one_text(tuned_model_paths):
    find = biogpt.pipeline(tuned_model_paths["bc5cdr_chem"])
    joined = find("Aspirin may cause bleeding. No fever was seen.")
    assert find({"title": "Aspirin may cause bleeding", "abstract": "No fever was seen."}) == joined


def test_what_cannot_be_read_is_refused_before_work(tuned_model_paths):
    ask = biogpt.pipeline(tuned_model_paths["pubmedqa"])
    with pytest.raises(InputError, match="text 2 has no 'context'"):
        ask([{"question": "Why?", "context": "So."}, {"question": "Why?"}])
    with pytest.raises(InputError, match="Got str as text 1, expected a dictionary with question, context"):
        ask("Why?")
    find = biogpt.pipeline(tuned_model_paths["bc5cdr"])
    with pytest.raises(InputError, match="Got int as text 1"):
        find([7])
    with pytest.raises(InputError, match=r"text 1: has none of title.*Did you mean 'text'"):
        find({"texts": "x"})
    with pytest.raises(InputError, match="No model for the task 'ddi' is bundled"):
        biogpt.pipeline("ddi")


def test_problems_are_warned_of(tuned_model_paths):
    find = biogpt.pipeline(tuned_model_paths["bc5cdr"])
    with pytest.warns(UserWarning, match=f"text 1: {CUT}"):
        find("Aspirin may cause bleeding. " * 60)


def test_the_name_of_a_task_finds_its_bundled_model(tuned_model_paths, monkeypatch):
    monkeypatch.setitem(BUNDLED, "bc5cdr", tuned_model_paths["bc5cdr"])
    find = biogpt.pipeline("bc5cdr")
    assert repr(find) == "Pipeline('bc5cdr', task='bc5cdr')"
    assert find("Aspirin may cause bleeding. No fever was seen.")[0]["disease"] == "bleeding"
    with pytest.raises(InputError, match=r"'ddi' is bundled, expected one of: .*bc5cdr.*finetune"):
        biogpt.pipeline("ddi")
