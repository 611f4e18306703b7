"""The messages of InterconnectCyclicMessage.proto."""

from google.protobuf import descriptor_pool as _descriptor_pool
from google.protobuf.internal import builder as _builder

from kortex_api.autogen.messages import serialized as _serialized
from kortex_api.autogen.messages.Common_pb2 import *
from kortex_api.autogen.messages.GripperCyclicMessage_pb2 import *

DESCRIPTOR = _descriptor_pool.Default().AddSerializedFile(_serialized("InterconnectCyclicMessage.proto"))
_builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())
_builder.BuildTopDescriptorsAndMessages(
    DESCRIPTOR, "kortex_api.autogen.messages.InterconnectCyclicMessage_pb2", globals()
)
