"""Reads the headers of many files; what the files of a series repeat is read once.

A file that is like one before (see `pattern`) is compared instead of parsed, and facts that depend on equal elements
only are remembered (see `memory`). Whatever is unusual is parsed with care, so the outcome is the same.
"""

from __future__ import annotations

from pathlib import Path

from medviewer.formats import source
from medviewer.formats.catalog import ObjectFile
from medviewer.formats.dicom import tags as T
from medviewer.formats.dicom.elements import Header, HeaderFault, NeedMore, Span, parse_header
from medviewer.formats.dicom.headers.header import ImageFile, read_file_header
from medviewer.formats.dicom.headers.pattern import Pattern, make
from medviewer.formats.dicom.pixels.stream_sign import with_stream_sign

#: Kinds of headers that are remembered, the last ones used.
_KEPT = 12
#: What is read of a file at first: at least, before anything is known, and at most.
_LEAST_READ, _FIRST_READ, _MOST_READ = 4096, 16384, 65536
#: Headers of one kind differ in length by less than this.
_SLACK = 256
#: Longer headers are not remembered: their bytes would be kept.
_MOST_KEPT = 1 << 20


class HeaderReader:
    """Reads headers, one after another, and remembers what they share. Of one thread.

    Attributes:
        first_read: how many bytes of the next file are worth reading at first.
    """

    def __init__(self) -> None:
        self._patterns: list[Pattern] = []
        self.first_read = _FIRST_READ

    def read(self, path: Path, start: bytes, size: int) -> ImageFile | ObjectFile:
        """What a DICOM file is.

        Args:
            path: the file or the member of an archive.
            start: its first bytes, at least `first_read` of them where the file is that long.
            size: its size in bytes.

        Raises:
            HeaderFault: it cannot be shown; code and reason say why.
            OSError, SourceFault: it cannot be read on.
        """
        for n, pattern in enumerate(self._patterns):
            header = pattern.match(start)
            if header is None:
                continue
            if n:
                self._patterns.insert(0, self._patterns.pop(n))
            try:
                return _signed(path, header, read_file_header(path, header, size, pattern.memory.take))
            except Exception:  # said with care below
                break
        return self._read_with_care(path, start, size)

    def _read_with_care(self, path: Path, start: bytes, size: int) -> ImageFile | ObjectFile:
        spans: list[Span] = []
        buffer, header = read_header(path, start, size, spans)
        result = read_file_header(path, header, size)
        if isinstance(result, ImageFile) and len(buffer) <= _MOST_KEPT:
            self._learn(buffer, spans, header)
        return _signed(path, header, result)

    def _learn(self, buffer: bytes, spans: list[Span], header: Header) -> None:
        made = make(buffer, spans, header)
        if made is None:
            return
        wider = {n: w for n, p in enumerate(self._patterns) if (w := p.widened(buffer, spans, header)) is not None}
        if wider:  # series are kept apart as long as there is room: fewer elements differ in one
            nearest = min(wider, key=lambda n: (not wider[n].of_one_series, wider[n].width))
            if wider[nearest].of_one_series or len(self._patterns) >= _KEPT:
                made = wider[nearest]
                self._patterns.pop(nearest)
        self._patterns.insert(0, made)
        del self._patterns[_KEPT:]
        reach = max((p.reach for p in self._patterns if p.reach <= _MOST_READ), default=_FIRST_READ) + _SLACK
        self.first_read = max(_LEAST_READ, -(-reach // 4096) * 4096)


def _signed(path: Path, header: Header, result: ImageFile | ObjectFile) -> ImageFile | ObjectFile:
    return with_stream_sign(path, header, result) if isinstance(result, ImageFile) else result


def read_header(path: Path, start: bytes, size: int, spans: list[Span] | None = None) -> tuple[bytes, Header]:
    """Parse the header of a DICOM file, reading on where its first bytes do not reach.

    Args:
        path: the file.
        start: its first bytes.
        size: its size.
        spans: gets where the elements of the top level lie.

    Returns:
        As many first bytes as the header needed, and the header.

    Raises:
        HeaderFault: it is damaged.
    """
    buffer = start
    while True:
        try:
            return buffer, parse_header(buffer, size, T.WANTED, spans)
        except NeedMore as need:
            if spans is not None:
                spans.clear()
            wanted = min(size, max(need.wanted, 2 * len(buffer)))
            with source.open_binary(path) as file:
                buffer = file.read(wanted)
            if len(buffer) < wanted:
                raise HeaderFault("truncated", "truncated: the file is shorter than its folder says") from None
