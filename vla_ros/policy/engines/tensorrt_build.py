"""From a graph to a TensorRT engine. Types are what the graph says (strongly typed): no precision is chosen behind its back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vla_ros.policy.engines.engine import EngineError
from vla_ros.policy.engines.tensorrt_library import Library, make_log
from vla_ros.policy.manifest import Graph

FIRST_TARGET = {"BF16": 80, "FP8": 89, "FP4": 100}
"""The first compute capability that has a type (NVIDIA, "Support Matrix" of TensorRT): Ampere, Ada, Blackwell."""
_NAMED = 3
"""Offending nodes that an error names; where there is one there are often a hundred of its kind."""
_NAMES = {"float32": "FLOAT", "float16": "HALF", "uint8": "UINT8", "int64": "INT64", "bool": "BOOL"}


@dataclass(frozen=True)
class _Parsed:
    """The parser is kept because the network's weights lie in its memory."""

    builder: Any
    network: Any
    parser: Any
    log: Any


def build(
    library: Library, path: Path, name: str, graph: Graph, targets: Sequence[str], timing: Path | None = None
) -> memoryview:
    """The serialized engine of `graph`, called `name` in the manifest, whose file is `path`.

    `targets`, such as sm_89, are what a library that builds ahead builds for; the other one builds for the GPU that is here and keeps
    in the file `timing` what it measured. Raises EngineError, with the offending node, where the graph cannot become an engine.
    """
    parsed = _parse(library, path, name)
    _check_ports(parsed.network, name, graph)
    _check_types(parsed.network, name, targets)
    _let_attention_fall_apart(library.module, parsed.network)
    config = parsed.builder.create_builder_config()
    if library.ahead:
        _aim(library, config, targets)
    elif timing is not None:
        known = timing.read_bytes() if timing.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    plan = parsed.builder.build_serialized_network(parsed.network, config)
    if plan is None:
        raise EngineError(
            f"graphs.{name} does not build for {', '.join(targets)} with {library.name} {library.version}: "
            f"{_last(parsed.log.errors)}. Import the policy with another --precision, or choose another --target."
        )
    if not library.ahead and timing is not None:
        timing.parent.mkdir(parents=True, exist_ok=True)
        timing.write_bytes(memoryview(config.get_timing_cache().serialize()))
    return memoryview(plan).cast("B")


def _parse(library: Library, path: Path, name: str) -> _Parsed:
    trt, log = library.module, make_log(library.module)
    builder = trt.Builder(log)
    # 10 wants to be told; 11 and RTX know no other kind
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        reasons = [_reason(parser.get_error(i)) for i in range(parser.num_errors)] or [_last(log.errors)]
        more = f" and {len(reasons) - _NAMED} nodes more" if len(reasons) > _NAMED else ""
        raise EngineError(
            f"graphs.{name}: {library.name} {library.version} cannot take {path.name}: {'; '.join(reasons[:_NAMED])}{more}. "
            "Write the network without it, or set policy.engine: onnxruntime."
        )
    return _Parsed(builder, network, parser, log)


def _reason(error: Any) -> str:
    node, operator = error.node_name(), error.node_operator()
    why = str(error.desc()).replace(
        "false", "there is nothing that computes it"
    )  # all it says of an operator it does not know
    return f"node {node} ({operator}): {why}" if operator else why


def _last(errors: Sequence[str]) -> str:
    return errors[-1] if errors else "no reason given"


def _check_ports(network: Any, name: str, graph: Graph) -> None:
    """Inputs and outputs are the manifest's."""
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    given = {t.name: (tuple(t.shape), t.dtype.name) for t in inputs}
    wanted = {t.name: (t.shape, _NAMES[t.dtype]) for t in graph.inputs}
    if given != wanted:
        raise EngineError(
            f"graphs.{name}.inputs: the manifest says {wanted}, the graph takes {given}. Export the policy again."
        )
    outputs = [network.get_output(i).name for i in range(network.num_outputs)]
    if outputs != list(graph.outputs):
        raise EngineError(
            f"graphs.{name}.outputs: the manifest says {list(graph.outputs)}, the graph gives {outputs}. Export the policy again."
        )


def _check_types(network: Any, name: str, targets: Sequence[str]) -> None:
    """Every target has the types that the graph computes in."""
    used = {layer.get_output(i).dtype.name for layer in _layers(network) for i in range(layer.num_outputs)}
    for kind, first in FIRST_TARGET.items():
        short = [target for target in targets if int(target.removeprefix("sm_")) < first]
        if kind in used and short:
            raise EngineError(
                f"graphs.{name} computes in {kind.lower()}, which {', '.join(short)} cannot: it begins with sm_{first}. "
                "Import the policy again with --precision fp16 or fp32, or choose another --target."
            )


def _let_attention_fall_apart(trt: Any, network: Any) -> None:
    """Fused attention has no kernel in float32 (opset 23's Attention): there it may become the operations it is made of."""
    if not hasattr(trt, "IAttentionInputLayer"):  # TensorRT 10 makes them itself
        return
    for layer in _layers(network):
        if layer.type == trt.LayerType.ATTENTION_INPUT and layer.get_input(0).dtype == trt.float32:
            layer.__class__ = trt.IAttentionInputLayer  # get_layer gives the base class
            layer.attention.decomposable = True


def _aim(library: Library, config: Any, targets: Sequence[str]) -> None:
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        capability = getattr(library.module.ComputeCapability, target.upper().replace("_", ""))
        config.set_compute_capability(capability, index)


def _layers(network: Any) -> Iterator[Any]:
    return (network.get_layer(i) for i in range(network.num_layers))
