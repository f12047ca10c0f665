"""Nothing is dropped in silence: offsets that do not fit, text that was not read, what a format cannot hold."""

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from biogpt.documents import (
    Document,
    Entity,
    EntityRelation,
    Extraction,
    Label,
    Problem,
    read_documents,
    write_documents,
)
from biogpt.documents.losses import Loss, Losses, losses_of_reading, losses_of_writing
from biogpt.documents.offsets import fix_offsets
from biogpt.documents.types import Passage, choose_passages, make_document, title_and_abstract


def refuse(problem: Problem) -> None:
    pytest.fail(str(problem))


def read(path: Path, content: str, format: str | None = None) -> Document:
    path.write_text(content, encoding="utf-8")
    (document,) = read_documents(path, refuse, format)
    return document


def lines(*losses: Iterable[Loss]) -> list[str]:
    counted = Losses()
    for each in losses:
        counted.add(each)
    assert Losses(json.loads(json.dumps(counted.to_facts()))).lines() == counted.lines()
    return counted.lines()


def bioc(*passages: tuple[int, str, list[tuple[int, int, str]]]) -> str:
    """A BioC document of passages: offset, text, and annotations by offset, length and text."""
    return json.dumps(
        {
            "documents": [
                {
                    "id": "8",
                    "passages": [
                        {
                            "offset": offset,
                            "infons": {},
                            "text": text,
                            "annotations": [
                                {
                                    "id": f"{offset}-{start}",
                                    "infons": {"type": "Disease"},
                                    "text": name,
                                    "locations": [{"offset": start, "length": length}],
                                }
                                for start, length, name in annotations
                            ],
                        }
                        for offset, text, annotations in passages
                    ],
                }
            ]
        }
    )


@pytest.mark.data
def test_offsets_in_bytes_are_told_and_mended(data_path: Path, tmp_path: Path) -> None:
    (document,) = read_documents(data_path / "cases/byte_offsets.xml", refuse)
    assert lines(losses_of_reading(document)) == [
        "annotations whose text is not at their offsets; counted in bytes they fit, --fix-offsets mends them: 1; "
        "the first: 'gout' at 16 in document 8"
    ]
    mended = fix_offsets(document)
    assert mended.annotations[0].spans == ((15, 19),)
    assert not lines(losses_of_reading(mended))
    for name in ("out.xml", "out.json", "out.PubTator", "out.jsonl"):
        assert write_documents([mended], tmp_path / name) == 1
        (again,) = read_documents(tmp_path / name, refuse)
        assert [again.text[slice(*each.spans[0])] for each in again.annotations] == ["gout"]
    assert fix_offsets(mended) is mended


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        # The second passage begins at character 8, byte 10; its annotation counts bytes from the document's start.
        (bioc((0, "α and β", []), (8, "γ gout", [(13, 4, "gout")])), "in bytes"),
        # The same from the passage's own offset in characters; the length is in bytes, too.
        (bioc((0, "α", []), (2, "in β-gout", [(5, 7, "β-gout")])), "in bytes"),
        (bioc((0, "Title", []), (6, "𝛼 and 𝛽 gout", [(16, 4, "gout")])), "in UTF-16 units"),
        (bioc((0, "Gout", []), (5, "More gout", [(5, 4, "gout")])), "from the start of the passage"),
    ],
)
def test_other_ways_of_counting(tmp_path: Path, content: str, hint: str) -> None:
    document = read(tmp_path / "a.json", content)
    (line,) = lines(losses_of_reading(document))
    assert f"counted {hint} they fit" in line
    mended = fix_offsets(document)
    (annotation,) = mended.annotations
    assert mended.text[slice(*annotation.spans[0])] == annotation.text
    for name in ("out.json", "out.xml"):
        write_documents([mended], tmp_path / name)
        (again,) = read_documents(tmp_path / name, refuse)
        assert again.annotations[0].spans == annotation.spans
    # Written as XML and read again, the same fault is mended there, too.
    write_documents([document], tmp_path / "wrong.xml", on_loss=lambda line: None)
    (wrong,) = read_documents(tmp_path / "wrong.xml", refuse)
    assert fix_offsets(wrong).annotations[0].spans == annotation.spans


