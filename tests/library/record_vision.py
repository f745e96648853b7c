"""`std.vision` as Pillow, OpenCV and ONNX Runtime compute it.

Pillow resizes a channel at a time in its mode of 32-bit floats, which rounds nothing on the way; filters that overshoot are clamped as its bytes are.
"""

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from PIL import Image

FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}


def f32(values):
    return np.asarray(values, dtype=np.float32)


def resized(pixels, size, name, box=None, clamped=True):
    """`size` is width and height, `box` left, top, right and bottom."""
    channels = [Image.fromarray(f32(pixels[..., channel]), mode="F") for channel in range(pixels.shape[-1])]
    made = np.stack([np.asarray(channel.resize(size, FILTERS[name], box)) for channel in channels], axis=-1)
    return np.clip(made, 0, 255) if clamped and name in ("bicubic", "lanczos") else made


def center(pixels, size):
    """The box that `ImageOps.fit` would take, with whole sides."""
    (rows, columns), (width, height) = pixels.shape[:2], size
    across, down = min(columns, rows * width // height), min(rows, columns * height // width)
    left, top = (columns - across) // 2, (rows - down) // 2
    return left, top, left + across, top + down


def letterboxed(pixels, size, fill, name):
    """As `ImageOps.pad`: of sizes that divide, so that no side is rounded."""
    (rows, columns), (width, height) = pixels.shape[:2], size
    scale = min(width / columns, height / rows)
    inner = (int(columns * scale), int(rows * scale))
    assert inner == (columns * scale, rows * scale)
    made = np.full((height, width, 3), fill, np.float32)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    made[top : top + inner[1], left : left + inner[0]] = resized(pixels, inner, name)
    return made


def overlaps(a, b):
    a, b = a[:, None].astype(np.float64), b[None].astype(np.float64)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    both = sides[..., 0] * sides[..., 1]
    area = lambda box: (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
    return both / (area(a) + area(b) - both)


def suppressed(boxes, scores, count, overlap, least):
    """The positions that ONNX Runtime's NonMaxSuppression selects."""
    inputs = {"boxes": boxes[None], "scores": scores[None, None]}
    limits = {"count": np.int64([count]), "overlap": f32([overlap]), "least": f32([least])}
    node = helper.make_node("NonMaxSuppression", [*inputs, *limits], ["selected"])
    graph = helper.make_graph(
        [node],
        "nms",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in inputs.items()],
        [helper.make_tensor_value_info("selected", TensorProto.INT64, [None, 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in limits.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0][:, 2]


def detections(boxes, scores, count, overlap, least):
    taken = suppressed(boxes, scores, count, overlap, least)
    # OpenCV takes boxes by corner and size, and drops scores that are not above the least.
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    assert list(cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), least, overlap)[:count]) == list(taken)
    padded = lambda rows, fill: np.concatenate([rows, np.full((count - len(taken), *rows.shape[1:]), fill, rows.dtype)])
    return {
        "boxes": padded(boxes[taken], 0),
        "scores": padded(scores[taken], 0),
        "positions": padded(taken.astype(np.int32), -1),
        "found": np.int32(len(taken)),
    }


def cases():
    random = np.random.default_rng(20262)
    photo = random.integers(0, 256, (37, 43, 3), dtype=np.uint8)
    yield "Smaller", {"photo": photo}, {name: resized(photo, (11, 9), name) for name in FILTERS} | {"size": np.int32([37, 43])}
    small = random.integers(0, 256, (17, 23, 3), dtype=np.uint8)
    yield "Larger", {"photo": small}, {name: resized(small, (61, 52), name) for name in FILTERS}
    yield "Centers", {"photo": photo}, {
        "bicubic": resized(photo, (8, 8), "bicubic", center(photo, (8, 8))),
        "lanczos": resized(photo, (6, 12), "lanczos", center(photo, (6, 12))),
        "nearest": resized(photo, (8, 8), "nearest", center(photo, (8, 8))),
    }
    wide = random.integers(0, 256, (24, 48, 3), dtype=np.uint8)
    yield "Boxed", {"photo": wide}, {
        "bicubic": letterboxed(wide, (12, 12), 114, "bicubic"),
        "bilinear": letterboxed(wide, (12, 12), 114, "bilinear"),
        "larger": letterboxed(wide, (60, 60), 0, "lanczos"),
        "nearest": letterboxed(wide, (12, 12), 7, "nearest"),
    }

    pixels = random.integers(0, 256, (7, 10, 3), dtype=np.uint8)
    x = f32(pixels)
    double = x.astype(np.float64)
    mean, std = np.float64([123.675, 116.28, 103.53]), np.float64([58.395, 57.12, 57.375])
    # Full-range BT.601 of JFIF, as Pillow's ImagingConvertRGB2YCbCr has it, unrounded; Pillow's bytes differ by their rounding alone.
    ycbcr = double @ np.float64([[0.299, -0.168735892, 0.5], [0.587, -0.331264108, -0.418687589], [0.114, 0.5, -0.081312411]])
    ycbcr += [0, 128, 128]
    assert np.abs(ycbcr - np.asarray(Image.fromarray(pixels).convert("YCbCr"))).max() <= 1
    gray = double @ np.float64([[0.299], [0.587], [0.114]])
    assert np.abs(gray[..., 0] - np.asarray(Image.fromarray(pixels).convert("L"))).max() <= 1
    yield "Pixels", {"x": x}, {
        "batch": x.transpose(2, 0, 1)[None],
        "bgr": cv2.cvtColor(x, cv2.COLOR_RGB2BGR),
        "center": x[2:6, 2:7],  # (7 - 4) / 2 and (10 - 5) / 2, rounded to even
        "channels": f32((double - mean) / std),
        "crop": x[1:4, 2:6],
        "gray": f32(gray),
        "last": x[None],
        "left": cv2.flip(x, 1),
        "pad": cv2.copyMakeBorder(x, 2, 1, 1, 5, cv2.BORDER_CONSTANT, value=[114.5] * 3),
        "planes": x,
        "rgb": x,
        "side": cv2.copyMakeBorder(x, 0, 0, 0, 2, cv2.BORDER_CONSTANT, value=[0] * 3),
        "upside": cv2.flip(x, 0),
        "ycbcr": f32(ycbcr),
    }

    masks = f32(random.normal(0, 1, (6, 9, 2)))
    yield "Masks", {"x": masks}, {
        name: resized(masks, (5, 4) if name == "lanczos" else (20, 13), name, clamped=False) for name in FILTERS
    }

    def boxes(count, extent=100, least=5, most=40):
        corner, size = random.uniform(0, extent, (count, 2)), random.uniform(least, most, (count, 2))
        return f32(np.concatenate([corner, corner + size], axis=1))

    a, b = boxes(5, 60), boxes(7, 60)
    steps = f32(random.normal(0, 2, (5, 4)))
    steps[0, 2] = 40  # grows too far
    double = a.astype(np.float64)
    middle, extent = (double[:, :2] + double[:, 2:]) / 2, double[:, 2:] - double[:, :2]
    moved = middle + steps[:, :2] * extent * 0.1
    grown = extent * np.exp(np.minimum(steps[:, 2:].astype(np.float64) * 0.2, np.log(1000 / 16)))
    yield "Boxes", {"a": a, "b": b, "steps": steps}, {
        "corners": a,
        "decoded": f32(np.concatenate([moved - grown / 2, moved + grown / 2], axis=1)),
        "iou": f32(overlaps(a, b)),
        "middles": f32(np.concatenate([middle, extent], axis=1)),
    }

    places, scores = boxes(60, 30, 10), f32(random.uniform(0, 1, 60))
    answer = detections(places, scores, 25, 0.4, 0.2)
    assert 5 < answer["found"] < 25
    yield "Detections", {"places": places, "sure": scores}, answer
    yield "Few", {"places": places, "sure": scores}, detections(places, scores, 3, 0.5, 0.0)

    places = boxes(3, 6, 1, 6)
    scaled = lambda scale, start: f32(places * np.float64(scale * 2) + np.float64(start * 2))
    yield "Back", {"photo": wide, "boxes": places}, {
        "center": scaled([2, 2], [12, 0]),
        "letterbox": scaled([4, 4], [0, -12]),
        "stretched": scaled([4, 2], [0, 0]),
    }

    maps = f32(random.normal(0, 1, (4, 9, 13)))
    at = maps.reshape(4, -1).argmax(axis=1)
    yield "Joints", {"maps": maps}, {"x": f32(at % 13), "y": f32(at // 13), "scores": maps.reshape(4, -1).max(axis=1)}
