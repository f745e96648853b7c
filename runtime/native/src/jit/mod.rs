//! Machine code for loop nests and epilogues, by Cranelift.

mod access;
mod arith;
mod emit;
mod epilogue;
mod math;
mod nest;
mod packed;
mod rows;

use crate::CompileError;
use cranelift_codegen::Context;
use cranelift_codegen::ir::{AbiParam, FuncRef, Signature, Type, UserFuncName, types};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, default_libcall_names};
use mlp_bundle::loops::{Access, BufferId, Epilogue, Expr, Exprs, Nest, Rows, Store};
use mlp_bundle::plan::Plan;
use mlp_bundle::{DType, Scalar};
use std::collections::HashMap;

/// Code of a nest: `bases` are the addresses of [`Code::places`], and the iterations `begin..end` of the outermost loop are run.
pub(crate) type NestFn = unsafe extern "C" fn(bases: *const *mut u8, symbols: *const u32, begin: u64, end: u64);

/// Code of an epilogue over sums of four bytes at `sums`, rows `stride` sums apart, for pixels `m0..m1` and channels `c0..c1`.
pub(crate) type EpilogueFn =
    unsafe extern "C" fn(bases: *const *mut u8, symbols: *const u32, sums: *const u8, stride: u64, m0: u64, m1: u64, c0: u64, c1: u64);

/// A compiled function and what it needs.
pub(crate) struct Code {
    id: FuncId,
    /// The places whose addresses it takes, in order.
    pub places: Vec<Place>,
    /// Iterations of the outermost loop (for a nest).
    pub outer: u64,
}

/// Where accesses begin: an element of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub buffer: BufferId,
    pub element: u64,
}

/// The functions of a plan, first being made, then run.
pub(crate) struct Jit {
    module: Option<JITModule>,
    context: Context,
    builder: FunctionBuilderContext,
    /// Functions by what they compute, so that equal layers share one.
    known: HashMap<String, (FuncId, u64)>,
    symbols: usize,
}

// SAFETY: once finalized, the module is only read (its code run) until it is dropped.
unsafe impl Send for Jit {}
// SAFETY: as above.
unsafe impl Sync for Jit {}

impl Drop for Jit {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: function pointers are kept only beside this value, in `Program`, which is going too.
            unsafe { module.free_memory() };
        }
    }
}

fn failed(error: impl std::fmt::Display) -> CompileError {
    CompileError::Codegen(error.to_string())
}

impl Jit {
    pub(crate) fn new(plan: &Plan) -> Result<Jit, CompileError> {
        let mut flags = settings::builder();
        for (name, value) in
            [("opt_level", "speed"), ("is_pic", "false"), ("use_colocated_libcalls", "false"), ("enable_verifier", "false")]
        {
            flags.set(name, value).map_err(failed)?;
        }
        let isa = cranelift_native::builder().map_err(failed)?.finish(settings::Flags::new(flags)).map_err(failed)?;
        let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
        for (name, address) in math::SYMBOLS {
            builder.symbol(*name, address.0);
        }
        let module = JITModule::new(builder);
        let context = module.make_context();
        Ok(Jit {
            module: Some(module),
            context,
            builder: FunctionBuilderContext::new(),
            known: HashMap::new(),
            symbols: plan.symbols.len(),
        })
    }

    fn module(&mut self) -> &mut JITModule {
        self.module.as_mut().expect("the module lives until the drop")
    }

    /// Compiles a nest of a verified plan.
    pub(crate) fn nest(&mut self, plan: &Plan, nest: &Nest) -> Result<Code, CompileError> {
        let mut nest = nest.clone();
        let places = relabel(&mut nest.exprs, &mut nest.stores);
        let kinds: Vec<DType> = places.iter().map(|place| plan.buffers[place.buffer].dtype).collect();
        let key = format!("{kinds:?}{nest:?}");
        if let Some(&(id, outer)) = self.known.get(&key) {
            return Ok(Code { id, places, outer });
        }
        let mut outer = 0;
        let symbols = self.symbols;
        let id = self.define(&[types::I64; 4], |builder, calls| outer = nest::emit(builder, calls, &nest, &kinds, symbols))?;
        self.known.insert(key, (id, outer));
        Ok(Code { id, places, outer })
    }

