"""Promotion and rollback: one step each, and only what the gate let through.

A promotion is a change of the pointer in the model store; the very next suggestion comes from the new champion. The
gate's verdict holds for the pair that it compared: if another model became champion meanwhile, it no longer counts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medviewer.errors import BadInput, Refused
from medviewer.inference.package import ModelPackage
from medviewer.inference.store import ModelStore


@dataclass(frozen=True, slots=True)
class KeptReport:
    """A gate report as it was stored beside the candidate.

    Attributes:
        path: the file; `sha256`: of its bytes.
        passed, reason: the answer.
        champion_id, candidate_id: what was compared.
        document: all of it.
    """

    path: Path
    sha256: str
    passed: bool
    reason: str
    champion_id: str
    candidate_id: str
    document: dict[str, Any]


def report_of(store: ModelStore, task: str, version: str) -> KeptReport | None:
    """The gate's report of a candidate, or None where there is none."""
    path = store.own / task / "gate-reports" / f"{version}.json"
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        document = json.loads(data)
        gate = document["gate"]
        return KeptReport(
            path,
            hashlib.sha256(data).hexdigest(),
            bool(gate["passed"]),
            str(gate["reason"]),
            str(document["champion"]["id"]),
            str(document["candidate"]["id"]),
            document,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("the gate's report of this candidate cannot be read", path=path) from error


def reports_of(store: ModelStore, task: str) -> list[KeptReport]:
    """All kept reports of a task, oldest first."""
    folder = store.own / task / "gate-reports"
    found = [report_of(store, task, path.stem) for path in sorted(folder.glob("*.json"))]
    return [report for report in found if report is not None]


@dataclass(frozen=True, slots=True)
class Promotion:
    """A promotion that took place.

    Attributes:
        package: the champion now.
        gate: "passed"; "not needed" for a version that came with the program or was in use before; "none" where a
            person put a version into use that no gate let through.
    """

    package: ModelPackage
    gate: Literal["passed", "not needed", "none"]


def promote_version(
    store: ModelStore, task: str, version: str, *, reason: str = "", without_gate: bool = False
) -> Promotion:
    """Make a version the champion as a person asks for it by name.

    Args:
        store: the models.
        task, version: as in `ModelStore.get`.
        reason: kept in the history.
        without_gate: promote even where no gate passed; then a reason is needed.

    Raises:
        BadInput: no such task or version, or no reason for going without the gate.
        Refused: as `promote_candidate`.
        SaveFailed: the pointer could not be written; the champion is the one before.
    """
    if without_gate and not reason.strip():
        raise BadInput("going without the gate needs a reason", remedy="give one with --reason TEXT")
    package = store.get(task, version)
    name = package.card.version
    if store.needs_no_gate(package):
        return Promotion(store.promote(task, name, reason=reason), "not needed")
    if without_gate:
        return Promotion(store.promote(task, name, reason=f"no gate passed: {reason.strip()}"), "none")
    return Promotion(promote_candidate(store, task, name, reason=reason), "passed")


def promote_candidate(store: ModelStore, task: str, version: str, *, reason: str = "") -> ModelPackage:
    """Make a candidate the champion, on the strength of its gate report; a person's reason is added to the gate's.

    Raises:
        Refused: there is no report, the gate said no, the candidate's files changed since, or another model became
            champion since.
        SaveFailed: the pointer could not be written; the champion is the one before.
    """
    report = report_of(store, task, version)
    if report is None:
        raise Refused(f"{task} {version} never passed the gate", remedy="train with `medviewer train`, which asks it")
    if not report.passed:
        raise Refused(f"the gate did not let {task} {version} through: {report.reason}", path=report.path)
    candidate = store.get(task, version)
    if candidate.id != report.candidate_id:
        raise Refused(f"{task} {version} is not the model that the gate judged", path=candidate.folder)
    if store.champion(task, restored=True).id != report.champion_id:
        raise Refused(
            "another model became champion since the gate compared this candidate with the one before",
            remedy="train again",
        )
    reasons = "; ".join(text for text in (report.reason, reason.strip()) if text)
    return store.promote(task, version, reason=reasons, gate_report=report.sha256)


def roll_back(store: ModelStore, task: str) -> ModelPackage:
    """Make the champion before the champion again.

    Raises:
        BadInput: there was none before.
        Refused: it fails its checks.
    """
    return store.rollback(task, reason="rolled back by a person")
