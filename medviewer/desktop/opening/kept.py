"""Volumes that stay in memory beside the shown one."""

from __future__ import annotations

from collections import OrderedDict

from medviewer.volume.volume import Volume

#: Bytes, and number, of what is kept.
KEPT_BYTES, KEPT_VOLUMES = 1_500_000_000, 6


class KeptVolumes:
    """Whole volumes by stack id, so that going back to one is instant; the oldest make room."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Volume] = OrderedDict()

    def keep(self, stack_id: str, volume: Volume) -> None:
        """Keep a whole volume as the newest."""
        self._kept[stack_id] = volume
        while len(self._kept) > KEPT_VOLUMES or (
            len(self._kept) > 1 and sum(v.voxels.nbytes for v in self._kept.values()) > KEPT_BYTES
        ):
            self._kept.popitem(last=False)

    def take(self, stack_id: str) -> Volume | None:
        """The volume of a stack, which is the newest from now on; None where it is not kept."""
        volume = self._kept.get(stack_id)
        if volume is not None:
            self._kept.move_to_end(stack_id)
        return volume

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
