"""The former name of the extractor: it warns and gives flat dictionaries, as in version 0.1.0."""

import pytest

import biogpt


def test_the_former_names_warn_and_work(tuned_model_paths):
    with pytest.warns(FutureWarning, match="biogpt.pipeline is deprecated, use biogpt.Extractor.from_pretrained"):
        pipeline = biogpt.pipeline
    with pytest.warns(FutureWarning, match="is now biogpt.Extractor.from_pretrained"):
        find = pipeline(tuned_model_paths["bc5cdr_chem"])
    assert repr(find) == "Pipeline('bc5cdr_chem', task='bc5cdr_chem')"
    mentions = find("  Aspirin may cause bleeding. No fever was seen.")
    assert [{**item, "score": 1} for item in mentions] == [
        {"mention": "Aspirin", "label": "Chemical", "start": 2, "end": 9, "score": 1}
    ]
    assert find(["  Aspirin may cause bleeding. No fever was seen.", "No fever."]) == [mentions, []]
    with pytest.warns(FutureWarning, match="use biogpt.Extractor"):
        assert biogpt.Predictor.__name__ == "Predictor"
