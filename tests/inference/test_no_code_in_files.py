"""Model files and checkpoints are data: nothing in them is run."""

from __future__ import annotations

import ast
import pickle
from functools import cache
from pathlib import Path

import pytest

import medviewer

SOURCES = sorted(Path(medviewer.__file__).parent.rglob("*.py"))


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    """Every module, parsed."""
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    """All calls of a function by its last name."""
    found = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                found.append((path, node))
    return found


def owner(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return ast.unparse(call.func.value)


def option(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(k.value) for k in call.keywords if k.arg == name), None)


def test_no_reader_unpickles() -> None:
    loads = calls("load")
    torch_loads = [(path, call) for path, call in loads if owner(call) == "torch"]
    assert torch_loads, "nothing is looked at"
    assert [path.name for path, call in torch_loads if option(call, "weights_only") is not True] == []
    assert [path.name for path, call in loads if owner(call) in ("pickle", "joblib", "cloudpickle", "dill")] == []
    numpy_loads = [(path, call) for path, call in loads if owner(call) == "np"]
    assert [path.name for path, call in numpy_loads if option(call, "allow_pickle")] == []
    assert calls("eval") == [] or all(not call.args for _, call in calls("eval"))  # torch's .eval() takes none


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("evil-was-run"),)  # type: ignore[return-value]


def test_weights_that_are_a_pickle_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors.torch import load_file

    monkeypatch.chdir(tmp_path)
    for protocol in (2, 4):
        (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(_Evil(), protocol=protocol))
        with pytest.raises(Exception, match="header"):
            load_file(tmp_path / "weights.safetensors")
    import torch

    (tmp_path / "checkpoint.pt").write_bytes(pickle.dumps(_Evil(), protocol=2))
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert not (tmp_path / "evil-was-run").exists()
