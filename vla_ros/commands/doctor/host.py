"""The machine: Python and packages, clocks, real-time rights, CPU, shared memory, disk, and who else drives."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vla_ros.commands.doctor import shell
from vla_ros.commands.doctor.check import Check, Group, Probe
from vla_ros.config import Config

HOST = Group("host")
GIB, MIB = 1 << 30, 1 << 20
PYTHONS = ((3, 10), (3, 12))
"""Oldest and newest Python that the project is tested with."""
STEP = 0.005
"""s of a clock's step that makes the service hold (design: stamps are not believed after it)."""
SHM_LEAST, SHM_ENOUGH = 256 * MIB, 512 * MIB
"""Fast DDS maps a segment of 32 MiB per process, and a service has eight and its clients."""
DISK_LEAST, DISK_ENOUGH = GIB, 20 * GIB


def probes(config: Config) -> list[Probe]:
    """The looks at this machine."""
    metal = config.arm.driver == "kortex"
    return [
        Probe("host", "python", lambda: judge_packages(packages())),
        Probe("host", "clock", lambda: judge_clock(clock())),
        Probe("host", "real time", lambda: judge_rights(rights(config.servo.priority), config.servo.priority), 20.0),
        Probe("host", "cpu", lambda: judge_cpu(cpu(), metal)),
        Probe("host", "/dev/shm", lambda: judge_shm(*space("/dev/shm"))),
        Probe("host", "disk", lambda: judge_disk(space(".")[1], str(Path.cwd()))),
        Probe("host", "instance", lambda: instances(config)),
    ]


@dataclass(frozen=True)
class Packages:
    """The interpreter and what is installed in it: name -> version, None for a package that is needed and not there."""

    python: tuple[int, int]
    installed: dict[str, str | None]


SHOWN = ("numpy", "protobuf", "onnxruntime", "mujoco")


def packages() -> Packages:
    """What this project's own metadata says it needs, and what of it is there."""
    needed = [line for line in metadata.requires("vla_ros") or [] if "extra ==" not in line]
    names = [match[0] for line in needed if (match := re.match(r"[A-Za-z0-9._-]+", line))]
    return Packages(sys.version_info[:2], {name: _version(name) for name in names})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def judge_packages(facts: Packages) -> list[Check]:
    """Python in the tested range, and every package there."""
    missing = [name for name, version in facts.installed.items() if version is None]
    version = ".".join(map(str, facts.python))
    if missing:
        return [
            HOST.failure(
                "python", f"{version}; missing: {', '.join(missing)}", "run `make env`, or pip install vla_ros"
            )
        ]
    if not PYTHONS[0] <= facts.python <= PYTHONS[1]:
        return [HOST.failure("python", f"{version} is not served", "use Python 3.10, 3.11 or 3.12")]
    shown = ", ".join(f"{name} {facts.installed[name]}" for name in SHOWN if facts.installed.get(name))
    return [HOST.ok("python", f"{version}, {shown}")]


@dataclass(frozen=True)
class Clocks:
    """`step` s by which CLOCK_REALTIME moved against CLOCK_MONOTONIC in `seconds`; None: timedatectl is not there."""

    seconds: float
    step: float
    ntp: bool | None
    synchronised: bool | None


def clock(seconds: float = 1.0) -> Clocks:
    """Look at the clocks for that long."""
    before = time.time_ns() - time.monotonic_ns()
    time.sleep(seconds)
    step = (time.time_ns() - time.monotonic_ns() - before) / 1e9
    answer = shell.ask(["timedatectl", "show", "-p", "NTP", "-p", "NTPSynchronized"], 5.0)
    said = dict(line.split("=", 1) for line in answer.out.splitlines() if "=" in line) if answer.status == 0 else {}
    told = {"yes": True, "no": False}
    return Clocks(seconds, step, told.get(said.get("NTP", "")), told.get(said.get("NTPSynchronized", "")))


def judge_clock(facts: Clocks) -> list[Check]:
    """ROS time (CLOCK_REALTIME) must not jump against the monotonic clock."""
    if abs(facts.step) > STEP:
        text = f"CLOCK_REALTIME stepped by {1e3 * facts.step:+.1f} ms within {facts.seconds:g} s: the service holds at each step"
        return [HOST.failure("clock", text, "let one NTP client slew the clock (chrony: `makestep 1 3` only at boot)")]
    drift = f"CLOCK_REALTIME moved by {1e6 * facts.step:+.0f} µs in {facts.seconds:g} s"
    if facts.ntp and facts.synchronised is False:
        remedy = "wait until `timedatectl` says synchronized, or disconnect NTP while the arm moves"
        return [HOST.warning("clock", f"{drift}; NTP is on and not synchronised yet: a step may come", remedy)]
    state = {True: "synchronised", False: "not synchronised (one host needs no NTP)", None: "NTP state unknown here"}
    return [HOST.ok("clock", f"{drift}; {state[facts.synchronised]}")]


