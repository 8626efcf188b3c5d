"""Reports, key object selections and documents inside DICOM: against DCMTK, pydicom and highdicom as witnesses."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medviewer.errors import BadInput
from medviewer.formats.dicom.objects.encapsulated import cda_lines, read_encapsulated, why_no_pdf
from medviewer.formats.dicom.objects.ko import read_key_selection
from medviewer.formats.dicom.objects.object_text import object_lines
from medviewer.formats.dicom.objects.sr import read_report
from medviewer.formats.dicom.objects.sr_measurements import measurements, number_text
from medviewer.formats.dicom.objects.sr_text import Role, report_lines
from medviewer.formats.scan import scan
from tests.formats.document_samples import (
    encapsulated_document,
    key_images,
    measurement_report,
    report_in_patient,
)

_REPORTS = (
    "dcmqi_sr.dcm", "sr_document.dcm", "sample-sr.dcm", "sr-arrow.dcm", "sr-protractor.dcm", "sr-rectangle.dcm",
    "sr-roi.dcm", "sr-ruler.dcm", "orthanc-tests_IM0", "MarekLatin2.dcm", "report_dfl",
)  # fmt: skip
_PYDICOM_REPORTS = ("reportsi.dcm", "test-SR.dcm", "reportsi_with_empty_number_tags.dcm")


@pytest.fixture(scope="module")
def image() -> Dataset:
    return pydicom.dcmread(get_testdata_file("CT_small.dcm"))


def _tree(path: Path) -> list[tuple[int, str, str]]:
    """Depth, value type and meaning of the name of every item, as this program reads them."""
    found = []

    def walk(item, depth):
        found.append((depth, item.value_type, item.label))
        for child in item.children:
            walk(child, depth + 1)

    walk(read_report(path).root, 0)
    return found


def _tree_of_pydicom(path: Path) -> list[tuple[int, str, str]]:
    found = []

    def walk(item, depth):
        names = item.get("ConceptNameCodeSequence") or [Dataset()]
        meaning = " ".join(str(names[0].get("CodeMeaning", "")).split())
        found.append((depth, str(item.get("ValueType", "")), meaning))
        for child in item.get("ContentSequence") or []:
            walk(child, depth + 1)

    walk(pydicom.dcmread(path, force=True), 0)
    return found


@pytest.mark.parametrize("name", _PYDICOM_REPORTS)
def test_the_tree_of_a_report_is_that_of_pydicom(name: str) -> None:
    path = Path(get_testdata_file(name))
    assert _tree(path) == _tree_of_pydicom(path)


@pytest.mark.data
@pytest.mark.parametrize("name", _REPORTS)
def test_items_and_values_are_those_of_dsrdump(corpus_folder: Path, name: str) -> None:
    if shutil.which("dsrdump") is None:
        pytest.skip("dsrdump (DCMTK) is not installed")
    path = corpus_folder / "files" / "objects" / name
    dumped = subprocess.run(
        ["dsrdump", "-Ec", "-Er", "-Ei", "+Pl", "+U8", str(path)], capture_output=True, check=False
    ).stdout
    lines = dumped.decode("utf-8", "replace").splitlines()
    theirs = [
        (len(m[1]) // 2, m[2], m[3] or "", m[4])
        for line in lines
        if (m := re.match(r'( *)<(?:[a-z ]+ )?([A-Z0-9]+):(?:\(,,"(.*?)"\))?=(.*)', line))
    ]
    assert len(theirs) > 1
    ours = []

    def walk(item, depth):
        ours.append((depth, item))
        for child in item.children:
            walk(child, depth + 1)

    walk(read_report(path).root, 0)
    assert [(d, k, " ".join(n.split())) for d, k, n, _ in theirs] == [(d, i.value_type, i.label) for d, i in ours]
    for (_, kind, _, value), (_, item) in zip(theirs, ours, strict=True):
        if kind == "NUM":
            assert item.value.startswith(re.match(r'"(.*?)"', value)[1])
        elif kind == "CODE":
            assert item.code is not None and f'"{item.code.meaning}"' in " ".join(value.split())
        elif kind == "UIDREF":
            assert item.value in value


def test_measurements_of_a_tid_1500_report_are_those_of_highdicom(image: Dataset, tmp_path: Path) -> None:
    path = measurement_report(image, tmp_path / "sr.dcm")
    theirs = hd.sr.srread(path).content.get_planar_roi_measurement_groups()
    ours = measurements(read_report(path))
    assert len(ours) == len(theirs) == 3
    for one, group in zip(ours, theirs, strict=True):
        assert one.title == f"{group.finding_type.meaning}, {group.finding_sites[0].value.meaning}"
        assert one.values == (f"Length {number_text(group.get_measurements()[0].value, 'mm')}",)
        region = group.roi
        assert [g.shape for g in one.graphics] == [region.graphic_type.value]
        assert np.allclose(one.graphics[0].points, np.atleast_2d(region.value))
        assert [r.sop_instance_uid for r in one.references()] == [image.SOPInstanceUID]
        assert not one.by_device
    assert all(
        m.by_device for m in measurements(read_report(measurement_report(image, tmp_path / "d.dcm", is_device=True)))
    )


def test_points_in_the_patient_keep_their_millimetres(image: Dataset, tmp_path: Path) -> None:
    points = [[-100.0, 10.0, -75.7], [-80.0, 10.0, -75.7], [-80.0, 40.5, -75.7], [-100.0, 10.0, -75.7]]
    (one,) = measurements(read_report(report_in_patient(image, tmp_path / "sr.dcm", "POLYGON", points)))
    (graphic,) = one.graphics
    assert graphic.in_patient and np.allclose(graphic.points, points)
    assert graphic.frame_of_reference_uid == image.FrameOfReferenceUID


def test_missing_images_are_said(image: Dataset, tmp_path: Path) -> None:
    report = read_report(measurement_report(image, tmp_path / "sr.dcm"))
    here = {reference.sop_instance_uid for reference in report.images()}
    away = [line.text for line in report_lines(report, {})]
    assert "The CT image that it refers to is not among the open files." in away
    assert any(text.endswith("(not here)") for text in away)
    assert not any(
        "not among" in line.text or "not here" in line.text for line in report_lines(report, dict.fromkeys(here, ""))
    )


def test_a_key_object_selection_has_title_words_and_images(image: Dataset, tmp_path: Path) -> None:
    path = key_images([image], tmp_path / "ko.dcm", "look <b>here</b>\nand there")
    found = read_key_selection(path)
    assert (found.title, found.description) == ("For Referring Provider", "look <b>here</b>\nand there")
    assert [(i.sop_instance_uid, i.series_uid) for i in found.images] == [
        (image.SOPInstanceUID, image.SeriesInstanceUID)
    ]
    (listed,) = scan([path]).objects
    assert listed.summary == "KO - For Referring Provider, 1 image - look <b>here</b>"
    assert listed.referenced_series == (image.SeriesInstanceUID,)


def _report_with(path: Path, **text: str) -> Path:
    """pydicom's report with other text in its first TEXT item."""
    data = pydicom.dcmread(get_testdata_file("reportsi.dcm"))
    data.SpecificCharacterSet = "ISO_IR 192"
    items = [data]
    while items:
        item = items.pop(0)
        if item.get("ValueType") == "TEXT":
            item.TextValue = text["value"]
            break
        items += list(item.get("ContentSequence") or [])
    data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("<b>bold</b> & <img src=x>", "<b>bold</b> & <img src=x>"),
        ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("bell\x07 and \x1f unit", "bell  and   unit"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
    ],
)
def test_text_is_kept_as_text(tmp_path: Path, said: str, shown: str) -> None:
    report = read_report(_report_with(tmp_path / "sr.dcm", value=said))
    assert any(item.value == shown for item in report.root.walk())


