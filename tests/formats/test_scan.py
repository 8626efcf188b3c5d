"""Folders, archives and what people put into them: what cannot be shown is listed with its reason."""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from medviewer.errors import BadInput, Cancelled
from medviewer.formats import scan as scan_module
from medviewer.formats import source
from medviewer.formats.load import load_volume
from medviewer.formats.scan import nothing_opened, scan
from medviewer.jobs import CancelToken, JobContext, Progress
from tests.formats import samples
from tests.formats.hostile_files import directory_file
from tests.formats.samples import along_z


def codes(folder: Path) -> dict[str, str]:
    return {s.path.name: s.code for s in scan([folder]).skipped}


def test_rubbish_beside_a_series_is_named_and_the_series_opens(tmp_path: Path) -> None:
    paths = samples.series(tmp_path / "series", along_z(4))
    whole = paths[0].read_bytes()
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "login.dcm").write_text("<!DOCTYPE html><html><body>Please log in</body></html>")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "picture.dcm").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\1" * 400)
    (tmp_path / "zeros.dcm").write_bytes(b"\0" * 900)
    (tmp_path / "cut header.dcm").write_bytes(whole[:400])
    (tmp_path / "cut pixels.dcm").write_bytes(whole[:-20])
    (tmp_path / "only preamble.dcm").write_bytes(whole[:132])
    catalog = scan([tmp_path])
    assert [s.size_kji for s in catalog.stacks()] == [(4, 6, 5)]
    assert {s.path.name: s.code for s in catalog.skipped} == {
        "empty.dcm": "empty", "login.dcm": "not-dicom", "notes.txt": "not-dicom", "picture.dcm": "not-dicom",
        "zeros.dcm": "not-dicom", "cut header.dcm": "truncated", "cut pixels.dcm": "truncated",
        "only preamble.dcm": "truncated",
    }  # fmt: skip
    reasons = {s.path.name: s.reason for s in catalog.skipped}
    assert reasons["login.dcm"] == "not DICOM (looks like HTML)"
    assert reasons["picture.dcm"] == "not DICOM (looks like a PNG picture)"
    assert "% of the pixel data" in reasons["cut pixels.dcm"]
    assert catalog.files == 12


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"Rows": 0}, "bad-header"),
        ({"Rows": 65535, "Columns": 65535}, "truncated"),
        ({"BitsAllocated": 24}, "unsupported"),
        ({"BitsStored": 20}, "bad-header"),
        ({"SamplesPerPixel": 2}, "bad-header"),
        ({"PixelRepresentation": 7}, "bad-header"),
        ({"PhotometricInterpretation": "PURPLE"}, "unsupported"),
        ({"PhotometricInterpretation": "RGB"}, "bad-header"),
        ({"PhotometricInterpretation": "CMYK"}, "unsupported"),
        ({"NumberOfFrames": "-1"}, "bad-header"),
        ({"Rows": None}, "bad-header"),
        ({"PixelData": None}, "no-pixels"),
    ],
)
def test_headers_that_contradict_themselves(elements: dict[str, object], code: str, tmp_path: Path) -> None:
    samples.save(samples.picture(samples.ramp((6, 5)), **elements), tmp_path / "bad.dcm")
    assert codes(tmp_path) == {"bad.dcm": code}


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"WindowWidth": 0}, "bad-window"),
        ({"RescaleSlope": 0}, "bad-rescale"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.866, 0]}, "bad-orientation"),
        ({"ImageOrientationPatient": None}, "no-position"),
        ({"PixelSpacing": [0, 0]}, "no-spacing"),
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": 12}, "lossy"),
    ],
)
def test_faults_that_leave_the_picture_are_named(elements: dict[str, object], code: str, tmp_path: Path) -> None:
    samples.save(samples.picture(samples.ramp((6, 5)), **elements), tmp_path / "odd.dcm")
    (stack,) = scan([tmp_path]).stacks()
    assert code in stack.codes
    volume = load_volume(stack)
    assert volume.voxels.any() and (volume.slope, volume.intercept) != (0.0, 0.0)


