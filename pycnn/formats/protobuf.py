"""Protobuf files: messages described at run time, and large fields that stay in the mapped file.

A model file is a small description around large tensors. :func:`lift` walks the file's wire format
(protobuf's encoding page describes it) down to the tensors, and writes the description anew with a
:class:`Place` where a tensor's bytes were. What is left goes through the protobuf library.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Union

from pycnn.errors import ModelFormatError, UnsupportedError

# A description beyond these is no network's: they bound memory and time for a hostile file.
MAX_DESCRIPTION_BYTES = 16 << 20
_MAX_FIELDS = 500_000
_MAX_DEPTH = 32

#: Field number -> the tree of a message to walk into, or the number of the field, of type `bytes`
#: in our schema, that gets the place; or DROPPED.
Tree = dict[int, Union[int, "Tree"]]
DROPPED = 0

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PLACE = struct.Struct("<QQ")


class Place(NamedTuple):
    """Where lifted bytes lie in the file."""

    offset: int
    length: int

    @classmethod
    def unpack(cls, data: bytes) -> Place:
        """Read what :func:`lift` wrote."""
        return cls(*_PLACE.unpack(data))


def lift(data: memoryview, tree: Tree, path: Path) -> bytes:
    """Copy a message, with places instead of large fields.

    Parameters
    ----------
    data : memoryview
        The whole file.
    tree : Tree
        Which fields are lifted, and the messages around them.
    path : Path
        For messages.

    Raises
    ------
    ModelFormatError
        Not protobuf, cut off, nested too deep, or a description too large.
    """
    return bytes(_Walk(data, path).message(0, len(data), tree, 0))


class _Walk:
    def __init__(self, data: memoryview, path: Path) -> None:
        self.data = data
        self.path = path
        self.fields = 0
        self.copied = 0

    def fail(self, at: int, reason: str) -> ModelFormatError:
        return ModelFormatError(f"{self.path}: byte {at}: {reason}")

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for i in range(min(10, end - at)):
            byte = self.data[at + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value, at + i + 1
        raise self.fail(at, "a number is cut off, or longer than 10 bytes")

    def message(self, at: int, end: int, tree: Tree, depth: int) -> bytearray:
        if depth > _MAX_DEPTH:
            raise self.fail(at, f"messages nested deeper than {_MAX_DEPTH}")
        out = bytearray()
        while at < end:
            start = at
            key, at = self.varint(at, end)
            field, kind = key >> 3, key & 7
            length = 0
            if kind == _VARINT:
                at = self.varint(at, end)[1]
            elif kind == _BYTES:
                length, at = self.varint(at, end)
                at += length
            elif kind in (_FIXED32, _FIXED64):
                at += 4 if kind == _FIXED32 else 8
            else:
                raise self.fail(start, f"wire type {kind} is not in use; is this the right format?")
            if at > end:
                raise self.fail(start, f"field {field} goes on beyond the end of its message")
            target = tree.get(field)
            copy: bytes | bytearray | memoryview
            if target is None:
                copy = self.data[start:at]
            elif target == DROPPED:
                copy = b""
            elif kind != _BYTES:
                raise UnsupportedError(
                    f"{self.path}: byte {start}: the numbers of field {field} are stored one by one"
                )
            elif isinstance(target, int):
                copy = length_delimited(target, _PLACE.pack(at - length, length))
            else:
                copy = length_delimited(field, self.message(at - length, at, target, depth + 1))
            self.fields += 1
            self.copied += at - start if target is None else 0
            if self.copied > MAX_DESCRIPTION_BYTES or self.fields > _MAX_FIELDS:
                raise self.fail(start, "the description, without its tensors, is too large")
            out += copy
        return out


def length_delimited(field: int, payload: bytes | bytearray) -> bytes:
    """Return a field of bytes, or a message, as it lies in a file."""
    return varint(field << 3 | _BYTES) + varint(len(payload)) + payload


def varint(value: int) -> bytes:
    """Return a number as it lies in a file."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Messages ---------------------------------------------------------------------------------------

_FIELD = re.compile(r"(\d+) (\w+) ([\w.]+)(\*?)(?:=(\S+))?")


def build_messages(
    package: str, messages: Mapping[str, str], enums: Mapping[str, str], extra: str
) -> Mapping[str, Any]:
    """Make message classes from a table.

    Parameters
    ----------
    package : str
        What their full names begin with.
    messages : mapping
        Message -> its fields, "NUMBER NAME TYPE" separated by ";". A star after the type means
        repeated, "=VALUE" a default. A type is one of protobuf's, a message or an enumeration.
    enums : mapping
        "Message.Enumeration" -> names of its values, numbered from 0.
    extra : str
        The extra that brings the protobuf library, for the error where it is missing.

    Returns
    -------
    mapping of name to class
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise UnsupportedError(
            f"reading {extra} files needs the protobuf library: pip install 'pycnn[{extra}]'"
        ) from error
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto2"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for full_name, values in enums.items():
            owner, _, enum_name = full_name.partition(".")
            if owner == name:
                enum = message.enum_type.add(name=enum_name)
                for i, value in enumerate(values.split()):
                    enum.value.add(name=value, number=i)
        for text in fields.split(";"):
            match = _FIELD.fullmatch(text.strip())
            assert match, f"{name}: {text}"
            number, label, kind, star, default = match.groups()
            field = message.field.add(name=label, number=int(number))
            field.label = field_type.LABEL_REPEATED if star else field_type.LABEL_OPTIONAL
            if kind in messages or kind in enums:
                field.type_name = f".{package}.{kind}"
                field.type = field_type.TYPE_MESSAGE if kind in messages else field_type.TYPE_ENUM
            else:
                field.type = field_type.Type.Value(f"TYPE_{kind.upper()}")
            if default is not None:
                field.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in messages
    }


def parse(message: Any, data: bytes, path: Path) -> Any:
    """Fill a message from bytes; ModelFormatError when they are not one."""
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ModelFormatError(f"{path}: not a valid protobuf message: {error}") from error
    _check_texts(message, path)
    return message


def _check_texts(message: Any, path: Path) -> None:
    """Refuse texts that are no UTF-8, which come out as bytes."""
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == field.TYPE_STRING:
            if not all(isinstance(text, str) for text in values):
                raise ModelFormatError(f"{path}: a {field.name} is not UTF-8: {value!r:.80}")
        elif field.type == field.TYPE_MESSAGE:
            for each in values:
                _check_texts(each, path)
