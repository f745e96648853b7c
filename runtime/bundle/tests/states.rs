//! States of plans: their text form, what the verifiers refuse, and that the evaluator keeps them from run to run.

mod support;

use mlp_bundle::gpu::{Binding, Dispatch, GpuProgram, StateTransfer, Transfer};
use mlp_bundle::loops::BufferId;
use mlp_bundle::loops::eval::Evaluator;
use mlp_bundle::plan::{Move, Plan, verify};
use support::refuses;

/// A sum that remembers, and two states that change places.
const PLAN: &str = r#"
plan "remembers" version 1 arena 768 weights 128
buffer b0 "x" f32 x 2 arena 0
buffer b1 "sum" f32 x 2 arena 64
buffer b2 "sum of this run" f32 x 2 arena 128
buffer b3 "twice" f32 x 2 arena 192
buffer b4 "left" f32 x 2 arena 256
buffer b5 "right" f32 x 2 arena 320
buffer b6 "fixed" f32 x 2 weights 0
buffer b7 "left of this run" f32 x 2 arena 384
buffer b8 "right of this run" f32 x 2 arena 448
input "x" b0 [2]
output "sum" b2 [2]
output "twice" b3 [2]
state "sum" b1 becomes b2
state "left" b4 becomes b8
state "right" b5 becomes b7

kernel add {
  nest parallel [2]
  v0 = load b0 at 0 [1*i0 of 2 by 1]
  v1 = load b1 at 0 [1*i0 of 2 by 1]
  v2 = add v0 v1
  store b2 at 0 [1*i0 of 2 by 1] = v2
}

kernel twice {
  nest parallel [2]
  v0 = load b4 at 0 [1*i0 of 2 by 1]
  v1 = load b5 at 0 [1*i0 of 2 by 1]
  v2 = load b0 at 0 [1*i0 of 2 by 1]
  v3 = add v0 v0
  v4 = add v0 v2
  store b3 at 0 [1*i0 of 2 by 1] = v3
  store b7 at 0 [1*i0 of 2 by 1] = v4
  store b8 at 0 [1*i0 of 2 by 1] = v1
}
"#;

fn plan() -> Plan {
    PLAN.parse().unwrap()
}

