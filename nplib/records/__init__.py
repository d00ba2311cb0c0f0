"""The official file format: rows of NASBench-101 in tfrecords, read and written without TensorFlow."""

from nplib.records.frames import BadRecord, encode_frame, masked_crc32c, read_frames
from nplib.records.record import (
    EVALUATION_FIELDS,
    Evaluation,
    Record,
    decode_record,
    encode_record,
    read_records,
    write_records,
)

__all__ = [
    "EVALUATION_FIELDS",
    "BadRecord",
    "Evaluation",
    "Record",
    "decode_record",
    "encode_frame",
    "encode_record",
    "masked_crc32c",
    "read_frames",
    "read_records",
    "write_records",
]
