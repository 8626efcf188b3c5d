"""Suggested masks to files: DICOM SEG on the source images, or NIfTI and NRRD with the label's number in each voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, Refused
from medviewer.formats.catalog import Stack
from medviewer.inference.package import ModelPackage
from medviewer.inference.suggestion import Suggestion

#: Colours of suggested segments in files, in turn.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (240, 228, 66), (0, 114, 178))


def label_volume(suggestion: Suggestion, size_kji: tuple[int, int, int]) -> NDArray[np.uint8]:
    """All segments in one uint8 `[k, j, i]` on the volume's grid: 0 background, then 1, 2, ... in their order.

    What lies outside the volume is cut off.
    """
    labels = np.zeros(size_kji, dtype=np.uint8)
    for number, segment in enumerate(suggestion.segments, start=1):
        low = [max(0, s) for s in segment.start_kji]
        high = [min(n, s + m) for n, s, m in zip(size_kji, segment.start_kji, segment.mask.shape, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            continue
        inside = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, segment.start_kji, strict=True))
        part = labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        part[segment.mask[inside] > 0] = number
    return labels


def check_out_name(path: Path, stack: Stack) -> None:
    """Raise before the work begins where a file of this name could not be written for this stack.

    Raises:
        BadInput: another ending than .dcm, .nii, .nii.gz, .nrrd, or no such folder.
        Refused: a DICOM SEG was asked for and the stack is not DICOM.
    """
    name = path.name.lower()
    if not name.endswith((".dcm", ".nii", ".nii.gz", ".nrrd")):
        raise BadInput("masks are written as .dcm (DICOM SEG), .nii.gz or .nrrd", path=path)
    if not path.parent.is_dir():
        raise BadInput("there is no such folder to write to", path=path.parent)
    if name.endswith(".dcm") and stack.source != "dicom":
        raise Refused(
            "a DICOM SEG needs DICOM images to lie on, and this study has none", remedy="use .nii.gz or .nrrd"
        )


def save_suggestion(path: Path, suggestion: Suggestion, stack: Stack, package: ModelPackage) -> None:
    """Write the segments of a suggestion; the file says which model drew them.

    Args:
        path: its ending decides, see `check_out_name`.
        suggestion: with at least one segment.
        stack: what it was made on.
        package: the model.

    Raises:
        BadInput, Refused: as `check_out_name`; nothing was drawn.
        SaveFailed: the file could not be written.
    """
    check_out_name(path, stack)
    grid = stack.grid
    labels = label_volume(suggestion, stack.size_kji)
    if grid is None or not labels.any():
        raise BadInput("nothing was drawn, so there is nothing to save", path=path)
    name = path.name.lower()
    if name.endswith(".nrrd"):
        from medviewer.formats import nrrd

        nrrd.write(path, labels, grid)
    elif name.endswith(".dcm"):
        _save_seg(path, labels, suggestion, stack, package)
    else:
        from medviewer.formats import nifti

        nifti.write(path, labels, grid)


def _save_seg(
    path: Path, labels: NDArray[np.uint8], suggestion: Suggestion, stack: Stack, package: ModelPackage
) -> None:
    from medviewer.formats.dicom.codes import meaning_of
    from medviewer.formats.dicom.objects.seg import SegText, write_seg
    from medviewer.formats.dicom.objects.seg_read import SegDescription

    card = package.card
    described = [
        SegDescription(
            number,
            segment.label,
            meaning_of(segment.label),
            _COLOURS[(number - 1) % len(_COLOURS)],
            "AUTOMATIC",
            card.task,
            f"{card.version} {package.short_id}",
            (("device", suggestion.device),),
        )
        for number, segment in enumerate(suggestion.segments, start=1)
    ]
    write_seg(path, labels, stack, described, SegText(description=f"{card.title} (suggestion)"))
