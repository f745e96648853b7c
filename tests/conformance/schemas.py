"""Writes the list of operators that `mlpc coverage` tells about: compiler/import/src/coverage/operators.jsonl.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python tests/conformance/schemas.py [--cases FOLDER]

One operator a line: its domain, name, the versions that changed it, the element types that its first input (or else its output) may have, and a probe: the
smallest of ONNX's own test cases that is a single node, by which the compiler asks itself which element types it can compile. Operators of ONNX Runtime's
domain have their probes from the folder of cases that generate_microsoft.py wrote.
"""

import argparse
import json
import pathlib
import warnings

import numpy
import onnx
from onnx import defs, numpy_helper
from onnx.backend.test.loader import load_model_tests

HERE = pathlib.Path(__file__).parent
OUT = HERE / "../../compiler/import/src/coverage/operators.jsonl"
# Operators of a domain outside the onnx package are listed where they are imported.
MICROSOFT = "com.microsoft"
# As element types are called here; others keep ONNX's name.
NAMES = {
    "bool": "bool", "uint8": "u8", "int8": "i8", "uint16": "u16", "int16": "i16", "uint32": "u32", "int32": "i32", "uint64": "u64",
    "int64": "i64", "float16": "f16", "bfloat16": "bf16", "float": "f32", "double": "f64",
}
# Values of inputs up to this many elements are kept: they may be wanted while compiling. Of larger ones the shape alone is.
KEPT = 64
# Packed weights are wanted always, and no sample of them is small.
KEPT_OF_MICROSOFT = 1024


def element_types(schema):
    """The element types that the first tensor of an operator may have, and the name of the type's variable."""
    ports = list(schema.inputs) or list(schema.outputs)
    variable = getattr(ports[0], "type_str", None) or ports[0].typeStr
    constraints = {getattr(c, "type_param_str", None): c.allowed_type_strs for c in schema.type_constraints}
    texts = constraints.get(variable, [variable])
    inner = [text[len("tensor("):-1] for text in texts if text.startswith("tensor(")]
    return variable, [NAMES.get(text, text) for text in inner]


def attribute(proto):
    """An attribute as JSON, or None where it holds a graph or the like."""
    kind = onnx.AttributeProto.AttributeType.Name(proto.type)
    value = onnx.helper.get_attribute_value(proto)
    if kind == "STRING":
        value = value.decode()
    elif kind in ("FLOATS", "INTS"):
        value = list(value)
    elif kind == "TENSOR":
        array = numpy_helper.to_array(value)
        value = {"type": value.data_type, "dims": list(array.shape), "values": numbers(array)}
    elif kind not in ("FLOAT", "INT"):
        return None
    return {"name": proto.name, "kind": kind, "value": value}


def numbers(array):
    """The elements as JSON numbers; None where one is none."""
    array = numpy.asarray(array)
    if array.dtype.kind not in "biufV" and array.dtype.name != "bfloat16":
        return None
    values = [round(float(value), 4) for value in array.astype(numpy.float64).ravel()]
    return values if all(numpy.isfinite(values)) else None


def probe(schema, model, values):
    """A node of a test case with its inputs, or None where something in it cannot be said in numbers, or what it gives is no tensor."""
    node, = model.graph.node
    if any(not output.type.HasField("tensor_type") for output in model.graph.output):
        return None
    variable, _ = element_types(schema)
    ports = list(schema.inputs)
    given = {port.name: value for port, value in zip(model.graph.input, values)}
    given.update({tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer})
    declared = {port.name: port.type.tensor_type.elem_type for port in model.graph.input}
    declared.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
    inputs = []
    for index, name in enumerate(node.input):
        if not name:
            inputs.append(None)
            continue
        port = ports[min(index, len(ports) - 1)]
        if isinstance(given[name], onnx.TensorProto):
            given[name] = numpy_helper.to_array(given[name])
        array = numpy.asarray(given[name])
        kept = KEPT_OF_MICROSOFT if schema.domain == MICROSOFT else KEPT
        elements = numbers(array) if array.size <= kept else []
        if elements is None:
            return None
        main = (getattr(port, "type_str", None) or port.typeStr) == variable
        inputs.append({"main": main, "type": declared[name], "dims": list(array.shape), "values": elements})
    attributes = [attribute(proto) for proto in node.attribute]
    if any(one is None for one in attributes):
        return None
    versions = {"" if set_.domain == "ai.onnx" else set_.domain: set_.version for set_ in model.opset_import}
    outputs = [bool(name) for name in node.output]
    return {"opset": versions[node.domain], "inputs": inputs, "outputs": outputs, "attributes": attributes}


