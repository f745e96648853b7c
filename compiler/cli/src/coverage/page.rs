//! The coverage as a page in Markdown: `docs/operators.md`.

use super::{BACKENDS, Row, Types};
use std::fmt::Write;

const HEAD: &str = "# ONNX operators

Which operators of ONNX compile, on which backend, over which element types. `mlpc coverage` writes this page, and `mlpc coverage --json` the same for programs: it
compiles a sample of every operator over every element type that ONNX allows for its first input, for each backend. A test holds the page to what the compiler does.

- *Since* are the versions of the domain's operator set that changed the operator. All of them are imported, from version 1 on, but for what a diagnostic names.
- *Native* is the machine's own processor, *WebAssembly* every module for it (fixed-width and relaxed SIMD, one thread and several), *WebGPU* the shaders, natively and in browsers.
  `=` means the same types as the column before.
- Integers of four and two bits are a byte each where they are inputs and outputs, and floats of eight and four bits the `f32` of their value: `float8e4m3fn` and the
  like say which values there can be.
- *Not compiled* are the types that ONNX allows besides.
";

/// Writes the page.
pub(super) fn page(rows: &[Row]) -> String {
    let mut text = HEAD.to_owned();
    let mut domains: Vec<&str> = rows.iter().map(|row| row.domain).collect();
    domains.dedup();
    for domain in domains {
        let rows = || rows.iter().filter(|row| row.domain == domain);
        let imported = rows().filter(|row| row.imported).count();
        let title = if domain.is_empty() { "ai.onnx" } else { domain };
        write!(text, "\n## {title}\n\n{imported} of {} operators are imported.\n", rows().count()).expect("a string takes all");
        if imported > 0 {
            text.push_str("\n| Operator | Since | Native | WebAssembly | WebGPU | Not compiled |\n|---|---|---|---|---|---|\n");
            rows().filter(|row| row.imported).for_each(|row| imported_row(&mut text, row));
        }
        if imported < rows().count() {
            text.push_str("\n| Left out | Since | Why |\n|---|---|---|\n");
            for row in rows().filter(|row| !row.imported) {
                writeln!(text, "| {} | {} | {} |", row.operator, since(row), row.reason.unwrap_or_default()).expect("a string takes all");
            }
        }
    }
    text
}

fn imported_row(text: &mut String, row: &Row) {
    write!(text, "| {}{} | {} |", row.operator, if row.deprecated { " (deprecated)" } else { "" }, since(row)).expect("a string takes all");
    match &row.types {
        Some(types) => columns(text, types),
        None => text.push_str(" no sample |  |  |"),
    }
    writeln!(text, " {} |", row.not.join(" ")).expect("a string takes all");
}

fn columns(text: &mut String, types: &Types) {
    let lists = [&types.native, &types.wasm, &types.gpu];
    for index in 0..BACKENDS.len() {
        let same = index > 0 && lists[index] == lists[index - 1];
        let list = if same { "=".to_owned() } else { lists[index].join(" ") };
        write!(text, " {list} |").expect("a string takes all");
    }
}

fn since(row: &Row) -> String {
    let versions: Vec<String> = row.since.iter().map(i64::to_string).collect();
    versions.join(", ")
}
