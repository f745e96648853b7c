//! Whole programs: several kernels, shared modules, refusals.

use crate::harness::{agree, parse};
use mlp_bundle::gpu::Binding;
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

/// Two matrix products of different sizes, one after the other.
const PRODUCTS: &str = r#"
plan "products" version 1 arena 4096 weights 4096
buffer b0 "x" f32 x 45 arena 0
buffer b1 "w" f32 x 80 weights 0
buffer b2 "y" f32 x 144 arena 512
buffer b3 "v" f32 x 512 weights 512
buffer b4 "z" f32 x 288 arena 2048
input "x" b0 [9, 5]
output "z" b4 [9, 32]
kernel first { contract f32 b0 * b1 batch 1 in 1 x 9 x 5 pixel 5 offset 0 out 1 x 9 x 16 kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  store b2 at 0 [1*i0 of 9 by 16, 1*i1 of 16 by 1] = v0 }
kernel second { contract f32 b2 * b3 batch 1 in 1 x 9 x 16 pixel 16 offset 0 out 1 x 9 x 32 kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  store b4 at 0 [1*i0 of 9 by 32, 1*i1 of 32 by 1] = v0 }
"#;

#[test]
fn kernels_of_different_sizes_share_a_module_and_agree() {
    let plan = parse(PRODUCTS);
    let program = emit(&plan).expect("the plan is within WebGPU");
    assert_eq!(program.modules.len(), 1);
    let [first, second] = program.dispatches.as_slice() else { panic!("two kernels are two dispatches") };
    assert_eq!(first.params.len(), second.params.len());
    assert_ne!(first.params, second.params);
    assert_eq!(first.bindings.last(), Some(&Binding::Params));
    agree(PRODUCTS, &[], 2);
}

#[test]
fn a_program_with_damaged_parameters_is_refused() {
    let plan = parse(PRODUCTS);
    let mut program = emit(&plan).expect("the plan is within WebGPU");
    program.dispatches[0].params = vec![0; 65];
    assert!(program.verify(&plan).expect_err("a block has room for 64").contains("64 parameters"));
    program.dispatches[0].params.clear();
    assert!(program.verify(&plan).expect_err("nothing can be bound").contains("leaves its buffer"));
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
