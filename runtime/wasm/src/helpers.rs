//! Threads that help with the runs of a module for several.

use std::thread::JoinHandle;
use wasmtime::{Extern, Func, Instance, Module, SharedMemory, Store, StoreLimits, Val};

/// Threads that are in the module's `work` until its `stop`, each with an instance of its own on the shared memory.
pub(crate) struct Helpers {
    threads: Vec<JoinHandle<()>>,
    stop: Func,
    joined: Func,
}

impl Helpers {
    /// So many, or as many as the system gives.
    pub(crate) fn start(module: &Module, memory: &SharedMemory, count: u32, stop: Func, joined: Func) -> Helpers {
        let spawn = |index: u32| {
            let (module, memory) = (module.clone(), memory.clone());
            // A helper that cannot work is one that never comes: runs do without it.
            let work = move || drop(work(&module, memory, index));
            std::thread::Builder::new().name(format!("mlp-wasm-{index}")).spawn(work).ok()
        };
        Helpers { threads: (1..=count).map_while(spawn).collect(), stop, joined }
    }

    /// How many have come, so far.
    pub(crate) fn joined(&self, store: &mut Store<StoreLimits>) -> u32 {
        let mut count = [Val::I32(0)];
        match (self.joined.call(store, &[], &mut count), &count) {
            (Ok(()), [Val::I32(count)]) => *count as u32,
            _ => 0,
        }
    }

    /// Sends all away, and waits until they are gone.
    pub(crate) fn stop(&mut self, store: &mut Store<StoreLimits>) {
        if self.stop.call(store, &[], &mut []).is_ok() {
            // What a helper died of has been an error of a run, or of none.
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

fn work(module: &Module, memory: SharedMemory, index: u32) -> wasmtime::Result<()> {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[Extern::SharedMemory(memory)])?;
    let work = instance.get_func(&mut store, "work").ok_or_else(|| wasmtime::Error::msg("it exports no `work`"))?;
    work.call(&mut store, &[Val::I32(index as i32)], &mut [])
}
