"""Message modules in the form of protoc 3.20, of our own descriptors."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from vla_ros.twin.kortex import codes
from vla_ros.twin.kortex.messages import POOL, TABLES

_OURS = {table.file for table in TABLES}


def serialized(name: str) -> bytes:
    """The descriptor of a file, serialized."""
    file = FileDescriptorProto()
    if name in _OURS:
        POOL.FindFileByName(name).CopyToProto(file)
    else:
        file.CopyFrom(_actuator_config(name))
    return file.SerializeToString()


def _actuator_config(name: str) -> FileDescriptorProto:
    """ActuatorConfig.proto, of which only the names of an actuator's faults are used."""
    file = FileDescriptorProto(name=name, package="Kinova.Api.ActuatorConfig", syntax="proto3")
    bits = file.enum_type.add(name="SafetyIdentifierBankA")
    for member, value in codes.SafetyIdentifierBankA.__members__.items():
        bits.value.add(name=member, number=int(value))
    return file
