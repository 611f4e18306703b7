"""The vendor's Kortex messages under today's protobuf, in one process with onnx and onnxruntime.

Kinova's `kortex_api` wheel holds message modules that protoc 3.5 wrote. Such a file builds its descriptors by hand, field
by field, which protobuf refuses since 4.21 ("Descriptors cannot be created directly") unless it runs as pure Python, a
hundred times slower and for every user of protobuf in the process; and onnx needs protobuf 6. But each file also holds its
whole descriptor as one serialized literal. After `install()`, importing `kortex_api.autogen.messages.*_pb2` reads that
literal from the file (as text: it is parsed, never run), and protobuf builds the messages from it as it does for a newly
generated file. The vendor's files stay as they are, and files of protoc 3.19 and later load as usual.

What an old file defines is all there: messages, enums and their values, nested ones as attributes, the names of public
imports, the modules it imports (`Common__pb2`) and the private descriptors (`_DEVICETYPES`) that Kinova's examples use.
The form of the old files: src/google/protobuf/compiler/python/generator.cc of protobuf 3.5.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from vla_ros.arms.arm import ArmError

MESSAGES = "kortex_api.autogen.messages"
"""The vendor's package of generated modules."""
WHEEL = (
    "Kinova's kortex_api is not on PyPI: take the wheel that goes with the robot's firmware from "
    "https://artifactory.kinovaapps.com/artifactory/generic-public/kortex/API/ and run "
    "`pip install --no-deps kortex_api-*.whl deprecated wrapt` (--no-deps, as it pins a protobuf that onnx cannot load)"
)
AGAIN = f"Install it anew: {WHEEL}"


class KortexSdkError(ArmError, ImportError):
    """The vendor's SDK is missing, damaged or not what it should be. The text says which file and what to do."""


def install() -> None:
    """Let the vendor's message modules be imported; once is enough. Raises KortexSdkError where the wheel is missing."""
    missing = [name for name in ("kortex_api", "deprecated") if importlib.util.find_spec(name) is None]
    if missing:
        raise KortexSdkError(f"{' and '.join(missing)}: not installed for {sys.executable}. {WHEEL}")
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def uninstall() -> None:
    """Undo `install()`. Modules that are already imported stay."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def lift(source: str, where: str) -> bytes | None:
    """The serialized FileDescriptorProto in the source of an old generated file; None for a file of a newer protoc.

    `where` names the file in errors. Raises KortexSdkError for what is no generated file.
    """
    call = _descriptor_call(source, where)
    called = "" if call is None else ast.unparse(call.func).rpartition(".")[2]
    if call is not None and called == "FileDescriptor":
        return _literal(call, where)
    if called == "AddSerializedFile":
        return None
    raise KortexSdkError(f"{where}: not a file that protoc generated: it makes no DESCRIPTOR. {AGAIN}")


def _descriptor_call(source: str, where: str) -> ast.Call | None:
    """The call whose result a generated file names DESCRIPTOR."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError) as error:
        raise KortexSdkError(f"{where}: damaged, it is not Python: {error}. {AGAIN}") from error
    for statement in statements:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
            target = statement.targets[0]
            if isinstance(target, ast.Name) and target.id == "DESCRIPTOR":
                return statement.value
    return None


def _literal(call: ast.Call, where: str) -> bytes:
    """The bytes of `serialized_pb=`, written as b'…' or, for Python 2 and 3 at once, as _b('…')."""
    value = next((keyword.value for keyword in call.keywords if keyword.arg == "serialized_pb"), None)
    if isinstance(value, ast.Call) and len(value.args) == 1:
        value = value.args[0]
    if isinstance(value, ast.Constant) and isinstance(value.value, bytes):
        return value.value
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and all(ord(c) < 256 for c in value.value):
        return value.value.encode("latin-1")
    raise KortexSdkError(f"{where}: its descriptor has no literal serialized_pb to read. {AGAIN}")


class _Finder(MetaPathFinder):
    """Finds the vendor's old message modules where Python would, and gives them another loader."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an old message module; None leaves the import to Python's own finders."""
        package, _, name = fullname.rpartition(".")
        if package != MESSAGES or not name.endswith("_pb2"):
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or not isinstance(spec.loader, InspectLoader):
            return None
        source = spec.loader.get_source(fullname)
        serialized = None if source is None else lift(source, str(spec.origin))
        if serialized is not None:
            spec.loader = _Loader(serialized, str(spec.origin))
        return spec


class _Loader(Loader):
    """Fills a message module from its serialized descriptor."""

    def __init__(self, serialized: bytes, where: str) -> None:
        self._serialized = serialized
        self._where = where

    def exec_module(self, module: ModuleType) -> None:
        """Define what the old file would have defined. Raises KortexSdkError."""
        from google.protobuf.internal import builder

        file = _parsed(self._serialized, module.__name__, self._where)
        imported = [_import(name, self._where) for name in file.dependency]
        names = vars(module)
        for index in file.public_dependency:
            names.update({name: value for name, value in vars(imported[index]).items() if not name.startswith("_")})
        names.update({_alias(other): other for other in imported})
        names["DESCRIPTOR"] = _registered(self._serialized, self._where)
        builder.BuildMessageAndEnumDescriptors(names["DESCRIPTOR"], names)
        builder.BuildTopDescriptorsAndMessages(names["DESCRIPTOR"], module.__name__, names)


_FINDER = _Finder()


def _parsed(serialized: bytes, module: str, where: str) -> Any:
    """The FileDescriptorProto of this module. Raises KortexSdkError if it is broken or another module's."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError

    try:
        file = FileDescriptorProto.FromString(serialized)
    except DecodeError as error:
        raise KortexSdkError(f"{where}: damaged, its descriptor cannot be read: {error}. {AGAIN}") from error
    if _module(file.name) != module:
        raise KortexSdkError(f"{where}: holds the descriptor of {file.name!r}, another file's. {AGAIN}")
    return file


def _module(proto: str) -> str:
    """The module that protoc makes of a .proto file: the vendor's are all in one package."""
    stem = proto.removesuffix(".proto").replace("-", "_").replace("/", ".")
    return f"{stem}_pb2" if stem.startswith("google.protobuf.") else f"{MESSAGES}.{stem}_pb2"


def _import(proto: str, where: str) -> ModuleType:
    """The module of a file that another imports. Raises KortexSdkError if it is not there."""
    name = _module(proto)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise KortexSdkError(f"{where}: imports {proto!r}, whose module {name} is not there. {AGAIN}") from error


def _alias(module: ModuleType) -> str:
    """What a generated file calls a module that it imports: Common_pb2 is Common__pb2."""
    return module.__name__.removeprefix(f"{MESSAGES}.").replace("_", "__").replace(".", "_dot_")


def _registered(serialized: bytes, where: str) -> Any:
    """The file's descriptor in protobuf's default pool; the same file twice is one. Raises KortexSdkError."""
    from google.protobuf import descriptor_pool

    try:
        return descriptor_pool.Default().AddSerializedFile(serialized)
    except TypeError as error:  # what protobuf raises for a file at odds with what the pool holds
        raise KortexSdkError(
            f"{where}: protobuf refuses its descriptor: {error}. Either the file is damaged or another package of this "
            "process has registered a file or message of that name: import kortex_api in a process of its own"
        ) from error
