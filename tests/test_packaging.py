"""Every way to install vla_ros, done for real on a copy of the checkout, and the locks they install from."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools.config.pyprojecttoml import load_file

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PROJECT = load_file(ROOT / "pyproject.toml")["project"]

SOURCES = ["pyproject.toml", "setup.py", "setup.cfg", "package.xml", "LICENSE", "NOTICE", "README.md"]
FOLDERS = ["vla_ros", "launch", "models", "calibration", "resource"]

# An executable of the copy, so that what is tested is the installing and not what the nodes need to start.
PROBE = """
import sys
from vla_ros.paths import share

def main():
    print(share("launch", "probe.py"), *sys.argv[1:])
    return 3
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Return a copy of the checkout with one more executable, launch file, bundle and calibration."""
    copy = tmp_path_factory.mktemp("source") / "vla_ros"
    for name in FOLDERS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES:
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, copy / name)
    for name, text in {
        "vla_ros/_probe.py": PROBE,
        "vla_ros/deeper/__init__.py": "",
        "vla_ros/deeper/still/values.yaml": "a: 1\n",
        "launch/probe.py": "",
        "calibration/probe.yaml": "{}\n",
        "models/probe/graphs/encode.onnx": "",
    }.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(text)
    pyproject = copy / "pyproject.toml"
    pyproject.write_text(
        pyproject.read_text().replace("[project.scripts]", '[project.scripts]\nprobe = "vla_ros._probe:main"')
    )
    return copy


@pytest.fixture
def source(made, tmp_path) -> Path:
    """Return a copy of its own, so that no build finds what another has left."""
    return Path(shutil.copytree(made, tmp_path / "vla_ros"))


def clean_environment(**more: str) -> dict[str, str]:
    """Return this environment without what points Python, ROS or colcon at other installations."""
    dropped = re.compile(r"PYTHONPATH|AMENT_.*|COLCON_.*|CMAKE_PREFIX_PATH|VIRTUAL_ENV|PIP_REQUIRE_VIRTUALENV")
    return {key: value for key, value in os.environ.items() if not dropped.fullmatch(key)} | more


def run(*command: object, cwd: Path, expect: int = 0, **environment: str) -> str:
    """Run a command, and return what it printed; fail with all it said when it ends with another code."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
    )
    assert done.returncode == expect, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def new_venv(folder: Path, with_packages: bool = False) -> Path:
    """Make a virtual environment without pip, and return its folder; it may see this one's packages."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    if with_packages:
        site = next(folder.glob("lib/python3*/site-packages"))
        (site / "outer.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def pip(venv: Path, *arguments: object, cwd: Path) -> None:
    """Run this environment's pip on another one, without any index."""
    offline = ("--disable-pip-version-check", "install", "--no-index", "--no-deps", "--ignore-installed")
    run(sys.executable, "-m", "pip", "--python", venv / "bin/python", *offline, *arguments, cwd=cwd)


def check_prefix(prefix: Path, cwd: Path) -> None:
    """Check that ROS finds the package, its launch files and its executables below this prefix."""
    share = prefix / "share/vla_ros"
    assert (prefix / "share/ament_index/resource_index/packages/vla_ros").is_file()
    for name in (
        "package.xml",
        "launch/probe.py",
        "launch/vla_ros.service",
        "calibration/probe.yaml",
        "models/probe/graphs/encode.onnx",
    ):
        assert (share / name).is_file()
    for name in PROJECT["scripts"]:
        assert os.access(prefix / "lib/vla_ros" / name, os.X_OK)


