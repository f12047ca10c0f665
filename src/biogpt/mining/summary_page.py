"""The page of a summary: both tables with filters, links to PubMed, and a picture of the strongest pairs.

One file that asks for nothing from elsewhere: its content security policy admits only the style and the script that are
in it. Everything is escaped by Jinja2. Without the script the tables are there, unfiltered.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

import biogpt
from biogpt.mining.network import HEIGHT, WIDTH, lay_out
from biogpt.mining.summary_tables import ENTITIES, PAIRS, Table, strongest

NUM_IN_PICTURE = 40
_HUES = (210, 8, 130, 285, 38, 180, 330, 90, 250, 60)
"""Degrees on the colour wheel, for the types in their order; neighbours are far apart."""
_PMID = re.compile(r"[0-9]{1,8}")
_DIRECTORY = Path(__file__).parent


def render_page(settings: Mapping[str, Any], num_documents: int, tables: Sequence[Table]) -> str:
    """The page.

    Args:
        settings: of the collection, as `run.json` has them.
        num_documents: of the collection.
        tables: entities and pairs.
    """
    by_name = {table.name: table for table in tables}
    entities, pairs = list(by_name[ENTITIES].dicts()), list(by_name[PAIRS].dicts())
    types = list(dict.fromkeys(row["type"] for row in entities))
    types += [kind for row in pairs for kind in (row["head_type"], row["tail_type"]) if kind not in types]
    shown = strongest(pairs, NUM_IN_PICTURE)
    nodes, edges = lay_out(shown)
    years = [row[name] for row in (*entities, *pairs) for name in ("first_year", "last_year") if row[name]]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_DIRECTORY),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pubmed"] = lambda example: _PMID.fullmatch(example) is not None
    style, script = ((_DIRECTORY / f"summary.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return environment.get_template("summary.html.jinja").render(
        annotators=settings["annotators"],
        num_documents=num_documents,
        num_rows={name: table.num_rows for name, table in by_name.items()},
        entities=entities,
        pairs=pairs,
        relations=sorted({row["relation"] for row in pairs}),
        hues={kind: _HUES[number % len(_HUES)] for number, kind in enumerate(dict.fromkeys(types))},
        nodes=nodes,
        edges=[(edge, pairs.index(shown[edge.row])) for edge in edges],
        width=WIDTH,
        height=HEIGHT,
        years=(min(years), max(years)) if years else None,
        version=biogpt.__version__,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
