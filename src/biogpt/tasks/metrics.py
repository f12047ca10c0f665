"""Scores, as each data set's official evaluation counts them.

A metric makes `Counts`: one row of numbers per example, and how their sums become figures. That is all that a score
or a bootstrap needs. Figures run from 0 to 1; a ratio with nothing below the line is 0 unless a rule says otherwise.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, TypeVar

from biogpt.tasks.example import NO_ID, Example, Item, Prediction
from biogpt.tasks.schema import Schema

H = TypeVar("H", bound=Hashable)
Triple = tuple[str, ...]

_ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV", "5": "V", "6": "VI", "7": "VII", "8": "VIII", "9": "IX"}
_NO_LETTER_OR_DIGIT = re.compile("[^a-zA-Z0-9]+")


class Pair(NamedTuple):
    """An example and what was predicted for it."""

    prediction: Prediction
    example: Example


@dataclass(frozen=True)
class Counts:
    """Numbers per example and what their sums mean."""

    rows: Sequence[tuple[float, ...]]
    derive: Callable[[Sequence[float], float], dict[str, float]]
    """Sums of the columns, and of how many rows -> figures."""
    whole: dict[str, float] = field(default_factory=dict)
    """Figures of the collection as a whole, which are no sums over examples."""
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    """Class -> precision, recall, f1 and support (how often it stands in the gold)."""

    def sums(self) -> list[float]:
        """The sum of each column."""
        return [sum(column) for column in zip(*self.rows, strict=True)]

    def figures(self) -> dict[str, float]:
        """All figures."""
        return {**self.derive(self.sums(), len(self.rows)), **self.whole}


Metric = Callable[[Schema, Sequence[Pair], Sequence[Prediction]], Counts]


def ratio(part: float, whole: float) -> float:
    """part / whole, and 0 of nothing."""
    return part / whole if whole else 0.0


def f1_of(precision: float, recall: float) -> float:
    """The harmonic mean."""
    return ratio(2 * precision * recall, precision + recall)


def prf(hits: float, predicted: float, gold: float) -> dict[str, float]:
    """Precision, recall and F1."""
    precision, recall = ratio(hits, predicted), ratio(hits, gold)
    return {"precision": precision, "recall": recall, "f1": f1_of(precision, recall)}


def count_matches(
    pairs: Iterable[tuple[set[H], set[H]]], class_of: Callable[[H], str], classes: Sequence[str] = ()
) -> Counts:
    """Compare sets of predicted and gold things, example by example.

    Args:
        pairs: (predicted, gold) of each example.
        class_of: the class of a thing.
        classes: the classes of the macro average; none: those that stand in the gold or in a prediction.

    Returns:
        Figures precision, recall, f1 (micro: over all things), macro_f1 (mean over classes), accuracy (share of the
        examples where both sets are the same).
    """
    pairs = list(pairs)
    found = {class_of(thing) for pair in pairs for things in pair for thing in things}
    names = list(classes) or sorted(found)
    names += sorted(found - set(names))
    place = {name: 1 + 3 * index for index, name in enumerate(names)}
    rows = []
    for predicted, gold in pairs:
        row = [0.0] * (1 + 3 * len(names))
        row[0] = predicted == gold
        for offset, things in enumerate((predicted & gold, predicted, gold)):
            for thing in things:
                row[place[class_of(thing)] + offset] += 1
        rows.append(tuple(row))

    def derive(sums: Sequence[float], num_rows: float) -> dict[str, float]:
        by_class = [sums[index : index + 3] for index in place.values()]
        micro = [sum(column) for column in zip(*by_class, strict=True)] or [0, 0, 0]
        macro = ratio(sum(prf(*counts)["f1"] for counts in by_class), len(by_class))
        return {**prf(*micro), "macro_f1": macro, "accuracy": ratio(sums[0], num_rows)}

    counts = Counts(rows, derive)
    sums = counts.sums()
    for name, index in place.items():
        counts.classes[name] = {**prf(*sums[index : index + 3]), "support": sums[index + 2]}
    return counts


def score_exact(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Relations as tuples of names, lower-cased and without spaces; micro over documents.

    Predictions for documents that the gold lacks are wrong.
    """
    tuples = [
        (_plain_triples(schema, pair.prediction.items), _plain_triples(schema, pair.example.items)) for pair in pairs
    ]
    tuples += [(_plain_triples(schema, prediction.items), set()) for prediction in unknown]
    counts = count_matches(tuples, _class_of_triple(schema))
    return _only(counts, ("precision", "recall", "f1"))


