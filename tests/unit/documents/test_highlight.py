"""The HTML fragment of an extraction: text as it is, marks at the right characters, nothing taken for HTML."""

from html.parser import HTMLParser

from biogpt.documents import Entity, EntityRelation, Extraction, Label
from biogpt.documents.highlight import highlight
from biogpt.documents.types import Passage, make_document


class Reader(HTMLParser):
    """Checks that tags are nested, and collects the text, the marked stretches of it and the listed lines."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.marked: list[tuple[int, int]] = []
        self.lines: list[str] = []
        self._starts: list[int] = []
        self.feed(fragment)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)
        if tag == "mark":
            self._starts.append(len(self.text))
        if tag == "li":
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "mark":
            self.marked.append((self._starts.pop(), len(self.text)))

    def handle_data(self, data: str) -> None:
        if "li" in self.open:
            self.lines[-1] += data
        elif "small" not in self.open:
            self.text += data


def test_spans_are_marked_at_their_characters() -> None:
    text = "𝛼-synuclein & naloxone <b>é</b>."
    entities = (Entity("gene", "α-synuclein", ((0, 11),)), Entity("chemical", "naloxone", ((14, 22),)))
    reader = Reader(highlight(text, Extraction(entities)))
    assert reader.text == text
    assert reader.marked == [(0, 11), (14, 22)]
    assert reader.lines == []


def test_mentions_that_nest_and_cross_keep_the_text() -> None:
    text = "breast cancer gene products"
    spans = ((0, 13), (7, 18), (7, 13), (14, 27))
    extraction = Extraction(tuple(Entity(f"type {number}", "x", (span,)) for number, span in enumerate(spans)))
    reader = Reader(highlight(text, extraction))
    assert reader.text == text
    assert {(0, 13), (7, 13), (13, 18), (14, 18), (18, 27)} >= set(reader.marked)


def test_everything_is_escaped() -> None:
    evil = '<script>alert("1")</script>'
    entity = Entity(evil, evil, ((0, 4),), evil, 0.5)
    fragment = highlight(
        evil,
        Extraction(
            (entity, Entity(evil, evil)),
            (EntityRelation(evil, {evil: entity}, {evil: evil}, 0.001),),
            (Label(evil, evil, 0.5),),
            (evil,),
            evil,
        ),
    )
    assert "<script" not in fragment
    assert 'alert("' not in fragment
    reader = Reader(fragment)
    assert reader.text == evil
    assert reader.tags == {"div", "mark", "small", "ul", "li", "strong", "span"}


def test_relations_labels_and_warnings_are_listed() -> None:
    drug, harm = Entity("chemical", "lithium", ((0, 7),), "D1"), Entity("disease", "tremor")
    extraction = Extraction(
        (Entity("disease", "far away", score=0.25),),
        (EntityRelation("CID", {"chemical": drug, "disease": harm}, {"effect": "strong"}, 0.62),),
        (Label("answer", "yes", 0.914),),
        ("the text was cut",),
    )
    assert Reader(highlight("Lithium.", extraction)).lines == [
        "CID: chemical lithium D1, disease tremor (not in the text), effect strong 0.62",
        "answer: yes 0.91",
        "disease: far away (not in the text) 0.25",
        "Warning: the text was cut",
    ]


def test_an_empty_extraction_says_so() -> None:
    reader = Reader(highlight("Some text.", Extraction()))
    assert (reader.text, reader.lines) == ("Some text.", ["Nothing found."])
    assert Reader(Extraction()._repr_html_()).lines == ["Nothing found."]


def test_a_notebook_shows_an_extraction_with_its_text() -> None:
    extraction = Extraction((Entity("chemical", "lithium", ((0, 7),)),)).placed_in("Lithium.")
    assert extraction._repr_html_() == highlight("Lithium.", extraction)
    without_text = Extraction((Entity("chemical", "lithium", ((0, 7),)),))
    assert Reader(without_text._repr_html_()).lines == ["chemical: lithium"]


def test_a_document_shows_its_own_extraction() -> None:
    document = make_document("1", [Passage("Aspirin & <b>")])
    assert "mark" not in document._repr_html_()
    assert "Aspirin &amp; &lt;b&gt;" in document._repr_html_()
    assert "Nothing found" not in document._repr_html_()
    extraction = Extraction((Entity("chemical", "Aspirin", ((0, 7),)),))
    found = document.with_extraction(extraction)
    assert found._repr_html_() == highlight(found) == highlight(document.text, extraction)
    assert Reader(found._repr_html_()).marked == [(0, 7)]
