"""Reading DICOM Segmentation objects: every frame is laid by its own position and orientation, whatever its order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, MedviewerError, Refused
from medviewer.formats import source
from medviewer.formats.dicom.codes import TISSUE, Code, SegmentMeaning
from medviewer.volume.grid import Grid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"

#: A frame lies on the grid's own voxels where no voxel of it is farther off than this share of a voxel in its plane ...
SAME_LATTICE_VOXELS = 0.1
#: ... and where its plane is no farther from a slice than this share of the slice distance.
HALF_SLICE = 0.5
#: Slice distances that differ by less than this share are the same.
SAME_SPACING = 0.1

#: Pixels that are decoded at once where a file is not plain bits.
LARGEST_DECODED = 1 << 31

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SegDescription:
    """What one segment of a DICOM SEG is.

    Attributes:
        number: its value in the label map.
        label: Segment Label (0062,0005).
        meaning: coded category, type, modifier, anatomic region.
        colour: RGB of Recommended Display CIELab Value (0062,000D), None where the file has none.
        algorithm_type: AUTOMATIC, SEMIAUTOMATIC (a person edited) or MANUAL (0062,0008).
        algorithm_name, algorithm_version: of Segmentation Algorithm Identification (0062,0007).
        algorithm_parameters: name and value, as in Algorithm Parameters (0066,0032).
        tracking_id, tracking_uid: (0062,0020), (0062,0021).
    """

    number: int
    label: str
    meaning: SegmentMeaning = field(default_factory=SegmentMeaning)
    colour: tuple[int, int, int] | None = None
    algorithm_type: Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"] = "MANUAL"
    algorithm_name: str = ""
    algorithm_version: str = ""
    algorithm_parameters: tuple[tuple[str, str], ...] = ()
    tracking_id: str = ""
    tracking_uid: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """One frame: how to read what it marks (segment number of each pixel, 0 for none), and where it lies (mm, LPS)."""

    read: Callable[[], NDArray[np.uint8]]
    shape: tuple[int, int]
    origin_lps: Float
    column_step_lps: Float
    row_step_lps: Float
    slice_mm: tuple[float, ...]  # what the file says about slices: their distance, their thickness


def read_seg(
    path: Path,
    grid: Grid,
    *,
    frame_of_reference_uid: str = "",
    on_overlap: Literal["refuse", "later-wins"] = "refuse",
) -> tuple[NDArray[np.uint8], tuple[SegDescription, ...]]:
    """The segments of a DICOM SEG (binary, fractional or label map) on a grid.

    Frames that lie on the grid's own voxels are copied; a SEG on another lattice is laid by nearest voxel. Fractions
    count from one half.

    Args:
        path: the file, or a member of a ZIP.
        grid: of the image it is shown on.
        frame_of_reference_uid: of the image; "" where unknown.
        on_overlap: a label map holds one number a voxel: refuse a file whose segments overlap, or let the segment with
            the higher number win.

    Returns:
        The label map uint8 `[k, j, i]` and what its numbers are.

    Raises:
        BadInput: it cannot be read or is no segmentation.
        Refused: another frame of reference, no geometry, all of it outside the grid, overlapping segments, more than
            255.
    """
    try:
        return _read(_open(path), path, grid, frame_of_reference_uid, on_overlap)
    except (MedviewerError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes parsers raise anything
        raise BadInput(f"the segmentation is damaged ({type(error).__name__})", path=path) from error


def _read(
    dataset: Dataset, path: Path, grid: Grid, frame_of_reference_uid: str, on_overlap: str
) -> tuple[NDArray[np.uint8], tuple[SegDescription, ...]]:
    theirs = str(dataset.get("FrameOfReferenceUID", ""))
    if frame_of_reference_uid and theirs and theirs != frame_of_reference_uid:
        raise Refused("this segmentation belongs to another frame of reference", path=path)
    segments = tuple(_description(item) for item in dataset.get("SegmentSequence", ()) if item.get("SegmentNumber", 1))
    if any(not 1 <= s.number <= 255 for s in segments):
        raise Refused("more segments than a label map of 8 bits holds", path=path)
    labelmap = np.zeros(grid.size_kji, dtype=np.uint8)
    frames = list(_frames(dataset, path))
    if not frames:
        return labelmap, segments
    laid = _lay_on_own_voxels(frames, grid, labelmap, path, on_overlap)
    if not laid:
        labelmap[...] = _resampled(frames, grid, path, on_overlap)
    if not labelmap.any() and any(f.read().any() for f in frames):
        raise Refused("this segmentation lies outside the image", path=path)
    return labelmap, segments


def _open(path: Path) -> Dataset:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with source.open_binary(path) as file:
            dataset = pydicom.dcmread(file)
            dataset.decode()
    except InvalidDicomError as error:
        raise BadInput("this is no DICOM file", path=path) from error
    except (OSError, source.SourceFault) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"the segmentation cannot be read: {reason}", path=path) from error
    if str(dataset.get("SOPClassUID", "")) not in (SEGMENTATION_STORAGE, LABEL_MAP_STORAGE):
        raise BadInput("this is no DICOM segmentation", path=path)
    return dataset


# -- what the segments are ---------------------------------------------------------------------------------------------


def _code(sequence: Any) -> Code | None:
    if not sequence:
        return None
    item = sequence[0]
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue") or ""
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def _description(item: Dataset) -> SegDescription:
    kinds = item.get("SegmentedPropertyTypeCodeSequence")
    modifier = _code(kinds[0].get("SegmentedPropertyTypeModifierCodeSequence")) if kinds else None
    meaning = SegmentMeaning(
        _code(item.get("SegmentedPropertyCategoryCodeSequence")) or TISSUE,
        _code(kinds) or TISSUE,
        modifier,
        _code(item.get("AnatomicRegionSequence")),
    )
    algorithm: Mapping[str, Any] = (item.get("SegmentationAlgorithmIdentificationSequence") or [{}])[0]
    kind = str(item.get("SegmentAlgorithmType", "MANUAL"))
    parameters = algorithm.get("AlgorithmParameters") or ""
    return SegDescription(
        number=int(item.SegmentNumber),
        label=str(item.get("SegmentLabel", f"Segment {item.SegmentNumber}")),
        meaning=meaning,
        colour=_rgb(item.get("RecommendedDisplayCIELabValue")),
        algorithm_type="AUTOMATIC" if kind == "AUTOMATIC" else "SEMIAUTOMATIC" if kind == "SEMIAUTOMATIC" else "MANUAL",
        algorithm_name=str(algorithm.get("AlgorithmName") or item.get("SegmentAlgorithmName") or ""),
        algorithm_version=str(algorithm.get("AlgorithmVersion") or ""),
        algorithm_parameters=_parameters(str(parameters)),
        tracking_id=str(item.get("TrackingID") or ""),
        tracking_uid=str(item.get("TrackingUID") or ""),
    )


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    """The "name=value,name=value" that highdicom writes; anything else as one nameless value."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _rgb(lab: Any) -> tuple[int, int, int] | None:
    if lab is None or len(lab) != 3:
        return None
    from highdicom.color import CIELabColor

    red, green, blue = CIELabColor.from_dicom_value((int(lab[0]), int(lab[1]), int(lab[2]))).to_rgb()
    return int(red), int(green), int(blue)


