"""Where the tasks' data sets lie below one directory, and what stands in for a train split that is not public."""

DIRECTORIES = {
    "bc5cdr": "benchmarks/BC5CDR",
    "kd_dti": "benchmarks/KD-DTI",
    "ddi": "benchmarks/DDI",
    "pubmedqa": "benchmarks/PubMedQA",
    "hoc": "benchmarks/HoC",
    "ncbi_disease": "ner/NCBI-disease",
    "bc5cdr_chem": "ner/BC5CDR-chem",
    "bc5cdr_disease": "ner/BC5CDR-disease",
    "bc2gm": "ner/BC2GM",
    "jnlpba": "ner/JNLPBA",
}
"""Every task with a score -> its directory."""

TRAIN_SPLITS = {"kd_dti": "dev"}
"""Task -> the split to learn from, where that is not train: KD-DTI has no public train split."""