def test_a_megabyte_of_text_is_read_at_once(tmp_path: Path) -> None:
    report = read_report(_report_with(tmp_path / "sr.dcm", value="word " * 200_000))
    assert any(len(item.value) > 990_000 for item in report.root.walk())


def test_an_item_may_have_a_character_set_of_its_own(tmp_path: Path) -> None:
    data = pydicom.dcmread(get_testdata_file("reportsi.dcm"))
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 144"
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    name = Dataset()
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "121106", "DCM", "Comment"
    item.ConceptNameCodeSequence = [name]
    item.TextValue = "Люкceмбypг"
    data.ContentSequence.append(item)
    path = tmp_path / "sr.dcm"
    data.save_as(path)
    assert read_report(path).root.children[-1].value == "Люкceмбypг"


def test_items_by_reference_name_what_they_mean(tmp_path: Path) -> None:
    data = pydicom.dcmread(get_testdata_file("reportsi.dcm"))
    link = Dataset()
    link.RelationshipType = "INFERRED FROM"
    link.ReferencedContentItemIdentifier = [1, 1]
    gone = Dataset()
    gone.RelationshipType = "INFERRED FROM"
    gone.ReferencedContentItemIdentifier = [1, 99, 3]
    data.ContentSequence += [link, gone]
    path = tmp_path / "sr.dcm"
    data.save_as(path)
    report = read_report(path)
    lines = [line.text for line in report_lines(report)]
    assert f"inferred from: see {report.root.children[0].label}" in "\n".join(lines)
    assert "inferred from: see item 1.99.3, which is not there" in lines


