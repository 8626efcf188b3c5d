"""Volume: voxels in their native type, how they become HU (or another unit), and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medviewer.volume.grid import Grid
from medviewer.volume.lut import LookupTable

AnyArray = NDArray[np.generic]


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """Native voxels with their modality rescale and Grid.

    Attributes:
        voxels: `[k, j, i]`, C order, the stored type (int16, uint16, uint8, float32, ...).
        grid: where the voxels lie; None where the files carry no geometry (then only frames are shown).
        slope, intercept: value = slope * stored + intercept (PS3.3 C.11.1.1.2); one number for all slices or
            one for each slice (PET).
        unit: of the value: "HU", "SUV", "" where unknown.
        modality: DICOM modality, "CT", "MR", ...
        padding: inclusive range of stored values that are no tissue (PS3.3 C.7.5.1.1.2), or None.
        inverted: True for MONOCHROME1 (and Presentation LUT Shape INVERSE): low values are drawn white.
        stack_id: the Stack that it came from; empty if it came from nowhere.
        tables: the Modality LUT instead of slope and intercept (PS3.3 C.11.1.1.1); empty for none, one for all slices,
            or one for each (None: that slice has slope and intercept).
        loaded: one flag a slice, set to True when the slice's voxels have arrived (partial loading);
            shared with the loader, never copied.
    """

    voxels: AnyArray
    grid: Grid | None
    slope: float | NDArray[np.float64] = 1.0
    intercept: float | NDArray[np.float64] = 0.0
    unit: str = ""
    modality: str = ""
    padding: tuple[float, float] | None = None
    inverted: bool = False
    stack_id: str = ""
    tables: tuple[LookupTable | None, ...] = ()
    loaded: NDArray[np.bool_] = field(default_factory=lambda: np.ones(0, dtype=np.bool_))

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            raise ValueError(f"voxels must be [k, j, i], not {self.voxels.shape}")
        if self.grid is not None and self.grid.size_kji != self.voxels.shape:
            raise ValueError(f"grid {self.grid.size_kji} does not fit voxels {self.voxels.shape}")
        if self.loaded.size == 0:
            object.__setattr__(self, "loaded", np.ones(self.voxels.shape[0], dtype=np.bool_))

    @property
    def size_kji(self) -> tuple[int, int, int]:
        """Voxels along slice, row, column."""
        k, j, i = self.voxels.shape
        return k, j, i

    def table_of(self, k: int) -> LookupTable | None:
        """The Modality LUT of slice `k`, None where it has slope and intercept."""
        return None if not self.tables else self.tables[k] if len(self.tables) > 1 else self.tables[0]

    def rescale_of(self, k: int) -> tuple[float, float]:
        """Slope and intercept of slice `k`; of no meaning where it has a table."""
        slope = self.slope[k] if isinstance(self.slope, np.ndarray) else self.slope
        intercept = self.intercept[k] if isinstance(self.intercept, np.ndarray) else self.intercept
        return float(slope), float(intercept)

    @property
    def has_one_rescale(self) -> bool:
        """True where slope and intercept of slice 0 are those of all slices (and no slice has a Modality LUT)."""
        return self.is_linear and all(
            not isinstance(v, np.ndarray) or bool(np.all(v == v.flat[0])) for v in (self.slope, self.intercept)
        )

    @property
    def is_linear(self) -> bool:
        """True where slope and intercept say it all, for those who hand the stored voxels on with them."""
        return not any(table is not None for table in self.tables)

    @property
    def is_whole(self) -> bool:
        """True where values are whole numbers."""
        if self.voxels.dtype.kind not in "iu":
            return False
        if all(self.tables) and self.tables:
            return True
        return all(bool(np.all(np.asarray(v) == np.rint(v))) for v in (self.slope, self.intercept))

    def values_of(self, stored: ArrayLike, k: int = 0) -> NDArray[np.float64]:
        """Values (float64) of stored values of any shape that belong to slice `k`."""
        table = self.table_of(k)
        if table is not None:
            return table.apply(stored)
        slope, intercept = self.rescale_of(k)
        return np.asarray(stored).astype(np.float64) * slope + intercept

    def values(
        self, start_kji: Sequence[int] = (0, 0, 0), size_kji: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Values after the modality rescale of a box, float32 `[k, j, i]`; the box is cut to the volume."""
        size = self.voxels.shape if size_kji is None else size_kji
        spans = [slice(max(0, int(s)), max(0, int(s) + int(n))) for s, n in zip(start_kji, size, strict=True)]
        if not self.is_linear:
            box = self.voxels[spans[0], spans[1], spans[2]]
            return np.stack(
                [self.values_of(box[n], spans[0].start + n) for n in range(box.shape[0])] or [np.zeros(box.shape[1:])],
            ).astype(np.float32)[: box.shape[0]]
        part = self.voxels[spans[0], spans[1], spans[2]].astype(np.float32)
        slope, intercept = self.slope, self.intercept
        a = slope[spans[0], None, None] if isinstance(slope, np.ndarray) else slope
        b = intercept[spans[0], None, None] if isinstance(intercept, np.ndarray) else intercept
        if not (np.ndim(a) == 0 and a == 1.0):
            part *= np.asarray(a, dtype=np.float32)
        if not (np.ndim(b) == 0 and b == 0.0):
            part += np.asarray(b, dtype=np.float32)
        return part

    def value_at(self, index_kji: Sequence[int]) -> float | None:
        """The value of one voxel, or None outside the volume or in a slice that has not arrived."""
        k, j, i = (int(n) for n in index_kji)
        inside = all(0 <= n < m for n, m in zip((k, j, i), self.voxels.shape, strict=True))
        if not inside or not bool(self.loaded[k]):
            return None
        return float(self.values_of(self.voxels[k, j, i], k))

    def is_padding(self, index_kji: Sequence[int]) -> bool:
        """True where a voxel inside the volume is declared to be no tissue."""
        if self.padding is None:
            return False
        k, j, i = (int(n) for n in index_kji)
        return bool(self.padding[0] <= self.voxels[k, j, i] <= self.padding[1])

    def padding_mask(self, stored: ArrayLike) -> NDArray[np.bool_] | None:
        """Where stored values are padding; None if the volume declares none."""
        if self.padding is None:
            return None
        low, high = self.padding
        array = np.asarray(stored)
        mask: NDArray[np.bool_] = (array >= low) & (array <= high)
        return mask
