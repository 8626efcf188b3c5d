"""What a volume task's net sees: grey values on one scale, sizes that the net can halve. numpy only.

Training and inference both go through these functions, so they cannot drift apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Values beyond this many standard deviations are cut (vessels and scanner artefacts reach 20).
CUT = 5.0


def normalise(values: ArrayLike) -> NDArray[np.float32]:
    """Grey values with mean 0 and standard deviation 1, float32, the same shape.

    Mean and deviation are taken between the 0.5th and 99.5th percentile, so a few very bright voxels or another
    stored type (uint8, float32) change nothing. A constant image gives zeros.
    """
    array = np.asarray(values, dtype=np.float32)
    low, high = np.percentile(array, (0.5, 99.5))
    inner = array[(array >= low) & (array <= high)]
    deviation = float(inner.std())
    if not np.isfinite(deviation) or deviation <= 1e-6 * max(1.0, abs(float(inner.mean()))):
        return np.zeros(array.shape, dtype=np.float32)
    scaled: NDArray[np.float32] = np.clip((array - inner.mean()) / deviation, -CUT, CUT).astype(np.float32)
    return scaled


def pad_to_multiple(values: NDArray[np.float32], multiple: int) -> tuple[NDArray[np.float32], tuple[slice, ...]]:
    """The array with edges repeated on all sides to sizes that `multiple` divides, and where the original lies."""
    missing = [-n % multiple for n in values.shape]
    before = [m // 2 for m in missing]
    padded = np.pad(values, [(b, m - b) for b, m in zip(before, missing, strict=True)], mode="edge")
    return padded, tuple(slice(b, b + n) for b, n in zip(before, values.shape, strict=True))