# -- where the frames lie ----------------------------------------------------------------------------------------------


def _group(groups: list[Dataset], name: str) -> Dataset | None:
    """An item of a functional group: of the frame, else of all frames."""
    for group in groups:
        items = group.get(name)
        if items:
            item: Dataset = items[0]
            return item
    return None


def _frames(dataset: Dataset, path: Path) -> Iterator[_Frame]:
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shape = int(dataset.Rows), int(dataset.Columns)
    image_of = _pixels(dataset, path, len(per_frame))
    is_label_map = str(dataset.SOPClassUID) == LABEL_MAP_STORAGE
    is_fractional = str(dataset.get("SegmentationType", "")) == "FRACTIONAL"
    half = float(dataset.get("MaximumFractionalValue", 1)) / 2

    def reader(index: int, number: int) -> Callable[[], NDArray[np.uint8]]:
        def read() -> NDArray[np.uint8]:
            image: NDArray[Any] = image_of(index)
            if is_label_map:
                if image.max(initial=0) > 255:
                    raise Refused("more segments than a label map of 8 bits holds", path=path)
                return image.astype(np.uint8)
            marked: NDArray[np.bool_] = image >= half if is_fractional else image != 0
            numbers: NDArray[np.uint8] = marked.astype(np.uint8) * np.uint8(number)
            return numbers

        return read

    for index, own in enumerate(per_frame):
        groups = [own, *shared]
        position = _group(groups, "PlanePositionSequence")
        orientation = _group(groups, "PlaneOrientationSequence")
        measures = _group(groups, "PixelMeasuresSequence")
        if position is None or orientation is None or measures is None:
            raise Refused("the segmentation says nothing about where its frames lie", path=path)
        identity = _group(groups, "SegmentIdentificationSequence")
        if identity is None and not is_label_map:
            raise BadInput("a frame of the segmentation belongs to no segment", path=path)
        number = 0 if identity is None or is_label_map else int(identity.ReferencedSegmentNumber)
        directions = np.asarray([float(v) for v in orientation.ImageOrientationPatient])
        row_mm, column_mm = (float(v) for v in measures.PixelSpacing)
        origin = np.asarray([float(v) for v in position.ImagePositionPatient])
        said = (measures.get("SpacingBetweenSlices"), measures.get("SliceThickness"))
        slice_mm = tuple(abs(float(v)) for v in said if v)
        across, down = directions[:3] * column_mm, directions[3:] * row_mm
        yield _Frame(reader(index, number), shape, origin, across, down, slice_mm)