def test_missing_folder_empty_folder_and_no_permission_have_a_sentence(tmp_path: Path) -> None:
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    empty.mkdir()
    assert "no such file or folder" in nothing_opened([gone], scan([gone])).sentence
    assert "the folder is empty" in nothing_opened([empty], scan([empty])).sentence
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        locked = tmp_path / "locked"
        locked.mkdir()
        locked.chmod(0)
        try:
            assert "no permission" in nothing_opened([locked], scan([locked])).sentence
        finally:
            locked.chmod(0o700)


def test_a_file_that_may_not_be_read_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.series(tmp_path, along_z(3))
    opened = source.first_bytes

    def refuse(name: str, length: int) -> object:
        if name.endswith("001.dcm"):
            raise PermissionError(13, "Permission denied", name)
        return opened(name, length)

    monkeypatch.setattr(source, "first_bytes", refuse)
    (skip,) = scan([tmp_path]).skipped
    assert (skip.path.name, skip.code, skip.reason) == ("001.dcm", "unreadable", "no permission to read it")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert codes(tmp_path) == {"pipe": "unreadable"}


def test_an_archive_opens_like_a_folder_and_nothing_is_unpacked(tmp_path: Path) -> None:
    paths = samples.series(tmp_path / "肺结节", along_z(5))
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in paths:
            file.write(path, f"患者/{path.name}")
        file.writestr("readme.txt", "hello")
    before = sorted(tmp_path.rglob("*"))
    catalog = scan([archive])
    (stack,) = catalog.stacks()
    (plain,) = scan([tmp_path / "肺结节"]).stacks()
    assert stack.id == plain.id and (load_volume(stack).voxels == load_volume(plain).voxels).all()
    assert [s.path.name for s in catalog.skipped] == ["readme.txt"] and catalog.files == 6
    assert sorted(tmp_path.rglob("*")) == before


def test_an_archive_in_an_archive_is_read(tmp_path: Path) -> None:
    (path,) = samples.series(tmp_path / "s", along_z(1))
    inner, outer = tmp_path / "inner.zip", tmp_path / "outer.zip"
    with zipfile.ZipFile(inner, "w") as file:
        file.write(path, "a/1.dcm")
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(inner, "deep/inner.zip")
    (stack,) = scan([outer]).stacks()
    assert load_volume(stack).voxels.any()


def test_members_that_lead_outside_or_explode_are_refused(tmp_path: Path) -> None:
    (path,) = samples.series(tmp_path / "s", along_z(1))
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("../../escape.dcm", "/abs.dcm", "C:/drive.dcm", "good.dcm"):
            file.writestr(zipfile.ZipInfo(name), path.read_bytes())
        file.writestr("bomb.dcm", b"\0" * (80 << 20))
    catalog = scan([archive])
    assert len(list(catalog.stacks())) == 1
    assert {s.path.name: s.code for s in catalog.skipped} == dict.fromkeys(
        ("escape.dcm", "abs.dcm", "drive.dcm", "bomb.dcm"), "zip-unsafe"
    )


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04" + b"rubbish" * 50)
    assert codes(tmp_path) == {"broken.zip": "unreadable"}


def test_an_encrypted_member_is_named(tmp_path: Path) -> None:
    (path,) = samples.series(tmp_path / "s", along_z(1))
    archive = tmp_path / "locked.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "1.dcm")
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    assert [s.code for s in scan([archive]).skipped] == ["encrypted"]


def test_progress_has_partial_catalogs_and_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.series(tmp_path, along_z(200))
    monkeypatch.setattr(scan_module, "_PARTIAL_SECONDS", 0.0)
    seen: list[Progress] = []
    scan([tmp_path], JobContext(listener=seen.append))
    assert seen[-1].done == seen[-1].total == 200
    sizes = [s.size_kji[0] for p in seen if p.partial is not None for s in p.partial.stacks()]
    assert sizes and all(64 <= n < 200 for n in sizes)


