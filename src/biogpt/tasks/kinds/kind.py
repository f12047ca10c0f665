"""Kinds: what differs between relations, answers, labels, tags and free text, behind one interface.

A kind has no state: one instance serves all its tasks, and every method takes the schema. It never imports torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from biogpt.errors import ConfigError, suggest
from biogpt.tasks.example import Example, Item, Prediction
from biogpt.tasks.metrics import Counts, Metric, Pair
from biogpt.tasks.schema import Schema
from biogpt.text.grammar import Grammar

Head = Literal["generation", "classification"]
Extracts = Literal["entities", "relations", "labels"]
ThresholdOf = Literal["", "items", "sequences"]


class Kind(ABC):
    """One kind of task."""

    name: ClassVar[str]
    """As in a schema's `kind`."""
    extracts: ClassVar[Extracts]
    """What an extraction of this kind consists of."""
    metrics: ClassVar[Mapping[str, Metric]]
    """The metrics of this kind, by name."""
    heads: ClassVar[tuple[Head, ...]] = ("generation",)
    """How a model can do it, the default first: it writes the target, or a head classifies the text or its words."""
    labels_words: ClassVar[bool] = False
    """A head labels each word, with an IOB tag, rather than the text as a whole."""
    reads_sentences: ClassVar[bool] = False
    """A document is read sentence by sentence, not as a whole."""
    has_template: ClassVar[bool] = True
    """The target is made of sentences with slots, which `parse` reads."""
    has_several_labels: ClassVar[bool] = False
    """Several labels may hold for one text."""
    needs_gold: ClassVar[bool] = True
    """An example without items has no answer to learn from; otherwise it says that there is nothing to be found."""
    has_augmentation: ClassVar[bool] = False
    """Fine-tuning can replace entities and reorder items: `entity_replacement`, `random_pair_epochs` and
    `shuffle_relations` of a recipe."""
    threshold_of: ClassVar[ThresholdOf] = ""
    """What a probability threshold decides: which of the items to keep, or, where it is not 0, which of all sequences
    that the grammar allows to give instead of one; nothing by default."""

    @abstractmethod
    def check_schema(self, schema: Schema) -> None:
        """Check that a schema is one of this kind.

        Raises:
            ConfigError: it is not.
        """

    @abstractmethod
    def target(self, schema: Schema, example: Example) -> str:
        """The text that a model is to write for an example."""

    def grammar(self, schema: Schema, example: Example) -> Grammar | None:
        """What a model may write for an example; None: anything."""
        return None

    @abstractmethod
    def parse(self, schema: Schema, text: str, example: Example) -> Prediction:
        """Read a completion. Never raises and never invents: what cannot be read is among the problems."""

    def count(self, schema: Schema, pairs: Sequence[Pair], unknown: Sequence[Prediction]) -> Counts:
        """Count by the schema's metric.

        Args:
            schema: the task's.
            pairs: each example with its prediction.
            unknown: predictions for examples that the gold lacks.
        """
        return self.metrics[schema.score.metric](schema, pairs, unknown)

    def head_labels(self, schema: Schema) -> list[str]:
        """The labels of a classification head, in the order of its outputs; none where the kind has no such head."""
        return []

    def gold_labels(self, schema: Schema, example: Example) -> list[str]:
        """The gold for such a head: a label for each word and group of labels, or all labels of the text."""
        return []

    def num_groups(self, schema: Schema) -> int:
        """Into how many groups of as many labels a head's outputs fall, each of which is decided for itself."""
        return 1

    def role_slots(self, schema: Schema) -> tuple[str, ...]:
        """The slots whose entities take part in a relation."""
        return ()

    def entity_types(self, schema: Schema) -> tuple[str, ...]:
        """The types of the entities that an extraction has."""
        return ()

    def split_row(self, row: Mapping[str, str]) -> list[dict[str, str]]:
        """The slots of each item in one row of a table, given as slot -> value."""
        return [dict(row)]

    def read_labels(self, schema: Schema, labels: Sequence[Any]) -> tuple[Item, ...] | None:
        """The items for labels that a file of predictions gives as such; None where they are not the task's labels."""
        return None

    def make_item(
        self, schema: Schema, slots: Mapping[str, str], record: Mapping[str, Any], example: Example, place: str
    ) -> Item:
        """An item that a file of predictions gives as such.

        Args:
            schema: the task's.
            slots: a checked value for each slot.
            record: all that the file says of the item.
            example: what the item was predicted for.
            place: file and line, for error messages.

        Raises:
            DataError: the record lacks something that the kind needs.
        """
        return Item(slots)

    def check_metric(self, schema: Schema) -> None:
        """Check that the schema's metric is one of this kind's.

        Raises:
            ConfigError: it is not.
        """
        metric = schema.score.metric
        if metric not in self.metrics:
            raise ConfigError(
                f"The task '{schema.name}' has the metric '{metric}', which the kind '{self.name}' lacks."
                f"{suggest(metric, self.metrics)} Known: {', '.join(self.metrics)}."
            )