@dataclass(frozen=True)
class Rights:
    """What the servo was refused when it asked for real time; `tried` is False where it could not be tried."""

    tried: bool
    refused: tuple[str, ...]
    memlock: int
    kernel: str


def rights(priority: int) -> Rights:
    """Ask for them as the servo does, in a process of its own."""
    code = f"import json; from vla_ros.motion.servo import become_real_time; print(json.dumps(become_real_time({priority})))"
    said = shell.document(shell.ask_python(sys.executable, code, 15.0))
    memlock = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    return Rights(isinstance(said, list), tuple(said or ()), memlock, kernel(platform.version(), shell.read(REALTIME)))


REALTIME = "/sys/kernel/realtime"


def kernel(version: str, realtime: str) -> str:
    """The kernel's kind of preemption, from `uname -v` and /sys/kernel/realtime (1: PREEMPT_RT)."""
    if realtime == "1" or "PREEMPT_RT" in version:
        return "PREEMPT_RT"
    return "PREEMPT_DYNAMIC" if "PREEMPT_DYNAMIC" in version else "no real-time kernel"


def judge_rights(facts: Rights, priority: int) -> list[Check]:
    """SCHED_FIFO and locked memory, without which a busy machine makes the servo miss periods."""
    if not facts.tried:
        return [
            HOST.failure(
                "real time", "the servo's module could not be asked", "run `vla-ros doctor` where vla_ros is installed"
            )
        ]
    if facts.refused:
        what = " and ".join(text.partition(":")[0].removeprefix("no ") for text in facts.refused)
        remedy = "in /etc/security/limits.conf: `@vla - rtprio 99` and `@vla - memlock unlimited`, join the group vla, log in again"
        return [
            HOST.warning(
                "real time", f"not permitted: {what}; {facts.kernel}: the servo will miss periods under load", remedy
            )
        ]
    fifo = f"SCHED_FIFO {priority}" if priority else "ordinary scheduling (servo.priority 0)"
    return [HOST.ok("real time", f"{fifo}, memory locked; {facts.kernel}")]


@dataclass(frozen=True)
class Cpu:
    """Cores, the load of the last minute, and the frequency governors in use (empty where the kernel sets none)."""

    cores: int
    load: float
    governors: frozenset[str]


def cpu() -> Cpu:
    """From /proc and /sys."""
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return Cpu(os.cpu_count() or 1, os.getloadavg()[0], frozenset(filter(None, map(shell.read, files))))


def judge_cpu(facts: Cpu, metal: bool) -> list[Check]:
    """A governor that lowers the frequency wakes late; a machine that is busy already misses periods."""
    text = f"{facts.cores} cores, load {facts.load:.1f}, governor {', '.join(sorted(facts.governors)) or 'not set by this kernel'}"
    if metal and facts.load > facts.cores:
        return [
            HOST.warning("cpu", text, "end what else runs here (`top`): the servo and the cameras share these cores")
        ]
    if facts.governors - {"performance"}:
        return [HOST.warning("cpu", text, "sudo cpupower frequency-set -g performance")]
    return [HOST.ok("cpu", text)]


def space(folder: str) -> tuple[int, int]:
    """Size and free bytes of the file system that holds the folder."""
    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def judge_shm(size: int, free: int) -> list[Check]:
    """Images and the servo's blocks live there."""
    text, remedy = (
        f"{free / MIB:.0f} of {size / MIB:.0f} MiB free",
        "sudo mount -o remount,size=2G /dev/shm (Docker: --shm-size=2g)",
    )
    if free < SHM_LEAST:
        return [HOST.failure("/dev/shm", f"{text}: images will be lost, or processes killed", remedy)]
    return [HOST.warning("/dev/shm", text, remedy) if free < SHM_ENOUGH else HOST.ok("/dev/shm", text)]


def judge_disk(free: int, folder: str) -> list[Check]:
    """Where recordings go."""
    text, remedy = f"{free / GIB:.0f} GiB free in {folder}", "make room, or record to another disk"
    if free < DISK_LEAST:
        return [HOST.failure("disk", text, remedy)]
    return [HOST.warning("disk", text, remedy) if free < DISK_ENOUGH else HOST.ok("disk", text)]


def instances(config: Config) -> list[Check]:
    """Who drives already, from the claims of this machine."""
    from vla_ros.nodes import domain

    return judge_instances(domain.claimed(), config.arm.driver == "kortex" and not domain.arm_is_free(config))


def judge_instances(domains: Sequence[int], arm_held: bool) -> list[Check]:
    """One service per domain, one process per arm."""
    running = f"services run in ROS domains {', '.join(map(str, domains))}" if domains else "no service runs here"
    if len(domains) == 1:
        running = f"a service runs in ROS domain {domains[0]}"
    if arm_held and not domains:
        remedy = "end it, or wait for it: the arm has one master"
        return [HOST.warning("instance", "another vla_ros process holds the arm (`vla-ros robot`?)", remedy)]
    return [HOST.ok("instance", running + ("; the arm is held by it" if arm_held else ""))]