def test_what_fits_nowhere_stays_and_is_told(tmp_path: Path) -> None:
    document = read(tmp_path / "a.json", bioc((0, "β-blockers", [(1, 4, "gout"), (99, 2, "β-")])))
    assert lines(losses_of_reading(document)) == [
        "annotations whose text is not at their offsets: 2; the first: 'gout' at 1 in document 8"
    ]
    assert fix_offsets(document) is document


def test_pubtator_and_brat_are_mended_in_their_own_lines(tmp_path: Path) -> None:
    text = "1|t|β-blockers\n1|a|Gout came.\n1\t12\t16\tGout\tDisease\tD1\tx\n1\t0\t1\tβ\tSign\t-\n\n"
    mended = fix_offsets(read(tmp_path / "a", text, "pubtator"))
    write_documents([mended], tmp_path / "out", "pubtator")
    assert (tmp_path / "out").read_text() == text.replace("12\t16", "11\t15")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_text("β and gout, α and gout.", encoding="utf-8")
    (tmp_path / "b" / "1.ann").write_text("T1\tDisease 7 11;20 24\tgout gout\n#1\tNote T1\tx\n", encoding="utf-8")
    (document,) = read_documents(tmp_path / "b", refuse)
    assert document.annotations[0].spans == ()
    write_documents([fix_offsets(document)], tmp_path / "c", "brat")
    assert (tmp_path / "c" / "1.ann").read_text() == "T1\tDisease 6 10;18 22\tgout gout\n#1\tNote T1\tx\n"


def test_text_that_is_not_read_is_told_and_can_be(tmp_path: Path) -> None:
    body = "Lithium caused tremor again."
    annotation = {"id": "T1", "type": "Disease", "text": "tremor", "spans": [[42, 48]]}
    fields = {"id": "1", "title": "Lithium", "abstract": "It caused tremor.", "body": body, "annotations": [annotation]}
    document = read(tmp_path / "a.jsonl", json.dumps(fields))
    assert document.text == "Lithium. It caused tremor."
    assert lines(losses_of_reading(document)) == [
        "annotations in passages that were not read (--passages all reads them): 1; the first: 'tremor' at 41 in "
        "document 1",
        "documents with text that was not read, beside title and abstract (--passages all reads it): 1; the first: "
        "28 characters of document 1",
    ]
    whole = choose_passages(document, "all")
    assert whole.text == f"Lithium. It caused tremor. {body}"
    assert [whole.text[slice(*span)] for each in whole.annotations for span in each.spans] == ["tremor"]
    assert lines(losses_of_reading(whole)) == []
    assert choose_passages(document, ("title",)).text == "Lithium."
    assert choose_passages(whole, ("title", "abstract")) == document
    for name in ("b.json", "b.xml"):
        write_documents([whole], tmp_path / name)
        (again,) = read_documents(tmp_path / name, refuse)
        assert choose_passages(again, "all").annotations[0].spans == whole.annotations[0].spans
        write_documents([again], tmp_path / "c.jsonl", on_loss=lambda line: None)
        (back,) = read_documents(tmp_path / "c.jsonl", refuse)
        assert choose_passages(back, "all").text == whole.text


def test_keys_with_text_that_is_not_read_are_named(tmp_path: Path) -> None:
    notes = "A long remark of somebody who read the article and thought it worth a few words, which nobody sees here."
    fields = {"id": 1, "title": "Gout", "text": "Ten cases.", "Notes": notes, "grade": "B"}
    document = read(tmp_path / "a.jsonl", json.dumps(fields))
    assert lines(losses_of_reading(document)) == [
        "documents with text under keys that were not read (Notes): 1; the first: document 1"
    ]
    assert lines(losses_of_writing(document, "jsonl")) == []
    assert lines(losses_of_writing(document, "pubtator")) == [
        "documents with metadata that pubtator does not hold (Notes, grade): 1; the first: document 1"
    ]


