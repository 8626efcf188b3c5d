"""Reports, key object selections and presentation states made by highdicom: files with known content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr.coding import CodedConcept
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

_DEVICE = "medviewer tests"


def observer(*, is_device: bool = False) -> hd.sr.ObservationContext:
    """A person, or an algorithm."""
    if is_device:
        context = hd.sr.ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(uid=generate_uid()),
        )
    else:
        context = hd.sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(name="Doe^Jane"),
        )
    return hd.sr.ObservationContext(
        observer_person_context=None if is_device else context, observer_device_context=context if is_device else None
    )


def _groups(image: Dataset) -> list[hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations]:
    source = hd.sr.SourceImageForRegion.from_source_image(image)

    def region(kind: str, points: Sequence[Sequence[float]]) -> hd.sr.ImageRegion:
        return hd.sr.ImageRegion(
            graphic_type=hd.sr.GraphicTypeValues[kind], graphic_data=np.array(points, dtype=float), source_image=source
        )

    def length(value: float) -> hd.sr.Measurement:
        return hd.sr.Measurement(name=codes.SCT.Length, value=value, unit=codes.UCUM.Millimeter)

    def group(name: str, kind: str, points: Sequence[Sequence[float]], value: float):
        return hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(identifier=name, uid=generate_uid()),
            referenced_region=region(kind, points),
            finding_type=codes.SCT.Neoplasm,
            finding_sites=[hd.sr.FindingSite(anatomic_location=codes.SCT.Lung)],
            measurements=[length(value)],
        )

    return [
        group("first", "CIRCLE", [[20.0, 30.0], [20.0, 40.0]], 12.25),
        group("second", "POLYLINE", [[5.0, 5.0], [60.0, 5.0], [60.0, 60.0], [5.0, 5.0]], 7.5),
        group("third", "POINT", [[64.0, 64.0]], 3.0),
    ]


def measurement_report(image: Dataset, path: Path, *, is_device: bool = False) -> Path:
    """A TID 1500 report with three planar regions on one image, in pixels."""
    content = hd.sr.MeasurementReport(
        observation_context=observer(is_device=is_device),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=_groups(image),
    )
    report = hd.sr.ComprehensiveSR(
        evidence=[image],
        content=content,
        series_instance_uid=generate_uid(),
        series_number=90,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_DEVICE,
        is_complete=True,
        is_verified=True,
        verifying_observer_name="Roe^Richard",
        verifying_organization="A hospital",
    )
    report.save_as(path, enforce_file_format=True)
    return path


def report_in_patient(image: Dataset, path: Path, shape: str, points: Sequence[Sequence[float]]) -> Path:
    """A TID 1500 report with one region in millimetres of the patient."""
    region = hd.sr.ImageRegion3D(
        graphic_type=hd.sr.GraphicTypeValues3D[shape],
        graphic_data=np.array(points, dtype=float),
        frame_of_reference_uid=image.FrameOfReferenceUID,
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(identifier="in space", uid=generate_uid()),
        referenced_region=region,
        finding_type=codes.SCT.Nodule,
        measurements=[hd.sr.Measurement(name=codes.SCT.Length, value=21.5, unit=codes.UCUM.Millimeter)],
    )
    content = hd.sr.MeasurementReport(
        observation_context=observer(), procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[group],
    )  # fmt: skip
    report = hd.sr.Comprehensive3DSR(
        evidence=[image],
        content=content,
        series_instance_uid=generate_uid(),
        series_number=91,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_DEVICE,
        is_complete=True,
    )
    report.save_as(path, enforce_file_format=True)
    return path


def key_images(images: Sequence[Dataset], path: Path, description: str) -> Path:
    """A key object selection "For Referring Provider" of whole images."""
    content = hd.ko.KeyObjectSelection(
        document_title=CodedConcept("113002", "DCM", "For Referring Provider"),
        referenced_objects=images,
        observer_person_context=hd.sr.ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(name="Doe^Jane"),
        ),
        description=description,
    )
    selection = hd.ko.KeyObjectSelectionDocument(
        evidence=images,
        content=content,
        series_instance_uid=generate_uid(),
        series_number=92,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=_DEVICE,
    )
    selection.save_as(path, enforce_file_format=True)
    return path


def encapsulated_document(path: Path, data: bytes, mime: str, sop_class: str = "1.2.840.10008.5.1.4.1.1.104.1") -> Path:
    """A document inside a DICOM file, PDF by default."""
    made = pydicom.dcmread(get_testdata_file("reportsi.dcm"))
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = sop_class
    for name in ("ContentSequence", "ConceptNameCodeSequence", "ValueType"):
        if name in made:
            delattr(made, name)
    made.EncapsulatedDocument = data + b"\0" * (len(data) % 2)
    made.EncapsulatedDocumentLength = len(data)
    made.MIMETypeOfEncapsulatedDocument = mime
    made.DocumentTitle = "Letter"
    made.save_as(path)
    return path
