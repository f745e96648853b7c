"""Writes cases of ONNX Runtime's own operators that mlp imports, as folders for `mlpc verify`, with what ONNX Runtime answers.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
    python tests/conformance/generate_microsoft.py OUT

The folders are as generate.py writes them. Every model is one node with random inputs of a fixed seed; ONNX Runtime runs it on the processor, its optimizations
off. Where it has no kernel for the processor the answer is computed with NumPy from the operator's formula.
"""

import numpy as np
import recorded
from onnx import TensorProto
from recorded import Stored

F32, F16, U8, I8, I32, I64 = np.float32, np.float16, np.uint8, np.int8, np.int32, np.int64
random = np.random.default_rng(7)


def floats(*shape, dtype=F32):
    return random.standard_normal(shape).astype(dtype)


def integers(low, high, *shape, dtype=I64):
    return random.integers(low, high, shape).astype(dtype)


def scalar(value, dtype=F32):
    return np.array(value, dtype)


def case(name, op, inputs, outputs=1, domain=recorded.MICROSOFT, **rest):
    recorded.case(name, op, inputs, outputs, domain, **rest)


def activations():
    x, bias = floats(2, 3, 8) * 2, floats(8)
    case("ms_gelu", "Gelu", [x])
    case("ms_bias_gelu", "BiasGelu", [x, bias])
    case("ms_fast_gelu", "FastGelu", [x])
    case("ms_fast_gelu_bias", "FastGelu", [x, bias])
    case("ms_quick_gelu", "QuickGelu", [x])
    case("ms_quick_gelu_alpha", "QuickGelu", [x], alpha=1.0)
    case("ms_fast_gelu_f16", "FastGelu", [x.astype(F16), bias.astype(F16)])
    # No processor kernel: half of the features, times the Gelu of the other half.
    erf = np.vectorize(__import__("math").erf)
    left, right = np.split((x + bias).astype(np.float64), 2, axis=-1)
    case("ms_bias_split_gelu", "BiasSplitGelu", [x, bias], expected=[(left * right * 0.5 * (1 + erf(right / np.sqrt(2)))).astype(F32)])
    skip = floats(2, 3, 8)
    case("ms_bias_add", "BiasAdd", [x, bias, skip], expected=[x + bias + skip])


def normalizations():
    x, skip, gamma, beta, bias = floats(2, 4, 16), floats(2, 4, 16), floats(16), floats(16), floats(16)
    case("ms_skip_layer_norm", "SkipLayerNormalization", [x, skip, gamma, beta], epsilon=1e-5)
    case("ms_skip_layer_norm_bias", "SkipLayerNormalization", [x, skip, gamma, beta, bias], epsilon=1e-5)
    case("ms_skip_layer_norm_sum", "SkipLayerNormalization", [x, skip, gamma, None, bias], [True, False, False, True], epsilon=1e-5)
    case("ms_skip_layer_norm_stretched", "SkipLayerNormalization", [x, floats(4, 16), gamma, beta], epsilon=1e-3)
    half = [value.astype(F16) for value in (x, skip, gamma, beta)]
    case("ms_skip_layer_norm_f16", "SkipLayerNormalization", half, epsilon=1e-5)
    case("ms_skip_rms_norm", "SkipSimplifiedLayerNormalization", [x, skip, gamma], epsilon=1e-6)
    case("ms_skip_rms_norm_sum", "SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], [True, False, False, True], epsilon=1e-6)
    case("ms_rms_norm", "SimplifiedLayerNormalization", [x, gamma], domain="", epsilon=1e-6, axis=-1, stash_type=1)
    case("ms_rms_norm_axis", "SimplifiedLayerNormalization", [x, floats(4, 16)], domain="", epsilon=1e-6, axis=1)
    words, places, segments = floats(20, 16), floats(12, 16), floats(2, 16)
    ids, kinds, mask = integers(0, 20, 2, 5, dtype=I32), integers(0, 2, 2, 5, dtype=I32), np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], I32)
    tables = [Stored(value) for value in (words, places, segments)]
    case("ms_embed_layer_norm", "EmbedLayerNormalization", [ids, kinds, *tables, gamma, beta, mask], 2)
    case("ms_embed_layer_norm_sum", "EmbedLayerNormalization", [ids, kinds, *tables, gamma, beta, mask], 3, epsilon=1e-5)
    distil = [ids, None, tables[0], tables[1], None, gamma, beta]
    case("ms_embed_layer_norm_distil", "EmbedLayerNormalization", distil, 2)
    case("ms_embed_layer_norm_positions", "EmbedLayerNormalization", [*distil, None, integers(0, 12, 2, 5, dtype=I32)], 2)


