//! Families written as graphs of one size, against the graph of all: for every size both must give the same numbers. The rest of inputs is NaN in the interpreter.

use super::{DynamicError, Varying, join};
use crate::eval::run;
use crate::ir::{Graph, Origin, Type, ValueId};
use crate::op::{BinaryOp, CompareOp, Layout, Op, PoolKind, ReduceKind, Spatial, UnaryOp};
use crate::passes::optimize;
use crate::tensor::Tensor;
use mlp_bundle::DType;
use std::convert::Infallible;

fn varying(most: &[u64]) -> Vec<Varying> {
    most.iter().enumerate().map(|(index, &max)| Varying::new(format!("n{index}"), max)).collect()
}

/// Makes one graph and compares it with every member.
fn holds(most: &[u64], member: impl Fn(&[u64]) -> Graph) {
    let graph = join(&varying(most), &mut |sizes| Ok::<_, Infallible>(member(sizes))).unwrap_or_else(|error| panic!("{error}"));
    let mut optimized = graph.clone();
    optimize(&mut optimized).unwrap();
    let mut sizes = vec![1; most.len()];
    loop {
        let meant = member(&sizes);
        let inputs: Vec<Tensor> = meant.inputs.iter().enumerate().map(|(index, port)| noise(meant.ty(port.value), index as u64)).collect();
        let expected = run(&meant, &inputs).unwrap();
        for graph in [&graph, &optimized] {
            let found = run(graph, &inputs).unwrap_or_else(|error| panic!("at {sizes:?}: {error}\n{}", crate::text::brief(graph)));
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((found.dtype(), found.shape()), (expected.dtype(), expected.shape()), "at {sizes:?}");
                let near = |(a, b): (&f64, &f64)| a == b || (a - b).abs() <= 1e-5 * (1.0 + b.abs()) || (a.is_nan() && b.is_nan());
                let (a, b) = (found.to_f64(), expected.to_f64());
                assert!(a.iter().zip(&b).all(near), "at {sizes:?}: {a:?} instead of {b:?}\n{}", crate::text::brief(graph));
            }
        }
        let Some(axis) = (0..most.len()).find(|&axis| sizes[axis] < most[axis]) else { return };
        sizes[..axis].fill(1);
        sizes[axis] += 1;
    }
}

fn noise(ty: &Type, seed: u64) -> Tensor {
    let dims = ty.shape.constants().unwrap();
    match ty.dtype {
        DType::I64 | DType::I32 => {
            let values: Vec<f64> = (0..dims.iter().product::<u64>()).map(|index| ((index * 7 + seed) % 5) as f64 - 2.0).collect();
            Tensor::from_f64_as(ty.dtype, &dims, &values).unwrap()
        }
        dtype => Tensor::noise(dtype, &dims, seed).unwrap(),
    }
}

fn refusal(most: &[u64], member: impl Fn(&[u64]) -> Graph) -> String {
    match join(&varying(most), &mut |sizes| Ok::<_, Infallible>(member(sizes))) {
        Err(DynamicError::Differs { place, reason } | DynamicError::Alone { place, reason, .. }) => format!("{place}: {reason}"),
        other => panic!("{other:?}"),
    }
}

/// A graph of float inputs of these shapes, and what is made of them.
fn graph(shapes: &[&[u64]], make: impl FnOnce(&mut Graph, &[ValueId]) -> Vec<ValueId>) -> Graph {
    typed(&shapes.iter().map(|shape| (DType::F32, *shape)).collect::<Vec<_>>(), make)
}

fn typed(inputs: &[(DType, &[u64])], make: impl FnOnce(&mut Graph, &[ValueId]) -> Vec<ValueId>) -> Graph {
    let mut graph = Graph::new("g");
    let add = |(index, (dtype, shape)): (usize, &(DType, &[u64]))| graph.add_input(format!("x{index}"), Type::fixed(*dtype, shape));
    let values: Vec<ValueId> = inputs.iter().enumerate().map(add).collect();
    for (index, value) in make(&mut graph, &values).into_iter().enumerate() {
        graph.add_output(format!("y{index}"), value);
    }
    graph
}

fn op(graph: &mut Graph, op: Op, operands: &[ValueId]) -> ValueId {
    graph.append_one(op, operands, Origin::new("op")).unwrap()
}

fn shaped(graph: &mut Graph, op: Op, x: ValueId, dims: &[u64]) -> ValueId {
    let ty = Type::fixed(graph.ty(x).dtype, dims);
    graph.append_typed(op, &[x], &[ty], Origin::new("op")).unwrap()[0]
}

