"""The policy: its bundle, its engine, and the GPU where it asks for one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from vla_ros.commands.doctor import shell
from vla_ros.commands.doctor.check import Check, Group, Probe
from vla_ros.config import Config

POLICY = Group("policy")
_PROVIDERS = "import json, onnxruntime as o; print(json.dumps([o.__version__, o.get_available_providers()]))"
_MODULES = {"onnxruntime": "onnxruntime", "tensorrt": "tensorrt", "torch": "torch"}


def probes(config: Config) -> list[Probe]:
    """The looks at bundle, engine and GPU."""
    return [
        Probe("policy", "bundle", lambda: [bundle(config)]),
        Probe("policy", "engine", lambda: [judge_engine(engine(), config)], 25.0),
        Probe("policy", "GPU", lambda: [gpu(config)], 15.0),
    ]


def bundle(config: Config) -> Check:
    """Load its manifest, with every file's hash, and hold it against the configuration."""
    from vla_ros.policy.manifest import BundleError, check, load_manifest
    from vla_ros.policy.policy import check_spec, find_bundle, is_bundle

    spec = config.policy.bundle
    if not is_bundle(spec):
        problem = check_spec(spec, config)
        leads = "leads the tool there" if spec.startswith("constant:") else "leads the tool along a recorded episode"
        return (
            POLICY.failure("bundle", problem, "as it says")
            if problem
            else POLICY.ok("bundle", f"{spec}: no model, {leads}")
        )
    try:
        manifest = load_manifest(find_bundle(spec))
        check(manifest, config)
    except BundleError as error:
        return POLICY.failure("bundle", str(error), "as it says")
    cameras = ", ".join(camera.name for camera in manifest.cameras)
    return POLICY.ok("bundle", f"{spec} fits robot and cameras ({cameras})")


@dataclass(frozen=True)
class EngineFacts:
    """ONNX Runtime's version and providers; `error` is why it cannot be asked."""

    version: str = ""
    providers: Sequence[str] = ()
    error: str = ""


def engine() -> EngineFacts:
    """Ask ONNX Runtime, in a process of its own."""
    answer = shell.ask_python(sys.executable, _PROVIDERS, 20.0)
    said = shell.document(answer)
    if not isinstance(said, list):
        return EngineFacts(error=answer.last or "no answer")
    return EngineFacts(said[0], tuple(said[1]))


_PROVIDER = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def judge_engine(facts: EngineFacts, config: Config) -> Check:
    """The engine that the configuration names can run on the device that it names."""
    if config.policy.engine != "onnxruntime":
        remedy = "policy.engine=onnxruntime"
        return POLICY.failure("engine", f"{config.policy.engine} is not in this version", remedy)
    if facts.error:
        return POLICY.failure("engine", f"onnxruntime: {facts.error}", "pip install onnxruntime")
    text = f"onnxruntime {facts.version} on {config.policy.device}"
    if _PROVIDER[config.policy.device] not in facts.providers:
        there = ", ".join(name.removesuffix("ExecutionProvider") for name in facts.providers)
        remedy = "pip uninstall onnxruntime && pip install 'vla_ros[gpu]', or policy.device=cpu"
        return POLICY.failure("engine", f"{text}: it has only {there}", remedy)
    return POLICY.ok("engine", text)


def gpu(config: Config) -> Check:
    """The GPU by nvidia-smi, where one is asked for."""
    if config.policy.device != "cuda":
        return POLICY.unused("GPU", "policy.device is cpu")
    fields = "name,driver_version,memory.total,memory.used"
    return judge_gpu(shell.ask(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"], 10.0))


def judge_gpu(answer: shell.Answer) -> Check:
    """nvidia-smi lists one."""
    if answer.status is None:
        return POLICY.failure("GPU", answer.error, "install NVIDIA's driver, or policy.device=cpu")
    if answer.status or not answer.out.strip():
        remedy = "NVIDIA's driver does not run: `sudo dmesg | grep -i nvrm`, start the machine again"
        return POLICY.failure("GPU", answer.last or "nvidia-smi lists none", remedy)
    return POLICY.ok("GPU", "; ".join(line.strip() for line in answer.out.strip().splitlines()))
