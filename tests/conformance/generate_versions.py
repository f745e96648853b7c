"""Writes cases of operators as older operator sets have them, as folders for `mlpc verify`, with what ONNX Runtime answers.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python tests/conformance/generate_versions.py OUT

The cases that come with ONNX are of the newest sets alone, and old files are many: attributes that are inputs today, other defaults, other meanings of an axis.
"""

import numpy as np
import recorded
from recorded import Stored, case

F16, F32, I8, U8, I32, I64 = np.float16, np.float32, np.int8, np.uint8, np.int32, np.int64
random = np.random.default_rng(11)


def floats(*shape):
    return random.standard_normal(shape).astype(F32)


def wrapped(number):
    """The low 64 bits of a number, as a signed one."""
    return (number + 2**63) % 2**64 - 2**63


def shape(*sizes):
    return Stored(np.array(sizes, I64))


def axes():
    """Axes and sizes that became inputs."""
    x = floats(2, 3, 4, 5)
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"):
        case(f"v7_{op.lower()}", op, [x], version=7, axes=[1, 3], keepdims=0)
        case(f"v11_{op.lower()}", op, [x], version=11, axes=[-1])
        case(f"v7_{op.lower()}_all", op, [x], version=7)
    case("v13_reducemean", "ReduceMean", [x], version=13, axes=[-2], keepdims=0)
    case("v13_reducesum", "ReduceSum", [x, shape(1)], version=13)
    case("v13_reducesum_none", "ReduceSum", [x], version=13, noop_with_empty_axes=1)
    case("v7_squeeze", "Squeeze", [floats(1, 3, 1, 2)], version=7, axes=[0, 2])
    case("v11_squeeze", "Squeeze", [floats(1, 3, 1, 2)], version=11, axes=[-2])
    case("v7_squeeze_all", "Squeeze", [floats(1, 3, 1, 2)], version=7)
    case("v7_unsqueeze", "Unsqueeze", [floats(3, 2)], version=7, axes=[0, 3])
    case("v11_unsqueeze", "Unsqueeze", [floats(3, 2)], version=11, axes=[-1])
    case("v7_split", "Split", [x], 2, version=7, axis=3, split=[2, 3])
    case("v7_split_even", "Split", [x], 2, version=7, axis=2)
    case("v11_split", "Split", [x], 3, version=11, axis=-3)
    case("v7_slice", "Slice", [x], version=7, axes=[1, 3], starts=[0, -3], ends=[2, 1000])
    case("v9_slice", "Slice", [x], version=9, starts=[1], ends=[2])
    case("v10_slice", "Slice", [x, shape(1, -1), shape(3, 0), shape(1, 3), shape(1, -2)], version=10)
    case("v7_pad", "Pad", [x], version=7, pads=[0, 1, 0, 2, 0, 0, 1, 0], value=3.5)
    case("v7_pad_edge", "Pad", [x], version=7, pads=[0, 1, 0, 2, 0, 0, 1, 0], mode="edge")
    case("v7_pad_reflect", "Pad", [x], version=7, pads=[0, 0, 1, 2, 0, 0, 1, 3], mode="reflect")
    case("v11_pad", "Pad", [x, shape(0, 1, 0, 2, 0, 0, 1, 0), Stored(np.array(2, F32))], version=11)
    case("v7_topk", "TopK", [floats(3, 6)], 2, version=7, axis=1, k=2)
    case("v10_topk", "TopK", [floats(3, 6), shape(3)], 2, version=10)
    case("v11_topk", "TopK", [floats(3, 6), shape(3)], 2, version=11, largest=0)
    case("v7_argmax", "ArgMax", [x], version=7, axis=2)
    case("v11_argmin", "ArgMin", [x], version=11, axis=-1, keepdims=0)
    case("v9_flatten", "Flatten", [x], version=9, axis=2)
    case("v11_flatten", "Flatten", [x], version=11, axis=-1)
    case("v7_concat", "Concat", [x, x], version=7, axis=2)


def normalizing():
    """A softmax over all axes from one on; statistics."""
    x = floats(2, 3, 4)
    for op in ("Softmax", "LogSoftmax"):
        case(f"v7_{op.lower()}", op, [x], version=7)
        case(f"v9_{op.lower()}_last", op, [x], version=9, axis=2)
        case(f"v11_{op.lower()}", op, [x], version=11, axis=-2)
        case(f"v13_{op.lower()}", op, [x], version=13)
        case(f"v13_{op.lower()}_axis", op, [x], version=13, axis=1)
    image, channel = floats(2, 3, 4, 4), lambda: Stored(np.abs(floats(3)) + F32(0.5))
    for version in (7, 9, 14, 15):
        case(f"v{version}_batchnorm", "BatchNormalization", [image, channel(), channel(), channel(), channel()], version=version, epsilon=1e-3)
    case("v7_instancenorm", "InstanceNormalization", [image, channel(), channel()], version=7)
    case("v9_mvn", "MeanVarianceNormalization", [image], version=9)
    case("v7_lrn", "LRN", [image], version=7, size=3)
    case("v7_lpnorm", "LpNormalization", [image], version=7, p=1, axis=1)
    case("v7_dropout", "Dropout", [x], version=7, ratio=0.3)
    case("v10_dropout", "Dropout", [x], version=10, ratio=0.3)
    case("v12_dropout", "Dropout", [x, Stored(np.array(0.3, F32))], version=12)