def samples():
    """Nodes of operators that ONNX has no case of a single node of."""
    ml, image = "ai.onnx.ml", numpy.arange(48, dtype=numpy.float32).reshape(1, 3, 4, 4) / 10
    table = image.reshape(12, 4)
    for name, domain, inputs, attributes in [
        ("GlobalLpPool", "", [image], {"p": 2}),
        ("MaxRoiPool", "", [image, numpy.array([[0, 0, 0, 2, 2]], numpy.float32)], {"pooled_shape": [2, 2]}),
        ("Scaler", ml, [table], {"offset": [1.0] * 4, "scale": [0.5] * 4}),
        ("Normalizer", ml, [table], {"norm": "L2"}),
        ("Imputer", ml, [table], {"imputed_value_floats": [1.0] * 4, "replaced_value_float": 0.0}),
        ("FeatureVectorizer", ml, [table], {"inputdimensions": [4]}),
        ("OneHotEncoder", ml, [numpy.array([1, 2], numpy.int64)], {"cats_int64s": [1, 2, 3], "zeros": 1}),
        ("LinearRegressor", ml, [table], {"coefficients": [0.5] * 4, "intercepts": [1.0], "targets": 1}),
        ("LinearClassifier", ml, [table], {"coefficients": [0.5] * 8, "intercepts": [1.0, 2.0], "classlabels_ints": [0, 1]}),
    ]:
        names = [f"x{index}" for index in range(len(inputs))]
        outputs = ["y", "scores"] if name == "LinearClassifier" else ["y"]
        node = onnx.helper.make_node(name, names, outputs, domain=domain, **attributes)
        ports = [
            onnx.helper.make_tensor_value_info(port, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for port, value in zip(names, inputs)
        ]
        graph = onnx.helper.make_graph([node], name, ports, [onnx.helper.make_tensor_value_info(port, 1, None) for port in outputs])
        version = max(schema.since_version for schema in defs.get_all_schemas_with_history() if (schema.domain, schema.name) == (domain, name))
        yield onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(domain, version)]), inputs


def own_cases():
    """Domain, operator, model and input values of ONNX's cases of one node."""
    for case in load_model_tests(kind="node"):
        if case.model is None or len(case.model.graph.node) != 1 or not case.data_sets:
            continue
        yield case.model, list(case.data_sets[0][0])


def written_cases(folder):
    """The same of a folder of cases."""
    for path in sorted(folder.glob("*/model.onnx")):
        model = onnx.load(path)
        if len(model.graph.node) != 1:
            continue
        data = path.parent / "test_data_set_0"
        files = sorted(data.glob("input_*.pb"), key=lambda file: int(file.stem.split("_")[1]))
        yield model, [onnx.TensorProto.FromString(file.read_bytes()) for file in files]


def schemas():
    """The schemas of every operator, all versions, by domain and name."""
    found = {}
    for schema in defs.get_all_schemas_with_history():
        found.setdefault((schema.domain, schema.name), []).append(schema)
    import onnxruntime.capi.onnxruntime_pybind11_state as runtime

    supported = set((HERE / "operators.txt").read_text().split())
    for schema in runtime.get_all_operator_schema():
        if schema.domain == MICROSOFT and f"{MICROSOFT}::{schema.name}" in supported:
            found.setdefault((schema.domain, schema.name), []).append(schema)
        if schema.domain == "" and schema.name in supported and ("", schema.name) not in found:
            found[("", schema.name)] = [schema]
    for schema in runtime.get_all_operator_schema():
        # Of an operator that the runtime's domain does not declare, older tools wrote ONNX's own there.
        if schema.domain == "" and f"{MICROSOFT}::{schema.name}" in supported:
            found.setdefault((MICROSOFT, schema.name), [schema])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=pathlib.Path, help="a folder that generate_microsoft.py wrote")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    numpy.seterr(all="ignore")
    known = schemas()
    probes = {}
    for model, values in [*own_cases(), *samples(), *(written_cases(arguments.cases) if arguments.cases else [])]:
        node = model.graph.node[0]
        key = ("" if node.domain == "ai.onnx" else node.domain, node.op_type)
        if key not in known or any(isinstance(value, (list, dict)) or value is None for value in values):
            continue
        newest = max(known[key], key=lambda schema: schema.since_version)
        made = probe(newest, model, values)
        if made is not None:
            # Of a sample with numbers of few bits nothing is learned about the others.
            narrow = any(one and one["type"] > onnx.TensorProto.BFLOAT16 for one in made["inputs"])
            probes.setdefault(key, []).append((narrow, len(json.dumps(made)), len(probes.get(key, [])), made))
    lines = []
    for (domain, name), versions in sorted(known.items()):
        newest = max(versions, key=lambda schema: schema.since_version)
        row = {"domain": domain, "name": name, "since": sorted({schema.since_version for schema in versions})}
        row["deprecated"] = bool(newest.deprecated)
        row["types"] = sorted(set(element_types(newest)[1]))
        row["probe"] = min(probes[domain, name])[3] if (domain, name) in probes else None
        lines.append(json.dumps(row, separators=(",", ":")))
    OUT.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} operators, {len(probes)} with a probe, written to {OUT.resolve()}")


if __name__ == "__main__":
    main()
