"""ModelStore: all versions of all tasks on this machine, and which one of each task is in use (the Champion).

Shipped packages lie in a read-only folder, own ones (candidates, added packages) in the user's folder. The champion of
a task is the one that `<own>/<task>/champion.json` names; without that file it is the highest shipped version. The
pointer is written to a temporary name, flushed and renamed, and keeps the champions before, so that a rollback is one
step. Each change is also appended to `history.jsonl`, from which a damaged pointer is restored.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from medviewer import places
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.inference.card import check_name
from medviewer.inference.package import ModelPackage, check_weights, copy_package, open_package

_POINTER = "champion.json"
_HISTORY = "history.jsonl"

#: Opened packages by folder, with the stamp of their files; hashing 40 MB again takes a tenth of a second.
_opened: dict[Path, tuple[tuple[tuple[str, int, int], ...], ModelPackage]] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One version in the store.

    Attributes:
        task, version: its names.
        source: "shipped" or "own".
        folder: where it lies.
        champion: whether it is in use.
        id: the model's id, "" where the package cannot be used.
        title: the card's title.
        fault: why the package cannot be used, or why nobody can tell which one is in use; else None.
    """

    task: str
    version: str
    source: Literal["shipped", "own"]
    folder: Path
    champion: bool
    id: str = ""
    title: str = ""
    fault: str | None = None