#[test]
fn maps_and_broadcasts() {
    holds(&[3, 5], |n| {
        graph(&[&[n[0], n[1], 2], &[1, n[1], 1]], |graph, x| {
            let sum = op(graph, Op::Binary(BinaryOp::Add), x);
            let power = op(graph, Op::Unary(UnaryOp::Exp), &[sum]);
            let wide = shaped(graph, Op::Broadcast, x[1], &[n[0], n[1], 3]);
            let moved = op(graph, Op::Transpose { perm: vec![2, 1, 0] }, &[wide]);
            vec![power, moved]
        })
    });
}

#[test]
fn reductions_softmax_and_normalization_of_other_axes() {
    for kind in [ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Prod, ReduceKind::Max, ReduceKind::Min] {
        holds(&[4, 6], |n| {
            graph(&[&[n[0], n[1], 3]], |graph, x| {
                let one = op(graph, Op::Reduce { kind, axes: vec![1], keep: true }, x);
                let both = op(graph, Op::Reduce { kind, axes: vec![0, 1], keep: false }, x);
                vec![one, both]
            })
        });
    }
    holds(&[7], |n| {
        graph(&[&[2, n[0]]], |graph, x| {
            let soft = op(graph, Op::Softmax { axis: 1 }, x);
            let arg = |max, last| Op::ArgReduce { max, axis: 1, keep: false, last };
            let (most, least) = (op(graph, arg(true, false), x), op(graph, arg(false, true), x));
            vec![soft, most, least]
        })
    });
    holds(&[5], |n| {
        typed(&[(DType::I64, &[n[0], 2])], |graph, x| {
            let zeros = op(graph, Op::Binary(BinaryOp::Sub), &[x[0], x[0]]);
            vec![op(graph, Op::ArgReduce { max: true, axis: 0, keep: false, last: true }, &[zeros])]
        })
    });
}

#[test]
fn normalization_over_an_axis_that_varies() {
    for centred in [false, true] {
        let epsilon = 1e-3f32.to_bits();
        holds(&[7, 3], |n| graph(&[&[n[1], n[0]]], |graph, x| vec![op(graph, Op::Normalize { axis: 1, epsilon, centred }, x)]));
    }
}

#[test]
fn attention_of_any_number_of_heads() {
    holds(&[3, 4], |n| {
        graph(&[&[1, n[1], n[0], 2], &[1, n[1], n[0], 2], &[1, n[1], n[0], 3]], |graph, x| {
            vec![op(graph, Op::Attention { scale: 0.5f32.to_bits(), guarded: false }, x)]
        })
    });
}

#[test]
fn the_best_of_what_varies() {
    holds(&[6], |n| {
        typed(&[(DType::I32, &[n[0] + 2, 2])], |graph, x| {
            let k = (n[0] + 2).min(3);
            let results = graph.append(Op::TopK { k: 3.min(k), axis: 0, largest: true }, x, Origin::new("top")).unwrap();
            let all = graph.append(Op::TopK { k: n[0] + 2, axis: 0, largest: false }, x, Origin::new("sort")).unwrap();
            [results, all].concat()
        })
    });
}

#[test]
fn products_and_attention() {
    holds(&[3, 4], |n| {
        graph(&[&[n[0], 2, n[1]], &[n[0], n[1], 5], &[n[1]]], |graph, x| {
            let product = op(graph, Op::MatMul, &x[..2]);
            let vector = op(graph, Op::MatMul, &[x[0], x[2]]);
            vec![product, vector]
        })
    });
    for (masked, guarded) in [(false, false), (true, false), (true, true)] {
        holds(&[4, 3], |n| {
            graph(&[&[1, n[0], 2, 3], &[1, n[1], 2, 3], &[1, n[1], 2, 2], &[1, 1, n[0], n[1]]], |graph, x| {
                let operands = if masked { x } else { &x[..3] };
                let attention = op(graph, Op::Attention { scale: 0.5f32.to_bits(), guarded }, operands);
                let mask = op(graph, Op::Unary(UnaryOp::Neg), &x[3..]);
                vec![attention, mask]
            })
        });
    }
}

#[test]
fn reshapes_that_stay_and_that_move() {
    holds(&[3, 5], |n| {
        graph(&[&[n[0], n[1], 6]], |graph, x| {
            let heads = shaped(graph, Op::Reshape, x[0], &[n[0], n[1], 2, 3]);
            let flat = shaped(graph, Op::Reshape, x[0], &[n[0] * n[1], 6]);
            let turned = op(graph, Op::Transpose { perm: vec![0, 2, 1, 3] }, &[heads]);
            let joined = shaped(graph, Op::Reshape, turned, &[n[0] * 2, n[1], 3]);
            let sums = op(graph, Op::Reduce { kind: ReduceKind::Sum, axes: vec![0], keep: false }, &[flat]);
            let back = shaped(graph, Op::Reshape, flat, &[n[0], n[1] * 6]);
            let line = shaped(graph, Op::Reshape, x[0], &[n[0] * n[1] * 6]);
            vec![joined, sums, back, line]
        })
    });
}

