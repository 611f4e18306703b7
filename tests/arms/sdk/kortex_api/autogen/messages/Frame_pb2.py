"""The messages of Frame.proto."""

from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder

from kortex_api.autogen.messages import serialized as _serialized
from kortex_api.autogen.messages.Errors_pb2 import *

DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile(_serialized("Frame.proto"))
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
_builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, "kortex_api.autogen.messages.Frame_pb2", globals())
