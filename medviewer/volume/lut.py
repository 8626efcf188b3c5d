"""Lookup tables that files bring along: values for stored values (modality), brightness for values (VOI).

One value object for both (PS3.3 C.11.1 and C.11.2); what the outputs mean is said by whoever holds the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Outputs for consecutive whole inputs; an input below the first takes the first output, above the last the last.

    Attributes:
        first: the input that the first entry is for.
        entries: the outputs as little-endian unsigned 16-bit words (bytes compare and hash; see `outputs`).
        bits: bits of an output as declared: the largest possible output is 2**bits - 1.
        explanation: what the file calls it, "" where it says nothing.
    """

    first: int
    entries: bytes
    bits: int
    explanation: str = field(default="", compare=False)

    @property
    def outputs(self) -> NDArray[np.uint16]:
        """One output an entry; a read-only view."""
        return np.frombuffer(self.entries, dtype="<u2")

    @property
    def last(self) -> int:
        """The input that the last entry is for."""
        return self.first + len(self.entries) // 2 - 1

    @property
    def top(self) -> int:
        """The largest output that the declared bits allow."""
        return (1 << self.bits) - 1

    def apply(self, inputs: ArrayLike) -> NDArray[np.float64]:
        """Outputs of inputs of any shape; fractions are rounded, what is no number takes the first output."""
        array = np.asarray(inputs)
        if array.dtype.kind == "f":
            array = np.rint(np.clip(np.nan_to_num(array, nan=self.first), self.first, self.last))
        at = np.clip(array.astype(np.int64) - self.first, 0, self.last - self.first)
        return self.outputs[at].astype(np.float64)


def table_of(first: int, outputs: Sequence[int] | NDArray[np.generic], bits: int, explanation: str = "") -> LookupTable:
    """A table of these outputs.

    Raises:
        ValueError: there is no output.
    """
    words = np.asarray(outputs).astype("<u2")
    if words.size == 0:
        raise ValueError("a lookup table needs an entry")
    return LookupTable(int(first), words.tobytes(), int(bits), explanation)
