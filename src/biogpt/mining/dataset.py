"""The dataset of a mined collection: its folders, the schema of each table, how a shard is committed, what is current.

    DIR/
      run.json                  what was asked: tasks, models with hashes and thresholds; what each run did
      current.sql               the views below, for the `duckdb` program
      runs/0001/                the files of a run, cut into units, and whether the run is complete
      index/                    per unit of files: PMID, version and deletion of every record
      documents/  entities/  relations/  labels/  tombstones/  errors/      Parquet, one file per shard
      manifest/SHARD.json       the commit of a shard: rows and bytes of its files

A shard's Parquet files are renamed into place first, its manifest entry last: rows count only where the entry is there.
Names are made of the run, the unit and the slice, so a shard that is made twice replaces itself. A later run never
changes a shard; its tombstones say from which run on a document's older rows are void. Knows neither Ray nor models.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biogpt.config import check_format_version
from biogpt.errors import DataError, InputError, MissingExtraError
from biogpt.files import read_json, write_json, writing_atomically

FORMAT_VERSION = 1
RUN_FILE = "run.json"
SQL_FILE = "current.sql"
TABLES = ("documents", "entities", "relations", "labels")
"""The tables that have rows of one document under `document_id`."""
PARTS = (*TABLES, "tombstones", "errors")
"""Every folder of Parquet that a shard may have a file in."""
EXTRA = "mine"


def require_extra() -> None:
    """Make sure that what mining needs is installed.

    Raises:
        MissingExtraError: ray, pyarrow or duckdb is missing.
    """
    import importlib.util

    for module in ("ray", "pyarrow", "duckdb"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, EXTRA)


def schema_of(table: str) -> Any:
    """The schema of a table's Parquet files, described in `docs/mine.md`.

    Args:
        table: one of `PARTS`, or `index`.

    Returns:
        A `pyarrow.Schema`.
    """
    import pyarrow as pa

    text, number, words = pa.string(), pa.int32(), pa.list_(pa.string())
    named = pa.struct([("role", text), ("type", text), ("name", text), ("identifier", text), ("spans", _spans())])
    flat = [(f"{end}_{name}", text) for end in ("head", "tail") for name in ("role", "type", "name", "identifier")]
    rows = [("document_id", text), ("shard", text), ("run", number)]
    fields: dict[str, list[tuple[str, Any]]] = {
        "documents": [
            *rows,
            *(("id", text), ("pmid", text), ("version", number), ("source", text), ("ordinal", number)),
            *(("file", number), ("title", text), ("text", text), ("year", pa.int16()), ("journal", text)),
            *(("doi", text), ("pmcid", text), ("language", text), ("mesh_headings", words)),
            *(("publication_types", words), ("is_retracted", pa.bool_()), ("warnings", words)),
        ],
        "entities": [
            *rows,
            *(("task", text), ("entity", number), ("type", text), ("name", text), ("identifier", text)),
            *(("mention", text), ("start", number), ("end", number), ("score", pa.float32())),
        ],
        "relations": [
            *rows,
            *(("task", text), ("relation", number), ("type", text), *flat),
            *(("arguments", pa.list_(named)), ("values", pa.map_(text, text)), ("score", pa.float32())),
        ],
        "labels": [*rows, ("task", text), ("slot", text), ("value", text), ("score", pa.float32())],
        "tombstones": [*rows, ("reason", text)],
        "errors": [
            *(("shard", text), ("run", number), ("source", text), ("place", text)),
            *(("document_id", text), ("stage", text), ("task", text), ("reason", text)),
        ],
        "index": [
            *(("document_id", text), ("version", number), ("file", number), ("ordinal", number)),
            *(("is_deletion", pa.bool_()), ("is_readable", pa.bool_())),
        ],
    }
    return pa.schema([pa.field(name, kind) for name, kind in fields[table]])


def _spans() -> Any:
    import pyarrow as pa

    return pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())]))


def to_parquet(table: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Rows as the bytes of a Parquet file, packed with zstd; a column that a row lacks is null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    packed = io.BytesIO()
    made = pa.Table.from_pylist(list(rows), schema=schema_of(table))
    pq.write_table(made, packed, compression="zstd", write_statistics=True)
    return packed.getvalue()


class Collection:
    """A directory of mined documents, and what is committed in it.

    Args:
        directory: made by `create` where it is not there.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory: Path = Path(directory)

    @property
    def exists(self) -> bool:
        """Whether a run has begun here."""
        return (self.directory / RUN_FILE).is_file()

    def check(self) -> None:
        """Make sure that this is a collection of this version.

        Raises:
            InputError: it is none, or of a later version.
        """
        if not self.exists:
            raise InputError(
                f"{self.directory} has no {RUN_FILE}. Expected a directory that 'biogpt mine --output' made; check the "
                "path."
            )
        path = self.directory / RUN_FILE
        check_format_version(self.read_run(), FORMAT_VERSION, path, is_required=True, error=InputError)

    def create(self, settings: Mapping[str, Any]) -> None:
        """Make the folders and `run.json`; of a collection that is there, make sure that the settings are the same.

        Raises:
            InputError: the directory holds something else, was begun with other settings, or cannot be written.
        """
        if self.exists:
            self.check()
            begun = self.read_run()["settings"]
            wanted = json.loads(json.dumps(settings))
            for name in dict.fromkeys((*begun, *wanted)):
                if begun.get(name) != wanted.get(name):
                    place, old, new = _first_difference(name, begun.get(name), wanted.get(name))
                    raise InputError(
                        f"{self.directory} was begun with {place} {_show(old)}, not {_show(new)}. Give the same to go "
                        "on, or another directory to begin anew."
                    )
            return
        if self.directory.exists() and (not self.directory.is_dir() or any(self.directory.iterdir())):
            raise InputError(
                f"{self.directory} is there and holds something else. Expected a new or an empty directory."
            )
        try:
            for part in (*PARTS, "index", "manifest", "runs"):
                (self.directory / part).mkdir(parents=True, exist_ok=True)
            for part in PARTS:  # a glob of Parquet files must never be empty
                self._write(self.directory / part / "0000-schema.parquet", to_parquet(part, []))
            (self.directory / SQL_FILE).write_text(views_sql(), encoding="utf-8")
            write_json(self.directory / RUN_FILE, {"format_version": FORMAT_VERSION, "settings": settings, "runs": []})
        except OSError as error:
            raise InputError(
                f"Cannot write {self.directory}: {error.strerror}. Expected a writable directory."
            ) from error

    def read_run(self) -> dict[str, Any]:
        """The content of `run.json`."""
        content = read_json(self.directory / RUN_FILE)
        if not isinstance(content, dict):
            raise DataError(f"{self.directory / RUN_FILE} is damaged. Expected an object.")
        return content

    def note_run(self, entry: Mapping[str, Any]) -> None:
        """Add what a run did to `run.json`, in the place of what the same run noted before."""
        content = self.read_run()
        content["runs"] = [*(one for one in content["runs"] if one["run"] != entry["run"]), dict(entry)]
        write_json(self.directory / RUN_FILE, content)

    def committed(self) -> set[str]:
        """The names of all committed shards."""
        return {path.stem for path in (self.directory / "manifest").glob("*.json")}

    def commit(self, shard: str, files: Mapping[str, bytes], **facts: Any) -> None:
        """Commit a shard: its files first, its entry in the manifest last.

        Args:
            shard: its name.
            files: Parquet files by the name of the part; a part without rows has none.
            facts: what else its entry says.
        """
        entry: dict[str, Any] = {"shard": shard, **facts, "files": {}}
        for part, content in files.items():
            self._write(self.directory / part / f"{shard}.parquet", content)
            entry["files"][part] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        write_json(self.directory / "manifest" / f"{shard}.json", entry, indent=None)

    def _write(self, path: Path, content: bytes) -> None:
        with writing_atomically(path) as file:
            file.write(content)

    def connect(self, before_run: int | None = None) -> Any:
        """A DuckDB connection with views of the rows that count now: one for each of `TABLES`, and `errors`.

        Args:
            before_run: show the collection as it was before this run.

        Returns:
            A `duckdb.DuckDBPyConnection` that never loads or downloads an extension by itself.
        """
        connection = open_duckdb(self.directory)
        connection.execute(views_sql(str(self.directory), before_run))
        return connection

    def has_records(self) -> bool:
        """Whether any file had a record with an id; one without a text and a deletion are some, too."""
        index = str(self.directory / "index" / "*.parquet").replace("'", "''")
        query = f"SELECT 1 FROM read_parquet('{index}') WHERE document_id <> '' LIMIT 1"
        return self.connect().execute(query).fetchone() is not None


