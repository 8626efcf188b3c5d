"""The gate: the written rule (resources/gate.toml) that lets a candidate become champion.

It answers "passed", "refused" or "cannot tell yet", always with a report. Everything is paired (champion and candidate
on the same cases) and by patient: the cases of a patient are averaged first, and patients are resampled.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medviewer import places
from medviewer.errors import BadInput

Verdict = Literal["passed", "refused", "cannot-tell"]


@dataclass(frozen=True, slots=True)
class PairedCase:
    """How champion and candidate did on one case.

    Attributes:
        case, patient: names (hashes for the user's own).
        champion, candidate: the primary figure, larger is better (Dice), 0..1.
        subgroup: size class, scanner, ...; None: none.
        champion_missed, candidate_missed: True where the lesion was as good as not found.
    """

    case: str
    patient: str
    champion: float
    candidate: float
    subgroup: str | None = None
    champion_missed: bool = False
    candidate_missed: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """Both models on a set of cases.

    Attributes:
        cases: pairs; those where either figure is undefined are left out before.
        champion_calibration, candidate_calibration: calibration error of each, None where there is none.
    """

    cases: tuple[PairedCase, ...]
    champion_calibration: float | None = None
    candidate_calibration: float | None = None

    @property
    def patients(self) -> frozenset[str]:
        """The patients behind the cases."""
        return frozenset(c.patient for c in self.cases)


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference candidate - champion over patients with an interval."""

    champion: float
    candidate: float
    value: float
    low: float
    high: float
    level: float
    n_patients: int
    n_cases: int
    spread: float


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the rule: its name, what came of it and a sentence. `passed` None: it could not be told."""

    name: str
    passed: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule as read, and the hash of its file."""

    facts: Mapping[str, Any]
    sha256: str


@dataclass(frozen=True, slots=True)
class GateReport:
    """The answer of the gate.

    Attributes:
        verdict: "passed", "refused" (something got worse or is not in order) or "cannot-tell" (too few patients to
            show that it got better).
        reason: one sentence.
        checks: every part of the rule.
        golden, held_out: the differences, None where there were no cases.
        attempt: which look at much the same held-out patients this was, from 1.
        rule_sha256: hash of gate.toml.
    """

    verdict: Verdict
    reason: str
    checks: tuple[Check, ...]
    golden: Difference | None
    held_out: Difference | None
    subgroups: Mapping[str, Difference]
    attempt: int
    rule_sha256: str

    @property
    def passed(self) -> bool:
        """True where the candidate may be promoted."""
        return self.verdict == "passed"

    def as_json(self) -> dict[str, Any]:
        """The key `gate` of `medviewer train --json`: passed, reason, metrics of both models, and all the rest."""
        return {
            "passed": self.passed,
            "verdict": self.verdict,
            "reason": self.reason,
            "metrics": {
                "golden": None if self.golden is None else _plain(self.golden),
                "held-out": None if self.held_out is None else _plain(self.held_out),
                "subgroups": {name: _plain(d) for name, d in self.subgroups.items()},
            },
            "checks": [asdict(check) for check in self.checks],
            "attempt": self.attempt,
            "rule_sha256": self.rule_sha256,
        }


def _plain(difference: Difference) -> dict[str, Any]:
    """As JSON has it: an interval of one patient has no bounds, so they are null."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(difference).items()}


def load_rule(path: Path | None = None) -> Rule:
    """Read gate.toml (the shipped one by default).

    Raises:
        BadInput: it is missing or no valid TOML.
    """
    path = path or places.resources_folder() / "gate.toml"
    try:
        data = path.read_bytes()
        return Rule(tomllib.loads(data.decode("utf-8")), hashlib.sha256(data).hexdigest())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"the gate's rule cannot be read ({error})", path=path) from error


def compare(cases: Sequence[PairedCase], rule: Rule, level: float = 0.95) -> Difference | None:
    """Mean paired difference by patient, with a bootstrap interval widened for few patients.

    The percentile interval is too narrow for few patients; it is widened by Student's t over the normal quantile and
    sqrt(n / (n - 1)) (Hesterberg 2015, section 4.2). With one patient the interval is infinite.
    """
    if not cases:
        return None
    from scipy import stats

    of: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        of.setdefault(case.patient, []).append((case.champion, case.candidate))
    means = np.array([np.mean(pairs, axis=0) for pairs in of.values()])
    each = means[:, 1] - means[:, 0]
    count, value = len(each), float(each.mean())
    spread = float(each.std(ddof=1)) if count > 1 else float("nan")
    low = high = float("nan")
    if count > 1:
        draws, seed = int(rule.facts["bootstrap"]["draws"]), int(rule.facts["bootstrap"]["seed"])
        drawn = _means_of_resampled(each, draws, seed)
        tail = (1 - level) / 2
        a, b = np.quantile(drawn, [tail, 1 - tail])
        wider = float(stats.t.ppf(1 - tail, count - 1) / stats.norm.ppf(1 - tail) * np.sqrt(count / (count - 1)))
        low, high = value + (float(a) - value) * wider, value + (float(b) - value) * wider
    else:
        low, high = -np.inf, np.inf
    champion, candidate = (float(v) for v in means.mean(axis=0))
    return Difference(champion, candidate, value, low, high, level, count, len(cases), spread)


def decide(
    kind: str,
    golden: Compared,
    held_out: Compared,
    *,
    training_patients: frozenset[str] = frozenset(),
    integrity: Sequence[Check] = (),
    earlier_looks: Sequence[frozenset[str]] = (),
    rule: Rule | None = None,
) -> GateReport:
    """Judge a candidate.

    Args:
        kind: the card's kind; chooses the margin.
        golden: the frozen golden set. It may be empty only together with an explanation in `integrity`.
        held_out: the user's held-out patients.
        training_patients: names or hashes of the patients the candidate was trained on.
        integrity: checks made on the package itself (golden case, time, finite values).
        earlier_looks: for each earlier attempt since the champion was promoted, the held-out patients it looked at.
        rule: the rule; the shipped one by default.
    """
    rule = rule or load_rule()
    facts = rule.facts
    checks = list(integrity)
    leaked = sorted((golden.patients | held_out.patients) & training_patients)
    checks.append(
        Check(
            "separate patients",
            not leaked,
            f"{len(leaked)} of the judged patients were trained on" if leaked else "no judged patient was trained on",
        )
    )
    kept = compare(golden.cases, rule)
    checks += _golden_checks(kind, kept, facts)
    subgroups = _subgroups(golden.cases, rule)
    checks += _subgroup_checks(subgroups, facts)
    attempt = 1 + sum(_same_set(look, held_out.patients, facts) for look in earlier_looks)
    alpha = float(facts["held_out"]["alpha"]) / (attempt * (attempt + 1))
    better = compare(held_out.cases, rule, level=1 - 2 * alpha)
    checks.append(_superiority(better, attempt, facts))
    checks += _calibration_checks(golden, held_out, facts)
    checks.append(_missed_check((*golden.cases, *held_out.cases), facts))
    verdict, reason = _answer(checks)
    return GateReport(verdict, reason, tuple(checks), kept, better, subgroups, attempt, rule.sha256)


def _answer(checks: Sequence[Check]) -> tuple[Verdict, str]:
    for check in checks:
        if check.passed is False:
            return "refused", check.sentence
    for check in checks:
        if check.passed is None:
            return "cannot-tell", check.sentence
    better = next(c for c in checks if c.name == "better on held-out")
    return "passed", better.sentence


def _golden_checks(kind: str, kept: Difference | None, facts: Mapping[str, Any]) -> list[Check]:
    name = "no worse on golden"
    margins = facts["golden"]["margin"]
    margin = float(margins.get(kind, margins["default"]))
    least = int(facts["golden"]["least_patients"])
    if kept is None or kept.n_patients < least:
        count = 0 if kept is None else kept.n_patients
        return [Check(name, None, f"cannot tell: the golden set has {count} patients, the rule asks for {least}")]
    said = f"{_shown(kept)} on {kept.n_patients} golden patients; allowed loss {margin:g}"
    return [Check(name, kept.low > -margin, said if kept.low > -margin else f"worse on the golden set, {said}")]


def _subgroups(cases: Sequence[PairedCase], rule: Rule) -> dict[str, Difference]:
    names = sorted({c.subgroup for c in cases if c.subgroup is not None})
    found = {name: compare([c for c in cases if c.subgroup == name], rule) for name in names}
    return {name: difference for name, difference in found.items() if difference is not None}


def _subgroup_checks(subgroups: Mapping[str, Difference], facts: Mapping[str, Any]) -> list[Check]:
    worst, least = float(facts["golden"]["worst_subgroup"]), int(facts["golden"]["least_subgroup"])
    checks = []
    for name, difference in subgroups.items():
        if difference.n_patients >= least:
            passed = difference.value >= -worst
            said = f"{_shown(difference)} on {difference.n_patients} patients of {name}"
            checks.append(
                Check(f"subgroup {name}", passed, said if passed else f"worse on a subgroup, {said}; allowed {worst:g}")
            )
    return checks


def _superiority(better: Difference | None, attempt: int, facts: Mapping[str, Any]) -> Check:
    name = "better on held-out"
    least = int(facts["held_out"]["least_patients"])
    if better is None or better.n_patients < least:
        count = 0 if better is None else better.n_patients
        return Check(name, None, f"cannot tell yet: {count} held-out patients, the rule asks for {least} at least")
    said = f"{_shown(better)} on {better.n_patients} held-out patients"
    if attempt > 1:
        said += f" (attempt {attempt} on much the same patients, so at {better.level:.1%})"
    if better.low > 0:
        return Check(name, True, f"better, {said}")
    if better.high < 0:
        return Check(name, False, f"worse on the held-out patients, {said}")
    return Check(name, None, f"cannot tell yet: not shown to be better, {said}{_wanted(better)}")


def _wanted(better: Difference) -> str:
    """How many patients a difference of this size would need (one-sided 5 %, power 80 %)."""
    if better.value <= 0 or not np.isfinite(better.spread) or better.spread <= 0:
        return ""
    count = int(np.ceil(6.18 * (better.spread / better.value) ** 2))
    return f"; a gain of this size would show on about {count} patients" if count < 10000 else ""


def _calibration_checks(golden: Compared, held_out: Compared, facts: Mapping[str, Any]) -> list[Check]:
    checks = []
    limit = float(facts["calibration"]["worse"])
    for name, part in (("golden", golden), ("held-out", held_out)):
        old, new = part.champion_calibration, part.candidate_calibration
        if old is not None and new is not None and part.cases:
            passed = bool(new - old <= limit)
            said = f"calibration error {old:.3f} -> {new:.3f} on the {name} cases"
            checks.append(Check(f"calibration, {name}", passed, said if passed else f"less well calibrated, {said}"))
    return checks


def _missed_check(cases: Sequence[PairedCase], facts: Mapping[str, Any]) -> Check:
    """Exact one-sided McNemar test on lesions that one of the two missed."""
    from scipy import stats

    newly = sum(c.candidate_missed and not c.champion_missed for c in cases)
    found = sum(c.champion_missed and not c.candidate_missed for c in cases)
    chance = float(stats.binomtest(newly, newly + found, 0.5, alternative="greater").pvalue) if newly + found else 1.0
    passed = chance >= float(facts["missed"]["alpha"])
    said = f"{newly} lesions newly missed, {found} newly found (p = {chance:.2f})"
    return Check("missed lesions", passed, said if passed else f"more lesions are missed: {said}")


def _same_set(look: frozenset[str], now: frozenset[str], facts: Mapping[str, Any]) -> bool:
    return bool(now) and len(look & now) >= float(facts["held_out"]["same_set_share"]) * len(now)


def _shown(difference: Difference) -> str:
    return (
        f"{difference.champion:.3f} -> {difference.candidate:.3f}, "
        f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
    )


def _means_of_resampled(values: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.float64] = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    return drawn
