"""How often a model of relations finds some in ordinary abstracts, most of which have none.

    python benchmarks/relations_without.py --model bc5cdr --sources FILE... --work DIR
    python benchmarks/relations_without.py --draw --sources FILE... --data DIR
    python benchmarks/relations_without.py --documents DIR --sources FILE... --data DIR

The first command looks for relations in the 500 abstracts of relations_without_ids.json, and writes
benchmarks/results/relations_without.json: the share with a relation at the model's own threshold, and the same of the
abstracts that speak of treatment alone. What is predicted is kept in the work directory: a run that was killed goes on
by the same command.

The second drew those abstracts: by a fixed seed, from those that preparing the corpus of `mini` holds out, without any
that a data set of relations or diseases has. Nothing is trained or tuned on them. An abstract speaks of treatment alone
if it has a word of treatment and none of those by which harm is told (corpus_abstracts.py has both lists).

The third writes what is trained and tuned with instead, train.without.jsonl and valid.without.jsonl for
`empty_fraction` of a recipe, into a directory with links to the other files of BC5CDR: abstracts that are not held
out, in which no word tells of harm, and of NCBI Disease those for which the same holds.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from corpus_abstracts import fingerprint, is_held_out, read_abstracts, speaks_of_treatment_alone, tells_no_harm
from record import ROOT, write_result

from biogpt.documents import Article, read_documents
from biogpt.files import dump_json

IDS = ROOT / "benchmarks" / "relations_without_ids.json"
NUM_DRAWN, SEED = 500, 16
NUM_WITHOUT = {"train": 1500, "valid": 250}
"""Split -> how many documents without relations are written."""

DIRECTORY = "benchmarks/BC5CDR"
PUBTATOR = DIRECTORY + "/CDR_Data/CDR.Corpus.v010516/CDR_{}Set.PubTator.txt"
NCBI = "formats/pubtator/ncbi-disease.train.original.txt"
QUESTIONS = "benchmarks/PubMedQA/ori_pqal.json"
CHUNK = 20


def article_of(document: Any) -> Article:
    """Title and abstract of an annotated document."""
    texts = {passage.type: passage.text for passage in document.passages}
    return Article(id=document.id, title=texts.get("title", ""), abstract=texts.get("abstract", ""))


def read_used(data: Path) -> set[int]:
    """The fingerprints of the abstracts of BC5CDR and NCBI Disease, whichever split they are in, and PubMedQA's."""
    files = [PUBTATOR.format(split) for split in ("Training", "Development", "Test")] + [NCBI]
    used = {fingerprint(article_of(document)) for file in files for document in read_documents(data / file)}
    questions = json.loads((data / QUESTIONS).read_text())
    return used | {
        fingerprint(Article(id=id, title=one["QUESTION"], abstract=" ".join(one["CONTEXTS"])))
        for id, one in questions.items()
    }


def draw(sources: Sequence[Path], data: Path) -> None:
    """Write the list of the abstracts that are looked at."""
    used = read_used(data)
    there = [(mark, article) for mark, article in read_abstracts(sources) if is_held_out(mark) and mark not in used]
    there.sort(key=lambda pair: pair[0])  # whatever the order of the sources
    chosen = sorted(np.random.default_rng(SEED).permutation(len(there))[:NUM_DRAWN].tolist())
    drawn = [there[index] for index in chosen]
    treatment = [f"{mark:016x}" for mark, article in drawn if speaks_of_treatment_alone(text_of(article))]
    content = {
        "seed": SEED,
        "num_held_out": len(there),
        "abstracts": [f"{mark:016x}" for mark, _ in drawn],
        "treatment_alone": treatment,
    }
    IDS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"Drew {len(drawn)} of {len(there)} held-out abstracts, {len(treatment)} of treatment alone", file=sys.stderr)


def write_documents(sources: Sequence[Path], data: Path, output: Path) -> None:
    """Write the documents without relations that are trained and tuned with, beside BC5CDR's own files."""
    used = read_used(data)
    there = [
        (mark, article)
        for mark, article in read_abstracts(sources)
        if not is_held_out(mark) and mark not in used and tells_no_harm(text_of(article))
    ]
    there.sort(key=lambda pair: pair[0])
    order = np.random.default_rng(SEED).permutation(len(there)).tolist()
    ncbi = [article_of(document) for document in read_documents(data / NCBI)]
    ncbi = [article for article in ncbi if tells_no_harm(text_of(article)) and not is_held_out(fingerprint(article))]
    output.mkdir(parents=True, exist_ok=True)
    for file in (data / DIRECTORY).iterdir():
        if file.is_file() and not (output / file.name).exists():
            (output / file.name).symlink_to(file.resolve())
    first = 0
    for split, number in NUM_WITHOUT.items():
        articles = [there[index][1] for index in order[first : first + number]]
        first += number
        if split == "train":
            articles += ncbi
        lines = [
            dump_json({"id": article.id, "title": article.title, "abstract": article.abstract}) for article in articles
        ]
        (output / f"{split}.without.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{split}: {len(articles)} of {len(there)} abstracts in which nothing tells of harm", file=sys.stderr)