def score_linked(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Relations as tuples of identifiers, distinct within a document; micro over documents.

    The rules of the BC5CDR evaluation tool. A name without an identifier counts as "-1" and is wrong, as is every
    prediction for a document that the gold lacks.
    """
    tuples = [(_linked(schema, pair.prediction.items), _linked(schema, pair.example.items)) for pair in pairs]
    tuples += [(_linked(schema, prediction.items), set()) for prediction in unknown]
    counts = count_matches(tuples, lambda _: "all")
    return _only(counts, ("precision", "recall", "f1"), has_classes=False)


def score_hard_match(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Relations by normalised names, averaged over documents: the reference's hard match for KD-DTI and DDI.

    precision, recall and f1 are means over the documents (the last is what the reference prints as "micro" and what the
    paper reports); f1_of_means is its "macro"; collection_* are over the union of all documents' relations, its
    "ontology"; <slot>_accuracy is the mean intersection over union of the slot's names. Predictions for documents that
    the gold lacks are skipped.
    """
    slots = list(schema.slots)
    triples = [
        (_plain_triples(schema, pair.prediction.items), _plain_triples(schema, pair.example.items)) for pair in pairs
    ]
    rows = []
    for predicted, gold in triples:
        precision, recall = _best(_precision, predicted, gold), _best(_recall, predicted, gold)
        accuracies = [_best(_overlap, _column(predicted, index), _column(gold, index)) for index in range(len(slots))]
        rows.append((precision, recall, f1_of(precision, recall), *accuracies))

    def derive(sums: Sequence[float], num_rows: float) -> dict[str, float]:
        means = [ratio(total, num_rows) for total in sums]
        figures = {"precision": means[0], "recall": means[1], "f1": means[2], "f1_of_means": f1_of(means[0], means[1])}
        return figures | {f"{slot}_accuracy": mean for slot, mean in zip(slots, means[3:], strict=True)}

    predicted = set().union(*(pair[0] for pair in triples))
    gold = set().union(*(pair[1] for pair in triples))
    precision, recall = _best(_precision, predicted, gold), _best(_recall, predicted, gold)
    whole = {
        "collection_precision": precision,
        "collection_recall": recall,
        "collection_f1": f1_of(precision, recall),
    }
    for index, slot in enumerate(slots):
        names = _column(predicted, index), _column(gold, index)
        whole[f"collection_{slot}_f1"] = f1_of(_best(_precision, *names), _best(_recall, *names))
    return Counts(rows, derive, whole, count_matches(triples, _class_of_triple(schema)).classes)


def score_answers(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Accuracy, and macro F1 over the answers that stand in the gold or in a prediction."""
    return _only(_count_labels(schema, pairs, ()), ("accuracy", "macro_f1"))


def score_labels(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Micro and macro F1 over all labels of the schema, as multi-hot vectors, and the share of exact label sets."""
    return _count_labels(schema, pairs, next(iter(schema.slots.values())).choices)


def score_spans(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Mentions with the right label and both ends right; micro and macro F1 as seqeval's.

    What is predicted of a label that the annotators of an example did not look for counts nothing.
    """
    spans = [(_spans(pair.prediction.items, pair.example.labelled), _spans(pair.example.items)) for pair in pairs]
    spans += [(_spans(prediction.items), set()) for prediction in unknown]
    return _only(count_matches(spans, lambda span: span[0]), ("precision", "recall", "f1", "macro_f1"))


def are_right(schema: Schema, items: Sequence[Item], example: Example) -> list[bool]:
    """Whether each predicted item is one of an example's gold, as the task's metric compares them."""
    key = _KEYS.get(schema.score.metric, _plain_triples)
    gold = key(schema, example.items)
    return [bool(key(schema, [item]) & gold) for item in items]


def describe_texts(schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
    """Words per text, and the share of its word pairs that are different (1: nothing is repeated)."""
    rows = []
    for pair in pairs:
        words = " ".join(item.slots["text"] for item in pair.prediction.items).split()
        bigrams = list(pairwise(words))
        rows.append((float(len(words)), float(len(set(bigrams))), float(len(bigrams))))

    def derive(sums: Sequence[float], num_rows: float) -> dict[str, float]:
        return {"mean_words": ratio(sums[0], num_rows), "distinct_2": ratio(sums[1], sums[2])}

    return Counts(rows, derive)


RELATION_METRICS: dict[str, Metric] = {"exact": score_exact, "linked": score_linked, "hard_match": score_hard_match}
ANSWER_METRICS: dict[str, Metric] = {"accuracy": score_answers}
LABEL_METRICS: dict[str, Metric] = {"labels": score_labels}
TAG_METRICS: dict[str, Metric] = {"spans": score_spans}
TEXT_METRICS: dict[str, Metric] = {"text": describe_texts}


def body_of(name: str) -> str:
    """A name without the `(...)` at its end, normalised."""
    name = name.strip()
    return normalise(name[: name.rfind("(")] if _has_abbreviation(name) else name)


def abbreviation_of(name: str) -> str:
    """What stands in the `(...)` at the end of a name, normalised; the name itself where there is none."""
    name = name.strip()
    return normalise(name[name.rfind("(") + 1 : -1] if _has_abbreviation(name) else name)


def normalise(name: str) -> str:
    """Letters and digits only; a single last digit turned roman (`mao2` -> `maoII`); `-type` taken out."""
    name = name.strip()
    if len(name) > 2 and name[-1] in _ROMAN and not name[-2].isnumeric():
        name = name[:-1] + _ROMAN[name[-1]]
    return _NO_LETTER_OR_DIGIT.sub("", name.replace("-type", ""))


def _has_abbreviation(name: str) -> bool:
    return "(" in name and name.endswith(")")


def _best(measure: Callable[[set[Triple], set[Triple]], float], predicted: set[Triple], gold: set[Triple]) -> float:
    """The better of comparing bodies and comparing abbreviations."""
    return max(
        measure({tuple(map(form, names)) for names in predicted}, {tuple(map(form, names)) for names in gold})
        for form in (abbreviation_of, body_of)
    )


def _precision(predicted: set[Triple], gold: set[Triple]) -> float:
    return len(predicted & gold) / len(predicted) if predicted else float(predicted == gold)


def _recall(predicted: set[Triple], gold: set[Triple]) -> float:
    return len(predicted & gold) / len(gold) if gold else float(predicted == gold)


def _overlap(predicted: set[Triple], gold: set[Triple]) -> float:
    return len(predicted & gold) / len(predicted | gold) if gold else float(predicted == gold)


def _column(triples: set[Triple], index: int) -> set[Triple]:
    return {(names[index],) for names in triples}


def _plain_triples(schema: Schema, items: Iterable[Item]) -> set[Triple]:
    return {tuple(item.slots[slot].strip().lower().replace(" ", "") for slot in schema.slots) for item in items}


def _class_of_triple(schema: Schema) -> Callable[[Triple], str]:
    labels = [index for index, slot in enumerate(schema.slots.values()) if not slot.is_entity]
    return (lambda names: names[labels[0]]) if labels else (lambda _: "all")


def _linked(schema: Schema, items: Iterable[Item]) -> set[Triple]:
    return {tuple(item.ids.get(slot, NO_ID) for slot in schema.slots) for item in items}


def _label_spans(schema: Schema, items: Iterable[Item]) -> set[Triple]:
    return {(label, str(start), str(end)) for label, start, end in _spans(items)}


def _spans(items: Iterable[Item], labelled: Sequence[str] = ()) -> set[tuple[str, int, int]]:
    return {
        (item.slots["label"], *span)
        for item in items
        for span in item.spans["mention"]
        if not labelled or item.slots["label"] in labelled
    }


def _count_labels(schema: Schema, pairs: Sequence[Pair], classes: Sequence[str]) -> Counts:
    slot = next(iter(schema.slots))
    labels = [
        ({item.slots[slot] for item in pair.prediction.items}, {item.slots[slot] for item in pair.example.items})
        for pair in pairs
    ]
    return count_matches(labels, str, classes)


def _only(counts: Counts, names: Sequence[str], *, has_classes: bool = True) -> Counts:
    """The counts with these figures alone, and with its classes only where there are several."""

    def derive(sums: Sequence[float], num_rows: float) -> dict[str, float]:
        figures = counts.derive(sums, num_rows)
        return {name: figures[name] for name in names}

    classes = counts.classes if has_classes and len(counts.classes) > 1 else {}
    return Counts(counts.rows, derive, counts.whole, classes)


_KEYS: dict[str, Callable[[Schema, Iterable[Item]], set[Triple]]] = {"linked": _linked, "spans": _label_spans}
"""Metric -> what is compared of items, where it is not their names."""
