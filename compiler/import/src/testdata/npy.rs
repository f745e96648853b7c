//! NumPy's `.npy`: a magic number, a header that is a Python dictionary literal, and the elements.

use super::TestDataError;
use mlp_graph::{DType, Tensor};

/// Reads one array. Big-endian and column-major arrays are turned.
pub fn read_npy(bytes: &[u8]) -> Result<Tensor, TestDataError> {
    parse(bytes).map_err(|detail| TestDataError::new("the array", detail))
}

fn parse(bytes: &[u8]) -> Result<Tensor, String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("it does not start as a .npy file does")?;
    let (&[major, _], rest) = rest.split_first_chunk::<2>().ok_or("it is cut short")?;
    let (length, rest) = if major == 1 {
        let (length, rest) = rest.split_first_chunk::<2>().ok_or("it is cut short")?;
        (u32::from(u16::from_le_bytes(*length)), rest)
    } else {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is cut short")?;
        (u32::from_le_bytes(*length), rest)
    };
    let (header, data) = rest.split_at_checked(length as usize).ok_or("its header is cut short")?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let Header { dtype, big_endian, column_major, shape } = Header::parse(header)?;
    let mut bytes = data.to_vec();
    if big_endian {
        bytes.chunks_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if dtype == DType::Bool {
        bytes.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
    }
    // Sizes are checked here: what follows may rely on them.
    let tensor = Tensor::new(dtype, shape, bytes).map_err(|error| error.to_string())?;
    if column_major && tensor.shape().len() > 1 && !tensor.is_empty() { Ok(row_major(&tensor)) } else { Ok(tensor) }
}

/// The same array with its bytes, stored by columns, in rows.
fn row_major(stored: &Tensor) -> Tensor {
    let size = stored.dtype().size();
    let shape = stored.shape();
    let mut bytes = vec![0; stored.bytes().len()];
    let mut index = vec![0u64; shape.len()];
    for element in bytes.chunks_mut(size) {
        let place = index.iter().zip(shape).rev().fold(0, |place, (&index, &dim)| place * dim + index) as usize;
        element.copy_from_slice(&stored.bytes()[place * size..(place + 1) * size]);
        for (index, &dim) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < dim {
                break;
            }
            *index = 0;
        }
    }
    Tensor::new(stored.dtype(), shape.to_vec(), bytes).expect("as many bytes as before")
}

/// What a header says.
#[derive(Debug, PartialEq)]
struct Header {
    dtype: DType,
    big_endian: bool,
    column_major: bool,
    shape: Vec<u64>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }`, keys in any order.
    fn parse(text: &str) -> Result<Header, String> {
        let refuse = || format!("its header is no array description: {}", text.chars().take(80).collect::<String>());
        let inside = text.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}')).ok_or_else(refuse)?;
        let (mut descr, mut order, mut shape) = (None, None, None);
        let mut rest = inside.trim_start();
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or_else(refuse)?;
            let after = after.trim_start().strip_prefix(':').ok_or_else(refuse)?.trim_start();
            let after = match key {
                "descr" => {
                    let (value, after) = quoted(after).ok_or("it is a structured array; only plain ones are supported")?;
                    descr = Some(value);
                    after
                }
                "fortran_order" => {
                    let (value, after) = after.split_once([',', '}']).unwrap_or((after, ""));
                    order = Some(match value.trim() {
                        "True" => true,
                        "False" => false,
                        _ => return Err(refuse()),
                    });
                    after
                }
                "shape" => {
                    let (value, after) = after.strip_prefix('(').and_then(|after| after.split_once(')')).ok_or_else(refuse)?;
                    let sizes = value.split(',').map(str::trim).filter(|size| !size.is_empty());
                    shape = Some(sizes.map(|size| size.parse().map_err(|_| refuse())).collect::<Result<Vec<u64>, _>>()?);
                    after
                }
                _ => return Err(refuse()),
            };
            rest = after.trim_start_matches([',', ' ', '\n']);
        }
        let (dtype, big_endian) = dtype(descr.ok_or_else(refuse)?)?;
        Ok(Header { dtype, big_endian, column_major: order.ok_or_else(refuse)?, shape: shape.ok_or_else(refuse)? })
    }
}

/// The text in quotes that `text` starts with, and what follows.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|&quote| quote == '\'' || quote == '"')?;
    text[1..].split_once(quote)
}

/// The element type that NumPy calls `<f4` and the like, and whether it is stored big-endian.
fn dtype(descr: &str) -> Result<(DType, bool), String> {
    let (big_endian, name) = match descr.split_at_checked(1) {
        Some(("<" | "|" | "=", name)) => (false, name),
        Some((">", name)) => (true, name),
        _ => (false, descr),
    };
    let dtype = match name {
        "b1" | "?" => DType::Bool,
        "u1" => DType::U8,
        "i1" => DType::I8,
        "u2" => DType::U16,
        "i2" => DType::I16,
        "u4" => DType::U32,
        "i4" => DType::I32,
        "u8" => DType::U64,
        "i8" => DType::I64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        _ => return Err(format!("its element type {descr} is not supported; convert it with astype")),
    };
    Ok((dtype, big_endian))
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::WriterBuilder;

    fn written(order: npyz::Order) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer =
            npyz::WriteOptions::new().default_dtype().shape(&[2, 3]).order(order).writer(&mut bytes).begin_nd().expect("a header");
        writer.extend([1i16, 2, 3, 4, 5, -6]).expect("six elements");
        writer.finish().expect("complete");
        bytes
    }

    fn elements(tensor: &Tensor) -> Vec<i16> {
        tensor.bytes().chunks(2).map(|chunk| i16::from_le_bytes([chunk[0], chunk[1]])).collect()
    }

    #[test]
    fn reads_rows_and_columns_as_another_writer_stores_them() {
        let rows = read_npy(&written(npyz::Order::C)).expect("an array");
        assert_eq!((rows.dtype(), rows.shape(), elements(&rows)), (DType::I16, &[2u64, 3][..], vec![1, 2, 3, 4, 5, -6]));
        let columns = read_npy(&written(npyz::Order::Fortran)).expect("an array");
        assert_eq!(elements(&columns), [1, 3, 5, 2, 4, -6]);
    }

    #[test]
    fn turns_big_endian_numbers() {
        let mut bytes = written(npyz::Order::C);
        let at = bytes.windows(3).position(|window| window == b"<i2").expect("the element type");
        bytes[at] = b'>';
        let turned = read_npy(&bytes).expect("an array");
        assert_eq!(elements(&turned)[0], 256);
    }

    #[test]
    fn refuses_what_is_cut_short_or_lies() {
        let bytes = written(npyz::Order::C);
        for length in 0..bytes.len() {
            assert!(read_npy(&bytes[..length]).is_err(), "{length} bytes were taken");
        }
        for shape in ["18446744073709551615, 2", "-1", "(2)", "99999999999999999999"] {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((header.len() as u16).to_le_bytes());
            file.extend(header.bytes());
            assert!(read_npy(&file).is_err(), "{shape} was taken");
        }
    }
}
