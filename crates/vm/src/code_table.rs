//! The table of all code in the process: read by signal handlers, changed when modules are loaded and dropped.

use crate::code::CodeImage;
use crate::on_demand::Damaged;
use crate::published::Published;
use crate::trampoline_text::TrampolineText;
use belljar_abi::{CodeTables, StackSlots};
use belljar_core::{CodeOffset, DefinedFuncIndex, Trap};
use std::ops::Range;
use std::sync::{Arc, Weak};

/// Machine code of some functions of a module, in one range of addresses. A module can have several chunks with
/// different functions.
#[derive(Debug)]
pub struct CodeChunk {
    image: Arc<CodeImage>,
    /// The function of the first row of [`CodeTables::funcs`]; the others follow in the order of their indices.
    first: DefinedFuncIndex,
    owner: std::sync::OnceLock<Weak<dyn std::any::Any + Send + Sync>>,
}

impl CodeChunk {
    /// Returns the address of the first byte of the text.
    pub(crate) fn base(&self) -> usize {
        self.image.base()
    }

    /// Returns the positions, traps and functions of the text.
    pub fn tables(&self) -> CodeTables<'_> {
        self.image.tables()
    }

    /// Returns the function whose code contains an offset.
    pub(crate) fn func_at(&self, offset: CodeOffset) -> Option<DefinedFuncIndex> {
        let row = self.tables().func_at(offset)?;
        Some(DefinedFuncIndex::new(self.first.index() + row.index()))
    }

    /// Returns the address of a function's code; `None` if the chunk does not contain it.
    pub(crate) fn func_address(&self, func: DefinedFuncIndex) -> Option<usize> {
        let row = func.index().checked_sub(self.first.index())?;
        Some(self.base() + self.tables().funcs.get(row)?.start.0 as usize)
    }

    /// Returns the image of the chunk.
    pub fn image(&self) -> &Arc<CodeImage> {
        &self.image
    }

    /// Sets the value that a walker gets for program counters in this code.
    pub(crate) fn set_owner(&self, owner: Weak<dyn std::any::Any + Send + Sync>) {
        let _ = self.owner.set(owner);
    }

    pub(crate) fn owner(&self) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        self.owner.get()?.upgrade()
    }
}

/// One row: a range of addresses and the code that lies there.
#[derive(Clone)]
struct Row {
    start: usize,
    end: usize,
    code: RowCode,
}

/// The code in a range of addresses.
#[derive(Clone)]
enum RowCode {
    Module(Arc<CodeChunk>),
    /// It contains no functions: walkers skip it.
    Trampolines(Arc<TrampolineText>),
}

impl Row {
    fn module(&self) -> Option<&Arc<CodeChunk>> {
        match &self.code {
            RowCode::Module(code) => Some(code),
            RowCode::Trampolines(_) => None,
        }
    }
}

/// Rows by ascending start.
static TABLE: Published<Row> = Published::new();

fn row_of(table: &[Row], pc: usize) -> Option<&Row> {
    let i = table.partition_point(|row| row.start <= pc);
    i.checked_sub(1).map(|i| &table[i]).filter(|row| pc < row.end)
}

fn with_row<R>(pc: usize, read: impl FnOnce(&Row) -> Option<R>) -> Option<R> {
    TABLE.read(|table| row_of(table, pc).and_then(read))
}

/// Returns the meaning of a fault at this address, if it is code of ours that may trap there. Async-signal-safe.
/// `with_stack` calls a function where there is more stack than a signal handler has.
pub(crate) fn trap_at(pc: usize, with_stack: impl FnOnce(&mut dyn FnMut())) -> Option<Trap> {
    with_row(pc, |row| {
        let offset = CodeOffset((pc - row.start) as u32);
        let code = row.module()?;
        match code.image().load_access(offset, with_stack) {
            Ok(()) => code.tables().trap_at(offset),
            Err(Damaged) => Some(Trap::ArtifactDamaged),
        }
    })
}

/// Returns the addresses of the function that contains this address; `None` if it is not code of ours.
/// Async-signal-safe.
pub(crate) fn function_at(pc: usize) -> Option<Range<usize>> {
    with_row(pc, |row| {
        let func = row.module()?.tables().func_range_at(CodeOffset((pc - row.start) as u32))?;
        Some(row.start + func.start.0 as usize..row.start + (func.start.0 + func.length) as usize)
    })
}

