"""The runner of kind `nodule-segment`: from a click on a nodule to its 3-D mask and the map of the readers' share.

The clicked slice is answered first, by one network; then all networks walk from it towards both ends of the lesion, a
few slices at a time, until nothing of it is left. A lesion larger than the crop is followed by further crops.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.lesion import component_at_click, longest_diameter_mm
from medviewer.inference.nodule_crop import CROP_SIZE, NoduleCrop, nodule_crop
from medviewer.inference.prompt import Prompt, box_to_index
from medviewer.inference.suggestion import SegmentMask, Suggestion
from medviewer.jobs import JobContext
from medviewer.volume.grid import Grid
from medviewer.volume.volume import Volume

if TYPE_CHECKING:
    from medviewer.inference.networks.unet25d import UNet25d
    from medviewer.inference.package import ModelPackage

#: Slices that go through the networks at once while walking: one cancel check each.
STRIDE = 8
#: The lesion is followed no further than this from the click (mm), up and down.
FURTHEST_MM = 100.0
#: Nearer to the crop's rim than this (pixels) the lesion is taken to go on outside.
RIM = 3
#: Further crops for a lesion larger than one.
MAX_CROPS = 8
#: Less lung than this around the click is no chest task's business.
LEAST_LUNG = 0.08
#: A drawing of fewer voxels, or a shorter one (mm), is no nodule: of the nodules learned on all are at least 3 mm.
LEAST_VOXELS = 4
LEAST_DIAMETER_MM = 2.5
#: Of the ring around a nodule at least this share is lung: around attached ones a good half is, in the wall, the hila
#: and the mediastinum less than this.
LEAST_LUNG_AROUND = 0.45
#: What is darker than this (HU) is lung, ground glass or air, and no tissue.
TISSUE_HU = -500.0
#: Inner and outer distance of that ring from the drawn nodule (mm).
RING_MM = (1.5, 4.5)
#: The ring is looked at in slices where the drawing has at least this area (mm2).
LEAST_AREA_MM2 = 4.0
#: Why there is no outline.
NOTHING_FOUND = "nothing that looks like a nodule was found at this place"
NOT_IN_LUNG = "what was found at this place does not lie in lung as a nodule does (wall, vessel or mediastinum?)"
#: Logit of a voxel that no network has looked at.
UNSEEN = -20.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """From logits to the readers' share, and where the contour lies.

    Attributes:
        temperature, bias: share = sigmoid((logit - bias) / temperature) (Platt).
        threshold: share from which on a voxel belongs to the segment.
    """

    temperature: float = 1.0
    threshold: float = 0.5
    bias: float = 0.0

    @classmethod
    def from_json(cls, facts: Mapping[str, object]) -> Calibration:
        """The entries `temperature`, `threshold` and `bias` of calibration.json."""
        return cls(
            float(str(facts.get("temperature", 1.0))),
            float(str(facts.get("threshold", 0.5))),
            float(str(facts.get("bias", 0.0))),
        )

    @property
    def level(self) -> float:
        """The logit at the threshold."""
        return float(self.bias + self.temperature * np.log(self.threshold / (1 - self.threshold)))

    def share(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The readers' share that the logits stand for."""
        answer: NDArray[np.float32] = (1 / (1 + np.exp((self.bias - logits) / self.temperature))).astype(np.float32)
        return answer


def suggest(package: ModelPackage, volume: Volume, prompt: Prompt, device: str, context: JobContext) -> Suggestion:
    """Suggest the segment of the nodule at the click (or in the box).

    The first part is handed out through `context.report(partial=...)` as a Suggestion of stage "clicked-slice".

    Raises:
        BadInput: no geometry, or the prompt lies outside the volume.
        Cancelled: a person asked for it.
    """
    began = time.perf_counter()

    def answer(**parts: object) -> Suggestion:
        return Suggestion(
            task=package.card.task,
            model=package.short_id,
            device=device,
            seconds=time.perf_counter() - began,
            **parts,  # type: ignore[arg-type]
        )

    point = prompt.middle_lps
    if point is None:
        return answer(abstained="this task needs to know which nodule: click on it or draw a box around it")
    reason = unfit_volume(volume)
    if reason is not None:
        return answer(abstained=reason)
    if volume.grid is not None:
        prompt.check_inside(volume.grid)
    crop = nodule_crop(volume, point, reach_mm=FURTHEST_MM)
    if crop.lung_share < LEAST_LUNG:
        return answer(
            abstained="there is hardly any lung around this place, and the model was made for nodules of the lung only"
        )
    nets, calibration = loaded_nets(package, device), Calibration.from_json(package.calibration)
    walk = _Walk(volume, crop, nets, device, context)
    walk.look_at_clicked_slice()
    first = _segment(walk, calibration, volume, prompt)
    if first is not None:
        context.report(0, None, "the clicked slice", partial=answer(segments=(first,), stage="clicked-slice"))
    walk.to_both_ends(calibration)
    if package.config.get("mirrored"):
        coarse = _segment(walk, calibration, volume, prompt)
        if coarse is not None:
            context.report(0, None, "refining", partial=answer(segments=(coarse,), stage="clicked-slice"))
        walk.refine(calibration)
    walk.beyond_the_rim(calibration)
    found = _segment(walk, calibration, volume, prompt)
    if found is None or _is_speck(found, crop):
        return answer(abstained=NOTHING_FOUND)
    if not _lies_in_lung(walk, calibration):
        return answer(abstained=NOT_IN_LUNG)
    return answer(segments=(found,), check_first=_least_sure(found), notes=_notes(walk, volume))


