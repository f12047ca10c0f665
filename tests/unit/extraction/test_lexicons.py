import gzip
import re

import pytest

from biogpt.errors import DataError, InputError
from biogpt.extraction.lexicons import MESH_LEXICON, Lexicon, Name, load_lexicon, read_names, write_lexicon

TABLE = "# source: own\n# date: 2026-11-28\nid\tlabel\ttype\tcount\n"
TABLE += "X:1\tred ear\tDisease\t\nX:1\tauricular redness\tDisease\t3\n"
SSSOM = (
    "#curie_map:\n#  mesh: http://id.nlm.nih.gov/mesh/\nsubject_id\tsubject_label\tpredicate_id\tpredicate_modifier\t"
    "object_id\tobject_label\n"
    "a:1\tred ear\tskos:exactMatch\t\tmesh:D1\tErythema of Ear\n"
    "a:2\tblue ear\tskos:exactMatch\tNot\tmesh:D1\tErythema of Ear\n"
    "a:3\tear disease\tskos:broadMatch\t\tmesh:D1\tErythema of Ear\n"
)
OBO = """format-version: 1.2
data-version: 2026-11-28

[Term]
id: X:1
name: erythema of ear
synonym: "red \\"hot\\" ear" EXACT []
synonym: "ear thing" BROAD []
synonym: "auricular redness" RELATED [PMID:1]

[Term]
id: X:2
name: gone
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""
MESH = """<?xml version="1.0"?>
<!DOCTYPE DescriptorRecordSet SYSTEM "https://www.nlm.nih.gov/databases/dtd/nlmdescriptorrecordset_20260101.dtd">
<DescriptorRecordSet LanguageCode="eng"><DescriptorRecord DescriptorClass="1"><DescriptorUI>D1</DescriptorUI>
<DescriptorName><String>Ear, Red</String></DescriptorName>
<TreeNumberList><TreeNumber>C09.1</TreeNumber></TreeNumberList>
<ConceptList><Concept PreferredConceptYN="Y"><TermList><Term><TermUI>T1</TermUI><String>Ear, Red</String></Term>
<Term><TermUI>T2</TermUI><String>Erythema of Ear</String></Term></TermList></Concept>
<Concept PreferredConceptYN="N"><TermList><Term><String>Hot Ear</String></Term></TermList></Concept></ConceptList>
</DescriptorRecord></DescriptorRecordSet>"""
SUPPLEMENT = """<SupplementalRecordSet><SupplementalRecord SCRClass="1"><SupplementalRecordUI>C1</SupplementalRecordUI>
<SupplementalRecordName><String>earol</String></SupplementalRecordName></SupplementalRecord></SupplementalRecordSet>"""


@pytest.mark.parametrize(
    ("file", "content", "names"),
    [
        ("a.tsv", TABLE, [Name("X:1", "red ear", "Disease"), Name("X:1", "auricular redness", "Disease", "3")]),
        (
            "a.sssom.tsv",
            SSSOM,
            [Name("mesh:D1", "Erythema of Ear", "", "label"), Name("mesh:D1", "red ear", "", "exact")],
        ),
        (
            "a.obo",
            OBO,
            [
                Name("X:1", "erythema of ear", "", "label"),
                Name("X:1", 'red "hot" ear', "", "exact"),
                Name("X:1", "auricular redness", "", "related"),
            ],
        ),
        (
            "desc.xml",
            MESH,
            [
                Name("D1", "Ear, Red", "Disease", "label"),
                Name("D1", "Erythema of Ear", "Disease", "exact"),
                Name("D1", "Hot Ear", "Disease", "related"),
            ],
        ),
        ("supp.xml", SUPPLEMENT, [Name("C1", "earol", "Chemical", "label")]),
    ],
)
def test_each_format_is_read_plain_and_packed(tmp_path, file, content, names):
    path = tmp_path / file
    path.write_text(content, encoding="utf-8")
    assert load_lexicon(path).names == names
    packed = tmp_path / f"{file}.gz"
    packed.write_bytes(gzip.compress(content.encode()))
    assert load_lexicon(packed).names == names


BOMB = '<?xml version="1.0"?><!DOCTYPE DescriptorRecordSet [<!ENTITY a "aaaa">]>' + MESH.split('.dtd">')[1].replace(
    "<String>Hot Ear", "<String>&a;"
)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("a.tsv", b"", "has no|is no lexicon"),
        ("a.tsv", b"name\tage\nx\t1\n", "columns 'identifier' and 'name'.*Got the columns: name, age"),
        ("a.tsv", b"# source: own\nid\tname\nX:1\tear\nX:2\n", r"a\.tsv:4: 1 cells; expected 2"),
        ("a.tsv", b"# source: own\nid\tname\nX:1\tear\n\t\nX:2\t \n", "a.tsv:5: expected an identifier and a name"),
        ("a.tsv", b"id\tname\trank\nX:1\tear\tbest\n", "got rank 'best', expected one of label, exact, related"),
        ("a.tsv", b"id\tname\nX:1\t\xe4\n", "not UTF-8"),
        ("a.tsv", b"id\tname\n", "has no names"),
        ("a.tsv", b"\x00\x01\x02", "is no lexicon|not text"),
        ("a.tsv", b"PK\x03\x04rest", "packed"),
        ("a.obo", b"format-version: 1.2\n[Term]\nname: ear\n", "a.obo:3: the term before this line has no id"),
        ("a.obo", b"format-version: 1.2\n[Term]\nid: X:1\nnonsense\n", "a.obo:4: got 'nonsense'"),
        ("a.xml", b"<PubmedArticleSet/>", "root element is <PubmedArticleSet>. Expected MeSH XML"),
        ("a.xml", b"<DescriptorRecordSet><DescriptorRecord>", "not well-formed XML"),
        ("a.xml", MESH.replace("<DescriptorUI>D1</DescriptorUI>", "").encode(), "without DescriptorUI"),
        ("a.xml", BOMB.encode(), "the entity &a; in D1"),
    ],
)
def test_a_malformed_lexicon_is_refused_with_one_line(tmp_path, file, content, says):
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_lexicon(path)
    assert re.search(says, str(error.value)), error.value
    assert "\n" not in str(error.value)
    assert file in str(error.value)


def test_a_lexicon_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"no lexicon 'mehs'\. Did you mean 'mesh'"):
        load_lexicon("mehs")
    with pytest.raises(InputError, match="Expected mesh or a file"):
        load_lexicon(tmp_path)


def test_a_lexicon_is_written_and_read_back(tmp_path):
    names = [Name("X:1", 'a "quoted" name', "Disease", "12"), Name("X:2", "α-tocopherol", "", "related")]
    facts = {"source": "own", "date": "2026-11-28", "terms": "CC0"}
    path = tmp_path / "own.tsv.gz"
    write_lexicon(Lexicon("own", [*names, Name("X:2", "X:0", "", "former")], facts), path)
    lexicon = load_lexicon(path)
    assert (lexicon.names, lexicon.facts, lexicon.former) == (names, facts, {"X:0": "X:2"})
    before = path.read_bytes()
    write_lexicon(Lexicon("own", [*names, Name("X:2", "X:0", "", "former")], facts), path)
    assert path.read_bytes() == before


def test_names_are_read_one_by_one(tmp_path):
    path = tmp_path / "long.tsv"
    path.write_text("id\tname\n" + "X:1\tear\n" * 20_000 + "broken\n", encoding="utf-8")
    names = read_names(path)
    assert next(names) == Name("X:1", "ear")  # long before the broken line
    with pytest.raises(DataError, match="20002"):
        list(names)


def test_the_shipped_lexicon_says_where_it_comes_from():
    facts: dict[str, str] = {}
    next(read_names(MESH_LEXICON, facts))
    assert MESH_LEXICON.stat().st_size < 3 << 20
    assert "biomappings" in facts["source"]
    assert "test" not in facts["source"]
    assert "CC0" in facts["terms"]
    assert facts["date"]
