"""Linking: how often names get the right MeSH identifier, and relations between them, on BC5CDR.

    python benchmarks/linking.py --split dev           mentions of the development set, with a lexicon that lacks it
    python benchmarks/linking.py                        mentions of the test set, with the shipped lexicon
    python benchmarks/linking.py --relations            as before, and relations found by the bundled model, end to end

The gold has the identifiers of 2015. Those that MeSH has since replaced, as far as the lexicon knows them from names
annotated in the training and development sets, are compared by what took their place (`Lexicon.former`).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import record

from biogpt.documents import Document, read_documents
from biogpt.documents.types import make_document
from biogpt.extraction.lexicons import Lexicon
from biogpt.extraction.linking import Link, Linker, load_linker, other_forms
from biogpt.extraction.task_models import find_task_model
from biogpt.text.names import fold_name

CORPUS = "benchmarks/BC5CDR/CDR_Data/CDR.Corpus.v010516/CDR_{}Set.PubTator.txt"
SPLITS = {"dev": "Development", "test": "Test"}
NIL = "-1"
SEPARATOR = "|"


@dataclass(frozen=True)
class Mention:
    """A gold mention and what was found for it."""

    document: str
    type: str
    gold: frozenset[str]
    """Its identifiers, several for a composite mention, none for one that MeSH does not have."""
    annotated: frozenset[str]
    """The same as annotated in 2015."""
    found: Link | None

    @property
    def identifiers(self) -> frozenset[str]:
        """What was found."""
        return frozenset(self.found.identifier.split(SEPARATOR)) if self.found else frozenset()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=record.ROOT.parent / "shared" / "data")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--relations", action="store_true", help="find relations, too, which takes a while")
    parser.add_argument("--limit", type=int, help="documents for relations, for a quick look; nothing is written")
    arguments = parser.parse_args()
    documents = list(read_documents(arguments.data / CORPUS.format(SPLITS[arguments.split])))
    linker = load_linker() if arguments.split == "test" else _linker_without_dev(arguments.data)
    measured: dict[str, Any] = {"split": arguments.split, "lexicon": describe(linker.lexicon)}
    measured["mentions"] = score_mentions(link_mentions(linker, documents), linker.lexicon)
    if arguments.relations:
        measured["relations"] = score_relations(linker, documents[: arguments.limit])
    for name, values in measured.items():
        print(name, values)
    if not arguments.limit:
        name = "linking" if arguments.split == "test" else f"linking_{arguments.split}"
        print(record.write_result(name, measured))


def _linker_without_dev(data: Path) -> Linker:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh-without-dev.tsv.gz"
        script = record.ROOT / "scripts" / "build-lexicon"
        subprocess.run(
            [sys.executable, script, "--data", data, "--without-dev", "--output", path], check=True, capture_output=True
        )
        return load_linker(path)


def describe(lexicon: Lexicon) -> dict[str, Any]:
    """What the lexicon is made of."""
    names = {"names": len(lexicon.names), "identifiers": len({name.identifier for name in lexicon.names})}
    return {"title": lexicon.title, **names, **lexicon.facts, "digest": lexicon.digest}


def link_mentions(linker: Linker, documents: Sequence[Document]) -> list[Mention]:
    """The gold mentions, each linked by its name, its type and its document's abbreviations alone."""
    mentions = []
    for document in documents:
        forms = other_forms(document.text)
        for annotation in document.annotations:
            other_form = forms.get(fold_name(annotation.text), "")
            found = linker(annotation.text, annotation.type, other_form)
            identifiers = annotation.identifier.split(SEPARATOR)
            gold, annotated = (present(identifiers, former) for former in (linker.lexicon.former, {}))
            mentions.append(Mention(document.id, annotation.type, gold, annotated, found))
    return mentions


def present(identifiers: Sequence[str], former: Mapping[str, str]) -> frozenset[str]:
    """Identifiers with those replaced that are no longer in use; none for a mention without one."""
    return frozenset(former.get(identifier, identifier) for identifier in identifiers if identifier not in ("", NIL))


def score_mentions(mentions: Sequence[Mention], lexicon: Lexicon) -> dict[str, Any]:
    """Precision and recall for each type, of mentions and of documents' concepts, with the ceiling."""
    known = {name.identifier for name in lexicon.names}
    return {
        type: _score_type([mention for mention in mentions if mention.type == type], known)
        for type in sorted({mention.type for mention in mentions})
    }


