"""The Azure Kinect's SDK is built for numpy 1: what is said without it, and its tests in the environment that has it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vla_ros.cameras.azure_kinect import load_sdk
from vla_ros.cameras.camera import CameraError

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-kinect/bin/python"

RUN = """
import sys
sys.path[1:1] = [sys.argv[1]]
sys.path += sys.argv[2].split(":")  # pytest, of the environment that has no SDK; behind the packages of this one
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", sys.argv[3]]))
"""


def plant(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """Let `import pyk4a` run this."""
    package = folder / "pyk4a"
    package.mkdir()
    (package / "__init__.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyk4a"]:
        monkeypatch.delitem(sys.modules, name)


def test_an_sdk_that_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyk4a", None)
    with pytest.raises(CameraError, match=r"needs the package pyk4a.*make env-kinect.*`python`"):
        load_sdk()


def test_an_sdk_that_meets_another_numpy_says_so_and_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = (
        "try:\n"
        "    raise ImportError('numpy.core.multiarray failed to import')\n"
        "except BaseException as first:\n"
        "    try:\n"
        "        raise OSError('libk4a.so.1.4: cannot open shared object file')\n"
        "    except BaseException:\n"
        "        raise ImportError('Cannot import k4a_module. Make sure `libk4a.so` can be found.') from first\n"
    )
    plant(monkeypatch, tmp_path, source)
    with pytest.raises(CameraError, match=r"\(numpy\.core\.multiarray failed to import\).*numpy 1.*make env-kinect"):
        load_sdk()


def test_the_sdk_keeps_its_log_to_itself_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant(monkeypatch, tmp_path, "import os\nlog = os.environ['K4A_ENABLE_LOG_TO_STDOUT']\n")
    monkeypatch.delenv("K4A_ENABLE_LOG_TO_STDOUT", raising=False)
    assert load_sdk().log == "0"
    monkeypatch.delitem(sys.modules, "pyk4a")
    monkeypatch.setenv("K4A_ENABLE_LOG_TO_STDOUT", "1")
    assert load_sdk().log == "1"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("pyk4a") is not None, reason="its tests run here")
def test_the_driver_on_the_real_sdk_in_an_environment_of_its_own() -> None:
    if not PYTHON.is_file():
        pytest.skip("there is no .venv-kinect: make env-kinect")
    packages = ":".join(path for path in sys.path if path.endswith("-packages"))
    words = [str(PYTHON), "-c", RUN, str(ROOT), packages, "tests/cameras/test_azure_kinect.py"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # some have parts that were built for the other environment
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 30
