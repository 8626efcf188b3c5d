"""Documents handed to other programs: private copies in a folder of this process, removed when it ends or starts again.

The folder belongs to this user alone and no name in it tells anything about a patient.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices

from medviewer.desktop.services import Services
from medviewer.errors import BadInput
from medviewer.formats.catalog import ObjectFile
from medviewer.jobs import JobContext

_PREFIX = "medviewer-shown-"
_made: list[Path] = []


def private_folder() -> Path:
    """The folder of this process (0700), made when first asked for; what dead processes left behind goes."""
    if _made and _made[0].is_dir():
        return _made[0]
    forget_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    _made[:] = [folder]
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def forget_leftovers() -> None:
    """Remove folders of this user that no living process owns."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).split("-")[0]
        try:
            mine = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if mine and folder.is_dir() and not folder.is_symlink() and owner.isdigit() and not _lives(int(owner)):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue


def _lives(process: int) -> bool:
    if process == os.getpid():
        return bool(_made)
    if os.name == "nt":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)  # type: ignore[attr-defined]
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)  # type: ignore[attr-defined]
        return bool(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def take_out(path: Path) -> Path:
    """The PDF of a DICOM file as a private file; its name says nothing.

    Raises:
        BadInput: it holds no PDF.
    """
    from medviewer.formats.dicom.objects.encapsulated import read_encapsulated, why_no_pdf

    found = read_encapsulated(path)
    reason = why_no_pdf(found)
    if reason is not None:
        raise BadInput(reason.rstrip("."), path=path)
    target = private_folder() / f"{secrets.token_hex(8)}.pdf"
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(found.data)
    return target


def hand_out(found: ObjectFile, services: Services) -> None:
    """Take the PDF out in a job, then ask the system to show it; a person has asked for that."""

    def work(_: JobContext) -> Path:
        return take_out(found.path)

    def done(path: Path) -> None:
        if QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))):
            services.say("The PDF was handed to the program of this computer that shows PDF files.", "good")
        else:
            services.banner("No program of this computer shows PDF files; install one and try again.", "warn")

    services.jobs.start(
        "Taking the PDF out", work, on_done=done, on_failed=lambda sentence: services.banner(sentence, "bad")
    )
