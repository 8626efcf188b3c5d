"""Revisions: what a person said was done, stored once and never changed.

A revision is a folder with `revision.json` and `mask.bin`. It is written under a temporary name, flushed, renamed, and
then recorded in `revisions.jsonl`; a folder without a line there (the power went between the two) is recorded later.
Suggestions are not stored here: a revision names the suggestion that it came from and how far it moved away from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer import __version__, places
from medviewer.annotation import codec
from medviewer.annotation.segmentation import Box, Segment, Segmentation
from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.formats.atomic import sync_folder
from medviewer.formats.catalog import Stack
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

#: Version of the files; a reader refuses a higher one.
VERSION = 1


class Verdict(StrEnum):
    """What a person made of a suggestion."""

    UNTOUCHED = "accepted untouched"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    FROM_SCRATCH = "from scratch"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """The image that was annotated.

    Attributes:
        stack_id: of the Stack.
        study_uid, series_uid, frame_of_reference_uid: DICOM identifiers, "" where there are none.
        sop_instance_uids: of all files, in stack order.
        pixel_sha256: of the stored values in stack order (native type, little-endian), "" if not all were loaded.
    """

    stack_id: str
    study_uid: str = ""
    series_uid: str = ""
    frame_of_reference_uid: str = ""
    sop_instance_uids: tuple[str, ...] = ()
    pixel_sha256: str = ""


@dataclass(frozen=True, slots=True)
class SuggestionSource:
    """The suggestion that a revision began with: task, model id (hash), device."""

    task: str
    model: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class EditSize:
    """How far a person moved away from the suggestion."""

    added: int
    removed: int
    dice: float


@dataclass(frozen=True, slots=True)
class Work:
    """Who did it and how.

    Attributes:
        author: name, as the person gave it.
        role: "reader", "reviewer", ...
        verdict: what became of the suggestion.
        tool_minutes: time with hands on.
        tools: what was used.
        parent: id of the revision that this one follows, "" for the first.
        suggestion: where it began, None for work from scratch.
        edit: how far it moved from the suggestion.
    """

    author: str
    verdict: Verdict
    role: str = "reader"
    tool_minutes: float = 0.0
    tools: tuple[str, ...] = ()
    parent: str = ""
    suggestion: SuggestionSource | None = None
    edit: EditSize | None = None


@dataclass(frozen=True, slots=True)
class Revision:
    """An immutable stored state of a segmentation.

    Attributes:
        id: time and content: unique, and in the order of time.
        created: UTC, ISO 8601.
        work: who did it and how.
        image: on which image.
        grid: of the label map.
        segments: what its numbers are.
        mask_sha256: of the stored voxels.
        program: version of medviewer.
    """

    id: str
    created: str
    work: Work
    image: ImageReference
    grid: Grid
    segments: tuple[Segment, ...]
    mask_sha256: str
    program: str = __version__

    @property
    def is_weak(self) -> bool:
        """True where nobody changed a voxel: a label that the model made itself."""
        return self.work.verdict is Verdict.UNTOUCHED


def edit_size(suggested: ArrayLike, final: ArrayLike) -> EditSize:
    """Voxels added and removed and the Dice of two masks of one shape; the Dice of two empty ones is 1."""
    before, after = np.asarray(suggested) != 0, np.asarray(final) != 0
    both = int(np.count_nonzero(before & after))
    total = int(np.count_nonzero(before)) + int(np.count_nonzero(after))
    return EditSize(
        added=int(np.count_nonzero(after & ~before)),
        removed=int(np.count_nonzero(before & ~after)),
        dice=2 * both / total if total else 1.0,
    )


def verdict_of(edit: EditSize | None, is_empty: bool) -> Verdict:
    """The verdict that the voxels tell: no suggestion, nothing left, nothing changed, or corrected."""
    if edit is None:
        return Verdict.FROM_SCRATCH
    if is_empty:
        return Verdict.REJECTED
    return Verdict.CORRECTED if edit.added or edit.removed else Verdict.UNTOUCHED


def image_reference(stack: Stack, volume: Volume | None = None) -> ImageReference:
    """What to remember of a stack; the pixel hash only of a wholly loaded volume (0.3 s for 150 MB: for a job)."""
    sha256 = ""
    if volume is not None and bool(volume.loaded.all()):
        sha256 = pixel_sha256(volume)
    return ImageReference(
        stack.id,
        stack.study_uid,
        stack.series_uid,
        stack.frame_of_reference_uid,
        tuple(dict.fromkeys(f.sop_instance_uid for f in stack.frames if f.sop_instance_uid)),
        sha256,
    )


def pixel_sha256(volume: Volume) -> str:
    """SHA-256 of the stored values in stack order: native type, little-endian, C order."""
    digest = hashlib.sha256()
    for image in volume.voxels:
        digest.update(np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


class RevisionStore:
    """The revisions of this user, in one folder. Several programs may use it at once: nothing is ever rewritten.

    Args:
        folder: where they lie; the user's data folder by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = places.data_folder() / "revisions" if folder is None else folder

    # -- storing ---------------------------------------------------------------------------------------------------

    def store(self, segmentation: Segmentation, image: ImageReference, work: Work) -> Revision:
        """Store the segmentation as it is now.

        Raises:
            SaveFailed: full disk, no permission; the segmentation is untouched, and no half revision is left.
        """
        hull, voxels = _hull(segmentation)
        created = datetime.now(UTC)
        mask = zlib.compress(voxels.tobytes(), 6)
        segments = tuple(segmentation.segments.values())
        sha256 = hashlib.sha256(voxels.tobytes()).hexdigest()
        stamp = created.strftime("%Y%m%dT%H%M%S%f")[:-3]
        draft = Revision("", created.isoformat(), work, image, segmentation.grid, segments, sha256)
        content = hashlib.sha256(json.dumps(_as_json(draft, hull), sort_keys=True).encode() + os.urandom(8))
        revision = Revision(
            f"{stamp}-{content.hexdigest()[:12]}", draft.created, work, image, draft.grid, segments, sha256
        )
        text = json.dumps(_as_json(revision, hull), indent=1, ensure_ascii=False)
        self._write(revision.id, {"revision.json": text.encode(), "mask.bin": mask})
        return revision

    def _write(self, name: str, files: Mapping[str, bytes]) -> None:
        temporary = self.folder / f".{name}.tmp"
        try:
            temporary.mkdir(parents=True, mode=0o700)
            for file_name, data in files.items():
                with (temporary / file_name).open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                (temporary / file_name).chmod(0o400)
            sync_folder(temporary)
            temporary.rename(self.folder / name)
            sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                shutil.rmtree(temporary)
            raise SaveFailed(
                f"the revision could not be stored: {error.strerror or error}",
                path=self.folder,
                remedy="free space on this disk; your work is still open and in the journal",
            ) from error
        with contextlib.suppress(OSError):  # `ids` makes up for it
            self._record(name)

    def _record(self, name: str) -> None:
        line = json.dumps({"id": name, "recorded": datetime.now(UTC).isoformat(timespec="seconds")}) + "\n"
        with self._records.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    @property
    def _records(self) -> Path:
        return self.folder / "revisions.jsonl"

    # -- finding ---------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """All revisions, the newest first. Those that were never recorded (the power went) are recorded now."""
        if not self.folder.is_dir():
            return []
        known: set[str] = set()
        with contextlib.suppress(OSError):
            for line in self._records.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError, KeyError):
                    known.add(str(json.loads(line)["id"]))
        there = {p.name for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith(".")}
        for name in sorted(there - known):
            with contextlib.suppress(OSError):
                self._record(name)
        return sorted(there, reverse=True)

    def revisions(self, stack_id: str | None = None) -> Iterator[Revision]:
        """Revisions (of one stack), the newest first."""
        for name in self.ids():
            revision = self.get(name)
            if stack_id is None or revision.image.stack_id == stack_id:
                yield revision

    def latest(self, stack_id: str) -> Revision | None:
        """The newest revision of a stack, or None."""
        return next(self.revisions(stack_id), None)

    def get(self, revision_id: str) -> Revision:
        """What is known about a revision.

        Raises:
            BadInput: there is none of this id.
            Refused: a newer program wrote it.
        """
        return _from_json(self._head(revision_id))

    def load(self, revision_id: str) -> Segmentation:
        """The segmentation of a revision.

        Raises:
            BadInput: there is none of this id, or its voxels are damaged.
            Refused: a newer program wrote it.
        """
        head = self._head(revision_id)
        revision = _from_json(head)
        path = self.folder / revision_id / "mask.bin"
        box = Box(tuple(head["box"][0]), tuple(head["box"][1]))
        try:
            data = zlib.decompress(path.read_bytes())
            if hashlib.sha256(data).hexdigest() != revision.mask_sha256:
                raise ValueError("checksum")
            voxels = np.frombuffer(data, dtype=np.uint8).reshape(box.size_kji)
        except (OSError, zlib.error, ValueError) as error:
            raise BadInput("the revision's voxels are damaged", path=path, remedy="restore it from a backup") from error
        labelmap = np.zeros(revision.grid.size_kji, dtype=np.uint8)
        labelmap[box.slices] = voxels
        return Segmentation.from_labelmap(revision.grid, labelmap, revision.segments, revision.image.stack_id)

    def _head(self, revision_id: str) -> dict[str, Any]:
        path = self.folder / revision_id / "revision.json"
        if not revision_id or Path(revision_id).name != revision_id or revision_id.startswith("."):
            raise BadInput(f"there is no revision {revision_id!r}")
        try:
            head: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BadInput(f"there is no revision {revision_id!r}", path=self.folder) from error
        except (OSError, ValueError) as error:
            raise BadInput("the revision cannot be read", path=path) from error
        if int(head["version"]) > VERSION:
            raise Refused("the revision was written by a newer medviewer", path=path, remedy="update this program")
        return head


