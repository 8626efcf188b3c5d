"""ModelPackage: the folder of one version of one task, and the checks before anything in it is used.

    models/<task>/<version>/
        card.toml  config.json  calibration.json  metrics.json  LICENSE
        weights-0.safetensors ...
        golden/{input.npz, expected.npz, tolerance.json}
        MANIFEST.json     SHA-256 of every other file; its own SHA-256 is the model's id

Order of the checks: place and kind of files, sizes, manifest, card and config against the headers of the weights
(`open_package`, `check_weights`), finite values (`read_weights`), golden case (`medviewer.inference.golden`).
A hash proves that nothing changed, not where a model came from. Pickles are refused, whoever sent them.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medviewer.errors import BadInput, Refused, SaveFailed
from medviewer.inference.card import TaskCard, card_of, card_text, check_name, parse_card

#: Largest file of a package, and largest header of a weights file, in bytes.
LARGEST_FILE = 500_000_000
LARGEST_HEADER = 1_000_000
#: Largest text file (card, config, metrics, ...), in bytes.
LARGEST_TEXT = 4_000_000

_REQUIRED = ("card.toml", "config.json", "calibration.json", "metrics.json", "LICENSE")
_GOLDEN = ("golden/input.npz", "golden/expected.npz", "golden/tolerance.json")
_SUFFIXES = {".toml", ".json", ".safetensors", ".npz", ".md", ".txt", ""}
_MANIFEST = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """One version of one task whose files agree with its manifest.

    Attributes:
        folder: where it lies.
        id: SHA-256 of MANIFEST.json in hexadecimal; its first 12 characters are shown to people.
        card: what it is for.
        config: network, pre- and post-processing (no code); `network.name` is a name of
            `medviewer.inference.networks.registry.NETWORKS`.
        calibration: temperature, conformal quantiles, thresholds, with their n.
        metrics: what it was measured on.
        weights: the weights files, in the order of the ensemble's members.
    """

    folder: Path
    id: str
    card: TaskCard
    config: Mapping[str, Any]
    calibration: Mapping[str, Any]
    metrics: Mapping[str, Any]
    weights: tuple[Path, ...]

    @property
    def short_id(self) -> str:
        """The first 12 characters of the id: what suggestions and screens show."""
        return self.id[:12]


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """What the header of a weights file says of one tensor: safetensors' dtype name and the shape."""

    dtype: str
    shape: tuple[int, ...]


def open_package(folder: Path) -> ModelPackage:
    """Open a package after checking its files against the manifest. No torch is imported.

    Raises:
        BadInput: there is no such folder or it holds no package.
        Refused: a hash differs, a file is missing, too large, a link, not of the manifest, or of a kind that can
            carry code; the card or the config is not what it should be.
    """
    folder = Path(folder)
    if not (folder / _MANIFEST).is_file():
        raise BadInput("this folder holds no model package (no MANIFEST.json)", path=folder)
    manifest_bytes = _bytes(folder, _MANIFEST, LARGEST_TEXT)
    listed = _manifest(manifest_bytes, folder)
    _check_files(folder, listed)
    card = parse_card(_text(folder, "card.toml"))
    config, calibration, metrics = (_json(folder, f"{name}.json") for name in ("config", "calibration", "metrics"))
    count = sum(name.startswith("weights-") for name in listed)
    weights = tuple(folder / f"weights-{n}.safetensors" for n in range(count))
    if any(path.name not in listed for path in weights):
        raise Refused("the weights of this model package are not numbered 0, 1, 2, ...", path=folder)
    if not isinstance(config.get("network"), dict):
        raise Refused("config.json of this model package has no `network`", path=folder)
    return ModelPackage(folder, hashlib.sha256(manifest_bytes).hexdigest(), card, config, calibration, metrics, weights)