def text_of(article: Article) -> str:
    """Title and abstract."""
    return f"{article.title} {article.abstract}"


def measure(model: str, sources: Sequence[Path], work: Path, name: str, threshold: float | None) -> None:
    """Look for relations in the drawn abstracts, and write how many have one."""
    from biogpt import Extractor

    drawn = json.loads(IDS.read_text(encoding="utf-8"))
    wanted = set(drawn["abstracts"])
    texts = {f"{mark:016x}": article for mark, article in read_abstracts(sources) if f"{mark:016x}" in wanted}
    if len(texts) != len(wanted):
        sys.exit(f"The sources have {len(texts)} of the {len(wanted)} abstracts. Give all that mini was trained on.")
    extractor = Extractor.from_pretrained(model, threshold=threshold)
    work.mkdir(parents=True, exist_ok=True)
    file = work / "relations.jsonl"
    done = {one["id"]: one for one in map(json.loads, file.read_text().splitlines())} if file.is_file() else {}
    begin = time.process_time()
    remaining = [mark for mark in drawn["abstracts"] if mark not in done]
    for start in range(0, len(remaining), CHUNK):
        marks = remaining[start : start + CHUNK]
        given = [{"title": texts[mark].title, "abstract": texts[mark].abstract} for mark in marks]
        with file.open("a", encoding="utf-8") as lines:
            for mark, extraction in zip(marks, extractor(given), strict=True):
                record = {"id": mark, "scores": [relation.score for relation in extraction.relations]}
                record["relations"] = [
                    [entity.name for entity in relation.roles.values()] for relation in extraction.relations
                ]
                done[mark] = record
                lines.write(dump_json(record) + "\n")
        print(f"{len(done)} of {len(wanted)}", file=sys.stderr)
    inference = extractor.task.inference
    result = {
        "model": Path(model).name,
        "threshold": inference.threshold if threshold is None else threshold,
        "is_calibrated": bool(inference.calibration),
        "processor_seconds": round(time.process_time() - begin, 1),
        "all": shares([done[mark] for mark in drawn["abstracts"]]),
        "treatment_alone": shares([done[mark] for mark in drawn["treatment_alone"]]),
    }
    print(json.dumps(result, indent=2))
    write_result(name, result)


def shares(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many abstracts have a relation of at least each score; the lowest is the model's own threshold."""
    best = [max(record["scores"], default=0.0) for record in records]
    levels = {"threshold": 0.0, **{f"{level:.2f}": level for level in (0.1, 0.2, 0.3, 0.4, 0.5)}}
    return {
        "num_abstracts": len(records),
        "num_relations": sum(len(record["scores"]) for record in records),
        "share_with_a_relation": {
            name: round(sum(score > 0 and score >= level for score in best) / len(best), 4)
            for name, level in levels.items()
        },
        "likeliest": list(likeliest(records)),
    }


def likeliest(records: Sequence[dict[str, Any]], number: int = 20) -> Iterator[dict[str, Any]]:
    """What stands at the top of all, as pairs of names."""
    pairs = [
        (score, *names)
        for record in records
        for score, names in zip(record["scores"], record["relations"], strict=True)
    ]
    for score, *names in sorted(pairs, reverse=True)[:number]:
        yield {"score": score, "names": names}


def main() -> None:
    """Draw, write or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, nargs="+", required=True, help="the corpus's files of abstracts")
    parser.add_argument("--model", default="bc5cdr")
    parser.add_argument("--threshold", type=float, help="a probability threshold in place of the model's own")
    parser.add_argument("--work", type=Path, help="where predictions are kept")
    parser.add_argument("--name", default="relations_without", help="of the result file")
    parser.add_argument("--draw", action="store_true", help="draw the abstracts anew")
    parser.add_argument("--documents", type=Path, help="write documents without relations here")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.sources, arguments.data)
    elif arguments.documents:
        write_documents(arguments.sources, arguments.data, arguments.documents)
    elif arguments.work:
        measure(arguments.model, arguments.sources, arguments.work, arguments.name, arguments.threshold)
    else:
        parser.error("Give --work, --draw or --documents.")


if __name__ == "__main__":
    main()