def open_duckdb(temporary: Path | None = None) -> Any:
    """A DuckDB in memory that never loads or downloads an extension by itself."""
    import duckdb

    settings: dict[str, Any] = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    if temporary is not None:
        settings["temp_directory"] = str(temporary / ".duckdb")
    connection = duckdb.connect(config=settings)
    connection.execute("SET enable_progress_bar = false")
    return connection


def views_sql(directory: str = "", before_run: int | None = None) -> str:
    """The SQL of the views that show a collection's current rows.

    Args:
        directory: of the collection; empty for SQL that runs inside it.
        before_run: show the collection as it was before this run.
    """
    prefix = quote(f"{directory}/" if directory else "")[1:-1]
    earlier = "" if before_run is None else f" AND run < {before_run:d}"
    lines = [
        "-- The rows that count now: committed, and not void by a later run. Run it here: duckdb -init current.sql",
        "CREATE OR REPLACE TEMP VIEW committed AS",
        f"  SELECT parse_filename(file, true) AS shard FROM glob('{prefix}manifest/*.json');",
        "CREATE OR REPLACE TEMP VIEW superseded AS",
        f"  SELECT document_id, max(run) AS run FROM read_parquet('{prefix}tombstones/*.parquet')",
        f"  WHERE shard IN (SELECT shard FROM committed){earlier} GROUP BY document_id;",
    ]
    for table in TABLES:
        lines += [
            f"CREATE OR REPLACE TEMP VIEW {table} AS",
            f"  SELECT * FROM read_parquet('{prefix}{table}/*.parquet') AS t",
            f"  WHERE shard IN (SELECT shard FROM committed){earlier} AND NOT EXISTS",
            "    (SELECT 1 FROM superseded AS s WHERE s.document_id = t.document_id AND t.run < s.run);",
        ]
    lines += [
        "CREATE OR REPLACE TEMP VIEW errors AS",
        f"  SELECT * FROM read_parquet('{prefix}errors/*.parquet')",
        f"  WHERE shard IN (SELECT shard FROM committed){earlier};",
    ]
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    """A text as a literal of SQL."""
    return "'" + text.replace("'", "''") + "'"


def _first_difference(place: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """Where two settings differ, and the values there: in one key of one of as many annotators, or as a whole."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        index = next(index for index, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
        return _first_difference(f"{place}[{index}]", old[index], new[index])
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(key for key in (*old, *new) if old.get(key) != new.get(key))
        return _first_difference(f"{place}.{key}", old.get(key), new.get(key))
    return place, old, new


def _show(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
