"""The kinds of tasks by name. A new kind is a class in a module of its own, and a line here."""

from collections.abc import Mapping

from biogpt.errors import ConfigError, suggest
from biogpt.tasks.kinds.answering import AnsweringKind
from biogpt.tasks.kinds.classification import ClassificationKind
from biogpt.tasks.kinds.generation import GenerationKind
from biogpt.tasks.kinds.kind import Kind
from biogpt.tasks.kinds.relation import RelationKind
from biogpt.tasks.kinds.tagging import TaggingKind

KINDS: Mapping[str, Kind] = {
    kind.name: kind for kind in (RelationKind(), AnsweringKind(), ClassificationKind(), TaggingKind(), GenerationKind())
}


def find_kind(name: str) -> Kind:
    """The kind of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in KINDS:
        raise ConfigError(f"unknown kind '{name}'.{suggest(name, KINDS)} Known: {', '.join(sorted(KINDS))}.")
    return KINDS[name]