    /// Compiles a kernel over rows of a verified plan: code like that of a nest, whose outermost loop is over the rows.
    pub(crate) fn rows(&mut self, plan: &Plan, rows: &Rows) -> Result<Code, CompileError> {
        let mut rows = rows.clone();
        let places = relabel(&mut rows.exprs, &mut rows.stores);
        let kinds: Vec<DType> = places.iter().map(|place| plan.buffers[place.buffer].dtype).collect();
        let outer = rows.rows();
        let key = format!("{kinds:?}{rows:?}");
        if let Some(&(id, outer)) = self.known.get(&key) {
            return Ok(Code { id, places, outer });
        }
        let symbols = self.symbols;
        let id = self.define(&[types::I64; 4], |builder, calls| rows::emit(builder, calls, &rows, &kinds, symbols))?;
        self.known.insert(key, (id, outer));
        Ok(Code { id, places, outer })
    }

    /// Compiles an epilogue of a verified plan, over sums of `total`.
    pub(crate) fn epilogue(&mut self, plan: &Plan, epilogue: &Epilogue, total: DType, extents: [u32; 2]) -> Result<Code, CompileError> {
        let mut epilogue = epilogue.clone();
        let places = relabel(&mut epilogue.exprs, &mut epilogue.stores);
        let kinds: Vec<DType> = places.iter().map(|place| plan.buffers[place.buffer].dtype).collect();
        let key = format!("{kinds:?}{total}{extents:?}{epilogue:?}");
        if let Some(&(id, outer)) = self.known.get(&key) {
            return Ok(Code { id, places, outer });
        }
        let symbols = self.symbols;
        let id =
            self.define(&[types::I64; 8], |builder, calls| epilogue::emit(builder, calls, &epilogue, total, extents, &kinds, symbols))?;
        self.known.insert(key, (id, 0));
        Ok(Code { id, places, outer: 0 })
    }

    fn define(&mut self, params: &[Type], emit: impl FnOnce(&mut FunctionBuilder<'_>, &mut Calls<'_>)) -> Result<FuncId, CompileError> {
        let module = self.module.as_mut().expect("the module lives until the drop");
        let mut signature = module.make_signature();
        signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
        let id = module.declare_anonymous_function(&signature).map_err(failed)?;
        self.context.func.signature = signature;
        self.context.func.name = UserFuncName::user(0, id.as_u32());
        let mut builder = FunctionBuilder::new(&mut self.context.func, &mut self.builder);
        let mut calls = Calls { module, refs: HashMap::new() };
        emit(&mut builder, &mut calls);
        builder.seal_all_blocks();
        let target = module.target_config();
        builder.finalize(target);
        let defined = module.define_function(id, &mut self.context).map_err(failed);
        module.clear_context(&mut self.context);
        defined.map(|()| id)
    }

    /// Makes all functions runnable, and lets go of what making them took.
    pub(crate) fn finish(&mut self) -> Result<(), CompileError> {
        (self.context, self.builder, self.known) = (Context::new(), FunctionBuilderContext::new(), HashMap::new());
        self.module().finalize_definitions().map_err(failed)
    }

    /// The code of a nest, once finished.
    pub(crate) fn nest_fn(&mut self, code: &Code) -> NestFn {
        let address = self.module().get_finalized_function(code.id);
        // SAFETY: `nest` declared the function with this signature.
        unsafe { std::mem::transmute::<*const u8, NestFn>(address) }
    }

    /// The code of an epilogue, once finished.
    pub(crate) fn epilogue_fn(&mut self, code: &Code) -> EpilogueFn {
        let address = self.module().get_finalized_function(code.id);
        // SAFETY: `epilogue` declared the function with this signature.
        unsafe { std::mem::transmute::<*const u8, EpilogueFn>(address) }
    }
}

/// The library functions that a function calls.
pub(crate) struct Calls<'a> {
    module: &'a mut JITModule,
    refs: HashMap<&'static str, FuncRef>,
}

