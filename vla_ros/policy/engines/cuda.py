"""The GPU, by the few calls that an engine needs: memory, copies, one stream, captured graphs.

They go straight to the driver's own library (libcuda.so.1), whose functions keep their binary interface for good and which is there
wherever a GPU works, on a Jetson as well; torch would be two gigabytes for the same calls, and cuda-python must fit the driver's
version. TensorRT and ONNX Runtime work in the device's primary context, which is the one used here (CUDA driver API, "Primary
Context Management", "Stream Management", "Graph Management").
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path
from typing import Any

from vla_ros.policy.engines.engine import EngineError

LIBRARY = "libcuda.so.1"
_BLOCKING_SYNC = 4  # CU_CTX_SCHED_BLOCKING_SYNC: a waiting thread that spins takes a core from the servo
_CONTEXT_ACTIVE = 708  # CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, of drivers before CUDA 11
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: does not wait for the default stream
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_…

_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxSetFlags_v2": (c_int, c_uint),
    "cuDevicePrimaryCtxRetain": (POINTER(c_void_p), c_int),
    "cuCtxSetCurrent": (c_void_p,),
    "cuStreamCreate": (POINTER(c_void_p), c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemAllocHost_v2": (POINTER(c_void_p), c_size_t),
    "cuMemFreeHost": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuMemcpyDtoDAsync_v2": (c_uint64, c_uint64, c_size_t, c_void_p),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, POINTER(c_void_p)),
    "cuGraphInstantiateWithFlags": (POINTER(c_void_p), c_void_p, c_uint64),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphLaunch": (c_void_p, c_void_p),
}


class Memory:
    """`size` bytes at `pointer`, on the GPU or, pinned, on the host. Freed with the object."""

    def __init__(self, pointer: int, size: int, free: Callable[[int], object]) -> None:
        self.pointer, self.size = pointer, size
        weakref.finalize(self, free, pointer).atexit = False  # the driver ends by itself


class Recording:
    """Work that was captured, to be launched as one."""

    def __init__(self, handle: int, free: Callable[[int], object]) -> None:
        self.handle = handle
        weakref.finalize(self, free, handle).atexit = False


class Gpu:
    """The first GPU and a stream of its own. To be used by a thread that has entered it. Raises EngineError where there is none."""

    def __init__(self) -> None:
        self._driver = _load()
        _check(self._driver, "cuInit", 0)
        if self._number("cuDeviceGetCount") == 0:
            raise EngineError(f"the NVIDIA driver shows no GPU. {_ELSEWHERE}")
        device = self._number("cuDeviceGet", 0)
        major, minor = (self._number("cuDeviceGetAttribute", which, device) for which in (_MAJOR, _MINOR))
        name = ctypes.create_string_buffer(256)
        _check(self._driver, "cuDeviceGetName", name, len(name), device)
        self.name = name.value.decode()
        self.target = f"sm_{major}{minor}"
        self.driver = _driver_version() or f"CUDA {self._number('cuDriverGetVersion')}"
        self._context = _context(self._driver, device)
        self.enter()
        self.stream = self._pointer("cuStreamCreate", _NON_BLOCKING)

    def enter(self) -> None:
        """Make this thread one that uses the GPU."""
        _check(self._driver, "cuCtxSetCurrent", self._context)

    def allocate(self, size: int) -> Memory:
        """Memory on the GPU."""
        pointer = c_uint64()
        _check(self._driver, "cuMemAlloc_v2", ctypes.byref(pointer), size)
        return Memory(pointer.value, size, self._freeing("cuMemFree_v2"))

    def pin(self, size: int) -> Memory:
        """Memory on the host that the GPU reads and writes by itself."""
        pointer = c_void_p()
        _check(self._driver, "cuMemAllocHost_v2", ctypes.byref(pointer), size)
        return Memory(pointer.value or 0, size, self._freeing("cuMemFreeHost"))

    def upload(self, source: Memory, target: Memory) -> None:
        """From pinned memory to the GPU, in the stream."""
        _check(self._driver, "cuMemcpyHtoDAsync_v2", target.pointer, source.pointer, source.size, self.stream)

    def download(self, source: Memory, target: Memory) -> None:
        """From the GPU to pinned memory, in the stream."""
        _check(self._driver, "cuMemcpyDtoHAsync_v2", target.pointer, source.pointer, source.size, self.stream)

    def copy(self, source: Memory, target: Memory) -> None:
        """On the GPU, in the stream."""
        _check(self._driver, "cuMemcpyDtoDAsync_v2", target.pointer, source.pointer, source.size, self.stream)

    def wait(self) -> None:
        """Until the stream is done."""
        _check(self._driver, "cuStreamSynchronize", self.stream)

    def record(self, work: Callable[[], object]) -> Recording:
        """What `work` puts into the stream, as one CUDA graph; it does not run yet."""
        graph = c_void_p()
        _check(self._driver, "cuStreamBeginCapture_v2", self.stream, _THREAD_LOCAL)
        try:
            work()
        finally:  # a capture that is left open breaks every later call
            status = self._driver.cuStreamEndCapture(self.stream, ctypes.byref(graph))
        _raise(self._driver, "cuStreamEndCapture", status)
        try:
            handle = self._pointer("cuGraphInstantiateWithFlags", graph, 0)
        finally:
            self._driver.cuGraphDestroy(graph)
        return Recording(handle, self._freeing("cuGraphExecDestroy"))

    def launch(self, recording: Recording) -> None:
        """Put a recording into the stream."""
        _check(self._driver, "cuGraphLaunch", recording.handle, self.stream)

    def _freeing(self, function: str) -> Callable[[int], object]:
        """What frees by `function`, in whichever thread the last holder lets go."""

        def free(pointer: int) -> None:
            self.enter()
            getattr(self._driver, function)(pointer)

        return free

    def _number(self, function: str, *arguments: Any) -> int:
        value = c_int()
        _check(self._driver, function, ctypes.byref(value), *arguments)
        return value.value

    def _pointer(self, function: str, *arguments: Any) -> int:
        value = c_void_p()
        _check(self._driver, function, ctypes.byref(value), *arguments)
        return value.value or 0


_opened = functools.cache(Gpu)


def open_gpu() -> Gpu:
    """The first GPU (CUDA_VISIBLE_DEVICES chooses), opened once, for this thread. Raises EngineError where there is none."""
    gpu = _opened()
    gpu.enter()
    return gpu


def find_gpu() -> Gpu | None:
    """The first GPU, or None."""
    try:
        return open_gpu()
    except EngineError:
        return None


_ELSEWHERE = "Use a machine with a GPU and its driver, or set policy.engine: onnxruntime and policy.device: cpu."


def _load() -> Any:
    try:
        driver = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise EngineError(f"this machine has no GPU that CUDA can use: {error}. {_ELSEWHERE}") from None
    for name, arguments in _ARGUMENTS.items():
        getattr(driver, name).argtypes = arguments
    return driver


def _context(driver: Any, device: int) -> c_void_p:
    """The device's primary context; who waits in it sleeps."""
    status = driver.cuDevicePrimaryCtxSetFlags_v2(device, _BLOCKING_SYNC)
    if status != _CONTEXT_ACTIVE:
        _raise(driver, "cuDevicePrimaryCtxSetFlags_v2", status)
    context = c_void_p()
    _check(driver, "cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    return context


def _driver_version() -> str:
    """The kernel module's version, such as 580.65.06; empty where it does not tell."""
    try:
        return Path("/sys/module/nvidia/version").read_text().strip()
    except OSError:
        return ""


def _check(driver: Any, function: str, *arguments: Any) -> None:
    _raise(driver, function, getattr(driver, function)(*arguments))


def _raise(driver: Any, function: str, status: int) -> None:
    if status == 0:
        return
    text = c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    said = (text.value or b"unknown error").decode()
    raise EngineError(f"CUDA's {function} failed: {said} ({status}). See nvidia-smi and the kernel's log.")
