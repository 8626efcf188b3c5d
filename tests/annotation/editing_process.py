"""A real process that paints until somebody kills it. Run by test_journal.py: FOLDER SEED.

It prints a line for every edit that the editor has announced: record number and the checksum of the label map.
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np

from medviewer.annotation.editor import Change, Editor
from medviewer.annotation.journal import Journal
from medviewer.annotation.operations import AddSegment, DeleteSegment
from medviewer.annotation.segmentation import Segment, Segmentation
from medviewer.annotation.tools.brush import brush
from medviewer.volume.grid import Grid
from medviewer.volume.plane import acquired_plane

SIZE = (12, 64, 64)


def main(folder: Path, seed: int) -> None:
    segmentation = Segmentation(Grid.plain(SIZE, (1.25, 0.7, 0.7)), "stack-1")
    journal = Journal.begin(segmentation, folder=folder, facts={"series": "lung 1.25 mm"})
    editor = Editor(segmentation, journal=journal)

    def tell(change: Change) -> None:
        print(change.record, zlib.crc32(segmentation.labelmap.tobytes()), flush=True)

    editor.on_change(tell)
    random = np.random.default_rng(seed)
    while True:
        number = int(random.integers(1, 4))
        chance = random.random()
        if number not in segmentation.segments:
            editor.do(AddSegment(Segment.named(number, f"Nodule {number}")))
        elif chance < 0.1:
            editor.undo()
        elif chance < 0.15:
            editor.redo()
        elif chance < 0.18:
            editor.do(DeleteSegment(number))
        else:
            editor.begin("brush stroke")
            before = random.uniform(0, 64, 2)
            for _ in range(int(random.integers(1, 6))):
                now = before + random.normal(0, 6, 2)
                cut = int(random.integers(0, SIZE[0]))
                piece = brush(
                    segmentation,
                    number if random.random() < 0.8 else 0,
                    acquired_plane(),
                    cut,
                    (before[0], before[1]),
                    (now[0], now[1]),
                    6.0,
                    ball=chance < 0.5,
                )
                if piece is not None:
                    editor.do(piece)
                before = now
            if chance < 0.25:
                editor.abandon()
            else:
                editor.finish()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
