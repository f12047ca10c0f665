"""Templates: HTML made by Jinja2 from `html/templates`, where all values are escaped."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE_PATH = Path(__file__).with_name("html") / "templates"

_NOT_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def render(name: str, **values: Any) -> str:
    """Fill in a template.

    Args:
        name: of its file.
        values: what it uses. Strings are text, never markup; what HTML cannot hold becomes U+FFFD.
    """
    return _environment().get_template(name).render(values)


def format_score(score: float | None) -> str:
    """A score in two digits; empty where it is not known."""
    if score is None:
        return ""
    return "<0.01" if 0 < score < 0.005 else f"{score:.2f}"


@functools.cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not before something is shown

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_PATH),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["score"] = format_score
    return environment


def _clean(value: Any) -> Any:
    return _NOT_HTML.sub("\ufffd", value) if type(value) is str else value