def windows():
    image = floats(1, 2, 7, 7)
    common = {"kernel_shape": [3, 3], "strides": [2, 2]}
    case("v7_maxpool", "MaxPool", [image], version=7, pads=[1, 1, 0, 0], **common)
    case("v8_maxpool_same", "MaxPool", [image], version=8, auto_pad="SAME_LOWER", **common)
    case("v10_maxpool_ceil", "MaxPool", [image], version=10, ceil_mode=1, kernel_shape=[2, 2], strides=[2, 2])
    case("v10_maxpool_dilated", "MaxPool", [image], version=10, dilations=[2, 2], **common)
    case("v7_averagepool", "AveragePool", [image], version=7, pads=[1, 1, 1, 1], **common)
    case("v7_averagepool_counted", "AveragePool", [image], version=7, pads=[1, 1, 1, 1], count_include_pad=1, **common)
    case("v10_averagepool_ceil", "AveragePool", [image], version=10, ceil_mode=1, kernel_shape=[2, 2], strides=[2, 2])
    weights = Stored(floats(4, 2, 3, 3))
    case("v7_conv_same", "Conv", [image, weights], version=7, auto_pad="SAME_UPPER", strides=[2, 2])
    turned = Stored(floats(2, 3, 3, 3))
    case("v7_convtranspose", "ConvTranspose", [image, turned], version=7, strides=[2, 2], output_padding=[1, 1])
    case("v7_convtranspose_shape", "ConvTranspose", [image, turned], version=7, strides=[2, 2], output_shape=[14, 14])
    case("v7_upsample", "Upsample", [image], version=7, scales=[1.0, 1.0, 2.0, 3.0])
    case("v9_upsample", "Upsample", [image, Stored(np.array([1, 1, 2, 2], F32))], version=9, mode="linear")
    case("v10_resize", "Resize", [image, Stored(np.array([1, 1, 2, 0.5], F32))], version=10)
    case("v10_resize_linear", "Resize", [image, Stored(np.array([1, 1, 1.5, 2], F32))], version=10, mode="linear")
    scales, none = Stored(np.array([1, 1, 2, 2], F32)), Stored(np.array([], F32))
    for mode in ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"):
        case(f"v11_resize_{mode}", "Resize", [image, none, scales], version=11, mode="linear", coordinate_transformation_mode=mode)
    case("v11_resize_sizes", "Resize", [image, none, none, shape(1, 2, 9, 5)], version=11)


def integers():
    """Convolutions of bytes, as dynamic quantization writes them, and powers of whole numbers."""
    x = random.integers(0, 256, (2, 8, 7, 6)).astype(U8)
    zero, signed = np.array(130, U8), random.integers(-128, 128, (6, 8, 3, 3)).astype(I8)
    unsigned = random.integers(0, 256, (6, 8, 3, 3)).astype(U8)
    padded = {"pads": [1, 2, 0, 1], "strides": [2, 1]}
    case("convinteger_plain", "ConvInteger", [x, Stored(signed)])
    case("convinteger_zero", "ConvInteger", [x, Stored(signed), Stored(zero)], **padded)
    case("convinteger_computed_zero", "ConvInteger", [x, Stored(signed), zero], **padded)
    case("convinteger_unsigned", "ConvInteger", [x, Stored(unsigned), zero, Stored(np.array(128, U8))], **padded)
    case("convinteger_unsigned_wide", "ConvInteger", [x, Stored(unsigned), zero, Stored(np.array(3, U8))], **padded)
    case("convinteger_weights_given", "ConvInteger", [x, signed, zero], **padded)
    case("convinteger_groups", "ConvInteger", [x, Stored(signed[:, :4]), zero], group=2, **padded)
    case("convinteger_depthwise", "ConvInteger", [x, Stored(random.integers(-9, 9, (8, 1, 3, 3)).astype(I8)), zero], group=8, pads=[1, 1, 1, 1])
    case("convinteger_dilated", "ConvInteger", [x, Stored(signed), zero], dilations=[2, 1], pads=[2, 1, 2, 1])
    case("convinteger_one_pixel", "ConvInteger", [x, Stored(signed[:, :, :1, :1]), zero])
    base, exponent = np.array([[0, 1, -1, 2], [-3, 7, 46341, -2]], I32), np.array([0, 1, 2, 5], I32)
    case("pow_i32", "Pow", [base, exponent], expected=[base**exponent])
    large = np.array([-9, 3, -1, 1], I64)
    case("pow_i64", "Pow", [large, np.array([39, 39, 2**40 + 1, 2**50], I64)], expected=[np.array([wrapped((-9) ** 39), 3**39, -1, 1], I64)])
    case("pow_i64_constant", "Pow", [large, Stored(np.array(5, I64))], expected=[large**5])


