import pytest

from biogpt.text.abbreviations import find_abbreviations, find_long_form


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Patients with major depressive disorder (MDD) took part.", {"MDD": "major depressive disorder"}),
        ("5-hydroxytryptamine (5-HT) was given.", {"5-HT": "5-hydroxytryptamine"}),
        ("We saw heparin-induced thrombocytopenia [HIT] twice.", {"HIT": "heparin-induced thrombocytopenia"}),
        ("Acute renal failure (ARF; n = 4) was seen.", {"ARF": "Acute renal failure"}),
        ("AZT (zidovudine) helped.", {}),  # its letters do not stand in the name
        ("MI (myocardial infarction) was rare.", {"MI": "myocardial infarction"}),
        (
            "Gamma-aminobutyric acid (GABA) and nitric oxide (NO).",
            {"GABA": "Gamma-aminobutyric acid", "NO": "nitric oxide"},
        ),
        ("(RS)-1-aminoindan-1,5-dicarboxylic acid (AIDA)", {"AIDA": "(RS)-1-aminoindan-1,5-dicarboxylic acid"}),
        ("It fell by half (50%), in all (see above) but two (P < 0.05).", {}),
        ("Renal failure. It was (RF) seen.", {}),  # another sentence
        ("Heart failure (HF) came, and hay fever (HF), too.", {"HF": "Heart failure"}),
        ("A word in brackets (failure) is no abbreviation of failure.", {}),
        ("", {}),
    ],
)
def test_abbreviations_with_their_long_forms(text, found):
    assert find_abbreviations(text) == found


def test_the_first_character_begins_a_word():
    assert find_long_form("AD", "we treat Alzheimer disease") == "Alzheimer disease"
    assert find_long_form("XD", "we treat Alzheimer disease") == ""
    assert find_long_form("AD", "heard") == ""  # an "a" inside a word
