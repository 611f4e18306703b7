"""What pyproject.toml cannot say: the files ROS expects under share/ and lib/, for pip and colcon alike."""

import sys
from pathlib import Path

import setuptools
from setuptools import find_packages, setup

# Resolved: `colcon build --symlink-install` runs a symlink of this file where there is no pyproject.toml.
ROOT = Path(__file__).resolve().parent
NAME = "vla_ros"

LAUNCHER = """#!/bin/sh
'''exec' "$(dirname "$0")/../../bin/python3" "$0" "$@"
' '''
import sys

from {module} import {function}

sys.exit({function}())
"""


def read_toml(path):
    """Return the content of a TOML file, on Python 3.10 too, which has no tomllib of its own."""
    try:
        import tomllib
    except ModuleNotFoundError:
        try:
            import tomli as tomllib
        except ModuleNotFoundError:
            from pip._vendor import tomli as tomllib
    return tomllib.loads(path.read_text(encoding="utf-8"))


def shared_files():
    """Return data_files entries (folder, files) for share/vla_ros: folders keep their structure."""
    patterns = ("launch/*.py", "launch/*.service", "calibration/*.yaml", "models/**/*")
    wanted = [path for pattern in patterns for path in ROOT.glob(pattern)]
    folders = {}
    for path in sorted(path.relative_to(ROOT) for path in wanted if path.is_file()):
        folders.setdefault(f"share/{NAME}/{path.parent}", []).append(str(path))
    return list(folders.items())


def launchers(scripts):
    """Return the data_files entry for lib/vla_ros, where `ros2 run` looks for executables.

    Only for pip: it puts console scripts in bin/ alone. colcon puts them in lib/ itself, through setup.cfg.
    """
    if not {"bdist_wheel", "editable_wheel"} & set(sys.argv):
        return []
    folder = Path("build/libexec")
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in scripts.items():
        module, function = target.split(":")
        path = folder / name
        path.write_text(LAUNCHER.format(module=module, function=function), encoding="utf-8")
        path.chmod(0o755)
    return [(f"lib/{NAME}", [str(folder / name) for name in scripts])]


if "--editable" in sys.argv and int(setuptools.__version__.split(".")[0]) >= 80:
    sys.exit("colcon build --symlink-install works with setuptools before 80: pip install 'setuptools<80'")

pyproject = read_toml(ROOT / "pyproject.toml")
project = pyproject["project"]
distribution = setup(
    name=project["name"],
    version=project["version"],
    license="Apache-2.0",
    packages=find_packages(str(ROOT), include=[NAME, f"{NAME}.*"]),
    package_data=pyproject["tool"]["setuptools"]["package-data"],
    entry_points={"console_scripts": [f"{name} = {target}" for name, target in project["scripts"].items()]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *shared_files(),
        *launchers(project["scripts"]),
    ],
)
# colcon-python-setup-py reads repr() of the distribution's fields as literals; a SpecifierSet is none.
if distribution.python_requires is not None:
    distribution.python_requires = distribution.metadata.python_requires = str(distribution.python_requires)
