"""What is remembered of a scan is what a scan would find, and nothing that has changed since."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medviewer import places
from medviewer.formats import nifti, scan_cache
from medviewer.formats.catalog import Catalog
from medviewer.formats.catalog_codec import CodecFault, from_plain, to_plain
from medviewer.formats.scan import scan
from medviewer.formats.scan_cache import open_catalog
from medviewer.jobs import JobContext, Progress
from medviewer.volume.grid import Grid
from tests.formats import samples
from tests.formats.samples import along_z, picture, ramp


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many files each scan has read since; remembered catalogs read none."""
    monkeypatch.setattr(scan_cache, "_FRESH", 0.0)
    counts: list[int] = []
    real = scan_cache.scan_files

    def counted(*args: object, **kwargs: object) -> Catalog:
        catalog = real(*args, **kwargs)  # type: ignore[arg-type]
        counts.append(catalog.files)
        return catalog

    monkeypatch.setattr(scan_cache, "scan_files", counted)
    return counts


def settle() -> None:
    """Let the clock of the file system go on: what is changed now is of another time."""
    time.sleep(0.02)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    samples.series(folder / "a", along_z(12))
    samples.series(folder / "b", along_z(3), SeriesInstanceUID="1.2.3.77", PatientName="Müller^Jürgen")
    (folder / "notes.txt").write_text("hello")
    settle()
    return folder


def test_the_second_look_reads_no_file_and_finds_the_same(study: Path, reads: list[int]) -> None:
    first, second = open_catalog([study]), open_catalog([study])
    assert reads == [16]
    assert first == second == scan([study]) and repr(first) == repr(second)


def change_a_value(study: Path) -> None:
    path = study / "a" / "003.dcm"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Test^Patient", b"Next^Patient"))


