"""Cases of one node whose answers ONNX Runtime records: what generate_microsoft.py and generate_versions.py share."""

import argparse
import pathlib
import sys

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

MICROSOFT = "com.microsoft"
CASES = {}


class Stored:
    """A value that the model stores, rather than takes; `code` where its element type is none of NumPy's."""

    def __init__(self, value, code=None):
        self.value, self.code = value, code


def case(name, op, inputs, outputs=1, domain="", expected=None, version=17, **attributes):
    """Notes a case. Inputs are values, None where one is left out; of outputs the number, or which are named."""
    assert name not in CASES, name
    CASES[name] = (op, inputs, outputs, domain, expected, version, attributes)


def build(name):
    """The model of a case, the values of its inputs and its expected outputs."""
    op, inputs, outputs, domain, expected, version, attributes = CASES[name]
    wanted = [True] * outputs if isinstance(outputs, int) else outputs
    names = ["" if value is None else f"in{index}" for index, value in enumerate(inputs)]
    node = helper.make_node(op, names, [f"out{index}" if named else "" for index, named in enumerate(wanted)], name=op, domain=domain, **attributes)
    ports, values, stored = [], [], []
    for port, value in zip(names, inputs):
        if isinstance(value, Stored):
            if value.code is None:
                stored.append(numpy_helper.from_array(value.value, port))
            else:
                stored.append(helper.make_tensor(port, value.code, value.value.shape, value.value.ravel()))
        elif value is not None:
            ports.append(helper.make_tensor_value_info(port, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
            values.append((port, value))
    ends = [helper.make_empty_tensor_value_info(f"out{index}") for index, named in enumerate(wanted) if named]
    graph = helper.make_graph([node], name, ports, ends, stored)
    sets = [helper.make_opsetid("", version), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=10)
    if expected is None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        expected = session.run(None, dict(values))
    for end, value in zip(model.graph.output, expected):
        end.CopyFrom(helper.make_tensor_value_info(end.name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape))
    return model, values, expected


def write(name, out):
    model, values, expected = build(name)
    folder = out / name / "test_data_set_0"
    folder.mkdir(parents=True)
    (out / name / "model.onnx").write_bytes(model.SerializeToString())
    for kind, list_ in (("input", values), ("output", [(port.name, value) for port, value in zip(model.graph.output, expected)])):
        for index, (port, value) in enumerate(list_):
            (folder / f"{kind}_{index}.pb").write_bytes(numpy_helper.from_array(np.asarray(value), port).SerializeToString())


def main(description):
    """Writes all cases to the folder that the command line names."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path, help="folder to write to; cases of the same names must not be there")
    arguments = parser.parse_args()
    wrong = 0
    for name in CASES:
        try:
            write(name, arguments.out)
        except Exception as error:
            wrong += 1
            print(f"{name}: {error}", file=sys.stderr)
    print(f"{len(CASES) - wrong} cases written to {arguments.out}")
    sys.exit(1 if wrong else 0)
