//! Prints the operators that can be imported, one a line: what `tests/conformance/operators.txt` holds.

fn main() {
    for name in mlp_import::onnx::supported_operators() {
        println!("{name}");
    }
}
