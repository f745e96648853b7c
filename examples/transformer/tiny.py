#!/usr/bin/env python3
"""Makes `tiny.safetensors` and `tiny.npz`: a small BERT with random weights, and what ONNX Runtime computes with it.

The graph is built of ONNX's own operators, apart from this project: it is the oracle of the test. Needs numpy, onnx and onnxruntime.
"""

import json
import pathlib
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

WORDS, PLACES, KINDS, WIDTH, HEADS, HIDDEN, BLOCKS = 48, 16, 2, 32, 4, 64, 2
SENTENCES, LENGTH = 3, 7
HERE = pathlib.Path(__file__).parent


def weights() -> dict[str, np.ndarray]:
    """Random tensors under BERT's names."""
    random = np.random.default_rng(7)

    def noise(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    made = {
        "embeddings.word_embeddings.weight": noise(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": noise(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": noise(KINDS, WIDTH),
    }

    def normal(path: str) -> None:
        made[f"{path}.weight"] = 1 + noise(WIDTH)
        made[f"{path}.bias"] = noise(WIDTH)

    def dense(path: str, out: int, columns: int) -> None:
        made[f"{path}.weight"] = noise(out, columns)
        made[f"{path}.bias"] = noise(out)

    normal("embeddings.LayerNorm")
    for block in range(BLOCKS):
        path = f"encoder.layer.{block}"
        for name in ["query", "key", "value"]:
            dense(f"{path}.attention.self.{name}", WIDTH, WIDTH)
        dense(f"{path}.attention.output.dense", WIDTH, WIDTH)
        normal(f"{path}.attention.output.LayerNorm")
        dense(f"{path}.intermediate.dense", HIDDEN, WIDTH)
        dense(f"{path}.output.dense", WIDTH, HIDDEN)
        normal(f"{path}.output.LayerNorm")
    return made


def write_safetensors(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> None:
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, tensor in tensors.items():
        start = len(data)
        data += np.ascontiguousarray(tensor, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


class Graph:
    """An ONNX graph that is being written."""

    def __init__(self, tensors: dict[str, np.ndarray]):
        self.nodes: list[onnx.NodeProto] = []
        self.stored = {name: numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()}

    def add(self, op: str, *inputs: str, **attributes) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value) -> str:
        name = f"c{len(self.stored)}"
        self.stored[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def number(self, value: float) -> str:
        return self.constant(np.float32(value))

    def dense(self, x: str, path: str) -> str:
        turned = self.add("Transpose", f"{path}.weight", perm=[1, 0])
        return self.add("Add", self.add("MatMul", x, turned), f"{path}.bias")

    def normal(self, x: str, path: str) -> str:
        return self.add("LayerNormalization", x, f"{path}.weight", f"{path}.bias", epsilon=1e-12, axis=-1)


def encoder(graph: Graph, x: str, hidden_mask: str, path: str) -> str:
    split = graph.constant(np.array([0, 0, HEADS, WIDTH // HEADS]))
    join = graph.constant(np.array([0, 0, WIDTH]))
    parts = {}
    for name in ["query", "key", "value"]:
        heads = graph.add("Reshape", graph.dense(x, f"{path}.attention.self.{name}"), split)
        parts[name] = graph.add("Transpose", heads, perm=[0, 2, 3, 1] if name == "key" else [0, 2, 1, 3])
    scores = graph.add("Div", graph.add("MatMul", parts["query"], parts["key"]), graph.number((WIDTH // HEADS) ** 0.5))
    chances = graph.add("Softmax", graph.add("Add", scores, hidden_mask), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", chances, parts["value"]), perm=[0, 2, 1, 3])
    mixed = graph.dense(graph.add("Reshape", mixed, join), f"{path}.attention.output.dense")
    seen = graph.normal(graph.add("Add", x, mixed), f"{path}.attention.output.LayerNorm")
    wide = graph.dense(seen, f"{path}.intermediate.dense")
    gate = graph.add("Add", graph.add("Erf", graph.add("Div", wide, graph.number(2**0.5))), graph.number(1))
    wide = graph.add("Mul", graph.add("Mul", wide, graph.number(0.5)), gate)
    return graph.normal(graph.add("Add", seen, graph.dense(wide, f"{path}.output.dense")), f"{path}.output.LayerNorm")


def model(tensors: dict[str, np.ndarray]) -> onnx.ModelProto:
    graph = Graph(tensors)
    words = graph.add("Gather", "embeddings.word_embeddings.weight", "ids")
    kinds = graph.add("Gather", "embeddings.token_type_embeddings.weight", "kinds")
    places = graph.add("Gather", "embeddings.position_embeddings.weight", graph.constant(np.arange(LENGTH)))
    x = graph.normal(graph.add("Add", graph.add("Add", words, kinds), places), "embeddings.LayerNorm")
    mask = graph.add("Cast", "mask", to=TensorProto.FLOAT)
    hidden = graph.add("Mul", graph.add("Sub", graph.number(1), mask), graph.number(np.finfo(np.float32).min))
    hidden = graph.add("Unsqueeze", hidden, graph.constant(np.array([1, 2])))
    for block in range(BLOCKS):
        x = encoder(graph, x, hidden, f"encoder.layer.{block}")
    last = graph.add("Identity", x)
    column = graph.add("Unsqueeze", mask, graph.constant(np.array([2])))
    axis = graph.constant(np.array([1]))
    total = graph.add("ReduceSum", graph.add("Mul", last, column), axis, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", column, axis, keepdims=0))
    sentence = graph.add("LpNormalization", mean, axis=-1, p=2)
    shape = [SENTENCES, LENGTH]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ["ids", "mask", "kinds"]]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in [last, sentence]]
    whole = helper.make_graph(graph.nodes, "tiny", inputs, outputs, list(graph.stored.values()))
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def main() -> None:
    tensors = weights()
    write_safetensors(HERE / "tiny.safetensors", tensors)
    random = np.random.default_rng(8)
    mask = np.ones((SENTENCES, LENGTH), np.int64)
    mask[1, 5:] = 0
    mask[2, 2:] = 0
    inputs = {
        "ids": random.integers(0, WORDS, (SENTENCES, LENGTH)),
        "mask": mask,
        "kinds": random.integers(0, KINDS, (SENTENCES, LENGTH)),
    }
    session = onnxruntime.InferenceSession(model(tensors).SerializeToString(), providers=["CPUExecutionProvider"])
    last, sentence = session.run(None, inputs)
    recorded = {f"in:{name}": value for name, value in inputs.items()} | {"out:last": last, "out:sentence": sentence}
    np.savez_compressed(HERE / "tiny.npz", **recorded)
    print("sentence products:\n", np.round(sentence @ sentence.T, 3))


if __name__ == "__main__":
    main()
