"""What the `hippocampus-segment` package holds beside the weights: card, licence, golden case, thresholds, figures.

    python -m medviewer.learning.recipes.hippocampus_package --data data/hippocampus --members run --out models \
        --version 1

looks at the `val` split once and writes that look into metrics.json.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.package import ModelPackage, write_package
from medviewer.inference.segment_volume import label_map, member_agreement, member_probabilities
from medviewer.jobs import JobContext
from medviewer.learning.datasets.hippocampus import LABELS, HippocampusCase, part_of, read_cases
from medviewer.learning.evaluate import evaluate
from medviewer.learning.recipes.hippocampus_segment import NETWORK, dice_by_label

TASK = "hippocampus-segment"

#: Where thresholds begin: an answer is kept back below this Dice among the members ...
LEAST_AGREEMENT = 0.80
#: ... or outside these shares of the smallest and largest volume that readers drew in the training cases.
VOLUME_TOLERANCE = (0.6, 1.5)

LICENCE = """\
The weights in this folder may be used and passed on under Creative Commons Attribution-ShareAlike 4.0 International
(CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/), the licence of the data they were trained on. The
program is Apache-2.0.

Trained on Task04 Hippocampus of the Medical Segmentation Decathlon (images from Vanderbilt University Medical Center):
Antonelli M, Reinke A, Bakas S, et al. "The Medical Segmentation Decathlon", Nature Communications 13 (2022) 4128,
doi 10.1038/s41467-022-30695-9. Simpson AL, Antonelli M, Bakas S, et al. "A large annotated medical image dataset for
the development and evaluation of segmentation algorithms", arXiv:1902.09063 (2019). Changes made: networks fitted to
the images and labels; no picture and no label is contained here.

