"""Networks in memory: the members of a package, loaded once, checked once, kept for a few packages.

Only the inference and training processes import this module (torch).
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from medviewer import places
from medviewer.errors import Refused
from medviewer.inference.networks.registry import build
from medviewer.inference.package import ModelPackage, check_weights, read_weights

#: Packages whose networks stay in memory.
KEPT = 4

_loaded: OrderedDict[tuple[str, str], tuple[nn.Module, ...]] = OrderedDict()
_lock = threading.RLock()
_checking: set[str] = set()


def nets_of(package: ModelPackage, device: str) -> tuple[nn.Module, ...]:
    """The members of a package on a device, in evaluation mode.

    The first time that a package is met on this machine (and after an update of torch) its golden case runs.

    Raises:
        Refused: the weights are not those that card and config describe, a value is not finite, or the golden
            case does not come out as it should.
    """
    key = (package.id, device)
    with _lock:
        if key in _loaded:
            _loaded.move_to_end(key)
            return _loaded[key]
        check_weights(package)
        nets = []
        for member in range(len(package.weights)):
            net = build(package.config["network"])
            try:
                net.load_state_dict(read_weights(package, member))
            except RuntimeError as error:
                raise Refused("these weights do not fit their network", path=package.weights[member]) from error
            nets.append(net.to(device).requires_grad_(False))
        _loaded[key] = tuple(nets)
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)
        try:
            _check_golden_once(package, device)
        except BaseException:
            _loaded.pop(key, None)
            raise
        return _loaded[key]


@contextmanager
def golden_unchecked(package: ModelPackage) -> Iterator[None]:
    """Load networks of a package whose golden case is only being made."""
    _checking.add(package.id)
    try:
        yield
    finally:
        _checking.discard(package.id)
        with _lock:
            for key in [key for key in _loaded if key[0] == package.id]:
                del _loaded[key]


def forget() -> None:
    """Drop all networks from memory (out of memory on the graphics card; tests)."""
    with _lock:
        _loaded.clear()


def _check_golden_once(package: ModelPackage, device: str) -> None:
    """Run the golden case unless this machine has seen it come out well with this torch and device."""
    from medviewer.inference.golden import check_golden

    if package.id in _checking:  # the golden case itself asks for the networks
        return
    record = places.cache_folder() / "golden.json"
    try:
        passed = list(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        passed = []
    mark = f"{package.id} {torch.__version__} {device}"
    if mark in passed:
        return
    _checking.add(package.id)
    try:
        check_golden(package, device)
    finally:
        _checking.discard(package.id)
    try:
        record.write_text(json.dumps([*passed[-50:], mark]), encoding="utf-8")
    except OSError:
        return  # it will run again next time
