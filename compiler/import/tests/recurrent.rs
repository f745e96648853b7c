//! `LSTM`, `GRU` and `RNN` against plain loops over their formulas.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{DType, Op, Tensor, eval, passes};
use mlp_import::onnx::proto::{AttributeProto, ModelProto, TensorProto};
use mlp_import::onnx::{ImportOptions, import};

const STEPS: usize = 4;
const BATCH: usize = 3;
const WIDTH: usize = 5;
const HIDDEN: usize = 6;

/// What is asked of a node.
#[derive(Clone, Debug, Default)]
struct Case {
    op: &'static str,
    direction: &'static str,
    batch_first: bool,
    lengths: Option<[i32; BATCH]>,
    initial: bool,
    biases: bool,
    peepholes: bool,
    clip: Option<f32>,
    /// A flag of the operator.
    flag: Option<&'static str>,
    activations: Vec<&'static str>,
    alphas: Vec<f32>,
    betas: Vec<f32>,
}

impl Case {
    fn gates(&self) -> usize {
        match self.op {
            "LSTM" => 4,
            "GRU" => 3,
            _ => 1,
        }
    }

    fn directions(&self) -> usize {
        if self.direction == "bidirectional" { 2 } else { 1 }
    }

    /// The functions of a direction, with the numbers that they take.
    fn functions(&self, direction: usize) -> Vec<(String, f64, f64)> {
        let defaults = match self.op {
            "LSTM" => vec!["Sigmoid", "Tanh", "Tanh"],
            "GRU" => vec!["Sigmoid", "Tanh"],
            _ => vec!["Tanh"],
        };
        let count = defaults.len();
        let all = if self.activations.is_empty() { defaults.repeat(self.directions()) } else { self.activations.clone() };
        let (mut alphas, mut betas) = (self.alphas.iter(), self.betas.iter());
        let numbered = all.into_iter().map(|name| {
            let (alpha, beta) = match name {
                "Affine" => (Some(1.0), Some(0.0)),
                "LeakyRelu" => (Some(0.01), None),
                "ThresholdedRelu" | "Elu" => (Some(1.0), None),
                "ScaledTanh" => (Some(1.0), Some(1.0)),
                "HardSigmoid" => (Some(0.2), Some(0.5)),
                _ => (None, None),
            };
            let next = |default: Option<f64>, given: &mut std::slice::Iter<'_, f32>| {
                default.map_or(0.0, |default| given.next().map_or(default, |&number| f64::from(number)))
            };
            (name.to_owned(), next(alpha, &mut alphas), next(beta, &mut betas))
        });
        numbered.collect::<Vec<_>>()[direction * count..(direction + 1) * count].to_vec()
    }
}

fn apply((name, alpha, beta): &(String, f64, f64), x: f64) -> f64 {
    match name.as_str() {
        "Affine" => alpha * x + beta,
        "Relu" => x.max(0.0),
        "LeakyRelu" => {
            if x < 0.0 {
                alpha * x
            } else {
                x
            }
        }
        "ThresholdedRelu" => {
            if x > *alpha {
                x
            } else {
                0.0
            }
        }
        "Tanh" => x.tanh(),
        "ScaledTanh" => alpha * (beta * x).tanh(),
        "Sigmoid" => 1.0 / (1.0 + (-x).exp()),
        "HardSigmoid" => (alpha * x + beta).clamp(0.0, 1.0),
        "Elu" => {
            if x < 0.0 {
                alpha * (x.exp() - 1.0)
            } else {
                x
            }
        }
        "Softsign" => x / (1.0 + x.abs()),
        "Softplus" => (1.0 + x.exp()).ln(),
        other => panic!("{other}"),
    }
}

/// Numbers from -1 to 1 that repeat after long.
fn noise(dims: &[usize], seed: u64) -> Vec<f32> {
    let dims: Vec<u64> = dims.iter().map(|&dim| dim as u64).collect();
    let tensor = Tensor::noise(DType::F32, &dims, seed).unwrap();
    tensor.to_f64().iter().map(|&value| (value * 0.9) as f32).collect()
}