For research and education. Not a medical device. Not for diagnosis or treatment.
"""


def config() -> dict[str, Any]:
    """config.json: the net, and what it was trained on (crops of 31-43 x 40-59 x 24-47 mm, right-anterior-head)."""
    return {
        "network": {**NETWORK, "coarse_heads": 0},
        "weights_dtype": "float16",
        "input": {
            "orientation": ["R", "A", "H"],
            "spacing_mm": 1.0,
            "coarsest_mm": 2.0,
            "smallest_mm_kji": [22, 34, 26],
            "largest_mm_kji": [60, 70, 60],
            "usual_mm_kji": [36, 50, 36],
            "margin_mm": 6.0,
            "multiple": 8,
            "mirror_axis": 2,
            "trained_on": "MR crops of 35 to 50 mm around one hippocampus",
            "structure": "one hippocampus",
        },
        "output": {"drop_below": 0.05},
    }


def card(version: str, *, measured: Mapping[str, Any], abstains: str, trained_on: str) -> dict[str, Any]:
    """The facts of card.toml."""
    return {
        "task": TASK,
        "title": "Hippocampus, anterior and posterior",
        "version": version,
        "kind": "volume-segment",
        "intended_use": "Suggests the outline of the anterior (head) and posterior (body and tail) part of one "
        "hippocampus in a T1-weighted MR crop. The person corrects and accepts it. Research and education.",
        "not_intended": "Not for diagnosis or treatment, not for following atrophy over time, not for other "
        "structures, CT, other MR contrasts, or a whole head without a box around one hippocampus.",
        "reference_standard": "One manual outline a case, by the protocol of the data set (Vanderbilt); how far two "
        "readers would differ is not known for these cases.",
        "training_data": trained_on,
        "known_failures": "Not tested with lesions, resections, motion, other contrasts, children or field strengths "
        "that the data set does not name. Left and right cannot be told apart in the data. A box that cuts the "
        "hippocampus gives a mask that ends at the box. Age, sex and health of the persons are unknown: not tested "
        "by any of them. The share shown with the mask is the mean of the members' class probabilities; it is not "
        "calibrated against several readers, because each case has one.",
        "abstains": abstains,
        "changes": "First version.",
        "licence": "CC BY-SA 4.0 (weights), Apache-2.0 (program)",
        "input": {
            "modalities": ["MR"],
            "prompt": "optional",
            "preparation": "turned to right-anterior-head, resampled to 1 mm where it is not, grey values to mean 0 "
            "and deviation 1 in the crop, edges repeated to multiples of 8; picture and left-right mirror averaged",
            "spacing_mm": "1 x 1 x 1 in training",
        },
        "output": {
            "labels": list(LABELS),
            "meaning": "one label a voxel; the share is the mean class probability of the members",
        },
        "measured": {
            name: {key: _rounded(value) for key, value in figure.items()} for name, figure in measured.items()
        },
        "weights": {"inputs": 1, "classes": 1 + len(LABELS)},
    }


def golden_input() -> dict[str, NDArray[Any]]:
    """A synthetic crop: a bright bent sausage beside darker fluid, in noise. No picture of a person."""
    rng = np.random.default_rng(11)
    k, j, i = np.meshgrid(np.arange(32.0), np.arange(48.0), np.arange(32.0), indexing="ij")
    centre_k = 16 - 0.008 * (j - 24) ** 2
    inside = ((k - centre_k) / 5) ** 2 + ((i - 16 - 0.1 * (j - 24)) / 6) ** 2 + ((j - 24) / 18) ** 2 < 1
    image = 300 + 160 * inside - 180 * (i > 26) + 8 * np.sin(j / 5) + rng.normal(0, 18, k.shape)
    return {"image": image.astype(np.float32)}


def thresholds(
    package: ModelPackage, cases: Sequence[HippocampusCase], train: Sequence[HippocampusCase]
) -> dict[str, Any]:
    """Abstention thresholds and what the kept-back part of train says about them.

    Args:
        package: with the final weights.
        cases: the part kept for calibration.
        train: all training cases; the span of their readers' volumes bounds what is believable.
    """
    agreements, dices = [], []
    for case in cases:
        parts = [
            member_probabilities(package, n, case.image, "cpu", 2, JobContext()) for n in range(len(package.weights))
        ]
        agreement = member_agreement([part.argmax(0) for part in parts])
        agreements.append(1.0 if agreement is None else agreement)
        labels, _ = label_map(package, case.image, JobContext())
        dices.append(dice_by_label(labels, case.label))
    volumes = [np.count_nonzero(case.label) / 1000 for case in train]
    low, high = VOLUME_TOLERANCE
    return {
        "abstain": {
            "agreement": LEAST_AGREEMENT,
            "volume_ml": [round(low * min(volumes), 2), round(high * max(volumes), 2)],
        },
        "measured_on": {
            "cases": len(cases),
            "from": "train, kept back by hash",
            "dice": dict(zip(LABELS, np.nanmean(dices, axis=0).round(4).tolist(), strict=True)),
            "agreement_lowest": round(min(agreements), 4),
            "agreement_median": round(float(np.median(agreements)), 4),
            "kept_back": int(np.sum(np.asarray(agreements) < LEAST_AGREEMENT)),
        },
        "volume_interval": "none: fewer than 50 calibration cases are not enough for an interval",
    }


def build(
    weights: Sequence[Mapping[str, Any]],
    data: Path,
    folder: Path,
    *,
    trained_on: str,
    commit: str,
    split: str | None = "val",
) -> ModelPackage:
    """Write the package. With a `split` it is measured once on it, and the look is recorded.

    Args:
        weights: one dict of tensors a member.
        data: folder of the data set.
        folder: `.../hippocampus-segment/<version>`.
        trained_on: the training data and schedule in a sentence.
        commit: version of the code.
        split: the split that the figures come from; None leaves them out (trials).
    """
    train = read_cases(data, "train")
    kept = [case for case in train if part_of(case.name) == "calibrate"]
    with tempfile.TemporaryDirectory() as scratch:
        draft = _write(weights, Path(scratch) / TASK / folder.name, {}, {}, trained_on)
        calibration = thresholds(draft, kept, train)
    with tempfile.TemporaryDirectory() as scratch:
        draft = _write(weights, Path(scratch) / TASK / folder.name, calibration, {}, trained_on)
        metrics: dict[str, Any] = {"looks": []}
        if split is not None:
            document = evaluate(TASK, data, split, draft)
            metrics = {
                "split": split,
                "by": "case (the data set names no persons); 2000 bootstrap resamples",
                "n_cases": document["n_cases"],
                "metrics": document["metrics"],
                "looks": [
                    {
                        "split": split,
                        "time": datetime.now(UTC).isoformat(timespec="seconds"),
                        "commit": commit,
                        "weights_sha256": _weights_hash(draft),
                        "nth": 1,
                    }
                ],
            }
    return _write(weights, folder, calibration, metrics, trained_on)


def _write(
    weights: Sequence[Mapping[str, Any]],
    folder: Path,
    calibration: Mapping[str, Any],
    metrics: Mapping[str, Any],
    trained_on: str,
) -> ModelPackage:
    limits = calibration.get("abstain", {"volume_ml": [0, 0], "agreement": 0})
    low, high = limits["volume_ml"]
    abstains = (
        "When the series is not MR, when voxels are more than 2 mm apart, when a volume larger than 60 to 70 mm comes "
        "without a box or a click, when the box is larger than that, when less than "
        f"{low} ml or more than {high} ml are drawn, or when the members' masks agree with a Dice below "
        f"{limits['agreement']}."
    )
    return write_package(
        folder,
        card=card(folder.name, measured=metrics.get("metrics", {}), abstains=abstains, trained_on=trained_on),
        weights=weights,
        config=config(),
        calibration=calibration,
        metrics=metrics,
        golden=(golden_input(), None, {"default": 2e-3}),
        licence=LICENCE,
    )


def _weights_hash(package: ModelPackage) -> str:
    digest = hashlib.sha256()
    for path in package.weights:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    """Build the package of a release from trained members."""
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--members", type=Path, required=True, help="folder with member-N.safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder of models")
    parser.add_argument("--version", required=True)
    parser.add_argument("--trained-on", required=True)
    parser.add_argument("--commit", default="")
    parser.add_argument("--split", default=None, help="measure on this split, once")
    args = parser.parse_args()
    weights = [load_file(path) for path in sorted(args.members.glob("member-*.safetensors"))]
    folder = args.out / TASK / args.version
    folder.parent.mkdir(parents=True, exist_ok=True)
    package = build(weights, args.data, folder, trained_on=args.trained_on, commit=args.commit, split=args.split)
    print(package.id, dict(package.metrics.get("metrics", {})), dict(package.calibration))


if __name__ == "__main__":
    main()