def read_header(path: Path) -> dict[str, TensorHeader]:
    """The header of a safetensors file, checked: sizes fit the dtypes, nothing overlaps, nothing is left over.

    Raises:
        Refused: it is no such file, or its header is larger than `LARGEST_HEADER` or not consistent.
    """
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
    refused = Refused("this weights file has no valid safetensors header", path=path)
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= LARGEST_HEADER:
            raise refused
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise refused from error
    total = path.stat().st_size - 8 - length
    tensors: dict[str, TensorHeader] = {}
    spans = []
    try:
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            shape = tuple(int(n) for n in entry["shape"])
            begin, end = (int(n) for n in entry["data_offsets"])
            if min(shape, default=0) < 0 or end - begin != math.prod(shape) * sizes[entry["dtype"]]:
                raise refused
            tensors[name] = TensorHeader(entry["dtype"], shape)
            spans.append((begin, end))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise refused from error
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise refused
        place = end
    if place != total:
        raise refused
    return tensors


def check_weights(package: ModelPackage) -> None:
    """Compare the headers of all weights with the network of config.json and with what the card says.

    Raises:
        Refused: a tensor is missing, too many, of another shape or dtype, or the card does not say the truth.
    """
    from medviewer.inference.networks.registry import expected_tensors  # imports torch

    network = package.config["network"]
    expected = expected_tensors(network)
    stored_as = {"float32": "F32", "float16": "F16"}.get(str(package.config.get("weights_dtype", "float32")))
    if stored_as is None:
        raise Refused("config.json names an unknown weights_dtype", path=package.folder)
    parameters = 0
    for path in package.weights:
        header = read_header(path)
        wrong = sorted(set(header) ^ set(expected))
        for name, (shape, dtype) in expected.items():
            wanted = stored_as if dtype == "F32" else dtype
            if name in header and (header[name].shape != shape or header[name].dtype != wanted):
                wrong.append(name)
        if wrong:
            raise Refused(
                f"these weights are not those of the network in config.json (tensor {wrong[0]!r} differs)", path=path
            )
        parameters = sum(math.prod(t.shape) for t in header.values() if t.dtype != "I64")
    _check_card_facts(package, parameters)


def _check_card_facts(package: ModelPackage, parameters: int) -> None:
    network = package.config["network"]
    truth = {
        "files": len(package.weights),
        "parameters": parameters,
        **{name: network[name] for name in ("inputs", "classes", "slices") if isinstance(network.get(name), int)},
    }
    for name, stated in package.card.weights.items():
        if name in truth and truth[name] != stated:
            raise Refused(
                f"the model's card says {stated} {name}, its files say {truth[name]}: it is not used",
                path=package.folder,
            )
    classes = network.get("classes")
    if isinstance(classes, int) and package.card.labels and classes != 1 + len(package.card.labels):
        raise Refused(
            f"the model's card names {len(package.card.labels)} labels, its network draws {classes - 1}: "
            "it is not used",
            path=package.folder,
        )


