"""Reading documents: what is kept, what is reported, what stops."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biogpt.documents import Article, Problem, ending_of, read_articles
from biogpt.errors import DataError


def read(path: Path) -> tuple[list[Article], list[Problem]]:
    problems: list[Problem] = []
    return list(read_articles(path, problems.append)), problems


def write(path: Path, content: str | bytes) -> Path:
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def citation(inside: str, pmid: str = "<PMID Version='1'>7</PMID>") -> str:
    return f"<MedlineCitation>{pmid}<Article>{inside}</Article></MedlineCitation>"


def article_set(*citations: str, head: str = "") -> str:
    articles = "".join(f"<PubmedArticle>{each}<PubmedData/></PubmedArticle>" for each in citations)
    return f'<?xml version="1.0"?>{head}<PubmedArticleSet>{articles}</PubmedArticleSet>'


class TestText:
    @pytest.mark.parametrize(
        ("title", "abstract", "text"),
        [
            ("A title", "An abstract.", "A title. An abstract."),
            ("A title.", "An abstract.", "A title. An abstract."),
            ("A question?", "Yes.", "A question? Yes."),
            ("Interleukin-1β", "Yes.", "Interleukin-1β. Yes."),
            ("", "An abstract.", "An abstract."),
            ("A title ", "", "A title."),
            ("", "", ""),
        ],
    )
    def test_joins_as_the_paper_does(self, title: str, abstract: str, text: str) -> None:
        assert Article("1", title, abstract, "A body.").text() == text

    def test_takes_the_fields_it_is_told(self) -> None:
        document = Article("1", "A title", "An abstract.", "A body.")
        assert document.text(["title", "abstract", "body"]) == "A title. An abstract. A body."
        assert document.text(["body"]) == "A body."


class TestJsonLines:
    def test_reads_the_known_parts(self, tmp_path: Path) -> None:
        lines = [
            {"pmid": "12", "pmcid": "PMC3", "title": "T", "abstract": "A", "body": "B\nC", "source": "x"},
            {"pmid": 12, "title": None, "abstract": "A"},
            {"id": "mine", "pmid": "12", "abstract": "A"},
            {"pmid": None, "pmcid": "PMC3", "title": "T"},
            {"text": "All of it."},
            {"title": "T", "text": "T. A"},
            {"pmid": "not a number", "abstract": "A"},
        ]
        path = write(tmp_path / "a.jsonl", "".join(json.dumps(line) + "\r\n" for line in lines))
        documents, problems = read(path)
        assert problems == []
        assert documents == [
            Article("12", "T", "A", "B\nC", "12"),
            Article("12", "", "A", "", "12"),
            Article("mine", "", "A", "", "12"),
            Article("PMC3", "T", ""),
            Article("a.jsonl:5", "", "All of it."),
            Article("a.jsonl:6", "T", ""),
            Article("not a number", "", "A"),
        ]

    def test_gzip_in_several_members_byte_order_mark_and_blank_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "A.JSONL.GZ"
        first, second = b'\xef\xbb\xbf{"id": "1", "text": "x"}\n\n', b'{"id": "2", "text": "y"}'
        path.write_bytes(gzip.compress(first) + gzip.compress(second))
        assert [document.id for document in read(path)[0]] == ["1", "2"]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            (b'{"title": ', "not JSON"),
            (b"[1]", "a JSON list; expected an object"),
            (b'{"abstrct": "x"}', "Did you mean 'abstract'?"),
            (b'{"Titles": "x"}', "Did you mean 'title'?"),
            (b'{"pmid": 1}', "has none of title, abstract, body and text"),
            (b'{"title": 3}', "'title' is a int; expected a string"),
            (b'{"title": "x", "id": [1]}', "'id' is a list; expected a string"),
            (b'{"title": "\\ud800"}', "surrogate"),
            (b'{"title": "\xff"}', "byte 12 (0xff) is not UTF-8"),
            (b"[" * 100_000, "nested too deeply"),
        ],
    )
    def test_reports_a_bad_record_with_its_line_and_goes_on(self, tmp_path: Path, line: bytes, message: str) -> None:
        path = write(tmp_path / "a.jsonl.gz", b'{"title": "before"}\n' + line + b'\n{"title": "after"}\n')
        documents, problems = read(path)
        assert [document.title for document in documents] == ["before", "after"]
        assert len(problems) == 1
        assert problems[0].place == f"{path}:2"
        assert message in problems[0].message
        assert "\n" not in str(problems[0])

    def test_a_cut_off_gzip_stream_stops_after_what_could_be_read(self, tmp_path: Path) -> None:
        whole = gzip.compress(
            b"".join(b'{"id": "%d", "text": "%x"}\n' % (i, i * i * 7919 % 1_000_003) for i in range(20_000))
        )
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(whole[: len(whole) // 2])
        documents = []
        with pytest.raises(DataError, match=r"a\.jsonl\.gz: the gzip stream is damaged or cut off .* Fetch"):
            documents.extend(read_articles(path, pytest.fail))
        path.write_bytes(whole[:1000] + bytes(100) + whole[1100:])
        with pytest.raises(DataError, match="damaged"):
            list(read_articles(path, lambda problem: None))
        path.write_bytes(b'{"id": "1", "text": "x"}\n')
        with pytest.raises(DataError, match="damaged"):
            list(read_articles(path, pytest.fail))

    def test_a_line_that_is_a_whole_file_stops(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("biogpt.files.MAX_RECORD_BYTES", 1 << 20)
        path = write(tmp_path / "a.jsonl", json.dumps([{"text": "x" * 100}] * 20_000))
        with pytest.raises(DataError, match=r"a\.jsonl:1: a line of 1 MB or more\. Expected one record a line"):
            read(path)

    @settings(max_examples=40, deadline=None)  # it writes files
    @given(
        st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(codec="utf-8"))))
    )
    def test_keeps_any_text_as_it_is(self, texts: list[tuple[str, str]]) -> None:
        # Not a fixture: Hypothesis runs the body many times.
        import tempfile

        with tempfile.TemporaryDirectory() as directory:
            lines = (json.dumps({"title": title, "abstract": abstract}) + "\n" for title, abstract in texts)
            documents, problems = read(write(Path(directory, "a.jsonl"), "".join(lines)))
        assert [(document.title, document.abstract) for document in documents] == texts
        assert problems == []


class TestPlainText:
    def test_one_document_per_block(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.txt.gz", "\n\nFirst line\nsecond line\r\n \t\nNext block\n\n\n")
        assert read(path) == (
            [Article("a.txt.gz:3", "", "First line\nsecond line"), Article("a.txt.gz:6", "", "Next block")],
            [],
        )

    def test_an_undecodable_block_is_one_problem(self, tmp_path: Path) -> None:
        path = write(tmp_path / "a.txt", b"good\n\nbad \xe9t\xe9\nbad \xff again\n\ngood again\n")
        documents, problems = read(path)
        assert [document.abstract for document in documents] == ["good", "good again"]
        assert problems == [Problem(f"{path}:3", "byte 5 (0xe9) is not UTF-8; expected UTF-8 text.")]

    def test_an_empty_file_has_no_documents(self, tmp_path: Path) -> None:
        assert read(write(tmp_path / "a.txt", "")) == ([], [])
        assert read(write(tmp_path / "a.txt.gz", "")) == ([], [])


class TestPubmedXml:
    def test_markup_labels_and_indentation(self, tmp_path: Path) -> None:
        inside = """
            <ArticleTitle>The <i>p53</i> gene and
                H<sub>2</sub>O<sup>&#946;</sup> &lt; 5.</ArticleTitle>
            <Abstract>
              <AbstractText Label="AIM" NlmCategory="OBJECTIVE">To <b>see <i>more</i></b>.</AbstractText>
              <AbstractText Label="RESULTS:">Seen.<!-- not text --></AbstractText>
              <AbstractText Label="UNLABELLED">Also.</AbstractText>
              <AbstractText Label="EMPTY"></AbstractText>
              <AbstractText>Done.</AbstractText>
              <CopyrightInformation>Copyright.</CopyrightInformation>
            </Abstract>"""
        documents, problems = read(write(tmp_path / "a.xml", article_set(citation(inside))))
        assert problems == []
        assert documents == [
            Article("7", "The p53 gene and H2Oβ < 5.", "AIM: To see more. RESULTS: Seen. Also. Done.", "", "7")
        ]

    def test_other_titles_abstracts_and_pmids_are_not_confused(self, tmp_path: Path) -> None:
        whole = (
            "<MedlineCitation><PMID>1</PMID><Article><RunState><Title>RunState</Title></RunState>"
            "<ArticleTitle>[Titolo.]</ArticleTitle><VernacularTitle>Altro titolo.</VernacularTitle></Article>"
            "<CommentsCorrectionsList><CommentsCorrections><PMID>999</PMID></CommentsCorrections></CommentsCorrectionsList>"
            "<OtherAbstract Language='ita'><AbstractText>Riassunto.</AbstractText></OtherAbstract></MedlineCitation>"
        )
        assert read(write(tmp_path / "a.xml", article_set(whole))) == ([Article("1", "[Titolo.]", "", "", "1")], [])

    @pytest.mark.parametrize("title", ["[Not Available].", "[In Process Citation]", ""])
    def test_a_placeholder_is_no_title(self, tmp_path: Path, title: str) -> None:
        inside = f"<ArticleTitle>{title}</ArticleTitle><Abstract><AbstractText>Text.</AbstractText></Abstract>"
        assert read(write(tmp_path / "a.xml", article_set(citation(inside))))[0][0].title == ""

    def test_both_roots_and_book_chapters(self, tmp_path: Path) -> None:
        one = citation("<ArticleTitle>One.</ArticleTitle>")
        expected = [Article("7", "One.", "", "", "7")]
        assert read(write(tmp_path / "a.xml", f"<MedlineCitationSet>{one}</MedlineCitationSet>"))[0] == expected
        assert read(write(tmp_path / "b.xml.gz", one))[0] == expected
        chapter = "<BookDocument><PMID>8</PMID><ArticleTitle>Two.</ArticleTitle></BookDocument>"
        book = "<BookDocument><PMID>9</PMID><Book><BookTitle>Three.</BookTitle></Book></BookDocument>"
        books = f"<PubmedBookArticle>{chapter}</PubmedBookArticle><PubmedBookArticle>{book}</PubmedBookArticle>"
        path = write(tmp_path / "c.xml", f"<PubmedArticleSet>{books}</PubmedArticleSet>")
        assert [(document.id, document.title) for document in read(path)[0]] == [("8", "Two."), ("9", "Three.")]

    def test_deletions(self, tmp_path: Path) -> None:
        one = citation("<ArticleTitle>One.</ArticleTitle>")
        deletion = "<DeleteCitation><PMID Version='1'>5</PMID><PMID>6</PMID></DeleteCitation>"
        path = write(tmp_path / "a.xml", f"<MedlineCitationSet>{one}{deletion}</MedlineCitationSet>")
        deleted: list[str] = []
        assert len(list(read_articles(path, pytest.fail, on_deletion=deleted.append))) == 1
        assert deleted == ["5", "6"]

    @pytest.mark.parametrize(
        ("bad", "place", "message"),
        [
            (citation("<ArticleTitle>x</ArticleTitle>", pmid=""), "citation 2", "no PMID"),
            (citation("<ArticleTitle>x</ArticleTitle>", pmid="<PMID>x1</PMID>"), "citation 2", "the PMID 'x1'"),
            (citation(""), "citation 2 (PMID 7)", "neither a title nor an abstract"),
            ("<MedlineCitation><PMID>7</PMID></MedlineCitation>", "citation 2 (PMID 7)", "neither"),
            (citation("<ArticleTitle>a &gamma; b</ArticleTitle>"), "citation 2 (PMID 7)", "the entity &gamma;"),
        ],
    )
    def test_reports_a_bad_citation_and_goes_on(self, tmp_path: Path, bad: str, place: str, message: str) -> None:
        good = citation("<ArticleTitle>good</ArticleTitle>")
        doctype = '<!DOCTYPE PubmedArticleSet SYSTEM "http://invalid.invalid/pubmed.dtd">'
        path = write(tmp_path / "a.xml", article_set(good, bad, good, head=doctype))
        documents, problems = read(path)
        assert [document.title for document in documents] == ["good", "good"]
        assert [problem.place for problem in problems] == [f"{path}: {place}"]
        assert message in problems[0].message

    def test_entities_are_not_expanded(self, tmp_path: Path) -> None:
        secret = write(tmp_path / "secret.txt", "secret")
        head = f'<!DOCTYPE PubmedArticleSet [<!ENTITY file SYSTEM "{secret.as_uri()}"><!ENTITY own "text">]>'
        bad = [citation(f"<ArticleTitle>&{name};</ArticleTitle>") for name in ("file", "own")]
        documents, problems = read(write(tmp_path / "a.xml", article_set(*bad, head=head)))
        assert documents == []
        assert [problem.message for problem in problems] == [
            "the entity &file;; expected characters.",
            "the entity &own;; expected characters.",
        ]

    def test_entities_that_multiply_are_refused(self, tmp_path: Path) -> None:
        laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
        head = f'<!DOCTYPE PubmedArticleSet [<!ENTITY l0 "ha">{laughs}]>'
        with pytest.raises(DataError, match="entity"):
            read(write(tmp_path / "a.xml", article_set(citation("<ArticleTitle>&l11;</ArticleTitle>"), head=head)))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("<PubmedArticleSet><PubmedArticle>", r"a\.xml:1: not well-formed XML"),
            ("", r"a\.xml:1: not well-formed XML"),
            ("<PubmedArticleSet>\n<a></b></PubmedArticleSet>", r"a\.xml:2: not well-formed XML"),
            (b"<PubmedArticleSet><a>\xff</a></PubmedArticleSet>", r"a\.xml:1: not well-formed XML"),
            ("<article><front/></article>", r"the root element is <article>\. Expected PubMed XML"),
            ("<a>" * 1000, r"the root element is <a>"),
        ],
    )
    def test_a_broken_file_stops(self, tmp_path: Path, content: str | bytes, message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            read(write(tmp_path / "a.xml", content))
        assert "\n" not in str(caught.value)

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        inside = f"<ArticleTitle>x</ArticleTitle><Abstract><AbstractText>{'word ' * 400}</AbstractText></Abstract>"
        path = write(tmp_path / "a.xml", article_set(*[citation(inside)] * 12_000))  # 26 MB
        program = (
            "import resource, sys\n"
            "from biogpt.documents import read_articles\n"
            "documents = read_articles(sys.argv[1], print)\n"
            "next(documents)\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "count = 1 + sum(1 for _ in documents)\n"
            "print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True)
        count, growth_kib = map(int, result.stdout.split())
        assert count == 12_000
        assert growth_kib < 8 << 10

    @pytest.mark.data
    @pytest.mark.parametrize(
        ("name", "num_documents", "num_without_abstract", "deleted"),
        [
            ("medline16n0902.xml.gz", 604, 78, ["26432306"]),
            ("pubmed-29768149.xml", 1, 0, []),
            ("pubmed21n0001.xml.gz", 49, 24, []),
            ("pubmed21n1000.xml.gz", 29, 0, []),
            ("pubmed21n1001.xml.gz", 37, 11, []),
            ("pubmed21n1002.xml.gz", 45, 24, []),
            ("test_current_medline.xml.gz", 4, 1, []),
        ],
    )
    def test_real_files(
        self, data_path: Path, name: str, num_documents: int, num_without_abstract: int, deleted: list[str]
    ) -> None:
        seen: list[str] = []
        documents = list(read_articles(data_path / "pubmed_xml" / name, pytest.fail, on_deletion=seen.append))
        assert len({document.pmid for document in documents}) == len(documents) == num_documents
        assert sum(not document.abstract for document in documents) == num_without_abstract
        assert all(document.title for document in documents)
        assert seen == deleted


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Expected a name ending in \.jsonl, \.xml, \.txt, or these with \.gz"):
        read_articles(write(tmp_path / "a.csv", ""), pytest.fail)


@pytest.mark.parametrize("name", ["missing.jsonl", "folder.txt"])
def test_an_unreadable_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(DataError, match=r"Cannot read .*(missing\.jsonl|folder\.txt): .*; check the path"):
        read_articles(tmp_path / name, pytest.fail)


def test_on_read_counts_the_stored_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", "\n\n".join(str(i) for i in range(20_000)))
    counts: list[int] = []
    assert len(list(read_articles(path, pytest.fail, on_read=counts.append))) == 20_000
    assert sum(counts) == path.stat().st_size


def test_format_is_told_by_the_name() -> None:
    names = ("a.jsonl", "a.JSONL.GZ", "a.b.xml", "a.gz", "a")
    assert [ending_of(Path(name)) for name in names] == [".jsonl", ".jsonl", ".xml", "", ""]
