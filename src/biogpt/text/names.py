"""Spelling of biomedical names: what is left of a name when case, Greek letters, plural and word order do not count.

Each function gives a key; two names with the same key may mean the same. Made for comparing, not for reading.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache


def _set_of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_GREEK = {
    pair[0]: pair[2:]
    for pair in _set_of(
        "α:alpha β:beta γ:gamma δ:delta ε:epsilon ζ:zeta η:eta θ:theta ϑ:theta ι:iota κ:kappa λ:lambda μ:mu µ:mu ν:nu "
        "ξ:xi ο:omicron π:pi ρ:rho σ:sigma ς:sigma τ:tau υ:upsilon φ:phi ϕ:phi χ:chi ψ:psi ω:omega"
    )
}
_TOKEN = re.compile(r"[a-z]+|[0-9]+")
_POSSESSIVE = re.compile(r"['’`]s?\b")
_HYPHENS = re.compile("[‐‑‒–—−]")
_REVERSING = re.compile("hypo|hyper|increas|decreas|reduc|elevat|without|non|anti|mono|di|tri|tetra")
_STEREO = _set_of("rac racemic d l r s z e n dl rs cis trans levo dextro free")
_STOPWORDS = _set_of("a an and as at by due for from in of on or the to with associated")
_ENDINGS = tuple(  # the longest that fits first
    sorted(
        _set_of(
            "ically otic osis osi esis etic iform ical atic emic emia ity ive ion oid ial ary ous ing ed "
            "ic ia al ar is um us y e a"
        ),
        key=lambda ending: (-len(ending), ending),
    )
)

# Words that say no more than that something is a disease.
_DISEASE_HEADS = _set_of(
    "disease disorder syndrome symptom illness condition abnormality dysfunction impairment disturbance complication "
    "problem event episode attack"
)
# Words that two disease names may differ in and mean the same.
_DISEASE_WORDS = {
    word: words.split()[0]
    for words in (
        "neoplasm tumor cancer carcinoma malignancy neoplasia malignant tumour neoplastic cancerous",
        "kidney renal nephric",
        "liver hepatic hepatocellular",
        "heart cardiac myocardial",
        "lung pulmonary",
        "brain cerebral cerebrovascular",
        "stomach gastric",
        "eye ocular",
        "skin cutaneous dermal",
        "bowel intestinal gut intestine",
        "bladder vesical",
        "muscle muscular",
        "bone osseous skeletal",
        "nerve neural neuropathic",
        "vein venous",
        "artery arterial",
        "bleeding hemorrhage hemorrhagic",
        "insufficiency failure",
        "injury damage toxicity lesion trauma injured",
        "infarct infarction infarcted",
        "pain ache algia painful",
        "memory amnesic amnestic amnesia",
        "seizure convulsion epileptic convulsive",
        "death mortality",
        "psychosis psychotic",
        "depression depressive depressed",
        "anxiety anxious",
        "hypertension hypertensive",
        "hypotension hypotensive",
        "ischemia ischemic",
        "anemia anemic",
        "cirrhosis cirrhotic",
        "necrosis necrotic",
        "fibrosis fibrotic",
        "diabetes diabetic",
        "allergy allergic hypersensitivity",
        "inflammation inflammatory",
        "thrombosis thrombotic thrombus thrombi",
        "embolism embolic embolus emboli",
        "dependence addiction abuse addictive dependent",
        "induced related caused",
        "overdose overdosage",
        "elevated increased raised high",
        "loss decrease decreased reduced",
    )
    for word in words.split()
}
_SALTS = _set_of(
    "hydrochloride hcl hydrobromide chloride sodium potassium sulfate sulphate phosphate acetate maleate tartrate "
    "citrate mesylate fumarate succinate nitrate bromide iodide calcium magnesium hydrate monohydrate dihydrate "
    "anhydrous disodium besylate tosylate lactate gluconate bitartrate dihydrochloride salt base acid ion cation "
    "hydrogen dimesylate malate oxalate trihydrate pamoate palmitate decanoate propionate valerate"
)


def fold_name(name: str) -> str:
    """Small letters without accents, Greek letters by name, one kind of hyphen, no possessive."""
    folded = name.casefold()
    if not folded.isascii():
        decomposed = unicodedata.normalize("NFKD", folded)
        plain = (_GREEK.get(character, character) for character in decomposed if not unicodedata.combining(character))
        folded = _HYPHENS.sub("-", "".join(plain))
    if "'" in folded or "`" in folded or "’" in folded:
        folded = _POSSESSIVE.sub("", folded)
    return " ".join(folded.split())


def words_of_name(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, singular, in American spelling."""
    return tuple(map(_normalise_word, _TOKEN.findall(fold_name(name))))


@lru_cache(maxsize=1 << 17)
def _normalise_word(word: str) -> str:
    for british, american in (("ae", "e"), ("oe", "e"), ("our", "or"), ("isation", "ization"), ("sulph", "sulf")):
        word = word.replace(british, american)
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "is", "us")):
        return word
    if word.endswith("ies") and len(word) > 5:
        return word[:-3] + "y"
    if word.endswith(("oses", "yses", "ases", "eses")) and len(word) > 7:
        return word[:-2] + "is"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1]


def spelling_key(words: Sequence[str]) -> str:
    """Words in their order."""
    return " ".join(words)


def joined_key(words: Sequence[str]) -> str:
    """Letters and digits alone: "beta-blocker", "beta blocker" and "betablocker" are the same."""
    return "".join(words)


def word_set_key(words: Iterable[str]) -> str:
    """Words in any order, without those that only join others: "cancer of the breast", "breast cancer"."""
    return " ".join(sorted(set(words) - _STOPWORDS))


def disease_key(words: Iterable[str]) -> str:
    """As `word_set_key`, with words of the same meaning made one and without "disease", "syndrome" and the like."""
    stems = {_DISEASE_WORDS.get(word, word) for word in words} - _STOPWORDS
    return " ".join(sorted(map(_stem, stems - _DISEASE_HEADS or stems)))


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    """What adjectives and nouns of a disease share: "psychotic" and "psychosis", "aneurysmal" and "aneurysm"."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def chemical_key(words: Sequence[str]) -> str:
    """Without signs of stereochemistry in front, and without salts behind."""
    first, last = 0, len(words)
    while last - first > 1 and words[last - 1] in _SALTS:
        last -= 1
    while last - first > 1 and words[first] in _STEREO and len(words[first + 1]) > 3:
        first += 1
    return "".join(words[first:last])


def has_same_sense(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two similar names have the same numbers and no words that reverse the sense, as "hypo" and "hyper" do."""
    return _marks(words) == _marks(others)


def _marks(words: Sequence[str]) -> tuple[list[str], set[str]]:
    return sorted(word for word in words if word.isdigit()), {
        found[0] for word in words if (found := _REVERSING.match(word))
    }
