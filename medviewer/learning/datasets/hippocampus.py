"""The hippocampus crops of the Medical Segmentation Decathlon, read from `SPLIT.zip` without unpacking.

Task04 (Antonelli et al., Nat Commun 2022, doi:10.1038/s41467-022-30695-9): T1-weighted MR crops with labels
0 background, 1 anterior (head), 2 posterior (body and tail). The archive holds `SPLIT/images/NAME.nii.gz` and
`SPLIT/labels/NAME.nii.gz`.
"""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput
from medviewer.formats.nifti import parse_header
from medviewer.formats.source import SourceFault

LABELS = ("anterior", "posterior")


@dataclass(frozen=True, slots=True, eq=False)
class HippocampusCase:
    """One labelled crop.

    Attributes:
        name: the file's stem, `hippocampus_NNN`.
        image: float32 `[k, j, i]`, arbitrary MR scale, k to the head, j to the front, i to the right or left
            (the header's identity affine loses the side).
        label: uint8 `[k, j, i]`, 0 background, 1 anterior, 2 posterior.
        spacing_kji: mm.
    """

    name: str
    image: NDArray[np.float32]
    label: NDArray[np.uint8]
    spacing_kji: tuple[float, float, float]

    @property
    def patient(self) -> str:
        """The case itself: the data set names no persons."""
        return self.name


def part_of(name: str) -> str:
    """The part of the train split that a case belongs to: "fit" (85 %) or "calibrate" (15 %), by hash.

    There is no early stopping (the schedule is fixed beforehand), so no third part is needed. The split is by
    case: the data set publishes no list of subjects.
    """
    bucket = int(hashlib.sha256(f"hippocampus part {name}".encode()).hexdigest(), 16) % 100
    return "fit" if bucket < 85 else "calibrate"


def read_cases(folder: Path, split: str) -> list[HippocampusCase]:
    """All cases of `folder/SPLIT.zip`, sorted by name.

    Raises:
        BadInput: no such archive, or a member that is not a plain NIfTI-1 file with whole-number labels.
    """
    archive = Path(folder) / f"{split}.zip"
    if not archive.is_file():
        raise BadInput(
            f"there is no {split}.zip", path=Path(folder), remedy="give a folder laid out like data/hippocampus"
        )
    cases = []
    try:
        with zipfile.ZipFile(archive) as packed:
            members = sorted(n for n in packed.namelist() if "/images/" in n and n.endswith(".nii.gz"))
            for member in members:
                image, spacing = _read_nifti(packed.read(member))
                label, _ = _read_nifti(packed.read(member.replace("/images/", "/labels/")))
                cases.append(_case(Path(member).name.removesuffix(".nii.gz"), image, label, spacing))
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, SourceFault) as error:
        raise BadInput("this archive of hippocampus crops cannot be read", path=archive) from error
    if not cases:
        raise BadInput("this archive holds no images", path=archive)
    return cases


def _case(
    name: str, image: NDArray[np.float32], label: NDArray[np.float32], spacing: tuple[float, float, float]
) -> HippocampusCase:
    whole = np.rint(label).astype(np.uint8)
    if image.shape != label.shape or np.any(whole != label) or whole.max() > len(LABELS):
        raise ValueError(f"{name}: the label does not fit the image or is not whole-numbered")
    return HippocampusCase(name, image, whole, spacing)


def _read_nifti(packed: bytes) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Values (float32, `[k, j, i]`) and spacing of a gzipped single-file NIfTI with three axes."""
    raw = gzip.decompress(packed)
    header = parse_header(raw[:540])
    if header.times != 1 or header.samples != 1:
        raise ValueError("not one plain three-dimensional picture")
    k, j, i = header.size_kji
    stored = np.frombuffer(raw, header.dtype, k * j * i, header.offset).reshape(k, j, i)
    values = stored.astype(np.float32)
    if (header.slope, header.intercept) != (1.0, 0.0):
        values = values * np.float32(header.slope) + np.float32(header.intercept)
    return values, header.spacing_kji
