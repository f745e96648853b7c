//! One running pointer for all accesses that step through a buffer alike.

use crate::wasm::address::Address;
use crate::wasm::code::{Code, Local};
use crate::wasm::layout::Layout;
use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::Plan;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

struct Pointer {
    buffer: BufferId,
    terms: Vec<(u8, i64)>,
    /// Elements before the first access of the group.
    base: i64,
    size: i64,
    /// The variable at the current loop.
    local: Option<Local>,
}

/// The pointers of a nest.
#[derive(Default)]
pub(crate) struct Pointers {
    list: Vec<Pointer>,
}

impl Pointers {
    /// Groups the accesses.
    pub(crate) fn group<'a>(plan: &Plan, addresses: impl Iterator<Item = &'a Address>) -> Pointers {
        let mut pointers = Pointers::default();
        for address in addresses {
            match pointers.find(address) {
                Some(found) => pointers.list[found].base = pointers.list[found].base.min(address.base),
                None => pointers.list.push(Pointer {
                    buffer: address.buffer,
                    terms: address.terms.clone(),
                    base: address.base,
                    size: plan.buffers[address.buffer].dtype.size() as i64,
                    local: None,
                }),
            }
        }
        pointers
    }

    fn find(&self, address: &Address) -> Option<usize> {
        self.list.iter().position(|pointer| pointer.buffer == address.buffer && pointer.terms == address.terms)
    }

    /// Asks for the buffers' addresses.
    pub(crate) fn start(&mut self, code: &mut Code, layout: &Layout) {
        for pointer in &mut self.list {
            let start = layout.address(pointer.buffer) as i64 + pointer.base * pointer.size;
            pointer.local = Some(code.param(start as u32 as i32));
        }
    }

    /// The variable and the constant offset of an access.
    pub(crate) fn place(&self, address: &Address) -> (Option<Local>, u64) {
        match self.find(address) {
            Some(found) => {
                let pointer = &self.list[found];
                (pointer.local, ((address.base - pointer.base) * pointer.size) as u64)
            }
            None => (None, 0),
        }
    }

    /// Enters the loop of an axis: pointers that it moves get variables of its own. Returns the old ones.
    pub(crate) fn enter(&mut self, code: &mut Code, axis: u8) -> Vec<Option<Local>> {
        let before = self.list.iter().map(|pointer| pointer.local).collect();
        for pointer in &mut self.list {
            if let (true, Some(parent)) = (pointer.terms.iter().any(|term| term.0 == axis), pointer.local) {
                code.get(parent);
                pointer.local = Some(code.take(ValType::I32));
            }
        }
        before
    }

    /// Moves the pointers by some steps of an axis.
    pub(crate) fn step(&self, code: &mut Code, axis: u8, steps: i64) {
        for pointer in &self.list {
            let distance: i64 = pointer.terms.iter().filter(|term| term.0 == axis).map(|term| term.1).sum();
            if let (true, Some(local)) = (distance != 0, pointer.local) {
                code.add_const(local, (distance * steps * pointer.size) as i32);
            }
        }
    }

    /// Moves the pointers by a variable number of steps of an axis.
    pub(crate) fn advance(&self, code: &mut Code, axis: u8, steps: Local) {
        for pointer in &self.list {
            let distance: i64 = pointer.terms.iter().filter(|term| term.0 == axis).map(|term| term.1).sum();
            if let (true, Some(local)) = (distance != 0, pointer.local) {
                code.get(local);
                code.get(steps);
                code.ops([I::I32Const((distance * pointer.size) as i32), I::I32Mul, I::I32Add]);
                code.set(local);
            }
        }
    }

    /// Leaves a loop.
    pub(crate) fn leave(&mut self, before: Vec<Option<Local>>) {
        for (pointer, local) in self.list.iter_mut().zip(before) {
            pointer.local = local;
        }
    }
}
