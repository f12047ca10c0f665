import pytest

from biogpt.text.names import (
    chemical_key,
    disease_key,
    fold_name,
    has_same_sense,
    joined_key,
    spelling_key,
    word_set_key,
    words_of_name,
)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        (spelling_key, "Haemorrhagic anaemias", "hemorrhagic anemia"),
        (spelling_key, "TNF-α", "TNF alpha"),
        (spelling_key, "Parkinson's disease", "parkinson disease"),
        (spelling_key, "β‐blockers", "beta-blocker"),
        (joined_key, "beta-blocker", "betablocker"),
        (word_set_key, "cancer of the breast", "breast cancer"),
        (disease_key, "tumours of the kidney", "renal neoplasm"),
        (disease_key, "psychotic disorder", "psychosis"),
        (chemical_key, "(±)-ketamine hydrochloride", "Ketamine"),
        (chemical_key, "D-penicillamine", "penicillamine"),
    ],
)
def test_names_that_mean_the_same_have_the_same_key(key, one, other):
    assert key(words_of_name(one)) == key(words_of_name(other))


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        (disease_key, "liver disease", "kidney disease"),
        (disease_key, "disease", "syndrome"),
        (chemical_key, "sodium chloride", "potassium chloride"),
        (spelling_key, "prostaglandin E1", "prostaglandin E2"),
        (word_set_key, "vitamin A", "vitamin B"),
    ],
)
def test_names_that_mean_different_things_have_different_keys(key, one, other):
    assert key(words_of_name(one)) != key(words_of_name(other))


def test_numbers_and_opposites_tell_similar_names_apart():
    def same(one, other):
        return has_same_sense(words_of_name(one), words_of_name(other))

    assert not same("hypotension", "hypertension")
    assert not same("interferon alpha-2b", "interferon alpha-2a") or same("interferon", "interferons")
    assert not same("SM-5887", "SM-5888")
    assert not same("increased cardiac output", "decreased cardiac output")
    assert same("renal failures", "renal failure")


def test_folding_keeps_characters_that_are_no_letters():
    assert fold_name("  Ménière’s  Disease ") == "meniere disease"
    assert fold_name("2′-deoxy") == "2′-deoxy"
