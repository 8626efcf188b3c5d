"""Names in the character sets of the world, as pydicom's sample files hold them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_charset_files

from medviewer.formats.dicom.text import decode, one_line
from medviewer.formats.scan import scan
from tests.formats import samples

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


@pytest.mark.parametrize(
    "text", ["王^小东", "朱^镕基", "胸部CT平扫", "CT胸部 1.0mm", "张三=ZHANG^SAN", "（左）肺·结节", "欧阳^娜娜"]
)
@pytest.mark.parametrize("charsets", [[], ["ISO_IR 100"]])
def test_chinese_that_nobody_declared(text: str, charsets: list[str]) -> None:
    assert decode(text.encode("gb18030"), charsets) == (text, True)


@pytest.mark.parametrize("name", ["Müller^Jürgen", "Núñez^José", "Peña", "Großäcker", "Øystein", "Citroën", "Ñu"])
def test_latin_that_nobody_declared_is_not_taken_for_chinese(name: str) -> None:
    assert decode(name.encode("latin-1"), []) == (name, True)


@pytest.mark.parametrize(
    ("term", "codec", "name"),
    [
        ("ISO_IR 101", "iso8859_2", "Wałęsa^Lech"),
        ("ISO_IR 144", "iso8859_5", "Люкcембург"),
        ("ISO_IR 127", "iso8859_6", "قباني^لنزار"),
        ("ISO_IR 126", "iso8859_7", "Διονυσιος"),
        ("ISO_IR 138", "iso8859_8", "שרון^דבורה"),
        ("ISO_IR 148", "iso8859_9", "Çavuşoğlu^İnci"),
        ("ISO_IR 166", "iso8859_11", "สมชาย^ใจดี"),
        ("ISO_IR 13", "shift_jis", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        ("ISO_IR 192", "utf_8", "王^小东=Wang^XiaoDong"),
        ("GB18030", "gb18030", "㐀𠀀^王"),
        ("GBK", "gbk", "朱^镕基"),
        ("ISO_IR 149", "euc_kr", "홍^길동"),
    ],
)
def test_each_single_character_set(term: str, codec: str, name: str) -> None:
    assert decode(name.encode(codec), [term], is_name=True) == (name, False)


EXTENDED = {
    "Japanese, kanji of JIS X 0208 and katakana": (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "Japanese, supplementary kanji of JIS X 0212": (
        ["", "ISO 2022 IR 87", "ISO 2022 IR 159"],
        b"Aoki=" + "丂".encode("iso2022_jp_2").replace(b"\x1b(B", b"") + b"\x1b(B",
        "Aoki=丂",
    ),
    "Korean in the group of ideographs and in hangul": (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C" + "洪".encode("euc_kr") + b"^\x1b$)C" + "吉洞".encode("euc_kr")
        + b"=\x1b$)C" + "홍".encode("euc_kr") + b"^\x1b$)C" + "길동".encode("euc_kr"),
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "Greek beside Latin": (
        ["ISO 2022 IR 100", "ISO 2022 IR 126"],
        "Jürgen=".encode("latin-1") + b"\x1b-F" + "Διονυσιος".encode("iso8859_7"),
        "Jürgen=Διονυσιος",
    ),
    "Cyrillic and Thai in one value": (
        ["", "ISO 2022 IR 144", "ISO 2022 IR 166"],
        b"\x1b-L" + "Иван".encode("iso8859_5") + b"=\x1b-T" + "สมชาย".encode("iso8859_11"),
        "Иван=สมชาย",
    ),
    "Hebrew and Arabic": (
        ["", "ISO 2022 IR 138", "ISO 2022 IR 127"],
        b"\x1b-H" + "שרון".encode("iso8859_8") + b"=\x1b-G" + "قباني".encode("iso8859_6"),
        "שרון=قباني",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EXTENDED)
def test_code_extensions(case: str) -> None:
    charsets, value, expected = EXTENDED[case]
    assert decode(value, charsets, is_name=True) == (expected, False)


def test_one_line_of_text_holds_no_controls_and_no_turns() -> None:
    assert one_line("Doe\u202eJohn\x07\r\n^\u2066x") == "Doe John ^ x"
    assert one_line("می\u200cخواهم") == "می\u200cخواهم"
    assert one_line("\ue000王") == "\ue000王"
    assert one_line("a" * 5000) == "a" * 1023 + "…"


def test_a_guess_is_marked_where_the_name_is_written(tmp_path: Path) -> None:
    path = samples.save(samples.picture(samples.ramp((4, 4)), PatientName="X"), tmp_path / "a.dcm")
    data = path.read_bytes().replace(b"PN\x02\x00X ", b"PN\x04\x00" + "王".encode("gbk") + b"^ ")
    path.write_bytes(data)
    (stack,) = scan([path]).stacks()
    assert stack.text.patient_name == "王^" and "charset-guessed" in stack.codes
    assert stack.text.guessed
