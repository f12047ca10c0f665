import pytest

import biogpt
from biogpt.documents import read_documents
from biogpt.errors import InputError
from biogpt.extraction.conversion import CUT
from biogpt.model.checkpoint import BUNDLED

TEXT = "  Lithium gave tremor, and haloperidol gave dystonia."


def test_one_text_gives_an_extraction_and_several_a_list(tuned_model_paths):
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr"])
    result = extractor(TEXT)
    pairs = [tuple(entity.name for entity in relation.roles.values()) for relation in result.relations]
    assert pairs == [("Lithium", "tremor"), ("haloperidol", "dystonia")]
    assert result.text == TEXT
    for relation in result.relations:
        for entity in relation.roles.values():
            ((start, end),) = entity.spans
            assert TEXT[start:end] == entity.name
    several = extractor([TEXT, "Ten healthy volunteers took part."])
    assert several[0] == result
    assert several[1].relations == ()
    assert extractor({"text": TEXT}).relations == result.relations
    assert extractor([]) == []
    assert repr(extractor) == "Extractor('bc5cdr', task='bc5cdr')"


def test_entities_answers_and_labels(tuned_model_paths):
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr_chem"])
    (entity,) = extractor("Aspirin may cause bleeding. No fever was seen.").entities
    assert (entity.name, entity.type, entity.spans) == ("Aspirin", "Chemical", ((0, 7),))
    ask = biogpt.Extractor.from_pretrained(tuned_model_paths["pubmedqa"], "pubmedqa")
    (answer,) = ask({"question": "Does zinc help?", "context": "No change was seen at all."}).labels
    assert (answer.slot, answer.value) == ("answer", "no")
    assert answer.score is not None
    assert 0 < answer.score <= 1
    labels = biogpt.Extractor.from_pretrained(tuned_model_paths["hoc"])("New vessels grew and cells spread .").labels
    assert {label.value for label in labels} == {"activating invasion and metastasis", "inducing angiogenesis"}


def test_title_and_abstract_are_read_as_one_text(tuned_model_paths):
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr_chem"])
    joined = extractor("Aspirin may cause bleeding. No fever was seen.")
    assert extractor({"title": "Aspirin may cause bleeding", "abstract": "No fever was seen."}) == joined


def test_a_document_of_a_file_is_extracted_from_as_its_text_is(tuned_model_paths, tmp_path):
    path = tmp_path / "one.pubtator"
    path.write_text("1|t|Aspirin may cause bleeding\n1|a|No fever was seen.\n\n")
    (document,) = read_documents(path, print)
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr_chem"])
    assert extractor(document) == extractor("Aspirin may cause bleeding. No fever was seen.")


def test_pipe_reads_only_as_far_as_it_must_and_gives_what_single_calls_give(tuned_model_paths):
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr_chem"], batch_size=2)
    texts = [f"{name} may cause bleeding. No fever was seen." for name in ("Aspirin", "Fever", "Lithium") * 10]
    num_read = 0

    def read():
        nonlocal num_read
        for text in texts:
            num_read += 1
            yield text

    extractions = extractor.pipe(read())
    first = next(extractions)
    assert num_read < len(texts)
    assert [first, *extractions] == [extractor(text) for text in texts]
    assert list(extractor.pipe(texts, batch_size=5)) == [extractor(text) for text in texts]
    assert extractor.predictor.batch_size == 2


def test_a_threshold_leaves_out_what_has_a_lower_score(tuned_model_paths):
    path = tuned_model_paths["bc5cdr_chem"]
    everything = biogpt.Extractor.from_pretrained(path, threshold=0)(TEXT)
    scores = sorted(entity.score for entity in everything.entities)
    assert scores
    kept = biogpt.Extractor.from_pretrained(path, threshold=scores[-1])(TEXT)
    assert [entity.score for entity in kept.entities] == [scores[-1]]
    with pytest.raises(InputError, match="Got threshold 50, expected a probability from 0 to 1"):
        biogpt.Extractor.from_pretrained(path, threshold=50)


def test_what_cannot_be_read_is_refused_before_work(tuned_model_paths):
    ask = biogpt.Extractor.from_pretrained(tuned_model_paths["pubmedqa"])
    with pytest.raises(InputError, match="text 2 has no 'context'"):
        ask([{"question": "Why?", "context": "So."}, {"question": "Why?"}])
    with pytest.raises(InputError, match="Got str as text 1, expected a dictionary with question, context"):
        ask("Why?")
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr"])
    with pytest.raises(InputError, match="Got int as text 1"):
        extractor([7])
    with pytest.raises(InputError, match=r"text 1: has none of title.*Did you mean 'text'"):
        extractor({"texts": "x"})
    with pytest.raises(InputError, match="No model for the task 'ddi' is bundled"):
        biogpt.Extractor.from_pretrained("ddi")
    with pytest.raises(InputError, match="Cannot use the device 'gpu'"):
        biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr"], device="gpu")


def test_a_text_that_is_too_long_is_said_to_be_cut(tuned_model_paths):
    extractor = biogpt.Extractor.from_pretrained(tuned_model_paths["bc5cdr"])
    assert CUT in extractor("Aspirin may cause bleeding. " * 60).warnings


def test_the_name_of_a_task_finds_its_bundled_model(tuned_model_paths, monkeypatch):
    monkeypatch.setitem(BUNDLED, "bc5cdr", tuned_model_paths["bc5cdr"])
    extractor = biogpt.Extractor.from_pretrained("bc5cdr")
    assert repr(extractor) == "Extractor('bc5cdr', task='bc5cdr')"
    result = extractor("Aspirin may cause bleeding. No fever was seen.")
    assert result.relations[0].roles["disease"].name == "bleeding"
