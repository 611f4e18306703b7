"""The vendor's message modules under today's protobuf. Each test runs in a process of its own: protobuf has one pool in each."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from tests.arms.old_protoc import new_file, old_file
from vla_ros.arms.arm import ArmError
from vla_ros.arms.kortex_protobuf import KortexSdkError, lift
from vla_ros.twin.kortex.messages import POOL, TABLES, Base, BaseCyclic

ROOT = Path(__file__).resolve().parents[2]
Field = FieldDescriptorProto


def field(name: str, number: int, kind: int | str, label: int = Field.LABEL_OPTIONAL) -> FieldDescriptorProto:
    """A field of a scalar type, or of the message (.Name) or enum (=.Name) that is named."""
    if isinstance(kind, int):
        return Field(name=name, number=number, type=kind, label=label)
    type_ = Field.TYPE_ENUM if kind.startswith("=") else Field.TYPE_MESSAGE
    return Field(name=name, number=number, type=type_, type_name=kind.lstrip("="), label=label)


def common() -> FileDescriptorProto:
    """A file with an enum of its own, an enum and a message inside a message, and bytes that Python must escape."""
    file = FileDescriptorProto(name="Common.proto", package="Kinova.Api.Common", syntax="proto3")
    types = file.enum_type.add(name="DeviceTypes")
    for number, name in enumerate(["UNSPECIFIED_DEVICE_TYPE", "BASE", "VISION"]):
        types.value.add(name=name, number=number)
    handle = DescriptorProto(name="DeviceHandle")
    handle.field.append(field("device_type", 1, "=.Kinova.Api.Common.DeviceTypes"))
    handle.field.append(field("device_identifier", 200, Field.TYPE_UINT32))
    inner = handle.nested_type.add(name="Port")
    inner.field.append(field("speed", 1, "=.Kinova.Api.Common.DeviceHandle.Port.Speed"))
    speed = inner.enum_type.add(name="Speed")
    speed.value.add(name="UNKNOWN", number=0)
    speed.value.add(name="FAST", number=1)
    handle.field.append(field("ports", 3, ".Kinova.Api.Common.DeviceHandle.Port", Field.LABEL_REPEATED))
    file.message_type.append(handle)
    return file


def errors() -> FileDescriptorProto:
    """A file without messages."""
    file = FileDescriptorProto(name="Errors.proto", package="Kinova.Api", syntax="proto3")
    codes = file.enum_type.add(name="ErrorCodes")
    codes.value.add(name="ERROR_NONE", number=0)
    codes.value.add(name="ERROR_DEVICE", number=3)
    return file


def manager() -> FileDescriptorProto:
    """A file that uses both: one publicly, one not."""
    file = FileDescriptorProto(name="DeviceManager.proto", package="Kinova.Api.DeviceManager", syntax="proto3")
    file.dependency.extend(["Common.proto", "Errors.proto"])
    file.public_dependency.append(0)
    handles = file.message_type.add(name="DeviceHandles")
    handles.field.append(field("device_handle", 1, ".Kinova.Api.Common.DeviceHandle", Field.LABEL_REPEATED))
    handles.field.append(field("error", 2, "=.Kinova.Api.ErrorCodes"))
    return file


@pytest.fixture
def wheel(tmp_path):
    """What the vendor's wheel installs, its messages written by protoc 3.5: the folder to import from."""
    install(tmp_path, old_modules(common(), errors(), manager()))
    return tmp_path


def old_modules(*files: FileDescriptorProto) -> dict[str, str]:
    """The modules that protoc 3.5 wrote for these files, by their names."""
    return {file.name.removesuffix(".proto") + "_pb2": old_file(file, *files) for file in files}


def vocabulary() -> list[FileDescriptorProto]:
    """Our own tables as files, with every type of a field by its whole name, as protoc writes them."""
    files = [FileDescriptorProto() for _ in TABLES]
    for file, table in zip(files, TABLES, strict=True):
        POOL.FindFileByName(table.file).CopyToProto(file)
    return files


def install(folder: Path, modules: dict[str, str]) -> None:
    """Write the vendor's package with these message modules, and the other package that it needs."""
    package = folder / "kortex_api" / "autogen" / "messages"
    package.mkdir(parents=True)
    for inner in package, package.parent, package.parent.parent, folder / "deprecated":
        inner.mkdir(exist_ok=True)
        (inner / "__init__.py").touch()
    for name, source in modules.items():
        (package / f"{name}.py").write_text(source, encoding="utf-8")


def message_file(folder: Path, name: str) -> Path:
    """One of the vendor's files."""
    return folder / "kortex_api" / "autogen" / "messages" / f"{name}.py"


