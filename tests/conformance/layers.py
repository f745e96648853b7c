#!/usr/bin/env python3
"""Makes `tests/data/layers/zoo.safetensors` and `zoo.npz`: weights for every layer of `std.nn`, and what ONNX Runtime, or NumPy where ONNX has no such operator, computes with them.

Needs numpy, onnx and onnxruntime. The values are drawn with a fixed seed; the files change only where this one does.
"""

import json
import pathlib
import struct
from math import erf

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "layers"
RANDOM = np.random.default_rng(11)
WEIGHTS: dict[str, np.ndarray] = {}


def noise(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 0.6, shape).astype(np.float32)


def weight(key: str, *shape: int, positive: bool = False) -> np.ndarray:
    """A new tensor of the file."""
    WEIGHTS[key] = np.abs(noise(*shape)) + np.float32(0.3) if positive else noise(*shape)
    return WEIGHTS[key]


def run(op: str, inputs: list[np.ndarray | None], output: int = 0, **attributes) -> np.ndarray:
    """One ONNX operator, as ONNX Runtime computes it."""
    names = ["" if value is None else f"x{index}" for index, value in enumerate(inputs)]
    given = {name: value for name, value in zip(names, inputs) if value is not None}
    ports = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape) for name, value in given.items()]
    results = [f"y{index}" for index in range(output + 1)]
    node = helper.make_node(op, names, [name if index == output else "" for index, name in enumerate(results)], **attributes)
    result = helper.make_tensor_value_info(results[output], TensorProto.FLOAT, None)
    graph = helper.make_graph([node], op, ports, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, given)[0]


