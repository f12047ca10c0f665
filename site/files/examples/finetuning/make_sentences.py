"""Writes the labelled sentences of this example: 200 to train on, 60 to test on.

    python examples/finetuning/make_sentences.py

The names are real, the findings are not: nothing here says anything about a drug. The test sentences share neither
their patterns nor their names with the training sentences, so that a score on them is not one for remembering.
"""

import csv
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SEED = 20260

Names = Mapping[str, Sequence[str]]

NAMES: dict[str, Names] = {
    "train.csv": {
        "drug": (
            "clozapine", "metformin", "simvastatin", "imatinib", "warfarin", "tacrolimus", "digoxin", "lithium",
            "amiodarone", "gefitinib", "ciclosporin", "fluoxetine", "rituximab", "levodopa", "phenytoin",
            "methotrexate", "sildenafil", "carbamazepine", "clopidogrel", "theophylline",
        ),
        "agent": (
            "rifampicin", "clarithromycin", "ketoconazole", "grapefruit juice", "St John's wort", "fluconazole",
            "omeprazole", "ritonavir",
        ),
        "event": (
            "agranulocytosis", "lactic acidosis", "rhabdomyolysis", "optic neuritis", "acute liver failure",
            "interstitial nephritis", "torsade de pointes", "toxic epidermal necrolysis", "severe hyponatraemia",
            "pulmonary fibrosis", "gingival hyperplasia", "drug-induced lupus",
        ),
        "disease": (
            "schizophrenia", "type 2 diabetes", "atrial fibrillation", "chronic myeloid leukaemia",
            "Parkinson's disease", "rheumatoid arthritis", "epilepsy",
            "pulmonary hypertension", "ulcerative colitis", "major depression",
        ),
        "measure": (
            "fasting glucose", "LDL cholesterol", "seizure frequency", "blood pressure", "pain scores", "viral load",
            "relapse rate", "tumour size",
        ),
        "gene": (
            "EGFR", "ABL1", "HMGCR", "PDE5A", "SLC6A4", "VKORC1", "KIT", "DHFR", "DRD2", "MTOR",
        ),
    },
    "test.csv": {
        "drug": (
            "infliximab", "sorafenib", "valproate", "bosentan", "duloxetine", "colchicine", "apixaban", "olanzapine",
            "nilotinib", "spironolactone",
        ),
        "agent": ("erythromycin", "verapamil", "cimetidine", "voriconazole", "rifabutin"),
        "event": (
            "pancytopenia", "serotonin syndrome", "acute pancreatitis", "angioedema", "hepatotoxicity",
            "peripheral neuropathy",
        ),
        "disease": ("Crohn's disease", "bipolar disorder", "heart failure", "migraine", "renal cell carcinoma"),
        "measure": ("urinary protein", "six-minute walking distance", "hospital admissions", "flare frequency"),
        "gene": ("BRAF", "TNF", "EDNRA", "TUBB", "NR3C2"),
    },
}  # fmt: skip

