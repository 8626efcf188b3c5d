"""ModelStore: all versions of all tasks on this machine, and which one of each task is in use (the Champion).

Shipped packages lie in a read-only folder, own ones (candidates, added packages) in the user's folder. The champion of
a task is the one that `<own>/<task>/champion.json` names; without that file it is the highest shipped version. The
pointer is written to a temporary name, flushed and renamed, and keeps the champions before, so that a rollback is one
step. Each change is also appended to `history.jsonl`.
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
        fault: why the package cannot be used, or None.
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
            champion = self._champion_version(name)
            for version, source in self._versions(name):
                folder = self._root(source) / name / version
                is_champion = version == champion
                try:
                    package = _open(folder)
                    out.append(ModelEntry(name, version, source, folder, is_champion, package.id, package.card.title))
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

    def champion(self, task: str) -> ModelPackage:
        """The version in use; the pointer is read anew each time, so a promotion counts from the next call on.

        Raises:
            BadInput: no such task.
            Refused: the package does not match its manifest, or is another than the one that was promoted.
        """
        name = self._champion_version(self._known(task))
        source = dict(self._versions(task)).get(name)
        if source is None:
            raise Refused(
                f"the model in use of {task}, version {name}, is no longer there",
                path=self.own / task,
                remedy="roll back with `medviewer models rollback`",
            )
        package = self._checked(task, name, source)
        promoted = self._pointer(task).get("id")
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
            Refused: a check fails, or the version exists already.
        """
        from medviewer.inference.golden import check_golden

        package = open_package(folder)
        check_weights(package)
        task, version = package.card.task, package.card.version
        if version in dict(self._versions(task)):
            raise Refused(f"{task} has a version {version} already: a model package is never changed", path=folder)
        check_golden(package)
        return copy_package(package, self.own / task / version)

    def promote(self, task: str, version: str, *, reason: str = "", gate_report: str = "") -> ModelPackage:
        """Make a version the champion after checking it; the one before is kept for `rollback`.

        Args:
            task, version: as in `get`.
            reason: for people.
            gate_report: SHA-256 of the gate's report, "" where a person promoted without one.

        Raises:
            BadInput, Refused: as `verify`.
            SaveFailed: the pointer could not be written; then the champion is the one before.
        """
        package = self.verify(task, version)
        before = self._pointer(task) or {"version": self._champion_version(task)}
        if before["version"] == package.card.version:
            return package
        earlier = [*before.get("previous", []), {k: before[k] for k in ("version", "id") if k in before}]
        self._point(task, package, {"previous": earlier, "reason": reason, "gate_report": gate_report})
        return package

    def rollback(self, task: str, *, reason: str = "") -> ModelPackage:
        """Make the champion before the champion again.

        Raises:
            BadInput: there was none before, or no such task.
            Refused: that version fails its checks.
            SaveFailed: the pointer could not be written.
        """
        earlier = list(self._pointer(self._known(task)).get("previous", []))
        if not earlier:
            raise BadInput(f"{task} has no earlier model to go back to")
        target = earlier.pop()
        package = self.get(task, target["version"])
        if target.get("id", package.id) != package.id:
            raise Refused(f"{task} {target['version']} is not the model that was in use then", path=package.folder)
        self._point(task, package, {"previous": earlier, "reason": reason or "rolled back"})
        return package

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
        except (OSError, ValueError) as error:
            raise Refused("the file that names the model in use cannot be read", path=path) from error
        if not isinstance(pointer, dict) or not isinstance(pointer.get("version"), str):
            raise Refused("the file that names the model in use cannot be read", path=path)
        return pointer

    def _champion_version(self, task: str) -> str:
        pointer = self._pointer(task)
        if pointer:
            return str(pointer["version"])
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
