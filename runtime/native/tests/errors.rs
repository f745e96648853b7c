//! What is refused, and how it is said.

mod support;

use mlp_bundle::DType;
use mlp_bundle::loops::{Arithmetic, Epilogue, Expr, Exprs, Store, Window};
use mlp_native::{CompileError, Isa, Options, Program, RunError};
use support::{Builder, by_pixel, contraction, dense, load};

fn compile(builder: &Builder, options: &Options) -> Result<Program, CompileError> {
    Program::compile(&builder.plan, builder.weights.clone().into(), options)
}

fn copy() -> Builder {
    let mut builder = Builder::new();
    let x = builder.input(DType::F32, vec![0; 32]);
    let y = builder.output(DType::F32, 8);
    builder.map(&[8], y, |exprs| load(exprs, dense(x, &[8])));
    builder.expect();
    builder
}

#[test]
fn a_plan_that_breaks_a_rule() {
    let mut builder = copy();
    builder.plan.version += 1;
    assert!(matches!(compile(&builder, &Options::default()), Err(CompileError::Plan(error)) if error.to_string().contains("version")));
}

#[test]
fn weights_of_another_length() {
    let mut builder = copy();
    builder.weights.push(0);
    let error = compile(&builder, &Options::default()).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the weights have 65 bytes, the plan asks for 64: give the weights file of the same bundle");
}

#[test]
fn an_instruction_set_of_another_machine() {
    let builder = copy();
    let foreign = Isa::ALL.into_iter().find(|isa| !isa.is_available()).expect("no machine runs all");
    let error = compile(&builder, &Options { threads: 1, isa: Some(foreign) }).map(|_| ()).unwrap_err();
    assert_eq!(error, CompileError::Isa(foreign));
}

#[test]
fn inputs_of_another_size() {
    let mut program = compile(&copy(), &Options::default()).unwrap();
    let RunError::Arguments(reason) = program.run(&[&[0; 31]], &[]).unwrap_err();
    assert!(reason.contains("31 bytes"), "{reason}");
    assert!(program.run(&[], &[]).is_err());
    assert!(program.run(&[&[0; 32]], &[1]).is_err());
    assert_eq!(program.run(&[&[7; 32]], &[]), Ok(vec![vec![7; 32]]), "an error leaves the program whole");
}

/// Few elements and little work, and a window that spans terabytes.
#[test]
fn a_window_beyond_memory() {
    let window = Window {
        batch: 1,
        in_h: 1,
        in_w: 1,
        in_c: 1,
        in_pixel: 1,
        in_offset: 0,
        out_h: 2,
        out_w: 2,
        out_c: 1,
        kernel: [2, 2],
        stride: [(1 << 24) - 1; 2],
        dilation: [(1 << 24) - 1; 2],
        pad: [0, 0],
    };
    let mut builder = Builder::new();
    let x = builder.input(DType::F32, vec![0; 4]);
    let weights = builder.constant(DType::F32, vec![0; 4 * 16 * 4]);
    let y = builder.output(DType::F32, 4);
    let mut exprs = Exprs::new();
    let value = exprs.push(Expr::Total(0));
    let stores = vec![Store { access: by_pixel(y, &window, 1, 0), value }];
    builder.kernel(contraction(false, window, Arithmetic::F32, x, weights, Epilogue { exprs, stores }));
    builder.expect();
    let error = compile(&builder, &Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(&error, CompileError::Window { kernel } if kernel == "kernel0"), "{error}");
}
