"""Where networks run, and what happens when a graphics card's memory ends (a fake card: few machines have one)."""

from __future__ import annotations

import pytest
import torch

from medviewer.errors import BadInput, MissingHere
from medviewer.inference.device import OUT_OF_MEMORY_SENTENCE, processor_threads, resolve_device, run_with_fallback


def test_words_for_devices() -> None:
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(BadInput, match="no device 'tpu'"):
        resolve_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(MissingHere, match="graphics card") as caught:
            resolve_device("cuda")
        assert caught.value.exit_code == 4 and "pip install" in caught.value.sentence


def test_the_batch_is_halved_then_the_processor_computes() -> None:
    tried: list[tuple[str, int]] = []

    def compute(device: str, batch: int) -> str:
        tried.append((device, batch))
        if device == "cuda":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return "done"

    assert run_with_fallback(compute, "cuda", 4) == ("done", "cpu", (OUT_OF_MEMORY_SENTENCE,))
    assert tried == [("cuda", 4), ("cuda", 2), ("cuda", 1), ("cpu", 1)]


def test_a_smaller_batch_may_do() -> None:
    def compute(device: str, batch: int) -> int:
        if batch > 2:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return batch

    assert run_with_fallback(compute, "cuda", 8) == (2, "cuda", ())


def test_other_errors_are_not_swallowed() -> None:
    def compute(device: str, batch: int) -> None:
        raise RuntimeError("shapes do not match")

    for device in ("cuda", "cpu"):
        with pytest.raises(RuntimeError, match="shapes"):
            run_with_fallback(compute, device, 2)


def test_threads_are_physical_cores_at_most() -> None:
    import psutil

    assert 1 <= processor_threads() <= (psutil.cpu_count(logical=False) or 1)
