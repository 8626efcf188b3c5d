"""Catalogs as plain JSON values and back, by the types that their classes declare.

Nothing is named in the data but values: what class a value becomes is decided by the declared type, and a value of
another type is refused. Long rows of equal objects (the frames of a stack) are written by columns, and what several
of them share is written once.
"""

from __future__ import annotations

import base64
import typing
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast

from medviewer.formats.catalog import Catalog

#: Rows from this length on are written by columns.
_COLUMNS_FROM = 4
#: A column of which so many values are the same object is written as a table of them and their numbers.
_SHARED = 4


class CodecFault(Exception):
    """A value that cannot be written, or data that are no catalog."""


@dataclass(frozen=True, slots=True)
class _Coder:
    """How the values of one type are written and read, one by one and a column at a time."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]
    read_all: Callable[[Sequence[Any]], Iterable[Any]]


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
    return _Coder(write, read, lambda values: [read(value) for value in values])


def _scalar(kinds: tuple[type, ...]) -> _Coder:
    def read_all(values: Sequence[Any]) -> Sequence[Any]:
        _check_all(values, kinds)
        return values

    def one(value: Any) -> Any:
        return _check(value, kinds)

    return _Coder(one, one, read_all)


def _paths() -> _Coder:
    """A path is written as its folder and its name; folders that follow one another are made once."""

    def write(value: Path) -> list[str]:
        return [str(value.parent), value.name]

    def read_all(values: Sequence[Any]) -> list[Path]:
        _check_all(chain.from_iterable(values), (str,))
        join, last = Path().joinpath, ""
        paths: list[Path] = []
        for folder, name in values:
            if folder != last:
                join, last = Path(folder).joinpath, folder
            paths.append(join(name))
        return paths

    return _Coder(write, lambda value: read_all([value])[0], read_all)


def _optional(kinds: tuple[Any, ...]) -> _Coder:
    """A type or None; or several plain types."""
    if len(kinds) == 2 and NoneType in kinds:
        inner = _coder(next(kind for kind in kinds if kind is not NoneType))

        def read_all(values: Sequence[Any]) -> Iterable[Any]:
            if None not in values:
                return inner.read_all(values)
            return [None if value is None else inner.read(value) for value in values]

        return _Coder(
            lambda value: None if value is None else inner.write(value),
            lambda value: None if value is None else inner.read(value),
            read_all,
        )
    if not all(kind in (int, str, float, bool, NoneType) for kind in kinds):
        raise CodecFault(f"no plain form of {kinds}")
    return _scalar(kinds)


def _fixed(kinds: tuple[Any, ...]) -> _Coder:
    """A tuple of known length."""
    coders = [_coder(kind) for kind in kinds]
    size = len(kinds)

    def write(value: tuple[Any, ...]) -> list[Any]:
        return [coder.write(part) for coder, part in zip(coders, value, strict=True)]

    def read(value: Any) -> tuple[Any, ...]:
        _check(value, (list,))
        return tuple(coder.read(part) for coder, part in zip(coders, value, strict=True))

    if any(kind is not float for kind in kinds):
        return _one_by_one(write, read)

    def read_numbers(values: Sequence[Any]) -> Iterable[Any]:
        _check_all(values, (list,))
        if set(map(len, values)) - {size}:
            raise CodecFault(f"not {size} numbers")
        _check_all(chain.from_iterable(values), (float, int))
        return map(tuple, values)

    return _Coder(write, read, read_numbers)


def _row(kind: Any) -> _Coder:
    """A tuple of any length."""
    coder = _coder(kind)
    by_columns = is_dataclass(kind)

    def write(values: tuple[Any, ...]) -> Any:
        _check(values, (tuple,))
        if by_columns and len(values) >= _COLUMNS_FROM:
            return {"rows": len(values), "columns": _write_columns(kind, values)}
        return [coder.write(value) for value in values]

    def read(data: Any) -> tuple[Any, ...]:
        if by_columns and isinstance(data, dict):
            return _read_columns(kind, data["rows"], data["columns"])
        _check(data, (list,))
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
        if _SHARED * len(different) <= len(column):
            number = {key: n for n, key in enumerate(different)}
            table = [coder.write(value) for value in different.values()]
            columns.append({"table": table, "at": [number[id(value)] for value in column]} if len(table) > 1 else table)
        else:
            columns.append({"each": [coder.write(value) for value in column]})
    return columns


def _read_columns(kind: Any, rows: Any, columns: Any) -> tuple[Any, ...]:
    _check(rows, (int,))
    unpacked: list[Iterable[Any]] = []
    for (_, coder), column in zip(_fields(kind), columns, strict=True):
        if isinstance(column, list):
            unpacked.append(repeat(coder.read(*column), rows))
        elif "each" in column:
            _same_length(column["each"], rows)
            unpacked.append(coder.read_all(column["each"]))
        else:
            _same_length(column["at"], rows)
            _check_all(column["at"], (int,))
            unpacked.append(map(list(coder.read_all(column["table"])).__getitem__, column["at"]))
    return tuple(map(kind, *unpacked))


def _same_length(column: Any, rows: int) -> None:
    if len(_check(column, (list,))) != rows:
        raise CodecFault("columns of different lengths")
