"""`std.tensor` as NumPy and SciPy compute it, in binary64."""

import numpy as np
from scipy.special import expit, log_softmax, softmax


def f32(values):
    return np.asarray(values, dtype=np.float32)


def cases():
    random = np.random.default_rng(20261)
    normal = lambda *shape, scale=1.0: f32(random.normal(0, scale, shape))

    x = normal(2, 3, 4, scale=2.0)
    x.flat[:4] = [-2.5, 2.5, 0.5, 1.5]  # halves, which round to even
    wide = x.astype(np.float64)
    yield "Maps", {"x": x}, {
        "abs": f32(np.abs(wide)),
        "cos": f32(np.cos(wide)),
        "cube": f32(wide**3),
        "exp": f32(np.exp(wide)),
        "floor": f32(np.floor(wide)),
        "inverse": f32(wide**-2.0),
        "log": f32(np.log(np.abs(wide))),
        "power": f32(np.abs(wide) ** 1.7),
        "round": f32(np.round(wide)),
        "sigmoid": f32(expit(wide)),
        "sin": f32(np.sin(wide)),
        "sqrt": f32(np.sqrt(np.abs(wide))),
        "tanh": f32(np.tanh(wide)),
    }

    x = normal(5, 7, scale=4.0)
    x[1] *= 30  # probabilities too small to be written
    x[2, 3] = x[2, 5] = 99  # of equal ones the first
    wide = x.astype(np.float64)
    yield "Scores", {"x": x}, {
        "log_softmax": f32(log_softmax(wide, axis=-1)),
        "softmax": f32(softmax(wide, axis=-1)),
        "best": np.argmax(x, axis=-1).astype(np.int32),
    }

    x = f32(random.integers(-9, 9, (3, 20)) / 4)  # with equal values
    yield "Orders", {"x": x}, {
        "falling": -np.sort(-x, axis=-1),
        "rising": np.sort(x, axis=-1),
        "down": np.argsort(-x, axis=-1, kind="stable").astype(np.int32),
        "up": np.argsort(x, axis=-1, kind="stable").astype(np.int32),
    }

    x = normal(4, 3, 5, scale=3.0)
    wide = x.astype(np.float64)
    names = {"max": np.max, "mean": np.mean, "min": np.min, "sum": np.sum}
    yield "Reductions", {"x": x}, {
        f"{name}_{place}": f32(reduce(wide, axis=axis)) for name, reduce in names.items() for place, axis in [("first", 0), ("last", -1)]
    }

    a, b = normal(4, 6), normal(4, 6)
    a[2] = 0  # no direction
    b[3] = -2 * a[3]
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    lengths = lambda v: np.maximum(np.linalg.norm(v, axis=-1), 1e-12)  # torch.nn.functional.normalize
    yield "Vectors", {"a": a, "b": b}, {
        "cosine": f32((wide_a * wide_b).sum(-1) / lengths(wide_a) / lengths(wide_b)),
        "dot": f32((wide_a * wide_b).sum(-1)),
        "norm": f32(np.linalg.norm(wide_a, axis=-1)),
        "unit": f32(wide_a / lengths(wide_a)[:, None]),
    }

    x, y, z = normal(4, 3, 6), normal(2, 3, 6), normal(4, 3, 2)
    yield "Shapes", {"x": x, "y": y, "z": z}, {
        "batch": x[None],
        "concat_first": np.concatenate([x, y]),
        "concat_last": np.concatenate([x, z], axis=-1),
        "matmul": f32(np.swapaxes(x, 1, 2).astype(np.float64) @ z.astype(np.float64)),
        "merge_first": x.reshape(12, 6),
        "merge_last": x.reshape(4, 18),
        "slice_first": x[1:3],
        "slice_last": x[..., 3:6],
        "split_first": x.reshape(2, 2, 3, 6),
        "split_last": x.reshape(4, 3, 3, 2),
        "take": np.take(x, [3, 0, -1, 2, 2], axis=0),
        "transpose": np.swapaxes(x, 1, 2),
        "unbatch": x[2],
    }

    x, plane, column, row = normal(2, 3, 4), normal(3, 4), normal(2, 3), normal(4)
    like = lambda values: np.broadcast_to(values, x.shape)
    yield "Stretches", {"x": x, "plane": plane, "column": column, "line": row}, {
        "first": like(plane),
        "last": like(column[..., None]),
        "row": like(row),
    }

    a, b = normal(3, 5), normal(3, 5)
    a[0, 1] = a[2, 4] = np.nan
    a[1, 1] = b[1, 1]
    a[1, 2] = 0.25
    yield "Conditions", {"a": a, "b": b}, {
        "above": f32(a > 0.25),
        "chosen": np.where(np.isnan(a), b, a),
        "greater": f32(a > b),
        "missing": f32(np.isnan(a)),
        "whole": f32(np.argmax(b, axis=-1)),
    }
