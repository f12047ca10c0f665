"""Plan: from the index of all files to what a run has to do: which records to mine, and which documents are void.

Of each PMID the newest version wins, and of a version the record of the newest file, whatever the order in which files
came. A withdrawal removes what its own file and older ones have. The plan is a function of the index and of the
collection before the run, so a run that was killed finds the same one again. DuckDB does it, on disk where need be.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biogpt.mining.dataset import Collection, quote, to_parquet
from biogpt.mining.sources import SourceFile

SHARD_STEP = 32
"""Shards have a multiple of so many documents: models read as many together, with the usual batch size."""
MAX_SHARD = 2048
"""Documents of a shard: what a killed worker loses at most."""
SHARDS_PER_WORKER = 64
"""At the end workers wait for the one that took the last shard: so many make this short beside the run."""

_WINNERS = """
CREATE TEMP TABLE winners AS
WITH records AS (
    SELECT i.document_id, i.version, i.file, i.ordinal, i.is_deletion, i.is_readable, f.rank
    FROM read_parquet('{directory}/index/*.parquet') AS i JOIN files AS f ON i.file = f.file
    WHERE i.document_id <> ''
), withdrawn AS (
    SELECT document_id, version, max(rank) AS rank FROM records WHERE is_deletion GROUP BY document_id, version
)
SELECT r.document_id, r.version, r.file, r.ordinal, r.is_readable FROM records AS r
WHERE NOT r.is_deletion AND NOT EXISTS (
    SELECT 1 FROM withdrawn AS w
    WHERE w.document_id = r.document_id AND (w.version IS NULL OR w.version = r.version) AND w.rank >= r.rank
)
QUALIFY row_number() OVER (PARTITION BY r.document_id ORDER BY r.version DESC, r.rank DESC, r.ordinal DESC) = 1
"""
_TO_MINE = """
CREATE TEMP TABLE to_mine AS
SELECT w.document_id, w.version, w.file, w.ordinal, d.document_id IS NOT NULL AS is_update, f.unit
FROM winners AS w JOIN files AS f ON w.file = f.file LEFT JOIN documents AS d ON w.document_id = d.document_id
WHERE w.is_readable AND (d.document_id IS NULL OR d.file <> w.file OR d.ordinal <> w.ordinal)
ORDER BY f.unit, w.file, w.ordinal
"""
_WITHDRAWN = """
SELECT d.document_id, CASE WHEN w.document_id IS NULL THEN 'deleted' ELSE 'no text' END AS reason
FROM documents AS d LEFT JOIN winners AS w ON d.document_id = w.document_id
WHERE w.document_id IS NULL OR NOT w.is_readable ORDER BY d.document_id
"""


@dataclass(frozen=True)
class UnitPlan:
    """What is to be mined of one unit: `winners` is a Parquet file of ids, versions, files, ordinals and updates."""

    number: int
    files: list[dict[str, Any]]
    num_documents: int
    winners: bytes


class Plan:
    """What a run has to do.

    Args:
        collection: with the index of this run and of all before it.
        run: the number of the run.
        units: by number, the files that are read together, of all runs.
    """

    def __init__(self, collection: Collection, run: int, units: Mapping[int, Sequence[SourceFile]]) -> None:
        self._units = units
        self._connection = collection.connect(before_run=run)
        # A file that took the place of one with the same name takes the place of its records, too.
        latest: dict[str, SourceFile] = {}
        for source in sorted((source for files in units.values() for source in files), key=lambda one: one.number):
            latest[source.source] = source
        unit_of = {source.number: number for number, files in units.items() for source in files}
        ranked = sorted(latest.values(), key=lambda source: source.order)
        rows = [(source.number, rank, unit_of[source.number]) for rank, source in enumerate(ranked)]
        self._connection.execute("CREATE TEMP TABLE files (file INTEGER, rank INTEGER, unit INTEGER)")
        for first in range(0, len(rows), 1000):
            values = ", ".join(f"({file}, {rank}, {unit})" for file, rank, unit in rows[first : first + 1000])
            self._connection.execute(f"INSERT INTO files VALUES {values}")
        self._connection.execute(_WINNERS.format(directory=quote(str(collection.directory))[1:-1]))
        self._connection.execute(_TO_MINE)
        counted = self._connection.execute("SELECT unit, count(*) FROM to_mine GROUP BY unit ORDER BY unit").fetchall()
        self.counts: dict[int, int] = dict(counted)
        """Documents to mine, by the number of their unit."""

    @property
    def num_documents(self) -> int:
        """How many documents are to be mined."""
        return sum(self.counts.values())

    def withdrawn(self) -> list[tuple[str, str]]:
        """The documents whose rows are void without new ones, each with the reason."""
        rows: list[tuple[str, str]] = self._connection.execute(_WITHDRAWN).fetchall()
        return rows

    def units(self) -> Iterator[UnitPlan]:
        """What is to be mined, unit by unit."""
        for number, num_documents in self.counts.items():
            table = self._connection.sql(
                "SELECT document_id, version, file, ordinal, is_update FROM to_mine "
                f"WHERE unit = {number:d} ORDER BY file, ordinal"
            ).to_arrow_table()
            used = set(table.column("file").to_pylist())
            files = [source.to_dict() for source in self._units[number] if source.number in used]
            yield UnitPlan(number, files, num_documents, _packed(table))


def choose_shard_size(num_documents: int, workers: int) -> int:
    """Documents of a shard: small enough that workers end at about the same time, large enough that files are few."""
    num_steps = -(-num_documents // (workers * SHARDS_PER_WORKER * SHARD_STEP))
    return max(SHARD_STEP, min(MAX_SHARD, num_steps * SHARD_STEP))


def tombstones(shard: str, run: int, withdrawn: Sequence[tuple[str, str]]) -> bytes:
    """The Parquet file of tombstones for documents that are gone."""
    return to_parquet(
        "tombstones",
        [{"document_id": name, "shard": shard, "run": run, "reason": reason} for name, reason in withdrawn],
    )


def _packed(table: Any) -> bytes:
    import io

    import pyarrow.parquet as pq

    packed = io.BytesIO()
    pq.write_table(table, packed, compression="zstd")
    return packed.getvalue()
