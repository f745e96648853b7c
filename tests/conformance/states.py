#!/usr/bin/env python3
"""Makes models that take their own outputs as inputs of the next call, and records in `tests/data/states` what ONNX Runtime computes with them over several calls, the
outputs carried from call to call by hand. `<model>.npz` holds `in:NAME` and `out:NAME`, one call after another along a first axis of its own.

Needs numpy, onnx and onnxruntime. The values are drawn with a fixed seed; the files change only where this one does.
"""

import io
import pathlib
import zipfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "states"
RANDOM = np.random.default_rng(17)
CALLS = 6
FLOAT, INT, BYTE = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8


def noise(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 0.6, shape).astype(np.float32)


def constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return numpy_helper.from_array(value, name)


def listener() -> tuple[onnx.ModelProto, dict[str, str]]:
    """A causal convolution that keeps the end of the sound, and an LSTM that keeps both of its states, as detectors of voices have them."""
    node = helper.make_node
    nodes = [
        node("Concat", ["tail", "audio"], ["sound"], axis=2),
        node("Slice", ["sound", "from", "to", "last"], ["tail_n"]),
        node("Conv", ["sound", "taps", "bias"], ["heard"]),
        node("Relu", ["heard"], ["active"]),
        node("Transpose", ["active"], ["steps"], perm=[2, 0, 1]),
        node("LSTM", ["steps", "w", "r", "b", "", "h", "c"], ["", "hn", "cn"], hidden_size=4),
        node("Reshape", ["hn", "flat"], ["row"]),
        node("Gemm", ["row", "weight", "offset"], ["logit"]),
        node("Sigmoid", ["logit"], ["score"]),
    ]
    tensors = [
        constant("from", np.array([16])),
        constant("to", np.array([18])),
        constant("last", np.array([2])),
        constant("taps", noise(3, 1, 3)),
        constant("bias", noise(3)),
        constant("w", noise(1, 16, 3)),
        constant("r", noise(1, 16, 4)),
        constant("b", noise(1, 32)),
        constant("flat", np.array([1, 4])),
        constant("weight", noise(4, 1) * 3),
        constant("offset", noise(1)),
    ]
    value = helper.make_tensor_value_info
    inputs = [value("audio", FLOAT, [1, 1, 16]), value("h", FLOAT, [1, 1, 4]), value("c", FLOAT, [1, 1, 4]), value("tail", FLOAT, [1, 1, 2])]
    outputs = [value("score", FLOAT, [1, 1]), value("hn", FLOAT, [1, 1, 4]), value("cn", FLOAT, [1, 1, 4]), value("tail_n", FLOAT, [1, 1, 2])]
    graph = helper.make_graph(nodes, "listener", inputs, outputs, tensors)
    return model(graph), {"h": "hn", "c": "cn", "tail": "tail_n"}


def odd() -> tuple[onnx.ModelProto, dict[str, str]]:
    """States that change places, a state that becomes a constant, a count of 64 bits that is an output too, and three bytes."""
    node = helper.make_node
    nodes = [
        node("Add", ["a", "x"], ["moved"]),
        node("Identity", ["b"], ["same"]),
        node("Identity", ["three"], ["fixed"]),
        node("Add", ["count", "one"], ["counted"]),
        node("Cast", ["marks"], ["wide"], to=FLOAT),
        node("Add", ["wide", "steps"], ["wider"]),
        node("Cast", ["wider"], ["marked"], to=BYTE),
        node("Mul", ["b", "two"], ["double"]),
        node("Sub", ["a", "double"], ["difference"]),
        node("Add", ["difference", "k"], ["shifted"]),
        node("ReduceSum", ["wide", "axis"], ["total"], keepdims=1),
        node("Add", ["shifted", "total"], ["y"]),
    ]
    tensors = [
        constant("three", np.array([3.0], np.float32)),
        constant("one", np.array([1])),
        constant("steps", np.array([1, 20, 40], np.float32)),
        constant("two", np.array([2.0], np.float32)),
        constant("axis", np.array([0])),
    ]
    value = helper.make_tensor_value_info
    kept = [("a", FLOAT, [5]), ("b", FLOAT, [5]), ("k", FLOAT, [1]), ("count", INT, [1]), ("marks", BYTE, [3])]
    inputs = [value("x", FLOAT, [5]), *(value(*state) for state in kept)]
    given = [("moved", FLOAT, [5]), ("same", FLOAT, [5]), ("fixed", FLOAT, [1]), ("counted", INT, [1]), ("marked", BYTE, [3])]
    outputs = [value("y", FLOAT, [5]), *(value(*state) for state in given)]
    graph = helper.make_graph(nodes, "odd", inputs, outputs, tensors)
    return model(graph), {"a": "same", "b": "moved", "k": "fixed", "count": "counted", "marks": "marked"}


def model(graph: onnx.GraphProto) -> onnx.ModelProto:
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def record(name: str, made: onnx.ModelProto, states: dict[str, str]) -> None:
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}
    kept = {port.name: np.zeros(port.shape, kinds[port.type]) for port in session.get_inputs() if port.name in states}
    free = [port for port in session.get_inputs() if port.name not in states]
    names = [port.name for port in session.get_outputs()]
    arrays: dict[str, list[np.ndarray]] = {}
    for _ in range(CALLS):
        given = {port.name: noise(*port.shape) for port in free}
        answers = dict(zip(names, session.run(names, given | kept)))
        kept = {state: answers[output] for state, output in states.items()}
        for key, array in [(f"in:{port}", array) for port, array in given.items()] + [(f"out:{port}", array) for port, array in answers.items()]:
            arrays.setdefault(key, []).append(array)
    with zipfile.ZipFile(FOLDER / f"{name}.npz", "w") as archive:
        for key, calls in sorted(arrays.items()):
            data = io.BytesIO()
            np.lib.format.write_array(data, np.stack(calls))
            archive.writestr(zipfile.ZipInfo(key + ".npy", (2026, 1, 1, 0, 0, 0)), data.getvalue())
    (FOLDER / f"{name}.onnx").write_bytes(made.SerializeToString())


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for build in [listener, odd]:
        record(build.__name__, *build())
