"""The page of results: nothing of a document is lost, nothing of it is taken for HTML."""

import base64
import hashlib
import io
import itertools
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt.documents import Document, Entity, EntityRelation, Extraction, Label, read_documents
from biogpt.documents.html import Heading, PageWriter, render_page
from biogpt.documents.tables import Row
from biogpt.documents.types import Annotation, Passage, Relation, make_document

HEADING = Heading("bc5cdr", "mini & co", "F1 41.2 on dev", ("chemical", "disease"))


class Reader(HTMLParser):
    """Checks that tags are nested, and collects the documents' text and what is marked in it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.articles: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []
        self.policy = ""
        self.content: dict[str, str] = {}
        self.styled: list[str] = []
        self._is_text = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        known = dict(attributes)
        self.styled += [tag] if "style" in known else []
        if known.get("http-equiv") == "Content-Security-Policy":
            self.policy = known["content"] or ""
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag in ("meta", "input"):  # never closed
            return
        self.open.append(tag)
        if tag == "article":
            self.articles.append("")
        if tag == "h3" or (tag == "p" and ("class", "text") in attributes):
            self._is_text = True

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in ("h3", "p"):
            self._is_text = False

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.content[self.open[-1]] = data
        if self._is_text and "small" in self.open:
            self.names.append(data)
        elif self._is_text:
            self.articles[-1] += data


def read_page(data: bytes) -> Reader:
    reader = Reader()
    reader.feed(data.decode())
    reader.close()
    assert reader.open == []
    return reader


def render(*records: Document) -> tuple[str, Reader]:
    out = io.BytesIO()
    render_page(out, records, HEADING)
    return out.getvalue().decode(), read_page(out.getvalue())


TEXT = st.text(st.sampled_from(list("ab <>&\"'\n測é;#/")), max_size=30)


@settings(deadline=None)
@given(TEXT, TEXT, st.lists(st.tuples(st.integers(0, 62), st.integers(0, 62), st.sampled_from("cd<")), max_size=8))
def test_all_text_stays_and_tags_are_nested(title: str, abstract: str, marks: list[tuple[int, int, str]]) -> None:
    record = make_document("1", [Passage(title, "title"), Passage(abstract, "abstract")])
    spans = {
        (type, (min(start, end), min(max(start, end), len(record.text))))
        for start, end, type in marks
        if min(start, end) < min(max(start, end), len(record.text))
    }
    entities = tuple(Entity(type, record.text[slice(*span)], (span,)) for type, span in spans)
    _, reader = render(record.with_extraction(Extraction(entities)))
    assert reader.articles == [record.text]
    assert sorted(reader.names) == sorted(type for type, _ in spans)  # each mention is named once, where it ends


def test_what_is_said_of_a_document() -> None:
    record = make_document("a<b", [Passage("Naloxone reverses <clonidine>.")])
    naloxone = Entity("chemical", "naloxone", ((0, 8),), "MESH:D009270", 0.75)
    relation = EntityRelation(
        "inhibitor", {"drug": naloxone, "target": Entity("gene", "P&G")}, {"interaction": "x<y"}, 0.001
    )
    extraction = Extraction(
        (naloxone, Entity("disease", "far away")), (relation,), (Label("answer", "yes", 0.914),), ("<script>",)
    )
    text, reader = render(record.with_extraction(extraction), record.with_extraction(Extraction()))
    assert reader.tags.count("script") == 1  # the page's own
    assert "mini &amp; co</strong>; F1 41.2 on dev." in text
    assert "<h2>a&lt;b</h2>" in text
    assert 'title="chemical, MESH:D009270, score 0.75">Naloxone<small>chemical</small></mark>' in text
    assert 'href="https://meshb.nlm.nih.gov/record/ui?ui=D009270" rel="noreferrer">MESH:D009270</a>' in text
    assert "<th>drug</th><th>target</th><th>interaction</th>" in text
    assert (
        'P&amp;G <span class="missing">(not in the text)</span></td><td>x&lt;y</td><td class="number">&lt;0.01</td>'
        in text
    )
    assert "far away" in text
    assert "<span>answer</span> yes <span>0.91</span>" in text
    assert "Warning: &lt;script&gt;" in text
    assert text.count("Nothing found.") == text.count('<article class="empty">') == 1


def test_asks_no_network() -> None:
    record = make_document("7", [Passage("x")], format="pubmed")
    text, reader = render(record)
    assert not {"link", "img", "iframe", "object", "base"} & set(reader.tags)
    assert "url(" not in text
    assert "@import" not in text
    assert reader.links == ["https://pubmed.ncbi.nlm.nih.gov/7/"]  # to follow, not to load


def test_the_policy_allows_the_pages_own_script_and_style_and_no_others() -> None:
    _, reader = render(make_document("7", [Passage("x")]))
    hashes = {
        name: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for name, content in reader.content.items()
    }
    assert reader.policy == (
        f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not reader.styled  # the policy would not let it in


@pytest.mark.parametrize(
    ("format", "id", "native", "pmid"),
    [
        ("pubtator", "7420681", None, "7420681"),
        ("bioc-xml", "7420681", None, "7420681"),
        ("jsonl", "a", {"PMID": 7420681}, "7420681"),
        ("csv", "a.csv:2", Row(["Title", "PubMed ID"], ["x", "7420681"], False), "7420681"),
        ("brat", "PMID-7420681", None, "7420681"),
        ("bioc-json", "PMC1", {"passages": [{"infons": {"article-id_pmid": "7420681"}}]}, "7420681"),
        ("bioc-json", "123", {"passages": [{"infons": {"article-id_pmc": "123"}}]}, ""),
        ("jsonl", "7420681", {"id": "7420681"}, ""),
        ("text", "a.txt:1", None, ""),
    ],
)
def test_links_to_pubmed(format: str, id: str, native: object, pmid: str) -> None:
    record = make_document(id, [Passage("x")], format=format, native=native)
    _, reader = render(record)
    assert reader.links == ([f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/"] if pmid else [])


def test_what_the_file_had_before_looks_different() -> None:
    annotations = (
        Annotation("1", "Chemical", "Lithium", ((0, 7),), "MESH:D008094"),
        Annotation("2", "disease", "tremor", ((12, 18),)),
    )
    relation = Relation("R1", "CID", (("", "1"), ("", "2")), 0.5)
    record = make_document("1", [Passage("Lithium and tremor.")], annotations=annotations, relations=(relation,))
    text, _ = render(record.with_extraction(Extraction((Entity("chemical", "Lithium", ((0, 7),), score=0.75),))))
    assert '<mark class="h210 both" data-i="0" data-t="chemical" data-s="0.75"' in text
    assert '<mark class="h0 known" data-i="1" data-t="disease" data-n="tremor"' in text
    assert 'title="disease, in the file before"' in text
    assert (
        'data-t="chemical\tdisease" data-m="0 1" data-s="0.5" data-n="lithium mesh:d008094 tremor"><td>CID</td>' in text
    )


def test_a_page_without_documents_says_so() -> None:
    assert "No documents." in render()[0]


@pytest.mark.data
def test_a_killed_run_goes_on(tmp_path: Path, data_path: Path) -> None:
    path = data_path / "benchmarks/BC5CDR/CDR_Data/CDR.Corpus.v010516/CDR_TestSet.PubTator.txt"
    records = [
        record.with_extraction(
            Extraction(tuple(Entity(each.type, each.text, each.spans, each.identifier) for each in record.annotations))
        )
        for record in itertools.islice(read_documents(path, lambda problem: pytest.fail(str(problem))), 20)
    ]
    whole = io.BytesIO()
    render_page(whole, records, HEADING)
    page = tmp_path / "page.html"
    writer = PageWriter(page, heading=HEADING)
    for record in records[:7]:
        writer.write(record)
    writer.flush()
    position = writer.position
    writer.write(records[7])
    writer.stream.close()  # the run ends here, without a closing part
    with PageWriter(page, position, heading=HEADING) as again:
        for record in records[7:]:
            again.write(record)
    assert page.read_bytes() == whole.getvalue()
    reader = read_page(page.read_bytes())
    assert reader.articles == [record.text for record in records]
    named = {(each.type, span) for record in records[:1] for each in record.annotations for span in each.spans}
    assert len([name for name in reader.names if name in ("Chemical", "Disease")]) > len(named) > 5