/// All operands: `X`, `W`, `R`, `B`, the initial states and `P`.
struct Operands {
    x: Vec<f32>,
    w: Vec<f32>,
    r: Vec<f32>,
    b: Vec<f32>,
    h: Vec<f32>,
    c: Vec<f32>,
    p: Vec<f32>,
}

impl Operands {
    fn of(case: &Case) -> Operands {
        let (gates, directions) = (case.gates() * HIDDEN, case.directions());
        let given = |given: bool, dims: &[usize], seed| if given { noise(dims, seed) } else { vec![0.0; dims.iter().product()] };
        Operands {
            x: noise(&[STEPS, BATCH, WIDTH], 1),
            w: noise(&[directions, gates, WIDTH], 2),
            r: noise(&[directions, gates, HIDDEN], 3),
            b: given(case.biases, &[directions, 2 * gates], 4),
            h: given(case.initial, &[directions, BATCH, HIDDEN], 5),
            c: given(case.initial, &[directions, BATCH, HIDDEN], 6),
            p: given(case.peepholes, &[directions, 3 * HIDDEN], 7),
        }
    }
}

/// `Y`, `Y_h` and `Y_c` by the formulas, batch first where the case says so.
fn expected(case: &Case, operands: &Operands) -> [Vec<f64>; 3] {
    let directions = case.directions();
    let mut y = vec![0.0; STEPS * directions * BATCH * HIDDEN];
    let mut ends = [vec![0.0; directions * BATCH * HIDDEN], vec![0.0; directions * BATCH * HIDDEN]];
    for (direction, row) in (0..directions).flat_map(|direction| (0..BATCH).map(move |row| (direction, row))) {
        let state =
            |all: &[f32]| -> Vec<f64> { all[(direction * BATCH + row) * HIDDEN..][..HIDDEN].iter().map(|&v| f64::from(v)).collect() };
        let (mut h, mut c) = (state(&operands.h), state(&operands.c));
        let length = case.lengths.map_or(STEPS, |lengths| lengths[row] as usize);
        let backwards = direction == 1 || case.direction == "reverse";
        for count in 0..length {
            let step = if backwards { length - 1 - count } else { count };
            (h, c) = one_step(case, operands, direction, &operands.x[(step * BATCH + row) * WIDTH..][..WIDTH], &h, &c);
            for (unit, &value) in h.iter().enumerate() {
                let at = if case.batch_first {
                    ((row * STEPS + step) * directions + direction) * HIDDEN + unit
                } else {
                    ((step * directions + direction) * BATCH + row) * HIDDEN + unit
                };
                y[at] = value;
            }
        }
        for (end, last) in ends.iter_mut().zip([&h, &c]) {
            let at = if case.batch_first { row * directions + direction } else { direction * BATCH + row };
            end[at * HIDDEN..][..HIDDEN].copy_from_slice(last);
        }
    }
    let [h, c] = ends;
    [y, h, c]
}