impl Calls<'_> {
    /// A reference to `name`, taking `params` values of `ty` and giving one of `result`.
    fn get(&mut self, builder: &mut FunctionBuilder<'_>, name: &'static str, ty: Type, params: usize, result: Type) -> FuncRef {
        let module = &mut *self.module;
        *self.refs.entry(name).or_insert_with(|| {
            let mut signature: Signature = module.make_signature();
            signature.params.extend(std::iter::repeat_n(AbiParam::new(ty), params));
            signature.returns.push(AbiParam::new(result));
            let id = module.declare_function(name, Linkage::Import, &signature).expect("library functions have one signature each");
            module.declare_func_in_func(id, builder.func)
        })
    }
}

/// Renames buffers to their order of first use, and counts elements from the first place of each that is accessed, so that equal layers over different buffers or
/// parts of them are equal; answers which places they were.
fn relabel(exprs: &mut Exprs, stores: &mut [Store]) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for_each_access(exprs, stores, |access| match places.iter_mut().find(|place| place.buffer == access.buffer) {
        Some(place) => place.element = place.element.min(access.offset),
        None => places.push(Place { buffer: access.buffer, element: access.offset }),
    });
    for_each_access(exprs, stores, |access| {
        let index = places.iter().position(|place| place.buffer == access.buffer).expect("it was seen just now");
        access.buffer = BufferId::from_u32(index as u32);
        access.offset -= places[index].element;
    });
    places
}

fn for_each_access(exprs: &mut Exprs, stores: &mut [Store], mut f: impl FnMut(&mut Access)) {
    for expr in exprs.values_mut() {
        if let Expr::Load(access) = expr {
            f(access);
        }
    }
    stores.iter_mut().for_each(|store| f(&mut store.access));
}

/// The register type of a scalar of a compute type.
fn scalar_type(dtype: DType) -> Type {
    match dtype.compute() {
        DType::Bool => types::I8,
        DType::I64 | DType::U64 => types::I64,
        DType::F32 => types::F32,
        DType::F64 => types::F64,
        _ => types::I32,
    }
}

/// Whether four lanes of a 128-bit vector hold it.
fn fits_lanes(dtype: DType) -> bool {
    matches!(dtype, DType::Bool | DType::U8 | DType::I8 | DType::U16 | DType::I16 | DType::U32 | DType::I32 | DType::F32 | DType::BF16)
}

/// The compute types of expressions whose operands are of a verified plan.
fn infer(exprs: &Exprs, kinds: &[DType], axes: usize, accs: &[Scalar], totals: &[DType], symbols: usize) -> Vec<DType> {
    let buffer = |id: BufferId| kinds.get(id.as_u32() as usize).copied();
    let scope = mlp_bundle::loops::types::Scope { buffer: &buffer, symbols, axes, accs, totals };
    let types = mlp_bundle::loops::types::infer(exprs, &scope).expect("the plan is verified");
    exprs.keys().map(|id| types[id].unwrap_or(DType::I32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_bundle::loops::{AccessDim, Affine, Bounds};

    fn access(buffer: u32, offset: u64) -> Access {
        let index = Affine { constant: 0, terms: vec![(0, 1)], dynamic: None };
        let dims = vec![AccessDim { index, extent: 4, stride: 1 }];
        Access { buffer: BufferId::from_u32(buffer), offset, dims, bounds: Bounds::Inside }
    }

    /// `out[i + first] = x[i + second] + x[i + second + gap]`, relabelled.
    fn relabelled(first: u64, second: u64, gap: u64) -> (String, Vec<Place>) {
        let mut exprs = Exprs::default();
        let (x, y) = (exprs.push(Expr::Load(access(7, second + gap))), exprs.push(Expr::Load(access(7, second))));
        let value = exprs.push(Expr::Binary(mlp_bundle::loops::BinaryOp::Add, x, y));
        let mut stores = vec![Store { access: access(3, first), value }];
        let places = relabel(&mut exprs, &mut stores);
        (format!("{exprs:?}{stores:?}"), places)
    }

    #[test]
    fn layers_over_parts_of_buffers_are_equal() {
        let (here, there) = (relabelled(0, 5, 2), relabelled(45, 90, 2));
        assert_eq!(here.0, there.0);
        let place = |buffer, element| Place { buffer: BufferId::from_u32(buffer), element };
        assert_eq!((here.1, there.1), (vec![place(7, 5), place(3, 0)], vec![place(7, 90), place(3, 45)]));
        assert_ne!(here.0, relabelled(0, 5, 3).0, "what lies otherwise is other code");
    }
}