@pytest.mark.parametrize("format", ["jsonl", "pubtator", "bioc-xml"])
def test_columns_that_were_read_are_no_loss(tmp_path: Path, format: str) -> None:
    document = read(tmp_path / "a.csv", "Key,Title,Abstract Note,DOI,Tag\nA,Gout,It hurts.,,x\n")
    assert (document.id, document.text) == ("A", "Gout. It hurts.")
    assert lines(losses_of_writing(document, format)) == [
        f"documents with metadata that {format} does not hold (Tag): 1; the first: document A"
    ]


def test_infons_that_are_lost_are_named(tmp_path: Path) -> None:
    from_json = json.loads(bioc((0, "Gout.", [(0, 4, "Gout")])))
    (content,) = from_json["documents"]
    content["infons"] = {"license": "CC BY", "year": "2001"}
    content["passages"][0]["infons"] = {"type": "title", "kwd": "toe"}
    content["passages"][0]["annotations"][0]["infons"]["note"] = "sure"
    document = read(tmp_path / "a.json", json.dumps(from_json))
    write_documents([document], tmp_path / "a.xml")
    for path in (tmp_path / "a.json", tmp_path / "a.xml"):
        (again,) = read_documents(path, refuse)
        assert lines(losses_of_writing(again, "jsonl")) == [
            "documents with metadata that jsonl does not hold (license, kwd, note): 1; the first: document 8"
        ]
        for format in ("bioc-json", "bioc-xml"):
            assert lines(losses_of_writing(again, format)) == []


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    document = make_document("1", title_and_abstract("Lithium", "It caused tremor."))
    lithium, other = Entity("Chemical", "Lithium", ((0, 7),)), Entity("Disease", "gout")
    found = document.with_extraction(
        Extraction(
            (lithium, other),
            (EntityRelation("CID", {"a": lithium, "b": other}), EntityRelation("CID", {"a": lithium})),
            (Label("answer", "yes"),),
            ("cut",),
        )
    )
    assert lines(losses_of_writing(found, "jsonl")) == []
    pair = "relations that do not have exactly two entities"
    gout = "entities whose name is not in the text, which {} cannot hold: 1; the first: 'gout' in document 1"
    assert lines(losses_of_writing(found, "bioc-xml")) == [gout.format("bioc-xml")]
    for format, where, number, first in (
        ("pubtator", "", 1, "CID of Lithium"),
        ("brat", " in the text", 2, "CID of Lithium, gout"),
    ):
        assert lines(losses_of_writing(found, format)) == [
            f"labels and answers, which {format} cannot hold: 1; the first: document 1",
            f"warnings, which {format} cannot hold: 1; the first: document 1",
            f"{pair}{where}, which {format} cannot hold: {number}; the first: {first} in document 1",
            gout.format(format),
        ]
    (tmp_path / "1.txt").write_text("Binding of A to B.")
    (tmp_path / "1.ann").write_text("T1\tGene 11 12\tA\nA1\tNegation T1\nR1\tx a:T1 b:T9\n")
    (from_brat,) = read_documents(tmp_path, refuse)
    assert lines(losses_of_writing(from_brat, "brat")) == []
    kind = "events, attributes, equivalences and notes of brat, which pubtator cannot hold"
    assert lines(losses_of_writing(from_brat, "pubtator")) == [f"{kind}: 1; the first: A1 Negation T1 in document 1"]


def test_brackets_of_a_translated_title() -> None:
    for title, read_as in (
        ("[Gout].", "Gout."),
        (" [Why gout?] ", "Why gout?"),
        ("[[11C]raclopride in gout]", "[11C]raclopride in gout."),
        ("[11C]raclopride and [18F]FDG", "[11C]raclopride and [18F]FDG."),
        ("[11C]raclopride [abstract]", "[11C]raclopride [abstract]"),
        ("[]", "[]"),
        ("[open", "[open."),
    ):
        document = make_document("1", title_and_abstract(title, "Gout came."))
        assert document.text == f"{read_as} Gout came."
        assert document.span_of(title.find("Gout"), 4) == ((0, 4) if "Gout" in title else None)
    assert make_document("1", [Passage("[Gout].")]).text == "[Gout]."  # no title
