//! The memory of a session: its instance's own, or one that several instances share.

use wasmtime::{AsContextMut, Extern, Func, Instance, Memory, Module, SharedMemory, Store, StoreLimits, Val};

/// Bytes that are moved at once.
const STAGE: usize = 16 << 16;

/// A module that moves bytes between a memory of its own and a shared one, which a host cannot touch without unsafe code, while instances might write to it:
/// `put(to, from, bytes)` and `get(to, from, bytes)`, each a `memory.copy`, and the memory `stage` of [`STAGE`] bytes.
const MOVER: &[u8] = &[
    0, b'a', b's', b'm', 1, 0, 0, 0, // (module
    1, 7, 1, 0x60, 3, 0x7f, 0x7f, 0x7f, 0, // (type (func (param i32 i32 i32)))
    2, 18, 1, 3, b'e', b'n', b'v', 6, b'm', b'e', b'm', b'o', b'r', b'y', 2, 3, 0, 0x80, 0x80,
    4, // (import "env" "memory" (memory 0 65536 shared))
    3, 3, 2, 0, 0, // two functions
    5, 4, 1, 1, 16, 16, // (memory 16 16)
    7, 21, 3, 5, b's', b't', b'a', b'g', b'e', 2, 1, 3, b'p', b'u', b't', 0, 0, 3, b'g', b'e', b't', 0, 1, // exports
    10, 27, 2, //
    12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 10, 0, 1, 11, // memory.copy 0 1
    12, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfc, 10, 1, 0, 11, // memory.copy 1 0
];

/// The memory of a session.
pub(crate) enum Data {
    /// The instance's own.
    Own(Memory),
    /// One that several instances share.
    Shared {
        /// The memory.
        memory: SharedMemory,
        /// What is moved to or from it.
        stage: Memory,
        /// Moves bytes there, and back.
        put: Func,
        get: Func,
    },
}

impl Data {
    /// Access to a shared memory.
    pub(crate) fn shared(store: &mut Store<StoreLimits>, memory: SharedMemory) -> wasmtime::Result<Data> {
        let mover = Module::new(store.engine(), MOVER)?;
        let instance = Instance::new(&mut *store, &mover, &[Extern::SharedMemory(memory.clone())])?;
        let missing = || wasmtime::Error::msg("the module that moves bytes lacks an export");
        let stage = instance.get_memory(&mut *store, "stage").ok_or_else(missing)?;
        let put = instance.get_func(&mut *store, "put").ok_or_else(missing)?;
        let get = instance.get_func(&mut *store, "get").ok_or_else(missing)?;
        Ok(Data::Shared { memory, stage, put, get })
    }

    /// Its bytes.
    pub(crate) fn size(&self, store: &Store<StoreLimits>) -> usize {
        match self {
            Data::Own(memory) => memory.data_size(store),
            Data::Shared { memory, .. } => memory.data_size(),
        }
    }

    /// Copies bytes to a place in it.
    pub(crate) fn write(&mut self, store: &mut Store<StoreLimits>, mut place: usize, bytes: &[u8]) -> wasmtime::Result<()> {
        match self {
            Data::Own(memory) => Ok(memory.write(store, place, bytes)?),
            Data::Shared { stage, put, .. } => {
                for piece in bytes.chunks(STAGE) {
                    stage.write(&mut *store, 0, piece)?;
                    call(&mut *store, put, [place, 0, piece.len()])?;
                    place += piece.len();
                }
                Ok(())
            }
        }
    }

    /// So many bytes from a place in it.
    pub(crate) fn read(&mut self, store: &mut Store<StoreLimits>, mut place: usize, bytes: usize) -> wasmtime::Result<Vec<u8>> {
        let mut found = vec![0; bytes];
        match self {
            Data::Own(memory) => memory.read(store, place, &mut found)?,
            Data::Shared { stage, get, .. } => {
                for piece in found.chunks_mut(STAGE) {
                    call(&mut *store, get, [0, place, piece.len()])?;
                    stage.read(&mut *store, 0, piece)?;
                    place += piece.len();
                }
            }
        }
        Ok(found)
    }

    /// Copies bytes from one place in it to another that they do not overlap.
    pub(crate) fn copy(&mut self, store: &mut Store<StoreLimits>, from: usize, to: usize, bytes: usize) -> wasmtime::Result<()> {
        match self {
            Data::Own(memory) => {
                let data = memory.data_mut(store);
                let inside = |start: usize| start.checked_add(bytes).is_some_and(|end| end <= data.len());
                if !inside(from) || !inside(to) {
                    return Err(wasmtime::Error::msg("a state leaves the memory"));
                }
                data.copy_within(from..from + bytes, to);
            }
            Data::Shared { put, get, .. } => {
                let mut done = 0;
                while done < bytes {
                    let piece = (bytes - done).min(STAGE);
                    call(&mut *store, get, [0, from + done, piece])?;
                    call(&mut *store, put, [to + done, 0, piece])?;
                    done += piece;
                }
            }
        }
        Ok(())
    }
}

fn call(store: impl AsContextMut, function: &Func, arguments: [usize; 3]) -> wasmtime::Result<()> {
    // Addresses have 32 bits; signed or not is one to the module.
    function.call(store, &arguments.map(|argument| Val::I32(argument as u32 as i32)), &mut [])
}
