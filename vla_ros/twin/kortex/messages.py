"""The Kortex messages and methods that a driver of an arm uses, as protobuf classes of our own.

`Base.TwistCommand`, `Common.Empty` and so on are message classes; METHODS says which message each method takes and returns.
They live in a descriptor pool of their own: the vendor's SDK can register its files of the same names in the same process.

Units are the vendor's: m, m/s, degrees, degrees per second, N, N·m, A, V, °C; gripper fingers 0 open … 1 closed in Base
and percent in the cyclic messages; timeouts and durations in the unit that their field has in the vendor's document.

Names, numbers and types were read from kortex_driver/protos of Kinovarobotics/ros_kortex at 6cd75d4 (2024-03-19), from the file
that each table names; Frame.proto and Session.proto, which it does not hold, from kortex_api/include/messages/Frame.pb.h and
Session.pb.h, and the session's methods from client_stubs/SessionClientRpc.h, of Kinovarobotics/ros2_kortex at 470d825 (2021-07-15).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from types import SimpleNamespace
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from vla_ros.twin.kortex import codes
from vla_ros.twin.kortex.codes import Service

PACKAGE = "Kinova.Api"


@dataclass(frozen=True)
class Table:
    """One file of messages.

    A row is a message: its name, then a type, then the fields of that type as name=number, then the next type, and so on.
    `*type` is repeated; `choice?type` is a member of the oneof `choice`.
    """

    file: str
    package: str
    imports: tuple[str, ...]
    enums: tuple[type[IntEnum] | type[IntFlag], ...]
    rows: str


TABLES = (
    Table(
        "Common.proto",
        "Common",
        (),
        (codes.DeviceTypes, codes.NotificationType, codes.ArmState, codes.CartesianReferenceFrame),
        """
        Empty
        DeviceHandle         DeviceTypes device_type=1  uint32 device_identifier=2 order=3
        NotificationOptions  NotificationType type=1  uint32 rate_m_sec=2  float threshold_value=3
        NotificationHandle   uint32 identifier=1
        Timestamp            uint32 sec=1 usec=2
        UserProfileHandle    uint32 identifier=1  fixed32 permission=2
        Connection           UserProfileHandle user_handle=1  string connection_information=2  uint32 connection_identifier=3
        """,
    ),
    Table("Errors.proto", "", (), (codes.ErrorCodes, codes.SubErrorCodes), ""),
    Table(
        "Frame.proto",
        "",
        ("Errors.proto",),
        (codes.FrameTypes,),
        """
        Header  fixed32 frame_info=1 message_info=2 service_info=3 payload_info=4
        Frame   Header header=1  bytes payload=2
        Error   ErrorCodes error_code=1  uint32 error_sub_code=2  string error_sub_string=3
        """,
    ),
    Table(
        "Session.proto",
        "Session",
        ("Common.proto",),
        (),
        """
        CreateSessionInfo  string username=1  uint32 session_inactivity_timeout=2
                           string password=3  uint32 connection_inactivity_timeout=4
        ConnectionList     *Common.Connection connection=1
        """,
    ),
    Table(
        "GripperCyclicMessage.proto",
        "GripperCyclic",
        ("Common.proto",),
        (),
        """
        MessageId      fixed32 identifier=1
        MotorCommand   fixed32 motor_id=1  float position=3 velocity=4 force=5
        Command        MessageId command_id=1  fixed32 flags=2  *MotorCommand motor_cmd=3
        MotorFeedback  fixed32 motor_id=1
                       float position=4 velocity=5 current_motor=7 voltage=8 temperature_motor=10
        Feedback       MessageId feedback_id=1
                       fixed32 status_flags=2 fault_bank_a=3 fault_bank_b=4 warning_bank_a=5 warning_bank_b=6
                       *MotorFeedback motor=7
        """,
    ),
    Table(
        "InterconnectCyclicMessage.proto",
        "InterconnectCyclic",
        ("Common.proto", "GripperCyclicMessage.proto"),
        (),
        """
        MessageId  fixed32 identifier=1
        Command    MessageId command_id=1  fixed32 flags=2  tool_command?GripperCyclic.Command gripper_command=3
        Feedback   MessageId feedback_id=1  fixed32 status_flags=2 jitter_comm=3
                   float imu_acceleration_x=4 imu_acceleration_y=5 imu_acceleration_z=6
                   imu_angular_velocity_x=7 imu_angular_velocity_y=8 imu_angular_velocity_z=9
                   voltage=10 temperature_core=11
                   fixed32 fault_bank_a=12 fault_bank_b=13 warning_bank_a=14 warning_bank_b=15
                   tool_feedback?GripperCyclic.Feedback gripper_feedback=18
        """,
    ),
    Table(
        "BaseCyclic.proto",
        "BaseCyclic",
        ("Common.proto", "InterconnectCyclicMessage.proto"),
        (),
        """
        ActuatorCommand   fixed32 command_id=1 flags=2  float position=3 velocity=4 torque_joint=5 current_motor=6
        ActuatorFeedback  fixed32 command_id=1 status_flags=2 jitter_comm=3
                          float position=4 velocity=5 torque=6 current_motor=7 voltage=8 temperature_motor=9
                          temperature_core=10
                          fixed32 fault_bank_a=11 fault_bank_b=12 warning_bank_a=13 warning_bank_b=14
        BaseFeedback      uint32 active_state_connection_identifier=1  Common.ArmState active_state=2
                          float arm_voltage=3 arm_current=4 temperature_cpu=5 temperature_ambient=6
                          imu_acceleration_x=7 imu_acceleration_y=8 imu_acceleration_z=9
                          imu_angular_velocity_x=10 imu_angular_velocity_y=11 imu_angular_velocity_z=12
                          tool_pose_x=13 tool_pose_y=14 tool_pose_z=15
                          tool_pose_theta_x=16 tool_pose_theta_y=17 tool_pose_theta_z=18
                          tool_twist_linear_x=19 tool_twist_linear_y=20 tool_twist_linear_z=21
                          tool_twist_angular_x=22 tool_twist_angular_y=23 tool_twist_angular_z=24
                          tool_external_wrench_force_x=25 tool_external_wrench_force_y=26
                          tool_external_wrench_force_z=27 tool_external_wrench_torque_x=28
                          tool_external_wrench_torque_y=29 tool_external_wrench_torque_z=30
                          fixed32 fault_bank_a=31 fault_bank_b=32 warning_bank_a=33 warning_bank_b=34
                          float commanded_tool_pose_x=35 commanded_tool_pose_y=36 commanded_tool_pose_z=37
                          commanded_tool_pose_theta_x=38 commanded_tool_pose_theta_y=39 commanded_tool_pose_theta_z=40
        Command           fixed32 frame_id=1  *ActuatorCommand actuators=2  InterconnectCyclic.Command interconnect=3
        Feedback          fixed32 frame_id=1  BaseFeedback base=2  *ActuatorFeedback actuators=3
                          InterconnectCyclic.Feedback interconnect=4
        """,
    ),
    Table(
        "Base.proto",
        "Base",
        ("Common.proto", "Errors.proto"),
        (
            codes.ServoingMode,
            codes.GripperMode,
            codes.ActionType,
            codes.ActionEvent,
            codes.TrajectoryInfoType,
            codes.JointTrajectoryConstraintType,
            codes.ShapeType,
            codes.LimitationType,
            codes.ProtectionZoneEvent,
            codes.RobotEvent,
            codes.SafetyIdentifier,
        ),
        """
        Twist            float linear_x=1 linear_y=2 linear_z=3 angular_x=4 angular_y=5 angular_z=6
        TwistCommand     Common.CartesianReferenceFrame reference_frame=1  Twist twist=2  uint32 duration=3
        JointSpeed       uint32 joint_identifier=1  float value=2  uint32 duration=3
        JointSpeeds      *JointSpeed joint_speeds=1  uint32 duration=2
        Finger           uint32 finger_identifier=1  float value=2
        Gripper          *Finger finger=1
        GripperCommand   GripperMode mode=1  Gripper gripper=2  uint32 duration=3
        GripperRequest   GripperMode mode=1
        Pose             float x=1 y=2 z=3 theta_x=4 theta_y=5 theta_z=6
        JointAngle       uint32 joint_identifier=1  float value=2
        JointAngles      *JointAngle joint_angles=1
        JointTrajectoryConstraint      JointTrajectoryConstraintType type=1  float value=2
        ConstrainedJointAngles         JointAngles joint_angles=1  JointTrajectoryConstraint constraint=2
        CartesianSpeed                 float translation=1 orientation=2
        CartesianTrajectoryConstraint  type?CartesianSpeed speed=1  type?float duration=2
        ConstrainedPose                Pose target_pose=1  CartesianTrajectoryConstraint constraint=2
        EmergencyStop
        Faults
        Stop
        ActionHandle  uint32 identifier=1  ActionType action_type=2  fixed32 permission=3
        Action        ActionHandle handle=1  string name=2 application_data=3
                      action_parameters?TwistCommand send_twist_command=4
                      action_parameters?JointSpeeds send_joint_speeds=7
                      action_parameters?ConstrainedPose reach_pose=9
                      action_parameters?ConstrainedJointAngles reach_joint_angles=10
                      action_parameters?EmergencyStop apply_emergency_stop=31
                      action_parameters?Faults clear_faults=32
                      action_parameters?GripperCommand send_gripper_command=36
                      action_parameters?Stop stop_action=38
        TrajectoryInfo            TrajectoryInfoType trajectory_info_type=1  uint32 waypoint_index=2 joint_index=3
        ActionNotification        ActionEvent action_event=1  ActionHandle handle=2  Common.Timestamp timestamp=3
                                  Common.UserProfileHandle user_handle=4  SubErrorCodes abort_details=5
                                  Common.Connection connection=6  *TrajectoryInfo trajectory_info=7
        ServoingModeInformation   ServoingMode servoing_mode=1
        ServoingModeNotification  ServoingMode servoing_mode=1  Common.Timestamp timestamp=2
                                  Common.UserProfileHandle user_handle=3  Common.Connection connection=4
        ArmStateInformation       Common.ArmState active_state=1  Common.Connection connection=2
        ArmStateNotification      Common.ArmState active_state=1  Common.Timestamp timestamp=2
                                  Common.Connection connection=3
        RobotEventNotification    RobotEvent event=1  Common.DeviceHandle handle=2  Common.Timestamp timestamp=3
                                  Common.UserProfileHandle user_handle=4  Common.Connection connection=6
        ActuatorInformation       uint32 count=1
        Point                float x=1 y=2 z=3
        RotationMatrixRow    float column1=1 column2=2 column3=3
        RotationMatrix       RotationMatrixRow row1=1 row2=2 row3=3
        ZoneShape            ShapeType shape_type=1  Point origin=2  RotationMatrix orientation=3
                             *float dimensions=4  float envelope_thickness=5
        CartesianLimitation  LimitationType type=1  float translation=2 orientation=3
        ProtectionZoneHandle  uint32 identifier=1  fixed32 permission=2
        ProtectionZone        ProtectionZoneHandle handle=1  string name=2 application_data=3  bool is_enabled=4
                              ZoneShape shape=5  *CartesianLimitation limitations=6 envelope_limitations=7
        ProtectionZoneList    *ProtectionZone protection_zones=1
        ProtectionZoneNotification  ProtectionZoneEvent event=1  ProtectionZoneHandle handle=2
                                    Common.Timestamp timestamp=3  Common.UserProfileHandle user_handle=4
                                    Common.Connection connection=5
        FirmwareComponentVersion  string name=1 version=2  uint32 device_id=3
        FirmwareBundleVersions    string main_bundle_version=1  *FirmwareComponentVersion components_versions=2
        """,
    ),
    Table(
        "ControlConfig.proto",
        "ControlConfig",
        ("Common.proto",),
        (codes.ControlMode,),
        """
        GravityVector       float x=1 y=2 z=3
        Position            float x=1 y=2 z=3
        PayloadInformation  float payload_mass=1  Position payload_mass_center=2
        CartesianTransform  float x=1 y=2 z=3 theta_x=4 theta_y=5 theta_z=6
        ToolConfiguration   CartesianTransform tool_transform=1  float tool_mass=2  Position tool_mass_center=3
        CartesianReferenceFrameInfo  Common.CartesianReferenceFrame reference_frame=1
        TwistLinearSoftLimit         ControlMode control_mode=1  float twist_linear_soft_limit=2
        TwistAngularSoftLimit        ControlMode control_mode=1  float twist_angular_soft_limit=2
        JointSpeedSoftLimits         ControlMode control_mode=1  *float joint_speed_soft_limits=2
        JointAccelerationSoftLimits  ControlMode control_mode=1  *float joint_acceleration_soft_limits=2
        KinematicLimits              ControlMode control_mode=1  float twist_linear=2 twist_angular=3
                                     *float joint_speed_limits=4 joint_acceleration_limits=5
        KinematicLimitsList          *KinematicLimits kinematic_limits_list=1
        ControlModeInformation       ControlMode control_mode=1
        """,
    ),
    Table(
        "DeviceConfig.proto",
        "DeviceConfig",
        ("Common.proto",),
        (),
        """
        DeviceType          Common.DeviceTypes device_type=1
        FirmwareVersion     uint32 firmware_version=1
        BootloaderVersion   uint32 bootloader_version=1
        ModelNumber         string model_number=1
        PartNumber          string part_number=1
        PartNumberRevision  string part_number_revision=1
        SerialNumber        string serial_number=1
        MACAddress          bytes mac_address=1
        """,
    ),
    Table(
        "DeviceManager.proto",
        "DeviceManager",
        ("Common.proto",),
        (),
        "DeviceHandles *Common.DeviceHandle device_handle=1",
    ),
)


def _rows(text: str) -> Iterator[list[str]]:
    """The words of each message: a row goes on over lines that are indented deeper than the first."""
    lines = [line for line in text.splitlines() if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    row: list[str] = []
    for line in lines:
        if row and not line[indent].isspace():
            yield row
            row = []
        row = row + line.split()
    if row:
        yield row


def _message(words: list[str]) -> DescriptorProto:
    """The descriptor of one row of a table."""
    message = DescriptorProto(name=words[0])
    kind = ""
    for word in words[1:]:
        name, _, number = word.partition("=")
        if number:
            message.field.append(_field(message, name, int(number), kind))
        else:
            kind = word
    return message


def _field(message: DescriptorProto, name: str, number: int, kind: str) -> FieldDescriptorProto:
    """The descriptor of one field of `kind`; a oneof that the message does not have yet is added to it."""
    choice, _, kind = kind.rpartition("?")
    repeated, kind = kind.startswith("*"), kind.lstrip("*")
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    field = FieldDescriptorProto(name=name, number=number, label=label)
    if f"TYPE_{kind.upper()}" in FieldDescriptorProto.Type.keys():  # noqa: SIM118 - a wrapper, not a dict
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type_name = kind  # protobuf looks in this package, then in those around it, for a message or an enum
    if choice:
        field.oneof_index = _oneof(message, choice)
    return field


def _oneof(message: DescriptorProto, name: str) -> int:
    """The index of a oneof, added if it is new."""
    names = [oneof.name for oneof in message.oneof_decl]
    if name not in names:
        message.oneof_decl.add(name=name)
        names.append(name)
    return names.index(name)


def _enum(numbers: type[IntEnum] | type[IntFlag]) -> EnumDescriptorProto:
    """The descriptor of an enumeration: members in order, those that are no single bit too."""
    enum = EnumDescriptorProto(name=numbers.__name__)
    for name, value in numbers.__members__.items():
        enum.value.add(name=name, number=int(value))
    return enum


def file_descriptor(table: Table) -> FileDescriptorProto:
    """What a .proto file with these messages says."""
    package = f"{PACKAGE}.{table.package}".rstrip(".")
    file = FileDescriptorProto(name=table.file, package=package, syntax="proto3", dependency=table.imports)
    file.public_dependency.extend(range(len(table.imports)))
    file.enum_type.extend(_enum(numbers) for numbers in table.enums)
    file.message_type.extend(_message(words) for words in _rows(table.rows))
    return file


def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    for table in TABLES:
        pool.AddSerializedFile(file_descriptor(table).SerializeToString())
    return pool


POOL = _pool()


def _classes(package: str) -> Any:
    """The message classes of a package as attributes."""
    files = [POOL.FindFileByName(table.file) for table in TABLES if table.package == package]
    return SimpleNamespace(
        **{name: GetMessageClass(kind) for file in files for name, kind in file.message_types_by_name.items()}
    )


Api = _classes("")
Common = _classes("Common")
Session = _classes("Session")
GripperCyclic = _classes("GripperCyclic")
InterconnectCyclic = _classes("InterconnectCyclic")
BaseCyclic = _classes("BaseCyclic")
Base = _classes("Base")
ControlConfig = _classes("ControlConfig")
DeviceConfig = _classes("DeviceConfig")
DeviceManager = _classes("DeviceManager")

# What each method takes and returns: name, function, request, reply; entries end with the line or a semicolon.
# `-` is Common.Empty; `@X` is a topic, which takes options, returns a handle and notifies of X.
_METHODS = {
    "Session": (
        Service.SESSION,
        "CreateSession 1 CreateSessionInfo -;  CloseSession 2 - -;  KeepAlive 3 - -;  GetConnections 4 - ConnectionList",
    ),
    "Base": (
        Service.BASE,
        """
        CreateProtectionZone 20 ProtectionZone ProtectionZoneHandle;  UpdateProtectionZone 21 ProtectionZone -
        ReadProtectionZone 22 ProtectionZoneHandle ProtectionZone;    DeleteProtectionZone 23 ProtectionZoneHandle -
        ReadAllProtectionZones 24 - ProtectionZoneList
        ExecuteAction 48 Action -;  PauseAction 49 - -;  StopAction 50 - -;  ResumeAction 51 - -
        Unsubscribe 97 Common.NotificationHandle -
        ProtectionZoneTopic 103 @ProtectionZoneNotification
        ActionTopic 106 @ActionNotification;  RobotEventTopic 107 @RobotEventNotification
        Stop 112 - -
        GetMeasuredCartesianPose 115 - Pose;  GetMeasuredJointAngles 126 - JointAngles
        SendTwistCommand 121 TwistCommand -;  SendJointSpeedsCommand 132 JointSpeeds -
        SendGripperCommand 136 GripperCommand -;  GetMeasuredGripperMovement 137 GripperRequest Gripper
        ApplyEmergencyStop 145 - -;  ClearFaults 146 - -
        SetServoingMode 152 ServoingModeInformation -;  GetServoingMode 153 - ServoingModeInformation
        ServoingModeTopic 154 @ServoingModeNotification
        GetActuatorCount 171 - ActuatorInformation
        GetArmState 175 - ArmStateInformation;  ArmStateTopic 176 @ArmStateNotification
        GetFirmwareBundleVersions 224 - FirmwareBundleVersions
        """,
    ),
    "BaseCyclic": (
        Service.BASE_CYCLIC,
        "Refresh 1 Command Feedback;RefreshCommand 2 Command -;RefreshFeedback 3 - Feedback",
    ),
    "ControlConfig": (
        Service.CONTROL_CONFIG,
        """
        SetGravityVector 1 GravityVector -;             GetGravityVector 2 - GravityVector
        SetPayloadInformation 3 PayloadInformation -;   GetPayloadInformation 4 - PayloadInformation
        SetToolConfiguration 5 ToolConfiguration -;     GetToolConfiguration 6 - ToolConfiguration
        SetCartesianReferenceFrame 9 CartesianReferenceFrameInfo -
        GetCartesianReferenceFrame 10 - CartesianReferenceFrameInfo
        GetControlMode 13 - ControlModeInformation
        SetJointSpeedSoftLimits 14 JointSpeedSoftLimits -
        SetTwistLinearSoftLimit 15 TwistLinearSoftLimit -
        SetTwistAngularSoftLimit 16 TwistAngularSoftLimit -
        SetJointAccelerationSoftLimits 17 JointAccelerationSoftLimits -
        GetKinematicHardLimits 18 - KinematicLimits
        GetKinematicSoftLimits 19 ControlModeInformation KinematicLimits
        GetAllKinematicSoftLimits 20 - KinematicLimitsList
        ResetJointSpeedSoftLimits 28 ControlModeInformation JointSpeedSoftLimits
        ResetTwistLinearSoftLimit 29 ControlModeInformation TwistLinearSoftLimit
        ResetTwistAngularSoftLimit 30 ControlModeInformation TwistAngularSoftLimit
        ResetJointAccelerationSoftLimits 31 ControlModeInformation JointAccelerationSoftLimits
        """,
    ),
    "DeviceConfig": (
        Service.DEVICE_CONFIG,
        """
        GetDeviceType 3 - DeviceType;        GetFirmwareVersion 4 - FirmwareVersion
        GetBootloaderVersion 5 - BootloaderVersion
        GetModelNumber 6 - ModelNumber;      GetPartNumber 7 - PartNumber
        GetSerialNumber 8 - SerialNumber;    GetMACAddress 9 - MACAddress
        GetPartNumberRevision 12 - PartNumberRevision
        """,
    ),
    "DeviceManager": (Service.DEVICE_MANAGER, "ReadAllDevices 1 - DeviceHandles"),
}


@dataclass(frozen=True)
class Method:
    """One method of a service: the messages that it takes, returns and, if it subscribes to a topic, notifies with."""

    name: str
    service: Service
    function: int
    request: Any
    reply: Any
    notification: Any | None = None

    @property
    def uid(self) -> int:
        """Service and function in one number, as the vendor writes it: Base.Stop is 0x20070."""
        return self.service << 16 | self.function


def _class(package: str, name: str) -> Any:
    """The class of a message by its name in a package, in another one (`Common.Empty`) or `-`."""
    full = name if "." in name else "Common.Empty" if name == "-" else f"{package}.{name}"
    return GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{full}"))


def _method(package: str, service: Service, words: list[str]) -> Method:
    """One entry of the table of methods."""
    name, function, request, *reply = words
    if request.startswith("@"):
        taken, given = Common.NotificationOptions, Common.NotificationHandle
        return Method(f"{package}.{name}", service, int(function), taken, given, _class(package, request[1:]))
    return Method(f"{package}.{name}", service, int(function), _class(package, request), _class(package, reply[0]))


def _methods() -> Iterator[Method]:
    for package, (service, text) in _METHODS.items():
        for entry in text.replace(";", "\n").splitlines():
            if entry.strip():
                yield _method(package, service, entry.split())


METHODS = {method.uid: method for method in _methods()}
"""Every method by its uid."""
NAMED = {method.name: method for method in METHODS.values()}
"""Every method by its name: NAMED["Base.Stop"]."""
