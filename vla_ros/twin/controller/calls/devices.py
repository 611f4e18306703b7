"""DeviceManager, DeviceConfig and the versions of Base: what the robot is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vla_ros.twin.controller.calls.call import Call, Handler
from vla_ros.twin.controller.errors import CallError
from vla_ros.twin.controller.product import Product
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.kortex.codes import DeviceTypes, SubErrorCodes
from vla_ros.twin.kortex.messages import Base, DeviceConfig, DeviceManager


def read_all_devices(robot: Robot, call: Call) -> Any:
    """Identifier, type and order of every device."""
    reply = DeviceManager.DeviceHandles()
    for order, (identifier, kind) in enumerate(robot.product.devices().items()):
        reply.device_handle.add(device_type=kind, device_identifier=identifier, order=order)
    return reply


def get_actuator_count(robot: Robot, call: Call) -> Any:
    """Joints of the arm."""
    return Base.ActuatorInformation(count=robot.product.actuators)


def get_firmware_bundle_versions(robot: Robot, call: Call) -> Any:
    """Version of the bundle, and of each device the same."""
    version = robot.product.firmware
    reply = Base.FirmwareBundleVersions(main_bundle_version=version)
    for identifier, kind in robot.product.devices().items():
        reply.components_versions.add(name=kind.name.lower(), version=version, device_id=identifier)
    return reply


def _of_device(make: Callable[[Product, int, DeviceTypes], Any]) -> Handler:
    """A handler that asks `make` about the device that the call's header names."""

    def handle(robot: Robot, call: Call) -> Any:
        kind = robot.product.devices().get(call.device)
        if kind is None:
            raise CallError(SubErrorCodes.INVALID_DEVICE, f"device {call.device}: not on this robot")
        return make(robot.product, call.device, kind)

    return handle


def _serial(product: Product, device: int, kind: DeviceTypes) -> Any:
    serial = product.serial if kind == DeviceTypes.BASE else f"{product.serial}-{device}"
    return DeviceConfig.SerialNumber(serial_number=serial)


_FIRMWARE = 0x02060008
CALLS: dict[str, Handler] = {
    "DeviceManager.ReadAllDevices": read_all_devices,
    "Base.GetActuatorCount": get_actuator_count,
    "Base.GetFirmwareBundleVersions": get_firmware_bundle_versions,
    "DeviceConfig.GetDeviceType": _of_device(lambda product, device, kind: DeviceConfig.DeviceType(device_type=kind)),
    "DeviceConfig.GetFirmwareVersion": _of_device(
        lambda product, device, kind: DeviceConfig.FirmwareVersion(firmware_version=_FIRMWARE)
    ),
    "DeviceConfig.GetBootloaderVersion": _of_device(
        lambda product, device, kind: DeviceConfig.BootloaderVersion(bootloader_version=_FIRMWARE)
    ),
    "DeviceConfig.GetModelNumber": _of_device(
        lambda product, device, kind: DeviceConfig.ModelNumber(model_number=product.model)
    ),
    "DeviceConfig.GetPartNumber": _of_device(
        lambda product, device, kind: DeviceConfig.PartNumber(part_number=f"SIMULATED {kind.name}")
    ),
    "DeviceConfig.GetPartNumberRevision": _of_device(
        lambda product, device, kind: DeviceConfig.PartNumberRevision(part_number_revision="A")
    ),
    "DeviceConfig.GetSerialNumber": _of_device(_serial),
    "DeviceConfig.GetMACAddress": _of_device(
        lambda product, device, kind: DeviceConfig.MACAddress(mac_address=bytes([2, 0, 0, 0, 0, device]))
    ),
}
