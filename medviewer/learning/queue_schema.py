"""The queue's database: tables, how it is opened, how an older one is brought up to date. SQLite in WAL mode.

Only `queue.py` imports this, late: SQLAlchemy takes a fifth of a second to import.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

#: Version of the tables below; written to `PRAGMA user_version`.
SCHEMA_VERSION = 1

#: What leads from one version to the next: version that is left -> statements. A backup is made before.
MIGRATIONS: dict[int, tuple[str, ...]] = {}

#: How long a program waits for another one's write.
BUSY_MS = 15_000

metadata = sa.MetaData()

cases = sa.Table(
    "cases",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("task", sa.Text, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("patient_hash", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("weight", sa.Float, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("sample", sa.Text, nullable=False),
    sa.Column("sample_sha256", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False, default=""),
    sqlite_autoincrement=True,
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("case", sa.Text, nullable=False, index=True),
    sa.Column("time", sa.Text, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False, default=""),
    sa.Column("note", sa.Text, nullable=False, default=""),
)

facts = sa.Table(
    "facts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def open_engine(path: Path, *, read_only: bool) -> sa.Engine:
    """An engine whose transactions begin at once: writers take their turn, nobody overwrites what he did not see."""

    def connect() -> sqlite3.Connection:
        if read_only:
            return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)
        return sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None)

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the "begin" event decides, not the driver
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def version_of(path: Path) -> int | None:
    """The version of the tables in a file, 0 for an empty database, None where there is no file."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(path, timeout=BUSY_MS / 1000)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def create_or_migrate(path: Path, engine: sa.Engine, on_backup: Callable[[Path], None]) -> None:
    """Make the tables, or bring those of an older version up to date after a backup.

    Args:
        path: the file.
        engine: opened for writing.
        on_backup: told where the backup lies.
    """
    if version_of(path) == SCHEMA_VERSION:
        return
    with engine.connect().execution_options(immediate=True) as connection, connection.begin():
        version = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
        if version == SCHEMA_VERSION:  # another program was quicker
            return
        if version > 0:
            on_backup(_backup(path, version))
            while version < SCHEMA_VERSION:
                for statement in MIGRATIONS[version]:
                    connection.exec_driver_sql(statement)
                version += 1
        else:
            metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")


def _backup(path: Path, version: int) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    copy = path.with_name(f"{path.stem}-schema{version}-{stamp}.sqlite3")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy
