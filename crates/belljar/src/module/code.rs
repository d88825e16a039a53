//! The machine code of a module.

use super::Module;
use belljar_core::DefinedFuncIndex;

macro_rules! indices {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(u32);

        impl $name {
            /// Creates an index from a number.
            pub fn from_u32(number: u32) -> Self {
                Self(number)
            }

            /// Returns the index as a number.
            pub fn as_u32(self) -> u32 {
                self.0
            }

            /// The same as `from_u32`.
            pub fn from_bits(bits: u32) -> Self {
                Self(bits)
            }

            /// The same as `as_u32`.
            pub fn as_bits(self) -> u32 {
                self.0
            }
        }
    )*};
}

indices! {
    /// The index of a function in its module, imports included.
    FuncIndex;
    /// The index of a module among those that were compiled together. belljar compiles each alone, so it is always 0.
    StaticModuleIndex;
}

/// A function of a module, and where its code lies in [`Module::text`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ModuleFunction {
    /// The module among those that were compiled together: always 0.
    pub module: StaticModuleIndex,
    /// The function's index in the module.
    pub index: FuncIndex,
    /// The function's name according to the module's name section.
    pub name: Option<String>,
    /// The offset of its code in bytes.
    pub offset: usize,
    /// The size of its code in bytes.
    pub len: usize,
}

/// What the instances of a module need: see [`Module::resources_required`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ResourcesRequired {
    /// The number of memories that the module defines.
    pub num_memories: u32,
    /// The size in pages of the largest of them at first; `None` if there is none.
    pub max_initial_memory_size: Option<u64>,
    /// The number of tables that the module defines.
    pub num_tables: u32,
    /// The number of elements of the largest of them at first; `None` if there is none.
    pub max_initial_table_size: Option<u64>,
}

/// The machine code.
impl Module {
    /// Returns the machine code of the module's functions, with read-only data between and behind them. Damaged parts of an
    /// artifact's code read as zeros.
    pub fn text(&self) -> &[u8] {
        let image = self.code().code_image();
        // Reading loads what is missing, but it is faster all at once. Damage is reported when the code runs.
        let _ = image.load_part(image.text());
        image.text()
    }

    /// Returns the functions that the module defines, in order.
    ///
    /// ```
    /// use belljar::{Engine, Module};
    /// let module = Module::new(&Engine::default(), "(module (import \"\" \"a\" (func)) (func $b nop))")?;
    /// let b = module.functions().next().unwrap();
    /// assert_eq!((b.index.as_u32(), b.name.as_deref()), (1, Some("b")));
    /// let code = &module.text()[b.offset..][..b.len];
    /// assert!(!code.is_empty());
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn functions(&self) -> impl ExactSizeIterator<Item = ModuleFunction> + '_ {
        let (module, functions) = (self.described(), self.code().code_image().tables().funcs);
        functions.iter().enumerate().map(move |(i, range)| {
            let index = module.func_index(DefinedFuncIndex::new(i));
            ModuleFunction {
                module: StaticModuleIndex(0),
                index: FuncIndex(index.0),
                name: module.names().section_func(index).map(Into::into),
                offset: range.start.0 as usize,
                len: range.length as usize,
            }
        })
    }

    /// Returns which instruction of the binary each part of the code belongs to: pairs of an offset in [`Module::text`] and
    /// an offset in the binary, which holds up to the next pair's. Offsets in the text ascend. Code of no instruction has
    /// `None`. Code of an inlined function belongs to that function's instructions.
    ///
    /// Returns `None` if [`Config::generate_address_map`](crate::Config::generate_address_map) is turned off.
    pub fn address_map(&self) -> Option<impl Iterator<Item = (usize, Option<u32>)> + '_> {
        let tables = self.code().code_image().tables();
        let rows = move |func| tables.positions_of(DefinedFuncIndex::new(func));
        let all = (0..tables.funcs.len()).flat_map(rows);
        let all = all.map(|(offset, pc)| (offset.0 as usize, pc.map(|pc| pc.0)));
        self.engine().config().compiler.address_map.then_some(all)
    }

    /// Returns what an instance of the module needs. What the module imports does not count.
    ///
    /// ```
    /// use belljar::{Engine, Module};
    /// let text = "(module (import \"\" \"m\" (memory 9)) (memory 1) (memory 3) (table 7 funcref))";
    /// let required = Module::new(&Engine::default(), text)?.resources_required();
    /// assert_eq!((required.num_memories, required.max_initial_memory_size), (2, Some(3)));
    /// assert_eq!((required.num_tables, required.max_initial_table_size), (1, Some(7)));
    /// # Ok::<(), belljar::Error>(())
    /// ```
    pub fn resources_required(&self) -> ResourcesRequired {
        let module = self.described();
        let memories = &module.memories()[module.imported_memories()..];
        let tables = &module.tables()[module.imported_tables()..];
        ResourcesRequired {
            num_memories: memories.len() as u32,
            max_initial_memory_size: memories.iter().map(|memory| memory.minimum()).max(),
            num_tables: tables.len() as u32,
            max_initial_table_size: tables.iter().map(|table| table.minimum()).max(),
        }
    }
}
