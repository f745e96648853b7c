//! Runs a plan on one thread (or more) and prints the kernels that take longest: `time_plan PLAN WEIGHTS [THREADS] [RUNS] [INPUT|-] [SYMBOL ...]`, the plan
//! in its text form or as JSON, the input as raw bytes (zeros without one), the symbols' values in order. The first output is written beside the plan.

use mlp_bundle::plan::Plan;
use mlp_native::{Options, Program};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, or: usize| args.get(i).and_then(|arg| arg.parse().ok()).unwrap_or(or);
    let path = args.first().ok_or("usage: time_plan PLAN WEIGHTS [THREADS] [RUNS] [INPUT|-] [SYMBOL ...]")?;
    let text = std::fs::read_to_string(path)?;
    let plan: Plan = if path.ends_with(".json") { serde_json::from_str(&text)? } else { text.parse()? };
    let weights = std::fs::read(args.get(1).ok_or("the weights are missing")?)?;
    let start = Instant::now();
    let mut program = Program::compile(&plan, weights.into(), &Options { threads: number(2, 1), isa: None })?;
    println!("compiled in {:.1} ms for {}", start.elapsed().as_secs_f64() * 1e3, program.isa());
    let symbols: Vec<u32> = plan.symbols.values().enumerate().map(|(i, symbol)| number(5 + i, symbol.max as usize) as u32).collect();
    let mut inputs: Vec<Vec<u8>> = plan.inputs.iter().map(|port| vec![0; plan.port_bytes(port, &symbols)]).collect();
    if let Some(file) = args.get(4).filter(|file| *file != "-") {
        inputs[0] = std::fs::read(file)?;
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let runs = number(3, 50);
    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let outputs = program.run(&inputs, &symbols)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        std::fs::write(format!("{path}.out"), &outputs[0])?;
    }
    times.sort_by(f64::total_cmp);
    println!("a run takes {:.2} ms at least, {:.2} ms in the middle", times[0], times[runs / 2]);
    let mut least = vec![u64::MAX; plan.kernels.len()];
    for _ in 0..runs {
        for (least, time) in least.iter_mut().zip(program.profile(&inputs, &symbols)?) {
            *least = time.min(*least);
        }
    }
    println!("kernels take {:.2} ms in all", least.iter().sum::<u64>() as f64 / 1e6);
    let mut order: Vec<usize> = (0..least.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(least[i]));
    for i in order.into_iter().take(25) {
        let kernel = &plan.kernels[i];
        let macs = kernel.macs() as f64 / least[i] as f64;
        println!("{:>8.1} us {:>6.1} mac/ns {:<10} {}", least[i] as f64 / 1e3, macs, program.methods()[i], kernel.name);
    }
    Ok(())
}
