"""The Kortex messages: bytes computed by hand, methods by their numbers, and a pool that the vendor's SDK does not meet."""

from __future__ import annotations

import struct
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.twin.kortex import codes, messages
from vla_ros.twin.kortex.messages import (
    METHODS,
    NAMED,
    TABLES,
    Api,
    Base,
    BaseCyclic,
    Common,
    ControlConfig,
    DeviceManager,
    Session,
    file_descriptor,
)

singles = st.floats(width=32, allow_nan=False)


def kinds() -> list[type[Message]]:
    """Every message class."""
    packages = {table.package or "Api" for table in TABLES}
    return [kind for package in sorted(packages) for kind in vars(getattr(messages, package)).values()]


def value(field: FieldDescriptor) -> object:
    """Something other than the default for a field that is no message."""
    if field.enum_type:
        return field.enum_type.values[-1].number
    return {"string": "word", "bytes": b"\x00\xff", "bool": True, "float": 0.5}.get(TYPES[field.type], 7)


TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
}


def filled(kind: type[Message], depth: int = 0) -> Message:
    """A message with every field set, the last member of each oneof, as deep as they go."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.message_type:
            inner = filled(messages.GetMessageClass(field.message_type), depth + 1)
            if field.is_repeated:
                getattr(message, field.name).append(inner)
            else:
                getattr(message, field.name).CopyFrom(inner)
                getattr(message, field.name).SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).extend([value(field)] * 2)
        else:
            setattr(message, field.name, value(field))
    return message


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.DESCRIPTOR.full_name)
def test_a_message_with_every_field_comes_back_from_its_bytes(kind):
    message = filled(kind)
    again = kind.FromString(message.SerializeToString())
    assert again == message
    assert {field.name for field, _ in again.ListFields()} >= {
        field.name for field in kind.DESCRIPTOR.fields if not field.containing_oneof
    }


def test_a_twist_is_these_bytes():
    command = Base.TwistCommand(reference_frame=codes.CartesianReferenceFrame.CARTESIAN_REFERENCE_FRAME_BASE)
    command.twist.linear_x, command.twist.angular_z = 0.5, -2.0
    # field 1 varint 3; field 2, ten bytes: field 1 float 0.5, field 6 float -2
    assert command.SerializeToString() == bytes.fromhex("0803 120a 0d0000003f 35000000c0")


def test_a_gripper_position_is_these_bytes():
    command = Base.GripperCommand(mode=codes.GripperMode.GRIPPER_POSITION)
    command.gripper.finger.add(finger_identifier=1, value=1.0)
    assert command.SerializeToString() == bytes.fromhex("0803 1209 0a07 0801 150000803f")


def test_a_reach_of_joint_angles_is_these_bytes():
    action = Base.Action(name="go")
    action.reach_joint_angles.joint_angles.joint_angles.add(joint_identifier=6, value=90.0)
    assert action.SerializeToString() == bytes.fromhex("1202 676f 520b 0a09 0a07 0806 150000b442")


def test_soft_limits_are_packed_floats():
    limits = ControlConfig.JointSpeedSoftLimits(control_mode=codes.ControlMode.ANGULAR_JOYSTICK)
    limits.joint_speed_soft_limits.extend([40.0, 30.0])
    assert limits.SerializeToString() == bytes.fromhex("0801 1208") + struct.pack("<ff", 40.0, 30.0)


def test_a_protection_zone_is_these_bytes():
    zone = Base.ProtectionZone(is_enabled=True)
    zone.shape.shape_type = codes.ShapeType.RECTANGULAR_PRISM
    zone.shape.dimensions.append(1.0)
    zone.limitations.add(type=codes.LimitationType.VELOCITY_LIMITATION, translation=0.5)
    assert zone.SerializeToString() == bytes.fromhex("2001 2a08 0803 22040000803f 3207 0803 150000003f")


@given(st.lists(st.tuples(singles, singles, singles), min_size=7, max_size=7), singles, st.integers(0, 2**32 - 1))
def test_feedback_keeps_every_number(joints, gripper, fault):
    feedback = BaseCyclic.Feedback(frame_id=3)
    for position, velocity, torque in joints:
        feedback.actuators.add(position=position, velocity=velocity, torque=torque)
    feedback.base.active_state = codes.ArmState.ARMSTATE_SERVOING_READY
    feedback.base.fault_bank_a = fault
    feedback.interconnect.gripper_feedback.motor.add(motor_id=1, position=gripper)
    again = BaseCyclic.Feedback.FromString(feedback.SerializeToString())
    assert [(each.position, each.velocity, each.torque) for each in again.actuators] == joints
    assert again.interconnect.gripper_feedback.motor[0].position == gripper
    assert (again.base.fault_bank_a, again.base.active_state, again.frame_id) == (fault, 7, 3)


def test_an_action_has_one_kind_of_parameters():
    action = Base.Action()
    action.reach_pose.target_pose.x = 0.4
    action.reach_pose.constraint.duration = 2.0
    action.reach_pose.constraint.speed.translation = 0.1
    assert action.reach_pose.constraint.WhichOneof("type") == "speed"
    action.reach_joint_angles.SetInParent()
    assert action.WhichOneof("action_parameters") == "reach_joint_angles"


def test_what_a_newer_robot_adds_is_kept_and_does_not_hurt():
    newer = Common.Timestamp(sec=1).SerializeToString() + bytes.fromhex("980101")  # a field 19 that we do not know
    assert Common.Timestamp.FromString(newer).sec == 1
    assert Common.Timestamp.FromString(newer).SerializeToString() == newer
    assert Base.ArmStateInformation.FromString(b"\x08\x63").active_state == 99


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("Session.CreateSession", 0x10001),
        ("Session.KeepAlive", 0x10003),
        ("Base.ExecuteAction", 0x20030),
        ("Base.Unsubscribe", 0x20061),
        ("Base.ActionTopic", 0x2006A),
        ("Base.Stop", 0x20070),
        ("Base.SendTwistCommand", 0x20079),
        ("Base.SendJointSpeedsCommand", 0x20084),
        ("Base.SendGripperCommand", 0x20088),
        ("Base.ApplyEmergencyStop", 0x20091),
        ("Base.ClearFaults", 0x20092),
        ("Base.GetArmState", 0x200AF),
        ("BaseCyclic.RefreshFeedback", 0x30003),
        ("DeviceConfig.GetFirmwareVersion", 0x90004),
        ("ControlConfig.GetAllKinematicSoftLimits", 0x100014),
        ("DeviceManager.ReadAllDevices", 0x170001),
    ],
)
def test_a_method_has_the_number_that_the_client_sends(name, uid):
    assert NAMED[name].uid == uid
    assert METHODS[uid].name == name


def test_methods_know_their_messages():
    assert NAMED["Session.CreateSession"].request is Session.CreateSessionInfo
    assert NAMED["Session.CreateSession"].reply is Common.Empty
    assert NAMED["Base.GetMeasuredGripperMovement"].reply is Base.Gripper
    assert NAMED["DeviceManager.ReadAllDevices"].reply is DeviceManager.DeviceHandles
    topic = NAMED["Base.ActionTopic"]
    assert (topic.request, topic.reply) == (Common.NotificationOptions, Common.NotificationHandle)
    assert topic.notification is Base.ActionNotification
    assert NAMED["Base.Stop"].notification is None


def test_no_two_methods_share_a_number_or_a_name():
    assert len(METHODS) == len(NAMED) == len(list(messages._methods()))


def test_fault_banks_are_bits_and_other_codes_are_not():
    bank = codes.SafetyIdentifier(0x80000000 | 0x800000)
    assert codes.SafetyIdentifier.EMERGENCY_STOP_ACTIVATED in bank
    assert codes.SafetyIdentifier.JOINT_FAULT not in bank
    for flags in codes.SafetyIdentifier, codes.SafetyIdentifierBankA, codes.RobotiqGripperStatusFlags:
        assert [int(bit).bit_length() for bit in flags.__members__.values()] == list(range(len(flags.__members__)))


def test_protobufs_own_pool_is_left_to_the_vendors_files():
    """In a process of its own: where the vendor's SDK is installed, other tests of this process load it."""
    code = (
        "from google.protobuf import descriptor_pool\n"
        "from vla_ros.twin.kortex import messages\n"
        "for find, name in (('FindMessageTypeByName', messages.Base.Twist.DESCRIPTOR.full_name), ('FindFileByName', 'Base.proto')):\n"
        "    try:\n"
        "        getattr(descriptor_pool.Default(), find)(name)\n"
        "    except KeyError:\n"
        "        continue\n"
        "    raise SystemExit(f'{name} is in the default pool')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_error_names_its_codes():
    error = Api.Error(error_code=3, error_sub_code=codes.SubErrorCodes.WRONG_SERVOING_MODE, error_sub_string="no")
    assert error.SerializeToString() == bytes.fromhex("0803 104b 1a02 6e6f")
    assert codes.SubErrorCodes(error.error_sub_code).name == "WRONG_SERVOING_MODE"


def test_a_fault_in_a_table_is_found_when_it_is_built():
    broken = messages.Table("Broken.proto", "Broken", (), (), "Message  float one=1 two=1")
    pool = descriptor_pool.DescriptorPool()
    with pytest.raises(TypeError, match="duplicate field number"):
        pool.AddSerializedFile(file_descriptor(broken).SerializeToString())
