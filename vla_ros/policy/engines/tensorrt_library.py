"""TensorRT under its two names: `tensorrt` 10 and 11 build for the GPU they run on; `tensorrt_rtx` builds ahead of time for
GeForce and RTX GPUs, with no GPU at all, and finishes its kernels on the device. For what is used here both are the same."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from vla_ros.policy.engines.engine import EngineError

Name: TypeAlias = Literal["tensorrt", "tensorrt_rtx"]
MODULES: dict[Name, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),  # the second is what the wheels have without their sdist
}
PACKAGES: dict[Name, str] = {
    "tensorrt": "pip install .[tensorrt] (on a Jetson: JetPack brings it)",
    "tensorrt_rtx": "pip install tensorrt-rtx-cu13",
}


@dataclass(frozen=True)
class Library:
    """One of the two. `module` is what `import` gave."""

    name: Name
    module: Any

    @property
    def version(self) -> str:
        """Such as 11.4.0.106: an engine belongs to one."""
        return str(self.module.__version__)

    @property
    def ahead(self) -> bool:
        """Whether it builds for GPUs that are not here."""
        return self.name == "tensorrt_rtx"

    @property
    def targets(self) -> tuple[str, ...]:
        """What it builds for ahead of time, such as sm_89."""
        known = self.module.ComputeCapability.__members__ if self.ahead else ()
        return tuple(f"sm_{name.removeprefix('SM')}" for name in known if name.startswith("SM"))


def find_library(name: Name | None = None) -> Library:
    """The library of that name; of no name, the first that is installed. Raises EngineError where there is none."""
    found = next(filter(None, map(_imported, (name,) if name else tuple(MODULES))), None)
    if found is None:
        wanted = [f"{n} ({p})" for n, p in PACKAGES.items() if name in (None, n)]
        raise EngineError(
            f"TensorRT is not installed here. Install {' or '.join(wanted)}, or choose another policy.engine."
        )
    return found


def _imported(name: Name) -> Library | None:
    for module in MODULES[name]:
        try:
            return Library(name, importlib.import_module(module))
        except ModuleNotFoundError:
            continue
        except ImportError as error:  # the package is there, what it loads is not
            raise EngineError(
                f"{module} is installed but does not load: {error}. Install it again: {PACKAGES[name]}."
            ) from None
    return None


def make_log(trt: Any) -> Any:
    """A logger that keeps what goes wrong: `.errors`. Nothing is printed."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(text)

    return Log()
