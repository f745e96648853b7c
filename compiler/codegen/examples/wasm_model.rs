//! Compiles an ONNX model to WebAssembly, checks both modules against its recording where there is one, and writes what a host needs to a folder:
//! `cargo run --release -p mlp-codegen --example wasm_model -- model.onnx folder [SYMBOL=SIZE ...]`.

use mlp_bundle::DType;
use mlp_bundle::loops::{Body, Window, scalar};
use mlp_bundle::plan::Place;
use mlp_codegen::wasm::{self, Sharing, Target};
use mlp_graph::Tensor;
use mlp_import::onnx::{DimSignature, ImportOptions, import, signature};
use mlp_import::testdata::read_npz;
use mlp_wasm::{Offsets, Threads, WasmSession};
use std::collections::HashMap;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, folder, sizes @ ..] = args.as_slice() else {
        return Err("usage: wasm_model MODEL FOLDER [SYMBOL=SIZE ...]".into());
    };
    let (path, folder) = (Path::new(path), Path::new(folder));
    let model = std::fs::read(path)?;
    let recording = std::fs::read(path.with_extension("npz")).ok();
    let arrays: HashMap<String, Tensor> = match &recording {
        Some(bytes) => read_npz(bytes)?.into_iter().collect(),
        None => HashMap::new(),
    };
    let mut options = ImportOptions::default();
    for port in &signature(&model)?.inputs {
        let shape = arrays.get(&format!("in:{}", port.name)).map(|tensor| tensor.shape().to_vec()).unwrap_or_default();
        for (dim, size) in port.dims.iter().flatten().zip(shape) {
            if let DimSignature::Symbol(symbol) = dim {
                options.dims.insert(symbol.clone(), size);
            }
        }
    }
    for size in sizes {
        let (name, size) = size.split_once('=').ok_or("sizes are written SYMBOL=SIZE")?;
        options.dims.insert(name.to_owned(), size.parse()?);
    }
    let mut graph = import(&model, &options)?;
    mlp_graph::passes::optimize(&mut graph)?;
    let planned = mlp_plan::plan(&graph, &mlp_plan::PlanOptions::default())?;
    let plan = &planned.plan;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("weights"), &planned.weights)?;
    let start = |buffer| match plan.buffers[buffer].place {
        Place::Arena { offset } | Place::Weights { offset } => offset,
    };
    let inputs: Vec<Vec<u8>> = plan
        .inputs
        .iter()
        .map(|port| match arrays.get(&format!("in:{}", port.name)) {
            Some(tensor) => tensor.bytes().to_vec(),
            None => vec![0; plan.port_bytes(port, &[])],
        })
        .collect();
    let mut description = String::new();
    for kernel in &plan.kernels {
        let (macs, shape) = products(&kernel.body);
        description += &format!("step {macs} {} {shape}\n", kernel.name.replace(' ', "_"));
    }
    for (port, bytes) in plan.inputs.iter().zip(&inputs) {
        description += &format!("input {} {}\n", start(port.buffer), bytes.len());
    }
    std::fs::write(folder.join("inputs"), inputs.concat())?;
    for (name, target) in [("simd128", Target::Simd128), ("relaxed", Target::Relaxed)] {
        let module = wasm::emit(plan, target)?;
        std::fs::write(folder.join(format!("{name}.wasm")), &module.bytes)?;
        std::fs::write(folder.join(format!("{name}.steps.wasm")), wasm::emit_steps(plan, target)?.bytes)?;
        println!("{name}: {} bytes, {} pages of memory", module.bytes.len(), module.memory_pages);
        let offsets = Offsets { weights: module.weights_offset, arena: module.arena_offset };
        description += &format!("{name} {} {}\n", offsets.weights, offsets.arena);
        let mut session = WasmSession::new(&module.bytes, plan, &planned.weights, offsets)?;
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let outputs = session.run(&inputs, &[])?;
        if let Some(module) = wasm::emit_threads(plan, target, Sharing::WherePays)? {
            std::fs::write(folder.join(format!("{name}.threads.wasm")), &module.bytes)?;
            println!("  for threads: {} bytes, {} pages for each", module.bytes.len(), module.helper_pages);
            for count in 1..=4 {
                let threads = Threads { count, pages: module.memory_pages, helper_pages: module.helper_pages };
                let mut session = WasmSession::with_threads(&module.bytes, plan, &planned.weights, offsets, threads)?;
                let mut times = Vec::new();
                for _ in 0..20 {
                    let start = std::time::Instant::now();
                    if session.run(&inputs, &[])? != outputs {
                        return Err(format!("{name}: {count} threads compute other bits than one").into());
                    }
                    times.push(start.elapsed());
                }
                times.sort();
                println!("    {count} threads: {:?}", times[times.len() / 2]);
            }
        }
        for (port, output) in plan.outputs.iter().zip(&outputs) {
            if let Some(expected) = arrays.get(&format!("out:{}", port.name)) {
                let worst = worst(plan.buffers[port.buffer].dtype, output, expected);
                println!("  `{}`: the worst difference from the recording is {worst:.3e}", port.name);
            }
        }
    }
    std::fs::write(folder.join("description"), description)?;
    Ok(())
}

/// The products that a kernel sums, and its shape in words without spaces.
fn products(body: &Body) -> (u64, String) {
    let (window, depth, kind) = match body {
        Body::Contract(contract) => (contract.window, u64::from(contract.window.in_c), "dense"),
        Body::Depthwise(depthwise) => (depthwise.window, 1, "depthwise"),
        Body::Nest(_) | Body::Attention(_) | Body::Rows(_) => return (0, "nest".to_owned()),
    };
    let Window { in_h, in_w, in_c, out_h, out_w, out_c, kernel, stride, .. } = window;
    let shape = format!("{kind},{in_h}x{in_w}x{in_c}->{out_h}x{out_w}x{out_c},{}x{}/{}", kernel[0], kernel[1], stride[0]);
    (window.outputs() * window.taps() * depth, shape)
}

/// The greatest difference, relative to 1 or to the expected value where that is greater.
fn worst(dtype: DType, output: &[u8], expected: &Tensor) -> f64 {
    let number = |element: &[u8]| match scalar::cast(DType::F64, scalar::load(dtype, element)) {
        Ok(mlp_bundle::Scalar::F64(bits)) => f64::from_bits(bits),
        _ => f64::NAN,
    };
    let values = output.chunks_exact(dtype.size()).map(number);
    values
        .zip(expected.to_f64())
        .map(|(x, y)| (x - y).abs() / y.abs().max(1.0))
        .fold(0.0, |worst, x| if x > worst || x.is_nan() { x } else { worst })
}
