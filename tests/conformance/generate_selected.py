"""Writes models that go on with rows of which only a run knows how many there are, as folders for `mlpc verify`, with what ONNX Runtime answers.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python tests/conformance/generate_selected.py OUT

The cases that come with ONNX end where rows are selected. Here a selection is the beginning: positions of a mask are gathered at, sorted, reduced, counted, joined and
selected from again, and two models end as detectors exported by PyTorch do.
"""

import argparse
import itertools
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

F32, I64, BOOL = np.float32, np.int64, np.bool_
TYPES = {F32: TensorProto.FLOAT, I64: TensorProto.INT64, BOOL: TensorProto.BOOL}
random = np.random.default_rng(23)
MODELS = {}
ARMS = itertools.count()


class Model:
    """A model under construction: every method adds a node, named by its result."""

    prefix = ""

    def __init__(self, name, opset=18):
        assert name not in MODELS, name
        MODELS[name] = self
        self.name, self.opset = name, opset
        self.nodes, self.stored, self.inputs, self.values, self.outputs = [], [], [], [], []

    def input(self, *values):
        """An input with the values of each data set."""
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[values[0].dtype.type], values[0].shape))
        self.values.append([(name, value) for value in values])
        return name

    def store(self, value, dtype=I64):
        name = f"c{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(self, op, *inputs, outputs=1, **attributes):
        names = [f"{self.prefix}v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}_{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def give(self, *names):
        self.outputs += names

    @classmethod
    def arm(cls):
        """A body, which is no model of its own."""
        model = cls(f"arm {len(MODELS)}")
        del MODELS[model.name]
        model.prefix = f"arm{next(ARMS)}_"
        return model

    def graph(self, name):
        return helper.make_graph(self.nodes, name, [], [helper.make_empty_tensor_value_info(output) for output in self.outputs])

    def write(self, out):
        ends = [helper.make_empty_tensor_value_info(name) for name in self.outputs]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, ends, self.stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        sets = [session.run(None, dict(feeds)) for feeds in zip(*self.values)]
        for end, value in zip(model.graph.output, sets[0]):
            sizes = [f"{end.name}_{axis}" for axis in range(value.ndim)]
            end.CopyFrom(helper.make_tensor_value_info(end.name, helper.np_dtype_to_tensor_dtype(value.dtype), sizes))
        for number, (feeds, answers) in enumerate(zip(zip(*self.values), sets)):
            folder = out / self.name / f"test_data_set_{number}"
            folder.mkdir(parents=True)
            for kind, values in (("input", feeds), ("output", zip(self.outputs, answers))):
                for index, (name, value) in enumerate(values):
                    (folder / f"{kind}_{index}.pb").write_bytes(numpy_helper.from_array(np.asarray(value), name).SerializeToString())
        (out / self.name / "model.onnx").write_bytes(model.SerializeToString())


def floats(*shape):
    return random.standard_normal(shape).astype(F32)


def masks(*shape):
    """Some set, one set, none set and all set."""
    one = np.zeros(shape, BOOL)
    one.flat[one.size // 2] = True
    return random.random(shape) < 0.4, one, np.zeros(shape, BOOL), np.ones(shape, BOOL)


def selections():
    """What selects, and its results as they are."""
    for shape in [(13,), (4, 5), (2, 3, 4), (70, 3)]:
        model = Model("selected_nonzero_" + "x".join(map(str, shape)))
        model.give(model.add("NonZero", model.input(*masks(*shape))))
    model = Model("selected_nonzero_float")
    model.give(model.add("NonZero", model.input(*[np.where(mask, floats(3, 7), F32(0)) for mask in masks(3, 7)])))
    for axis, count in [(0, 5), (1, 3), (-1, 4)]:
        model = Model(f"selected_compress_{axis % 3}")
        sets = masks(count)
        model.give(model.add("Compress", model.input(*[floats(5, 3, 4) for _ in sets]), model.input(*sets), axis=axis))
    model = Model("selected_compress_all")
    sets = masks(11)
    model.give(model.add("Compress", model.input(*[floats(5, 3) for _ in sets]), model.input(*sets)))
    numbers = [random.integers(-3, 4, 17), np.zeros(17, I64), np.arange(17)[::-1].copy()]
    for name, sorted_ in [("sorted", 1), ("unsorted", 0)]:
        model = Model(f"selected_unique_{name}")
        model.give(*model.add("Unique", model.input(*numbers), outputs=4, sorted=sorted_))
        model = Model(f"selected_unique_{name}_floats")
        model.give(*model.add("Unique", model.input(np.round(floats(4, 6) * 2) / 2), outputs=4, sorted=sorted_))
        for axis in (0, 1):
            model = Model(f"selected_unique_{name}_axis_{axis}")
            model.give(*model.add("Unique", model.input(random.integers(0, 2, (6, 3, 2)), np.ones((6, 3, 2), I64)), outputs=4, sorted=sorted_, axis=axis))


def chains():
    """What goes on with positions."""
    # The mean of what a mask selects, and how many it selects.
    model = Model("selected_mean")
    sets = masks(6, 5)
    x, mask = model.input(*[floats(6, 5, 3) for _ in sets[:2]]), model.input(*sets[:2])
    places = model.add("Transpose", model.add("NonZero", mask), perm=[1, 0])
    rows = model.add("GatherND", x, places)
    model.give(rows, model.add("ReduceMean", rows, model.store([0]), keepdims=0))
    model.give(model.add("Shape", rows), model.add("Size", rows), model.add("ReduceMean", rows, model.store([1])))

    # Every reduction over the rows, with rows that are there.
    model = Model("selected_reductions")
    x = model.add("Compress", model.input(floats(9, 4), floats(9, 4)), model.input(*masks(9)[:2]), axis=0)
    axes = model.store([0])
    for op in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "ReduceMean"):
        model.give(model.add(op, x, axes, keepdims=0))
    model.give(model.add("ArgMax", x, axis=0), model.add("ArgMin", x, axis=0, select_last_index=1), model.add("ArgMax", x, axis=1, keepdims=0))
    model.give(model.add("Softmax", x, axis=0), model.add("LogSoftmax", x, axis=1), model.add("CumSum", x, model.store(0), reverse=1))
    model.give(model.add("ReduceSum", x), model.add("ReduceMax", x, model.store([1]), keepdims=0))
    whole = model.add("Cast", model.add("Mul", x, model.store(8, F32)), to=TensorProto.INT64)
    model.give(model.add("ReduceMax", whole, axes), model.add("ReduceSum", whole, axes))
    model = Model("selected_integer_mean")
    x = model.add("Compress", model.input(random.integers(-50, 50, (9, 4))), model.input(masks(9)[0]), axis=0)
    model.give(model.add("ReduceMean", x, model.store([0])))

    # The best of what is selected, as many as there are up to a bound; PyTorch takes the least of the two so.
    for opset in (11, 18):
        model = Model(f"selected_topk_{opset}", opset)
        sets = masks(20)
        x = model.add("Compress", model.input(*[floats(20) for _ in sets]), model.input(*sets), axis=0)
        count = model.add("Shape", x)
        pair = model.add("Concat", model.store([6]), count, axis=0)
        if opset < 18:
            least = model.add("ReduceMin", pair, axes=[0], keepdims=0)
            k = model.add("Unsqueeze", least, axes=[0])
        else:
            k = model.add("Reshape", model.add("ReduceMin", pair, model.store([0]), keepdims=0), model.store([1]))
        best, order = model.add("TopK", x, k, outputs=2)
        model.give(best, order, model.add("Add", best, model.store(1, F32)), model.add("Gather", x, order))
        model.give(model.add("Concat", best, model.store([7, 8], F32), best, axis=0))

    # Numbers up to a count, and values of its size.
    model = Model("selected_range")
    # ONNX Runtime cannot keep a size of 0 in a reshape.
    sets = [mask for mask in masks(12) if mask.any()]
    rows = model.add("Compress", model.input(*[floats(12, 2) for _ in sets]), model.input(*sets), axis=0)
    count = model.add("Gather", model.add("Shape", rows), model.store(0))
    zero, one = model.store(0), model.store(1)
    numbers = model.add("Range", zero, count, one)
    model.give(numbers, model.add("Range", zero, count, model.store(3)), model.add("Range", count, zero, model.store(-1)))
    shape = model.add("Concat", model.add("Unsqueeze", count, model.store([0])), model.store([3]), axis=0)
    model.give(model.add("ConstantOfShape", shape, value=numpy_helper.from_array(np.array([2], F32))))
    model.give(model.add("Expand", model.store([[1, 2, 3]]), shape), model.add("Expand", rows, model.store([2, 1, 1])))
    model.give(model.add("Mul", model.add("Cast", numbers, to=TensorProto.INT64), model.store(5)))
    model.give(model.add("Reshape", rows, model.store([-1])), model.add("Reshape", rows, model.store([0, 1, 2])))
    model.give(model.add("Tile", rows, model.store([1, 3])), model.add("Unsqueeze", rows, model.store([0, 2])))
    model.give(model.add("Reshape", rows, model.add("Concat", model.store([1]), model.add("Unsqueeze", count, model.store([0])), model.store([2]), axis=0)))

    # Parts of what is selected.
    model = Model("selected_parts")
    sets = masks(15)
    rows = model.add("Compress", model.input(*[floats(15, 2) for _ in sets]), model.input(*sets), axis=0)
    least, most = -(2**63), 2**63 - 1
    for start, end, step in [(0, 4, 1), (2, most, 1), (-3, most, 1), (0, -1, 1), (1, most, 3), (-1, least, -1), (-2, least, -2), (4, 1, -1), (0, -20, 1)]:
        part = [model.store([number]) for number in (start, end, 0, step)]
        model.give(model.add("Slice", rows, *part))
    count = model.add("Slice", model.add("Shape", rows), model.store([0]), model.store([1]))
    model.give(model.add("Slice", model.store(np.arange(15)), model.store([0]), count), model.add("Slice", rows, model.store([0]), model.store([1]), model.store([1])))

    # The last of what is selected, and pairs joined.
    model = Model("selected_joined")
    sets = masks(8)[:2]
    a = model.add("Compress", model.input(*[floats(2, 8) for _ in sets]), model.input(*sets), axis=1)
    b = model.add("Compress", model.input(*[floats(2, 8) for _ in sets]), model.input(*sets[::-1]), axis=1)
    model.give(model.add("Concat", a, model.store(floats(2, 3), F32), b, axis=1), model.add("Concat", b, a, axis=1))
    model.give(model.add("Gather", a, model.store([-1]), axis=1), model.add("Concat", a, a, axis=0))
    model.give(model.add("GatherElements", a, model.store([[-1, 0], [0, -1]]), axis=1))

    # A selection of what was selected.
    model = Model("selected_again")
    sets = masks(4, 6)
    x, mask = model.input(*[floats(4, 6) for _ in sets]), model.input(*sets)
    places = model.add("Transpose", model.add("NonZero", mask), perm=[1, 0])
    kept = model.add("GatherND", x, places)
    positive = model.add("Greater", kept, model.store(0, F32))
    again = model.add("Transpose", model.add("NonZero", positive), perm=[1, 0])
    model.give(model.add("GatherND", kept, again), model.add("GatherND", places, again), model.add("Compress", places, positive, axis=0))
    model.give(*model.add("Unique", model.add("Gather", places, model.store(0), axis=1), outputs=4))

    # Products: rows stay apart, or are summed over.
    model = Model("selected_products")
    sets = masks(10)
    rows = model.add("Compress", model.input(*[floats(10, 4) for _ in sets]), model.input(*sets), axis=0)
    weights, bias = model.store(floats(4, 3), F32), model.store(floats(3), F32)
    model.give(model.add("Relu", model.add("Gemm", rows, weights, bias)), model.add("MatMul", rows, weights), model.add("Gemm", rows, rows, transA=1))
    model.give(model.add("MatMul", model.add("Transpose", rows, perm=[1, 0]), rows), model.add("MatMul", model.store(floats(2, 4), F32), model.add("Transpose", rows)))
    image = model.add("Reshape", rows, model.store([-1, 1, 2, 2]))
    model.give(model.add("MaxPool", model.add("Conv", image, model.store(floats(3, 1, 1, 2), F32)), kernel_shape=[2, 1]))
    model.give(model.add("Flatten", image, axis=1), model.add("Flatten", image, axis=2))

    # What is selected is written back.
    model = Model("selected_scattered")
    sets = masks(5, 4)
    x, mask = model.input(*[floats(5, 4) for _ in sets]), model.input(*sets)
    places = model.add("Transpose", model.add("NonZero", mask), perm=[1, 0])
    kept = model.add("Exp", model.add("GatherND", x, places))
    model.give(model.add("ScatterND", x, places, kept), model.add("ScatterND", x, places, kept, reduction="add"))
    flat = model.add("Squeeze", model.add("NonZero", model.add("Reshape", mask, model.store([-1]))), model.store([0]))
    line = model.add("Reshape", x, model.store([-1]))
    model.give(model.add("ScatterElements", line, flat, model.add("Gather", line, model.add("Sub", flat, flat))))
    model.give(model.add("ScatterElements", line, flat, kept, reduction="max"))


def arms():
    """Detectors that PyTorch scripts suppress boxes where there are any."""
    model = Model("selected_arms")
    sets = masks(9)
    rows = model.add("Compress", model.input(*[boxes(9, 60.0) for _ in sets]), model.input(*sets), axis=0)
    scores = model.add("ReduceMean", rows, model.store([1]), keepdims=0)
    empty = model.add("Equal", model.add("ReduceProd", model.add("Shape", rows), keepdims=0), model.store(0))
    none, some = Model.arm(), Model.arm()
    none.give(none.add("Constant", value=numpy_helper.from_array(np.zeros(0, I64))))
    parts = [rows, scores]
    for name, axis in zip(parts, ([0], [0, 1])):
        parts[parts.index(name)] = some.add("Unsqueeze", name, model.store(axis))
    found = some.add("NonMaxSuppression", *parts, model.store([2**63 - 1]), model.store([0.4], F32))
    some.give(some.add("Squeeze", some.add("Gather", found, model.store([2]), axis=1), model.store([1])))
    keep = model.add("If", empty, then_branch=none.graph("none"), else_branch=some.graph("some"))
    keep = model.add("Slice", keep, model.store([0]), model.store([4]), model.store([0]))
    model.give(model.add("Gather", rows, keep), model.add("Gather", scores, keep))


def boxes(count, size=300.0):
    """Boxes around a few centres, so that many overlap."""
    centres = random.random((6, 2)) * size
    middle = centres[random.integers(0, 6, count)] + random.standard_normal((count, 2)) * 12
    half = 15 + random.random((count, 2)) * 25
    return np.concatenate([middle - half, middle + half], axis=1).astype(F32)


def batched_nms(model, boxes, scores, classes, threshold):
    """`torchvision.ops.batched_nms` as its symbolic function exports it: boxes of each class are moved out of those of the others."""
    greatest = model.add("ReduceMax", boxes, keepdims=0)
    offsets = model.add("Mul", model.add("Cast", classes, to=TensorProto.FLOAT), model.add("Add", greatest, model.store(1, F32)))
    moved = model.add("Add", boxes, model.add("Unsqueeze", offsets, model.store([1])))
    moved = model.add("Unsqueeze", moved, model.store([0]))
    flat = model.add("Unsqueeze", model.add("Unsqueeze", scores, model.store([0])), model.store([0]))
    kept = model.add("NonMaxSuppression", moved, flat, model.store([2**63 - 1]), model.store([threshold], F32))
    kept = model.add("Slice", kept, model.store([2]), model.store([3]), model.store([1]))
    return model.add("Squeeze", kept, model.store([1]))


def least(model, x, most):
    """The least of a bound and the size of `x`, as `topk` asks for it."""
    size = model.add("Unsqueeze", model.add("Gather", model.add("Shape", x), model.store(0)), model.store([0]))
    pair = model.add("Concat", model.store([most]), size, axis=0)
    return model.add("Reshape", model.add("ReduceMin", pair, keepdims=0), model.store([1]))


def detectors():
    """How `torchvision.models.detection.ssd` ends, for two classes; and a detector that suppresses inside of its own operator."""
    count, kept, detections = 300, 60, 20
    model = Model("selected_ssdlite")
    logits = [floats(count, 3) * 2, np.where(floats(count, 3) > 1, floats(count, 3), F32(-9)), np.full((count, 3), -1, F32) + np.eye(3, dtype=F32)[0] * 30]
    places, scores = model.input(*[boxes(count) for _ in logits]), model.add("Softmax", model.input(*logits), axis=1)
    size = model.store(300, F32)
    places = model.add("Clip", places, model.store(0, F32), size)
    all_boxes, all_scores, all_labels = [], [], []
    for label in (1, 2):
        score = model.add("Gather", scores, model.store(label), axis=1)
        keep = model.add("Greater", score, model.store(0.2, F32))
        where = model.add("Squeeze", model.add("Transpose", model.add("NonZero", keep), perm=[1, 0]), model.store([1]))
        score, box = model.add("Gather", score, where, axis=0), model.add("Gather", places, where, axis=0)
        score, order = model.add("TopK", score, least(model, score, kept), outputs=2, axis=0)
        all_boxes.append(model.add("Gather", box, order, axis=0))
        all_scores.append(score)
        shape = model.add("Shape", score)
        full = model.add("ConstantOfShape", shape, value=numpy_helper.from_array(np.array([label], I64)))
        all_labels.append(model.add("Expand", full, shape))
    box, score, label = (model.add("Concat", *parts, axis=0) for parts in (all_boxes, all_scores, all_labels))
    keep = batched_nms(model, box, score, label, 0.5)
    keep = model.add("Slice", keep, model.store([0]), model.store([detections]), model.store([0]))
    model.give(*(model.add("Gather", values, keep, axis=0) for values in (box, score, label)))

    model = Model("selected_nms")
    places = model.input(*[boxes(40)[None] for _ in range(2)])
    scores = model.input(random.random((1, 3, 40)).astype(F32), np.zeros((1, 3, 40), F32))
    rows = model.add("NonMaxSuppression", places, scores, model.store([10]), model.store([0.4], F32), model.store([0.3], F32))
    label, which = (model.add("Gather", rows, model.store(column), axis=1) for column in (1, 2))
    box = model.add("Gather", model.add("Squeeze", places, model.store([0])), which)
    pairs = model.add("Slice", rows, model.store([1]), model.store([3]), model.store([1]))
    score = model.add("GatherND", model.add("Squeeze", scores, model.store([0])), pairs)
    best, order = model.add("TopK", score, least(model, score, 12), outputs=2)
    model.give(rows, best, model.add("Gather", box, order), model.add("Gather", label, order))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path, help="folder to write to; cases of the same names must not be there")
    arguments = parser.parse_args()
    for write in (selections, chains, arms, detectors):
        write()
    for model in MODELS.values():
        model.write(arguments.out)
    print(f"{len(MODELS)} cases written to {arguments.out}")


if __name__ == "__main__":
    main()