def lung_around(hu: NDArray[np.float32], lesion: NDArray[np.bool_], pixel_mm: float) -> float | None:
    """How much of the ring around a lesion is lung, in the slice where it is most; None where too little is drawn.

    Args:
        hu: `[k, j, i]`.
        lesion: what is drawn, same shape.
        pixel_mm: size of a pixel.
    """
    from scipy import ndimage

    found = []
    for plane, drawn in zip(hu, lesion, strict=True):
        if not drawn.any() or float(drawn.sum()) * pixel_mm**2 < LEAST_AREA_MM2:
            continue
        away = ndimage.distance_transform_edt(~drawn) * pixel_mm
        ring = (away > RING_MM[0]) & (away <= RING_MM[1])
        if ring.any():
            found.append(float(np.mean(plane[ring] < TISSUE_HU)))
    return max(found, default=None)


def _is_speck(found: SegmentMask, crop: NoduleCrop) -> bool:
    """Whether a drawing is too small for a nodule."""
    drawn = np.asarray(found.mask, dtype=bool)
    if int(drawn.sum()) < LEAST_VOXELS:
        return True
    return longest_diameter_mm(drawn, crop.spacing_kji) < LEAST_DIAMETER_MM


def _lies_in_lung(walk: _Walk, calibration: Calibration) -> bool:
    """Whether there is lung around the lesion. The best slice decides: at its ends a nodule of the wall has none."""
    lesion = walk.lesion(calibration)
    start, size = np.asarray(walk.start_kji), np.asarray(walk.volume.size_kji)
    where = np.argwhere(lesion)
    margin = np.array([0, 1, 1]) * (int(np.ceil(RING_MM[1] / walk.crop.pixel_mm)) + 1)
    low = np.maximum(np.maximum(where.min(axis=0) - margin, 0), -start)
    high = np.minimum(np.minimum(where.max(axis=0) + margin + 1, lesion.shape), size - start)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    hu = walk.volume.values(tuple(int(n) for n in start + low), tuple(int(n) for n in high - low))
    around = lung_around(hu, lesion[box], walk.crop.pixel_mm)
    return around is None or around >= LEAST_LUNG_AROUND


def golden_outputs(package: ModelPackage, inputs: Mapping[str, NDArray[Any]], device: str) -> dict[str, NDArray[Any]]:
    """The golden case: HU and a click in, the readers' share out.

    Args:
        inputs: `hu` int16 `[k, j, i]`, `spacing_kji` `[3]` mm, `click_kji` `[3]`.

    Returns:
        `share` float32, the expected share of readers on the crop of the clicked slice and its neighbours.
    """
    calibration = Calibration.from_json(package.calibration)
    return {"share": golden_share(loaded_nets(package, device), calibration, inputs, device)}


def golden_share(
    nets: Sequence[UNet25d], calibration: Calibration, inputs: Mapping[str, NDArray[Any]], device: str
) -> NDArray[np.float32]:
    """The output `share` of the golden case, `[k, 96, 96]`, from networks that are in no package yet."""
    grid = Grid.plain(inputs["hu"].shape, [float(v) for v in inputs["spacing_kji"]])
    volume = Volume(inputs["hu"], grid, unit="HU", modality="CT")
    crop = nodule_crop(volume, [float(v) for v in grid.index_to_lps(inputs["click_kji"])], reach_mm=FURTHEST_MM)
    walk = _Walk(volume, crop, nets, device, JobContext())
    walk.to_both_ends(calibration)
    inner = slice(CROP_SIZE, 2 * CROP_SIZE)
    near = slice(max(0, walk.clicked - 2), walk.clicked + 3)
    return calibration.share(walk.logits[near, inner, inner])


