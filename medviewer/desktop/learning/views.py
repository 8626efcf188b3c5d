"""From a gate's report, a training's progress and a queue's cases to what the cards show. Plain functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from medviewer.desktop.panels.gate import CheckView, Estimate, GateRow, GateView, Verdict
from medviewer.desktop.panels.queue import CaseView
from medviewer.desktop.panels.training import CurveData, count_text

#: Fewer corrected patients than this are too few to learn from (AI.md, minimal counts).
LEAST_PATIENTS = 10


class Curves:
    """Loss and Dice as they arrive from the training process, network after network on one axis of steps."""

    def __init__(self) -> None:
        self.total = 0
        self._loss: list[tuple[float, float]] = []
        self._dice: list[tuple[float, float]] = []
        self.champion_dice: float | None = None

    def take(self, done: int, total: int | None, said: Mapping[str, Any]) -> None:
        """One message: `done` of `total` steps over all networks, with `loss`, `dice` or `champion_dice` in it."""
        self.total = total or self.total
        for name, line in (("loss", self._loss), ("dice", self._dice)):
            value = said.get(name)
            if isinstance(value, int | float) and math.isfinite(value):
                line.append((float(done), float(value)))
        champion = said.get("champion_dice")
        if isinstance(champion, int | float) and math.isfinite(champion):
            self.champion_dice = float(champion)

    @property
    def data(self) -> CurveData | None:
        """What there is to draw; None before the first figure."""
        if not self._loss and not self._dice:
            return None
        return CurveData(
            steps=tuple(x for x, _ in self._loss),
            loss=tuple(y for _, y in self._loss),
            dice_steps=tuple(x for x, _ in self._dice),
            dice=tuple(y for _, y in self._dice),
            champion_dice=self.champion_dice,
            total=max(1, self.total),
        )


def gate_view(report: Mapping[str, Any], champion: str, candidate: str) -> GateView:
    """The gate's report (`GateReport.as_json`) as the card shows it: held-out first, then golden."""
    rows = []
    metrics = report.get("metrics", {})
    for name, what in (("held-out", "Dice, held-out"), ("golden", "Dice, golden")):
        figures = metrics.get(name)
        if isinstance(figures, Mapping):
            rows.append(difference_row(what, figures))
    reason = gate_sentence(str(report.get("reason", "")))
    said = [(c.get("passed"), gate_sentence(str(c.get("sentence", "")))) for c in report.get("checks", ())]
    return GateView(
        verdict=Verdict(report.get("verdict", "passed" if report.get("passed") else "refused")),
        reason=reason,
        champion=champion,
        candidate=candidate,
        rows=tuple(rows),
        checks=tuple(CheckView(passed, text) for passed, text in said if text != reason),
    )


def gate_sentence(text: str) -> str:
    """A phrase of the gate as a sentence; "cannot tell yet" stands in the headline already."""
    return sentence(text.removeprefix("cannot tell yet: ").replace("->", "→"))


def difference_row(what: str, figures: Mapping[str, Any]) -> GateRow:
    """One row: both models' means, and the paired gain with its interval, over so many patients."""
    return GateRow(
        what=what,
        n=count_text(int(figures["n_patients"]), "patient"),
        champion=Estimate(float(figures["champion"])),
        candidate=Estimate(float(figures["candidate"])),
        gain=Estimate(float(figures["value"]), _finite(figures.get("low")), _finite(figures.get("high"))),
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def sentence(text: str) -> str:
    """A phrase as a sentence: capital first, full stop last."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def case_views(cases: Sequence[Any], titles: Mapping[str, str]) -> tuple[CaseView, ...]:
    """The queue's cases, newest first, as the card lists them."""
    ordered = sorted(cases, key=lambda case: str(case.time), reverse=True)
    return tuple(
        CaseView(
            id=str(case.id),
            task=titles.get(case.task, case.task),
            state=str(case.state),
            author=case.author or "unknown",
            time=local_time(str(case.time)),
            patient=str(case.patient_hash)[:6],
        )
        for case in ordered
    )


def local_time(iso: str) -> str:
    """A UTC time of the queue as people here read it: "2026-11-21 14:02"."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return iso


def why_not_train(cases: Sequence[Any], task: str, least: int = LEAST_PATIENTS) -> str | None:
    """Why the task cannot be trained from these cases, or None: too few corrected patients wait."""
    patients = {case.patient_hash for case in cases if case.task == task and case.state == "pending"}
    if len(patients) >= least:
        return None
    if not patients:
        return f"Nothing to learn from yet: correct cases of at least {least} patients and press Done on each."
    return f"Collect more: {len(patients)} of {least} corrected patients are there."
