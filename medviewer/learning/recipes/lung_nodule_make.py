"""Make the shipped `lung-nodule-segment` package from the public data, from nothing.

    python -m medviewer.learning.recipes.lung_nodule_make --data data/lidc_nodules --out models --work run

Fits one network (or several) on three quarters of the train patients, stops early by a tenth, calibrates on the rest,
and looks at val once, at the end; that look is written into metrics.json. An interrupted run goes on from its
checkpoints.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medviewer import __version__
from medviewer.inference.package import ModelPackage
from medviewer.jobs import JobContext
from medviewer.learning.datasets.lidc_nodules import NoduleSet, part_of_train
from medviewer.learning.evaluate import evaluate
from medviewer.learning.recipes import lung_nodule_package as package_of
from medviewer.learning.recipes.lung_nodule_segment import Fitted, Settings, described, train_members

#: The members. A second one (weight decay 0.03, dropout 0.15, no Dice by sample) was tried for the first version and
#: left out: on the early-stop and calibration patients the pair was no better than the first alone.
MEMBERS = (Settings(seconds=1.0, whole=0.5, by_sample=0.5),)


def make(
    data: Path, out: Path, version: str, members: Sequence[Settings], workplace: Path, *, changes: str
) -> ModelPackage:
    """Train (or go on), calibrate, look at val, write `out/lung-nodule-segment/VERSION`."""
    log = (workplace / "log.jsonl") if workplace.is_dir() else None

    def report(message: Mapping[str, Any]) -> None:
        if log is not None:
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(message)) + "\n")

    fitted = train_members(data, members, workplace, report)
    shape = members[0].shape
    train = NoduleSet(data, "train")
    calibration_cases = [train[n] for n, p in enumerate(train.patients) if part_of_train(p) == "calibrate"]
    nets = package_of.nets_of([f.state for f in fitted], shape)
    calibration = package_of.calibrated(nets, calibration_cases, mirrored=True)
    about = _about(data, members, fitted, train)
    folder = out / package_of.TASK / version
    with tempfile.TemporaryDirectory() as place:
        # The figures belong into the package and need a package to be measured with.
        draft = package_of.write(
            Path(place) / version,
            [f.state for f in fitted],
            shape=shape,
            facts=package_of.card(version, changes=changes, trained_on=about["training_data"], metrics={}),
            calibration=calibration,
            metrics={},
            mirrored=True,
        )
        look = evaluate(package_of.TASK, data, "val", draft, JobContext())
    look = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "weights_sha256": _weights_hash(fitted),
        **{k: look[k] for k in ("split", "n_patients", "n_cases", "metrics")},
    }
    earlier = _earlier_looks(workplace)
    (workplace / "looks.json").write_text(json.dumps([*earlier, look], indent=1), encoding="utf-8")
    metrics = {
        **{k: look[k] for k in ("split", "n_patients", "n_cases", "metrics")},
        "by": "patient",
        "looks": [{k: v for k, v in one.items() if k != "metrics"} for one in (*earlier, look)],
        **about,
    }
    facts = package_of.card(
        version,
        changes=changes,
        trained_on=about["training_data"],
        metrics={name: look["metrics"][name] for name in ("dice", "dice-readers", "hd95", "missed", "ece-share")},
    )
    if folder.exists():
        shutil.rmtree(folder)
    return package_of.write(
        folder,
        [f.state for f in fitted],
        shape=shape,
        facts=facts,
        calibration=calibration,
        metrics=metrics,
        mirrored=True,
    )


def _about(data: Path, members: Sequence[Settings], fitted: Sequence[Fitted], train: NoduleSet) -> dict[str, Any]:
    parts = [part_of_train(p) for p in train.patients]
    patients = {part: len({p for p, q in zip(train.patients, parts, strict=True) if q == part}) for part in set(parts)}
    return {
        "training_data": f"LIDC-IDRI nodule crops, train split: {parts.count('fit')} nodules of {patients['fit']} "
        "patients fitted; three or four readers each",
        "carve": {
            part: {"patients": patients[part], "nodules": parts.count(part)}
            for part in ("fit", "early-stop", "calibrate")
        },
        "members": [
            {
                "settings": described(settings),
                "steps": one.steps,
                "seconds": round(one.seconds, 1),
                "early_stop_dice": one.dice,
            }
            for settings, one in zip(members, fitted, strict=True)
        ],
        "program": __version__,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, threads: {members[0].threads}",
    }


def _commit() -> str:
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _weights_hash(fitted: Sequence[Fitted]) -> str:
    digest = hashlib.sha256()
    for one in fitted:
        for name in sorted(one.state):
            digest.update(np.ascontiguousarray(one.state[name].numpy()).tobytes())
    return digest.hexdigest()


def _earlier_looks(workplace: Path) -> list[dict[str, Any]]:
    path = workplace / "looks.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and the log")
    parser.add_argument("--version", default="1")
    parser.add_argument("--seconds", type=float, nargs="+", default=[2150.0], help="wall time of each member")
    parser.add_argument("--changes", default="the first version")
    told = parser.parse_args(arguments)
    told.work.mkdir(parents=True, exist_ok=True)
    members = [
        replace(kind, seconds=seconds, seed=n + 1)
        for n, (kind, seconds) in enumerate(zip(MEMBERS, told.seconds, strict=True))
    ]
    package = make(told.data, told.out, told.version, members, told.work, changes=told.changes)
    print(package.folder, package.short_id)
    print(json.dumps(package.metrics["metrics"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