@pytest.fixture
def slow_share(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every file keeps its reader waiting; the names of the threads that read."""
    readers: set[str] = set()
    real = source.first_bytes

    def slow(name: str, length: int) -> tuple[bytes, int]:
        readers.add(threading.current_thread().name)
        time.sleep(0.004)
        return real(name, length)

    monkeypatch.setattr(source, "first_bytes", slow)
    return readers


def test_a_slow_share_is_read_in_several_threads(
    tmp_path: Path, slow_share: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "_PARTIAL_SECONDS", 0.0)
    samples.series(tmp_path, along_z(150))
    seen: list[Progress] = []
    catalog = scan([tmp_path], JobContext(listener=seen.append))
    assert len({name for name in slow_share if name.startswith("scan")}) > 1
    assert {p.total for p in seen} == {150}, "files under way belong to the whole"
    assert [p for p in seen if p.partial is not None], "the list so far"
    assert catalog.files == 150 and catalog.skipped == ()
    (stack,) = catalog.stacks()
    assert stack.size_kji == (150, 6, 5) and stack.quality == ()


def test_cancel_ends_the_scan_of_a_slow_share(tmp_path: Path, slow_share: set[str]) -> None:
    samples.series(tmp_path, along_z(150))
    token = CancelToken()
    context = JobContext(token, lambda progress: token.cancel() if progress.done > 20 else None)
    with pytest.raises(Cancelled):
        scan([tmp_path], context)
    assert not [t for t in threading.enumerate() if t.name.startswith("scan")]


def test_cancel_ends_the_scan(tmp_path: Path) -> None:
    samples.series(tmp_path, along_z(150))
    token = CancelToken()
    context = JobContext(token, lambda progress: token.cancel() if progress.done else None)
    with pytest.raises(Cancelled):
        scan([tmp_path], context)
    assert not [t for t in threading.enumerate() if t.name.startswith("scan")]


def test_objects_are_listed_by_their_kind() -> None:
    kinds = {}
    for name in ("rtplan.dcm", "rtdose.dcm", "reportsi.dcm", "liver_1frame.dcm", "test-SR.dcm", "DICOMDIR"):
        found = get_testdata_file(name, download=False)
        if found is not None:
            (kinds[name],) = (o.kind for o in scan([Path(str(found))]).objects)
    expected = {
        "rtplan.dcm": "RTPLAN", "rtdose.dcm": "RTDOSE", "reportsi.dcm": "SR", "liver_1frame.dcm": "SEG",
        "test-SR.dcm": "SR", "DICOMDIR": "DICOMDIR",
    }  # fmt: skip
    assert kinds == {name: expected[name] for name in kinds} and len(kinds) >= 4


def test_references_that_leave_a_directorys_folder_are_named(tmp_path: Path) -> None:
    found = get_testdata_file("DICOMDIR", download=False)
    assert found is not None
    data = Path(str(found)).read_bytes()
    at = data.index(b"\x04\x00\x00\x15CS")
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    changed = data[: at + 8] + b"..\\..\\SECRET".ljust(length)[:length] + data[at + 8 + length :]
    (tmp_path / "DICOMDIR").write_bytes(changed)
    catalog = scan([tmp_path])
    assert [o.kind for o in catalog.objects] == ["DICOMDIR"]
    assert [s.code for s in catalog.skipped] == ["outside-folder"]


def test_a_directory_that_was_named_brings_its_files_and_says_which_are_missing(tmp_path: Path) -> None:
    found = get_testdata_file("DICOMDIR", download=False)
    assert found is not None
    data = Path(str(found)).read_bytes()
    (tmp_path / "DICOMDIR").write_bytes(data)
    at = data.index(b"\x04\x00\x00\x15CS")
    length = int.from_bytes(data[at + 6 : at + 8], "little")
    parts = data[at + 8 : at + 8 + length].decode().strip().split("\\")
    samples.save(samples.picture(samples.ramp((6, 5))), tmp_path.joinpath(*parts))
    catalog = scan([tmp_path / "DICOMDIR"])
    assert len(list(catalog.stacks())) == 1
    assert {s.reason for s in catalog.skipped} == {"named in the DICOMDIR, but not there"}
    assert len(list(scan([tmp_path]).stacks())) == 1


def test_a_file_named_twice_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = samples.series(tmp_path / "s", along_z(3))
    monkeypatch.chdir(tmp_path)
    catalog = scan([tmp_path, paths[1], Path("s"), Path("s/001.dcm")])
    (stack,) = catalog.stacks()
    assert catalog.files == 3 and catalog.skipped == () and stack.quality == ()


def whole_archive(folder: Path, count: int, **options: int) -> bytes:
    """An archive of some slices, each of its own name; returned as bytes."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", options.get("method", zipfile.ZIP_DEFLATED)) as file:
        for path in samples.series(folder / "s", along_z(count)):
            file.write(path, f"患者/{path.name}")
    return target.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_is_cut_still_gives_its_whole_members(method: int, tmp_path: Path) -> None:
    data = whole_archive(tmp_path, 6, method=method)
    third = data.index(b"PK\x03\x04", data.index(b"PK\x03\x04", 60) + 60)
    (tmp_path / "cut.zip").write_bytes(data[: third + 300])
    catalog = scan([tmp_path / "cut.zip"])
    (stack,) = catalog.stacks()
    assert stack.size_kji[0] == 2 and load_volume(stack).voxels.any()
    (skip,) = catalog.skipped
    assert skip.code == "truncated" and "its 2 whole members are read" in skip.reason and skip.path.name == "002.dcm"