def _hull(segmentation: Segmentation) -> tuple[Box, NDArray[np.uint8]]:
    hull: Box | None = None
    for number in segmentation.segments:
        box = segmentation.box(number)
        hull = hull if box is None else box.union(hull)
    whole = hull if hull is not None else Box((0, 0, 0), (0, 0, 0))
    return whole, np.ascontiguousarray(segmentation.labelmap[whole.slices])


def _as_json(revision: Revision, box: Box) -> dict[str, Any]:
    work, image = revision.work, revision.image
    return {
        "version": VERSION,
        "id": revision.id,
        "created": revision.created,
        "program": revision.program,
        "author": work.author,
        "role": work.role,
        "verdict": str(work.verdict),
        "tool_minutes": round(work.tool_minutes, 2),
        "tools": list(work.tools),
        "parent": work.parent,
        "suggestion": None
        if work.suggestion is None
        else {"task": work.suggestion.task, "model": work.suggestion.model, "device": work.suggestion.device},
        "edit": None
        if work.edit is None
        else {"added": work.edit.added, "removed": work.edit.removed, "dice": work.edit.dice},
        "image": {
            "stack": image.stack_id,
            "study_uid": image.study_uid,
            "series_uid": image.series_uid,
            "frame_of_reference_uid": image.frame_of_reference_uid,
            "sop_instance_uids": list(image.sop_instance_uids),
            "pixel_sha256": image.pixel_sha256,
        },
        "grid": codec.grid_as_json(revision.grid),
        "segments": [codec.segment_as_json(s) for s in revision.segments],
        "box": [list(box.start_kji), list(box.stop_kji)],
        "mask_sha256": revision.mask_sha256,
    }


def _from_json(head: Mapping[str, Any]) -> Revision:
    image = head["image"]
    suggestion, edit = head["suggestion"], head["edit"]
    return Revision(
        id=str(head["id"]),
        created=str(head["created"]),
        work=Work(
            author=str(head["author"]),
            verdict=Verdict(head["verdict"]),
            role=str(head["role"]),
            tool_minutes=float(head["tool_minutes"]),
            tools=_strings(head["tools"]),
            parent=str(head["parent"]),
            suggestion=None if suggestion is None else SuggestionSource(**suggestion),
            edit=None if edit is None else EditSize(**edit),
        ),
        image=ImageReference(
            str(image["stack"]),
            str(image["study_uid"]),
            str(image["series_uid"]),
            str(image["frame_of_reference_uid"]),
            _strings(image["sop_instance_uids"]),
            str(image["pixel_sha256"]),
        ),
        grid=codec.grid_from_json(head["grid"]),
        segments=tuple(codec.segment_from_json(s) for s in head["segments"]),
        mask_sha256=str(head["mask_sha256"]),
        program=str(head["program"]),
    )


def _strings(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
