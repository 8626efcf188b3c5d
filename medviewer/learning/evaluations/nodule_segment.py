"""How `nodule-segment` models are measured: 3-D overlap with the readers' consensus, given a crop and a click.

The model sees the crop and the click at its middle, nothing else. Readers who drew nothing in the crop (their slices
were lost in the source) are left out of `dice-readers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.lesion import component_at_click
from medviewer.inference.segment_nodule import Calibration, crop_logits, loaded_nets
from medviewer.jobs import JobContext
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.datasets.nodule_samples import NoduleSample
from medviewer.learning.evaluate import Evaluation
from medviewer.learning.metrics import Metric, dice, hd95_mm, near_outlines, size_stratum, summarised

if TYPE_CHECKING:
    from medviewer.inference.package import ModelPackage

#: Below this Dice a lesion counts as missed.
MISSED_BELOW = 0.1
#: Pixels this near to the readers' outlines decide about the calibration of the share.
RIM_PIXELS = 5
_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class NoduleScore:
    """How one nodule came out.

    Attributes:
        case, patient, stratum: which one, whose, how large.
        dice: with the consensus; 0 where nothing was found; NaN where both are empty.
        dice_readers: mean over the single readers.
        hd95: mm; NaN where nothing was found.
        rim: `[3, 10]`, near the outlines, by tenths of the predicted share: voxels, sum of the predicted share, sum
            of the readers' share.
    """

    case: str
    patient: str
    stratum: str | None
    dice: float
    dice_readers: float
    hd95: float
    rim: NDArray[np.float64]

    @property
    def missed(self) -> bool:
        """True where the lesion was as good as not found."""
        return self.dice < MISSED_BELOW


def evaluate(package: ModelPackage, data_folder: Path, split: str, context: JobContext) -> Evaluation:
    """The figures of one split: `dice`, `dice-readers`, `hd95` with strata, `missed`, `hd95-undefined`, `ece-share`."""
    nodules = NoduleSet(data_folder, split)
    mirrored = bool(package.config.get("mirrored"))
    scores = score_cases(package, nodules, context, total=len(nodules), mirrored=mirrored)
    return Evaluation(
        n_patients=len({s.patient for s in scores}),
        n_cases=len(scores),
        metrics=metrics_of(scores),
        cases=tuple(
            {"case": s.case, "patient": s.patient, "dice": s.dice, "dice-readers": s.dice_readers, "hd95": s.hd95}
            for s in scores
        ),
    )


def metrics_of(scores: Sequence[NoduleScore]) -> dict[str, Metric]:
    """Means with intervals by patient."""
    patients = [s.patient for s in scores]
    columns = {
        "dice": [s.dice for s in scores],
        "dice-readers": [s.dice_readers for s in scores],
        "hd95": [s.hd95 for s in scores],
    }
    table = summarised(columns, patients, [s.stratum for s in scores])
    table.update(
        summarised(
            {
                "missed": [float(s.missed) for s in scores],
                "hd95-undefined": [float(not np.isfinite(s.hd95)) for s in scores],
            },
            patients,
        )
    )
    table["ece-share"] = share_error(scores)
    return table


def share_error(scores: Sequence[NoduleScore]) -> Metric:
    """Calibration of the share: |predicted - readers'| over ten bins, near the outlines, weighted by voxels."""
    from medviewer.learning.statistics import bootstrap_by_group

    def error(rows: NDArray[np.float64]) -> float:
        voxels, predicted, readers = rows.sum(axis=0)
        return float(np.abs(predicted - readers).sum() / max(1.0, voxels.sum()))

    rims = np.stack([s.rim for s in scores])
    return Metric(*bootstrap_by_group(rims, [s.patient for s in scores], error, n=500), len(scores))


def score_cases(
    package: ModelPackage,
    cases: Iterable[NoduleSample],
    context: JobContext,
    *,
    total: int | None = None,
    mirrored: bool = False,
) -> list[NoduleScore]:
    """Predict each case from its crop and its click, and compare.

    Args:
        total: number of cases, for the progress.
        mirrored: average over the picture's mirrorings, as a suggestion's last refinement does where the package asks
            for it. The gate leaves it out on both sides: it compares the networks.
    """
    nets, calibration = loaded_nets(package, "cpu"), Calibration.from_json(package.calibration)
    scores = []
    for number, case in enumerate(cases):
        context.report(number, total, f"{package.card.task} on {case.nodule}")
        logits = crop_logits(nets, case.images, case.click_kji, case.pixel_mm, case.slice_spacing_mm, mirrored=mirrored)
        scores.append(score(logits, calibration, case))
    return scores


def score(logits: NDArray[np.float32], calibration: Calibration, case: NoduleSample) -> NoduleScore:
    """Compare the logits of a crop with what the readers drew in it."""
    spacing = (case.slice_spacing_mm, case.pixel_mm, case.pixel_mm)
    mask = component_at_click(logits > calibration.level, case.click_kji, spacing)
    readers = getattr(case, "readers", None)
    drawn = [dice(mask, reader) for reader in readers if reader.any()] if readers is not None else []
    return NoduleScore(
        case=case.nodule,
        patient=case.patient,
        stratum=size_stratum(case.diameter_mm),
        dice=dice(mask, case.consensus),
        dice_readers=float(np.mean(drawn)) if drawn else float("nan"),
        hd95=hd95_mm(mask, case.consensus, spacing),
        rim=_rim(calibration.share(logits), case.fraction),
    )


def _rim(share: NDArray[np.float32], fraction: NDArray[np.float32]) -> NDArray[np.float64]:
    rim = near_outlines(fraction, RIM_PIXELS)
    predicted, readers = share[rim].astype(np.float64), fraction[rim].astype(np.float64)
    bins = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
    return np.stack([np.bincount(bins, weights=w, minlength=_BINS) for w in (np.ones(len(bins)), predicted, readers)])
