import io
import json
from pathlib import Path

import pytest
from tuned_models import DOCUMENTS

from biogpt import BioGptTokenizer
from biogpt.documents import OUTPUT_FORMATS
from biogpt.engine.network import Network
from biogpt.errors import DataError, InputError
from biogpt.extraction.conversion import CUT
from biogpt.extraction.task_models import find_task_model
from biogpt.mining.inputs import find_inputs
from biogpt.mining.local import Summary, Target, choose_format, predict_files
from biogpt.tasks.task import load_task

TEXTS = list(DOCUMENTS)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    lines = [json.dumps({"id": str(index), "text": TEXTS[index % len(TEXTS)]}) for index in range(11)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def contents(path: Path) -> dict[str, bytes]:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name.removeprefix("broken").removeprefix("whole"): file.read_bytes() for file in files}


@pytest.mark.parametrize("format", OUTPUT_FORMATS)
def test_a_run_that_stopped_ends_with_the_bytes_of_an_unbroken_one(tuned_model_paths, tmp_path, source, format):
    found, inputs = find_task_model(tuned_model_paths["bc5cdr_chem"]), find_inputs([source], io.BytesIO())
    names = ("whole", "broken")
    targets = {name: Target(format, tmp_path / name, page_path=tmp_path / f"{name}.html") for name in names}
    whole = predict_files(found, inputs, targets["whole"], batch_size=2)
    assert (whole.num_records, whole.num_resumed, whole.num_items) == (11, 0, 12)

    def stop(summary: Summary) -> None:
        if summary.num_records >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(found, inputs, targets["broken"], batch_size=2, on_progress=stop)
    resumed = predict_files(found, inputs, targets["broken"], batch_size=2)
    assert (resumed.num_records, resumed.num_resumed, resumed.num_items) == (11, 6, 12)
    for one, other in (("whole", "broken"), ("whole.html", "broken.html")):
        assert contents(tmp_path / one) == contents(tmp_path / other)
    again = predict_files(found, inputs, targets["broken"], batch_size=2, on_progress=stop)
    assert (again.num_records, again.num_resumed) == (11, 11)


def test_a_run_is_not_taken_up_with_other_settings_or_documents(tuned_model_paths, tmp_path, source):
    found, inputs = find_task_model(tuned_model_paths["bc5cdr_chem"]), find_inputs([source], io.BytesIO())
    target = Target("jsonl", tmp_path / "out.jsonl")

    def stop(_: Summary) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(found, inputs, target, batch_size=2, on_progress=stop)
    before = target.path.read_bytes()
    with pytest.raises(InputError, match="begun with batch_size 2, not 3"):
        predict_files(found, inputs, target, batch_size=3)
    with pytest.raises(InputError, match='begun with format "jsonl", not "csv"'):
        predict_files(found, inputs, Target("csv", target.path), batch_size=2)
    other = find_task_model(tuned_model_paths["bc5cdr"])
    with pytest.raises(InputError, match='begun with task "bc5cdr_chem", not "bc5cdr"'):
        predict_files(other, inputs, target, batch_size=2)
    source.write_text(source.read_text(encoding="utf-8").replace("Aspirin", "Heparin"), encoding="utf-8")
    with pytest.raises(DataError, match="begun with other documents"):
        predict_files(found, inputs, target, batch_size=2)
    assert target.path.read_bytes() == before


BUNDLED_TEXT = "Cisplatin-induced renal failure. Lithium gave tremor, and haloperidol gave dystonia in schizophrenia."