def run(folder: Path, code: str, **environment: str) -> str:
    """What a new process prints that runs this code after install(); its complaint if it fails."""
    begin = "from vla_ros.arms.kortex_protobuf import install, uninstall, KortexSdkError\ninstall()\n"
    return bare(folder, begin + textwrap.dedent(code), **environment)


def bare(folder: Path, code: str, **environment: str) -> str:
    """What a new process prints that runs this code; its complaint if it fails."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout if done.returncode == 0 else done.stdout + done.stderr


def test_without_it_protobuf_refuses_the_old_files(wheel):
    assert "Descriptors cannot" in bare(wheel, "from kortex_api.autogen.messages import Common_pb2")


ROUND_TRIP = """
from kortex_api.autogen.messages import DeviceManager_pb2, Common_pb2
handles = DeviceManager_pb2.DeviceHandles(error=3)
handles.device_handle.add(device_type=Common_pb2.VISION, device_identifier=7).ports.add(speed=1)
data = handles.SerializeToString()
assert DeviceManager_pb2.DeviceHandles.FromString(data) == handles
from google.protobuf.internal import api_implementation
print(data.hex(), api_implementation.Type(), sorted(n for n in vars(DeviceManager_pb2) if n[:2] != "__" and n not in HEAD))
"""
BYTES = "0a0908021a020801c00c071003"
"""Field 1, nine bytes: device_type 2, ports (3) of two bytes, device_identifier (200) 7; then field 2: 3."""
HEAD = (
    "HEAD = '_b _descriptor _message _reflection _sym_db _symbol_database descriptor_pb2 enum_type_wrapper sys'.split()"
)


def test_messages_of_several_files_go_around_in_protobufs_c_implementation(wheel):
    assert run(wheel, HEAD + ROUND_TRIP).startswith(f"{BYTES} upb ")


def test_they_are_what_the_old_files_give_where_they_can_run(wheel):
    """Pure Python is the only protobuf of today that runs the old files."""
    ran = bare(wheel, HEAD + ROUND_TRIP, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python")
    assert ran.startswith(f"{BYTES} python ")
    assert ran.replace("python", "upb") == run(wheel, HEAD + ROUND_TRIP)


def test_they_load_in_pure_python_too(wheel):
    said = run(wheel, HEAD + ROUND_TRIP, PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION="python")
    assert said.startswith(f"{BYTES} python ")


def test_the_module_has_what_the_old_file_defined(wheel):
    said = run(
        wheel,
        """
        from kortex_api.autogen.messages import DeviceManager_pb2 as manager, Common_pb2 as common
        print(common._DEVICETYPES.values_by_number[2].name, common.DeviceTypes.Name(1), common.BASE)
        print(common._DEVICEHANDLE_PORT_SPEED.full_name, common.DeviceHandle.Port.FAST)
        print(common.DESCRIPTOR.name, manager.DESCRIPTOR.package, common.DeviceHandle.__module__)
        print(manager.DeviceHandle is common.DeviceHandle, manager.VISION, hasattr(manager, "ERROR_DEVICE"))
        print(manager.Common__pb2 is common, manager.Errors__pb2.ERROR_DEVICE)
        print(common.__file__)
        """,
    )
    assert said.splitlines() == [
        "VISION BASE 1",
        "Kinova.Api.Common.DeviceHandle.Port.Speed 1",
        "Common.proto Kinova.Api.DeviceManager kortex_api.autogen.messages.Common_pb2",
        "True 2 False",
        "True 3",
        str(message_file(wheel, "Common_pb2")),
    ]


def test_the_old_file_is_never_run_and_never_written(wheel):
    path = message_file(wheel, "Common_pb2")
    path.write_text(path.read_text() + "\nraise SystemExit('was run')\n")
    before = path.read_bytes(), sorted(wheel.rglob("*"))
    assert run(wheel, "from kortex_api.autogen.messages import Common_pb2; print(Common_pb2.BASE)") == "1\n"
    assert (path.read_bytes(), sorted(wheel.rglob("*"))) == before


def test_the_whole_vocabulary_of_a_driver_loads_beside_our_own(tmp_path):
    install(tmp_path, old_modules(*vocabulary()))
    twist = Base.TwistCommand(reference_frame=3)
    twist.twist.angular_z = 5.0
    feedback = BaseCyclic.Feedback(frame_id=1)
    feedback.interconnect.gripper_feedback.motor.add(position=50.0)
    said = run(
        tmp_path,
        f"""
        from vla_ros.twin.kortex.messages import Base
        from kortex_api.autogen.messages import Base_pb2, BaseCyclic_pb2, ControlConfig_pb2, DeviceManager_pb2, Frame_pb2
        twist = Base_pb2.TwistCommand.FromString({twist.SerializeToString()!r})
        feedback = BaseCyclic_pb2.Feedback.FromString({feedback.SerializeToString()!r})
        print(twist.twist.angular_z, feedback.interconnect.gripper_feedback.motor[0].position)
        print(Base.Twist.DESCRIPTOR.full_name == Base_pb2.Twist.DESCRIPTOR.full_name, Base.Twist is Base_pb2.Twist)
        print(Base_pb2.ARMSTATE_IN_FAULT, Frame_pb2.ERROR_DEVICE, Base_pb2.ActionEvent.Name(1))
        """,
    )
    assert said.splitlines() == ["5.0 50.0", "True False", "4 3 ACTION_END"]


COMPARE = """
import importlib
from vla_ros.twin.kortex.messages import POOL, TABLES
def told(kind):
    return {(f.name, f.number, f.type, f.is_repeated) for f in kind.fields}
