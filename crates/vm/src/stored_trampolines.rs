//! Trampolines that the files of modules contain, so that no compiler is needed for them.
//!
//! In: images of loaded modules, with the ids of their types. Out: the code of a trampoline, for whoever needs it. Never:
//! code of a module that is gone: its ids may then be those of other types.

use crate::code::CodeImage;
use crate::types::TypeSet;
use belljar_abi::TrampolineKind;
use belljar_core::Context;
use belljar_core::TypeId;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The loaded modules whose files contain trampolines.
#[derive(Debug, Default)]
pub(crate) struct StoredTrampolines {
    modules: Mutex<Vec<StoringModule>>,
}

#[derive(Clone, Debug)]
struct StoringModule {
    image: Weak<CodeImage>,
    /// The ids are valid while this exists.
    types: Weak<TypeSet>,
}

impl StoredTrampolines {
    /// Adds the trampolines of a module that is being loaded, if it has any.
    pub(crate) fn add(&self, image: &Arc<CodeImage>, types: &Arc<TypeSet>) {
        if !image.has_trampolines() {
            return;
        }
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        // Only then, so that adding takes constant time on average.
        if modules.len() == modules.capacity() {
            modules.retain(|module| module.types.strong_count() > 0);
        }
        modules.push(StoringModule { image: Arc::downgrade(image), types: Arc::downgrade(types) });
    }

    /// Returns the code of a trampoline, if a loaded module has it.
    ///
    /// # Errors
    ///
    /// Returns an error if the module's file is damaged.
    pub(crate) fn find(&self, kind: TrampolineKind, ty: TypeId) -> belljar_core::Result<Option<Vec<u8>>> {
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for StoringModule { image, types } in modules {
            let (Some(image), Some(types)) = (image.upgrade(), types.upgrade()) else { continue };
            let (rows, code) = image.trampolines()?;
            let is_it = |ty_index: u32| types.ids().get(ty_index as usize) == Some(&ty);
            if let Some(row) = rows.iter().find(|row| row.kind == kind as u32 && is_it(row.ty)) {
                let end = row.start as usize + row.length as usize;
                let code = code.get(row.start as usize..end);
                return Ok(Some(code.context("belljar bug: a trampoline outside its part")?.into()));
            }
        }
        Ok(None)
    }
}
