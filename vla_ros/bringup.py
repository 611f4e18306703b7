"""Which processes make a service, with what arguments, in which environment: data only, for launch files and `vla-ros sim` alike."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from vla_ros.config import CameraConfig, Config
from vla_ros.config.load import flatten, unflatten

PROFILE = Path(__file__).with_name("bringup_profile.xml")
CONFIG, PARAMETERS = "config.yaml", "parameters.yaml"
"""Files of the runtime folder that every process of a service reads: for plain processes, and for nodes."""


@dataclass(frozen=True)
class Process:
    """One process of a service.

    `node` and `lifecycle` are ROS nodes (the latter is configured and activated by who starts it), `plain` knows no ROS. `needs`
    are files of the runtime folder that must be there first. Processes are stopped stage by stage, 0 first. Where a critical one
    dies, the service ends. `python` is its interpreter, empty: that of the service.
    """

    name: str
    module: str
    kind: Literal["node", "lifecycle", "plain"]
    parameters: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()
    stage: int = 1
    critical: bool = True
    python: str = ""

    def arguments(self, runtime: Path) -> list[str]:
        """What follows `python -m module`."""
        if self.kind == "plain":
            return ["--runtime", str(runtime), "--config", str(runtime / CONFIG)]
        own = [word for name, value in self.parameters for word in ("-p", f"{name}:={value}")]
        return ["--ros-args", "-r", f"__node:={self.name}", "--params-file", str(runtime / PARAMETERS), *own]

    def command(self, runtime: Path, parent: int = 0) -> list[str]:
        """The whole command; it ends when the process `parent` does, if one is given."""
        start = [sys.executable, "-m", "vla_ros.nodes.start"]
        start += ["--parent", str(parent)] if parent else []
        start += [word for file in self.needs for word in ("--needs", str(runtime / file))]
        return [*start, "--", self.python or sys.executable, "-m", self.module, *self.arguments(runtime)]


def processes(config: Config) -> list[Process]:
    """The processes of the service that `config` describes, in the order in which they are started."""
    twin = config.arm.driver == "twin" or config.twin.kortex
    feedback = ("arm_feedback",) if twin else ()
    made = [Process("twin", "vla_ros.twin.process", "plain", stage=2)] if twin else []
    made.append(Process("servo", "vla_ros.motion.servo", "plain", needs=feedback, stage=0))
    made.append(Process("watchdog", "vla_ros.motion.watchdog", "plain", needs=feedback))
    made.append(Process("arm", "vla_ros.nodes.arm", "node"))
    made += [_camera(config, name) for name, camera in config.cameras.items() if camera.driver != "topic"]
    made.append(Process("policy", "vla_ros.nodes.policy", "lifecycle"))
    if config.dashboard.port:
        made.append(Process("dashboard", "vla_ros.nodes.dashboard", "node", critical=False))
    if config.record.output:  # the first to stop: it lets go of the dataset while the rest still lives
        made.append(Process("recorder", "vla_ros.nodes.recorder", "node", stage=0))
        if config.teleop.device != "keyboard":  # which needs the terminal of a person: `vla-ros teleop`
            made.append(Process("teleop", "vla_ros.nodes.teleop", "node", stage=0))
    return made


def _camera(config: Config, name: str) -> Process:
    camera = config.cameras[name]
    needs = ("twin_state",) if camera.driver == "twin" else ()
    return Process(f"{name}_camera", "vla_ros.nodes.camera", "node", (("camera", name),), needs, python=camera.python)


def obstacles(config: Config) -> list[str]:
    """Why the service that `config` describes cannot run on this machine, each with its remedy; nothing is started for it.

    Only what a look at this machine's files tells: SDKs, interpreters, the policy's bundle. Devices are found by who opens them.
    """
    found = [_without_wheel()] if config.arm.driver == "kortex" else []
    found += [_without_sdk(name, camera) for name, camera in config.cameras.items()]
    found.append(_without_policy(config))
    found.append(without_recorder(config))
    return [text for text in found if text]


CAMERA_SDKS = {"realsense": ("pyrealsense2", "realsense"), "azure_kinect": ("pyk4a", "azure-kinect")}
"""By the driver of a camera: the module of its SDK, and the extra of this project that brings it."""


def _without_wheel() -> str:
    from vla_ros.arms import kortex_protobuf

    try:
        kortex_protobuf.install()
    except kortex_protobuf.KortexSdkError as error:
        return f"arm.driver kortex: {error}"
    return ""


def _without_sdk(name: str, camera: CameraConfig) -> str:
    if camera.python:
        there = os.access(camera.python, os.X_OK)
        return (
            ""
            if there
            else f"cameras.{name}.python {camera.python!r}: no interpreter there; make it, or correct the path"
        )
    module, extra = CAMERA_SDKS.get(camera.driver, ("", ""))
    if not module or importlib.util.find_spec(module) is not None:
        return ""
    return (
        f"cameras.{name}.driver {camera.driver}: {module} is not installed for {sys.executable}: pip install 'vla_ros[{extra}]', "
        f"or name an interpreter that has it as cameras.{name}.python"
    )


def without_recorder(config: Config) -> str:
    """Why nothing could be recorded with this interpreter; empty where it could, or nothing is to be."""
    wanted = ("pyarrow", *(("mcap",) if config.record.log else ())) if config.record.output else ()
    missing = [name for name in wanted if importlib.util.find_spec(name) is None]
    remedy = "pip install 'vla_ros[record]'" + (", or set record.log=false" if missing == ["mcap"] else "")
    return f"record.output: {' and '.join(missing)} is not installed for {sys.executable}: {remedy}" if missing else ""


def _without_policy(config: Config) -> str:
    from vla_ros.policy.policy import check_spec

    return check_spec(config.policy.bundle, config)


def prepare(config: Config, runtime: Path) -> Config:
    """Write the files that the processes read into the runtime folder; returns the configuration that they have."""
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = config.model_copy(update={"runtime": str(runtime)})
    _write(runtime / CONFIG, config.model_dump(mode="json"))
    _write(runtime / PARAMETERS, {"/**": {"ros__parameters": unflatten(flatten(config))}})
    return config


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of every process: `given`, with what images over Fast DDS and two busy cores need where it is not set."""
    wanted = {
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(PROFILE),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        # fresh pages for every image cost more than the image
        "MALLOC_MMAP_THRESHOLD_": "268435456",
        "MALLOC_TRIM_THRESHOLD_": "1073741824",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
    }
    made = wanted | dict(given)
    if importlib.util.find_spec("ros_wheels_bootstrapper") is not None:
        _for_wheels(made)
    return made


def _for_wheels(variables: dict[str, str]) -> None:
    """The ROS wheels hold Fast DDS only, and find their libraries by a path that they set once per environment."""
    if variables.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") != "rmw_fastrtps_cpp":
        del variables["RMW_IMPLEMENTATION"]
    libraries = variables.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if os.path.join(sys.prefix, "lib") not in libraries:
        variables.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None)
