//! The shared memories that a program with `--threads` imports: created once, and linked into the instance of each thread.

use crate::byte_size::ByteSize;
use belljar::{
    Engine, ExternType, Linker, Module, OutsideText, ResourceLimiter, Result, SharedMemory, Store,
};

/// A shared memory that all threads of the program import.
pub(super) struct SharedMemoryImport {
    module: String,
    name: String,
    memory: SharedMemory,
}

/// Creates the shared memories that a program imports, except those exported by `--preload` modules.
///
/// # Errors
///
/// Returns an error if the budget or the system refuses one.
pub(super) fn shared_memory_imports(
    engine: &Engine,
    program: &Module,
    preloads: &[(String, Module)],
    budget: &mut impl ResourceLimiter,
) -> Result<Vec<SharedMemoryImport>> {
    let mut memories: Vec<SharedMemoryImport> = Vec::new();
    for import in program.imports() {
        let ExternType::Memory(ty) = import.ty() else { continue };
        let (module, name) = (import.module(), import.name());
        let is_known = preloads.iter().any(|(preload, _)| preload == module)
            || memories.iter().any(|m| m.module == module && m.name == name);
        if !ty.is_shared() || is_known {
            continue;
        }
        let bytes = ty.minimum_bytes().and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX);
        belljar::ensure!(
            budget.memory_growing(0, bytes, None)?,
            "the memory `{}::{}` ({}) exceeds --max-memory",
            OutsideText::new(module),
            OutsideText::new(name),
            ByteSize(bytes as u64)
        );
        let memory = SharedMemory::new(engine, ty)?;
        memories.push(SharedMemoryImport { module: module.into(), name: name.into(), memory });
    }
    Ok(memories)
}

/// Defines the memories in a linker.
///
/// # Errors
///
/// Returns an error if a name is already defined.
pub(super) fn define<T: 'static>(
    linker: &mut Linker<T>,
    store: &Store<T>,
    memories: &[SharedMemoryImport],
) -> Result<()> {
    for SharedMemoryImport { module, name, memory } in memories {
        linker.define(store, module, name, memory.clone())?;
    }
    Ok(())
}