def read_weights(package: ModelPackage, member: int) -> dict[str, Any]:
    """The tensors of one member (torch, float32; whole numbers stay as they are), read through a mapping.

    Raises:
        Refused: a value is not finite.
    """
    import torch
    from safetensors import safe_open

    path = package.weights[member]
    tensors: dict[str, Any] = {}
    with safe_open(path, framework="pt") as mapped:
        for name in mapped.keys():  # noqa: SIM118 - not a dict
            tensor = mapped.get_tensor(name)
            tensor = tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()
            if not bool(torch.isfinite(tensor).all()):
                raise Refused(f"these weights hold a value that is not finite (tensor {name!r})", path=path)
            tensors[name] = tensor
    return tensors


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a package's .npz file; objects (pickles) are refused.

    Raises:
        Refused: no such archive, or it holds Python objects.
    """
    try:
        with np.load(path, allow_pickle=False) as packed:
            return {name: packed[name] for name in packed.files}
    except (OSError, ValueError, KeyError) as error:
        raise Refused("these arrays cannot be read", path=path) from error


def write_package(
    folder: Path,
    *,
    card: Mapping[str, Any],
    weights: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    calibration: Mapping[str, Any],
    metrics: Mapping[str, Any],
    golden: tuple[Mapping[str, NDArray[Any]], Mapping[str, NDArray[Any]] | None, Mapping[str, float]],
    licence: str,
    extra: Mapping[str, bytes] | None = None,
) -> ModelPackage:
    """Write a package and open it. The folder appears whole or not at all.

    Args:
        folder: `.../<task>/<version>`; its last name must be the card's version. It must not exist yet.
        card: the facts of card.toml (`medviewer.inference.card`). `weights` (files, parameters) is filled in here.
        weights: one dict of tensors (torch or numpy) a member of the ensemble; stored as `config["weights_dtype"]`
            ("float32", the default, or "float16").
        config: `{"network": {"name": ..., ...}, ...}`: what the runner needs, no code.
        calibration, metrics: as JSON.
        golden: inputs and expected outputs of the golden case by name, and tolerances
            (`medviewer.inference.golden` says how they are read). Synthetic, never a public or private picture.
            Without expected outputs (None) they are what the runner answers now.
        licence: text of LICENSE, with the training data's licence and attribution.
        extra: further files by relative name (.json, .npz, .safetensors, .md, .txt), an index for example.

    Raises:
        Refused: the card or the config is not what it should be, or the folder exists already.
        SaveFailed: the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    stated = dict(card)
    stated["weights"] = {**dict(card.get("weights", {})), **_weights_facts(weights)}
    if card_of(stated).version != check_name(folder.name):
        raise Refused(f"the folder must be named as the card's version {stated['version']!r}", path=folder)
    if folder.exists():
        raise Refused("this version exists already: a model package is never changed", path=folder)
    inputs, expected, tolerance = golden
    files: dict[str, bytes] = {
        "card.toml": card_text(stated).encode(),
        "config.json": _json_bytes(config),
        "calibration.json": _json_bytes(calibration),
        "metrics.json": _json_bytes(metrics),
        "LICENSE": (licence.rstrip() + "\n").encode(),
        "golden/input.npz": _npz_bytes(inputs),
        "golden/tolerance.json": _json_bytes(tolerance),
        **dict(extra or {}),
    }
    dtype = str(config.get("weights_dtype", "float32"))
    for number, member in enumerate(weights):
        files[f"weights-{number}.safetensors"] = _safetensors_bytes(member, dtype)
    if expected is None:
        expected = _answers(folder, files, inputs)
    _write_files(folder, {**files, "golden/expected.npz": _npz_bytes(expected)})
    package = open_package(folder)
    check_weights(package)
    return package


