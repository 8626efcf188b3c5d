"""What a scan finds: patients, studies, series and their stacks, other objects, and what was skipped and why.

Value objects only. A Stack is the part of a series that forms one volume, one cine or one set of frames;
its frames stand in **stack order**: ascending along row x column of the orientation; without geometry in the
order of instance numbers, then of file names; frames of one file in the file's order. 4-D stacks hold the
frames of the first time, then of the second, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from medviewer.volume.grid import Grid
from medviewer.volume.lut import LookupTable
from medviewer.volume.overlay_plane import OverlayPlane
from medviewer.volume.shutter import Shutter
from medviewer.volume.window import Window


class StackKind(StrEnum):
    """What a stack is to a viewer."""

    VOLUME = "volume"  # slices of one orientation at different positions, with a Grid unless a code says why not
    FRAMES = "frames"  # several pictures of one size without a common geometry
    CINE = "cine"  # pictures of one place in time
    FOUR_D = "4d"  # several volumes of one grid
    SINGLE = "single"  # one picture


@dataclass(frozen=True, slots=True)
class Quality:
    """A fault of a stack: a code of the command line's contract and a sentence part that names where.

    Attributes:
        code: one of the command line's contract; `formats.quality` has a sentence for each.
        detail: what and where, for people; images are counted from 1 in stack order.
        short: two or three words with the number that matters, for the picture ("gantry tilt 14.0°").
        images: indices in stack order (from 0) of the pictures that it is about, empty where it is about all.
    """

    code: str
    detail: str
    short: str = ""
    images: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not shown, with the reason in words and its code."""

    path: Path
    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """A DICOM file that is not a picture of its own (SEG, SR, RTSTRUCT, ...).

    Attributes:
        path: the file.
        kind: one of the kinds of the command line's contract ("SEG", "SR", "no-pixels", ...).
        summary: one line for people.
        patient: person name as in `Patient.name`.
        sop_instance_uid, study_uid, series_uid: its identifiers, "" where absent.
        referenced_series: series that it refers to, as far as the header's top level says.
        frame_of_reference_uid: of the space that its contours, masks or doses lie in, "" where it has none.
    """

    path: Path
    kind: str
    summary: str
    patient: str
    sop_instance_uid: str = ""
    study_uid: str = ""
    series_uid: str = ""
    patient_id: str = ""
    referenced_series: tuple[str, ...] = ()
    frame_of_reference_uid: str = ""


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How the pixels of a file are stored (PS3.3 C.7.6.3). One instance is shared by all frames of equal layout.

    `float_bits` is 32 or 64 for (Double) Float Pixel Data, else 0. `transfer_syntax` is the UID.
    `signed_by_stream` is True where the header calls the pixels unsigned and their JPEG 2000 code stream signed (see
    `dicom.stream_sign`).
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: int
    frames: int
    transfer_syntax: str
    float_bits: int = 0
    signed_by_stream: bool = False

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The native type of one sample, in this machine's byte order; one-bit pixels are uint8."""
        if self.float_bits:
            return np.dtype(f"f{self.float_bits // 8}")
        if self.bits_allocated == 1:
            return np.dtype("u1")
        return np.dtype(f"{'i' if self.signed else 'u'}{self.bits_allocated // 8}")

    @property
    def is_colour(self) -> bool:
        """True where a frame has three samples a pixel."""
        return self.samples == 3

    @property
    def is_palette(self) -> bool:
        """True where stored values are indices of a colour table."""
        return self.photometric == "PALETTE COLOR"


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where one frame's pixels lie, and what belongs to this frame alone.

    Attributes:
        path: the file; a member of an archive is written `archive.zip/folder/name`.
        frame: 0-based index of the frame in the file.
        position_lps: centre of the first pixel in mm, or None.
        sop_instance_uid: of the file.
        layout: how the pixels are stored (None for NIfTI and NRRD).
        data_offset: byte offset of the file's pixel data (of its offset table where compressed), -1 where deflated.
        slope, intercept: the modality rescale of this frame as the file declares it. A slope of 0 (fault
            "bad-rescale") destroys all values: a Volume then holds stored values.
        instance_number: as in the file, None where absent.
        tile: first row, first column, rows, columns of the part of the frame that is meant (mosaics), or None.
        table: the Modality LUT of this frame, used instead of slope and intercept.
        windows: this frame's own windows and tables.
        shutter: the display shutter of this frame, or None.
        overlays: the overlay planes of its file; `load.read_graphics` gives their bits.
    """

    path: Path
    frame: int
    position_lps: tuple[float, float, float] | None = None
    sop_instance_uid: str = ""
    layout: PixelLayout | None = None
    data_offset: int = -1
    slope: float = 1.0
    intercept: float = 0.0
    instance_number: int | None = None
    tile: tuple[int, int, int, int] | None = None
    table: LookupTable | None = None
    windows: tuple[Window, ...] = ()
    shutter: Shutter | None = None
    overlays: tuple[OverlayPlane, ...] = ()


@dataclass(frozen=True, slots=True)
class StackText:
    """Facts of the header that a viewer writes on the screen; "" or None where the file says nothing.

    Dates are DICOM's YYYYMMDD, times HHMMSS. `patient_name` holds all groups in the file's order, joined by "=".
    `guessed` is True where the character set of a text was guessed.
    `view` is the View Position ("PA", "MLO"), `patient_orientation` says where rows and columns point where there are
    no direction cosines ("A", "F"). `calibration` says what a millimetre of a projection or ultrasound picture means
    ("at detector", "magn. 1.07", "calibrated: fiducial", "US region"); "" where a millimetre is one of the patient's,
    or there is none.
    """

    patient_name: str = ""
    patient_id: str = ""
    patient_sex: str = ""
    patient_age: str = ""
    patient_birth_date: str = ""
    study_date: str = ""
    study_time: str = ""
    study_description: str = ""
    study_uid: str = ""
    accession_number: str = ""
    series_number: int | None = None
    series_description: str = ""
    series_uid: str = ""
    series_date: str = ""
    series_time: str = ""
    protocol: str = ""
    institution: str = ""
    manufacturer: str = ""
    model: str = ""
    body_part: str = ""
    laterality: str = ""
    view: str = ""
    patient_orientation: tuple[str, ...] = ()
    patient_position: str = ""
    contrast_agent: str = ""
    thickness_mm: float | None = None
    kernel: str = ""
    kvp: float | None = None
    tube_current_ma: float | None = None
    repetition_ms: float | None = None
    echo_ms: float | None = None
    inversion_ms: float | None = None
    flip_degrees: float | None = None
    field_tesla: float | None = None
    frame_of_reference_uid: str = ""
    spacing_source: str = ""
    calibration: str = ""
    lossy: str = ""
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """The part of a series that forms one volume, one cine or one set of frames.

    Attributes:
        id: the same on every run.
        kind: see `StackKind`.
        frames: in stack order; `times * size_kji[0]` of them.
        size_kji: slices (of one time), rows, columns.
        times: 1 but for 4-D.
        grid: where the voxels lie (of one time); None where the files cannot carry a 3-D geometry, with a
            code in `quality` that says why. A single slice with position has a grid of one slice.
        spacing_kji: mm; for a stack without grid the spacing as far as it is known (None: unknown). The first
            is the step along the normal, for one slice its thickness.
        dtype: numpy name of the stored type, "int16".
        modality: "CT", "MR", ...
        windows: the file's own windows and tables, the first is the default; empty if it has none that is usable.
        window_by_frame: True where the frames (pictures without a common geometry) have unlike windows of their own:
            each is shown under its own one (`FrameRef.windows`) until somebody chooses another.
        coloured_from: the first stored value that has a colour of its own in a grey picture (Supplemental Palette), or
            None; `load.read_supplement` gives the colours.
        quality: faults by code.
        text: what is written on the screen.
        patient_id, frame_of_reference_uid, body_part, study_uid, series_uid, sop_class_uid: of the series.
        unit: of the values after rescale, "HU", "" where unknown.
        padding: inclusive range of stored values that are no tissue.
        inverted: True for MONOCHROME1 and Presentation LUT Shape INVERSE.
        frame_times_ms: start of each frame of a cine, empty if unknown.
        time_labels: one for each time of a 4-D stack ("b 1000", "TE 20 ms", ...).
        name: what distinguishes the stack from its sisters in the series ("TE 20 ms", "localizer", "coronal").
        source: "dicom", "nifti" or "nrrd".
        origin_lps, direction: of the first voxel and the axes as in `Grid`, as far as known; they may be there
            where `grid` is None (missing slices), and then are facts about the first slice only.
        pixel_aspect: height of a pixel to its width where no spacing is known (PixelAspectRatio).
        display_fps: pictures a second that the file recommends for playing, None where it says nothing.
        sweeps: True where the file wants to be played forth and back.
        derived_from: id of the stack that this one was resampled from; "" for what was acquired.
    """

    id: str
    kind: StackKind
    frames: tuple[FrameRef, ...]
    size_kji: tuple[int, int, int]
    times: int
    grid: Grid | None
    spacing_kji: tuple[float | None, float, float] | None
    dtype: str
    modality: str
    windows: tuple[Window, ...] = ()
    quality: tuple[Quality, ...] = ()
    text: StackText = field(default_factory=StackText)
    patient_id: str = ""
    frame_of_reference_uid: str = ""
    body_part: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_class_uid: str = ""
    unit: str = ""
    padding: tuple[float, float] | None = None
    inverted: bool = False
    frame_times_ms: tuple[float, ...] = ()
    time_labels: tuple[str, ...] = ()
    name: str = ""
    source: str = "dicom"
    origin_lps: tuple[float, float, float] | None = None
    direction: tuple[float, ...] | None = None
    pixel_aspect: float | None = None
    display_fps: float | None = None
    sweeps: bool = False
    derived_from: str = ""
    window_by_frame: bool = False
    coloured_from: int | None = None

    @property
    def layout(self) -> PixelLayout | None:
        """The pixel layout of the first frame."""
        return self.frames[0].layout

    @property
    def is_colour(self) -> bool:
        """True where the picture has colours of its own; `load.read_frame_rgb` gives them."""
        layout = self.layout
        return layout is not None and (layout.is_colour or layout.is_palette)

    @property
    def has_graphics(self) -> bool:
        """True where overlay planes or shutters lie over the pictures."""
        return any(frame.overlays or frame.shutter is not None for frame in self.frames)

    @property
    def codes(self) -> frozenset[str]:
        """The quality codes."""
        return frozenset(q.code for q in self.quality)

    def at_time(self, time: int) -> Stack:
        """The stack of one time of a 4-D stack (kind "volume"); the stack itself where it has one time only."""
        if self.times == 1:
            return self
        if not 0 <= time < self.times:
            raise IndexError(f"time {time} of {self.times}")
        n = self.size_kji[0]
        frames = self.frames[time * n : (time + 1) * n]
        windows = frames[n // 2].windows or self.windows  # a phase has another one than its magnitude
        return replace(self, id=f"{self.id}-t{time}", kind=StackKind.VOLUME, frames=frames, times=1, windows=windows)


@dataclass(frozen=True, slots=True)
class Series:
    """One series: what was acquired or derived in one go."""

    uid: str
    number: int | None
    modality: str
    description: str
    stacks: tuple[Stack, ...]


@dataclass(frozen=True, slots=True)
class Study:
    """One examination. `date` is YYYYMMDD or ""."""

    uid: str
    date: str
    description: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Patient:
    """One patient, told apart by ID and name. `name` holds all groups in the file's order, joined by "="."""

    name: str
    id: str
    studies: tuple[Study, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The result of a scan.

    Attributes:
        files: how many files were looked at (members of archives included).
        skipped: files that are not shown, with reasons.
        patients: what can be shown.
        objects: DICOM files that are no pictures of their own.
        warnings: sentences about the whole, of identifiers that two patients share, say.
    """

    files: int = 0
    skipped: tuple[Skipped, ...] = ()
    patients: tuple[Patient, ...] = ()
    objects: tuple[ObjectFile, ...] = ()
    warnings: tuple[str, ...] = ()

    def stacks(self) -> Iterator[Stack]:
        """All stacks in the catalog's order."""
        for patient in self.patients:
            for study in patient.studies:
                for series in study.series:
                    yield from series.stacks

    def stack(self, stack_id: str) -> Stack | None:
        """The stack with this id, or None."""
        return next((s for s in self.stacks() if s.id == stack_id), None)

    @property
    def is_empty(self) -> bool:
        """True where there is neither a stack nor another object."""
        return not self.objects and next(self.stacks(), None) is None