#[test]
fn slices_padding_and_parts() {
    holds(&[6, 4], |n| {
        graph(&[&[n[0] + 1, n[1]]], |graph, x| {
            let dims = |rows: u64, columns: u64| crate::shape::Shape::fixed(&[rows, columns]);
            let origin = || Origin::new("slice");
            let last = graph.slice(x[0], vec![n[0] as i64, 0], vec![1, 1], dims(1, n[1]), origin()).unwrap();
            let tail = graph.slice(x[0], vec![1, 0], vec![1, 1], dims(n[0], n[1]), origin()).unwrap();
            let back = graph.slice(x[0], vec![n[0] as i64, n[1] as i64 - 1], vec![-1, -1], dims(n[0] + 1, n[1]), origin()).unwrap();
            let even = graph.slice(x[0], vec![0, 0], vec![2, 1], dims((n[0] + 2) / 2, n[1]), origin()).unwrap();
            let seven = graph.scalar(DType::F32, 7.0, origin());
            let padded = op(graph, Op::Pad { before: vec![1, 0], after: vec![2, 3] }, &[x[0], seven]);
            let joined = op(graph, Op::Concat { axis: 0 }, &[tail, last, x[0]]);
            let beside = op(graph, Op::Concat { axis: 1 }, &[tail, tail]);
            vec![last, tail, back, even, padded, joined, beside]
        })
    });
}

#[test]
fn gathers_from_what_varies() {
    for dtype in [DType::I64, DType::I32, DType::U8] {
        holds(&[5, 3], |n| {
            typed(&[(DType::F32, &[n[0], 2]), (DType::I64, &[n[1]])], |graph, x| {
                let index = op(graph, Op::Cast(dtype), &x[1..]);
                vec![op(graph, Op::Gather { axis: 0 }, &[x[0], index])]
            })
        });
    }
}

#[test]
fn constants_that_go_by_the_sizes() {
    holds(&[6, 3], |n| {
        graph(&[&[n[1], n[0]]], |graph, x| {
            let origin = || Origin::new("constant");
            let places: Vec<f32> = (0..n[0]).map(|at| at as f32).collect();
            let places = graph.constant(Tensor::from_f32(&[1, n[0]], &places).unwrap(), origin());
            let size = graph.constant(Tensor::from_i64(&[3], &[n[0] as i64, 7, (n[0] * n[1]) as i64]).unwrap(), origin());
            let share = graph.constant(Tensor::scalar(1.0 / n[0] as f32), origin());
            let sum = op(graph, Op::Binary(BinaryOp::Add), &[x[0], places]);
            let scaled = op(graph, Op::Binary(BinaryOp::Mul), &[sum, share]);
            vec![scaled, size]
        })
    });
}

fn spatial(kernel: u64, stride: u64, pads: [u64; 2]) -> Spatial {
    let two = |x: u64| vec![x, x];
    Spatial { kernel: two(kernel), strides: two(stride), dilations: two(1), pads_begin: two(pads[0]), pads_end: two(pads[1]) }
}

#[test]
fn windows() {
    for (stride, pads) in [(1, [1, 1]), (2, [1, 1]), (2, [0, 0]), (1, [0, 2])] {
        for layout in [Layout::ChannelsFirst, Layout::ChannelsLast] {
            holds(&[2, 9, 6], |n| {
                let (rows, columns) = (n[1] + 2, n[2] + 2);
                let shape = if layout == Layout::ChannelsFirst { [n[0], 2, rows, columns] } else { [n[0], rows, columns, 2] };
                graph(&[&shape], |graph, x| {
                    let weights = graph.constant(Tensor::noise(DType::F32, &[3, 2, 3, 3], 9).unwrap(), Origin::new("w"));
                    let conv = op(graph, Op::Conv { spatial: spatial(3, stride, pads), groups: 1, layout }, &[x[0], weights]);
                    let pools = [PoolKind::Max, PoolKind::Mean, PoolKind::MeanWithPadding];
                    let pools = pools.map(|kind| op(graph, Op::Pool { kind, spatial: spatial(3, stride, pads), layout }, x));
                    [&[conv][..], &pools].concat()
                })
            });
        }
    }
}