fn one_step(case: &Case, operands: &Operands, direction: usize, x: &[f32], h: &[f64], c: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let gates = case.gates() * HIDDEN;
    let functions = case.functions(direction);
    let clip = |x: f64| case.clip.map_or(x, |clip| x.clamp(-f64::from(clip), f64::from(clip)));
    let act = |function: usize, x: f64| apply(&functions[function], clip(x));
    let bias = |at: usize| f64::from(operands.b[direction * 2 * gates + at]);
    let of_input = |unit: usize| {
        let weights = &operands.w[(direction * gates + unit) * WIDTH..][..WIDTH];
        bias(unit) + weights.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>()
    };
    let product = |unit: usize, h: &[f64]| {
        let weights = &operands.r[(direction * gates + unit) * HIDDEN..][..HIDDEN];
        weights.iter().zip(h).map(|(&w, &h)| f64::from(w) * h).sum::<f64>()
    };
    let sum = |gate: usize, unit: usize| {
        let at = gate * HIDDEN + unit;
        of_input(at) + product(at, h) + bias(gates + at)
    };
    let peephole = |gate: usize, unit: usize| f64::from(operands.p[direction * 3 * HIDDEN + gate * HIDDEN + unit]);
    let units = 0..HIDDEN;
    match case.op {
        "RNN" => (units.map(|unit| act(0, sum(0, unit))).collect(), c.to_vec()),
        "LSTM" => {
            let pairs = units.map(|unit| {
                let i = act(0, sum(0, unit) + peephole(0, unit) * c[unit]);
                let f = if case.flag.is_some() { 1.0 - i } else { act(0, sum(2, unit) + peephole(2, unit) * c[unit]) };
                let cell = f * c[unit] + i * act(1, sum(3, unit));
                let o = act(0, sum(1, unit) + peephole(1, unit) * cell);
                (o * apply(&functions[2], cell), cell)
            });
            pairs.unzip()
        }
        _ => {
            let z: Vec<f64> = units.clone().map(|unit| act(0, sum(0, unit))).collect();
            let r: Vec<f64> = units.clone().map(|unit| act(0, sum(1, unit))).collect();
            let reset: Vec<f64> = r.iter().zip(h).map(|(r, h)| r * h).collect();
            let next = units.map(|unit| {
                let at = 2 * HIDDEN + unit;
                let inner = match case.flag {
                    Some(_) => of_input(at) + r[unit] * (product(at, h) + bias(gates + at)),
                    None => of_input(at) + product(at, &reset) + bias(gates + at),
                };
                (1.0 - z[unit]) * act(1, inner) + z[unit] * h[unit]
            });
            (next.collect(), c.to_vec())
        }
    }
}

fn attributes(case: &Case) -> Vec<AttributeProto> {
    let mut attributes = vec![int("hidden_size", HIDDEN as i64), string("direction", case.direction)];
    if case.batch_first {
        attributes.push(int("layout", 1));
    }
    attributes.extend(case.clip.map(|clip| float("clip", clip)));
    attributes.extend(case.flag.map(|flag| int(flag, 1)));
    if !case.activations.is_empty() {
        attributes.push(strings("activations", &case.activations));
        attributes.push(floats("activation_alpha", &case.alphas));
        attributes.push(floats("activation_beta", &case.betas));
    }
    attributes
}

/// Axes 0 and 1 exchanged.
fn exchanged(values: &[f32], [rows, columns, width]: [usize; 3]) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).flat_map(move |row| values[(row * columns + column) * width..][..width].to_vec())).collect()
}