@pytest.mark.parametrize("task", ["ncbi_disease", "bc5cdr"])
def test_a_threshold_leaves_out_what_scores_lower(tmp_path, task):
    """The bundled models, whose own thresholds were set on dev: a higher one filters, a lower one takes their place."""
    found = find_task_model(task=task)
    own = found.task.inference.threshold
    (tmp_path / "a.txt").write_text(BUNDLED_TEXT, encoding="utf-8")
    inputs = find_inputs([tmp_path / "a.txt"], io.BytesIO())

    def predict(threshold: float | None) -> list[dict[str, object]]:
        output = io.BytesIO()
        predict_files(found, inputs, Target("jsonl", stream=output), threshold=threshold)
        return json.loads(output.getvalue())["items"]

    items = predict(None)
    scores = sorted(item["score"] for item in items)
    assert len(scores) > 1
    assert scores[0] >= own > 0
    assert predict(own) == items
    assert predict(own / 2 + scores[-1] / 2) == [item for item in items if item["score"] >= own / 2 + scores[-1] / 2]
    assert predict(1.0) == []
    lower = predict(0.01)
    assert len(lower) > len(items)
    assert [item for item in lower if item["score"] >= own] == items
    assert all(item["score"] >= 0.01 for item in lower)
    for wrong in (-0.1, 1.1):
        with pytest.raises(InputError, match=f"Got threshold {wrong}"):
            predict(wrong)


def test_a_threshold_belongs_to_a_run(tuned_model_paths, tmp_path, source):
    found, inputs = find_task_model(tuned_model_paths["bc5cdr_chem"]), find_inputs([source], io.BytesIO())
    target = Target("jsonl", tmp_path / "out.jsonl")
    predict_files(found, inputs, target, threshold=0.5)
    with pytest.raises(InputError, match=r"begun with threshold 0\.5, not null"):
        predict_files(found, inputs, target)


def test_a_threshold_of_labels(tuned_model_paths, tmp_path):
    """A head's labels hold from 0.5 on, where no other threshold is given."""
    found = find_task_model(tuned_model_paths["hoc"])
    (tmp_path / "a.txt").write_text("Cells died by apoptosis .", encoding="utf-8")
    inputs = find_inputs([tmp_path / "a.txt"], io.BytesIO())

    def predict(threshold: float | None) -> set[str]:
        output = io.BytesIO()
        predict_files(found, inputs, Target("jsonl", stream=output), threshold=threshold)
        return {item["label"] for item in json.loads(output.getvalue())["items"]}

    assert predict(None) == predict(0.5) == {"resisting cell death"}
    assert predict(1.0) == set()
    assert predict(0.0) > predict(None)