def test_a_wheel_installs_everything(source, tmp_path):
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        "dist",
        ".",
    ]
    run(*build, cwd=source)
    (wheel,) = (source / "dist").glob("vla_ros-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {"vla_ros/py.typed", "vla_ros/deeper/still/values.yaml"} <= names
    assert not [name for name in names if name.split("/")[0] in ("tests", "launch", "models", "build")]

    venv = new_venv(tmp_path / "venv")
    pip(venv, wheel, cwd=tmp_path)
    check_prefix(venv, tmp_path)
    expected = venv / "share/vla_ros/launch/probe.py"
    assert run(venv / "bin/probe", "a b", cwd=tmp_path, expect=3) == f"{expected} a b"
    assert run(venv / "lib/vla_ros/probe", "a b", cwd=tmp_path, expect=3) == f"{expected} a b"
    version = run(venv / "bin/python", "-c", "import vla_ros; print(vla_ros.__version__)", cwd=tmp_path)
    assert version == PROJECT["version"]


def test_an_editable_install_uses_the_checkout(source, tmp_path):
    venv = new_venv(tmp_path / "venv", with_packages=True)
    pip(venv, "--no-build-isolation", "--editable", source, cwd=tmp_path)
    assert run(venv / "bin/probe", cwd=tmp_path, expect=3) == str(source / "launch/probe.py")
    probe = source / "vla_ros/_probe.py"
    probe.write_text(probe.read_text().replace("return 3", "return 4"))
    run(venv / "bin/probe", cwd=tmp_path, expect=4)


@pytest.mark.parametrize("symlink", [False, True], ids=["copy", "symlink"])
def test_colcon_builds_a_ros_package(source, tmp_path, symlink):
    colcon = Path(sys.executable).parent / "colcon"
    if not colcon.exists():
        pytest.skip("colcon is not installed beside this Python")
    flags = ["--symlink-install"] if symlink else []
    environment = {"COLCON_HOME": str(tmp_path / "home"), "COLCON_LOG_PATH": str(tmp_path / "log")}
    path = f"{colcon.parent}{os.pathsep}{os.environ['PATH']}"
    run(colcon, "build", "--base-paths", source, *flags, cwd=tmp_path, PATH=path, **environment)

    prefix = tmp_path / "install/vla_ros"
    check_prefix(prefix, tmp_path)
    expected = (source if symlink else prefix / "share/vla_ros") / "launch/probe.py"
    command = f". {tmp_path}/install/setup.sh && exec {prefix}/lib/vla_ros/probe a"
    assert run("sh", "-c", command, cwd=tmp_path, PATH=path, expect=3) == f"{expected} a"


def test_share_names_the_places_and_the_remedy(tmp_path, monkeypatch):
    from vla_ros.paths import share

    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="no/such") as error:
        share("no", "such")
    assert str(tmp_path / "share/vla_ros") in str(error.value)
    assert "make env" in str(error.value)


def test_share_finds_what_a_sourced_workspace_installs(tmp_path, monkeypatch):
    from vla_ros.paths import share

    (tmp_path / "share/vla_ros/models/only_there").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(["/nowhere", str(tmp_path)]))
    assert share("models", "only_there") == tmp_path / "share/vla_ros/models/only_there"


@pytest.mark.parametrize("name", PROJECT["scripts"])
def test_every_executable_names_a_function_that_exists(name):
    module, function = PROJECT["scripts"][name].split(":")
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_package_xml_says_what_pyproject_says():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    for field in ("name", "version", "description"):
        assert package.findtext(field) == PROJECT[field]
    assert package.findtext("export/build_type") == "ament_python"
    # colcon takes a package with an invalid address for no ROS package at all
    assert re.fullmatch(r"[\w.+-]+@[\w-]+(\.[\w-]+)+", package.find("maintainer").get("email"))


def locked(path: Path) -> list[Requirement]:
    """Return the requirements of a lock, without their hashes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Requirement(line.rstrip(" \\")) for line in lines if line and not line.startswith((" ", "#"))]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_and_hashes_everything_and_names_no_index(lock):
    text = lock.read_text(encoding="utf-8")
    assert not re.search(r"https?:|file:|index-url|find-links", text)
    pins = re.findall(
        r"^[a-z0-9].*==.*?(?: \\)?\n(?: +--hash=sha256:[0-9a-f]{64}(?: \\)?(?:\n|$))+", text, re.MULTILINE
    )
    assert len(pins) == len(locked(lock)) > 0
    assert "torch" not in {requirement.name for requirement in locked(lock)}


TOGETHER = {
    "the service": [path for path in LOCKS if path.name not in ("kinect.lock", "lerobot.lock")],
    "LeRobot": [path for path in LOCKS if path.name == "lerobot.lock"],
    "the Azure Kinect": [path for path in LOCKS if path.name in ("kinect.lock", "ros-jazzy.lock")],
}
"""Which locks are installed into one environment."""


@pytest.mark.parametrize("environment", TOGETHER)
def test_the_locks_of_an_environment_agree_with_each_other(environment):
    """Two locks installed one after the other must not undo one another, on any Python."""
    for python in ("3.10.13", "3.11.7", "3.12.1"):
        facts = {"python_version": python.rpartition(".")[0], "python_full_version": python}
        pins: dict[str, set[str]] = {}
        for requirement in (requirement for lock in TOGETHER[environment] for requirement in locked(lock)):
            if requirement.marker is None or requirement.marker.evaluate(facts):
                pins.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier))
        assert {name: versions for name, versions in pins.items() if len(versions) > 1} == {}


@pytest.mark.parametrize(
    ("lock", "extra"),
    [
        ("demo", None),
        ("test", "test"),
        ("test", "calibrate"),
        ("test", "realsense"),
        ("train", "train"),
        ("kinect", "azure-kinect"),
    ],
)
def test_a_lock_holds_what_the_project_declares(lock, extra):
    declared = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    pins = locked(ROOT / f"requirements/{lock}.lock")
    for wanted in map(Requirement, declared):
        versions = [
            str(pin.specifier).removeprefix("==")
            for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
        ]
        assert versions or wanted.name == "torch", f"{wanted} is not in {lock}.lock: make lock"
        assert all(wanted.specifier.contains(version) for version in versions)