fn bytes(values: [f32; 2]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn a_plan_reads_back_with_its_states() {
    let plan = plan();
    assert_eq!(plan.states.len(), 3);
    assert_eq!(plan.to_string().parse::<Plan>().unwrap(), plan);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
    let stateless = Plan { states: Vec::new(), ..plan.clone() };
    assert!(!serde_json::to_string(&stateless).unwrap().contains("states"), "plans without states are written as before");
    assert_eq!(plan.moves()[1], Move { from: 448, to: 256, bytes: 8 });
}

#[test]
fn the_evaluator_keeps_states() {
    let (plan, weights) = (plan(), [0; 128]);
    let mut evaluator = Evaluator::new(&plan, &weights).unwrap();
    let mut run = |x: [f32; 2]| evaluator.run(&[&bytes(x)], &[]);
    // left and right of the runs: (0, 0), (0, x1), (x1, x2), (x2, x1 + x3).
    assert_eq!(run([1.0, 2.0]).unwrap(), [bytes([1.0, 2.0]), bytes([0.0, 0.0])]);
    assert_eq!(run([10.0, 20.0]).unwrap(), [bytes([11.0, 22.0]), bytes([0.0, 0.0])]);
    assert_eq!(run([5.0, 5.0]).unwrap(), [bytes([16.0, 27.0]), bytes([2.0, 4.0])]);
    assert_eq!(run([0.0, 0.0]).unwrap(), [bytes([16.0, 27.0]), bytes([20.0, 40.0])]);
    assert!(evaluator.run(&[&[0; 4]], &[]).is_err(), "an input of another size is refused");
    assert_eq!(evaluator.run(&[&bytes([1.0, 0.0])], &[]).unwrap()[0], bytes([17.0, 27.0]), "and changes nothing");
    evaluator.reset();
    assert_eq!(evaluator.run(&[&bytes([1.0, 2.0])], &[]).unwrap()[0], bytes([1.0, 2.0]));
}

/// Each edit breaks one invariant, and the message says which.
#[test]
fn the_verifier_refuses_broken_states() {
    verify::verify(&plan()).unwrap();
    let cases = [
        ("state \"sum\" b1 becomes b2", "state \"sum\" b1 becomes b1", "it becomes itself"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b1 becomes b9", "nothing becomes it"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b9 becomes b2", "it has no buffer"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b6 becomes b2", "it does not lie in the arena"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b1 becomes b6", "it does not lie in the arena"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b0 becomes b2", "an input or output lies where it lies"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b3 becomes b2", "an input or output lies where it lies"),
        ("state \"sum\" b1", "state \"left\" b1", "another state has the same name"),
        ("state \"sum\" b1", "state \"sum\" b4", "another state lies where"),
        ("state \"sum\" b1 becomes b2", "state \"sum\" b1 becomes b4", "another state lies where"),
        ("f32 x 2 arena 64", "f32 x 2 arena 128", "it shares bytes with buffer b2"),
        ("f32 x 2 arena 64", "f32 x 32 arena 64", "it is f32 x 32, and f32 x 2 becomes it"),
        ("\"sum\" f32 x 2 arena 64", "\"sum\" i32 x 2 arena 64", "it is i32 x 2, and f32 x 2 becomes it"),
        ("f32 x 2 arena 256", "f32 x 2 arena 320", "it shares bytes with buffer b5"),
        ("store b7 at", "store b4 at", "kernel `twice` stores to a state"),
    ];
    refuses(PLAN, &cases);
}

fn transfer(buffer: u32, slot: u32) -> Transfer {
    Transfer { buffer: BufferId::from_u32(buffer), slot, offset: 0, bytes: 8 }
}

/// The places of a GPU program for the plan: a slot a buffer.
fn program() -> GpuProgram {
    let state = |from, to| StateTransfer { from: transfer(from, from), to: transfer(to, to) };
    let dispatch = Dispatch {
        kernel: "add".into(),
        module: 0,
        entry: "m".into(),
        bindings: vec![Binding::Read(1), Binding::Write(2)],
        params: Vec::new(),
        workgroups: [1, 1, 1],
        variants: Vec::new(),
    };
    let module = mlp_bundle::gpu::ShaderModule { label: "add".into(), wgsl: String::new(), variant: String::new(), features: Vec::new() };
    GpuProgram {
        modules: vec![module],
        slots: vec![16; 9],
        uniforms: Vec::new(),
        inputs: vec![transfer(0, 0)],
        outputs: vec![transfer(2, 2), transfer(3, 3)],
        states: vec![state(2, 1), state(8, 4), state(7, 5)],
        dispatches: vec![dispatch],
        features: Vec::new(),
    }
}

#[test]
fn a_gpu_program_keeps_every_state_in_a_slot_that_nothing_writes_to() {
    let plan = plan();
    assert_eq!(program().verify(&plan), Ok(()));
    let refusal = |change: &dyn Fn(&mut GpuProgram)| {
        let mut program = program();
        change(&mut program);
        program.verify(&plan).unwrap_err()
    };
    assert_eq!(refusal(&|program| program.states.truncate(2)), "it has 2 states, the plan 3");
    assert_eq!(refusal(&|program| program.states[0].to.bytes = 16), "state `sum` does not fit its slots");
    assert_eq!(refusal(&|program| program.states[0].from.slot = 99), "state `sum` does not fit its slots");
    assert_eq!(refusal(&|program| program.states[0].to.offset = 12), "state `sum` does not fit its slots");
    assert_eq!(refusal(&|program| program.states[0].from.buffer = BufferId::from_u32(3)), "state `sum` does not fit its slots");
    let written = "something else is written to the slot of state `sum`";
    assert_eq!(refusal(&|program| program.dispatches[0].bindings.push(Binding::Write(1))), written);
    assert_eq!(refusal(&|program| program.states[0].to.slot = 0), written);
    assert_eq!(refusal(&|program| program.states[0].to.slot = 8), written);
}
