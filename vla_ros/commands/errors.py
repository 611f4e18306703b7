"""Errors that people can do something about end a command with their text, and no traceback."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from vla_ros.config import ConfigError
from vla_ros.episodes.layout import DatasetError
from vla_ros.policy.manifest import BundleError
from vla_ros.runtime import RuntimeBusyError

BAD_USAGE, INTERRUPTED, TERMINATED = 2, 130, 143
EXTRAS = {
    "torch": "train",
    "onnx": "train",
    "onnxscript": "train",
    "matplotlib": "train",
    "pyarrow": "record",
    "mcap": "record",
    "cv2": "calibrate",
}
"""Optional packages, and the extra of this project that brings each."""


class CommandError(Exception):
    """A command cannot go on. The text names the remedy."""


def explained(command: Callable[[], int]) -> int:
    """Run it: its exit status, or that of the error that ended it. SIGTERM unwinds like Ctrl-C, so that nothing is left behind.

    SIGINT counts even where a shell has started this in the background and had it ignored.
    """
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command()
    except (ConfigError, RuntimeBusyError, CommandError, BundleError, DatasetError) as error:
        sys.stderr.write(f"{error}\n")
        return BAD_USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        sys.stderr.write(
            f"this needs {error.name}: run `make env-test`, or pip install 'vla_ros[{EXTRAS[error.name]}]'\n"
        )
        return BAD_USAGE
    except OSError as error:  # a full disk, a folder that cannot be written: the operating system's words are enough
        sys.stderr.write(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}\n")
        return 1
    except Exception as error:
        if not _of_the_service(error):
            raise
        sys.stderr.write(f"{error}\n")
        return 1


def _of_the_service(error: Exception) -> bool:
    """ServiceError and ProcessDiedError, and a policy's InstructionError; by name: importing them imports ROS or tokenizers."""
    return type(error).__name__ in ("ServiceError", "ProcessDiedError", "InstructionError")


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
