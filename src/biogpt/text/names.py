"""Spelling of biomedical names: what is left of a name when case, Greek letters, plural and word order do not count.

Each function gives a key; two names with the same key may mean the same. Made for comparing, not for reading.
"""

import re
import unicodedata
from functools import lru_cache

_GREEK = {
    **dict(zip("αβγδεζηθικλμνξοπρστυφχψω", "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi "
    "omicron pi rho sigma tau upsilon phi chi psi omega".split(), strict=True)),
    "ς": "sigma", "ϑ": "theta", "ϕ": "phi", "µ": "mu",
}  # fmt: skip
_TOKEN = re.compile(r"[a-z]+|[0-9]+")
_POSSESSIVE = re.compile(r"['’`]s?\b")
_STEREO = re.compile(r"^(?:\(?[+±-]{1,3}/?[+±-]*\)?-?|\(?(?:rac|[dlrszen]|dl|cis|trans)\)?-)+(?=\S{3})")
_STOPWORDS = frozenset("a an and as at by due for from in of on or the to with associated".split())

# Words that say no more than that something is a disease.
_DISEASE_HEADS = frozenset(
    "disease disorder syndrome symptom illness condition abnormality dysfunction impairment disturbance complication "
    "deficit problem change effect event episode attack reaction process".split()
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
_SALTS = frozenset(
    "hydrochloride hcl hydrobromide chloride sodium potassium sulfate sulphate phosphate acetate maleate tartrate "
    "citrate mesylate fumarate succinate nitrate bromide iodide calcium magnesium hydrate monohydrate dihydrate "
    "anhydrous disodium besylate tosylate lactate gluconate bitartrate dihydrochloride salt base acid ion cation "
    "hydrogen dimesylate malate oxalate trihydrate pamoate palmitate decanoate propionate valerate".split()
)


@lru_cache(maxsize=1 << 16)
def fold_name(name: str) -> str:
    """Small letters without accents, Greek letters by name, one kind of hyphen, no possessive."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(_GREEK.get(character, character) for character in decomposed if not unicodedata.combining(character))
    plain = re.sub("[‐‑‒–—−]", "-", plain)
    return _POSSESSIVE.sub("", " ".join(plain.split()))


def words_of_name(name: str) -> list[str]:
    """The words and numbers of a name, singular, in American spelling."""
    return [_normalise_word(word) for word in _TOKEN.findall(fold_name(name))]


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


def spelling_key(name: str) -> str:
    """Words in their order."""
    return " ".join(words_of_name(name))


def joined_key(name: str) -> str:
    """Letters and digits alone: "beta-blocker", "beta blocker" and "betablocker" are the same."""
    return "".join(words_of_name(name))


def word_set_key(name: str) -> str:
    """Words in any order, without those that only join others: "cancer of the breast", "breast cancer"."""
    return " ".join(sorted({word for word in words_of_name(name) if word not in _STOPWORDS}))


def disease_key(name: str) -> str:
    """As `word_set_key`, with words of the same meaning made one and without "disease", "syndrome" and the like."""
    words = {_DISEASE_WORDS.get(word, word) for word in words_of_name(name) if word not in _STOPWORDS}
    return " ".join(sorted(words - _DISEASE_HEADS)) or " ".join(sorted(words))


def chemical_key(name: str) -> str:
    """The name without signs of stereochemistry in front, and without salts behind."""
    words = words_of_name(_STEREO.sub("", fold_name(name)))
    while len(words) > 1 and words[-1] in _SALTS:
        words.pop()
    return "".join(words)