for table in TABLES:
    theirs = importlib.import_module("kortex_api.autogen.messages." + table.file.replace(".proto", "_pb2")).DESCRIPTOR
    for name, kind in POOL.FindFileByName(table.file).message_types_by_name.items():
        for wrong in sorted(told(kind) - told(theirs.message_types_by_name[name])):
            print(name, *wrong[:2])
    for name, kind in POOL.FindFileByName(table.file).enum_types_by_name.items():
        values = {(v.name, v.number) for v in theirs.enum_types_by_name[name].values}
        print(*[name for v in kind.values if (v.name, v.number) not in values], end="")
"""
"""Prints what our tables say and the installed wheel does not: what is new in the wheel does not count."""


@pytest.mark.skipif(importlib.util.find_spec("kortex_api") is None, reason="the vendor's wheel is not installed")
def test_our_tables_agree_with_the_installed_wheel(tmp_path):
    assert run(tmp_path, COMPARE) == ""


def test_the_comparison_with_a_wheel_finds_another_number(tmp_path):
    files = vocabulary()
    session = next(file for file in files if file.name == "Session.proto")
    session.message_type[0].field[3].number = 5
    install(tmp_path, old_modules(*files))
    assert run(tmp_path, COMPARE) == "CreateSessionInfo connection_inactivity_timeout 4\n"


def test_onnxruntime_and_onnx_work_in_the_same_process(wheel):
    pytest.importorskip("onnx")
    said = run(
        wheel,
        """
        from kortex_api.autogen.messages import DeviceManager_pb2
        import numpy as np, onnx, onnxruntime
        from onnx import TensorProto, helper
        value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])
        graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", [value("x")], [value("y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": np.array([1, 2], np.float32)})
        from kortex_api.autogen.messages import Common_pb2
        handle = Common_pb2.DeviceHandle(device_identifier=int(y[1]))
        print(y.tolist(), Common_pb2.DeviceHandle.FromString(handle.SerializeToString()).device_identifier)
        """,
    )
    assert said == "[2.0, 4.0] 4\n"


def test_files_of_a_newer_protoc_load_as_usual_among_old_ones(tmp_path):
    new = {"Errors_pb2": new_file(errors()), "DeviceManager_pb2": new_file(manager())}
    install(tmp_path, {"Common_pb2": old_file(common())} | new)
    said = run(
        tmp_path,
        """
        from kortex_api.autogen.messages import DeviceManager_pb2 as manager, Errors_pb2
        print(manager.DeviceHandles(error=Errors_pb2.ERROR_DEVICE).SerializeToString().hex(), manager.VISION)
        print(type(manager.__loader__).__name__, type(manager.Common__pb2.__loader__).__name__)
        """,
    )
    assert said.splitlines() == ["1003 2", "SourceFileLoader _Loader"]


def test_it_installs_once_and_can_be_undone(wheel):
    said = run(
        wheel,
        """
        import sys
        install()
        print(sum(type(finder).__module__ == "vla_ros.arms.kortex_protobuf" for finder in sys.meta_path))
        from kortex_api.autogen.messages import Errors_pb2
        uninstall()
        uninstall()
        print(sum(type(finder).__module__ == "vla_ros.arms.kortex_protobuf" for finder in sys.meta_path))
        print(Errors_pb2.ERROR_DEVICE)
        try:
            from kortex_api.autogen.messages import Common_pb2
        except TypeError as error:
            print(str(error).split(" ")[0])
        install()
        from kortex_api.autogen.messages import Common_pb2
        print(Common_pb2.BASE)
        """,
    )
    assert said.split() == ["1", "0", "3", "Descriptors", "1"]


def test_a_reload_gives_the_same_messages(wheel):
    said = run(
        wheel,
        """
        import importlib
        from kortex_api.autogen.messages import Common_pb2
        handle = Common_pb2.DeviceHandle
        importlib.reload(Common_pb2)
        print(Common_pb2.DeviceHandle.DESCRIPTOR is handle.DESCRIPTOR)
        """,
    )
    assert said == "True\n"


def test_other_modules_are_none_of_its_business(wheel):
    (wheel / "Common_pb2.py").write_text("found = 'elsewhere'\n")
    (wheel / "kortex_api" / "BitMaskTools.py").write_text("found = 'beside'\n")
    message_file(wheel, "helpers").write_text("found = 'among'\n")
    code = "import Common_pb2 as a, kortex_api.BitMaskTools as b, kortex_api.autogen.messages.helpers as c\n"
    assert run(wheel, code + "print(a.found, b.found, c.found)") == "elsewhere beside among\n"


@pytest.mark.parametrize(("absent", "said"), [("kortex_api", "kortex_api: not"), ("deprecated", "deprecated: not")])
def test_a_missing_wheel_is_said_with_what_to_do(wheel, absent, said):
    for path in sorted((wheel / absent).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (wheel / absent).rmdir()
    blocked = f"import importlib.util as u; find = u.find_spec; u.find_spec = lambda n: None if n == '{absent}' else find(n)\n"
    complaint = bare(wheel, blocked + "from vla_ros.arms.kortex_protobuf import install\ninstall()")
    assert f"KortexSdkError: {said} installed" in complaint
    assert "pip install --no-deps kortex_api-*.whl deprecated" in complaint
    assert "https://artifactory.kinovaapps.com" in complaint


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("DESCRIPTOR = _descriptor.FileDescriptor(name='x', serialized_pb=_b('\\n", "it is not Python"),
        ("DESCRIPTOR = 3\n", "makes no DESCRIPTOR"),
        ("", "makes no DESCRIPTOR"),
        ("DESCRIPTOR = something(serialized_pb=b'')\n", "makes no DESCRIPTOR"),
        ("DESCRIPTOR = _descriptor.FileDescriptor(name='x')\n", "no literal serialized_pb"),
        ("DESCRIPTOR = _descriptor.FileDescriptor(serialized_pb=open('x').read())\n", "no literal serialized_pb"),
        ("DESCRIPTOR = _descriptor.FileDescriptor(serialized_pb=_b('\\u20ac'))\n", "no literal serialized_pb"),
        ("DESCRIPTOR = _descriptor.FileDescriptor(serialized_pb=_b('\\xff\\xff'))\n", "its descriptor cannot be read"),
        ("DESCRIPTOR = _descriptor.FileDescriptor(serialized_pb=b'')\n", "descriptor of '', another file's"),
    ],
)
def test_a_broken_or_foreign_file_is_named_with_what_is_wrong(wheel, source, said):
    path = message_file(wheel, "Common_pb2")
    path.write_text(source, encoding="utf-8")
    complaint = run(wheel, "from kortex_api.autogen.messages import DeviceManager_pb2").splitlines()[-1]
    assert f"{path}: " in complaint
    assert said in complaint
    assert "Install it anew" in complaint


def test_a_file_of_another_name_is_refused(wheel):
    message_file(wheel, "Common_pb2").write_text(old_file(errors()))
    assert "holds the descriptor of 'Errors.proto'" in run(wheel, "from kortex_api.autogen.messages import Common_pb2")


def test_a_missing_import_is_named(wheel):
    message_file(wheel, "Errors_pb2").unlink()
    complaint = run(wheel, "from kortex_api.autogen.messages import DeviceManager_pb2")
    assert "imports 'Errors.proto', whose module kortex_api.autogen.messages.Errors_pb2 is not there" in complaint


def test_what_an_import_itself_lacks_is_not_blamed_on_it(wheel):
    message_file(wheel, "Errors_pb2").write_text("import not_there_at_all\n" + new_file(errors()))
    complaint = run(wheel, "from kortex_api.autogen.messages import DeviceManager_pb2")
    assert complaint.splitlines()[-1] == "ModuleNotFoundError: No module named 'not_there_at_all'"


def test_a_name_that_another_package_has_taken_is_said(wheel):
    taken = FileDescriptorProto(name="Common.proto", package="somebody.else").SerializeToString()
    complaint = run(
        wheel,
        f"""
        from google.protobuf import descriptor_pool
        descriptor_pool.Default().AddSerializedFile({taken!r})
        from kortex_api.autogen.messages import Common_pb2
        """,
    )
    assert "another package of this process has registered" in complaint


def test_the_literal_is_the_same_however_python_writes_it():
    raw = bytes(range(256))
    text = raw.decode("latin-1")
    for literal in f"_b({text!r})", repr(raw), f"_b({text[:9]!r} {text[9:]!r})":
        assert lift(f"DESCRIPTOR = _descriptor.FileDescriptor(name='x', serialized_pb={literal})", "x") == raw


def test_its_errors_are_the_arms_and_pythons():
    with pytest.raises(ArmError) as raised:
        lift("", "x")
    assert isinstance(raised.value, KortexSdkError)
    assert isinstance(raised.value, ImportError)
