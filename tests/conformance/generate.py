"""Writes ONNX's own test cases of the operators that mlp imports, as folders for `mlpc verify`.

    pip install onnx==1.23.2 numpy
    python tests/conformance/generate.py OUT

Each case becomes OUT/NAME/model.onnx with OUT/NAME/test_data_set_0/input_*.pb and output_*.pb. Nothing is downloaded: the onnx package computes the node
cases, and brings the others (`simple`, `pytorch-operator`, `pytorch-converted`) with it.

A case is selected if all operators of its model stand in operators.txt. Of the selected ones, known_gaps.txt lists those that cannot pass and why.
"""

import argparse
import pathlib
import shutil
import sys
import warnings

import numpy
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

HERE = pathlib.Path(__file__).parent
KINDS = ("node", "simple", "pytorch-operator", "pytorch-converted")


def operators():
    """The names in operators.txt: `Operator` or `domain::Operator`."""
    return set((HERE / "operators.txt").read_text().split())


def used(graph):
    """All operators of a graph, those of its subgraphs included."""
    for node in graph.node:
        domain = "" if node.domain == "ai.onnx" else node.domain
        yield f"{domain}::{node.op_type}" if domain else node.op_type
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from used(inner)


def message(value, name):
    """A test's value as a TensorProto; None where it is no tensor."""
    if isinstance(value, onnx.TensorProto):
        named = onnx.TensorProto()
        named.CopyFrom(value)
        named.name = name
        return named
    if value is None or isinstance(value, (list, dict)):
        return None
    return numpy_helper.from_array(numpy.asarray(value), name)


def write(case, model, data_sets, out):
    """Writes one case; False where a value is no tensor."""
    folders = []
    for number, (inputs, outputs) in enumerate(data_sets):
        named = [("input", list(inputs), model.graph.input), ("output", list(outputs), model.graph.output)]
        messages = [
            (f"{kind}_{index}.pb", message(value, port.name))
            for kind, values, ports in named
            for index, (value, port) in enumerate(zip(values, ports))
        ]
        if any(content is None for _, content in messages):
            return False
        folders.append((out / case / f"test_data_set_{number}", messages))
    for folder, messages in folders:
        folder.mkdir(parents=True)
        for name, content in messages:
            (folder / name).write_bytes(content.SerializeToString())
    (out / case / "model.onnx").write_bytes(model.SerializeToString())
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path, help="folder to make; it must not exist or be empty")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only these kinds of cases (all by default)")
    arguments = parser.parse_args()
    if arguments.out.exists() and any(arguments.out.iterdir()):
        sys.exit(f"{arguments.out} is not empty: name another folder, or remove it")
    # Some cases divide by zero on purpose.
    warnings.simplefilter("ignore")
    numpy.seterr(all="ignore")
    known = operators()
    written, left_out = 0, 0
    for kind in arguments.kind or KINDS:
        for case in load_model_tests(kind=kind):
            folder = pathlib.Path(case.model_dir) if case.model_dir else None
            model = case.model or onnx.load(folder / "model.onnx")
            if not set(used(model.graph)) <= known:
                left_out += 1
                continue
            if case.model is None:
                shutil.copytree(folder, arguments.out / case.name, ignore=shutil.ignore_patterns("*.npz"))
                written += 1
            elif write(case.name, model, case.data_sets, arguments.out):
                written += 1
            else:
                left_out += 1
    print(f"{written} cases written to {arguments.out}, {left_out} left out, which use other operators or values that are no tensors")


if __name__ == "__main__":
    main()
