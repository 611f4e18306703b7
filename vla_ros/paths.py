"""Where `launch/`, `models/` and `calibration/` are: in a checkout, or in an installed share folder."""

import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def share(*parts: str) -> Path:
    """Return the path of a shipped file or folder, such as `share("models", "toy")`.

    Raises:
        FileNotFoundError: If no place has it; the message names the places and the remedy.
    """
    places = list(dict.fromkeys(_places()))
    for place in places:
        path = place.joinpath(*parts)
        if path.exists():
            return path
    searched = "".join(f"\n  {place}" for place in places)
    raise FileNotFoundError(
        f"vla_ros ships no {'/'.join(parts)!r} in any of:{searched}\n"
        "Check the name; otherwise install the package again (`pip install .` or `colcon build`), source the "
        "workspace's install/setup.bash, or run from a checkout (`make env`)."
    )


def _places() -> Iterator[Path]:
    """Yield the folders that may hold the shipped files, those nearest to the running code first."""
    if (PACKAGE.parent / "package.xml").is_file():
        yield PACKAGE.parent
    # <prefix>/lib/python3.X/site-packages/vla_ros: right even when another workspace is sourced as well
    yield Path(os.path.normpath(PACKAGE / "../../../../share/vla_ros"))
    for prefix in filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)):
        yield Path(prefix) / "share/vla_ros"
    yield Path(sysconfig.get_path("data")) / "share/vla_ros"
    yield Path(sysconfig.get_path("data", f"{os.name}_user")) / "share/vla_ros"