def test_a_report_nested_too_deep_is_refused(tmp_path: Path) -> None:
    data = pydicom.dcmread(get_testdata_file("reportsi.dcm"))
    inner = Dataset()
    inner.ValueType = "TEXT"
    for _ in range(80):
        outer = Dataset()
        outer.ValueType, outer.ContentSequence = "CONTAINER", [inner]
        inner = outer
    data.ContentSequence = [inner]
    path = tmp_path / "deep.dcm"
    data.save_as(path)
    with pytest.raises(BadInput, match="nested"):
        read_report(path)


def test_every_prefix_of_a_report_is_read_or_refused(image: Dataset, tmp_path: Path) -> None:
    whole = measurement_report(image, tmp_path / "sr.dcm").read_bytes()
    path = tmp_path / "cut.dcm"
    for end in range(0, len(whole), 97):
        path.write_bytes(whole[:end])
        try:
            report_lines(read_report(path))
        except BadInput as refused:
            assert refused.sentence


# -- encapsulated documents --------------------------------------------------------------------------------------------


def test_a_pdf_comes_out_byte_for_byte(tmp_path: Path) -> None:
    pdf = b"%PDF-1.4\n%%EOF\n\0"
    found = read_encapsulated(encapsulated_document(tmp_path / "pdf.dcm", pdf, "application/pdf"))
    assert (found.data, found.title, found.form) == (pdf, "Letter", "PDF")
    assert why_no_pdf(found) is None
    (listed,) = scan([tmp_path / "pdf.dcm"]).objects
    assert listed.summary == f"PDF - Letter, {len(pdf)} bytes"


@pytest.mark.parametrize(
    ("data", "mime", "reason"),
    [
        (b"MZ\x90\0 program", "application/pdf", "does not begin like one"),
        (b"%PDF-1.4", "application/x-msdownload", "declares itself as application/x-msdownload"),
        (b"", "application/pdf", "empty"),
    ],
)
def test_what_is_no_pdf_is_not_opened(tmp_path: Path, data: bytes, mime: str, reason: str) -> None:
    found = read_encapsulated(encapsulated_document(tmp_path / "x.dcm", data, mime))
    assert reason in (why_no_pdf(found) or "")


_CDA = """<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Befund Müller</title><component><structuredBody>
<component><section><title>Findings</title><text><paragraph>No <content>nodule</content> &lt;b&gt;.</paragraph>
<table><tr><td>Length</td><td>12 mm</td></tr></table></text></section></component>
</structuredBody></component></ClinicalDocument>"""


def test_a_clinical_document_is_read_as_text(tmp_path: Path) -> None:
    path = encapsulated_document(tmp_path / "cda.dcm", _CDA.encode(), "text/XML", "1.2.840.10008.5.1.4.1.1.104.2")
    (listed,) = scan([path]).objects
    assert listed.summary == f"other - CDA, Letter, {len(_CDA.encode())} bytes"
    lines = object_lines(listed)
    texts = [line.text for line in lines]
    assert texts[2:] == ["Befund Müller", "Findings", "No nodule <b>.", "Length; 12 mm"]
    assert [line.role for line in lines[2:4]] == [Role.HEADING, Role.HEADING]


def test_entities_of_a_clinical_document_are_refused() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><ClinicalDocument><title>&b;</title></ClinicalDocument>'
    with pytest.raises(BadInput, match="entities"):
        cda_lines(bomb)
    with pytest.raises(BadInput, match="deep"):
        cda_lines(b"<a>" * 1000)
    with pytest.raises(BadInput, match="damaged"):
        cda_lines(b"<a><b></a>")