def _pixels(dataset: Dataset, path: Path, frames: int) -> Callable[[int], NDArray[np.generic]]:
    """What gives the stored values `[row, column]` of one frame; bits are unpacked frame by frame."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if int(dataset.get("NumberOfFrames", 1) or 1) != frames:
        raise BadInput("the segmentation's frames and their positions differ in number", path=path)
    size = rows * columns
    if int(dataset.BitsAllocated) == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        bits = np.frombuffer(dataset.PixelData, dtype=np.uint8)
        if bits.size * 8 < size * frames:
            raise BadInput("the segmentation's pixels are cut short", path=path)

        def unpacked(index: int) -> NDArray[np.generic]:
            # PS3.5 8.1.1: the first pixel is the lowest bit; frames follow each other without padding
            first = index * size
            part = np.unpackbits(bits[first // 8 : -(-(first + size) // 8)], bitorder="little")
            return part[first % 8 : first % 8 + size].reshape(rows, columns)

        return unpacked
    if size * frames > LARGEST_DECODED:
        raise Refused("the segmentation is too large to be decoded at once", path=path)
    try:
        whole = np.asarray(dataset.pixel_array).reshape(frames, rows, columns)
    except Exception as error:  # decoders raise anything
        raise BadInput("the segmentation's pixels cannot be decoded", path=path) from error

    def decoded(index: int) -> NDArray[np.generic]:
        frame: NDArray[np.generic] = whole[index]
        return frame

    return decoded


def _lay_on_own_voxels(
    frames: list[_Frame],
    grid: Grid,
    labelmap: NDArray[np.uint8],
    path: Path,
    on_overlap: str,
) -> bool:
    """Copy frames that lie on the grid's voxels, rows and columns along its axes, whichever; False if one does not."""
    if not _has_spacing_of(frames, grid):
        return False
    placed: list[tuple[_Frame, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for frame in frames:
        start = grid.lps_to_index(frame.origin_lps)
        column = grid.lps_to_index(frame.origin_lps + frame.column_step_lps) - start
        row = grid.lps_to_index(frame.origin_lps + frame.row_step_lps) - start
        column_unit, row_unit = np.rint(column), np.rint(row)
        rows, columns = frame.shape
        drift = np.abs(column - column_unit) * (columns - 1) + np.abs(row - row_unit) * (rows - 1)
        is_lattice = (
            np.abs(column_unit).sum() == 1 and np.abs(row_unit).sum() == 1 and not (column_unit * row_unit).any()
        )
        if not is_lattice:
            return False
        through = np.abs(column_unit) + np.abs(row_unit) == 0
        off = np.abs(start - np.rint(start)) + drift
        if np.any(off[~through] > SAME_LATTICE_VOXELS) or off[through][0] > HALF_SLICE:
            return False
        placed.append((frame, np.rint(start).astype(int), column_unit.astype(int), row_unit.astype(int)))
    for frame, first, across, down in placed:
        numbers = frame.read()
        marked = np.argwhere(numbers)
        index = first + marked[:, :1] * down + marked[:, 1:] * across
        inside = np.all((index >= 0) & (index < np.asarray(grid.size_kji)), axis=1)
        where = tuple(index[inside].T)
        values = numbers[tuple(marked[inside].T)]
        _put(labelmap, where, values, path, on_overlap)
    return True


def _put(
    labelmap: NDArray[np.uint8],
    where: tuple[NDArray[np.int64], ...],
    values: NDArray[np.uint8],
    path: Path,
    on_overlap: str,
) -> None:
    before = labelmap[where]
    if on_overlap == "refuse" and np.any((before != 0) & (before != values)):
        raise Refused(
            "segments of this file overlap, and a voxel can belong to one segment only",
            path=path,
            remedy="open it with the later segments on top, or choose one segment",
        )
    labelmap[where] = np.maximum(before, values)


def _normal(frame: _Frame) -> Float:
    normal = np.cross(frame.column_step_lps, frame.row_step_lps)
    unit: Float = normal / np.linalg.norm(normal)
    return unit


def _heights(frames: list[_Frame]) -> tuple[Float, float | None]:
    """Distinct plane heights along the normal, ascending, and their step (None with one plane)."""
    along = np.asarray([f.origin_lps @ _normal(frames[0]) for f in frames])
    heights = np.unique(np.round(along, 3))
    if heights.size < 2:
        return heights, None
    return heights, float(np.min(np.diff(heights)))


def _has_spacing_of(frames: list[_Frame], grid: Grid) -> bool:
    """True where the planes are as far apart as the grid's slices.

    Empty frames are left out of files, so a multiple of that is the same lattice too, unless the file says that its
    slices are that thick.
    """
    _, step = _heights(frames)
    if step is None:
        return True
    moved = grid.lps_to_index(np.zeros(3) + _normal(frames[0]) * step) - grid.lps_to_index(np.zeros(3))
    slices = float(np.max(np.abs(moved)))
    if abs(slices - 1.0) <= SAME_SPACING:
        return True
    if slices < 1.0 or abs(slices - round(slices)) > SAME_SPACING:
        return False
    said = [mm / step * slices for mm in frames[0].slice_mm]
    return not said or any(abs(n - 1.0) <= SAME_SPACING for n in said)


def _resampled(frames: list[_Frame], grid: Grid, path: Path, on_overlap: str) -> NDArray[np.uint8]:
    """The nearest voxel of a SEG on a lattice of its own; its planes must be parallel and evenly spaced."""
    first = frames[0]
    same = all(
        np.allclose(f.column_step_lps, first.column_step_lps, atol=1e-4)
        and np.allclose(f.row_step_lps, first.row_step_lps, atol=1e-4)
        for f in frames
    )
    heights, step = _heights(frames)
    normal = _normal(first)
    if step is None:
        step = float(np.min(grid.spacing_kji))
    planes = np.rint((heights - heights[0]) / step)
    if not same or np.max(np.abs(heights - heights[0] - planes * step)) > HALF_SLICE * step:
        raise Refused("the segmentation's planes are not parallel and evenly spaced", path=path)
    if (planes[-1] + 1) * first.shape[0] * first.shape[1] > LARGEST_DECODED:
        raise Refused("the segmentation is too large to be laid on this image", path=path)
    own = np.zeros((int(planes[-1]) + 1, *first.shape), dtype=np.uint8)
    lowest = min(frames, key=lambda f: float(f.origin_lps @ normal))
    for frame in frames:
        plane = int(np.rint((frame.origin_lps - lowest.origin_lps) @ normal / step))
        shift = frame.origin_lps - lowest.origin_lps - plane * step * normal
        if np.linalg.norm(shift) > HALF_SLICE * step + 1e-3:
            raise Refused("the segmentation's planes are not stacked along their normal", path=path)
        numbers = frame.read()
        marked = np.nonzero(numbers)
        _put(own, (np.full(marked[0].size, plane), *marked), numbers[marked], path, on_overlap)
    column_mm, row_mm = np.linalg.norm(first.column_step_lps), np.linalg.norm(first.row_step_lps)
    direction = (*(first.column_step_lps / column_mm), *(first.row_step_lps / row_mm), *normal)
    x, y, z = (float(v) for v in lowest.origin_lps)
    own_grid = Grid(own.shape, (step, float(row_mm), float(column_mm)), tuple(float(d) for d in direction), (x, y, z))
    result = np.zeros(grid.size_kji, dtype=np.uint8)
    j, i = np.meshgrid(np.arange(grid.size_kji[1]), np.arange(grid.size_kji[2]), indexing="ij")
    for k in range(grid.size_kji[0]):
        points = grid.index_to_lps(np.stack([np.full_like(j, k), j, i], axis=-1))
        index = np.floor(own_grid.lps_to_index(points) + 0.5).astype(int)
        inside = np.all((index >= 0) & (index < np.asarray(own.shape)), axis=-1)
        result[k][inside] = own[tuple(index[inside].T)]
    return result
