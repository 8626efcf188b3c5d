"""What is worked out of a header once and remembered for the next file that says the same.

A fact of a header is a pure function of some of its elements. `Memory` finds out which ones by watching them being
read, and gives the remembered result to every file that has the same bytes there. So it cannot go stale or be wrong
about what a fact depends on: two files that agree in all elements that a function has read make it do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from medviewer.formats.dicom.elements import Elements

R = TypeVar("R")

#: `take(function, data, *more)` gives `function(data, *more)`, perhaps remembered. Functions are pure, their results
#: must never be changed, and `more` is hashable.
Take = Callable[..., Any]

#: Results that are remembered of one function.
_KEPT = 512
#: A function with so many results of which few were asked for again is not worth remembering.
_TRIED = 16


def work_out(function: Callable[..., R], data: Elements, *more: Hashable) -> R:
    """The plain call: nothing is remembered."""
    return function(data, *more)


class _Watched(dict[int, Any]):
    """A dict that notes which of its keys were looked at. Reading it in any other way counts as reading everything."""

    def __init__(self, content: dict[int, Any], seen: set[int], everything: frozenset[int]) -> None:
        super().__init__(content)
        self._seen = seen
        self._everything = everything

    def __contains__(self, tag: object) -> bool:
        self._seen.add(tag)  # type: ignore[arg-type]
        return super().__contains__(tag)

    def __getitem__(self, tag: int) -> Any:
        self._seen.add(tag)
        return super().__getitem__(tag)

    def get(self, tag: int, default: Any = None) -> Any:
        """As dict."""
        self._seen.add(tag)
        return super().get(tag, default)

    def __len__(self) -> int:
        self._seen |= self._everything
        return super().__len__()

    def __iter__(self) -> Iterator[int]:
        self._seen |= self._everything
        return super().__iter__()

    def keys(self) -> Any:
        """As dict."""
        self._seen |= self._everything
        return super().keys()

    def values(self) -> Any:
        """As dict."""
        self._seen |= self._everything
        return super().values()

    def items(self) -> Any:
        """As dict."""
        self._seen |= self._everything
        return super().items()

    def copy(self) -> NoReturn:
        """Refused: what is read in a copy would not be seen."""
        raise NotImplementedError


@dataclass(slots=True)
class _Fact:
    """What is known of one function: the varying elements that it reads, and its results by their values.

    `same` is the result for `more` where it reads none of them: nearly all functions of nearly all files.
    """

    tags: tuple[int, ...] = ()
    results: dict[Any, Any] = field(default_factory=dict)
    misses: int = 0
    hits: int = 0
    given_up: bool = False
    more: tuple[Hashable, ...] | None = None
    same: Any = None


class Memory:
    """Remembers facts of headers that are alike but for some elements.

    Of one thread. Every header that is shown to it must equal the others in all elements but `varying`.
    """

    def __init__(self, varying: Iterable[int]) -> None:
        self._varying = frozenset(varying)
        self._facts: dict[Callable[..., Any], _Fact] = {}

    def take(self, function: Callable[..., R], data: Elements, *more: Hashable) -> R:
        """`function(data, *more)`, remembered where a header with the same elements has been seen."""
        fact = self._facts.get(function)
        if fact is None:
            fact = self._facts[function] = _Fact()
        elif fact.more == more:
            return fact.same  # type: ignore[no-any-return]
        elif fact.given_up:
            return function(data, *more)
        raw = data.raw
        key = (more, *[raw.get(tag) for tag in fact.tags]) if fact.tags else more
        try:
            result: R = fact.results[key]
        except KeyError:
            return self._learn(fact, function, data, more)
        fact.hits += 1
        return result

    def _learn(self, fact: _Fact, function: Callable[..., R], data: Elements, more: tuple[Hashable, ...]) -> R:
        seen: set[int] = set()
        watched = Elements(
            _Watched(data.raw, seen, self._varying), _Watched(data.sequences, seen, self._varying), data.big_endian
        )
        result = function(watched, *more)
        read = self._varying.intersection(seen)
        if not read.issubset(fact.tags):
            fact.tags = tuple(sorted(read.union(fact.tags)))
            fact.results.clear()
            fact.more = fact.same = None
        fact.misses += 1
        if fact.misses >= _TRIED and fact.hits < fact.misses:
            fact.given_up = True
            fact.results.clear()
            return result
        if len(fact.results) >= _KEPT:
            fact.results.clear()
        key = (more, *[data.raw.get(tag) for tag in fact.tags]) if fact.tags else more
        fact.results[key] = result
        if not fact.tags:
            fact.more, fact.same = more, result
        return result