def crop_logits(
    nets: Sequence[UNet25d],
    images: NDArray[np.float32],
    click_kji: Sequence[float],
    pixel_mm: float,
    spacing_mm: float,
    *,
    device: str = "cpu",
    mirrored: bool = False,
) -> NDArray[np.float32]:
    """Mean logits of the networks for all slices of a crop that has been cut out and stretched already.

    Args:
        images: `[k, H, W]` float32 in 0..1; its ends are taken for the ends of what is known.
        click_kji: the click in voxels of the crop.
        pixel_mm, spacing_mm: size of a pixel, distance of neighbouring slices.
        mirrored: average over the picture's mirrorings (four times the work).

    Returns:
        `[k, H, W]` float32.
    """
    from medviewer.inference.networks.unet25d import slice_logits

    total = np.zeros(images.shape, dtype=np.float32)
    for low in range(0, images.shape[0], 2 * STRIDE):
        wanted = range(low, min(low + 2 * STRIDE, images.shape[0]))
        for net in nets:
            total[low : wanted.stop] += slice_logits(
                net, images, click_kji, pixel_mm, spacing_mm, wanted, device=device, mirrored=mirrored
            )
    total /= len(nets)
    return total


def warm(package: ModelPackage, device: str) -> None:
    """Load the networks and run each once, so that the first click need not wait for it."""
    from medviewer.inference.networks.unet25d import slice_logits

    blank = np.zeros((1, CROP_SIZE, CROP_SIZE), dtype=np.float32)
    for net in loaded_nets(package, device):
        slice_logits(net, blank, (0, 48, 48), 0.7, 1.5, [0], device=device)


#: The networks of the packages used last, by package id and device.
_loaded: OrderedDict[tuple[str, str], tuple[UNet25d, ...]] = OrderedDict()
_KEPT = 2


def loaded_nets(package: ModelPackage, device: str) -> tuple[UNet25d, ...]:
    """The networks of a package in evaluation mode on a device, checked against its config and card.

    Raises:
        Refused: the weights are not what the package says.
    """
    key = (package.id, device)
    if key not in _loaded:
        from medviewer.inference.networks.registry import build
        from medviewer.inference.package import check_weights, read_weights

        check_weights(package)
        nets = []
        for member in range(len(package.weights)):
            net = build(package.config["network"])
            net.load_state_dict(read_weights(package, member))
            nets.append(net.eval().to(device))
        _loaded[key] = tuple(nets)
        while len(_loaded) > _KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(key)
    return _loaded[key]


