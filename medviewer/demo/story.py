"""The story: open, suggest, correct, queue, retrain, prove, promote, on synthetic patients; nothing in it is faked.

The model in use is the shipped one. It meets cavitating nodules, which its training data hardly held, and fills them
badly. An annotator (here: the phantom's exact truth) corrects a dozen patients; a candidate is trained from them; the
gate compares both on patients who were held out by the keyed hash of their ID and on the golden set; its answer
decides.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.annotation.editor import Editor
from medviewer.annotation.journal import Journal
from medviewer.annotation.operations import Paint, accept_proposal
from medviewer.annotation.revision import SuggestionSource, Work, edit_size, verdict_of
from medviewer.annotation.segmentation import Provenance, Segment, Segmentation
from medviewer.demo.patients import (
    WEAK_KIND,
    Patient,
    Workshop,
    WrittenPatient,
    library_name,
    patient_name,
    read_patient,
)
from medviewer.errors import BadInput, MedviewerError
from medviewer.inference.predict import predict
from medviewer.inference.store import ModelStore
from medviewer.inference.suggestion import Suggestion
from medviewer.jobs import JobContext, Progress
from medviewer.learning.done import finish
from medviewer.learning.metrics import dice
from medviewer.learning.promote import promote_candidate
from medviewer.learning.queue import CorrectionQueue
from medviewer.learning.samples import task_facts
from medviewer.learning.train_process import TrainingRequest, train
from medviewer.phantom.lesion import COMMON_KINDS
from medviewer.phantom.truth import Truth, read_truth
from medviewer.volume.volume import Volume

TASK = "lung-nodule-segment"
SIMILAR_TASK = "lung-nodule-similar"
CORRECTED, HELD_OUT, LIBRARY = 12, 26, 12
#: Steps of each network; enough to learn one new kind, few enough for the demo's five minutes.
STEPS = 120
AUTHOR = "demo annotator (the phantom's truth)"
MARKER = ".medviewer-demo"


@dataclass(slots=True)
class Step:
    """One step of the report."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    detail: str = ""


