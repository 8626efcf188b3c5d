"""Names in the character sets of the world, as pydicom's sample files hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_charset_files

from medviewer.formats.dicom.text import decode
from medviewer.formats.scan import scan

NAMES = {
    "chrArab.dcm": "قباني^لنزار",
    "chrFren.dcm": "Buc^Jérôme",
    "chrGerm.dcm": "Äneas^Rüdiger",
    "chrGreek.dcm": "Διονυσιος",
    "chrH31.dcm": "Yamada^Tarou=山田^太郎=やまだ^たろう",
    "chrH32.dcm": "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    "chrHbrw.dcm": "שרון^דבורה",
    "chrI2.dcm": "Hong^Gildong=洪^吉洞=홍^길동",
    "chrRuss.dcm": "Люкceмбypг",
    "chrX1.dcm": "Wang^XiaoDong=王^小東=",
    "chrX2.dcm": "Wang^XiaoDong=王^小东=",
}


@pytest.mark.parametrize("file", NAMES)
def test_names_of_pydicoms_sample_files(file: str) -> None:
    catalog = scan([Path(get_charset_files(file)[0])])
    names = [o.patient for o in catalog.objects] + [p.name for p in catalog.patients]
    assert names == [NAMES[file]]


def test_simplified_chinese_with_code_extensions() -> None:
    name = b"Zhang^XiaoDong=\x1b$)A" + "张".encode("gb2312") + b"^\x1b$)A" + "小东".encode("gb2312") + b"="
    assert decode(name, ["", "ISO 2022 IR 58"], is_name=True) == ("Zhang^XiaoDong=张^小东=", False)


def test_chinese_under_a_latin_label_is_guessed_and_said_so() -> None:
    assert decode("王^小东".encode("gb18030"), ["ISO_IR 100"], is_name=True) == ("王^小东", True)


@pytest.mark.parametrize("name", ["Müller^Jürgen", "Núñez^José", "Ångström", "Señor^Niño", "Brûlé"])
def test_latin_names_stay_latin(name: str) -> None:
    assert decode(name.encode("latin-1"), ["ISO_IR 100"], is_name=True) == (name, False)


def test_undeclared_text_is_never_dropped() -> None:
    assert decode("Jérôme".encode(), []) == ("Jérôme", True)
    assert decode("王小东".encode("gb18030"), []) == ("王小东", True)
    assert decode(b"\xff\xfe\xfd", [])[1]


def test_bytes_that_contradict_the_label_are_kept() -> None:
    text, guessed = decode(b"Test\xff\xff", ["ISO_IR 192"])
    assert text.startswith("Test") and guessed
