"""The user's own nodules to compare with: picture, vector, ratings and size, one file a case.

One `.npz` of plain arrays per case, so that deleting a case deletes its picture and its vector from the disk, with no
database page or cache that still holds them. Nothing here names a patient: only a hash of the patient is kept.
The block that the network saw is kept too, so that vectors can be made anew when the model changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import uuid
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, SaveFailed

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, eq=False)
class LibraryNodule:
    """One nodule of the user's own library.

    Attributes:
        thumbnail: uint8 [rows, columns], the clicked slice in the window of the suggestions' crops.
        vector: float32 [d], L2-normalised embedding.
        space: identity of the embedding that made the vector.
        block: uint8 [slices, rows, columns]: what the network saw (0 to 255), for making the vector anew.
        patient: hash of the patient (`NoduleLibrary.patient_hash`).
        source: where it comes from, for people ("own library", "phantom").
        label: "malignant", "benign", "uncertain" or empty, by whoever rated it.
        diameter_mm: longest in-slice extent, or None.
        ratings: ratings by name.
        id: 32 hexadecimal digits; made when the case is added.
    """

    thumbnail: NDArray[np.uint8]
    vector: NDArray[np.float32]
    space: str
    block: NDArray[np.uint8]
    patient: str
    source: str = "own library"
    label: str = ""
    diameter_mm: float | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    id: str = ""


class NoduleLibrary:
    """A folder of `LibraryNodule`s."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def __len__(self) -> int:
        return len(self.ids())

    def ids(self) -> list[str]:
        """The cases' ids, oldest first."""
        if not self.folder.is_dir():
            return []
        files = [path for path in self.folder.glob("*.npz") if _ID.fullmatch(path.stem)]
        return [path.stem for path in sorted(files, key=lambda path: (path.stat().st_mtime_ns, path.stem))]

    def add(self, nodule: LibraryNodule) -> str:
        """Store a nodule and return its id; on the disk before this returns.

        Raises:
            SaveFailed: the disk is full or the folder cannot be written; nothing half-written stays.
        """
        case = nodule.id or uuid.uuid4().hex
        path = self._path(case)
        facts = {
            "space": nodule.space,
            "patient": nodule.patient,
            "source": nodule.source,
            "label": nodule.label,
            "diameter_mm": nodule.diameter_mm,
            "ratings": dict(nodule.ratings),
        }
        temporary = path.with_suffix(f".writing-{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file,
                    thumbnail=np.asarray(nodule.thumbnail, np.uint8),
                    vector=np.asarray(nodule.vector, np.float32),
                    block=np.asarray(nodule.block, np.uint8),
                    facts=np.array(json.dumps(facts)),
                )
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise SaveFailed(f"the nodule could not be kept in the library ({error.strerror})", path=path) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return case

    def get(self, case: str) -> LibraryNodule:
        """The nodule with this id.

        Raises:
            BadInput: there is none, or its file is damaged.
        """
        path = self._path(case)
        if not path.is_file():
            raise BadInput(f"the library holds no nodule {case}")
        try:
            with np.load(path, allow_pickle=False) as packed:
                facts = json.loads(str(packed["facts"]))
                return LibraryNodule(
                    thumbnail=packed["thumbnail"],
                    vector=packed["vector"],
                    block=packed["block"],
                    space=str(facts["space"]),
                    patient=str(facts["patient"]),
                    source=str(facts["source"]),
                    label=str(facts["label"]),
                    diameter_mm=facts["diameter_mm"],
                    ratings={str(name): float(value) for name, value in facts["ratings"].items()},
                    id=case,
                )
        except (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
            raise BadInput(f"the library's nodule {case} cannot be read ({error})", path=path) from error

    def nodules(self) -> list[LibraryNodule]:
        """All nodules that can be read, oldest first; a damaged file is left out."""
        found = []
        for case in self.ids():
            try:
                found.append(self.get(case))
            except BadInput:
                continue
        return found

    def remove(self, case: str) -> None:
        """Delete the nodule: picture, vector and all.

        Raises:
            BadInput: there is none.
        """
        path = self._path(case)
        if not path.is_file():
            raise BadInput(f"the library holds no nodule {case}")
        try:
            path.unlink()
        except OSError as error:
            raise SaveFailed(f"the nodule could not be deleted ({error.strerror})", path=path) from error

    def remove_patient(self, patient: str) -> int:
        """Delete every nodule of a patient (by hash) and return how many there were."""
        theirs = [nodule.id for nodule in self.nodules() if nodule.patient == patient]
        for case in theirs:
            self.remove(case)
        return len(theirs)

    def patient_hash(self, patient: str) -> str:
        """HMAC-SHA256 of a patient's id with this library's own secret; empty for an unknown patient.

        Patient numbers are few enough to be guessed one by one, so a plain hash would hide nothing.
        """
        if not patient:
            return ""
        return hmac.new(self._secret(), patient.encode(), hashlib.sha256).hexdigest()[:32]

    def _secret(self) -> bytes:
        path = self.folder / "secret"
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(32))
            return path.read_bytes()
        except OSError as error:
            raise SaveFailed(f"the library's secret could not be kept ({error.strerror})", path=path) from error

    def _path(self, case: str) -> Path:
        if not _ID.fullmatch(case):
            raise BadInput(f"{case!r} is no id of a library nodule")
        return self.folder / f"{case}.npz"