def _score_type(mentions: Sequence[Mention], known: set[str]) -> dict[str, Any]:
    linkable = [mention for mention in mentions if mention.gold]
    linked = [mention for mention in mentions if mention.found]
    right = [mention for mention in linked if mention.gold == mention.identifiers]
    without = [mention for mention in mentions if not mention.gold]
    told = [mention for mention in without if not mention.found]
    not_linked = [mention for mention in mentions if not mention.found]
    gold = {(mention.document, one) for mention in mentions for one in mention.gold}
    found = {(mention.document, one) for mention in mentions for one in mention.identifiers}
    by_way: dict[str, Counter[str]] = defaultdict(Counter)
    for mention in linked:
        way = "trigrams" if mention.found and mention.found.score < 0.9 else f"{mention.found.score:.2f}"
        by_way[way].update(linked=1, right=int(mention.gold == mention.identifiers))
    return {
        "mentions": len(mentions),
        "right_identifier": round(len(right) / len(mentions), 4),
        "right_identifier_or_rightly_none": round((len(right) + len(told)) / len(mentions), 4),
        "right_identifier_of_2015": round(
            sum(mention.annotated == mention.identifiers for mention in linked) / len(mentions), 4
        ),
        "ceiling": round(sum(mention.gold <= known for mention in linkable) / len(mentions), 4),
        "precision": round(len(right) / len(linked), 4),
        "recall": round(len(right) / len(linkable), 4),
        "ceiling_of_recall": round(sum(mention.gold <= known for mention in linkable) / len(linkable), 4),
        "none": {
            "gold": len(without),
            "told": len(not_linked),
            "both": len(told),
        },
        "composite": {
            "gold": sum(len(mention.gold) > 1 for mention in mentions),
            "right": sum(len(mention.gold) > 1 for mention in right),
        },
        "concepts_of_documents": scores(gold, found),
        "by_score": {way: dict(counts) for way, counts in sorted(by_way.items())},
    }


def scores(gold: set[Any], found: set[Any]) -> dict[str, float]:
    """Precision, recall and F1 of sets."""
    both = len(gold & found)
    precision, recall = both / (len(found) or 1), both / (len(gold) or 1)
    f1 = 2 * precision * recall / (precision + recall or 1)
    values = {"precision": precision, "recall": recall, "f1": f1}
    return {"gold": len(gold), "found": len(found), **{name: round(value, 4) for name, value in values.items()}}


def score_relations(linker: Linker, documents: Sequence[Document]) -> dict[str, Any]:
    """Chemical-disease pairs by MeSH id, from the texts alone: without the gold list of entities."""
    from biogpt.extraction.extractor import Extractor

    model = find_task_model(task="bc5cdr")
    extractor = Extractor.of(model, device="cpu", linker=linker)
    gold: set[tuple[str, str, str]] = set()
    found: set[tuple[str, str, str]] = set()
    unlinked: set[tuple[str, ...]] = set()
    num_names = num_unlinked = num_relations = 0
    start = time.monotonic()
    bare = [make_document(document.id, document.passages) for document in documents]
    for document, extraction in zip(documents, extractor.pipe(bare), strict=True):
        for relation in document.relations:
            pair = [present([value], linker.lexicon.former) for _, value in relation.arguments]
            gold.update((document.id, *one) for one in _pairs(*pair))
        for relation in extraction.relations:
            num_relations += 1
            entities = list(relation.roles.values())
            num_names += len(entities)
            num_unlinked += sum(not entity.identifier for entity in entities)
            ids = [frozenset(filter(None, entity.identifier.split(SEPARATOR))) for entity in entities]
            found.update((document.id, *one) for one in _pairs(*ids))
            if not all(ids):
                unlinked.add((document.id, *(entity.identifier or entity.name for entity in entities)))
    return {
        "model": model.name,
        "documents": len(documents),
        "relations_named": num_relations,
        "names": num_names,
        "names_without_identifier": num_unlinked,
        "by_identifier": scores(gold, found),
        "by_identifier_with_unlinked_pairs_as_wrong": scores(gold, found | unlinked),
        "published_protocol": {
            **dict(model.record.get("test_scores", {})),
            "note": "the same model; names are looked up in the entity list of the split, which is made of its gold",
        },
        "seconds": round(time.monotonic() - start),
    }


def _pairs(chemicals: frozenset[str], diseases: frozenset[str]) -> Iterator[tuple[str, str]]:
    return ((chemical, disease) for chemical in chemicals for disease in diseases)


if __name__ == "__main__":
    main()
