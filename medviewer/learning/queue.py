"""The correction queue: corrected cases on their way into the next training.

States: `pending` (will be trained on), `training` (a run has it), `used` (part of a champion), `held-out` (never
trained on), `returned` (sent back to its author). Whether a patient is held out is decided when the first case of
theirs enters, by a keyed hash of the patient's id, before anybody knows how large the correction is, and never changes.

Each case carries its training sample in a file of its own, so that training needs neither the study nor the window.
Several programs may use one queue at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer import places
from medviewer.annotation.revision import Verdict
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats.atomic import write_whole

if TYPE_CHECKING:
    import sqlalchemy as sa

_log = logging.getLogger(__name__)

#: One patient in so many is held out.
HELD_OUT_ONE_IN = 5
#: What a label that nobody touched counts in training: the model made it itself.
WEAK_WEIGHT = 0.3

Sample = Mapping[str, NDArray[Any]]


class State(StrEnum):
    """Where a case stands."""

    PENDING = "pending"
    TRAINING = "training"
    USED = "used"
    HELD_OUT = "held-out"
    RETURNED = "returned"


#: From which state a case may go where. Nothing leaves or enters `held-out`.
MOVES: dict[State, frozenset[State]] = {
    State.PENDING: frozenset({State.TRAINING, State.RETURNED}),
    State.TRAINING: frozenset({State.PENDING, State.USED}),
    State.USED: frozenset({State.PENDING}),
    State.HELD_OUT: frozenset(),
    State.RETURNED: frozenset({State.PENDING}),
}


@dataclass(frozen=True, slots=True)
class QueueCase:
    """One case of the queue.

    Attributes:
        id: its name.
        task: the task that it teaches.
        state: where it stands.
        revision: the revision that it is made from; "" for a case of a training set.
        patient_hash: keyed hash of the patient's id; the id itself is not stored here.
        author: whose work it is.
        time: when it entered (UTC, ISO 8601).
        verdict: what the person made of the suggestion.
        weight: what it counts in training: 1, or `WEAK_WEIGHT` for an untouched suggestion.
        source: where it comes from, for people.
        subject: what was drawn (stack and lesion): a newer revision of it takes the place of a pending one.
    """

    id: str
    task: str
    state: State
    revision: str
    patient_hash: str
    author: str
    time: str
    verdict: str = Verdict.CORRECTED
    weight: float = 1.0
    source: str = ""
    subject: str = ""

    def as_json(self) -> dict[str, Any]:
        """The keys of the command line's contract, and more."""
        return {**asdict(self), "state": str(self.state)}


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a case's state."""

    time: str
    before: str
    after: str
    run: str
    note: str


@dataclass(frozen=True, slots=True)
class NewCase:
    """What enters the queue.

    Attributes:
        task: the task that it teaches.
        patient_id: as in the study; only its keyed hash is stored.
        sample: arrays of the training sample.
        subject: what was drawn; "" never replaces another case.
        author, revision, verdict, source: as in `QueueCase`.
    """

    task: str
    patient_id: str
    sample: Sample
    subject: str = ""
    author: str = ""
    revision: str = ""
    verdict: Verdict = Verdict.CORRECTED
    source: str = ""