/// Returns whether there is code of ours at this address. Async-signal-safe.
pub(crate) fn is_code(pc: usize) -> bool {
    with_row(pc, |_| Some(())).is_some()
}

/// Calls `read` with the text that contains this address, as far as it can be read from there without loading anything,
/// and with the text's address. Async-signal-safe.
pub(crate) fn with_text<R>(pc: usize, read: impl FnOnce(&[u8], usize) -> R) -> Option<R> {
    with_row(pc, |row| {
        let text = match &row.code {
            RowCode::Module(code) => &code.image().text()[..code.image().text_loaded_from(pc - row.start)],
            RowCode::Trampolines(text) => text.bytes(),
        };
        Some(read(text, row.start))
    })
}

/// Calls `read` with the stack slots that hold references to objects, in the frame of a call that returns to this
/// address.
pub(crate) fn with_stack_map(pc: usize, read: impl FnOnce(&[StackSlots])) {
    // The address may be that of the byte behind the code.
    with_row(pc - 1, |row| {
        read(row.module()?.tables().stack_map(CodeOffset((pc - row.start) as u32)));
        Some(())
    });
}

/// Calls `search` with a function that maps the return address of a call to the address of the call's handler and the
/// size of the frame there.
pub(crate) fn with_handlers<R>(search: impl FnOnce(&mut dyn FnMut(usize) -> Option<(usize, u32)>) -> R) -> R {
    TABLE.read(|table| {
        // Adjacent frames usually belong to one module.
        let mut last: Option<&Row> = None;
        search(&mut |pc| {
            let row = match last.filter(|row| (row.start..row.end).contains(&(pc - 1))) {
                Some(row) => row,
                None => *last.insert(row_of(table, pc - 1)?),
            };
            let handler = row.module()?.tables().handler(CodeOffset((pc - row.start) as u32))?;
            Some((row.start + handler.handler.0 as usize, handler.frame_size))
        })
    })
}

/// Returns the module's code at this address, and the offset in it. Not for signal handlers: it increments a reference
/// count.
pub(crate) fn code_at(pc: usize) -> Option<(Arc<CodeChunk>, CodeOffset)> {
    with_row(pc, |row| Some((row.module()?.clone(), CodeOffset((pc - row.start) as u32))))
}

/// Keeps a row in the table while it lives.
#[derive(Debug)]
pub(crate) struct Registered(Arc<CodeChunk>);

impl std::ops::Deref for Registered {
    type Target = Arc<CodeChunk>;
    fn deref(&self) -> &Arc<CodeChunk> {
        &self.0
    }
}

/// Adds a chunk of a module's code to the table. `first` is its first function.
pub(crate) fn register(image: Arc<CodeImage>, first: DefinedFuncIndex) -> Registered {
    let Range { start, end } = image.addresses();
    let code = Arc::new(CodeChunk { image, first, owner: std::sync::OnceLock::new() });
    enter(Row { start, end, code: RowCode::Module(code.clone()) });
    Registered(code)
}

fn enter(row: Row) {
    TABLE.change(|table| {
        let at = table.partition_point(|r| r.start < row.start);
        table.insert(at, row);
    });
}

fn remove(start: usize) {
    TABLE.change(|table| table.retain(|row| row.start != start));
}

impl Drop for Registered {
    fn drop(&mut self) {
        remove(self.0.base());
    }
}

/// Keeps the row of an area of trampolines in the table while it lives.
#[derive(Debug)]
pub(crate) struct RegisteredText(Arc<TrampolineText>);

impl std::ops::Deref for RegisteredText {
    type Target = TrampolineText;
    fn deref(&self) -> &TrampolineText {
        &self.0
    }
}

/// Adds an area to the table; trampolines are added to it later.
pub(crate) fn register_text(text: TrampolineText) -> RegisteredText {
    let Range { start, end } = text.addresses();
    let text = Arc::new(text);
    enter(Row { start, end, code: RowCode::Trampolines(text.clone()) });
    RegisteredText(text)
}

impl Drop for RegisteredText {
    fn drop(&mut self) {
        remove(self.0.addresses().start);
    }
}

/// Returns the start of the row that contains this address.
#[cfg(test)]
pub(crate) fn row_start(pc: usize) -> Option<usize> {
    with_row(pc, |row| Some(row.start))
}