def softmax(x: np.ndarray) -> np.ndarray:
    power = np.exp(x - x.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def attention(x: np.ndarray, heads: int, mask: np.ndarray | None = None, causal: bool = False) -> np.ndarray:
    """Attention of a sequence to itself, in double precision."""
    images, rows, width = x.shape
    parts = x.astype(np.float64).reshape(images, rows, heads, width // heads).transpose(0, 2, 1, 3)
    scores = parts @ parts.swapaxes(-1, -2) / np.sqrt(width // heads)
    if mask is not None:
        scores = np.where(mask[:, None, None, :] == 1, scores, -np.inf)
    if causal:
        scores = np.where(np.tri(rows, dtype=bool), scores, -np.inf)
    return (softmax(scores) @ parts).transpose(0, 2, 1, 3).reshape(x.shape)


def recurrent(op: str, x: np.ndarray, order: list[int], **attributes) -> np.ndarray:
    """A recurrent operator with weights in PyTorch's order of parts; `order` are those parts in ONNX's order."""
    hidden, name = 4, op.lower()
    rows = len(order) * hidden
    into, again = weight(f"{name}.weight_ih_l0", rows, 8), weight(f"{name}.weight_hh_l0", rows, hidden)
    bias, again_bias = weight(f"{name}.bias_ih_l0", rows), weight(f"{name}.bias_hh_l0", rows)

    def ordered(tensor: np.ndarray) -> np.ndarray:
        parts = np.split(tensor, len(order))
        return np.concatenate([parts[part] for part in order])

    biases = np.concatenate([ordered(bias), ordered(again_bias)])
    states = run(op, [x.swapaxes(0, 1).copy(), ordered(into)[None], ordered(again)[None], biases[None]], hidden_size=hidden, **attributes)
    return states[:, 0].swapaxes(0, 1)


def images(image: np.ndarray) -> dict[str, np.ndarray]:
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    conv = [weight("conv.strided.weight", 8, 6, 3, 3), weight("conv.strided.bias", 8)]
    # Stored as binary16 below, so it is rounded before it is used.
    conv[1][:] = conv[1].astype(np.float16)
    depth = [weight("conv.depthwise.weight", 12, 1, 5, 5), weight("conv.depthwise.bias", 12)]
    up = [weight("up.strided.weight", 6, 4, 3, 3), weight("up.strided.bias", 4)]
    cut = [weight("up.cut.weight", 6, 4, 1, 1), weight("up.cut.bias", 4)]
    batch = [weight("bn.weight", 6), weight("bn.bias", 6), weight("bn.running_mean", 6), weight("bn.running_var", 6, positive=True)]
    WEIGHTS["bn.num_batches_tracked"] = np.int64(3)
    classifier = [weight("classifier.weight", 10, 378), weight("classifier.bias", 10)]
    # A kernel of one tap: the full result is a product, of which padding cuts one row and column off each side.
    product = np.einsum("nchw,co->nohw", image, cut[0][:, :, 0, 0])[:, :, 1:-1, 1:-1] + cut[1][:, None, None]
    channel = image.mean((2, 3))
    return {
        "conv_strided": run("Conv", [image, *conv], **window),
        "conv_grouped": run("Conv", [image, weight("conv.grouped.weight", 6, 2, 2, 3)], group=3, dilations=[2, 2]),
        "conv_depthwise": run("Conv", [image, *depth], group=6, pads=[2, 2, 2, 2]),
        "up_strided": run("ConvTranspose", [image, *up], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
        "up_grouped": run("ConvTranspose", [image, weight("up.grouped.weight", 6, 3, 2, 2)], strides=[2, 2], group=2),
        "up_cut": product,
        "batch_normal": run("BatchNormalization", [image, *batch], epsilon=1e-3),
        "pool_max": run("MaxPool", [image], **window),
        "pool_mean": run("AveragePool", [image], count_include_pad=1, **window),
        "pool_inside": run("AveragePool", [image], **window),
        "mean_of_channel": channel,
        "most_of_channel": image.max((2, 3)),
        "classified": run("Gemm", [image.reshape(2, -1), *classifier], transB=1),
        "pixel_rows": image.reshape(2, 6, 63).swapaxes(1, 2),
        "joined": np.concatenate([image, -image], 1),
        "scaled": image * channel[:, :, None, None],
        "larger": image.repeat(2, 2).repeat(2, 3),
    }


def sequences(row: np.ndarray, mask: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    normal = [weight("ln.weight", 8), weight("ln.bias", 8)]
    root = np.sqrt((row.astype(np.float64) ** 2).mean(-1, keepdims=True) + 1e-6)
    table, places = weight("words.weight", 11, 8), weight("places.weight", 9, 8)
    first = row[:, 0]
    column = mask[:, :, None]
    return {
        "layer_normal": run("LayerNormalization", [row, *normal], epsilon=1e-5),
        "layer_unbiased": run("LayerNormalization", [row, normal[0]], epsilon=1e-6),
        "rms_normal": row / root * weight("rms.weight", 8),
        "first_row": first,
        "masked": (row * column).sum(1) / column.sum(1),
        "unit": first / np.sqrt((first.astype(np.float64) ** 2).sum(-1, keepdims=True)),
        "joined_last": np.concatenate([row, row * 2], -1),
        "words": table[ids],
        "placed": row + places[2:7],
        "attended": attention(row, 2),
        "attended_masked": attention(row, 4, mask),
        "attended_causal": attention(row, 1, mask, causal=True),
        # PyTorch's parts are input, forget, cell, output; ONNX wants input, output, forget, cell.
        "lstm_states": recurrent("LSTM", row, [0, 3, 1, 2]),
        # PyTorch's parts are reset, update, new; ONNX wants update, reset, new.
        "gru_states": recurrent("GRU", row, [1, 0, 2], linear_before_reset=1),
    }


def maps(row: np.ndarray) -> dict[str, np.ndarray]:
    wide = row.astype(np.float64)
    sigmoid = 1 / (1 + np.exp(-wide))
    hard = np.clip(wide + 3, 0, 6) / 6
    return {
        "gelu_erf": wide * 0.5 * (1 + np.vectorize(erf)(wide / np.sqrt(2))),
        "gelu_tanh": run("Gelu", [row], approximate="tanh"),
        "leaky": run("LeakyRelu", [row], alpha=0.2),
        "silu_row": wide * sigmoid,
        "hard_swish_row": run("HardSwish", [row]),
        "hard_sigmoid_row": hard,
        "sigmoid_row": sigmoid,
        "tanh_row": np.tanh(wide),
        "relu6_row": np.clip(wide * 4, 0, 6),
        "relu_row": np.maximum(row, 0),
        "clip_row": np.clip(row, -0.5, 0.25),
        "chances": softmax(wide),
        "arithmetic": 1 - (wide / 2 + wide) * wide,
    }


def write_safetensors(path: pathlib.Path) -> None:
    """Some of the tensors in narrower and wider floats, as files have them."""
    stored = {"conv.strided.bias": np.float16, "ln.weight": np.float64}
    names = {np.dtype("f4"): "F32", np.dtype("f2"): "F16", np.dtype("f8"): "F64", np.dtype("i8"): "I64"}
    header, data = {}, b""
    for name, tensor in WEIGHTS.items():
        tensor = np.asarray(tensor, stored.get(name, tensor.dtype))
        start = len(data)
        data += tensor.tobytes()
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, len(data)]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def main() -> None:
    inputs = {
        "image": noise(2, 6, 9, 7),
        "row": noise(2, 5, 8) * 2,
        "mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "ids": RANDOM.integers(0, 11, (2, 5)),
    }
    outputs = images(inputs["image"]) | sequences(inputs["row"], inputs["mask"], inputs["ids"]) | maps(inputs["row"])
    FOLDER.mkdir(exist_ok=True)
    write_safetensors(FOLDER / "zoo.safetensors")
    recorded = {f"in:{name}": value for name, value in inputs.items()}
    recorded |= {f"out:{name}": value.astype(np.float32) for name, value in outputs.items()}
    np.savez_compressed(FOLDER / "zoo.npz", **recorded)


if __name__ == "__main__":
    main()