class CorrectionQueue:
    """The queue in a folder: `queue.sqlite3`, `samples/` and the secret of the patient hash.

    Args:
        folder: the user's data folder by default.

    Raises:
        BadInput: the database is damaged.
        Refused: the secret does not belong to it, so held-out patients would no longer be recognised.
        SaveFailed: the folder cannot be written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        from medviewer.learning import queue_schema as schema

        self.folder = places.data_folder() / "queue" if folder is None else folder
        self.path = self.folder / "queue.sqlite3"
        with self._told():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            version = schema.version_of(self.path)
            self.read_only = version is not None and version > schema.SCHEMA_VERSION
            self._engine = schema.open_engine(self.path, read_only=self.read_only)
            if not self.read_only:
                schema.create_or_migrate(self.path, self._engine, self._on_backup)
            self._secret = self._read_secret()
            self._check_secret()
            if not self.read_only:
                self._take_back_from_the_dead()

    @property
    def why_read_only(self) -> str | None:
        """The sentence for a queue of a newer program, or None."""
        if not self.read_only:
            return None
        return (
            f"the queue ({self.path}) was written by a newer medviewer: it is shown and not changed; update this one."
        )

    # -- patients --------------------------------------------------------------------------------------------------

    def patient_hash(self, patient_id: str) -> str:
        """HMAC-SHA256 of a patient's id with this user's secret, hexadecimal."""
        return hmac.new(self._secret, patient_id.strip().encode(), hashlib.sha256).hexdigest()

    def is_held_out(self, patient_id: str) -> bool:
        """True for one patient in five: never trained on."""
        return int(self.patient_hash(patient_id), 16) % HELD_OUT_ONE_IN == 0

    # -- reading ---------------------------------------------------------------------------------------------------

    def cases(self, task: str | None = None, state: State | str | None = None) -> tuple[QueueCase, ...]:
        """Cases (of a task, in a state), the oldest first.

        Raises:
            BadInput: there is no such state.
        """
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import cases

        query = sa.select(cases).order_by(cases.c.number)
        if task is not None:
            query = query.where(cases.c.task == task)
        if state is not None:
            query = query.where(cases.c.state == str(_state(state)))
        with self._reading() as connection:
            return tuple(_case(row) for row in connection.execute(query).mappings())

    def get(self, case_id: str) -> QueueCase:
        """One case.

        Raises:
            BadInput: there is none of this name.
        """
        with self._reading() as connection:
            return _case(self._row(connection, case_id))

    def sample(self, case_id: str) -> dict[str, NDArray[Any]]:
        """The arrays of a case's training sample, and its `weight`.

        Raises:
            BadInput: there is none of this name, or its file is missing or damaged.
        """
        with self._reading() as connection:
            row = self._row(connection, case_id)
        path = self._samples / str(row["sample"])
        try:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest() != row["sample_sha256"]:
                raise ValueError("checksum")
            with np.load(io.BytesIO(data), allow_pickle=False) as packed:
                arrays = {name: packed[name] for name in packed.files}
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(
                f"the training sample of case {case_id} is damaged",
                path=path,
                remedy="remove the case and queue it again",
            ) from error
        return {**arrays, "weight": np.asarray(float(row["weight"]))}

    def events(self, case_id: str) -> tuple[Event, ...]:
        """What happened to a case, the oldest first."""
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import events

        query = sa.select(events).where(events.c.case == case_id).order_by(events.c.number)
        with self._reading() as connection:
            self._row(connection, case_id)
            rows = connection.execute(query).mappings().all()
        return tuple(Event(r["time"], r["before"], r["after"], r["run"], r["note"]) for r in rows)

    def counts(self, task: str | None = None) -> dict[State, int]:
        """How many cases stand in each state."""
        found = dict.fromkeys(State, 0)
        for case in self.cases(task):
            found[case.state] += 1
        return found

    # -- changing --------------------------------------------------------------------------------------------------

    def add(self, case: NewCase) -> QueueCase:
        """Add a case: `held-out` if its patient is, else `pending`.

        A newer revision of the same subject takes the place of the case that waits (or is held out); one that a run has
        or had stays, and the new revision stands beside it.

        Raises:
            BadInput: no patient id, no author's work in it, or the sample is empty.
            Refused: the queue is read-only.
            SaveFailed: full disk; nothing was added.
        """
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import cases

        if not case.patient_id.strip():
            raise BadInput(
                "the study has no patient ID, so its patient cannot be kept out of training", remedy="add one"
            )
        if case.verdict is Verdict.REJECTED:
            raise BadInput("a rejected suggestion with nothing drawn in its place teaches no outline")
        state = State.HELD_OUT if self.is_held_out(case.patient_id) else State.PENDING
        patient = self.patient_hash(case.patient_id)
        weight = WEAK_WEIGHT if case.verdict is Verdict.UNTOUCHED else 1.0
        self._check_writable()
        name, digest = self._store_sample(case.sample)
        values = {
            "task": case.task,
            "state": str(state),
            "subject": case.subject,
            "revision": case.revision,
            "patient_hash": patient,
            "author": case.author,
            "time": _now(),
            "verdict": str(case.verdict),
            "weight": weight,
            "source": case.source,
            "sample": name,
            "sample_sha256": digest,
            "owner": "",
        }
        replaced = ""
        try:
            with self._writing() as connection:
                waiting = None
                if case.subject:
                    waiting = (
                        connection.execute(
                            sa.select(cases).where(
                                cases.c.task == case.task,
                                cases.c.subject == case.subject,
                                cases.c.patient_hash == patient,
                                cases.c.state.in_([State.PENDING, State.RETURNED, State.HELD_OUT]),
                            )
                        )
                        .mappings()
                        .first()
                    )
                if waiting is not None:
                    case_id, replaced = str(waiting["id"]), str(waiting["sample"])
                    connection.execute(sa.update(cases).where(cases.c.id == case_id).values(values))
                    note = f"revision {case.revision or '-'} in place of {waiting['revision'] or '-'}"
                    self._log(connection, case_id, str(waiting["state"]), str(state), note=note)
                else:
                    token = secrets.token_hex(4)
                    number = connection.execute(sa.insert(cases).values(**values, id=token)).inserted_primary_key
                    assert number is not None
                    case_id = f"case-{int(number[0]):05d}"
                    connection.execute(sa.update(cases).where(cases.c.id == token).values(id=case_id))
                    self._log(connection, case_id, "", str(state))
        except BaseException:
            (self._samples / name).unlink(missing_ok=True)
            raise
        if replaced:
            (self._samples / replaced).unlink(missing_ok=True)
        return self.get(case_id)

    def set_state(self, case_ids: Sequence[str], state: State | str, *, run: str = "", note: str = "") -> None:
        """Move cases, all or none. Cases that a run takes belong to this process until they are moved on.

        Args:
            case_ids: which.
            state: whereto.
            run: the training run concerned.
            note: why, for people ("returned": what is to be done).

        Raises:
            BadInput: an unknown case or state.
            Refused: a move that is not allowed (held out, or another program was quicker), or a read-only queue.
        """
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import cases

        after = _state(state)
        owner = _this_process() if after is State.TRAINING else ""
        if not case_ids:
            return
        with self._writing() as connection:
            for case_id in case_ids:
                before = State(self._row(connection, case_id)["state"])
                if before is after:
                    if after is State.TRAINING:
                        raise Refused(f"case {case_id} is in training already", remedy="wait for the other run")
                    continue
                if after not in MOVES[before]:
                    raise Refused(f"case {case_id} is {before} and cannot become {after}")
                connection.execute(sa.update(cases).where(cases.c.id == case_id).values(state=str(after), owner=owner))
                self._log(connection, case_id, str(before), str(after), run=run, note=note)

    def remove(self, case_ids: Sequence[str]) -> None:
        """Remove cases with their samples and their story, all or none.

        Raises:
            BadInput: an unknown case. Refused: one of them is in training, or a read-only queue.
        """
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import cases, events

        files: list[str] = []
        with self._writing() as connection:
            for case_id in case_ids:
                row = self._row(connection, case_id)
                if row["state"] == State.TRAINING:
                    raise Refused(f"case {case_id} is in training", remedy="cancel the training first")
                files.append(str(row["sample"]))
                connection.execute(sa.delete(cases).where(cases.c.id == case_id))
                connection.execute(sa.delete(events).where(events.c.case == case_id))
        for name in files:
            (self._samples / name).unlink(missing_ok=True)

    # -- beneath ---------------------------------------------------------------------------------------------------

    @property
    def _samples(self) -> Path:
        return self.folder / "samples"

    def _store_sample(self, sample: Sample) -> tuple[str, str]:
        if not sample:
            raise BadInput("the case has no training sample")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in sample.items()})  # type: ignore[arg-type]
        data = buffer.getvalue()
        name = f"{secrets.token_hex(8)}.npz"
        write_whole(self._samples / name, data)
        return name, hashlib.sha256(data).hexdigest()

    def _row(self, connection: sa.Connection, case_id: str) -> Mapping[str, Any]:
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import cases

        row = connection.execute(sa.select(cases).where(cases.c.id == case_id)).mappings().first()
        if row is None:
            raise BadInput(f"there is no case {case_id!r} in the queue", remedy="see `medviewer queue list`")
        return dict(row)

    def _log(
        self, connection: sa.Connection, case_id: str, before: str, after: str, *, run: str = "", note: str = ""
    ) -> None:
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import events

        values = {"case": case_id, "time": _now(), "before": before, "after": after, "run": run, "note": note}
        connection.execute(sa.insert(events).values(values))

    def _read_secret(self) -> bytes:
        """The secret of the patient hash, made once; a file that only this user may read."""
        path = self.folder / "secret.key"
        if not path.exists() and not self.read_only:
            with contextlib.suppress(FileExistsError):
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    os.write(handle, secrets.token_bytes(32))
                    os.fsync(handle)
                finally:
                    os.close(handle)
        for _ in range(50):  # another program may be writing it
            data = path.read_bytes() if path.exists() else b""
            if len(data) == 32:
                return data
            time.sleep(0.02)
        raise Refused("the queue's secret is missing or damaged", path=path, remedy="restore it from a backup")

    def _check_secret(self) -> None:
        """The secret must be the one that the stored hashes were made with."""
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import facts

        mark = self.patient_hash("the secret of this queue")
        query = sa.select(facts.c.value).where(facts.c.name == "secret")
        with self._reading() as connection:
            known = connection.execute(query).scalar()
        if known is None and not self.read_only:
            with self._writing() as connection:
                known = connection.execute(query).scalar()
                if known is None:
                    connection.execute(sa.insert(facts).values(name="secret", value=mark))
                    known = mark
        if known != mark:
            raise Refused(
                "the queue's secret is not the one that its patients were hashed with",
                path=self.folder / "secret.key",
                remedy="restore the old one; without it nobody can tell who is held out",
            )

    def _take_back_from_the_dead(self) -> None:
        """Cases of a training whose process died go back to pending."""
        import sqlalchemy as sa

        from medviewer.learning.queue_schema import cases

        query = sa.select(cases.c.id, cases.c.owner).where(cases.c.state == str(State.TRAINING))
        with self._reading() as connection:
            taken = [(str(r.id), str(r.owner)) for r in connection.execute(query)]
        dead = {case_id for case_id, owner in taken if not _is_alive(owner)}
        if not dead:
            return
        with self._writing() as connection:
            for case_id in sorted(dead):
                row = self._row(connection, case_id)
                if row["state"] == State.TRAINING and not _is_alive(str(row["owner"])):
                    values = {"state": str(State.PENDING), "owner": ""}
                    connection.execute(sa.update(cases).where(cases.c.id == case_id).values(values))
                    note = "the training's process is gone"
                    self._log(connection, case_id, str(State.TRAINING), str(State.PENDING), note=note)

    def _on_backup(self, copy: Path) -> None:
        _log.info("the queue's database is brought up to date; a copy of the old one is %s", copy.name)

    def _check_writable(self) -> None:
        sentence = self.why_read_only
        if sentence is not None:
            raise Refused(
                "the queue was written by a newer medviewer and is not changed",
                path=self.path,
                remedy="update this one",
            )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._told(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        self._check_writable()
        immediate = {"immediate": True}
        with self._told(), self._engine.connect().execution_options(**immediate) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the database and the disk say into a sentence."""
        import sqlite3

        from sqlalchemy.exc import DatabaseError

        try:
            yield
        except OSError as error:
            raise SaveFailed(f"the queue cannot be written: {error.strerror or error}", path=self.folder) from error
        except (DatabaseError, sqlite3.DatabaseError) as error:
            said = str(getattr(error, "orig", None) or error)
            if "malformed" in said or "not a database" in said:
                remedy = "put a copy in its place (the folder may hold one), or move it away"
                raise BadInput("the queue's database is damaged", path=self.path, remedy=remedy) from error
            remedy = "try again" if "locked" in said else "free space, or check the folder's permissions"
            raise SaveFailed(f"the queue cannot be written: {said}", path=self.path, remedy=remedy) from error


def _case(row: Mapping[Any, Any]) -> QueueCase:
    return QueueCase(
        id=str(row["id"]),
        task=str(row["task"]),
        state=State(row["state"]),
        revision=str(row["revision"]),
        patient_hash=str(row["patient_hash"]),
        author=str(row["author"]),
        time=str(row["time"]),
        verdict=str(row["verdict"]),
        weight=float(row["weight"]),
        source=str(row["source"]),
        subject=str(row["subject"]),
    )


def _state(name: State | str) -> State:
    try:
        return State(name)
    except ValueError as error:
        known = ", ".join(State)
        raise BadInput(f"there is no state {str(name)!r} in the queue", remedy=f"known are {known}") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _this_process() -> str:
    """Host, process id and its start: a number that comes round again is not taken for the same process."""
    import psutil

    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.0f}"


def _is_alive(owner: str) -> bool:
    import psutil

    host, _, rest = owner.partition(" ")
    if host != socket.gethostname():
        return bool(host)  # another machine's, on a shared folder: leave it alone
    try:
        process, began = rest.split()
        return abs(float(psutil.Process(int(process)).create_time()) - float(began)) <= 2
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        return True
