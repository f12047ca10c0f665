"""Preparing a corpus: what goes in, what comes out, what is refused."""

import dataclasses
import gzip
import json
import logging
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biogpt.documents import Article, read_articles
from biogpt.errors import ConfigError, DataError
from biogpt.files import write_json
from biogpt.text import bpe
from biogpt.text.tokenizer import BioGptTokenizer
from biogpt.training.corpus.prepare import Corpus, CorpusRecipe, prepare
from biogpt.training.corpus.prepare import stages as corpus_stages

SYLLABLES = ["ba", "de", "ki", "lo", "mu", "na", "po", "ri", "su", "te", "vo", "xa"]


def make_records(count: int, seed: int = 0, num_words: int = 40) -> list[dict[str, Any]]:
    """Records of articles that have nothing in common."""
    words = random.Random(seed)

    def sentence(length: int) -> str:
        return " ".join("".join(words.choices(SYLLABLES, k=words.randint(1, 4))) for _ in range(length)).capitalize()

    return [
        {"pmid": str(seed * 100_000 + number + 1), "title": sentence(6), "abstract": f"{sentence(num_words)}."}
        for number in range(count)
    ]


def write(path: Path, records: list[dict[str, Any]] | list[bytes]) -> Path:
    lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def make_recipe(*sources: Path, **settings: Any) -> CorpusRecipe:
    defaults: dict[str, Any] = {"vocabulary_size": 200, "heldout_fraction": 0.1}
    return CorpusRecipe(sources=tuple(map(str, sources)), **defaults | settings)


def read_tokens(corpus: Corpus, part: str = "train") -> list[list[int]]:
    """The tokens of each document."""
    shards = corpus.train_tokens() if part == "train" else corpus.heldout_tokens()
    stream = shards.block(0, len(shards)).tolist()
    starts = [place for place, token in enumerate(stream) if token == 2]
    return [stream[start + 1 : end] for start, end in zip(starts, [*starts[1:], len(stream)], strict=True)]


def train_ids(corpus: Corpus, records: list[dict[str, Any]]) -> set[str]:
    """The PMIDs of the training documents, found by their tokens."""
    tokenizer = BioGptTokenizer.from_pretrained(corpus.tokenizer_path)
    documents = [Article(record["pmid"], record["title"], record["abstract"]) for record in records]
    encoded = tokenizer.encode_ids([document.text() for document in documents])
    tokens = set(map(tuple, read_tokens(corpus)))
    return {document.id for document, ids in zip(documents, encoded, strict=True) if tuple(ids) in tokens}