def test_what_is_lost_is_counted_over_all_calls_of_a_run(tuned_model_paths, tmp_path):
    text, notes = TEXTS[0], "A remark of somebody who has read the article, in so many words. " * 3
    lines = [json.dumps({"id": str(number), "text": text, "notes": notes, "year": 2004}) for number in range(6)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found, inputs = (
        find_task_model(tuned_model_paths["bc5cdr_chem"]),
        find_inputs([tmp_path / "in.jsonl"], io.BytesIO()),
    )
    target = Target("pubtator", tmp_path / "out.pubtator")

    def stop(summary: Summary) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files(found, inputs, target, batch_size=2, on_progress=stop)
    expected = [
        "documents with text under keys that were not read (notes): 6; the first: document 0",
        "documents with metadata that pubtator does not hold (year, notes): 6; the first: document 0",
    ]
    for _ in range(2):  # taken up, and finished already
        assert predict_files(found, inputs, target, batch_size=2).losses.lines() == expected


def test_passages_are_chosen_and_offsets_mended(tuned_model_paths, tmp_path):
    fields = {"id": "1", "title": TEXTS[3], "abstract": TEXTS[3], "body": TEXTS[0]}
    (tmp_path / "a.jsonl").write_text(json.dumps(fields) + "\n" + json.dumps({"text": TEXTS[1]}), encoding="utf-8")
    found, inputs = find_task_model(tuned_model_paths["bc5cdr_chem"]), find_inputs([tmp_path / "a.jsonl"], io.BytesIO())

    def predict(**settings):
        output, problems = io.BytesIO(), []
        target = Target("jsonl", stream=output)
        summary = predict_files(found, inputs, target, on_problem=problems.append, **settings)
        mentions = [[item["mention"] for item in json.loads(line)["items"]] for line in output.getvalue().splitlines()]
        return mentions, summary.losses.lines(), [str(problem) for problem in problems]

    (line,) = predict()[1]
    assert line.startswith(
        "documents with text that was not read, beside title and abstract (--passages all reads it): 1;"
    )
    assert predict(passages="all") == ([["Cisplatin"], ["Aspirin"]], [], [])
    mentions, _, problems = predict(passages=("title", "abstract"))
    assert mentions == [[]]
    assert problems == ["document a.jsonl:2: no text in its passages (title, abstract); expected some."]


def test_offsets_in_bytes_are_mended_where_that_is_wanted(tuned_model_paths, tmp_path):
    annotation = {"id": "T1", "infons": {"type": "Sign"}, "text": "gout", "locations": [{"offset": 3, "length": 4}]}
    passage = {"offset": 0, "text": "β gout", "annotations": [annotation]}
    (tmp_path / "a.json").write_text(json.dumps({"documents": [{"id": "8", "passages": [passage]}]}), encoding="utf-8")
    found, inputs = find_task_model(tuned_model_paths["bc5cdr_chem"]), find_inputs([tmp_path / "a.json"], io.BytesIO())
    for is_fixing_offsets in (False, True):
        output = io.BytesIO()
        target = Target("pubtator", stream=output)
        summary = predict_files(found, inputs, target, threshold=1.0, is_fixing_offsets=is_fixing_offsets)
        assert ("8\t3\t7\tgout\tSign\t-" in output.getvalue().decode()) == is_fixing_offsets
        assert bool(summary.losses) != is_fixing_offsets


def test_a_file_damaged_in_its_middle_is_told_and_the_next_one_read(tuned_model_paths, tmp_path, source):
    inputs = [*find_inputs([source], io.BytesIO()), *find_inputs([source], io.BytesIO())]
    broken = tmp_path / "broken.xml"
    broken.write_text("<PubmedArticleSet><PubmedArticle>", encoding="utf-8")
    inputs.insert(1, find_inputs([broken], io.BytesIO())[0])
    problems = []
    stream = io.BytesIO()
    found = find_task_model(tuned_model_paths["bc5cdr_chem"])
    summary = predict_files(found, inputs, Target("jsonl", stream=stream), on_problem=problems.append)
    assert (summary.num_records, summary.num_skipped) == (22, 1)
    assert len(stream.getvalue().splitlines()) == 22
    assert "the rest of" in str(problems[0])
    assert "broken.xml" in str(problems[0])
    with pytest.raises(DataError, match="1 files could not be read to their end"):
        summary.check()
    assert str(summary) == "22 documents, 24 items, 1 skipped"


def test_a_text_longer_than_the_model_says_so(tuned_model_paths, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text(" ".join(TEXTS * 30), encoding="utf-8")
    stream = io.BytesIO()
    inputs = find_inputs([path], io.BytesIO())
    summary = predict_files(find_task_model(tuned_model_paths["bc5cdr"]), inputs, Target("jsonl", stream=stream))
    assert CUT in json.loads(stream.getvalue())["warnings"]
    assert summary.num_with_problems == 1
    assert "1 answer with problems" in str(summary)


def test_texts_are_encoded_once_and_read_together_by_length(tuned_model_paths, tmp_path, monkeypatch):
    texts = ["Cells died . " * (10 if number % 2 else 1) for number in range(8)]
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(text.strip() for text in texts), encoding="utf-8")
    passes, encoded = [], []
    read = Network.read
    encode_ids = BioGptTokenizer.encode_ids

    def count_tokens(network, segments, cache=None):
        passes.append([len(segment.ids) for segment in segments])
        return read(network, segments, cache)

    def count_texts(tokenizer, texts):
        encoded.extend(text for text in texts if text.startswith("Cells"))
        return encode_ids(tokenizer, texts)

    monkeypatch.setattr(Network, "read", count_tokens)
    monkeypatch.setattr(BioGptTokenizer, "encode_ids", count_texts)
    found, inputs = find_task_model(tuned_model_paths["hoc"]), find_inputs([path], io.BytesIO())
    predict_files(found, inputs, Target("jsonl", stream=io.BytesIO()), batch_size=2)
    (lengths,) = passes
    assert lengths == sorted(lengths)
    assert len(lengths) == len(encoded) == 8


@pytest.mark.parametrize(
    ("task", "wanted", "name", "formats", "chosen"),
    [
        ("bc5cdr", None, None, ["pubtator"], "pubtator"),
        ("bc5cdr", None, None, ["pubtator", "pubtator"], "pubtator"),
        ("bc5cdr", None, None, ["pubtator", "bioc-xml"], "jsonl"),
        ("bc5cdr", None, None, ["text"], "jsonl"),
        ("bc5cdr", None, "out.csv", ["pubtator"], "csv"),
        ("bc5cdr", "brat", "out.csv", ["pubtator"], "brat"),
        ("hoc", None, None, ["pubtator"], "jsonl"),
        ("hoc", None, None, ["csv"], "csv"),
    ],
)
def test_the_format_is_the_wanted_or_the_inputs_or_json_lines(task, wanted, name, formats, chosen):
    inputs = [type("Source", (), {"format": format})() for format in formats]
    assert choose_format(load_task(task), wanted, Path(name) if name else None, inputs) == chosen


def test_what_would_be_destroyed_is_refused_before_anything_is_read(tuned_model_paths, tmp_path, source):
    found, inputs = find_task_model(tuned_model_paths["bc5cdr_chem"]), find_inputs([source], io.BytesIO())
    before = source.read_bytes()
    page = tmp_path / "page.html"
    with pytest.raises(InputError, match="is an input"):
        predict_files(found, inputs, Target("jsonl", stream=io.BytesIO(), page_path=source))
    with pytest.raises(InputError, match="is an input"):
        predict_files(found, inputs, Target("jsonl", source))
    with pytest.raises(InputError, match="expected two files"):
        predict_files(found, inputs, Target("jsonl", page, page_path=page))
    page.write_text("someone's", encoding="utf-8")
    with pytest.raises(InputError, match="is there already"):
        predict_files(found, inputs, Target("jsonl", stream=io.BytesIO(), page_path=page))
    assert (source.read_bytes(), page.read_text(encoding="utf-8")) == (before, "someone's")


def test_a_finished_run_is_not_given_for_other_documents(tuned_model_paths, tmp_path):
    found, target = find_task_model(tuned_model_paths["bc5cdr_chem"]), Target("jsonl", tmp_path / "out.jsonl")

    def run(text: str) -> Summary:
        return predict_files(found, find_inputs(["-"], io.BufferedReader(io.BytesIO(text.encode()))), target)

    run(TEXTS[0])
    assert run(TEXTS[0]).num_resumed == 1
    with pytest.raises(DataError, match="begun with other documents"):
        run(TEXTS[1])
    with pytest.raises(DataError, match="the input has more now"):
        run(f"{TEXTS[0]}\n\n{TEXTS[1]}")


def test_results_are_not_written_packed():
    with pytest.raises(InputError, match="written unpacked"):
        choose_format(load_task("bc5cdr"), None, Path("found.jsonl.gz"), [])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("o.ris", r"o\.ris ends in \.ris, which is not written\. Expected \.jsonl, "),
        ("o.txt", r"ends in \.txt, which is not written"),
        ("o.html", r"o\.html is a web page.*--html o\.html"),
        ("o.csv.gz", r"ends in \.gz, but results are written unpacked"),
    ],
)
def test_an_unknown_ending_of_the_output_is_refused(name, message):
    task = load_task("bc5cdr")
    with pytest.raises(InputError, match=message):
        choose_format(task, None, Path(name), [])
    if not name.endswith(".gz"):
        assert choose_format(task, "jsonl", Path(name), []) == "jsonl"


def test_a_name_without_an_ending_is_no_unknown_one():
    assert choose_format(load_task("bc5cdr"), None, Path("found.v1.2"), []) == "jsonl"
