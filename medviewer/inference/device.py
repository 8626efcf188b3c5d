"""Where a network runs: the graphics card if there is one, else the processor; and what happens when memory ends.

No torch is imported until a function is called.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Literal, TypeVar

from medviewer.errors import BadInput, MissingHere

Result = TypeVar("Result")
Device = Literal["auto", "cpu", "cuda"]

OUT_OF_MEMORY_SENTENCE = "the graphics card ran out of memory: this was computed on the processor"


def resolve_device(asked: str) -> str:
    """ "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        BadInput: another word.
        MissingHere: a graphics card was asked for and there is none that torch can use.
    """
    if asked not in ("auto", "cpu", "cuda"):
        raise BadInput(f"there is no device {asked!r}", remedy="use auto, cpu or cuda")
    if asked == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "auto":
        return "cpu"
    built = "this torch is built without CUDA" if torch.version.cuda is None else "no NVIDIA driver or card was found"
    raise MissingHere(
        f"a graphics card was asked for, but {built}",
        remedy="use --device cpu, or install a CUDA build of torch: pip install --force-reinstall torch",
    )


def processor_threads() -> int:
    """Threads for torch on the processor: the physical cores that this process may use."""
    import psutil

    physical = psutil.cpu_count(logical=False) or 1
    try:
        usable = len(psutil.Process().cpu_affinity() or [])
    except (AttributeError, OSError):
        usable = 0
    return max(1, min(physical, usable or physical))


def is_out_of_memory(error: BaseException) -> bool:
    """True for the errors with which CUDA and cuDNN say that memory ended."""
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and ("CUDNN_STATUS_ALLOC_FAILED" in text or "CUDA out of memory" in text)
    )


def run_with_fallback(
    compute: Callable[[str, int], Result], device: str, batch: int
) -> tuple[Result, str, tuple[str, ...]]:
    """Run `compute(device, batch)`; where the graphics card's memory ends, halve the batch, then use the processor.

    Args:
        compute: the work; it must be repeatable.
        device: "cpu" or "cuda".
        batch: how many pieces at once at first.

    Returns:
        The result, the device that made it, and sentences for people (empty where nothing happened).
    """
    while True:
        try:
            return compute(device, batch), device, ()
        except (RuntimeError, MemoryError) as error:
            if device == "cpu" or not is_out_of_memory(error):
                raise
        _free_card_memory()  # outside the except block: the traceback holds the tensors
        if batch > 1:
            batch //= 2
            continue
        result = compute("cpu", 1)
        return result, "cpu", (OUT_OF_MEMORY_SENTENCE,)


def _free_card_memory() -> None:
    import torch

    from medviewer.inference import nets

    nets.forget()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def describe_device() -> str:
    """The graphics card by name.

    Raises:
        MissingHere: there is none that torch can use; everything then runs on the processor.
    """
    import torch

    if not torch.cuda.is_available():
        raise MissingHere("no graphics card that torch can use was found, everything runs on the processor")
    return f"{torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