#[test]
fn sizes_in_steps() {
    let varying = [Varying { name: "rows".into(), max: 24, step: 4 }];
    let member = |n: &[u64]| {
        graph(&[&[2, n[0]]], |graph, x| {
            let halves = shaped(graph, Op::Reshape, x[0], &[2, n[0] / 4, 4]);
            vec![op(graph, Op::Reduce { kind: ReduceKind::Sum, axes: vec![1], keep: false }, &[halves])]
        })
    };
    let joined = join(&varying, &mut |sizes| Ok::<_, Infallible>(member(sizes))).unwrap();
    let names: Vec<&str> = joined.symbols.values().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!(names, ["rows / 4", "rows"]);
    for rows in [4, 12, 24] {
        let x = Tensor::noise(DType::F32, &[2, rows], 1).unwrap();
        assert_eq!(run(&joined, std::slice::from_ref(&x)).unwrap(), run(&member(&[rows]), &[x]).unwrap());
    }
    for rows in [2, 6, 28] {
        assert!(run(&joined, &[Tensor::noise(DType::F32, &[2, rows], 1).unwrap()]).is_err(), "{rows} rows are taken");
    }
}

#[test]
fn a_small_encoder() {
    holds(&[2, 7], |n| {
        typed(&[(DType::I64, &[n[0], n[1]])], |graph, x| {
            let table = graph.constant(Tensor::noise(DType::F32, &[5, 4], 3).unwrap(), Origin::new("table"));
            let embedded = op(graph, Op::Gather { axis: 0 }, &[table, x[0]]);
            let heads = shaped(graph, Op::Reshape, embedded, &[n[0], n[1], 2, 2]);
            let query = op(graph, Op::Transpose { perm: vec![0, 2, 1, 3] }, &[heads]);
            let key = op(graph, Op::Transpose { perm: vec![0, 2, 3, 1] }, &[heads]);
            let scores = op(graph, Op::MatMul, &[query, key]);
            let zero = graph.scalar(DType::I64, 0.0, Origin::new("zero"));
            let is_word = op(graph, Op::Compare(CompareOp::Ne), &[x[0], zero]);
            let is_word = shaped(graph, Op::Reshape, is_word, &[n[0], 1, 1, n[1]]);
            let far = graph.scalar(DType::F32, -1e30, Origin::new("far"));
            let masked = op(graph, Op::Select, &[is_word, scores, far]);
            let weights = op(graph, Op::Softmax { axis: 3 }, &[masked]);
            let mixed = op(graph, Op::MatMul, &[weights, query]);
            let back = op(graph, Op::Transpose { perm: vec![0, 2, 1, 3] }, &[mixed]);
            let joined = shaped(graph, Op::Reshape, back, &[n[0], n[1], 4]);
            let normal = op(graph, Op::Normalize { axis: 2, epsilon: 1e-5f32.to_bits(), centred: true }, &[joined]);
            let mean = op(graph, Op::Reduce { kind: ReduceKind::Mean, axes: vec![1], keep: false }, &[normal]);
            vec![normal, mean]
        })
    });
}

#[test]
fn what_cannot_vary_says_so() {
    let other = refusal(&[8], |n| {
        graph(&[&[n[0]]], |graph, x| {
            let op = if n[0] > 5 { UnaryOp::Exp } else { UnaryOp::Neg };
            vec![graph.unary(op, x[0], Origin::new("fork")).unwrap()]
        })
    });
    assert_eq!(
        other,
        "fork: where `n0` is 5 the operation is another than at the greatest; give it a constant size, or one that goes in greater steps"
    );
    let two = refusal(&[2], |n| {
        graph(&[&[n[0]]], |graph, x| {
            let op = if n[0] == 1 { UnaryOp::Exp } else { UnaryOp::Neg };
            vec![graph.unary(op, x[0], Origin::new("fork")).unwrap()]
        })
    });
    assert_eq!(two, "the size `n0`: all is computed otherwise where it is 1; give it a constant size, or a greater bound");
    let cube = refusal(&[20], |n| graph(&[&[n[0].pow(3)]], |_, x| x.to_vec()));
    assert_eq!(cube, "input `x0`: its size follows from the others by no formula that is known; give it a constant size");
    let table = refusal(&[8], |n| {
        graph(&[&[n[0]]], |graph, x| {
            let values: Vec<f32> = (0..n[0]).map(|at| (n[0] - at) as f32).collect();
            let down = graph.constant(Tensor::from_f32(&[n[0]], &values).unwrap(), Origin::new("down"));
            vec![op(graph, Op::Binary(BinaryOp::Add), &[x[0], down])]
        })
    });
    assert_eq!(table, "down: its numbers are others at other sizes; give it a constant size");
}
