"""A digest of a bag of rows: the same for the same rows in any order, another if a row is there twice.

Each value has one text, by its Iceberg type: integers in decimal, floats as the bits of a double, moments as microseconds since 1970, text
with its length before it. A row's text is hashed, and the hashes are added up modulo 2^128. `IcebergRows.java` must do the same.
"""

import datetime
import hashlib
import math
import struct
import uuid

from pyiceberg.types import BinaryType, DoubleType, FixedType, FloatType, ListType, MapType, StructType, TimestampType, TimestamptzType, TimeType, UUIDType

EPOCH = datetime.datetime(1970, 1, 1)
NAN = struct.pack(">d", math.nan).hex()


def digest(rows, kind):
    """The digest of dictionaries (or lists of pairs, for maps) of the struct type `kind`, in hexadecimal."""
    total = 0
    for row in rows:
        total += int.from_bytes(hashlib.sha256(text(row, kind).encode()).digest()[:16])
    return f"{total % 2**128:032x}"


def text(value, kind):
    """The one text of a value."""
    if value is None:
        return "~"
    if isinstance(kind, StructType):
        return "{" + ",".join(text(value[field.name], field.field_type) for field in kind.fields) + "}"
    if isinstance(kind, ListType):
        return "[" + ",".join(text(one, kind.element_type) for one in value) + "]"
    if isinstance(kind, MapType):
        pairs = value.items() if isinstance(value, dict) else value
        return "<" + ",".join(sorted(text(key, kind.key_type) + "=" + text(one, kind.value_type) for key, one in pairs)) + ">"
    return primitive(value, kind)


def primitive(value, kind):
    """The one text of a value that is not nested."""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(kind, FloatType | DoubleType):
        return NAN if math.isnan(value) else struct.pack(">d", value).hex()
    if isinstance(kind, UUIDType):
        return value.hex if isinstance(value, uuid.UUID) else uuid.UUID(value).hex if isinstance(value, str) else bytes(value).hex()
    if isinstance(kind, BinaryType | FixedType):
        return bytes(value).hex()
    if isinstance(kind, TimestampType | TimestamptzType):
        moment = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
        return str((moment - EPOCH) // datetime.timedelta(microseconds=1))
    if isinstance(kind, TimeType):
        return str(((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        return f"{len(value.encode())}:{value}"
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)