def products():
    # Eight-bit weights are small enough for processors whose sums of two products saturate at 16 bits.
    x, weights, bias = floats(1, 3, 7, 7), Stored(floats(4, 3, 3, 3)), Stored(floats(4))
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    for name, numbers in [("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.7]), ("HardSigmoid", [0.3, 0.4])]:
        extra = {"activation_params": numbers} if numbers else {}
        case(f"ms_fused_conv_{name.lower()}", "FusedConv", [x, weights, bias], activation=name, **window, **extra)
    case("ms_fused_conv_sum", "FusedConv", [x, weights, bias, floats(1, 4, 7, 7)], activation="Relu", **window)
    a, b, c = floats(3, 5), floats(5, 4), floats(4)
    case("ms_fused_gemm", "FusedGemm", [a, b, c], activation="Relu", alpha=0.5, beta=2.0)
    case("ms_fused_gemm_leaky", "FusedGemm", [a.T.copy(), b, c], activation="LeakyRelu", activation_alpha=0.3, transA=1)
    case("ms_fused_matmul", "FusedMatMul", [floats(2, 3, 5), floats(2, 4, 5)], transB=1, alpha=0.25)
    case("ms_fused_matmul_a", "FusedMatMul", [floats(2, 5, 3), floats(2, 5, 4)], transA=1)
    case("ms_fused_matmul_batch_a", "FusedMatMul", [floats(3, 2, 5), floats(2, 5, 4)], transBatchA=1)
    case("ms_fused_matmul_batch_b", "FusedMatMul", [floats(2, 3, 5), floats(4, 2, 5)], transBatchB=1, transB=1)
    case("ms_transpose_matmul", "TransposeMatMul", [floats(2, 5, 3), floats(2, 5, 4)], transA=1, alpha=2.0)
    case("ms_dynamic_quantize_matmul", "DynamicQuantizeMatMul", [floats(3, 8), Stored(integers(-60, 60, 8, 6, dtype=I8)), Stored(scalar([0.02]))])
    per_column = [Stored(integers(-60, 60, 8, 6, dtype=I8)), Stored(np.abs(floats(6)) / 50), Stored(integers(-3, 3, 6, dtype=I8)), Stored(floats(6))]
    case("ms_dynamic_quantize_matmul_columns", "DynamicQuantizeMatMul", [floats(2, 3, 8), *per_column])
    left = integers(0, 255, 3, 8, dtype=U8)
    right = Stored(integers(-60, 60, 8, 6, dtype=I8))
    scales = [Stored(scalar(0.03)), Stored(scalar(0.01))]
    case("ms_matmul_integer_to_float", "MatMulIntegerToFloat", [left, right, *scales])
    zeros = [Stored(scalar(120, U8)), Stored(integers(-3, 3, 6, dtype=I8)), Stored(floats(6))]
    case("ms_matmul_integer_to_float_zeros", "MatMulIntegerToFloat", [left, right, scales[0], Stored(np.abs(floats(6)) / 50), *zeros])


def quantized():
    def parameters(scale, zero, dtype=U8):
        return [Stored(scalar(scale)), Stored(scalar(zero, dtype))]

    image = integers(0, 255, 1, 3, 8, 8, dtype=U8)
    # No mean lies in the middle of two steps, which some processors round one way and some the other.
    pool = [image, *parameters(0.02, 120), *parameters(0.0237, 118)]
    case("ms_qlinear_average_pool", "QLinearAveragePool", pool, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    case("ms_qlinear_average_pool_padded", "QLinearAveragePool", pool, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    last = [image.transpose(0, 2, 3, 1).copy(), *pool[1:]]
    case("ms_qlinear_average_pool_last", "QLinearAveragePool", last, kernel_shape=[2, 2], strides=[2, 2], channels_last=1)
    a, b = integers(0, 255, 2, 3, 4, dtype=U8), integers(0, 255, 2, 2, 4, dtype=U8)
    joined = [*parameters(0.05, 130), a, *parameters(0.03, 100), b, *parameters(0.05, 130)]
    case("ms_qlinear_concat", "QLinearConcat", joined, axis=1)
    signed = integers(-128, 127, 4, 9, dtype=I8)
    case("ms_qlinear_sigmoid", "QLinearSigmoid", [signed, *parameters(0.04, 3, I8), *parameters(1 / 256, -128, I8)])
    case("ms_qlinear_leaky_relu", "QLinearLeakyRelu", [a, *parameters(0.04, 120), *parameters(0.03, 100)], alpha=0.1)
    case("ms_qlinear_softmax", "QLinearSoftmax", [a, *parameters(0.04, 120), *parameters(1 / 256, 0)], axis=-1, opset=13)
    other = integers(0, 255, 2, 3, 4, dtype=U8)
    chosen = [integers(0, 2, 2, 3, 4).astype(bool), a, *parameters(0.04, 120), other, *parameters(0.03, 90), *parameters(0.05, 110)]
    case("ms_qlinear_where", "QLinearWhere", chosen)
    case("ms_qlinear_add", "QLinearAdd", [a, *parameters(0.04, 120), other, *parameters(0.03, 90), *parameters(0.0613, 110)])
    case("ms_qlinear_mul", "QLinearMul", [a, *parameters(0.04, 120), other, *parameters(0.03, 90), *parameters(0.0771, 110)])
    case("ms_qlinear_global_average_pool", "QLinearGlobalAveragePool", [image, *parameters(0.02, 120), *parameters(0.0037, 118)])
    matrix, weights = integers(0, 255, 3, 8, dtype=U8), Stored(integers(-60, 60, 8, 6, dtype=I8))
    bias = Stored(integers(-900, 900, 6, dtype=I32))
    case("ms_qgemm", "QGemm", [matrix, *parameters(0.02, 120), weights, *parameters(0.01, 0, I8), bias, *parameters(0.0437, 118)])
    case("ms_qgemm_float", "QGemm", [matrix, *parameters(0.02, 120), weights, *parameters(0.01, 0, I8), bias])
    x = floats(3, 5)
    case("ms_quantize_linear", "QuantizeLinear", [x, *parameters(0.02, 128)])
    case("ms_quantize_linear_16", "QuantizeLinear", [x, *parameters(0.0002, 30000, np.uint16)])
    case("ms_dequantize_linear", "DequantizeLinear", [integers(0, 255, 3, 5, dtype=U8), *parameters(0.02, 128)])
    axis = [Stored(np.abs(floats(5)) / 9), Stored(integers(-9, 9, 5, dtype=np.int16))]
    case("ms_dequantize_linear_axis", "DequantizeLinear", [integers(-999, 999, 3, 5, dtype=np.int16), *axis], axis=1)


def packed(values, bits):
    """Numbers of a few bits along the last axis, the first in the lowest bits of a byte."""
    per_byte = 8 // bits
    short = -values.shape[-1] % per_byte
    values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, short)]).astype(np.uint32)
    groups = values.reshape(*values.shape[:-1], -1, per_byte)
    return (groups << (np.arange(per_byte) * bits)).sum(-1).astype(U8)


def blocks():
    for bits in (4, 8):
        for k, block in ((64, 32), (80, 32)):
            n, count = 6, -(-k // block)
            weights = packed(integers(0, 1 << bits, n, count, block), bits)
            x, scales = floats(2, 3, k), np.abs(floats(n, count)) / (1 << bits)
            sizes = {"K": k, "N": n, "bits": bits, "block_size": block}
            stored = [Stored(weights), Stored(scales)]
            case(f"ms_matmul_{bits}_bits_{k}", "MatMulNBits", [x, *stored], **sizes)
            zeros = Stored(packed(integers(0, 1 << bits, n, count), bits))
            case(f"ms_matmul_{bits}_bits_{k}_zeros", "MatMulNBits", [x, *stored, zeros], **sizes)
    # Weights that are worth keeping in few bits.
    for bits, rows in ((4, 1), (4, 40), (8, 3)):
        k, n, block = 256, 90, 32
        weights = Stored(packed(integers(0, 1 << bits, n, k // block, block), bits))
        sizes = {"K": k, "N": n, "bits": bits, "block_size": block}
        case(f"ms_matmul_{bits}_bits_wide_{rows}", "MatMulNBits", [floats(rows, k), weights, Stored(np.abs(floats(n, k // block)) / (1 << bits))], **sizes)
    k, n, block, count = 80, 6, 32, 3
    zeros = Stored(np.abs(floats(n, count)) * 8)
    weights, scales = Stored(packed(integers(0, 16, n, count, block), 4)), Stored(np.abs(floats(n, count)) / 16)
    sizes = {"K": k, "N": n, "bits": 4, "block_size": block}
    case("ms_matmul_4_bits_float_zeros", "MatMulNBits", [floats(3, k), weights, scales, zeros], **sizes)
    case("ms_matmul_4_bits_bias", "MatMulNBits", [floats(3, k), weights, scales, None, None, Stored(floats(n))], **sizes)
    case("ms_matmul_4_bits_f16", "MatMulNBits", [floats(3, k, dtype=F16), weights, Stored(scales.value.astype(F16))], **sizes)
    rows, width, block = 10, 64, 16
    numbers, scales = integers(0, 16, rows, width), Stored(np.abs(floats(rows, width // block)) / 9)
    ids = np.array([[1, -1, 9], [0, 4, 4]], I64)
    zeros = integers(0, 16, rows, width // block)
    data = Stored(packed(numbers, 4))
    common = {"gather_axis": 0, "quantize_axis": 1, "block_size": block}
    case("ms_gather_blocks_bytes", "GatherBlockQuantized", [data, ids, scales], bits=4, **common)
    case("ms_gather_blocks_bytes_zeros", "GatherBlockQuantized", [data, ids, scales, Stored(packed(zeros, 4))], bits=4, **common)
    whole = Stored(integers(0, 256, rows, width, dtype=U8))
    case("ms_gather_blocks_8", "GatherBlockQuantized", [whole, ids, scales, Stored(integers(0, 256, rows, width // block, dtype=U8))], bits=8, **common)
    narrow = Stored(numbers, TensorProto.UINT4)
    case("ms_gather_blocks_uint4", "GatherBlockQuantized", [narrow, ids, scales, Stored(zeros, TensorProto.UINT4)], **common)
    case("ms_gather_blocks_int4", "GatherBlockQuantized", [Stored(numbers - 8, TensorProto.INT4), ids, scales], **common)


def turns(size):
    """Cosines and sines of the angles of 16 positions."""
    angles = np.arange(16)[:, None] / 10000 ** (np.arange(size // 2) / (size // 2))
    return np.cos(angles).astype(F32), np.sin(angles).astype(F32)


def rotary():
    batch, heads, length, size = 2, 3, 4, 8
    cos, sin = turns(size)
    tables = [Stored(cos), Stored(sin)]
    x = floats(batch, length, heads * size)
    given = integers(0, 16, batch, length)
    case("ms_rotary", "RotaryEmbedding", [x, given, *tables])
    case("ms_rotary_offset", "RotaryEmbedding", [x, np.array([5], I64), *tables], interleaved=1)
    case("ms_rotary_heads", "RotaryEmbedding", [floats(batch, heads, length, size), given, *tables], interleaved=1)
    part = [Stored(cos[:, :2].copy()), Stored(sin[:, :2].copy())]
    case("ms_rotary_part", "RotaryEmbedding", [x, given, *part], num_heads=heads, rotary_embedding_dim=4)


def attention():
    batch, rows, hidden, heads, size = 2, 4, 12, 3, 4
    x, weights, bias = floats(batch, rows, hidden), Stored(floats(hidden, 3 * hidden) / 3), Stored(floats(3 * hidden))
    plain = [x, weights, bias]
    case("ms_attention", "Attention", plain, num_heads=heads)
    case("ms_attention_causal", "Attention", plain, num_heads=heads, unidirectional=1)
    case("ms_attention_scale", "Attention", plain, num_heads=heads, scale=0.2)
    mask = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], I32)
    case("ms_attention_mask", "Attention", [*plain, mask], num_heads=heads)
    case("ms_attention_mask_causal", "Attention", [*plain, mask], num_heads=heads, unidirectional=1)
    # Every row keeps a key: where all are hidden, scores drown in what hides them.
    kept = integers(0, 2, batch, rows, rows, dtype=I32) | np.eye(rows, dtype=I32)
    case("ms_attention_mask_rows", "Attention", [*plain, kept], num_heads=heads)
    case("ms_attention_lengths", "Attention", [*plain, np.array([3, 2], I32)], num_heads=heads)
    case("ms_attention_starts", "Attention", [*plain, np.array([4, 3, 1, 0], I32)], num_heads=heads)
    case("ms_attention_added", "Attention", [*plain, None, None, floats(1, heads, rows, rows)], num_heads=heads)
    past = floats(2, batch, heads, 3, size)
    case("ms_attention_past", "Attention", [*plain, None, past], 2, num_heads=heads, unidirectional=1)
    case("ms_attention_present", "Attention", plain, 2, num_heads=heads)
    uneven = [x, Stored(floats(hidden, 2 * hidden + 6) / 3), Stored(floats(2 * hidden + 6))]
    case("ms_attention_sizes", "Attention", uneven, num_heads=heads, qkv_hidden_sizes=[hidden, hidden, 6])
    query, key, value = floats(batch, rows, hidden), floats(batch, 5, hidden), floats(batch, 5, hidden)
    case("ms_multi_head", "MultiHeadAttention", [query, key, value], num_heads=heads)
    case("ms_multi_head_bias", "MultiHeadAttention", [query, key, value, bias], num_heads=heads)
    keep = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], I32)
    case("ms_multi_head_mask", "MultiHeadAttention", [query, key, value, None, keep], num_heads=heads)
    added = [query, key, value, None, None, floats(1, 1, rows, 5)]
    case("ms_multi_head_added", "MultiHeadAttention", added, num_heads=heads, scale=0.3)
    case("ms_multi_head_causal", "MultiHeadAttention", [query, key[:, :4].copy(), value[:, :4].copy()], num_heads=heads, unidirectional=1)
    own = [query, key[:, :4].copy(), value[:, :4].copy(), None, None, None, floats(batch, heads, 3, size), floats(batch, heads, 3, size)]
    case("ms_multi_head_past", "MultiHeadAttention", own, 3, num_heads=heads)
    crossed = [query, floats(batch, heads, 6, size), floats(batch, heads, 6, size)]
    case("ms_multi_head_crossed", "MultiHeadAttention", crossed, num_heads=heads)
    small = Stored(integers(0, 255, hidden, 3 * hidden, dtype=U8))
    eight = [integers(0, 255, batch, rows, hidden, dtype=U8), small, bias, Stored(scalar(0.02)), Stored(scalar(0.01)), mask]
    case("ms_q_attention", "QAttention", [*eight, Stored(scalar(128, U8)), Stored(scalar(125, U8))], num_heads=heads)


def group_query():
    batch, rows, heads, groups, size = 2, 4, 4, 2, 16
    tables = [Stored(table) for table in turns(size)]
    common = {"num_heads": heads, "kv_num_heads": groups}
    query, key, value = floats(batch, rows, heads * size), floats(batch, rows, groups * size), floats(batch, rows, groups * size)

    def lengths(total):
        return [Stored(np.full(batch, total - 1, I32)), Stored(scalar(total, I32))]

    first = [query, key, value, None, None, *lengths(rows)]
    case("ms_group_query", "GroupQueryAttention", first, 3, **common)
    case("ms_group_query_rotary", "GroupQueryAttention", [*first, *tables], 3, do_rotary=1, **common)
    case("ms_group_query_interleaved", "GroupQueryAttention", [*first, *tables], 3, do_rotary=1, rotary_interleaved=1, **common)
    case("ms_group_query_window", "GroupQueryAttention", first, 3, local_window_size=2, **common)
    case("ms_group_query_cap", "GroupQueryAttention", first, 3, softcap=2.0, scale=0.5, **common)
    case("ms_group_query_smooth", "GroupQueryAttention", first, 3, smooth_softmax=1, **common)
    sink = [*first, None, None, None, None, floats(heads)]
    case("ms_group_query_sink", "GroupQueryAttention", sink, 3, **common)
    case("ms_group_query_added", "GroupQueryAttention", [*first, None, None, None, floats(1, 1, rows, rows)], 3, **common)
    together = np.concatenate([query, key, value], axis=-1)
    case("ms_group_query_packed", "GroupQueryAttention", [together, None, None, None, None, *lengths(rows)], 3, **common)
    past = [floats(batch, groups, 5, size), floats(batch, groups, 5, size)]
    one = [query[:, :1].copy(), key[:, :1].copy(), value[:, :1].copy(), *past, *lengths(6)]
    case("ms_group_query_past", "GroupQueryAttention", one, 3, **common)
    case("ms_group_query_past_rotary", "GroupQueryAttention", [*one, *tables], 3, do_rotary=1, **common)
    case("ms_group_query_past_window", "GroupQueryAttention", one, 3, local_window_size=3, **common)
    part = [query, key, value, *past, *lengths(9)]
    case("ms_group_query_chunk", "GroupQueryAttention", [part[0][:1], part[1][:1], part[2][:1], past[0][:1], past[1][:1], Stored(np.array([8], I32)), Stored(scalar(9, I32))], 3, **common)


def recurrent():
    steps, batch, width, hidden = 5, 1, 6, 8
    x = floats(steps, batch, width)
    for name, directions, direction, dtype in [("", 1, "forward", I8), ("_both_ways", 2, "bidirectional", U8)]:
        # Larger numbers saturate in the sums of 16 bits that ONNX Runtime makes on processors without VNNI.
        low, high, zero = (-60, 60, 3) if dtype is I8 else (0, 255, 120)
        weights = [Stored(integers(low, high, directions, rows, 4 * hidden, dtype=dtype)) for rows in (width, hidden)]
        bias = Stored(floats(directions, 8 * hidden) / 4)
        states = [floats(directions, batch, hidden) / 2, floats(directions, batch, hidden) / 2]
        scales = [Stored(np.full(directions, 0.004, F32)), Stored(np.full(directions, zero, dtype))]
        inputs = [x, *weights, bias, None, *states, None, *scales, *scales]
        case(f"ms_dynamic_quantize_lstm{name}", "DynamicQuantizeLSTM", inputs, 3, hidden_size=hidden, direction=direction)
        columns = [Stored(np.abs(floats(directions, 4 * hidden)) / 100 + F32(0.001)), Stored(np.full((directions, 4 * hidden), 0, dtype))]
        if dtype is I8:
            case("ms_dynamic_quantize_lstm_columns", "DynamicQuantizeLSTM", [x, *weights, bias, None, None, None, None, *columns, *columns], 3, hidden_size=hidden)


def dynamically_quantized():
    """Integer operators of ONNX over weights that are no signed bytes less their zero point, as dynamic quantization to unsigned bytes writes them."""

    def centred(x, zero):
        return x.astype(I32) - np.asarray(zero).astype(I32)

    a, weights = integers(0, 256, 2, 5, 24, dtype=U8), integers(0, 256, 24, 19, dtype=U8)
    signed = integers(-128, 128, 24, 19, dtype=I8)
    columns = integers(0, 256, 19, dtype=U8)
    for name, left, left_zero, right, right_zero in [
        ("unsigned", a, scalar(113, U8), weights, Stored(scalar(37, U8))),
        ("columns", a, Stored(scalar(113, U8)), weights, Stored(columns)),
        ("signed", a.astype(I8), scalar(-7, I8), signed, Stored(scalar(-9, I8))),
        ("row", a[0, :1], scalar(0, U8), weights, Stored(columns)),
    ]:
        zeros = [getattr(zero, "value", zero) for zero in (left_zero, right_zero)]
        expected = centred(left, zeros[0]) @ centred(right, zeros[1])
        case(f"matmul_integer_{name}", "MatMulInteger", [left, Stored(right), left_zero, right_zero], domain="", expected=[expected])

    image = integers(0, 256, 2, 4, 7, 6, dtype=U8)
    for name, groups, zero in [("whole", 1, scalar(200, U8)), ("groups", 2, scalar(30, U8)), ("each", 4, scalar(5, U8))]:
        filters = integers(0, 256, 8, 4 // groups, 3, 3, dtype=U8)
        for known in (False, True):
            around = np.pad(centred(image, 77), ((0, 0), (0, 0), (1, 1), (1, 1)))
            expected = np.zeros((2, 8, 7, 6), I32)
            for at in np.ndindex(*expected.shape):
                n, f, y, x = at
                first = f // (8 // groups) * (4 // groups)
                window = around[n, first : first + 4 // groups, y : y + 3, x : x + 3]
                expected[at] = (window * centred(filters[f], zero)).sum()
            x_zero = Stored(scalar(77, U8)) if known else scalar(77, U8)
            inputs = [image, Stored(filters), x_zero, Stored(zero)]
            case(f"conv_integer_{name}{'_known' if known else ''}", "ConvInteger", inputs, domain="", expected=[expected], group=groups, pads=[1] * 4)


def computed_products():
    """Products of two computed operands, each matrix with one of its own or all with one."""
    for name, left, right in [
        ("heads", (2, 3, 17, 20), (2, 3, 20, 33)),
        ("stretched", (4, 3, 16, 24), (4, 1, 24, 20)),
        ("one", (3, 40, 24), (24, 50)),
        ("narrow", (5, 60, 40), (5, 40, 5)),
        ("left_stretched", (30, 24), (3, 24, 20)),
    ]:
        case(f"matmul_computed_{name}", "MatMul", [floats(*left), floats(*right)], domain="")


if __name__ == "__main__":
    activations()
    normalizations()
    products()
    quantized()
    blocks()
    attention()
    rotary()
    group_query()
    recurrent()
    dynamically_quantized()
    computed_products()
    recorded.main(__doc__)
