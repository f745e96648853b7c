//! Whole programs: several kernels, shared modules, refusals.

use crate::harness::{agree, parse};
use mlp_codegen::wgsl::emit;

/// Two equal kernels in a row, then one that works in place.
const CHAIN: &str = r#"
plan "chain" version 1 arena 1024 weights 64
buffer b0 "x" f32 x 32 arena 0
buffer b1 "y" f32 x 32 arena 512
buffer b2 "z" f32 x 32 arena 256
buffer b3 "bytes" u8 x 32 arena 384
input "x" b0 [32]
output "z" b2 [32]
output "bytes" b3 [32]
kernel first { nest parallel [32]
  v0 = load b0 at 0 [1*i0 of 32 by 1]
  v1 = mul v0 v0
  store b1 at 0 [1*i0 of 32 by 1] = v1 }
kernel second { nest parallel [32]
  v0 = load b1 at 0 [1*i0 of 32 by 1]
  v1 = mul v0 v0
  store b2 at 0 [1*i0 of 32 by 1] = v1 }
kernel narrow { nest parallel [32]
  v0 = load b2 at 0 [1*i0 of 32 by 1]
  v1 = cast i32 v0
  store b3 at 0 [1*i0 of 32 by 1] = v1 }
kernel third { nest parallel [32]
  v0 = load b2 at 0 [1*i0 of 32 by 1]
  v1 = neg v0
  v2 = load b3 at 0 [1*i0 of 32 by 1]
  v3 = neg v2
  store b2 at 0 [1*i0 of 32 by 1] = v1
  store b3 at 0 [1*i0 of 32 by 1] = v3 }
"#;

#[test]
fn kernels_run_in_order_and_in_place() {
    agree(CHAIN, &[], 1);
}

#[test]
fn equal_kernels_share_a_module() {
    let program = emit(&parse(CHAIN)).expect("the plan is within WebGPU");
    let modules: Vec<u32> = program.dispatches.iter().map(|dispatch| dispatch.module).collect();
    assert_eq!(modules, [0, 0, 1, 2]);
    assert_eq!(program.slots.len(), 2, "the input's memory is free once it was read");
}

#[test]
fn what_webgpu_has_not_is_refused_by_name() {
    let plan = parse(
        &CHAIN
            .replace("\"y\" f32 x 32", "\"y\" f64 x 32")
            .replace("v1 = mul v0 v0\n  store b1", "v1 = cast f64 v0\n  store b1")
            .replace("v0 = load b1 at 0 [1*i0 of 32 by 1]\n  v1 = mul v0 v0", "v0 = load b1 at 0 [1*i0 of 32 by 1]\n  v1 = cast f32 v0"),
    );
    let error = emit(&plan).expect_err("f64 is not in WGSL").to_string();
    assert!(error.contains("`first`") && error.contains("f64"), "{error}");
}
