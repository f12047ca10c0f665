"""A small vocabulary, learned here from a few sentences, for all tests of the text layer."""

from collections import Counter
from pathlib import Path

import pytest

from biogpt import BioGptTokenizer
from biogpt.text import bpe, moses

SENTENCES = [
    "Aspirin (acetylsalicylic acid) reduces the risk of myocardial infarction; the dose was 75-325 mg/day.",
    "Patients' blood pressure didn't change: 120/80 mmHg vs. 118/79 mmHg (P < 0.05, n = 1,250).",
    "The 2',3'-dideoxynucleosides inhibit HIV-1 reverse transcriptase, e.g. zidovudine & stavudine [3].",
    "IL-2-mediated activation of NF-kappa B requires 5-lipoxygenase. No. 5 of 7 was i.p. injected.",
    'So-called "naïve" T cells of β-thalassaemia patients were 37 °C warm... or not?',
]


@pytest.fixture(scope="session")
def vocabulary() -> bpe.Vocabulary:
    counts = Counter(word for words in moses.split_words(SENTENCES * 3) for word in words)
    return bpe.learn(counts.items(), vocabulary_size=400)


@pytest.fixture(scope="session")
def vocabulary_files(vocabulary: bpe.Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return bpe.write_vocabulary(vocabulary, tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def tokenizer(vocabulary_files: tuple[Path, Path]) -> BioGptTokenizer:
    return BioGptTokenizer(*vocabulary_files)
