"""The demo's picture: the real window, in a process of its own, on the study with the model in use."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from medviewer.errors import MissingHere

if TYPE_CHECKING:
    from medviewer.demo.story import Story

LIMIT_S = 240


def take_picture(story: Story) -> None:
    """Open the chest study in the real window, click its first nodule, wait for the models, and save the picture."""
    with story.step("look") as step:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_shoot, args=(theirs, _words(story)))
        process.start()
        theirs.close()
        late = ours.recv() if ours.poll(LIMIT_S) else ["the window did not answer"]
        process.join(20)
        if process.is_alive():
            process.kill()
        if isinstance(late, str):
            raise MissingHere(f"the window could not be opened ({late})")
        step.detail = (
            "; ".join(late) or f"the window with the suggestion and similar cases: {story.out / 'screenshot.png'}"
        )
        if late:
            raise MissingHere("; ".join(late))


def leave_window_open(story: Story) -> bool:
    """With a display: start the window on the result as a process that outlives the demo. True if it was started."""
    from medviewer.desktop.suggesting.showcase import has_real_display

    if not has_real_display():
        return False
    import subprocess
    import sys

    frozen = getattr(sys, "frozen", False)
    command = [sys.executable] if frozen else [sys.executable, "-m", "medviewer"]
    environment = {**os.environ, "MEDVIEWER_NOTICE": "accepted"}
    place = [] if story.target is None else [f"--at={','.join(str(v) for v in story.target)}"]
    subprocess.Popen(
        [*command, "open", str(story.chest), "--layout", "planes", *place],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return True


def _words(story: Story) -> list[str]:
    point = ["-", "-", "-"] if story.target is None else [str(v) for v in story.target]
    return [str(story.out / "screenshot.png"), *point, str(story.chest)]


def _shoot(pipe: Connection, words: list[str]) -> None:
    """The child's part: only this process imports Qt."""
    os.environ["MEDVIEWER_NOTICE"] = "accepted"
    try:
        from medviewer.desktop.suggesting.showcase import scene_of_words, show_scene

        pipe.send(show_scene(scene_of_words(words)))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
