"""The messages of ActuatorConfig.proto."""

from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder

from kortex_api.autogen.messages import serialized as _serialized

DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile(_serialized("ActuatorConfig.proto"))
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, "kortex_api.autogen.messages.ActuatorConfig_pb2", globals())
