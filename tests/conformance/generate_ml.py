"""Writes cases of ai.onnx.ml's operators, as folders for `mlpc verify`, with ONNX Runtime's results.

    pip install -r tests/conformance/requirements.txt
    python tests/conformance/generate_ml.py OUT

The onnx package has few cases of its own for these operators. Each case is a model of one operator with random, reproducible parameters; what it should give
is computed by ONNX Runtime. The layout is that of generate.py.
"""

import argparse
import pathlib

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROWS, FEATURES = 7, 5
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


def model(operator, attributes, inputs, outputs, version):
    """One operator as a model; the element types of outputs follow from inference at run time."""
    node = helper.make_node(operator, list(inputs), outputs, domain="ai.onnx.ml", **attributes)
    ports = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for name, x in inputs.items()]
    graph = helper.make_graph([node], operator, ports, [helper.make_empty_tensor_value_info(name) for name in outputs])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def write(out, name, operator, attributes, inputs, outputs=("y",), version=1):
    """Runs a case and writes it."""
    made = model(operator, attributes, inputs, list(outputs), version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    results = session.run(None, inputs)
    data = out / name / "test_data_set_0"
    data.mkdir(parents=True)
    (out / name / "model.onnx").write_bytes(made.SerializeToString())
    for kind, values in (("input", inputs.items()), ("output", zip(outputs, results))):
        for index, (port, value) in enumerate(values):
            (data / f"{kind}_{index}.pb").write_bytes(numpy_helper.from_array(numpy.asarray(value), port).SerializeToString())


def trees(random, count, depth, modes, missing=False):
    """Random full trees as attributes, and the (tree, node) of their leaves."""
    nodes = {key: [] for key in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")}
    leaves = []
    for tree in range(count):
        inner = 2**depth - 1
        for number in range(2 * inner + 1):
            is_leaf = number >= inner
            row = {
                "treeids": tree,
                "nodeids": number,
                "featureids": 0 if is_leaf else int(random.integers(FEATURES)),
                "modes": "LEAF" if is_leaf else modes[int(random.integers(len(modes)))],
                "values": 0.0 if is_leaf else float(numpy.float32(random.integers(-4, 5) / 4)),
                "truenodeids": 0 if is_leaf else 2 * number + 1,
                "falsenodeids": 0 if is_leaf else 2 * number + 2,
                "missing_value_tracks_true": int(missing and random.integers(2)),
            }
            for key, value in row.items():
                nodes[key].append(value)
            if is_leaf:
                leaves.append((tree, number))
    return {f"nodes_{key}": value for key, value in nodes.items()}, leaves


def leaf_weights(random, kind, leaves, targets, low):
    """Weights of the leaves: `targets(tree, node)` lists the targets of one."""
    rows = [(tree, node, target) for tree, node in leaves for target in targets(tree, node)]
    names = ("treeids", "nodeids", "ids")
    attributes = {f"{kind}_{name}": [row[index] for row in rows] for index, name in enumerate(names)}
    attributes[f"{kind}_weights"] = [float(numpy.float32(value)) for value in random.uniform(low, 1.0, len(rows))]
    return attributes


def tree_cases(out, random, x):
    """Regressors and classifiers of trees."""
    every = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    holes = x.copy()
    holes[random.random(x.shape) < 0.2] = numpy.nan
    for mode in every:
        nodes, leaves = trees(random, 3, 3, [mode])
        one = leaf_weights(random, "target", leaves, lambda *_: [0], -1.0)
        write(out, f"tree_regressor_{mode.lower()}", "TreeEnsembleRegressor", dict(**nodes, **one, n_targets=1), {"x": x})
    nodes, leaves = trees(random, 5, 4, every, missing=True)
    one = leaf_weights(random, "target", leaves, lambda *_: [0], -1.0)
    write(out, "tree_regressor_missing", "TreeEnsembleRegressor", dict(**nodes, **one, n_targets=1), {"x": holes})
    write(out, "tree_regressor_one_row", "TreeEnsembleRegressor", dict(**nodes, **one, n_targets=1), {"x": x[:1]})
    write(out, "tree_regressor_f64", "TreeEnsembleRegressor", dict(**nodes, **one, n_targets=1), {"x": x.astype(numpy.float64)})
    numbered = dict(**nodes, **leaf_weights(random, "class", leaves, lambda *_: [0, 1, 2], 0.0), classlabels_int64s=[4, 5, 6])
    whole = (4 * x).astype(numpy.int64)
    write(out, "tree_classifier_i64", "TreeEnsembleClassifier", numbered, {"x": whole}, ("label", "scores"))
    for function in ("SUM", "AVERAGE", "MIN", "MAX"):
        for base in ((), (0.5,)):
            given = dict(**nodes, **one, n_targets=1, aggregate_function=function, **({"base_values": list(base)} if base else {}))
            write(out, f"tree_regressor_{function.lower()}_{len(base)}", "TreeEnsembleRegressor", given, {"x": x})
        several = leaf_weights(random, "target", leaves, lambda tree, _: [0, 1, 2][: 1 + tree % 3], -1.0)
        for transform in TRANSFORMS:
            given = dict(**nodes, **several, n_targets=3, aggregate_function=function, base_values=[0.1, 0.2, -0.3], post_transform=transform)
            write(out, f"tree_regressor_{function.lower()}_three_{transform.lower()}", "TreeEnsembleRegressor", given, {"x": x})
    classifiers = {
        "one_of_two": (2, lambda *_: [0], 0.0),
        "one_of_two_signed": (2, lambda *_: [0], -1.0),
        "second_of_two": (2, lambda *_: [1], 0.0),
        "second_of_two_signed": (2, lambda *_: [1], -1.0),
        "three": (3, lambda *_: [0, 1, 2], 0.0),
        "a_tree_a_class": (3, lambda tree, _: [tree % 3], -1.0),
        "a_leaf_a_class": (4, lambda tree, node: [(tree + node) % 4], -1.0),
    }
    for name, (classes, targets, low) in classifiers.items():
        given = leaf_weights(random, "class", leaves, targets, low)
        if low == 0.0 and classes == 2:
            given["class_weights"] = [weight / 5 for weight in given["class_weights"]]
        for transform in TRANSFORMS:
            for base in [[]] + ([[0.05] * classes] if classes > 2 else [[0.05]]):
                attributes = dict(**nodes, **given, classlabels_int64s=[10 * (label + 1) for label in range(classes)], post_transform=transform)
                attributes |= {"base_values": base} if base else {}
                case = f"tree_classifier_{name}_{transform.lower()}_{len(base)}"
                write(out, case, "TreeEnsembleClassifier", attributes, {"x": x}, ("label", "scores"))


def linear_cases(out, random, x):
    """Linear models."""
    weights = lambda count: [float(numpy.float32(value)) for value in random.uniform(-1, 1, count)]
    for targets in (1, 3):
        for transform in TRANSFORMS:
            given = dict(coefficients=weights(targets * FEATURES), intercepts=weights(targets), targets=targets, post_transform=transform)
            write(out, f"linear_regressor_{targets}_{transform.lower()}", "LinearRegressor", given, {"x": x})
    for classes, rows in ((2, 1), (2, 2), (4, 4)):
        for transform in TRANSFORMS:
            given = dict(coefficients=weights(rows * FEATURES), intercepts=weights(rows), post_transform=transform)
            given["classlabels_ints"] = [3 * (label + 1) for label in range(classes)]
            write(out, f"linear_classifier_{classes}_{rows}_{transform.lower()}", "LinearClassifier", given, {"x": x}, ("label", "scores"))


def svm_cases(out, random, x):
    """Support vector machines."""
    weights = lambda count: [float(numpy.float32(value)) for value in random.uniform(-1, 1, count)]
    for kernel in ("LINEAR", "POLY", "RBF", "SIGMOID"):
        common = dict(kernel_type=kernel, kernel_params=[0.3, 0.1, 3.0])
        for one_class in (0, 1):
            given = dict(**common, n_supports=6, support_vectors=weights(6 * FEATURES), coefficients=weights(6), rho=[0.05], one_class=one_class)
            write(out, f"svm_regressor_{kernel.lower()}_{one_class}", "SVMRegressor", given, {"x": x})
        for classes in (2, 3, 5):
            sizes = [2 + label for label in range(classes)]
            vectors, pairs = sum(sizes), classes * (classes - 1) // 2
            given = dict(**common, vectors_per_class=sizes, support_vectors=weights(vectors * FEATURES), rho=weights(pairs))
            given |= dict(coefficients=weights((classes - 1) * vectors), classlabels_ints=[2 * label + 1 for label in range(classes)])
            case = f"svm_classifier_{kernel.lower()}_{classes}"
            write(out, case, "SVMClassifier", given, {"x": x}, ("label", "scores"))
            write(out, f"{case}_logistic", "SVMClassifier", dict(**given, post_transform="LOGISTIC"), {"x": x}, ("label", "scores"))
            likely = dict(**given, prob_a=[-1.5 + 0.1 * pair for pair in range(pairs)], prob_b=weights(pairs))
            write(out, f"{case}_probabilities", "SVMClassifier", likely, {"x": x}, ("label", "scores"))


def feature_cases(out, random, x):
    """What is done with features before a model."""
    for norm in ("MAX", "L1", "L2"):
        rows = numpy.abs(x) if norm == "MAX" else x.copy()
        rows[1] = 0
        write(out, f"normalizer_{norm.lower()}", "Normalizer", dict(norm=norm), {"x": rows})
    holes = x.copy()
    holes[random.random(x.shape) < 0.3] = numpy.nan
    write(out, "imputer_nan", "Imputer", dict(imputed_value_floats=[1.0, 2.0, 3.0, 4.0, 5.0], replaced_value_float=float("nan")), {"x": holes})
    whole = random.integers(0, 4, (ROWS, FEATURES)).astype(numpy.int64)
    write(out, "imputer_integers", "Imputer", dict(imputed_value_int64s=[9], replaced_value_int64=2), {"x": whole})
    write(out, "scaler", "Scaler", dict(offset=[0.5, 0.1, 0.0, -1.0, 2.0], scale=[2.0, 1.0, 0.5, 3.0, 0.1]), {"x": x})
    write(out, "scaler_integers", "Scaler", dict(offset=[0.5], scale=[2.0]), {"x": whole})
    write(out, "one_hot_encoder", "OneHotEncoder", dict(cats_int64s=[0, 2, 3], zeros=1), {"x": whole})
    write(out, "one_hot_encoder_floats", "OneHotEncoder", dict(cats_int64s=[0, 2, 3], zeros=1), {"x": whole.astype(numpy.float32)})
    write(out, "feature_vectorizer", "FeatureVectorizer", dict(inputdimensions=[5, 5]), {"a": x, "b": x + 1})
    integers = dict(keys_int64s=[0, 2, 3], values_floats=[0.5, 1.5, 2.5], default_float=-9.0)
    write(out, "label_encoder_integers_floats", "LabelEncoder", integers, {"x": whole}, version=2)
    column = numpy.array([0.0, 1.0, numpy.nan, 2.0], numpy.float32)
    floats = dict(keys_floats=[0.0, float("nan"), 2.0], values_int64s=[5, 6, 7], default_int64=-3)
    for version in (2, 4):
        write(out, f"label_encoder_floats_integers_{version}", "LabelEncoder", floats, {"x": column}, version=version)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=pathlib.Path, help="folder to write cases to; it may hold others")
    out = parser.parse_args().out
    before = len(list(out.iterdir())) if out.exists() else 0
    random = numpy.random.default_rng(7)
    x = random.uniform(-1.5, 1.5, (ROWS, FEATURES)).astype(numpy.float32)
    # Some features meet splits exactly.
    x[:, :2] = numpy.round(4 * x[:, :2]) / 4
    for cases in (tree_cases, linear_cases, svm_cases, feature_cases):
        cases(out, random, x)
    print(f"{len(list(out.iterdir())) - before} cases written to {out}")


if __name__ == "__main__":
    main()