@dataclass(slots=True)
class Report:
    """What the demo did; `facts` are the figures behind the words."""

    steps: list[Step] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """True where every step did what it is there for (a gate that refuses has done its work)."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def as_json(self) -> dict[str, Any]:
        """The document of report.json."""
        steps = [{"name": s.name, "ok": s.ok, "seconds": round(s.seconds, 1), "detail": s.detail} for s in self.steps]
        seconds = round(sum(s.seconds for s in self.steps), 1)
        return {"steps": steps, "ok": self.ok, "seconds": seconds, "facts": self.facts}


class Story:
    """Runs the steps one after the other; each tells `say` a line when it is done.

    Args:
        out: folder of the demo; `home` in it holds the demo's own library, queue and models.
        say: gets one line for people a step.
        context: for progress and cancel.
    """

    def __init__(self, out: Path, say: Callable[[str], None], context: JobContext) -> None:
        self.out, self._say, self._context = out, say, context
        self.report = Report()
        self.home = _fresh_home(out)
        os.environ["MEDVIEWER_HOME"] = str(self.home)
        self.store, self.queue = ModelStore(), CorrectionQueue()
        self.chest: Path | None = None
        self.truth: Truth | None = None
        self.target: tuple[float, float, float] | None = None

    # -- frame -----------------------------------------------------------------------------------------------------

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time a step and put it into the report, whatever comes of it; its `detail` is the caller's."""
        self._context.check()
        step = Step(name)
        began = time.perf_counter()
        try:
            yield step
            step.ok = True
        except MedviewerError as error:
            step.detail = error.sentence
            raise
        finally:
            step.seconds = time.perf_counter() - began
            self.report.steps.append(step)
            self._say(f"{step.name:<9} {step.seconds:6.1f} s  {step.detail}")
            self.write()

    def write(self) -> None:
        """Write report.json as it stands."""
        text = json.dumps(self.report.as_json(), ensure_ascii=False, indent=1)
        (self.out / "report.json").write_text(text + "\n", encoding="utf-8")

    # -- the steps -------------------------------------------------------------------------------------------------

    def tell(self) -> Report:
        """All steps but the picture, in order.

        Raises:
            MedviewerError: a step could not be done; the report says which.
        """
        with Workshop(self.home / "phantom") as workshop:
            chest = workshop.chest()
            corrected, held_out = self.draw_patients()
            first = list(workshop.patients(corrected, [WEAK_KIND]))
            known = list(workshop.patients([library_name(n) for n in range(LIBRARY)], COMMON_KINDS))
            replay = workshop.run(prepare_replay)
            others = list(workshop.patients(held_out, [WEAK_KIND]))
            volume = self._open(chest)
            self._suggest(volume)
            self._correct(first, others)
            self._fill_library(known)
            replay.result()
        candidate = self._retrain()
        self._promote(candidate)
        self._suggest_again()
        return self.report

    def draw_patients(self) -> tuple[list[str], list[str]]:
        """Who is corrected and who is held out: the queue's keyed hash decides, patient by patient."""
        corrected: list[str] = []
        held_out: list[str] = []
        number = 0
        while len(corrected) < CORRECTED or len(held_out) < HELD_OUT:
            name = patient_name(number)
            group, wanted = (held_out, HELD_OUT) if self.queue.is_held_out(name) else (corrected, CORRECTED)
            if len(group) < wanted:
                group.append(name)
            number += 1
        self.report.facts["patients"] = {"corrected": CORRECTED, "held_out": HELD_OUT, "looked_through": number}
        return corrected, held_out

    def _open(self, chest: Future[Path]) -> Volume:
        from medviewer.formats.load import load_volume
        from medviewer.formats.scan import scan

        with self.step("open") as step:
            self.chest = chest.result()
            catalog = scan([self.chest], self._context)
            stack = next(iter(catalog.stacks()))
            volume = load_volume(stack, self._context)
            self.truth = read_truth(self.chest.parent / "truth")
            k, j, i = volume.size_kji
            step.detail = (
                f"a synthetic chest CT of {k} x {j} x {i} voxels made, written as DICOM, scanned and loaded; "
                f"{len(self.truth.nodules)} nodules are in it"
            )
        return volume

    def _suggest(self, volume: Volume) -> None:
        assert self.truth is not None
        with self.step("suggest") as step:
            found: dict[str, list[float]] = {}
            for nodule in self.truth.nodules:
                suggestion = predict(TASK, volume, point_lps=nodule.centre_lps, store=self.store, context=self._quiet())
                truth = np.zeros(volume.size_kji, dtype=np.bool_)
                k, j, i = nodule.start_kji
                dk, dj, di = nodule.mask.shape
                truth[k : k + dk, j : j + dj, i : i + di] = nodule.mask
                found.setdefault(nodule.kind, []).append(dice(mask_of(suggestion, volume), truth))
                if self.target is None:
                    self.target = nodule.centre_lps
            means = {kind: float(np.mean(values)) for kind, values in found.items()}
            self.report.facts["dice_in_the_chest"] = means
            words = ", ".join(f"{kind} {value:.2f}" for kind, value in means.items())
            step.detail = f"Dice with the truth, one click each, by kind: {words}"

    def _correct(self, corrected: list[Future[WrittenPatient]], held_out: list[Future[WrittenPatient]]) -> None:
        facts = task_facts(TASK)
        with self.step("correct") as step:
            scores = []
            for waiting in corrected:
                patient = read_patient(waiting.result())
                suggestion = self._suggestion(patient)
                scores.append(dice(mask_of(suggestion, patient.volume), patient.truth))
                self._one_correction(facts, patient, suggestion)
            self.report.facts["dice_before_correction"] = float(np.mean(scores))
            step.detail = (
                f"{len(scores)} patients with a cavitating nodule: the model reached Dice {np.mean(scores):.2f}, "
                "each outline was corrected and stored as a revision"
            )
        with self.step("queue") as step:
            for waiting in held_out:
                self._one_correction(facts, read_patient(waiting.result()), None)
            counts = self.queue.counts(TASK)
            shown = {str(state): n for state, n in counts.items() if n}
            self.report.facts["queue"] = shown
            step.detail = (
                "; ".join(f"{n} {state}" for state, n in shown.items())
                + " (held out by the keyed hash of the patient's ID, never trained on)"
            )

    def _suggestion(self, patient: Patient) -> Suggestion:
        return predict(TASK, patient.volume, point_lps=patient.centre_lps, store=self.store, context=self._quiet())

    def _one_correction(self, facts: Any, patient: Patient, suggestion: Suggestion | None) -> None:
        """What the window does: accept the proposal, paint until it is right, Done."""
        assert patient.volume.grid is not None
        segmentation = Segmentation(patient.volume.grid, patient.stack.id)
        journal = Journal.begin(segmentation)
        editor = Editor(segmentation, journal=journal)
        try:
            before = np.zeros(patient.volume.size_kji, dtype=np.bool_)
            provenance = Provenance()
            if suggestion is not None and suggestion.segments:
                before = mask_of(suggestion, patient.volume)
                provenance = Provenance(TASK, suggestion.model, "", suggestion.device)
            segment = Segment.named(1, "Nodule 1", provenance=provenance)
            editor.do(accept_proposal([(segment, (0, 0, 0), before.astype(np.uint8))], segmentation))
            editor.do(Paint.of_mask("brush stroke", (0, 0, 0), patient.truth & ~before, 1))
            editor.do(Paint.of_mask("eraser stroke", (0, 0, 0), before & ~patient.truth, 0))
            edit = edit_size(before, patient.truth) if suggestion is not None else None
            source = None if suggestion is None else SuggestionSource(TASK, suggestion.model, suggestion.device)
            work = Work(author=AUTHOR, verdict=verdict_of(edit, False), suggestion=source, edit=edit)
            finish(facts, patient.stack, patient.volume, segmentation, work, queue=self.queue, numbers=[1])
        finally:
            journal.close(discard=True)

    def _fill_library(self, written: list[Future[WrittenPatient]]) -> None:
        """A dozen nodules into the demo's library, so that similar cases have pictures."""
        if SIMILAR_TASK not in self.store.tasks():
            return
        from medviewer.demo.library import add_to_library

        with self.step("library") as step:
            count = add_to_library(self.store, [read_patient(w.result()) for w in written])
            step.detail = f"{count} nodules of other synthetic patients lie in the library, with pictures"

    def _retrain(self) -> str:
        champion = self.store.champion(TASK)
        with self.step("retrain") as step:
            outcome = train(TrainingRequest(TASK, steps=STEPS, seed=1), self._loud())
            step.detail = (
                f"candidate {outcome.candidate} from version {champion.card.version}: {STEPS} steps a network, "
                f"{CORRECTED} corrections, phantom replay"
            )
        with self.step("prove") as step:
            self.report.facts["gate"] = dict(outcome.report)
            self.report.facts["passed"] = outcome.passed
            step.detail = f"the gate {'passed' if outcome.passed else 'did not pass'}: {outcome.report['reason']}"
            for name, words in (("held-out", "patients held out"), ("golden", "golden patients")):
                both = outcome.report["metrics"][name]
                if both is not None:
                    interval = f"[{both['low']:+.3f}, {both['high']:+.3f}]"
                    step.detail += (
                        f"; {both['n_patients']} {words}: champion {both['champion']:.3f}, candidate "
                        f"{both['candidate']:.3f}, difference {both['value']:+.3f} {interval}"
                    )
        return outcome.candidate if outcome.passed else ""

    def _promote(self, candidate: str) -> None:
        with self.step("promote") as step:
            if not candidate:
                step.detail = "nothing was promoted, since the gate did not pass; candidate and report are kept"
                return
            package = promote_candidate(self.store, TASK, candidate)
            step.detail = f"version {package.card.version} is in use now; one step takes it back"

    def _suggest_again(self) -> None:
        """The very next suggestion comes from the model in use: a patient that was held out, before and after."""
        with self.step("next") as step:
            name = next(n for n in (patient_name(k) for k in range(100_000, 200_000)) if self.queue.is_held_out(n))
            from medviewer.demo.patients import write_patient

            patient = read_patient(write_patient(name, WEAK_KIND, self.home / "phantom" / "patients"))
            after = self._suggestion(patient)
            value = dice(mask_of(after, patient.volume), patient.truth)
            if after.model != self.store.champion(TASK).short_id:
                raise BadInput(f"the suggestion came from {after.model}, not from the model in use")
            self.report.facts["dice_of_the_next_patient"] = value
            step.detail = f"a new patient, suggested by the model in use ({after.model}): Dice {value:.2f}"

    # -- listening -------------------------------------------------------------------------------------------------

    def _quiet(self) -> JobContext:
        return JobContext(self._context.token)

    def _loud(self) -> JobContext:
        return JobContext(self._context.token, self._listen)

    def _listen(self, progress: Progress) -> None:
        self._context.listener(progress)


def prepare_replay() -> None:
    """Make the phantom nodules of replay and golden set ahead, in a worker, while the annotator works."""
    from medviewer.learning.recipes.lung_nodule_retrain import prepare

    prepare(JobContext())


def mask_of(suggestion: Suggestion, volume: Volume) -> NDArray[np.bool_]:
    """All segments of a suggestion on the volume's grid; empty where it abstained."""
    whole = np.zeros(volume.size_kji, dtype=np.bool_)
    for segment in suggestion.segments:
        k, j, i = segment.start_kji
        dk, dj, di = segment.mask.shape
        whole[k : k + dk, j : j + dj, i : i + di] |= segment.mask.astype(np.bool_)
    return whole


def _fresh_home(out: Path) -> Path:
    """An empty home for the demo. Only a folder that an earlier demo made is emptied."""
    home = out / "home"
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).is_file():
            raise BadInput("this folder is not a demo's, so it is left alone", path=home, remedy="choose another --out")
        shutil.rmtree(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        (home / MARKER).write_text("made by `medviewer demo`; may be deleted\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"the demo cannot write here: {error.strerror}", path=out, remedy="choose another --out"
        ) from error
    return home.resolve()