/// The model of a case and its inputs; the lengths are an input too where they are not to be known when compiling.
fn model_of(case: &Case, operands: &Operands, lengths_given: bool) -> (ModelProto, Vec<Tensor>) {
    let directions = case.directions();
    let (gates, d) = ((case.gates() * HIDDEN) as i64, directions as i64);
    let (steps, batch, width, hidden) = (STEPS as i64, BATCH as i64, WIDTH as i64, HIDDEN as i64);
    let (dims, x) = match case.batch_first {
        true => ([batch, steps, width], exchanged(&operands.x, [STEPS, BATCH, WIDTH])),
        false => ([steps, batch, width], operands.x.clone()),
    };
    let state = |name: &str, values: &[f32]| match case.batch_first {
        true => floats_tensor(name, &[batch, d, hidden], &exchanged(values, [directions, BATCH, HIDDEN])),
        false => floats_tensor(name, &[d, batch, hidden], values),
    };
    let mut stored: Vec<TensorProto> = vec![
        floats_tensor("w", &[d, gates, width], &operands.w),
        floats_tensor("r", &[d, gates, hidden], &operands.r),
        floats_tensor("b", &[d, 2 * gates], &operands.b),
        state("h", &operands.h),
        state("c", &operands.c),
        floats_tensor("p", &[d, 3 * hidden], &operands.p),
    ];
    let mut ports = vec![port("x", FLOAT, &dims)];
    let mut inputs = vec![Tensor::from_f32(&dims.map(|dim| dim as u64), &x).unwrap()];
    if let Some(lengths) = case.lengths {
        if lengths_given {
            ports.push(port("lengths", INT32, &[batch]));
            inputs.push(Tensor::from_i32(&[BATCH as u64], &lengths).unwrap());
        } else {
            stored.push(narrow_tensor("lengths", INT32, &[batch], &lengths));
        }
    }
    let name = |given: bool, name: &'static str| if given { name } else { "" };
    let is_lstm = case.op == "LSTM";
    let mut operands = vec!["x", "w", "r", name(case.biases, "b"), name(case.lengths.is_some(), "lengths"), name(case.initial, "h")];
    if is_lstm {
        operands.extend([name(case.initial, "c"), name(case.peepholes, "p")]);
    }
    let outputs = if is_lstm { vec!["y", "yh", "yc"] } else { vec!["y", "yh"] };
    (model(14, ports, stored, vec![node(case.op, &operands, &outputs, attributes(case))], &outputs), inputs)
}

