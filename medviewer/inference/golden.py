"""The golden case of a model package: a synthetic input whose output must come out as when the model was made.

The runner of the card's kind has a second door beside `suggest`:

    golden_outputs(package, inputs, device) -> outputs

with arrays by name in and out; the recipe calls it too when it writes the package. `tolerance.json` holds for each
output's name the largest allowed absolute difference, `"default"` for all others (1e-3 if absent). Whole-numbered
outputs (masks) are compared by the share of equal voxels among those where either is not 0: it must reach 0.999.
"""

from __future__ import annotations

import importlib
import json
from typing import Any

import numpy as np

from medviewer.errors import Refused
from medviewer.inference.package import ModelPackage, read_arrays
from medviewer.inference.runners import runner_module

#: Share of equal voxels that a whole-numbered output must reach.
MASK_AGREEMENT = 0.999


def check_golden(package: ModelPackage, device: str = "cpu") -> None:
    """Run the golden case and compare.

    Raises:
        Refused: an output differs by more than its tolerance, or is missing.
    """
    module = importlib.import_module(runner_module(package.card.kind))
    inputs = read_arrays(package.folder / "golden" / "input.npz")
    expected = read_arrays(package.folder / "golden" / "expected.npz")
    tolerance = json.loads((package.folder / "golden" / "tolerance.json").read_text(encoding="utf-8"))
    if not expected:
        raise Refused("the golden case of this model package expects nothing: it proves nothing", path=package.folder)
    try:
        outputs = module.golden_outputs(package, inputs, device)
    except (KeyError, IndexError, ValueError) as error:
        raise Refused(
            f"the golden case of {package.card.task} {package.card.version} does not fit what its card says it does "
            f"({type(error).__name__}): the model is not used",
            path=package.folder,
        ) from error
    for name, wanted in expected.items():
        limit = float(tolerance.get(name, tolerance.get("default", 1e-3)))
        difference = _difference(np.asarray(outputs[name]), wanted) if name in outputs else "it is missing"
        if isinstance(difference, str) or difference > limit:
            said = difference if isinstance(difference, str) else f"it differs by {difference:.2g}"
            raise Refused(
                f"the golden case of {package.card.task} {package.card.version} does not come out as it should "
                f"(`{name}`: {said}): the model is not used",
                path=package.folder,
            )


def _difference(got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float | str:
    """Largest absolute difference, or in words why there is none."""
    if got.shape != wanted.shape:
        return f"its shape is {got.shape}, not {wanted.shape}"
    if wanted.dtype.kind == "f":
        difference = float(np.max(np.abs(got.astype(np.float64) - wanted), initial=0.0))
        return difference if np.isfinite(difference) else "it is not finite"
    either = (got != 0) | (wanted != 0)
    agreement = float(np.mean(got[either] == wanted[either])) if either.any() else 1.0
    return 0.0 if agreement >= MASK_AGREEMENT else f"only {agreement:.1%} of its voxels agree"
