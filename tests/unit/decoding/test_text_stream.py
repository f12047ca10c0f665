import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from biogpt import BioGptTokenizer
from biogpt.decoding.text_stream import Continuation
from biogpt.text import moses

SPECIAL = ["</s>", "<pad>", "<s>", "<unk>"]
# What Moses' detokeniser treats in its own way, whole and as parts of words, and special tokens.
PIECES = [
    *("foo", "foo</w>", "s</w>", "s", "5</w>", "α</w>", "中", "文</w>", "</w>"),
    *("@-@</w>", "@", "-", "-@</w>", "@-", "@</w>", "-</w>", "@@</w>"),
    *("&apos;</w>", "&apos;s</w>", "&apos;", "&quot;</w>", "&quot;", "`</w>", "``</w>", "&apos;&apos;</w>"),
    *(",</w>", ".</w>", ",", ".", "?!</w>", "%</w>", ":</w>", "...</w>"),
    *("(</w>", ")</w>", "&#91;</w>", "&#93;</w>", "$</w>", "{</w>", "[</w>"),
    *("&amp;</w>", "&amp;lt;</w>", "&am", "p;</w>", "&lt;</w>", "&#124;</w>"),
    *SPECIAL,
]
pieces_of_all_kinds = st.lists(st.sampled_from(PIECES), max_size=30)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_path) -> BioGptTokenizer:
    return BioGptTokenizer.from_pretrained(tiny_model_path)


@given(prompt=st.sampled_from(["x", "x ", "x\n"]), prompt_pieces=pieces_of_all_kinds, pieces=pieces_of_all_kinds)
@example(prompt="x", prompt_pieces=["foo</w>", ",</w>"], pieces=["@-@</w>", "foo</w>"])
@example(prompt="x", prompt_pieces=["foo</w>"], pieces=["@", "-", "@</w>", "foo</w>"])
@example(prompt="x", prompt_pieces=["&apos;</w>"], pieces=["foo</w>", "&apos;</w>", "&apos;</w>"])
def test_joined_parts_are_the_whole_and_nothing_is_taken_back(prompt, prompt_pieces, pieces):
    whole = Continuation(prompt, prompt_pieces, SPECIAL)
    whole.add(pieces)
    whole.finish()

    streamed = Continuation(prompt, prompt_pieces, SPECIAL)
    written = ""
    for piece in pieces:
        written += streamed.add([piece])
        assert streamed.text == written
        assert whole.text.startswith(written)
    written += streamed.finish()
    assert written == streamed.text == whole.text


@given(prompt_pieces=pieces_of_all_kinds, pieces=pieces_of_all_kinds)
def test_prompt_and_continuation_are_the_tokenizers_own_text(tokenizer, prompt_pieces, pieces):
    prompt_pieces = [*prompt_pieces, "foo</w>"]  # a word that no hyphen after it can move
    continuation = Continuation("foo", prompt_pieces, SPECIAL)
    continuation.add(pieces)
    continuation.finish()
    prompt_text, whole_text = (
        tokenizer.convert_tokens_to_string([piece for piece in shown if piece not in SPECIAL])
        for shown in (prompt_pieces, prompt_pieces + pieces)
    )
    assert prompt_text + continuation.text == whole_text


@given(
    words=st.lists(st.sampled_from([piece.removesuffix("</w>") for piece in PIECES if piece != "</w>"])),
    cut=st.integers(0, 20),
)
def test_words_joined_in_two_parts_are_those_joined_at_once(words, cut):
    """Quotes before the cut decide on spaces behind it. A cut beside a hyphen is not asked for."""
    first, second = words[:cut], words[cut:]
    if "@-@" in (*first[-1:], *second[:1]):
        return
    joiner = moses.Joiner()
    assert (joiner.add(first) + joiner.add(second)).strip() == moses.join_words(words)


def test_each_word_is_joined_once_however_long_the_text(monkeypatch):
    joined = []

    def counted(join):
        return lambda *arguments: joined.extend(arguments[-1]) or join(*arguments)

    monkeypatch.setattr(moses.Joiner, "add", counted(moses.Joiner.add))
    monkeypatch.setattr(moses, "join_words", counted(moses.join_words))
    text = "the</w> &quot;</w> beta</w> @-@</w> blo cker</w> &quot;</w> (</w> 5</w> )</w>"
    sentence = text.split(" ")
    for num_sentences in (1, 10, 100):
        joined.clear()
        continuation = Continuation("", [])
        written = "".join(continuation.add([piece]) for piece in sentence * num_sentences) + continuation.finish()
        assert written == " ".join(['the "beta-blocker" (5)'] * num_sentences)
        assert len(joined) == 9 * num_sentences


@pytest.mark.parametrize(
    ("prompt", "following", "text"),
    [
        ("Aspirin", ["reduces"], " reduces"),
        ("Aspirin ", ["reduces"], "reduces"),
        ("Aspirin", [",", "which"], ", which"),
        ("aspirin", ["@-@", "induced"], "-induced"),
        ("the patient", ["&apos;s", "age"], "'s age"),
        ("the patients", ["&apos;", "age"], "' age"),
        ("the &quot;", ["effect", "&quot;", "of"], 'effect" of'),
        ("see (", ["Fig", ".", "2", ")"], "Fig. 2)"),
        ("aspirin,", ["@-@", "induced"], " -induced"),
    ],
)
def test_spaces_where_they_belong(prompt, following, text):
    words = prompt.replace(",", " ,").split()
    continuation = Continuation(prompt, [f"{word}</w>" for word in words])
    continuation.add([f"{word}</w>" for word in following])
    continuation.finish()
    assert continuation.text == text


def test_a_word_is_written_when_the_next_one_begins():
    continuation = Continuation("x", ["x</w>"])
    pieces = ["beta</w>", "@", "-", "@</w>", "block", "ers</w>", "and</w>", "be", "ta</w>"]
    assert [continuation.add([piece]) for piece in pieces] == [*[""] * 6, " beta-blockers", " and", ""]
    assert continuation.finish() == " beta"


@pytest.mark.data
def test_real_texts_stream_without_a_change(tokenizer, data_path):
    lines = (data_path / "benchmarks" / "HoC" / "train.tsv").read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t")[0] for line in lines[:2000:20]]
    assert len(texts) == 100
    for words in moses.split_words(texts):
        middle = len(words) // 3
        prompt_pieces, pieces = [f"{word}</w>" for word in words[:middle]], [f"{word}</w>" for word in words[middle:]]
        continuation = Continuation("x", prompt_pieces)
        written = "".join(continuation.add([piece]) for piece in pieces) + continuation.finish()
        assert tokenizer.convert_tokens_to_string(prompt_pieces) + written == tokenizer.convert_tokens_to_string(
            prompt_pieces + pieces
        )