class TestRecipe:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"sources": ()}, r"Got corpus\.sources = \[\], expected at least one file or pattern"),
            ({"sources": "a.txt"}, r"Got corpus\.sources = 'a\.txt', expected a list: \['a\.txt'\]"),
            ({"fields": ()}, r"Got corpus\.fields = \[\], expected some of"),
            ({"fields": ("titel",)}, r"fields has 'titel'.*Did you mean 'title'\?"),
            ({"vocabulary_size": 0}, "Got neither of corpus.vocabulary_size .* and corpus.tokenizer"),
            ({"tokenizer": "x"}, "Got both of"),
            ({"vocabulary_size": -1}, "vocabulary_size = -1"),
            ({"heldout_fraction": 0.6}, r"heldout_fraction = 0\.6, expected a number from 0 to 0\.5"),
            ({"near_duplicates": -0.1}, r"near_duplicates = -0\.1"),
            ({"near_duplicates": float("nan")}, "near_duplicates = nan"),
            ({"max_problem_fraction": 2}, "max_problem_fraction = 2"),
            ({"shard_bytes": 0}, r"shard_bytes = 0, expected a whole number of at least 1"),
            ({"num_workers": 0}, "num_workers = 0"),
        ],
    )
    def test_refuses_the_impossible(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message) as caught:
            CorpusRecipe(**{"sources": ("a.txt",), "vocabulary_size": 100} | settings)
        assert "\n" not in str(caught.value)

    def test_finds_each_file_once(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        for name in ("b.txt", "a.txt", "sub/c.txt", "d[1].txt"):
            (tmp_path / name).touch()
        patterns = ("*.txt", "**/*.txt", "a.txt", "sub/../a.txt", "d[1].txt")
        recipe = CorpusRecipe(sources=tuple(f"{tmp_path}/{pattern}" for pattern in patterns), vocabulary_size=100)
        paths = [path.resolve().relative_to(tmp_path.resolve()).as_posix() for path in recipe.source_paths()]
        assert sorted(paths) == ["a.txt", "b.txt", "d[1].txt", "sub/c.txt"]

    @pytest.mark.parametrize("pattern", ["missing.txt", "*.xml", "sub"])
    def test_a_source_without_files_is_refused(self, tmp_path: Path, pattern: str) -> None:
        (tmp_path / "sub").mkdir()
        with pytest.raises(ConfigError, match="which stands for no file"):
            make_recipe(tmp_path / pattern).source_paths()

    @pytest.mark.parametrize("setting", dataclasses.fields(CorpusRecipe), ids=lambda field: field.name)
    def test_every_setting_is_documented(self, setting: dataclasses.Field[Any]) -> None:
        import inspect

        source = inspect.getsource(CorpusRecipe)
        declaration = source.index(f"    {setting.name}: ")
        assert source[declaration:].splitlines()[1].startswith('    """')


class TestTokens:
    def test_every_document_is_in_one_part_and_encoded_as_the_tokenizer_does(self, tmp_path: Path) -> None:
        records = make_records(300)
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl.gz", records), shard_bytes=5_000), tmp_path / "corpus")
        tokenizer = BioGptTokenizer.from_pretrained(corpus.tokenizer_path)
        assert len(tokenizer) == corpus.vocabulary_size == 200
        assert corpus.summary["num_shards"] > 10
        by_id = {record["pmid"]: Article(record["pmid"], record["title"], record["abstract"]) for record in records}
        heldout = list(corpus.heldout_documents())
        assert 15 < len(heldout) < 60
        assert all(by_id[document.id].text() == document.text() for document in heldout)
        assert read_tokens(corpus, "heldout") == tokenizer.encode_ids([document.text() for document in heldout])
        rest = [document.text() for name, document in by_id.items() if name not in {each.id for each in heldout}]
        assert sorted(read_tokens(corpus)) == sorted(tokenizer.encode_ids(rest))

    def test_the_summary_counts_what_is_there(self, tmp_path: Path) -> None:
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", make_records(100))), tmp_path / "corpus")
        summary = corpus.summary
        texts = list(corpus.heldout_texts())
        assert summary["num_documents_read"] == 100 == summary["num_train_documents"] + len(texts)
        assert summary["num_heldout_bytes"] == sum(len(text.encode()) for text in texts)
        assert corpus.num_heldout_tokens == sum(1 + len(tokens) for tokens in read_tokens(corpus, "heldout"))
        assert corpus.num_train_tokens == sum(1 + len(tokens) for tokens in read_tokens(corpus))
        everything = sum(len(Article("", each["title"], each["abstract"]).text()) for each in make_records(100))
        assert summary["num_train_bytes"] == everything - summary["num_heldout_bytes"]
        assert str(tmp_path) not in (tmp_path / "corpus" / "corpus.json").read_text()
        assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == [
            "corpus.json",
            "heldout.bin",
            "heldout.jsonl",
            "merges.txt",
            "tokenizer_config.json",
            "train-00000.bin",
            "vocab.json",
        ]

    def test_heldout_jsonl_has_the_text_and_is_a_file_of_documents(self, tmp_path: Path) -> None:
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", make_records(100))), tmp_path / "corpus")
        records = [json.loads(line) for line in (corpus.path / "heldout.jsonl").read_text().splitlines()]
        documents = list(read_articles(corpus.path / "heldout.jsonl", pytest.fail))
        assert [record["text"] for record in records] == [document.text() for document in documents]
        assert [record["text"] for record in records] == list(corpus.heldout_texts())

    def test_nothing_in_a_text_ends_a_document(self, tmp_path: Path) -> None:
        records = make_records(40)
        for record in records[::3]:
            record["abstract"] += " A </s> b <s>struck</s> <pad> <unk>."
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", records)), tmp_path / "corpus")
        assert len(read_tokens(corpus)) + len(read_tokens(corpus, "heldout")) == 40
        assert not {0, 1} & {token for tokens in read_tokens(corpus) for token in tokens}

    def test_white_space_is_reduced_and_fields_are_chosen(self, tmp_path: Path) -> None:
        records = [{**record, "body": "Of\n\nthe\tbody."} for record in make_records(50)]
        records[0]["abstract"] = records[0]["abstract"].replace(" ", " \n")
        recipe = make_recipe(write(tmp_path / "a.jsonl", records), fields=("body", "title"), heldout_fraction=0.5)
        texts = list(prepare(recipe, tmp_path / "corpus").heldout_texts())
        assert texts
        assert all(text.startswith("Of the body. ") for text in texts)

    def test_a_given_vocabulary_is_used_and_a_large_one_takes_four_bytes(self, tmp_path: Path) -> None:
        pieces = [*bpe.SPECIAL_TOKENS, *SYLLABLES, *(f"{syllable}</w>" for syllable in SYLLABLES)]
        pieces += [f"filler{number}" for number in range(66_000)]
        merges = [("ba", "</w>")]
        bpe.write_vocabulary(bpe.Vocabulary({piece: number for number, piece in enumerate(pieces)}, merges), tmp_path)
        source = write(tmp_path / "a.jsonl", make_records(60))
        recipe = make_recipe(source, vocabulary_size=0, tokenizer=str(tmp_path))
        corpus = prepare(recipe, tmp_path / "corpus")
        assert (corpus.vocabulary_size, corpus.summary["dtype"]) == (len(pieces), "<u4")
        assert json.loads((corpus.path / "vocab.json").read_text()) == json.loads((tmp_path / "vocab.json").read_text())
        assert (corpus.path / "heldout.bin").stat().st_size == 4 * corpus.num_heldout_tokens

    def test_a_directory_without_a_vocabulary_is_refused(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.jsonl", make_records(5))
        with pytest.raises(ConfigError, match=r"which lacks vocab\.json and merges\.txt"):
            prepare(make_recipe(source, vocabulary_size=0, tokenizer=str(tmp_path)), tmp_path / "corpus")
        assert not (tmp_path / "corpus").exists()

    def test_the_vocabulary_is_learned_from_the_training_part_alone(self, tmp_path: Path) -> None:
        records = make_records(200)
        for number, record in enumerate(records):
            record["abstract"] += f" {chr(0x4E00 + number)}" * 5
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", records), vocabulary_size=900), tmp_path / "corpus")
        learned = {piece for piece in json.loads((corpus.path / "vocab.json").read_text()) if piece >= "\u4e00"}
        of_training = len(records) - corpus.summary["num_heldout_documents"]
        assert len({piece.removesuffix("</w>") for piece in learned}) == of_training
        assert not {text[-1] for text in corpus.heldout_texts()} & learned

    def test_rare_words_are_forgotten_when_there_are_too_many(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(corpus_stages, "_MAX_DISTINCT_WORDS", 300)
        counts = [Counter({f"rare{number}x{part}": 1 for part in range(100)} | {"common": 50}) for number in range(9)]
        for number, words in enumerate(counts):
            write_json(tmp_path / f"words-{number:05d}.json", words, indent=None)
        merged = corpus_stages._merge_counts(tmp_path, len(counts))
        assert len(merged) <= 300
        assert merged["common"] == 450


class TestSplit:
    def test_a_document_stays_on_its_side_whatever_comes_with_it(self, tmp_path: Path) -> None:
        records, more = make_records(200), make_records(300, seed=1)
        first = prepare(make_recipe(write(tmp_path / "a.jsonl", records)), tmp_path / "first")
        shuffled = random.Random(0).sample(records + more, 500)
        for record in shuffled[::2]:
            record["title"] += " revised"
            record["body"] = "A body. " * 20
        sources = (write(tmp_path / "b.jsonl.gz", shuffled[:100]), write(tmp_path / "c.jsonl", shuffled[100:]))
        second = prepare(make_recipe(*sources, fields=("title", "abstract", "body")), tmp_path / "second")
        before = {document.id for document in first.heldout_documents()}
        after = {document.id for document in second.heldout_documents()}
        assert before == after & {record["pmid"] for record in records}
        assert len(after) > len(before) > 5

    def test_a_larger_fraction_keeps_what_is_held_out(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.jsonl", make_records(300))
        heldout = []
        for fraction in (0, 0.05, 0.2):
            corpus = prepare(make_recipe(source, heldout_fraction=fraction), tmp_path / str(fraction))
            heldout.append({document.id for document in corpus.heldout_documents()})
        assert heldout[0] == set() != heldout[1]
        assert heldout[1] < heldout[2]

    def test_nothing_like_a_heldout_document_is_trained_on(self, tmp_path: Path) -> None:
        records = make_records(300, num_words=80)
        copies = [{**record, "pmid": str(int(record["pmid"]) + 1_000_000)} for record in records]
        for record in copies[::2]:
            record["abstract"] = "Background: " + record["abstract"].replace("ba ", "changed ", 1)
        for record in copies[1::2]:
            record["body"] = "Much more text. " * 50
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", records + copies)), tmp_path / "corpus")
        heldout = {int(document.id) % 1_000_000 for document in corpus.heldout_documents()}
        trained = {int(each) % 1_000_000 for each in train_ids(corpus, records + copies)}
        assert not heldout & trained
        assert heldout | trained == {int(record["pmid"]) for record in records}
        assert corpus.summary["num_exact_duplicates"] == 150
        assert corpus.summary["num_near_duplicates"] == 150
        assert len(heldout) + len(trained) == 300


class TestDuplicates:
    def test_of_copies_the_longest_stays_in_any_order(self, tmp_path: Path) -> None:
        records = make_records(30)
        full = [{**record, "body": "The full text follows here. " * 9} for record in records]
        revised = [
            {**record, "title": "", "pmid": None, "abstract": f"AIM: {record['abstract']}"} for record in records
        ]
        texts = []
        for name, order in (("a", records + full + revised), ("b", revised + full + records)):
            source = write(tmp_path / f"{name}.jsonl", order)
            recipe = make_recipe(source, fields=("title", "abstract", "body"), heldout_fraction=0)
            corpus = prepare(recipe, tmp_path / name)
            assert corpus.summary["num_train_documents"] == 30
            tokens = read_tokens(corpus)
            assert min(map(len, tokens)) > 120
            texts.append(tokens)
        assert texts[0] == texts[1]

    def test_near_duplicates_can_be_kept(self, tmp_path: Path) -> None:
        records = make_records(20)
        near = [{**record, "pmid": None, "abstract": f"AIM: {record['abstract']}"} for record in records]
        source = write(tmp_path / "a.jsonl", records + near + records)
        corpus = prepare(make_recipe(source, near_duplicates=0), tmp_path / "corpus")
        assert corpus.summary["num_exact_duplicates"] == 20
        assert corpus.summary["num_train_documents"] + corpus.summary["num_heldout_documents"] == 40

    def test_the_same_pubmed_id_is_the_same_article(self, tmp_path: Path) -> None:
        records = make_records(20) + [{**record, "pmid": "7"} for record in make_records(3, seed=1)]
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", records), near_duplicates=0), tmp_path / "corpus")
        assert corpus.summary["num_near_duplicates"] == 3  # record 7 of the first twenty counts too

    def test_withdrawn_citations_are_left_out(self, tmp_path: Path) -> None:
        source = write(tmp_path / "b.jsonl", make_records(20))
        deletion = "<DeleteCitation><PMID>3</PMID><PMID>4</PMID><PMID>500</PMID></DeleteCitation>"
        update = tmp_path / "a.xml"
        update.write_text(f"<MedlineCitationSet>{deletion}</MedlineCitationSet>")
        corpus = prepare(make_recipe(source, update), tmp_path / "corpus")
        assert corpus.summary["num_withdrawn"] == 2
        assert {document.id for document in corpus.heldout_documents()} | train_ids(corpus, make_records(20)) == {
            record["pmid"] for record in make_records(20)
        } - {"3", "4"}

    def test_a_title_alone_is_no_document(self, tmp_path: Path) -> None:
        records = [*make_records(20), {"title": "A title alone"}, {"abstract": "  "}, {"abstract": " ... "}]
        corpus = prepare(make_recipe(write(tmp_path / "a.jsonl", records)), tmp_path / "corpus")
        assert corpus.summary["num_empty"] == 3
        recipe = make_recipe(tmp_path / "a.jsonl", fields=("title",))
        assert prepare(recipe, tmp_path / "titles").summary["num_empty"] == 2


class TestProblems:
    def test_up_to_the_limit_they_are_reported_and_skipped(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = write(tmp_path / "a.jsonl", [*make_records(99), b"not json"])
        with caplog.at_level(logging.WARNING):
            corpus = prepare(make_recipe(source), tmp_path / "corpus")
        assert caplog.messages == [
            f"Skipped {source}:100: not JSON (Expecting value at column 1); expected one object a line."
        ]
        assert (corpus.summary["num_documents_read"], corpus.summary["num_problems"]) == (99, 1)

    def test_beyond_it_the_run_stops_and_can_go_on_with_a_higher_limit(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.jsonl", [b"bad", *make_records(98), b"worse"])
        recipe = make_recipe(source)
        with pytest.raises(DataError) as caught:
            prepare(recipe, tmp_path / "corpus")
        message = str(caught.value)
        assert "2 of 100 records (2.0%) cannot be used; expected at most max_problem_fraction = 1.0%" in message
        assert f"{source}:1: not JSON" in message
        assert f"{source}:100: not JSON" in message
        assert "raise max_problem_fraction" in message
        assert "\n" not in message
        corpus = prepare(dataclasses.replace(recipe, max_problem_fraction=0.05), tmp_path / "corpus")
        assert corpus.summary["num_problems"] == 2

    def test_a_damaged_source_stops(self, tmp_path: Path) -> None:
        source = write(tmp_path / "a.jsonl.gz", make_records(200))
        source.write_bytes(source.read_bytes()[:-100])
        with pytest.raises(DataError, match="cut off"):
            prepare(make_recipe(source), tmp_path / "corpus")
        assert not Corpus.is_complete(tmp_path / "corpus")

    def test_a_source_of_an_unknown_kind_stops_before_the_work(self, tmp_path: Path) -> None:
        sources = (write(tmp_path / "a.jsonl", make_records(5)), write(tmp_path / "b.csv", []))
        with pytest.raises(DataError, match=r"Cannot tell by its name what .*b\.csv holds"):
            prepare(make_recipe(*sources), tmp_path / "corpus")
        assert not (tmp_path / "corpus").exists()

    @pytest.mark.parametrize(
        ("records", "message"),
        [([], "hold no records"), ([{"title": "x"}], "No document with text stays to train on")],
    )
    def test_nothing_to_train_on_stops(self, tmp_path: Path, records: list[dict[str, Any]], message: str) -> None:
        with pytest.raises(DataError, match=message):
            prepare(make_recipe(write(tmp_path / "a.jsonl", records)), tmp_path / "corpus")


class TestDirectory:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        return write(tmp_path / "a.jsonl", make_records(50))

    def test_a_complete_one_is_opened(self, tmp_path: Path, source: Path) -> None:
        corpus = prepare(make_recipe(source), tmp_path / "corpus")
        times = {path: path.stat().st_mtime_ns for path in corpus.path.iterdir()}
        again = prepare(make_recipe(source, num_workers=2, max_problem_fraction=0.5), tmp_path / "corpus")
        assert again == corpus == Corpus.open(tmp_path / "corpus")
        assert times == {path: path.stat().st_mtime_ns for path in corpus.path.iterdir()}

    def test_a_run_that_was_killed_at_the_very_end_is_tidied_up(self, tmp_path: Path, source: Path) -> None:
        work = prepare(make_recipe(source), tmp_path / "corpus").path / "work"
        work.mkdir()
        (work / "lock").touch()
        prepare(make_recipe(source), tmp_path / "corpus")
        assert not work.exists()

    def test_sources_may_move(self, tmp_path: Path, source: Path) -> None:
        corpus = prepare(make_recipe(source), tmp_path / "corpus")
        (tmp_path / "elsewhere").mkdir()
        moved = make_recipe(source.rename(tmp_path / "elsewhere" / source.name))
        assert prepare(moved, tmp_path / "corpus") == corpus

    @pytest.mark.parametrize("is_complete", [True, False])
    def test_another_recipe_is_refused(self, tmp_path: Path, source: Path, is_complete: bool) -> None:
        recipe = make_recipe(source)
        if is_complete:
            prepare(recipe, tmp_path / "corpus")
        else:
            with pytest.raises(DataError):
                prepare(dataclasses.replace(make_recipe(write(source, [b"x", *make_records(50)]))), tmp_path / "corpus")
        before = sorted(tmp_path.rglob("*"))
        for settings, difference in (
            ({"vocabulary_size": 300}, "vocabulary_size was 200 and is 300"),
            ({"fields": ("abstract",)}, r"fields was \['title', 'abstract'\] and is \['abstract'\]"),
        ):
            with pytest.raises(ConfigError, match=difference + r".*Delete it, or choose another directory"):
                prepare(make_recipe(source, **settings), tmp_path / "corpus")
        with source.open("a") as file:
            file.write("\n")
        with pytest.raises(ConfigError, match=r"belongs to another recipe: sources differ in a\.jsonl\. Delete"):
            prepare(recipe, tmp_path / "corpus")
        assert before == sorted(tmp_path.rglob("*"))

    def test_one_with_other_files_is_refused(self, tmp_path: Path, source: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").touch()
        with pytest.raises(ConfigError, match="holds other files"):
            prepare(make_recipe(source), tmp_path / "mine")
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]

    def test_one_that_cannot_be_made_is_refused(self, tmp_path: Path, source: Path) -> None:
        with pytest.raises(DataError, match=r"Cannot work on .*a\.jsonl.*: .*Expected a writable directory"):
            prepare(make_recipe(source), source / "corpus")

    def test_a_second_process_is_kept_out(self, tmp_path: Path, source: Path) -> None:
        fcntl = pytest.importorskip("fcntl", reason="locks are POSIX only")
        recipe = make_recipe(source)
        (tmp_path / "corpus" / "work").mkdir(parents=True)
        with (tmp_path / "corpus" / "work" / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(ConfigError, match="Another process is preparing"):
                prepare(recipe, tmp_path / "corpus")
        assert prepare(recipe, tmp_path / "corpus").num_train_tokens

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("corpus.json", None, "has no corpus.json. Expected a prepared corpus"),
            ("corpus.json", b"{", "is not JSON"),
            ("corpus.json", b'{"format_version": 99}', "has format_version 99, but this biogpt knows versions up to 1"),
            ("corpus.json", b'{"format": 99}', "has format_version 99"),  # as version 0.1.0 called it
            ("corpus.json", b"{}", "format_version is None"),
            ("train-00000.bin", None, "lacks train-00000.bin"),
            ("train-00000.bin", b"\x00\x00", "holds 1 tokens, corpus.json says num_train_tokens"),
            ("heldout.bin", b"", "holds 0 tokens, corpus.json says num_heldout_tokens"),
        ],
    )
    def test_a_damaged_one_is_not_opened(
        self, tmp_path: Path, source: Path, name: str, content: bytes | None, message: str
    ) -> None:
        path = prepare(make_recipe(source), tmp_path / "corpus").path / name
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            Corpus.open(tmp_path / "corpus")

    def test_an_unfinished_one_is_not_opened(self, tmp_path: Path) -> None:
        (tmp_path / "work").mkdir()
        assert not Corpus.is_complete(tmp_path)
        with pytest.raises(DataError, match="is unfinished"):
            Corpus.open(tmp_path)


def test_torch_stays_out() -> None:
    # Some versions of transformers import torch with their tokenizers; we must not be the ones who do.
    program = (
        "import sys; from transformers import PreTrainedTokenizerFast; has_torch = 'torch' in sys.modules;"
        "import biogpt.training.corpus.prepare; print('torch' in sys.modules and not has_torch)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"


@pytest.mark.data
def test_real_citations(tmp_path: Path, data_path: Path) -> None:
    recipe = make_recipe(data_path / "pubmed_xml" / "*", vocabulary_size=2000, heldout_fraction=0.05)
    corpus = prepare(recipe, tmp_path)
    assert corpus.summary["num_documents_read"] == 769
    assert corpus.summary["num_train_documents"] + corpus.summary["num_heldout_documents"] == 631
    assert (
        np.bincount(corpus.train_tokens().block(0, corpus.num_train_tokens))[2] == corpus.summary["num_train_documents"]
    )
    assert corpus.num_train_tokens / corpus.summary["num_train_bytes"] < 0.35