def test_an_archive_written_as_a_stream_is_rescued_too(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        """Cannot seek, so sizes follow the members."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w", method) as file:  # type: ignore[call-overload]
            for path in samples.series(tmp_path / "s", along_z(3)):
                file.writestr(path.name, path.read_bytes())
        directory = pipe.data.index(b"PK\x01\x02")
        (tmp_path / "cut.zip").write_bytes(pipe.data[: directory - 40])
        catalog = scan([tmp_path / "cut.zip"])
        (stack,) = catalog.stacks()
        assert stack.size_kji[0] == 2 and [s.code for s in catalog.skipped] == ["truncated"]


def test_an_archive_without_its_directory_gives_all(tmp_path: Path) -> None:
    data = whole_archive(tmp_path, 4)
    (tmp_path / "cut.zip").write_bytes(data[: data.index(b"PK\x01\x02") + 10])
    (stack,) = scan([tmp_path / "cut.zip"]).stacks()
    assert stack.size_kji[0] == 4


def test_members_of_a_damaged_archive_fail_one_by_one(tmp_path: Path) -> None:
    data = bytearray(whole_archive(tmp_path, 4))
    second = data.index(b"PK\x03\x04", 60)
    data[second + 120 : second + 160] = bytes(40)
    (tmp_path / "bad.zip").write_bytes(data)
    catalog = scan([tmp_path / "bad.zip"])
    assert [s.size_kji[0] for s in catalog.stacks()] == [3]
    assert [(s.path.name, s.code) for s in catalog.skipped] == [("001.dcm", "unreadable")]
    assert "the archive's member is damaged" in catalog.skipped[0].reason


def test_a_large_archive_of_zip64_opens(tmp_path: Path) -> None:
    (path,) = samples.series(tmp_path / "s", along_z(1))
    archive = tmp_path / "big.zip"
    with zipfile.ZipFile(archive, "w") as file, file.open("1.dcm", "w", force_zip64=True) as member:
        member.write(path.read_bytes())
    assert len(list(scan([archive]).stacks())) == 1
    data = archive.read_bytes()
    archive.write_bytes(data[: data.index(b"PK\x01\x02")])
    assert len(list(scan([archive]).stacks())) == 1


def test_archives_nested_too_deep_are_said(tmp_path: Path) -> None:
    (path,) = samples.series(tmp_path / "s", along_z(1))
    data = path.read_bytes()
    for depth in range(6):
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("a.zip" if depth else "a.dcm", data)
        data = target.getvalue()
    (tmp_path / "deep.zip").write_bytes(data)
    assert [s.code for s in scan([tmp_path / "deep.zip"]).skipped] == ["zip-unsafe"]


def test_a_file_that_goes_while_it_is_read_costs_a_sentence(tmp_path: Path) -> None:
    paths = samples.series(tmp_path, along_z(4))
    (stack,) = scan([tmp_path]).stacks()
    paths[1].unlink()
    paths[2].write_bytes(paths[2].read_bytes()[:-40])
    with pytest.raises(BadInput) as error:
        load_volume(stack)
    assert "2 of 4 pictures could not be read" in error.value.sentence
    volume = load_volume(stack, allow_missing=True)
    assert volume.loaded.tolist() == [True, False, False, True]


def test_a_share_that_goes_is_said_and_may_come_back(tmp_path: Path) -> None:
    samples.series(tmp_path / "share", along_z(3))
    (stack,) = scan([tmp_path / "share"]).stacks()
    (tmp_path / "share").rename(tmp_path / "gone")
    with pytest.raises(BadInput) as error:
        load_volume(stack)
    assert "3 of 3 pictures could not be read" in error.value.sentence and "again" in error.value.sentence
    (tmp_path / "gone").rename(tmp_path / "share")
    assert load_volume(stack).loaded.all()


def disc(folder: Path, *references: str) -> Path:
    """A folder with three slices as files of a disc and a DICOMDIR that names some files."""
    for n, path in enumerate(samples.series(folder / "images", along_z(3))):
        path.rename(folder / "images" / f"im{n}.;1")
    (folder / "DICOMDIR").write_bytes(directory_file(*references))
    return folder / "DICOMDIR"


def test_a_directory_finds_files_whose_names_a_system_changed(tmp_path: Path) -> None:
    catalog = scan([disc(tmp_path, "IMAGES\\IM0", "IMAGES\\IM1", "IMAGES\\IM2", "IMAGES\\IM9")])
    (stack,) = catalog.stacks()
    assert stack.size_kji[0] == 3
    assert [s.reason for s in catalog.skipped] == ["named in the DICOMDIR, but not there"]
    assert [o.summary for o in catalog.objects] == ["DICOMDIR - 4 references, 1 of them absent"]


def test_a_directory_in_a_folder_adds_nothing_and_counts_what_is_absent(tmp_path: Path) -> None:
    disc(tmp_path, "IMAGES\\IM0", "IMAGES\\GONE")
    catalog = scan([tmp_path])
    assert catalog.skipped == () and [s.size_kji[0] for s in catalog.stacks()] == [3]
    assert [o.summary for o in catalog.objects] == ["DICOMDIR - 2 references, 1 of them absent"]


@pytest.mark.parametrize("kind", ["DICOMDIR", "DICOMDIR-implicit", "DICOMDIR-bigEnd", "DICOMDIR-nooffset"])
def test_directories_of_every_encoding_are_followed(kind: str, tmp_path: Path) -> None:
    from pydicom.data.data_manager import DATA_ROOT

    folder = Path(DATA_ROOT) / "test_files" / "dicomdirtests"
    catalog = scan([folder / kind])
    assert sum(len(stack.frames) for stack in catalog.stacks()) + len(catalog.objects) - 1 >= 20
    assert [o.summary for o in catalog.objects if o.kind == "DICOMDIR"] == ["DICOMDIR - 31 references"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="this system has no links")
def test_a_link_out_of_a_directorys_folder_is_not_followed(tmp_path: Path) -> None:
    (secret,) = samples.series(tmp_path / "secret", along_z(1))
    disc(tmp_path / "disc", "IMAGES\\OUT")
    (tmp_path / "disc" / "images" / "OUT").symlink_to(secret)
    catalog = scan([tmp_path / "disc" / "DICOMDIR"])
    assert list(catalog.stacks()) == [] and [s.code for s in catalog.skipped] == ["outside-folder"]


def test_a_directory_in_an_archive_misses_nothing(tmp_path: Path) -> None:
    disc(tmp_path / "disc", "IMAGES\\IM0")
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as file:
        for path in sorted((tmp_path / "disc").rglob("*")):
            file.write(path, path.relative_to(tmp_path).as_posix())
    catalog = scan([tmp_path / "disc.zip"])
    assert catalog.skipped == () and [o.summary for o in catalog.objects] == ["DICOMDIR - 1 reference"]
    assert [s.size_kji[0] for s in catalog.stacks()] == [3]