def _answers(folder: Path, files: Mapping[str, bytes], inputs: Mapping[str, Any]) -> Mapping[str, NDArray[Any]]:
    """What the runner answers to the golden case, from a draft of the package that is thrown away."""
    import importlib

    from medviewer.inference.nets import golden_unchecked
    from medviewer.inference.runners import runner_module

    draft = folder.with_name(f".{folder.name}.draft-{os.getpid()}")
    try:
        _write_files(draft, {**files, "golden/expected.npz": _npz_bytes({})})
        package = open_package(draft)
        check_weights(package)
        with golden_unchecked(package):
            module = importlib.import_module(runner_module(package.card.kind))
            outputs: Mapping[str, NDArray[Any]] = module.golden_outputs(package, inputs, "cpu")
        return outputs
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files and their manifest; the folder appears whole or not at all."""
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    manifest = _json_bytes({"format": 1, "sha256": hashes})
    temporary = folder.with_name(f".{folder.name}.writing-{os.getpid()}")
    try:
        for name, data in {**files, _MANIFEST: manifest}.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(folder)
    except OSError as error:
        raise SaveFailed(f"the model package could not be written ({error.strerror})", path=folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def copy_package(package: ModelPackage, folder: Path) -> ModelPackage:
    """Copy a package to another folder, whole or not at all, and open the copy.

    Raises:
        Refused: the folder exists already or the copy differs.
        SaveFailed: it could not be written.
    """
    if folder.exists():
        raise Refused("this version exists already: a model package is never changed", path=folder)
    temporary = folder.with_name(f".{folder.name}.writing-{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(package.folder, temporary)
        temporary.rename(folder)
    except OSError as error:
        raise SaveFailed(f"the model package could not be copied ({error.strerror})", path=folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return open_package(folder)


def _manifest(data: bytes, folder: Path) -> dict[str, str]:
    try:
        listed = json.loads(data)["sha256"]
        if not isinstance(listed, dict) or not all(isinstance(v, str) for v in listed.values()):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("the manifest of this model package cannot be read", path=folder / _MANIFEST) from error
    return dict(listed)


def _check_files(folder: Path, listed: Mapping[str, str]) -> None:
    for name in listed:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or "\\" in name or ":" in name or any(p in ("..", ".") for p in parts):
            raise Refused(f"the manifest names a file outside the model package ({name!r})", path=folder)
        if PurePosixPath(name).suffix not in _SUFFIXES:
            raise Refused(
                f"this model package holds {name!r}, a kind of file that can carry code: only safetensors, npz, "
                "json, toml and text are read",
                path=folder,
            )
    found = set()
    for path in folder.rglob("*"):
        if path.is_symlink():
            raise Refused("this model package holds a link", path=path)
        if path.is_file():
            found.add(path.relative_to(folder).as_posix())
    for name in sorted(found - set(listed) - {_MANIFEST}):
        kind = "" if Path(name).suffix in _SUFFIXES else " and of a kind that can carry code"
        raise Refused(f"this model package holds {name!r}, which is not in its manifest{kind}", path=folder)
    for name in (*_REQUIRED, *_GOLDEN, "weights-0.safetensors"):
        if name not in listed:
            raise Refused(f"the manifest of this model package does not list {name}", path=folder)
    for name in sorted(listed):
        path = folder / name
        if name not in found:
            raise Refused(f"{name} of this model package is missing", path=folder)
        limit = LARGEST_FILE if path.suffix in (".safetensors", ".npz") else LARGEST_TEXT
        if path.stat().st_size > limit:
            raise Refused(f"{name} of this model package is larger than {limit // 1_000_000} MB", path=folder)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != listed[name]:
            raise Refused(
                f"{name} does not match its manifest: the model package was changed or damaged",
                path=folder,
                remedy="install it again, or roll back with `medviewer models rollback`",
            )


def _bytes(folder: Path, name: str, limit: int) -> bytes:
    path = folder / name
    if path.stat().st_size > limit:
        raise Refused(f"{name} is larger than {limit // 1_000_000} MB", path=folder)
    return path.read_bytes()


def _text(folder: Path, name: str) -> str:
    try:
        return _bytes(folder, name, LARGEST_TEXT).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{name} is no UTF-8 text", path=folder) from error


def _json(folder: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_text(folder, name))
    except ValueError as error:
        raise Refused(f"{name} is no valid JSON", path=folder) from error
    if not isinstance(value, dict):
        raise Refused(f"{name} must hold an object", path=folder)
    return value


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, default=_plain) + "\n").encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"JSON cannot hold {type(value).__name__}")


def _npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def _as_array(tensor: Any) -> NDArray[Any]:
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().float().numpy() if tensor.is_floating_point() else tensor.detach().cpu().numpy()
    return np.asarray(tensor, order="C")  # ascontiguousarray would give a single number a dimension


def _weights_facts(weights: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    floats = [int(a.size) for a in map(_as_array, weights[0].values()) if a.dtype.kind == "f"]
    return {"files": len(weights), "parameters": sum(floats)}


def _safetensors_bytes(member: Mapping[str, Any], dtype: str) -> bytes:
    from safetensors.numpy import save

    arrays = {}
    for name, tensor in member.items():
        array = _as_array(tensor)
        arrays[name] = array.astype(dtype).copy() if array.dtype.kind == "f" else array.copy()
    data: bytes = save(arrays)
    return data