class ModelStore:
    """The packages below two folders.

    Args:
        shipped: packages that came with the program.
        own: the user's packages and the pointers.
    """

    def __init__(self, shipped: Path | None = None, own: Path | None = None) -> None:
        self.shipped = places.shipped_models_folder() if shipped is None else Path(shipped)
        self.own = places.data_folder() / "models" if own is None else Path(own)

    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks with at least one version, sorted."""
        found = {p.parent.parent.name for root in (self.shipped, self.own) for p in root.glob("*/*/MANIFEST.json")}
        return tuple(sorted(name for name in found if not name.startswith(".")))

    def entries(self, task: str | None = None) -> tuple[ModelEntry, ...]:
        """All versions (of one task), unusable ones with their fault."""
        out = []
        for name in self.tasks() if task is None else (self._known(task),):
            champion, unknown = None, None
            try:
                champion = self._champion_version(name)
            except Refused as error:
                unknown = error.sentence
            for version, source in self._versions(name):
                folder = self._root(source) / name / version
                is_champion = version == champion
                try:
                    package = _open(folder)
                    title = package.card.title
                    out.append(ModelEntry(name, version, source, folder, is_champion, package.id, title, unknown))
                except (Refused, BadInput) as error:
                    out.append(ModelEntry(name, version, source, folder, is_champion, fault=error.sentence))
        return tuple(out)

    def get(self, task: str, version: str | None = None) -> ModelPackage:
        """A version by its name or by the start of its id (at least 6 characters); the champion without a name.

        Raises:
            BadInput: no such task or version.
            Refused: the package does not match its manifest, or its card is of another task.
        """
        if version is None:
            return self.champion(task)
        for name, source in self._versions(self._known(task)):
            if name == version:
                return self._checked(task, name, source)
        if re.fullmatch(r"[0-9a-f]{6,64}", version):
            for entry in self.entries(task):
                if entry.id.startswith(version):
                    return _open(entry.folder)
        known = ", ".join(name for name, _ in self._versions(task))
        raise BadInput(f"{task} has no version {version!r}", remedy=f"known are {known}")

    def champion(self, task: str, *, restored: bool = False) -> ModelPackage:
        """The version in use; the pointer is read anew each time, so a promotion counts from the next call on.

        Args:
            task: its name.
            restored: take the history's word where the pointer cannot be read.

        Raises:
            BadInput: no such task.
            Refused: the pointer cannot be read, the package does not match its manifest, or it is another than the one
                that was promoted.
        """
        pointer = self._restored(self._known(task)) if restored else self._pointer(self._known(task))
        name = str(pointer.get("version") or self._first_version(task))
        source = dict(self._versions(task)).get(name)
        if source is None:
            raise Refused(
                f"the model in use of {task}, version {name}, is no longer there",
                path=self.own / task,
                remedy="roll back with `medviewer models rollback`",
            )
        package = self._checked(task, name, source)
        promoted = pointer.get("id")
        if promoted and promoted != package.id:
            raise Refused(
                f"{task} {name} is not the model that was promoted: its files were changed since",
                path=package.folder,
                remedy="roll back with `medviewer models rollback`",
            )
        return package

    def verify(self, task: str, version: str | None = None, *, golden: bool = True) -> ModelPackage:
        """Check a version from its hashes to its golden case (imports torch).

        Raises:
            BadInput, Refused: as `get`; Refused with the reason where a check fails.
        """
        from medviewer.inference.golden import check_golden
        from medviewer.inference.package import read_weights

        package = self.get(task, version)
        check_weights(package)
        for member in range(len(package.weights)):
            read_weights(package, member)
        if golden:
            check_golden(package)
        return package

    def add(self, folder: Path) -> ModelPackage:
        """Copy a package from elsewhere into the user's store after all checks; the champion stays as it is.

        Raises:
            BadInput: no package there.
            Refused: a check fails, the version exists already, or the task's champion does something else.
        """
        from medviewer.inference.golden import check_golden

        package = open_package(folder)
        check_weights(package)
        task, version = package.card.task, package.card.version
        if version in dict(self._versions(task)):
            raise Refused(f"{task} has a version {version} already: a model package is never changed", path=folder)
        self._check_same_task(package)
        check_golden(package)
        return copy_package(package, self.own / task / version)

    def promote(self, task: str, version: str, *, reason: str = "", gate_report: str = "") -> ModelPackage:
        """Make a version the champion after checking it; the one before is kept for `rollback`.

        The gate is not asked here: `medviewer.learning.promote` does that. An unreadable pointer is replaced.

        Args:
            task, version: as in `get`.
            reason: for people.
            gate_report: SHA-256 of the gate's report, "" where a person promoted without one.

        Raises:
            BadInput, Refused: as `verify`; Refused where the present champion does something else.
            SaveFailed: the pointer could not be written; then the champion is the one before.
        """
        self._check_same_task(self.get(task, version))  # the golden case of another kind cannot even be tried
        package = self.verify(task, version)
        before = self._restored(task) or {"version": self._first_version(task)}
        earlier = list(before.get("previous", []))
        if before["version"] != package.card.version:
            earlier.append({k: before[k] for k in ("version", "id") if k in before})
        elif not self._damaged(task):
            return package
        self._point(task, package, {"previous": earlier, "reason": reason, "gate_report": gate_report})
        return package

    def rollback(self, task: str, *, reason: str = "") -> ModelPackage:
        """Make the champion before the champion again.

        An unreadable pointer is replaced: by the history's word, and without a history by the first version.

        Raises:
            BadInput: there was none before, or no such task.
            Refused: that version fails its checks.
            SaveFailed: the pointer could not be written.
        """
        earlier = list(self._restored(self._known(task)).get("previous", []))
        if not earlier and not self._damaged(task):
            raise BadInput(f"{task} has no earlier model to go back to")
        target = earlier.pop() if earlier else {"version": self._first_version(task)}
        package = self.get(task, target["version"])
        if target.get("id", package.id) != package.id:
            raise Refused(f"{task} {target['version']} is not the model that was in use then", path=package.folder)
        self._point(task, package, {"previous": earlier, "reason": reason or "rolled back"})
        return package

    def needs_no_gate(self, package: ModelPackage) -> bool:
        """True for a version that came with the program or was in use before: `rollback` could lead to it as well."""
        task, version = package.card.task, package.card.version
        if dict(self._versions(task)).get(version) == "shipped":
            return True
        now = self._restored(task) or {"version": self._first_version(task)}
        used = [now, *now.get("previous", []), *self._history(task)]
        return any(one["version"] == version and one.get("id", package.id) == package.id for one in used)

    def _check_same_task(self, package: ModelPackage) -> None:
        """A version that did not come with the program must take and give what the task's present champion does.

        Where no champion can be read, the shipped versions speak for the task, newest first.
        """
        task = package.card.task
        versions = dict(self._versions(task))
        if not versions or versions.get(package.card.version) == "shipped":
            return
        now = str(self._restored(task).get("version") or self._first_version(task))
        for version in [now, *(name for name in reversed(versions) if versions[name] == "shipped")]:
            try:
                card = self._checked(task, version, versions[version]).card
            except (KeyError, Refused, BadInput):
                continue
            for words in ("kind", "modalities", "prompt", "labels"):
                theirs, ours = getattr(package.card, words), getattr(card, words)
                if theirs != ours:
                    raise Refused(
                        f"the card of {task} {package.card.version} is not that of a {task} model: its {words} is "
                        f"{_worded(theirs)}, that of version {version} is {_worded(ours)}",
                        path=package.folder,
                        remedy="give another task a name of its own",
                    )
            return

    def _known(self, task: str) -> str:
        if task not in self.tasks():
            known = ", ".join(self.tasks()) or "none"
            raise BadInput(f"there is no task {task!r}", remedy=f"known tasks: {known}")
        return task

    def _root(self, source: str) -> Path:
        return self.shipped if source == "shipped" else self.own

    def _versions(self, task: str) -> list[tuple[str, Literal["shipped", "own"]]]:
        check_name(task)
        found: dict[str, Literal["shipped", "own"]] = {}
        sources: tuple[Literal["own", "shipped"], ...] = ("own", "shipped")
        for source in sources:  # a shipped version wins over an own one of the same name
            for manifest in (self._root(source) / task).glob("*/MANIFEST.json"):
                if not manifest.parent.name.startswith("."):
                    found[manifest.parent.name] = source
        return sorted(found.items(), key=lambda item: _natural(item[0]))

    def _checked(self, task: str, version: str, source: str) -> ModelPackage:
        folder = self._root(source) / task / version
        if folder.is_symlink() or folder.parent.is_symlink():
            raise Refused("a model package must not be a link", path=folder)
        package = _open(folder)
        if (package.card.task, package.card.version) != (task, version):
            raise Refused(
                f"the card in this folder is that of {package.card.task} {package.card.version}: it is not used",
                path=folder,
            )
        return package

    def _pointer(self, task: str) -> dict[str, Any]:
        path = self.own / task / _POINTER
        try:
            pointer = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError):
            pointer = None
        previous = pointer.get("previous", []) if _names_a_version(pointer) else None
        if isinstance(previous, list) and all(_names_a_version(one) for one in previous):
            return dict(pointer)
        last = self._from_history(task).get("version") or self._first_version(task)
        raise Refused(
            f"the file that names the model in use of {task} cannot be read",
            path=path,
            remedy=f"write it anew with `medviewer models promote {task} {last}`, the last one known to be in use",
        )

    def _damaged(self, task: str) -> bool:
        try:
            self._pointer(task)
        except Refused:
            return True
        return False

    def _restored(self, task: str) -> dict[str, Any]:
        """The pointer; an unreadable one as the history has it, {} where there is none."""
        try:
            return self._pointer(task)
        except Refused:
            return self._from_history(task)

    def _history(self, task: str) -> list[dict[str, Any]]:
        """All changes of the pointer, oldest first; unreadable lines are left out."""
        try:
            text = (self.own / task / _HISTORY).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return []
        lines = []
        for line in text.splitlines():
            try:
                change = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if _names_a_version(change):
                lines.append(change)
        return lines

    def _from_history(self, task: str) -> dict[str, Any]:
        """The pointer that the changes so far led to; going to the version before is a step back."""
        now: dict[str, Any] = {"version": self._first_version(task)}
        previous: list[dict[str, Any]] = []
        changes = self._history(task)
        for change in changes:
            if previous and previous[-1]["version"] == change["version"]:
                previous.pop()
            elif now["version"] != change["version"]:
                previous.append(now)
            now = {k: change[k] for k in ("version", "id") if k in change}
        return {**now, "previous": previous} if changes else {}

    def _champion_version(self, task: str) -> str:
        return str(self._pointer(task).get("version") or self._first_version(task))

    def _first_version(self, task: str) -> str:
        """The champion before any promotion."""
        versions = self._versions(task)
        shipped = [name for name, source in versions if source == "shipped"]
        return shipped[-1] if shipped else versions[0][0]

    def _point(self, task: str, package: ModelPackage, facts: Mapping[str, Any]) -> None:
        pointer = {
            "version": package.card.version,
            "id": package.id,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **facts,
        }
        folder = self.own / task
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / _POINTER, json.dumps(pointer, indent=1).encode())
            with (folder / _HISTORY).open("a", encoding="utf-8") as history:
                line = {k: v for k, v in pointer.items() if k != "previous"}
                history.write(json.dumps(line) + "\n")
        except OSError as error:
            raise SaveFailed(f"the model in use could not be changed ({error.strerror})", path=folder) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: temporary name, flush, rename, and flush of the folder where that exists."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _names_a_version(facts: Any) -> bool:
    return isinstance(facts, dict) and isinstance(facts.get("version"), str) and bool(facts["version"])


def _worded(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "none"


def _natural(version: str) -> tuple[tuple[int, str], ...]:
    """Sort key: 2 before 10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"[.\-_]", version))


def _open(folder: Path) -> ModelPackage:
    """`open_package`, remembered as long as no file of the folder changes size, time or name."""
    stamp = tuple(
        sorted(
            (path.relative_to(folder).as_posix(), path.lstat().st_mtime_ns, path.lstat().st_size)
            for path in folder.rglob("*")
        )
    )
    with _lock:
        known = _opened.get(folder)
    if known is not None and known[0] == stamp:
        return known[1]
    package = open_package(folder)
    with _lock:
        _opened[folder] = (stamp, package)
    return package
