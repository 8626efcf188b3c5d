"""Which module serves a card's kind. A new task is a folder with a card; only a new *kind* of task is new code.

A runner's module has two doors, and may have a third:

    suggest(package, volume, prompt, device, context) -> Suggestion
    golden_outputs(package, inputs, device) -> outputs      (`medviewer.inference.golden`)
    warm(package, device) -> None                           optional: load weights, run once
"""

from __future__ import annotations

from medviewer.errors import Refused

RUNNERS = {
    "nodule-segment": "medviewer.inference.segment_nodule",
    "nodule-classify": "medviewer.inference.classify_nodule",
    "nodule-similar": "medviewer.inference.similar_nodule",
    "volume-segment": "medviewer.inference.segment_volume",
}


def runner_module(kind: str) -> str:
    """The name of the module that serves this kind of task.

    Raises:
        Refused: no module does.
    """
    if kind not in RUNNERS:
        raise Refused(f"this program has no runner for models of the kind {kind!r}", remedy="update medviewer")
    return RUNNERS[kind]