def halves():
    """Half precision: weights that are worth keeping so, and results that are rounded once."""
    x, weights = floats(7, 160).astype(F16), floats(160, 110).astype(F16)
    product = (x.astype(F32) @ weights.astype(F32)).astype(F16)
    case("half_matmul", "MatMul", [x, Stored(weights)], expected=[product])
    image, points = floats(2, 128, 5, 6).astype(F16), floats(140, 128, 1, 1).astype(F16)
    bias = floats(140).astype(F16)
    sums = np.einsum("nchw,oc->nohw", image.astype(F32), points[:, :, 0, 0].astype(F32)) + bias.astype(F32)[:, None, None]
    case("half_conv_point", "Conv", [image, Stored(points), Stored(bias)], expected=[sums.astype(F16)])
    table, rows = floats(500, 70).astype(F16), np.array([[0, -1], [499, 250]], I64)
    case("half_gather", "Gather", [Stored(table), rows], expected=[table[rows]])
    case("half_gather_float", "Gather", [Stored(table.astype(F32)), rows], expected=[table[rows].astype(F32)])


def others():
    x = floats(3, 4)
    case("v7_clip", "Clip", [x], version=7, min=-0.5, max=0.7)
    case("v7_clip_max", "Clip", [x], version=7, max=0.2)
    case("v11_clip", "Clip", [x, Stored(np.array(-0.1, F32))], version=11)
    case("v7_gemm", "Gemm", [x, floats(4, 5), floats(3, 1)], version=7, alpha=0.5, beta=2.0)
    case("v9_gemm", "Gemm", [floats(4, 3), floats(5, 4), floats(5)], version=9, transA=1, transB=1)
    case("v11_gemm", "Gemm", [x, floats(4, 5)], version=11)
    case("v7_prelu", "PRelu", [floats(2, 3, 4), Stored(np.abs(floats(3, 1)))], version=7)
    case("v7_sum", "Sum", [x, x, x], version=7)
    case("v8_max", "Max", [x, floats(4)], version=8)
    case("v7_pow", "Pow", [np.abs(x), floats(4)], version=7)
    case("v12_pow", "Pow", [np.abs(x), np.array([0, 1, 2, 3], I64)], version=12)
    case("v7_add", "Add", [x, floats(4)], version=7)
    case("v9_cast", "Cast", [x * 5], version=9, to=6)
    case("v7_depthtospace", "DepthToSpace", [floats(1, 8, 2, 3)], version=7, blocksize=2)
    case("v11_depthtospace_crd", "DepthToSpace", [floats(1, 8, 2, 3)], version=11, blocksize=2, mode="CRD")
    case("v8_expand", "Expand", [floats(3, 1), shape(2, 1, 4)], version=8)
    case("v7_tile", "Tile", [x, shape(2, 3)], version=7)
    case("v7_gather", "Gather", [x, Stored(np.array([[0, 2]], I64))], version=7)
    case("v11_gather", "Gather", [x, Stored(np.array([-1, 0], I64))], version=11, axis=1)
    case("v10_quantize", "QuantizeLinear", [x, Stored(np.array(0.02, F32)), Stored(np.array(120, np.uint8))], version=10)
    case("v13_quantize", "QuantizeLinear", [x, Stored(np.abs(floats(4)) / 9), Stored(np.array([1, 2, 3, 4], np.int8))], version=13)
    case("v10_dequantize", "DequantizeLinear", [np.arange(12, dtype=np.uint8).reshape(3, 4), Stored(np.array(0.5, F32))], version=10)
    case("v9_where", "Where", [x > 0, x, floats(4)], version=9)
    case("v11_range", "Range", [Stored(np.array(1, I64)), Stored(np.array(10, I64)), Stored(np.array(3, I64))], version=11)
    case("v7_reshape", "Reshape", [x, shape(0, -1, 2)], version=7)
    case("v14_reshape", "Reshape", [floats(0, 3), shape(3, 0)], version=14, allowzero=1)
    case("v10_mod", "Mod", [x, np.abs(floats(4)) + F32(0.5)], version=10, fmod=1)


if __name__ == "__main__":
    axes()
    normalizing()
    windows()
    others()
    integers()
    halves()
    recorded.main(__doc__)
