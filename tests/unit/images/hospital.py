"""DICOM and NIfTI files as hospitals have them, written by pydicom, nibabel and imagecodecs."""

import io
import warnings
from typing import Any

import imagecodecs
import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

LITTLE, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
BASELINE, EXTENDED, LOSSLESS, FIRST_ORDER = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
JPEG_LS, NEAR, WAVELETS, LOSSY_WAVELETS = (f"1.2.840.10008.1.2.4.{n}" for n in (80, 81, 90, 91))
HIGH_THROUGHPUT = [f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)]
PATIENT = {
    "PatientName": "DOE^JOHN",
    "PatientID": "MRN-4711",
    "AccessionNumber": "ACC-0815",
    "StudyInstanceUID": "1.2.3.4711",
    "SeriesInstanceUID": "1.2.3.4712",
    "InstitutionName": "St. Elsewhere",
}


def dicom(frames: Any, syntax: str = LITTLE, encode: Any = None, **tags: Any) -> bytes:
    """Return one frame or several (a list) as a DICOM file; `encode` packs each.

    Tags that are None are left out.
    """
    frames = frames if isinstance(frames, list) else [frames]
    one = frames[0]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.Rows, ds.Columns = one.shape[:2]
    ds.SamplesPerPixel = 3 if one.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if one.ndim == 3 else "MONOCHROME2"
    if one.ndim == 3:
        ds.PlanarConfiguration = 0
    bits = 8 * one.dtype.itemsize
    ds.PixelRepresentation = int(one.dtype.kind == "i")
    ds.BitsAllocated = ds.BitsStored = bits
    if len(frames) > 1:
        ds.NumberOfFrames = len(frames)
    for name, value in (PATIENT | tags).items():
        if value is not None:
            setattr(ds, name, value)
    if "HighBit" not in tags:
        ds.HighBit = ds.BitsStored - 1
    if encode:
        ds.PixelData = encapsulate([encode(each) for each in frames])
        ds["PixelData"].is_undefined_length = True
    else:
        order = ">" if syntax == BIG else "<"
        held = b"".join(each.astype(each.dtype.newbyteorder(order)).tobytes() for each in frames)
        ds.PixelData = held + b"\0" * (len(held) % 2)
        ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    for name, value in tags.items():
        if value is None and name in ds:
            delattr(ds, name)
    return saved(ds)


def saved(ds: Any) -> bytes:
    """Return a data set as a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def changed(data: bytes, **tags: Any) -> bytes:
    """Return a file with other tags, None leaving one out."""
    ds = pydicom.dcmread(io.BytesIO(data))
    for name, value in tags.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return saved(ds)


def runs(values: Any) -> bytes:
    """Return a frame as pydicom writes run lengths."""
    ds = pydicom.dcmread(io.BytesIO(dicom(values)))
    ds.compress(RLE)
    return next(pydicom.encaps.generate_frames(ds.PixelData, number_of_frames=1))


def wavelets(values: Any, **how: Any) -> bytes:
    """Return a frame as a bare codestream of JPEG 2000."""
    return imagecodecs.jpeg2k_encode(values, codecformat="j2k", **({"level": 0} | how))


def nifti(values: Any, affine: Any = None, packed: bool = True, **header: Any) -> bytes:
    """Return a volume as a NIfTI file; with `sform_code=0` it does not say which way it lies."""
    affine = np.eye(4) if affine is None else affine
    image = nibabel.Nifti1Image(values, None if header.get("sform_code") == 0 else affine)
    for name, value in header.items():
        image.header[name] = value
    data = image.to_bytes()
    if packed:
        import gzip

        return gzip.compress(data, mtime=0)
    return data