PATTERNS: dict[str, dict[str, Sequence[str]]] = {
    "train.csv": {
        "adverse event": (
            "two patients developed {event} while taking {drug}",
            "{drug} was stopped because of {event}",
            "{event} occurred in {percent} of those given {drug}",
            "we describe a case of {event} caused by {drug}",
            "treatment with {drug} was complicated by {event}",
            "a {age}-year-old woman was admitted with {event} three weeks after starting {drug}",
            "the most frequent toxicity of {drug} was {event}",
            "{event} is a rare but serious side effect of {drug}",
            "{drug} for {disease} led to fatal {event}",
            "{event} resolved when {drug} was withdrawn and came back on rechallenge",
            "the risk of {event} was twice as high among users of {drug}",
            "{drug} had to be discontinued in {percent} of patients owing to {event}",
        ),
        "benefit": (
            "{drug} lowered {measure} more than placebo",
            "patients with {disease} improved on {drug}",
            "{measure} fell by {percent} in those given {drug}",
            "{drug} prolonged survival in {disease}",
            "{percent} of patients with {disease} responded to {drug}",
            "adding {drug} to standard care reduced {measure}",
            "{drug} was superior to placebo in {disease}",
            "remission of {disease} was reached in {percent} of those on {drug}",
            "{drug} is effective and well tolerated in {disease}",
            "symptoms of {disease} were relieved by {drug} within a week",
            "a {age}-year-old man with {disease} recovered fully under {drug}",
            "the benefit of {drug} for {measure} lasted two years",
        ),
        "interaction": (
            "{agent} doubled the plasma concentration of {drug}",
            "the clearance of {drug} was reduced by {agent}",
            "levels of {drug} fell when {agent} was given at the same time",
            "{drug} should not be combined with {agent}",
            "the area under the curve of {drug} rose by {percent} with {agent}",
            "co-administration of {agent} and {drug} calls for a lower dose",
            "{agent} induces the metabolism of {drug}",
            "a {age}-year-old man on {drug} had too high levels of it after {agent} was added",
            "in the presence of {agent} the half-life of {drug} was prolonged",
            "the dose of {drug} must be adjusted during treatment with {agent}",
            "{agent} inhibits the hepatic elimination of {drug}",
            "an interaction between {drug} and {agent} was suspected",
        ),
        "mechanism": (
            "{drug} binds to {gene} with high affinity",
            "{drug} is a selective inhibitor of {gene}",
            "the effect of {drug} is mediated by {gene}",
            "{drug} blocked the phosphorylation of {gene} in cultured cells",
            "expression of {gene} was suppressed by {drug} in a dose-dependent manner",
            "a crystal structure shows {drug} in the active site of {gene}",
            "mutations of {gene} abolished the activity of {drug}",
            "{drug} acts on {gene} rather than on its receptor",
            "knock-down of {gene} mimicked the action of {drug}",
            "{gene} was identified as the target of {drug}",
            "in mice without {gene}, {drug} had no effect",
            "{drug} competes with the natural substrate of {gene}",
        ),
    },
    "test.csv": {
        "adverse event": (
            "{drug}-induced {event} was confirmed by biopsy",
            "after a single dose of {drug} the patient suffered {event}",
            "{event} has been reported with {drug} in {percent} of children",
            "fatal {event} in a {age}-year-old man treated with {drug} for {disease}",
            "exposure to {drug} was associated with an increased incidence of {event}",
            "{drug} was withdrawn from the study after five cases of {event}",
        ),
        "benefit": (
            "{drug} halved {measure} in {disease}",
            "compared with usual care, {drug} significantly improved {measure}",
            "a complete response of {disease} to {drug} was seen in {percent}",
            "{disease} was controlled by {drug} in most patients",
            "treatment with {drug} led to fewer symptoms and better {measure}",
            "mortality in {disease} decreased by {percent} with {drug}",
        ),
        "interaction": (
            "{agent} raised the serum level of {drug} by {percent}",
            "the bioavailability of {drug} increased threefold with concomitant {agent}",
            "combining {drug} with {agent} altered the pharmacokinetics of both",
            "{drug} concentrations should be monitored in patients who also receive {agent}",
            "the metabolism of {drug} was slowed by {agent} in healthy volunteers",
            "use of {agent} together with {drug} is contraindicated",
        ),
        "mechanism": (
            "{drug} directly targets {gene}",
            "signalling through {gene} was inhibited by {drug} in vitro",
            "{drug} reduced the mRNA of {gene} in human cell lines",
            "binding of {drug} to {gene} requires a single residue",
            "loss of {gene} made the cells resistant to {drug}",
            "{drug} exerts its action as an antagonist of {gene}",
        ),
    },
}

NUM_PER_LABEL = {"train.csv": 50, "test.csv": 15}
OPENINGS = ("", "", "", "In this study, ", "We found that ", "As reported here, ", "In a retrospective cohort, ")
ENDINGS = ("", "", "", ", as expected", " according to our records", " (P < 0.01)", " at our hospital")


def write_sentence(pattern: str, names: Names, chance: random.Random) -> str:
    """A sentence of a pattern, with names and numbers filled in."""
    values = {slot: chance.choice(known) for slot, known in names.items()}
    numbers = {"percent": f"{chance.randint(4, 68)} %", "age": str(chance.randint(19, 87))}
    opening, ending = chance.choice(OPENINGS), chance.choice(ENDINGS)
    sentence = opening + pattern.format(**values, **numbers) + ending + "."
    return re.sub(r"^\w", lambda letter: letter[0].upper(), sentence)


def label_sentences(file: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """(sentence, label) of a file, label by label, no sentence twice."""
    seen: set[str] = set()
    for label, patterns in PATTERNS[file].items():
        for number in range(NUM_PER_LABEL[file]):
            pattern = patterns[number % len(patterns)]
            sentence = write_sentence(pattern, NAMES[file], chance)
            while sentence in seen:
                sentence = write_sentence(pattern, NAMES[file], chance)
            seen.add(sentence)
            yield sentence, label


def main() -> None:
    """Write the files beside this one."""
    for file in PATTERNS:
        chance = random.Random(SEED)
        rows = list(label_sentences(file, chance))
        chance.shuffle(rows)
        with (Path(__file__).parent / file).open("w", newline="", encoding="utf-8") as output:
            writer = csv.writer(output, lineterminator="\n")
            writer.writerow(["id", "sentence", "label"])
            writer.writerows([f"{file[:2]}{number}", *row] for number, row in enumerate(rows, 1))


if __name__ == "__main__":
    main()
