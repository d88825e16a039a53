//! A module whose code is in memory, ready to be instantiated any number of times.

use crate::code::CodeImage;
use crate::code_table::{self, Registered};
use crate::memory::MemoryImage;
use crate::runtime::Runtime;
use crate::types::TypeSet;
use belljar_abi::can_be_reserved;
use belljar_core::{DefinedFuncIndex, ExternType, MemoryIndex, TypeId, TypeIndex, TypeRef};
use belljar_module::{EntityIndex, Module};
use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};

/// The initial contents of memories that all instances of a module share.
#[derive(Debug)]
pub(crate) struct SharedImages {
    /// The image of each memory, if it is to be mapped.
    pub(crate) mapped: Box<[Option<Arc<MemoryImage>>]>,
    /// The segments of [`Module::active_data`] that no mapped image contains.
    pub(crate) other_data: Box<[usize]>,
}

impl SharedImages {
    fn new(module: &Module, code: &CodeImage) -> Self {
        let images = module.memory_images();
        // A damaged image is not mapped; the damage is reported when it is copied.
        let is_right = code.load_part(images.bytes()).is_ok();
        let image = |memory| if is_right { MemoryImage::of(&images, memory).map(Arc::new) } else { None };
        let mapped: Box<[_]> = (0..module.memories().len()).map(MemoryIndex::new).map(image).collect();
        let data = module.active_data().iter().enumerate();
        let others = data.filter(|(_, data)| mapped[data.memory.index()].is_none());
        let other_data = others.map(|(i, _)| i).collect();
        Self { mapped, other_data }
    }
}

/// A module whose code is in memory.
#[derive(Debug)]
pub struct LoadedModule {
    module: Arc<Module>,
    /// Its code. A module is compiled as a whole, so there is one chunk.
    chunks: [Registered; 1],
    types: Arc<TypeSet>,
    runtime: Weak<Runtime>,
    needs_reserved_memory: bool,
    shares_images: bool,
    has_instance: AtomicBool,
    images: OnceLock<SharedImages>,
}

impl LoadedModule {
    /// Combines a module with its code. With `needs_reserved_memory`, the code does not check accesses to memories that
    /// can be fully reserved.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine has no room for its types.
    pub fn new(
        runtime: &Arc<Runtime>,
        module: Arc<Module>,
        image: Arc<CodeImage>,
        needs_reserved_memory: bool,
    ) -> belljar_core::Result<Arc<Self>> {
        let types = Arc::new(runtime.types.register(module.types(), module.rec_groups())?);
        runtime.stored_trampolines.add(&image, &types);
        let chunks = [code_table::register(image, DefinedFuncIndex::new(0))];
        let loaded = Arc::new(Self {
            module,
            chunks,
            types,
            runtime: Arc::downgrade(runtime),
            needs_reserved_memory,
            shares_images: runtime.shares_images,
            has_instance: AtomicBool::new(false),
            images: OnceLock::new(),
        });
        let owner: Arc<dyn Any + Send + Sync> = loaded.clone();
        loaded.chunks.iter().for_each(|chunk| chunk.set_owner(Arc::downgrade(&owner)));
        Ok(loaded)
    }

    /// Returns the description that the code was compiled from.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Returns the image that it was loaded from.
    pub fn code_image(&self) -> &Arc<CodeImage> {
        self.chunks[0].image()
    }

    /// Returns whether it belongs to this engine.
    pub fn is_of(&self, runtime: &Arc<Runtime>) -> bool {
        std::ptr::eq(self.runtime.as_ptr(), Arc::as_ptr(runtime))
    }

    /// Returns whether its memories are to get all the address space that they may need.
    pub(crate) fn reserves(&self) -> bool {
        self.needs_reserved_memory
    }

    /// Returns whether its code requires that this memory is fully reserved.
    pub(crate) fn needs_reserved(&self, memory: MemoryIndex) -> bool {
        self.needs_reserved_memory && can_be_reserved(&self.module.memories()[memory.index()])
    }

    /// Returns the address of its image's text, to which read-only tables refer.
    pub(crate) fn text_base(&self) -> usize {
        self.chunks[0].base()
    }

    /// Returns the address of a defined function's code. Function objects and import slots contain it.
    ///
    /// # Panics
    ///
    /// Panics if the module has no such function.
    pub(crate) fn func_address(&self, func: DefinedFuncIndex) -> usize {
        let address = self.chunks.iter().find_map(|chunk| chunk.func_address(func));
        address.expect("every function of a module has code")
    }

    /// Returns the canonical ids of its types.
    pub(crate) fn sigs(&self) -> &[TypeId] {
        self.types.ids()
    }

    /// Returns the type of an entity of the module, with canonical ids.
    pub fn entity_type(&self, entity: EntityIndex) -> ExternType {
        self.module.entity_type(entity).map(&mut self.resolve())
    }

    /// Returns a function that replaces the indices in a type of the module by ids.
    pub(crate) fn resolve(&self) -> impl FnMut(TypeRef) -> TypeRef + '_ {
        |ty| self.types.resolve(ty)
    }

    /// Returns the canonical id of a type.
    pub(crate) fn sig(&self, ty: TypeIndex) -> TypeId {
        self.types.ids()[ty.index()]
    }

    /// Returns the initial contents of its memories, which instances share; `None` for the first instance. Creating
    /// them takes longer than copying the contents, and a program's module has only one instance.
    pub(crate) fn images(&self) -> Option<&SharedImages> {
        if !self.shares_images || !self.has_instance.swap(true, Relaxed) {
            return None;
        }
        Some(self.images.get_or_init(|| SharedImages::new(&self.module, self.code_image())))
    }

    /// Creates what instances share of the initial contents of memories, so that the first instance shares it as well.
    ///
    /// # Errors
    ///
    /// Returns an error if the contents are damaged.
    pub fn share_images(&self) -> belljar_core::Result<()> {
        if !self.shares_images {
            return Ok(());
        }
        self.code_image().load_part(self.module.memory_images().bytes())?;
        self.images.get_or_init(|| SharedImages::new(&self.module, self.code_image()));
        self.has_instance.store(true, Relaxed);
        Ok(())
    }
}