fn check(case: &Case) {
    let operands = Operands::of(case);
    let expected = expected(case, &operands);
    for lengths_given in [false, true] {
        let (model, inputs) = model_of(case, &operands, lengths_given);
        let mut graph = import(&bytes(&model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{case:?}: {error}"));
        let products = graph.order.iter().filter(|&&op| matches!(graph.ops[op].op, Op::MatMul)).count();
        let a_step = if case.op == "GRU" && case.flag.is_none() { 2 } else { 1 };
        assert_eq!(products, 1 + a_step * STEPS * case.directions(), "one product for all inputs, and others a step");
        for optimized in [false, true] {
            if optimized {
                passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{case:?}: {error}"));
            }
            let results = eval::run(&graph, &inputs).unwrap_or_else(|error| panic!("{case:?}: {error}"));
            for (output, (result, expected)) in results.iter().zip(&expected).enumerate() {
                assert_eq!(result.to_f64().len(), expected.len());
                for (at, (got, want)) in result.to_f64().iter().zip(expected).enumerate() {
                    assert!(
                        (got - want).abs() < 1e-5 * want.abs().max(1.0),
                        "{case:?}: element {at} of output {output} is {got} instead of {want}"
                    );
                }
            }
        }
    }
}

fn plain(op: &'static str, direction: &'static str) -> Case {
    Case { op, direction, ..Case::default() }
}

#[test]
fn layers_run_in_every_direction_and_layout() {
    for op in ["LSTM", "GRU", "RNN"] {
        for direction in ["forward", "reverse", "bidirectional"] {
            for batch_first in [false, true] {
                check(&Case { batch_first, biases: true, initial: true, ..plain(op, direction) });
            }
            check(&plain(op, direction));
        }
    }
}

#[test]
fn sequences_end_where_their_lengths_say() {
    for op in ["LSTM", "GRU", "RNN"] {
        for direction in ["forward", "reverse", "bidirectional"] {
            check(&Case { lengths: Some([4, 1, 2]), initial: true, batch_first: op == "GRU", ..plain(op, direction) });
        }
    }
    check(&Case { lengths: Some([4, 4, 4]), biases: true, ..plain("LSTM", "forward") });
    check(&Case { lengths: Some([0, 3, 3]), initial: true, ..plain("LSTM", "reverse") });
}

#[test]
fn gates_peek_are_clipped_and_coupled() {
    check(&Case { peepholes: true, biases: true, initial: true, ..plain("LSTM", "bidirectional") });
    check(&Case { flag: Some("input_forget"), peepholes: true, initial: true, ..plain("LSTM", "forward") });
    check(&Case { flag: Some("linear_before_reset"), biases: true, initial: true, ..plain("GRU", "bidirectional") });
    check(&Case { flag: Some("linear_before_reset"), ..plain("GRU", "reverse") });
    for op in ["LSTM", "GRU", "RNN"] {
        check(&Case { clip: Some(0.3), biases: true, initial: true, ..plain(op, "forward") });
    }
}

#[test]
fn activations_take_their_numbers_in_order() {
    let all =
        ["Affine", "Relu", "LeakyRelu", "ThresholdedRelu", "Tanh", "ScaledTanh", "Sigmoid", "HardSigmoid", "Elu", "Softsign", "Softplus"];
    for name in all {
        check(&Case { activations: vec![name], alphas: vec![0.6], betas: vec![0.4], biases: true, ..plain("RNN", "forward") });
        check(&Case { activations: vec![name], biases: true, ..plain("RNN", "reverse") });
    }
    let activations = vec!["HardSigmoid", "Relu", "ScaledTanh", "Sigmoid", "Elu", "LeakyRelu"];
    check(&Case {
        activations,
        alphas: vec![0.3, 0.7, 1.5, 0.2],
        betas: vec![0.4, 0.9],
        biases: true,
        initial: true,
        ..plain("LSTM", "bidirectional")
    });
    let activations = vec!["Sigmoid", "ScaledTanh", "HardSigmoid", "Softsign"];
    check(&Case { activations, alphas: vec![0.8], betas: vec![1.1], biases: true, ..plain("GRU", "bidirectional") });
}

fn refused(case: &Case, change: impl Fn(&mut ModelProto)) -> String {
    let (mut model, _) = model_of(case, &Operands::of(case), false);
    change(&mut model);
    import(&bytes(&model), &ImportOptions::default()).expect_err("it is wrong").to_string()
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Case { biases: true, initial: true, ..plain("LSTM", "forward") };
    let attribute =
        |index: usize, new: AttributeProto| refused(&case, |model| model.graph.as_mut().unwrap().node[0].attribute[index] = new.clone());
    assert!(attribute(0, int("hidden_size", 7)).contains("hidden_size"));
    assert!(attribute(1, string("direction", "sideways")).contains("`sideways`"));
    assert!(attribute(1, string("direction", "bidirectional")).contains("W has shape [1, 24, 5], but must have [2, 24, 5]"));
    let stored = |index: usize, new: TensorProto| refused(&case, |model| model.graph.as_mut().unwrap().initializer[index] = new.clone());
    assert!(stored(1, floats_tensor("r", &[1, 24, 5], &[0.0; 120])).contains("hidden_size"));
    assert!(stored(2, floats_tensor("b", &[1, 24], &[0.0; 24])).contains("B has shape"));
    assert!(stored(3, floats_tensor("h", &[3, 1, 6], &[0.0; 18])).contains("an initial state has shape [3, 1, 6]"));
    let more = |new: AttributeProto| refused(&case, |model| model.graph.as_mut().unwrap().node[0].attribute.push(new.clone()));
    assert!(more(strings("activations", &["Tanh"])).contains("names 1 functions, and 3 are needed"));
    assert!(more(strings("activations", &["Tanh", "Tanh", "Frob"])).contains("`Frob`"));
    assert!(more(int("layout", 2)).contains("`layout` is 2"));
    let long = Case { lengths: Some([9, 1, 1]), ..case.clone() };
    assert!(refused(&long, |_| ()).contains("a sequence has 9 steps, but there are 4"));
    let endless = refused(&case, |model| model.graph.as_mut().unwrap().input[0] = port("x", FLOAT, &[1_000_000, 3, 5]));
    assert!(endless.contains("its 1000000 steps are unrolled, of which 4096 are supported"), "{endless}");
}
