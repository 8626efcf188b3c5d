"""What a bench prints: rows of times with median, 95th and 99th percentile, and the machine they were taken on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def row(what: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
    """One row of the contract: median, p95, p99, max, n; all None without values."""
    if not values:
        return {"what": what, "unit": unit, "median": None, "p95": None, "p99": None, "max": None, "n": 0}
    median, p95, p99 = np.percentile(values, [50, 95, 99])
    return {
        "what": what,
        "unit": unit,
        "median": round(float(median), 3),
        "p95": round(float(p95), 3),
        "p99": round(float(p99), 3),
        "max": round(float(max(values)), 3),
        "n": len(values),
    }


def machine() -> str:
    """Processor, cores and how busy the machine was, in one line."""
    name = platform.processor() or platform.machine()
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
        load = f", load {os.getloadavg()[0]:.1f}"
    except OSError:
        load = ""
    return f"{name}, {os.cpu_count()} cores, {platform.system()}{load}"
