//! `TensorProto` to tensor, with every declared size checked against the data before anything is allocated.

use super::builder::addressable;
use super::narrow::Narrow;
use super::proto::TensorProto;
use mlp_bundle::DType;
use mlp_graph::Tensor;

/// The element type of an ONNX data type code, if tensors can have it.
pub(crate) fn dtype_of(code: i32) -> Result<DType, String> {
    Ok(match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        other => return Err(format!("the element type {} is not supported", dtype_name(other))),
    })
}

/// The ONNX data type code of an element type.
pub(crate) fn code_of(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I8 => 3,
        DType::U16 => 4,
        DType::I16 => 5,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::U32 => 12,
        DType::U64 => 13,
        DType::BF16 => 16,
    }
}

/// The code of an element type and what its values have here, by the name of a [`DType`] or by ONNX's own in small letters.
pub(crate) fn named(name: &str) -> Option<(i32, DType)> {
    match DType::ALL.into_iter().find(|dtype| dtype.name() == name) {
        Some(dtype) => Some((code_of(dtype), dtype)),
        None => (17..=26).find_map(|code| Some((code, Narrow::of(code)?.dtype())).filter(|_| dtype_name(code).eq_ignore_ascii_case(name))),
    }
}

/// How ONNX calls a data type code.
fn dtype_name(code: i32) -> String {
    let name = match code {
        0 => "UNDEFINED",
        8 => "STRING",
        14 => "COMPLEX64",
        15 => "COMPLEX128",
        17 => "FLOAT8E4M3FN",
        18 => "FLOAT8E4M3FNUZ",
        19 => "FLOAT8E5M2",
        20 => "FLOAT8E5M2FNUZ",
        21 => "UINT4",
        22 => "INT4",
        23 => "FLOAT4E2M1",
        24 => "FLOAT8E8M0",
        25 => "UINT2",
        26 => "INT2",
        _ => return format!("with code {code}"),
    };
    name.to_owned()
}

/// The tensor that a message holds.
pub(crate) fn read(proto: &TensorProto) -> Result<Tensor, String> {
    let narrow = Narrow::of(proto.data_type);
    let dtype = narrow.map_or_else(|| dtype_of(proto.data_type), |narrow| Ok(narrow.dtype()))?;
    if proto.data_location != 0 || !proto.external_data.is_empty() {
        return Err(
            "its data lie in another file, and no file is read here; give the path of the model, or save it with its weights inside (onnx.save(..., save_as_external_data=False))".into()
        );
    }
    if proto.segment.is_some() {
        return Err("its data is split into segments, which no tool writes; save the model again".into());
    }
    let mut shape = Vec::with_capacity(proto.dims.len());
    for &dim in &proto.dims {
        shape.push(u64::try_from(dim).map_err(|_| format!("it has the negative size {dim}"))?);
    }
    if !addressable(dtype, &shape) {
        return Err("its shape has more than 64 axes or takes more than 4 GiB".into());
    }
    let count = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)).ok_or("its size overflows")?;
    if let Some(narrow) = narrow {
        let bytes = narrow_bytes(proto, narrow, count)?;
        return Tensor::new(dtype, shape, bytes).map_err(|error| error.to_string());
    }
    let size = count * dtype.size() as u64;
    if !proto.raw_data.is_empty() && proto.raw_data.len() as u64 != size {
        return Err(format!("its shape {shape:?} of {dtype} takes {size} bytes, but raw_data has {}", proto.raw_data.len()));
    }
    let mut bytes = if proto.raw_data.is_empty() { typed_bytes(proto, dtype, count)?.into() } else { proto.raw_data.clone() };
    if dtype == DType::Bool {
        bytes = bytes.iter().map(|&byte| u8::from(byte != 0)).collect();
    }
    Tensor::of_shared(dtype, shape, bytes).map_err(|error| error.to_string())
}

/// The elements of a type of few bits, which lie packed in bytes, raw or each in a number of its own.
fn narrow_bytes(proto: &TensorProto, narrow: Narrow, count: u64) -> Result<Vec<u8>, String> {
    let size = (count as u128 * u128::from(narrow.bits())).div_ceil(8);
    let listed: Vec<u8>;
    let (packed, field): (&[u8], &str) = if proto.raw_data.is_empty() {
        listed = proto.int32_data.iter().map(|&value| value as u8).collect();
        (&listed, "int32_data")
    } else {
        (&proto.raw_data, "raw_data")
    };
    if packed.len() as u128 != size {
        return Err(format!("its {count} elements of {} bits take {size} bytes, but {field} has {}", narrow.bits(), packed.len()));
    }
    Ok(narrow.unpack(packed, count as usize))
}

/// How much memory [`read`] takes beyond what the message itself holds, at most.
pub(crate) fn copied(proto: &TensorProto) -> u64 {
    let lists =
        proto.float_data.len() + proto.int32_data.len() + proto.int64_data.len() + proto.double_data.len() + proto.uint64_data.len();
    // Elements of few bits have a number of their own each.
    let unpacked = if Narrow::of(proto.data_type).is_some() { 16 } else { u64::from(proto.data_type == 9) };
    8 * lists as u64 + unpacked * proto.raw_data.len() as u64
}

/// The bytes of a tensor stored in one of the typed fields.
fn typed_bytes(proto: &TensorProto, dtype: DType, count: u64) -> Result<Vec<u8>, String> {
    fn pack<T: Copy, const N: usize>(field: &str, data: &[T], count: u64, bytes: impl Fn(T) -> [u8; N]) -> Result<Vec<u8>, String> {
        if data.len() as u64 != count {
            return Err(format!("its shape has {count} elements, but {field} has {}", data.len()));
        }
        Ok(data.iter().flat_map(|&value| bytes(value)).collect())
    }
    let ints = &proto.int32_data;
    match dtype {
        DType::F32 => pack("float_data", &proto.float_data, count, f32::to_le_bytes),
        DType::F64 => pack("double_data", &proto.double_data, count, f64::to_le_bytes),
        DType::I64 => pack("int64_data", &proto.int64_data, count, i64::to_le_bytes),
        DType::U64 => pack("uint64_data", &proto.uint64_data, count, u64::to_le_bytes),
        DType::U32 => pack("uint64_data", &proto.uint64_data, count, |value| (value as u32).to_le_bytes()),
        DType::I32 => pack("int32_data", ints, count, i32::to_le_bytes),
        DType::Bool | DType::U8 | DType::I8 => pack("int32_data", ints, count, |value| [value as u8]),
        DType::U16 | DType::I16 | DType::F16 | DType::BF16 => pack("int32_data", ints, count, |value| (value as u16).to_le_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_element_types_are_one_to_one() {
        for dtype in DType::ALL {
            assert_eq!(dtype_of(code_of(dtype)), Ok(dtype));
        }
    }
}
