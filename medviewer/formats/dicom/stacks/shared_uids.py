"""Identifiers that should be one thing's alone and are not: said, and never a reason to merge (PS3.5 section 9).

What is shown under such identifiers is kept apart; a person must know, because another program may mix it up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from medviewer.formats.dicom.headers.header import ImageFile

#: Sentences of one kind; more are counted.
_SHOWN = 3


def shared_uids(images: Sequence[ImageFile]) -> tuple[str, ...]:
    """Sentences about identifiers that several patients, studies or pictures share.

    Args:
        images: image files without those that repeat another one to the byte.
    """

    def patient(file: ImageFile) -> tuple[str, ...]:
        return file.text.patient_id, file.text.patient_name

    def study(file: ImageFile) -> tuple[str, ...]:
        return (*patient(file), file.study_uid)

    by_series = _clashes(images, lambda f: f.series_uid, patient)
    by_study = _clashes(images, lambda f: f.study_uid, patient)
    in_studies = _clashes(images, lambda f: f.series_uid, study)
    sentences = [
        *_said("two patients share a series UID: their pictures are kept apart", by_series),
        *_said("two patients share a study UID: their series are kept apart", by_study),
        *_said("a series UID stands in two studies: shown in the first", in_studies - by_series),
        *_said("different pictures share one SOP Instance UID: all are kept", _same_instance(images)),
    ]
    return tuple(sentences)


def _clashes(
    images: Sequence[ImageFile], uid: Callable[[ImageFile], str], owner: Callable[[ImageFile], tuple[str, ...]]
) -> set[str]:
    """Identifiers with more than one owner."""
    owners: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for file in images:
        if uid(file):
            owners[uid(file)].add(owner(file))
    return {name for name, found in owners.items() if len(found) > 1}


def _same_instance(images: Sequence[ImageFile]) -> set[str]:
    counts = Counter(file.sop_instance_uid for file in images if file.sop_instance_uid)
    return {uid for uid, count in counts.items() if count > 1}


def _said(sentence: str, uids: set[str]) -> list[str]:
    shown = [f"{sentence} ({uid[:64]})" for uid in sorted(uids)[:_SHOWN]]
    rest = len(uids) - len(shown)
    return [*shown, f"{sentence} ({rest} more)"] if rest > 0 else shown
