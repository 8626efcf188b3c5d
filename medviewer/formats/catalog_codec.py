"""Catalogs as plain JSON values and back, by the types that their classes declare.

Nothing is named in the data but values: what class a value becomes is decided by the declared type, and a value of
another type is refused. Long rows of equal objects (the frames of a stack) are written by columns, and what several
of them share is written once.
"""

from __future__ import annotations

import base64
import typing
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import islice, repeat
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast

from medviewer.formats.catalog import Catalog

#: Rows from this length on are written by columns.
_COLUMNS_FROM = 4
#: A column of which so many values are the same object is written as a table of them and their numbers.
_SHARED = 4
_MOST_ROWS = 50_000_000


class CodecFault(Exception):
    """A value that cannot be written, or data that are no catalog."""


@dataclass(frozen=True, slots=True)
class _Coder:
    """How the values of one type are written and read, one by one and a column at a time."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    write_all: Callable[[Sequence[Any]], Any]
    read_all: Callable[[Any], Iterable[Any]]


def to_plain(catalog: Catalog) -> Any:
    """A catalog as lists, dicts, numbers and texts.

    Raises:
        CodecFault: it holds something that has no plain form.
    """
    try:
        return _coder(Catalog).write(catalog)
    except (TypeError, ValueError, AttributeError) as fault:
        raise CodecFault(str(fault)) from fault


def from_plain(data: Any) -> Catalog:
    """The catalog that `to_plain` was given.

    Raises:
        CodecFault: the data are of another shape.
    """
    try:
        return cast(Catalog, _coder(Catalog).read(data))
    except (TypeError, ValueError, AttributeError, LookupError) as fault:
        raise CodecFault(str(fault)) from fault


def _check(value: Any, kinds: tuple[type, ...]) -> Any:
    if type(value) not in kinds:
        raise CodecFault(f"{type(value).__name__} where {kinds[0].__name__} must be")
    return value


def _check_all(values: Iterable[Any], kinds: tuple[type, ...]) -> None:
    wrong = set(map(type, values)).difference(kinds)
    if wrong:
        raise CodecFault(f"{wrong.pop().__name__} where {kinds[0].__name__} must be")


@cache
def _coder(hint: Any) -> _Coder:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, UnionType):
        return _optional(typing.get_args(hint))
    if origin is tuple:
        inner = typing.get_args(hint)
        return _row(inner[0]) if inner[-1] is Ellipsis else _fixed(inner)
    if not isinstance(hint, type):
        raise CodecFault(f"no plain form of {hint}")
    if is_dataclass(hint):
        return _record(hint)
    if issubclass(hint, Enum):
        return _one_by_one(lambda value: value.value, hint)
    if issubclass(hint, Path):
        return _paths()
    if hint is bytes:
        return _one_by_one(lambda value: base64.b64encode(value).decode(), base64.b64decode)
    if hint in (int, str, float, bool):
        return _scalar((float, int) if hint is float else (hint,))
    raise CodecFault(f"no plain form of {hint.__name__}")


def _one_by_one(write: Callable[[Any], Any], read: Callable[[Any], Any]) -> _Coder:
    return _Coder(
        write,
        read,
        lambda values: [write(value) for value in values],
        lambda data: [read(value) for value in _check(data, (list,))],
    )


def _scalar(kinds: tuple[type, ...]) -> _Coder:
    def all_(values: Any) -> list[Any]:
        _check_all(_check(values, (list, tuple)), kinds)
        return list(values)

    def one(value: Any) -> Any:
        return _check(value, kinds)

    return _Coder(one, one, all_, all_)


def _paths() -> _Coder:
    """A column of paths is written as names, and folders with the number of names that follow in each."""
    text = (str,)

    def write_all(values: Sequence[Path]) -> Any:
        runs: list[list[Any]] = []
        for value in values:
            folder = str(value.parent)
            if not runs or runs[-1][0] != folder:
                runs.append([folder, 0])
            runs[-1][1] += 1
        return {"names": [value.name for value in values], "in": runs}

    def read_all(data: Any) -> list[Path]:
        names = iter(data["names"])
        _check_all(data["names"], text)
        paths: list[Path] = []
        for folder, count in data["in"]:
            join = Path(_check(folder, text)).joinpath
            paths += [join(name) for name in islice(names, count)]
        return paths

    return _Coder(str, lambda data: Path(_check(data, text)), write_all, read_all)


def _optional(kinds: tuple[Any, ...]) -> _Coder:
    """A type or None; or several plain types."""
    if len(kinds) == 2 and NoneType in kinds:
        inner = _coder(next(kind for kind in kinds if kind is not NoneType))

        def write_all(values: Sequence[Any]) -> Any:
            if None not in values:
                return {"all": inner.write_all(values)}
            return [None if value is None else inner.write(value) for value in values]

        def read_all(data: Any) -> Iterable[Any]:
            if isinstance(data, dict):
                return inner.read_all(data["all"])
            return [None if value is None else inner.read(value) for value in data]

        return _Coder(
            lambda value: None if value is None else inner.write(value),
            lambda data: None if data is None else inner.read(data),
            write_all,
            read_all,
        )
    if not all(kind in (int, str, float, bool, NoneType) for kind in kinds):
        raise CodecFault(f"no plain form of {kinds}")
    return _scalar(kinds)


def _fixed(kinds: tuple[Any, ...]) -> _Coder:
    """A tuple of known length."""
    coders = [_coder(kind) for kind in kinds]

    def write(value: tuple[Any, ...]) -> list[Any]:
        return [coder.write(part) for coder, part in zip(coders, value, strict=True)]

    def read(value: Any) -> tuple[Any, ...]:
        _check(value, (list,))
        return tuple(coder.read(part) for coder, part in zip(coders, value, strict=True))

    if any(kind is not float for kind in kinds):
        return _one_by_one(write, read)

    def write_numbers(values: Sequence[Any]) -> list[Any]:
        """By axis; an axis of one number is written once, but for the last one."""
        axes = [[coder.write(value[n]) for value in values] for n, coder in enumerate(coders)]
        return [axis[:1] if len(set(map(repr, axis))) == 1 else axis for axis in axes[:-1]] + axes[-1:]

    def read_numbers(data: Any) -> Iterable[Any]:
        rows = len(data[-1])
        axes: list[list[Any]] = [list(coder.read_all(axis)) for coder, axis in zip(coders, data, strict=True)]
        if {len(axis) for axis in axes} - {1, rows}:
            raise CodecFault("axes of different lengths")
        return list(zip(*[repeat(axis[0], rows) if len(axis) == 1 else axis for axis in axes], strict=True))

    return _Coder(write, read, write_numbers, read_numbers)


def _row(kind: Any) -> _Coder:
    """A tuple of any length."""
    coder = _coder(kind)
    by_columns = is_dataclass(kind)

    def write(values: tuple[Any, ...]) -> Any:
        _check(values, (tuple,))
        if by_columns and len(values) >= _COLUMNS_FROM:
            return {"rows": len(values), "columns": _write_columns(kind, values)}
        return coder.write_all(values)

    def read(data: Any) -> tuple[Any, ...]:
        if by_columns and isinstance(data, dict):
            return _read_columns(kind, data["rows"], data["columns"])
        return tuple(coder.read_all(data))

    return _one_by_one(write, read)


@cache
def _fields(kind: Hashable) -> tuple[tuple[str, _Coder], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field.name, _coder(hints[field.name])) for field in fields(cast(Any, kind)))


def _record(kind: Any) -> _Coder:
    def write(value: Any) -> list[Any]:
        if type(value) is not kind:
            raise CodecFault(f"{type(value).__name__} where {kind.__name__} must be")
        return [coder.write(getattr(value, name)) for name, coder in _fields(cast(Hashable, kind))]

    def read(data: Any) -> Any:
        _check(data, (list,))
        return kind(*[coder.read(part) for (_, coder), part in zip(_fields(kind), data, strict=True)])

    return _one_by_one(write, read)


def _write_columns(kind: Any, values: Sequence[Any]) -> list[Any]:
    _check_all(values, (kind,))
    columns: list[Any] = []
    for name, coder in _fields(kind):
        column = [getattr(value, name) for value in values]
        different = {id(value): value for value in column}
        if len(different) == 1:
            columns.append({"same": coder.write(column[0])})
        elif _SHARED * len(different) <= len(column):
            number = {key: n for n, key in enumerate(different)}
            table = coder.write_all(list(different.values()))
            columns.append({"table": table, "at": [number[id(value)] for value in column]})
        else:
            columns.append({"each": coder.write_all(column)})
    return columns


def _read_columns(kind: Any, rows: Any, columns: Any) -> tuple[Any, ...]:
    if not 0 <= _check(rows, (int,)) <= _MOST_ROWS:
        raise CodecFault(f"{rows} rows")
    unpacked: list[Iterable[Any]] = []
    for (_, coder), column in zip(_fields(kind), columns, strict=True):
        if "same" in column:
            unpacked.append(repeat(coder.read(column["same"]), rows))
        elif "each" in column:
            unpacked.append(coder.read_all(column["each"]))
        else:
            _check_all(column["at"], (int,))
            unpacked.append(map(list(coder.read_all(column["table"])).__getitem__, column["at"]))
    full = [list(column) if not isinstance(column, repeat) else column for column in unpacked]
    if any(isinstance(column, list) and len(column) != rows for column in full):
        raise CodecFault("columns of different lengths")
    return _filled(kind, rows, full)


def _filled(kind: Any, rows: int, columns: Sequence[Iterable[Any]]) -> tuple[Any, ...]:
    """`rows` objects with these fields; slots are filled a column at a time, which is twice as quick as one by one."""
    if not hasattr(kind, "__slots__") or hasattr(kind, "__post_init__"):
        return tuple(map(kind, *columns))
    made = tuple(map(kind.__new__, repeat(kind, rows)))
    for field, column in zip(fields(kind), columns, strict=True):
        deque(map(getattr(kind, field.name).__set__, made, column), maxlen=0)
    return made