def change_and_set_the_time_back(study: Path) -> None:
    path = study / "a" / "003.dcm"
    before = path.stat()
    change_a_value(study)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def change_in_place_with_the_same_times(study: Path) -> None:
    path = study / "a" / "003.dcm"
    before = path.stat()
    at = path.read_bytes().index(b"Test^Patient")
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"Next^Patient")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap_for_another_file(study: Path) -> None:
    path = study / "a" / "003.dcm"
    before = path.stat()
    other = study.parent / "other.dcm"
    other.write_bytes(path.read_bytes().replace(b"Test^Patient", b"Next^Patient"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


CHANGES: list[Callable[[Path], object]] = [
    change_a_value,
    change_and_set_the_time_back,
    change_in_place_with_the_same_times,
    swap_for_another_file,
    lambda study: (study / "a" / "003.dcm").unlink(),
    lambda study: (study / "a" / "003.dcm").rename(study / "a" / "renamed.dcm"),
    lambda study: samples.series(study / "c", along_z(2), SeriesInstanceUID="1.2.3.78"),
    lambda study: (study / "a" / "003.dcm").write_bytes((study / "a" / "003.dcm").read_bytes()[:700]),
    lambda study: (study / "notes.txt").write_text("HELLO"),
    lambda study: shutil.rmtree(study / "b"),
    lambda study: (study / "link.dcm").symlink_to(study / "a" / "001.dcm"),
    lambda study: (study / "empty").touch(),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no time of change")
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(study: Path, reads: list[int], change: Callable[[Path], object]) -> None:
    open_catalog([study])
    open_catalog([study])
    settle()
    change(study)
    assert repr(open_catalog([study])) == repr(scan([study]))
    assert len(reads) == 2


def test_files_of_this_moment_are_not_remembered(study: Path) -> None:
    """A file could change again within the same tick of the clock."""
    samples.save(picture(ramp((6, 5))), study / "fresh.dcm")
    open_catalog([study])
    folder = places.cache_folder() / "scans"
    assert list(folder.iterdir()) == []
    time.sleep(0.15)
    open_catalog([study])
    assert len(list(folder.iterdir())) == 1


def entry() -> Path:
    (found,) = (places.cache_folder() / "scans").iterdir()
    return found


DAMAGE: list[Callable[[bytes], bytes]] = [
    lambda data: b"",
    lambda data: data[:10],
    lambda data: data[: len(data) // 2],
    lambda data: data[:-3] + b"xyz",
    lambda data: data.replace(b"Test^Patient", b"Evil^Patient"),
    lambda data: data + b" ",
    lambda data: b"\x80\x04\x95" + data,  # how a pickle begins
    lambda data: os.urandom(len(data)),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_scanned_anew_and_replaced(
    study: Path, reads: list[int], damage: Callable[[bytes], bytes]
) -> None:
    first = open_catalog([study])
    entry().write_bytes(damage(entry().read_bytes()))
    assert open_catalog([study]) == first == open_catalog([study])
    assert reads == [16, 16]


def test_entries_are_the_users_alone(study: Path, reads: list[int]) -> None:
    open_catalog([study])
    if os.name == "posix":
        assert stat.S_IMODE(entry().stat().st_mode) == 0o600
        assert stat.S_IMODE(entry().parent.stat().st_mode) == 0o700
        entry().parent.chmod(0o755)
        open_catalog([study])
        assert stat.S_IMODE(entry().parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_in_the_place_of_an_entry_is_not_followed(study: Path, reads: list[int], tmp_path: Path) -> None:
    open_catalog([study])
    made, elsewhere = entry(), tmp_path / "elsewhere"
    made.rename(elsewhere)
    made.symlink_to(elsewhere)
    open_catalog([study])
    assert reads == [16, 16] and not made.is_symlink()


def test_another_program_scans_anew(study: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    open_catalog([study])
    monkeypatch.setattr(scan_cache, "_PROGRAM", "a newer one")
    open_catalog([study])
    assert reads == [16, 16]


def test_the_number_and_the_bytes_of_entries_are_bounded(
    study: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = places.cache_folder() / "scans"
    monkeypatch.setattr(scan_cache, "MAX_ENTRIES", 2)
    for asked in (["a"], ["b"], ["a", "b"], ["b", "a"]):
        open_catalog([study / name for name in asked])
        settle()
    assert len(list(folder.iterdir())) == 2
    newest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    monkeypatch.setattr(scan_cache, "MAX_BYTES", newest.stat().st_size + 10)
    open_catalog([study])
    assert len(list(folder.iterdir())) <= 1
    monkeypatch.setattr(scan_cache, "MAX_ENTRY", 100)
    assert open_catalog([study / "a"]).files == 12


def test_old_entries_go_and_all_can_be_forgotten(study: Path, reads: list[int]) -> None:
    open_catalog([study / "a"])
    os.utime(entry(), (time.time() - 40 * 86400,) * 2)
    open_catalog([study / "b"])
    assert b"M\\u00fcller" in entry().read_bytes()
    scan_cache.forget()
    assert list((places.cache_folder() / "scans").iterdir()) == []
    assert open_catalog([study / "b"]).files == 3 and len(reads) == 3


def test_what_is_asked_for_last_is_kept(study: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_cache, "MAX_ENTRIES", 2)
    for name in ("a", "b", "a", ".", "a"):
        open_catalog([study / name])
        settle()
    assert len(reads) == 3


def test_the_same_name_in_another_folder_is_another_thing(
    study: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = study.parent / "elsewhere"
    shutil.copytree(study / "b", other / "a")
    settle()
    for place in (study, other):
        monkeypatch.chdir(place)
        assert open_catalog([Path("a")]) == scan([Path("a")])
    assert reads == [12, 3]


def test_an_archive_is_remembered_with_its_members(study: Path, reads: list[int]) -> None:
    archive = study.parent / "study.zip"

    def pack(names: list[str]) -> None:
        with zipfile.ZipFile(archive, "w") as file:
            for name in names:
                file.write(study / "a" / name, name)
        settle()

    pack(["000.dcm", "001.dcm"])
    assert open_catalog([archive]) == open_catalog([archive]) == scan([archive])
    assert reads == [2]
    pack(["000.dcm", "001.dcm", "002.dcm"])
    assert open_catalog([archive]).files == 3


def test_data_beside_a_named_header_are_not_trusted(study: Path, reads: list[int]) -> None:
    nifti.write(study / "x.nii.gz", ramp((4, 6, 5)), Grid.plain((4, 6, 5)))
    settle()
    for _ in range(2):
        open_catalog([study / "x.nii.gz"])
    assert reads == [1, 1]
    for _ in range(2):
        assert open_catalog([study]) == scan([study])
    assert len(reads) == 3


def test_files_that_cannot_be_read_are_tried_again(
    study: Path, reads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (study / "broken.dcm").symlink_to(study / "nowhere")
    settle()
    open_catalog([study])
    open_catalog([study])
    assert len(reads) == 2


def test_a_home_that_cannot_be_written_is_no_reason_to_fail(
    study: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "a file"
    blocked.touch()
    monkeypatch.setenv("MEDVIEWER_HOME", str(blocked))
    assert open_catalog([study]) == scan([study])


def test_progress_ends_and_a_cancelled_scan_leaves_nothing(study: Path, reads: list[int]) -> None:
    for _ in range(2):
        seen: list[Progress] = []
        open_catalog([study], JobContext(listener=seen.append))
        assert seen[-1].done == seen[-1].total == 16


def _open_often(folder: str, home: str, times: int, failed: object) -> None:
    os.environ["MEDVIEWER_HOME"] = home
    scan_cache._FRESH = 0.0
    expected = scan([Path(folder)])
    for n in range(times):
        if n % 3 == 0:
            for path in (places.cache_folder() / "scans").glob("*.json"):
                path.write_bytes(path.read_bytes()[: n * 50])
        if open_catalog([Path(folder)]) != expected:
            failed.set()  # type: ignore[attr-defined]


def test_several_processes_at_once(study: Path, own_home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    failed = context.Event()
    workers = [context.Process(target=_open_often, args=(str(study), str(own_home), 40, failed)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0] and not failed.is_set()
    assert not list((own_home / "cache" / "scans").glob(".*"))


@pytest.mark.parametrize(
    "data",
    [None, [], {}, 5, [1, 2, 3, 4, 5, 6, 7], [1, [], "no patients", [], []], [0, [], [[1, 2, 3]], [], []]],
)
def test_data_of_another_shape_are_no_catalog(data: object) -> None:
    with pytest.raises(CodecFault):
        from_plain(data)


def test_numbers_of_another_type_are_not_written(study: Path) -> None:
    catalog = scan([study])
    object.__setattr__(catalog, "files", np.int64(3))
    with pytest.raises(CodecFault):
        to_plain(catalog)