def unfit_volume(volume: Volume) -> str | None:
    """Why these voxels are none of this model's business, or None."""
    if volume.modality not in ("CT", ""):
        return f"this model was made for CT of the lung, and this is {volume.modality}"
    grid = volume.grid
    if grid is None:
        return "this stack has no geometry, so the size of what is seen in it is unknown"
    if volume.unit not in ("HU", ""):
        return f"this model needs CT numbers in HU, and these values are in {volume.unit}"
    arrived = np.flatnonzero(volume.loaded)
    if len(arrived):
        middle = volume.values((int(arrived[len(arrived) // 2]), 0, 0), (1, *grid.size_kji[1:]))
        if float(middle.min()) > -500.0:
            return "these values are no CT numbers of a chest: no air is among them"
    if abs(grid.axis_k[2]) < 0.8:
        return "this model knows axial slices only, and this stack was cut in another direction"
    if grid.spacing_kji[0] > 5.5:
        return f"the slices are {grid.spacing_kji[0]:.1f} mm apart; the model learned on slices up to 5 mm apart"
    if not 0.35 <= (grid.spacing_kji[1] + grid.spacing_kji[2]) / 2 <= 1.3:
        return f"the pixels measure {grid.spacing_kji[1]:.2f} mm; the model learned on 0.46 to 0.98 mm"
    return None


class _Walk:
    """Logits of the voxels around a click, filled in as the networks look at them.

    The canvas reaches one crop further than the clicked crop on each side.
    """

    def __init__(
        self, volume: Volume, crop: NoduleCrop, nets: Sequence[UNet25d], device: str, context: JobContext
    ) -> None:
        self.volume, self.crop, self.nets, self.device, self.context = volume, crop, nets, device, context
        count = crop.images.shape[0]
        self.logits = np.full((count, 3 * CROP_SIZE, 3 * CROP_SIZE), UNSEEN, dtype=np.float32)
        self.start_kji = (crop.start_kji[0], crop.start_kji[1] - CROP_SIZE, crop.start_kji[2] - CROP_SIZE)
        self.click_kji = (crop.click_kji[0], crop.click_kji[1] + CROP_SIZE, crop.click_kji[2] + CROP_SIZE)
        self.clicked = min(count - 1, max(0, int(np.floor(crop.click_kji[0] + 0.5))))
        self.low = self.high = self.clicked  # slices low .. high - 1 have been looked at by all networks
        self.crops = 1

    def look_at_clicked_slice(self) -> None:
        """One network, the clicked slice."""
        self._write(self.crop, self._logits(self.crop, [self.clicked], self.nets[:1]), [self.clicked])

    def to_both_ends(self, calibration: Calibration) -> None:
        """All networks, from the clicked slice up and down until the lesion has ended."""
        count = self.crop.images.shape[0]
        if self.low == self.high:
            self._look(max(0, self.clicked - STRIDE // 2), min(count, self.clicked + STRIDE // 2 + 1))
        while True:
            lesion = self.lesion(calibration)
            if not lesion.any():
                return
            up = self.high < count and bool(lesion[self.high - 1].any())
            down = self.low > 0 and bool(lesion[self.low].any())
            if not up and not down:
                return
            if up:
                self._look(self.high, min(count, self.high + STRIDE))
            if down:
                self._look(max(0, self.low - STRIDE), self.low)

    def refine(self, calibration: Calibration) -> None:
        """Look at the lesion's slices again, averaged over the picture's mirrorings (four times the work)."""
        there = np.flatnonzero(self.lesion(calibration).any(axis=(1, 2)))
        if not len(there):
            return
        low, high = max(self.low, int(there[0]) - 1), min(self.high, int(there[-1]) + 2)
        for start in range(low, high, STRIDE // 2):
            wanted = list(range(start, min(high, start + STRIDE // 2)))
            self._write(self.crop, self._logits(self.crop, wanted, self.nets, mirrored=True), wanted, replace=True)
        self.to_both_ends(calibration)

    def beyond_the_rim(self, calibration: Calibration) -> None:
        """Further crops where the lesion reaches the rim of what has been looked at."""
        grid = self.volume.grid
        while grid is not None and self.crops < MAX_CROPS:
            lesion = self.lesion(calibration)
            seen = np.asarray((self.logits > UNSEEN).any(axis=0), dtype=bool)
            inner = _shrunk(seen, RIM)
            touching = np.argwhere(lesion & ~inner)
            reachable = (touching[:, 1:] >= CROP_SIZE // 2) & (touching[:, 1:] < self.logits.shape[1] - CROP_SIZE // 2)
            touching = touching[reachable.all(axis=1)] if len(touching) else touching
            if not len(touching):
                return
            spot = touching[len(touching) // 2]
            index = np.asarray(self.start_kji) + spot
            if not grid.contains_index(index):
                return
            self.crops += 1
            span = (self.start_kji[0], self.start_kji[0] + self.logits.shape[0])
            crop = nodule_crop(self.volume, [float(v) for v in grid.index_to_lps(index)], slices=span)
            wanted = [k for k in np.flatnonzero(lesion.any(axis=(1, 2))).tolist() if 0 <= k < crop.images.shape[0]]
            for n in range(0, len(wanted), STRIDE):
                part = wanted[n : n + STRIDE]
                self._write(crop, self._logits(crop, part, self.nets), part)

    def lesion(self, calibration: Calibration) -> NDArray[np.bool_]:
        """The part at the click, on the canvas."""
        low, high = min(self.low, self.clicked), max(self.high, self.clicked + 1)
        click = (self.click_kji[0] - low, *self.click_kji[1:])
        whole = np.zeros(self.logits.shape, dtype=bool)
        whole[low:high] = component_at_click(self.logits[low:high] > calibration.level, click, self.crop.spacing_kji)
        return whole

    def _look(self, low: int, high: int) -> None:
        wanted = list(range(low, high))
        self._write(self.crop, self._logits(self.crop, wanted, self.nets), wanted, replace=True)
        self.low, self.high = min(low, self.low), max(high, self.high)

    def _logits(
        self, crop: NoduleCrop, wanted: Sequence[int], nets: Sequence[UNet25d], *, mirrored: bool = False
    ) -> NDArray[np.float32]:
        from medviewer.inference.networks.unet25d import slice_logits

        total = np.zeros((len(wanted), *crop.images.shape[1:]), dtype=np.float32)
        for net in nets:
            self.context.check()
            total += slice_logits(
                net,
                crop.images,
                crop.click_kji,
                crop.pixel_mm,
                crop.slice_spacing_mm,
                wanted,
                device=self.device,
                mirrored=mirrored,
            )
        total /= len(nets)
        return np.where(crop.real[list(wanted)], np.maximum(total, UNSEEN + 1), UNSEEN + 1).astype(np.float32)

    def _write(
        self, crop: NoduleCrop, logits: NDArray[np.float32], wanted: Sequence[int], *, replace: bool = False
    ) -> None:
        """Put logits on the canvas; where two crops looked, the surer one for a lesion holds."""
        j, i = crop.start_kji[1] - self.start_kji[1], crop.start_kji[2] - self.start_kji[2]
        j0, j1 = max(0, j), min(self.logits.shape[1], j + CROP_SIZE)
        i0, i1 = max(0, i), min(self.logits.shape[2], i + CROP_SIZE)
        for k, plane in zip(wanted, logits, strict=True):
            part = plane[j0 - j : j1 - j, i0 - i : i1 - i]
            old = self.logits[k, j0:j1, i0:i1]
            self.logits[k, j0:j1, i0:i1] = part if replace else np.maximum(old, part)


def _shrunk(mask: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """A 2-D mask without its rim (square neighbourhood)."""
    from scipy import ndimage

    inner: NDArray[np.bool_] = ndimage.binary_erosion(
        mask, structure=np.ones((3, 3), dtype=bool), iterations=pixels, border_value=0
    )
    return inner


def _segment(walk: _Walk, calibration: Calibration, volume: Volume, prompt: Prompt) -> SegmentMask | None:
    """The lesion as a box of voxels inside the volume, or None where there is none."""
    grid = volume.grid
    lesion = walk.lesion(calibration)
    start = np.asarray(walk.start_kji)
    if grid is not None and prompt.box_lps is not None:
        low, high = box_to_index(prompt.box_lps, grid)
        # A little over the box's edge is still what was meant: people draw boxes by eye.
        margin = np.maximum(1.0, 0.1 * (high - low))
        edges = zip(low - margin - start, high + margin - start, strict=True)
        bounds = [slice(max(0, int(a)), max(0, int(b) + 1)) for a, b in edges]
        boxed = np.zeros_like(lesion)
        boxed[tuple(bounds)] = lesion[tuple(bounds)]
        lesion = boxed
    if grid is None or not lesion.any():
        return None
    where = np.argwhere(lesion)
    # Two voxels around it show where some readers would still draw.
    low_kji = np.maximum(where.min(axis=0) - np.array([1, 3, 3]), -start)
    low_kji = np.maximum(low_kji, 0)
    high_kji = np.minimum(where.max(axis=0) + np.array([2, 4, 4]), np.asarray(grid.size_kji) - start)
    high_kji = np.minimum(high_kji, lesion.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low_kji, high_kji, strict=True))
    share = calibration.share(walk.logits[box])
    k, j, i = (int(v) for v in start + low_kji)
    return SegmentMask.measured(
        "nodule", (k, j, i), np.ascontiguousarray(lesion[box], dtype=np.uint8), grid.voxel_volume_mm3, share
    )


def _least_sure(segment: SegmentMask, most: int = 5) -> tuple[int, ...]:
    """Slices (k of the volume) where the readers would disagree most for the size of what is there, worst first."""
    if segment.fraction is None:
        return ()
    share = segment.fraction.astype(np.float64)
    doubt = (share * (1 - share)).sum(axis=(1, 2)) / (share.sum(axis=(1, 2)) + 5.0)
    drawn = np.asarray(segment.mask.any(axis=(1, 2)), dtype=bool)
    order = [int(k) for k in np.argsort(-doubt) if drawn[k]]
    return tuple(segment.start_kji[0] + k for k in order[:most])


def _notes(walk: _Walk, volume: Volume) -> tuple[str, ...]:
    notes = []
    if walk.crops > 1:
        notes.append("the lesion is larger than the model's field of view and was put together from several looks")
    if not bool(np.all(volume.loaded)):
        notes.append("not all slices had arrived when this was computed")
    return tuple(notes)
