//! Files of weights: what they hold is read, and what they say that is not so is refused, never a panic or an allocation without bound.

use mlp_bundle::DType;
use mlp_graph::Tensor;
use mlp_import::safetensors::{Safetensors, SafetensorsError, write};

/// A file with that header and so many bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..data).map(|index| index as u8));
    bytes
}

fn refusal(header: &str, data: usize) -> String {
    match Safetensors::read(file(header, data).into()) {
        Ok(read) => panic!("{header} is read: {:?}", read.entries().collect::<Vec<_>>()),
        Err(error) => error.to_string(),
    }
}

/// Written out by hand from the format's description.
const SOUND: &str = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"a.weight":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},"none":{"dtype":"F32","shape":[0,3],"data_offsets":[16,16]}}   "#;

#[test]
fn tensors_are_read_where_the_header_says() {
    let read = Safetensors::read(file(SOUND, 16).into()).unwrap_or_else(|error| panic!("{error}"));
    let entries: Vec<String> = read.entries().map(|entry| format!("{} {}{:?}", entry.name, entry.dtype, entry.shape)).collect();
    assert_eq!(entries, ["a.weight f16[2, 2]", "b i64[1]", "none f32[0, 3]"]);
    assert_eq!(read.tensor("b").unwrap().bytes(), [8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(read.tensor("a.weight").unwrap().bytes(), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(read.tensor("none").unwrap().is_empty());
    assert!(matches!(read.tensor("c"), Err(SafetensorsError::Tensor { name, .. }) if name == "c"));
}

#[test]
fn narrow_floats_become_wide_and_integers_do_not() {
    let tensors = [
        ("half", Tensor::from_values(&[3], &[half::f16::from_f32(0.5), half::f16::from_f32(-2.0), half::f16::INFINITY]).unwrap()),
        ("brain", Tensor::from_values(&[1], &[half::bf16::from_f32(1.5)]).unwrap()),
        ("double", Tensor::from_values(&[2], &[0.1f64, -1e300]).unwrap()),
        ("single", Tensor::from_f32(&[1, 2], &[1.0, -0.0]).unwrap()),
        ("whole", Tensor::from_i32(&[1], &[7]).unwrap()),
    ];
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let read = Safetensors::read(write(&named).into()).unwrap();
    let floats = |name: &str| read.floats(name).unwrap().as_f32().unwrap();
    assert_eq!(floats("half"), [0.5, -2.0, f32::INFINITY]);
    assert_eq!(floats("brain"), [1.5]);
    assert_eq!(floats("double"), [0.1, f32::NEG_INFINITY]);
    assert_eq!(floats("single"), [1.0, 0.0]);
    let refused = read.floats("whole").unwrap_err().to_string();
    assert!(refused.contains("`whole`") && refused.contains("i32"), "{refused}");
    for (name, tensor) in &tensors {
        assert_eq!(&read.tensor(name).unwrap(), tensor);
    }
}

#[test]
fn what_a_header_says_that_is_not_so_is_refused() {
    let one = |info: &str| format!("{{\"a\":{info}}}");
    for (header, data, words) in [
        (one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#), 4, "takes 8 bytes"),
        (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), 8, "gap"),
        (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#), 8, "belong to no tensor"),
        (one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#), 4, "cut short"),
        (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,0]}"#), 4, "4..0"),
        (one(r#"{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}"#), 4, "F8_E4M3"),
        (one(r#"{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}"#), 4, "4 GiB"),
        (one(r#"{"dtype":"F32","shape":[4294967296],"data_offsets":[0,17179869184]}"#), 4, "4 GiB"),
        (one(r#"{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}"#), 4, "header is wrong"),
        (one(r#"{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}"#), 4, "header is wrong"),
        (one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}"#), 4, "more"),
        (one(r#"{"dtype":"F32","shape":[1]}"#), 4, "data_offsets"),
        (one("[]"), 0, "header is wrong"),
        (
            r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#.into(),
            6,
            "overlap",
        ),
        (
            r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#.into(),
            0,
            "twice",
        ),
        (r#"{"__metadata__":{"a":"b"},"__metadata__":{}}"#.into(), 0, "twice"),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0, "header is wrong"),
        ("[]".into(), 0, "start with `{`"),
        ("{".into(), 0, "header is wrong"),
        (String::new(), 0, "start with `{`"),
        (format!("{{\"a\":{}", "[".repeat(100_000)), 0, "header is wrong"),
    ] {
        let refused = refusal(&header, data);
        assert!(refused.contains(words), "{}: {refused}", &header[..header.len().min(120)]);
    }
    let axes = one(&format!(r#"{{"dtype":"F32","shape":{:?},"data_offsets":[0,4]}}"#, vec![1; 17]));
    assert!(refusal(&axes, 4).contains("17 axes"));
}

#[test]
fn lengths_that_lie_are_refused() {
    for bytes in [vec![], vec![1; 7], u64::MAX.to_le_bytes().to_vec(), (1u64 << 24).to_le_bytes().to_vec(), 3u64.to_le_bytes().to_vec()] {
        let refused = Safetensors::read(bytes.clone().into()).unwrap_err();
        assert!(matches!(refused, SafetensorsError::Malformed { .. }), "{bytes:?}: {refused}");
    }
    assert!(Safetensors::read(file("{}", 0).into()).unwrap().entries().next().is_none());
}

#[test]
fn damaged_files_are_refused_or_read_but_never_crash() {
    let sound = file(SOUND, 16);
    for length in 0..sound.len() {
        assert!(Safetensors::read(sound[..length].to_vec().into()).is_err(), "{length}");
    }
    for place in 0..sound.len() {
        for flip in [0x01, 0x02, 0x80, 0xff] {
            let mut damaged = sound.clone();
            damaged[place] ^= flip;
            if let Ok(read) = Safetensors::read(damaged.into()) {
                for entry in read.entries() {
                    let tensor = read.tensor(&entry.name).unwrap_or_else(|error| panic!("{error}"));
                    assert_eq!((tensor.dtype(), tensor.shape()), (entry.dtype, &entry.shape[..]));
                }
            }
        }
    }
    assert_eq!(DType::F16.size(), 2);
}
