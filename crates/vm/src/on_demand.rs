//! Bytes of a file that are read and checked when they are first accessed, and never change after that.
//!
//! In: a file under a lease, and a function that checks each of its blocks. Out: memory that holds the file's bytes for
//! reading or execution. Never: exposes a byte of a block that was not checked as a whole, in memory that no file can
//! change; holds the file for longer than [`HOLD_TIME`].
//!
//! A block is read from the file into `stage`, checked there, and made read-only. The kernel then moves it in one step
//! to the place where it is used, and it is made executable if it is code. Other threads see either nothing of a block,
//! or all of it. A fault of any thread on a missing block ends up in the signal handler, which finds the block with
//! [`at`]. A damaged block reads as zeros and is never executed. [`block_states`] defines which thread may do what with
//! a block.
//!
//! While blocks are missing, another process that opens the file for writing waits. The keeper, a thread, notices that
//! and reads the rest. It does so after [`HOLD_TIME`] in any case, since a process that is frozen meanwhile cannot respond
//! and loses the lease after 45 seconds. Blocks that are read after that are checked like all others.

mod block_states;

use crate::published::Published;
use crate::sys::{LeasedFile, Mapping, Protection, SignalsHandled, page_size, populate};
use crate::vm_ptr::VmPtr;
use block_states::{BlockState, BlockStates};
use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use std::{fmt, io};

/// How long a file is held at most. A process that wants to write to it waits only for a moment.
const HOLD_TIME: Duration = Duration::from_secs(1);

/// How often the keeper checks whether a process waits.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The largest number of blocks that are moved into place at once. Other threads may have to wait that long for one of
/// them.
const RUN: usize = 16;

/// Checks the bytes of the block with this index. It runs in signal handlers: it takes no lock and allocates nothing.
pub type BlockCheck = Box<dyn Fn(usize, &[u8]) -> bool + Send + Sync>;

/// Bytes of a file that are read when they are first accessed.
pub struct OnDemand {
    place: Mapping,
    stage: Mapping,
    file: LeasedFile,
    length: usize,
    block: usize,
    holds: BlockCheck,
    states: BlockStates,
    /// The pages of `place` that are executable.
    text: [AtomicUsize; 2],
    is_damaged: AtomicBool,
}

/// The error for a block that cannot be read or is not as sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Damaged;

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        belljar_core::Trap::ArtifactDamaged.fmt(f)
    }
}

impl std::error::Error for Damaged {}

impl fmt::Debug for OnDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OnDemand({} bytes, {} of {} blocks)",
            self.length,
            self.loaded_count(),
            self.states.count()
        )
    }
}

impl OnDemand {
    /// Maps the first `length` bytes of a file, in blocks whose size is a multiple of the page size. `signals` proves
    /// that our signal handler, which loads blocks, is installed.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no address space for them.
    pub fn new(
        file: LeasedFile,
        length: usize,
        block: usize,
        holds: BlockCheck,
        _signals: SignalsHandled,
    ) -> io::Result<Arc<Self>> {
        if !block.is_multiple_of(page_size()) || length > file.length() || length == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let room = length.next_multiple_of(page_size());
        let source = Arc::new(Self {
            place: Mapping::new(room, Protection::None)?,
            stage: Mapping::new(room, Protection::ReadWrite)?,
            file,
            length,
            block,
            holds,
            states: BlockStates::new(length.div_ceil(block)),
            text: [AtomicUsize::new(0), AtomicUsize::new(0)],
            is_damaged: AtomicBool::new(false),
        });
        let start = source.place.base();
        let row = Row { start, end: start + room, address: VmPtr::expose(Arc::as_ptr(&source)) };
        TABLE.change(|table| {
            let at = table.partition_point(|row| row.start < start);
            table.insert(at, row);
        });
        register_with_keeper(&source);
        Ok(source)
    }

    /// Returns all bytes, loaded or not. Blocks that turn out to be damaged read as zeros.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: ON-DEMAND: the first access to a page makes it readable, and no byte that was read changes
        // afterwards.
        unsafe { self.place.bytes(0..self.length) }
    }

    /// Loads the blocks that hold a range.
    ///
    /// # Errors
    ///
    /// Returns an error if one of them is damaged or cannot be read.
    pub fn load(&self, range: Range<usize>) -> Result<(), Damaged> {
        let range = range.start..range.end.min(self.length);
        if range.is_empty() {
            return Ok(());
        }
        self.load_blocks(range.start / self.block..range.end.div_ceil(self.block))
    }

    /// Copies a range. Missing blocks that lie in it as a whole are read directly into `to`, and remain missing here.
    ///
    /// # Errors
    ///
    /// Returns an error if a block is damaged. Then the contents of `to` are unusable.
    ///
    /// # Panics
    ///
    /// Panics if the range and `to` differ in length, or the range lies outside.
    pub fn copy(&self, range: Range<usize>, to: &mut [u8]) -> Result<(), Damaged> {
        assert!(range.len() == to.len() && range.end <= self.length, "a range outside, or of another length");
        let mut rest = to;
        let mut at = range.start;
        while at < range.end {
            let i = at / self.block;
            let block = i * self.block..((i + 1) * self.block).min(self.length);
            let end = block.end.min(range.end);
            let piece;
            (piece, rest) = rest.split_at_mut(end - at);
            let copied = match piece.len() == block.len() {
                true => self.states.copy(i, || self.copy_block(i, piece)),
                false => None,
            };
            match copied {
                Some(true) => {}
                Some(false) => return Err(Damaged),
                None => {
                    self.load_blocks(i..i + 1)?;
                    piece.copy_from_slice(&self.bytes()[at..end]);
                }
            }
            at = end;
        }
        Ok(())
    }

    /// Reads a block from the file into `to`. Returns whether it is correct; if not, it reads as zeros here from now
    /// on.
    fn copy_block(&self, i: usize, to: &mut [u8]) -> bool {
        populate(to);
        let is_right = self.file.read_into(i * self.block, to).is_ok() && (self.holds)(i, to);
        if !is_right {
            self.mark_damaged(i..i + 1);
        }
        is_right
    }

    /// Returns whether the byte at an offset is loaded and correct. Async-signal-safe.
    pub(crate) fn is_loaded(&self, at: usize) -> bool {
        self.states.get(at / self.block) == BlockState::Loaded
    }

    fn loaded_count(&self) -> usize {
        (0..self.states.count()).filter(|i| self.states.get(*i) == BlockState::Loaded).count()
    }

    /// Returns up to which offset bytes can be read from `at` on without loading anything. Async-signal-safe.
    pub(crate) fn loaded_from(&self, at: usize) -> usize {
        let is_missing = |i: &usize| self.states.get(*i) != BlockState::Loaded;
        let missing = (at / self.block..self.states.count()).find(is_missing);
        missing.map_or(self.length, |i| (i * self.block).max(at))
    }

    /// Returns whether a block was found damaged and reads as zeros.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Acquire)
    }

    /// Loads all missing blocks, and releases the file.
    pub fn complete(&self) {
        let _ = self.load_blocks(0..self.states.count());
        // All blocks have their final state, so no thread reads the file any more.
        self.file.close();
    }

    /// Makes pages executable. Called once, before they are executed.
    pub(crate) fn make_executable(&self, pages: Range<usize>) -> io::Result<()> {
        self.text[0].store(pages.start, Relaxed);
        self.text[1].store(pages.end, Release);
        let blocks = pages.start / self.block..pages.end.div_ceil(self.block).min(self.states.count());
        let mut result = Ok(());
        // Blocks that are loaded already may have been protected before the text was known.
        self.states.after_announcement(blocks, |i| {
            let executable = self.allow_execution(self.pages(i..i + 1));
            if result.is_ok() {
                result = executable;
            }
        });
        result
    }

    /// Returns the address of the first byte.
    pub(crate) fn base(&self) -> usize {
        self.place.base()
    }

    /// Returns the executable pages.
    pub(crate) fn text(&self) -> Range<usize> {
        let end = self.text[1].load(Acquire);
        self.text[0].load(Relaxed)..end
    }

    /// Returns the pages of a range of blocks.
    fn pages(&self, blocks: Range<usize>) -> Range<usize> {
        blocks.start * self.block..(blocks.end * self.block).min(self.place.length())
    }

    /// Loads blocks. Async-signal-safe. Returns an error if one of the blocks is damaged; the others are loaded
    /// nevertheless.
    fn load_blocks(&self, blocks: Range<usize>) -> Result<(), Damaged> {
        let all_right = self.states.load(blocks, RUN, |taken| self.load_taken(taken));
        if all_right { Ok(()) } else { Err(Damaged) }
    }

    /// Loads blocks that the caller has taken.
    fn load_taken(&self, blocks: Range<usize>) {
        let mut first = blocks.start;
        for i in blocks.clone() {
            if self.fetch(i).is_err() {
                self.publish(first..i);
                self.refuse(i..i + 1);
                first = i + 1;
            }
        }
        self.publish(first..blocks.end);
    }

    /// Reads a block into the stage.
    fn fetch(&self, i: usize) -> Result<(), Damaged> {
        let pages = self.pages(i..i + 1);
        let length = pages.len().min(self.length - pages.start);
        let at = self.stage.range(pages.start..pages.start + length);
        // SAFETY: ON-DEMAND: only the thread that has taken the block uses this part of the stage.
        let staged = unsafe { at.slice_mut(length) };
        populate(staged);
        self.file.read_into(pages.start, staged).map_err(|_| Damaged)?;
        if (self.holds)(i, staged) { Ok(()) } else { Err(Damaged) }
    }

    /// Makes correct blocks in the stage visible to all threads.
    fn publish(&self, blocks: Range<usize>) {
        if blocks.is_empty() {
            return;
        }
        let pages = self.pages(blocks.clone());
        // SAFETY: ON-DEMAND: no thread has seen the blocks in their place yet, and no thread uses them in the stage.
        let moved = unsafe {
            self.stage
                .protect_shared(pages.clone(), Protection::Read)
                .and_then(|()| self.stage.move_shared(&self.place, pages.clone()))
        };
        // Only now, since perf does not notice executable mappings that are moved.
        let moved = moved.and_then(|()| self.allow_execution(pages));
        match moved {
            Ok(()) => self.states.finish(blocks, BlockState::Loaded),
            Err(_) => self.refuse(blocks),
        }
    }

    /// Makes damaged blocks read as zeros, permanently.
    fn refuse(&self, blocks: Range<usize>) {
        self.mark_damaged(blocks.clone());
        self.states.finish(blocks, BlockState::Refused);
    }

    fn mark_damaged(&self, blocks: Range<usize>) {
        self.is_damaged.store(true, Release);
        self.map_zeros(self.pages(blocks));
    }

    /// Makes those of the pages executable that belong to the text. They are already readable.
    fn allow_execution(&self, pages: Range<usize>) -> io::Result<()> {
        let [_, text, _] = self.around_text(pages);
        // SAFETY: ON-DEMAND: they stay readable, and nothing may write to them.
        unsafe { self.place.protect_shared(text, Protection::ReadExecute) }
    }

    /// Makes a block's pages read as zeros. Pages of the text stay inaccessible: zeros are instructions as well.
    fn map_zeros(&self, pages: Range<usize>) {
        let [before, _, after] = self.around_text(pages);
        for pages in [before, after] {
            // SAFETY: they were inaccessible, so no reference to their bytes is in use yet. If this fails they stay so,
            // and the process ends when they are needed.
            let _ = unsafe { self.place.protect_shared(pages, Protection::Read) };
        }
    }

    /// Splits pages into three parts: before, in, and behind the text.
    fn around_text(&self, pages: Range<usize>) -> [Range<usize>; 3] {
        let text = self.text();
        let (start, end) = (text.start.clamp(pages.start, pages.end), text.end.clamp(pages.start, pages.end));
        [pages.start..start, start..end, end..pages.end]
    }
}

impl Drop for OnDemand {
    fn drop(&mut self) {
        let start = self.place.base();
        TABLE.change(|table| table.retain(|row| row.start != start));
    }
}

/// The addresses of bytes that are loaded on demand.
#[derive(Clone)]
struct Row {
    start: usize,
    end: usize,
    /// The address of the [`OnDemand`]. It lives while its bytes can be accessed, and removes its row before it goes.
    address: VmPtr<OnDemand>,
}

/// Rows by ascending start.
static TABLE: Published<Row> = Published::new();

/// Calls `read` with the [`OnDemand`] at an address and the offset in it. Async-signal-safe.
pub(crate) fn at<R>(address: usize, read: impl FnOnce(&OnDemand, usize) -> R) -> Option<R> {
    TABLE.read(|table| {
        let i = table.partition_point(|row| row.start <= address);
        let row = i.checked_sub(1).map(|i| &table[i]).filter(|row| address < row.end)?;
        // SAFETY: ON-DEMAND: the accessing thread keeps the value alive.
        let source = unsafe { row.address.as_ref() };
        Some(read(source, address - row.start))
    })
}

/// The files that are held, each with the time since when.
static KEEPER: Mutex<Keeper> = Mutex::new(Keeper { kept: Vec::new(), is_running: false });

pub(crate) struct Keeper {
    kept: Vec<(Instant, Weak<OnDemand>)>,
    is_running: bool,
}

pub(crate) type KeeperGuard = std::sync::MutexGuard<'static, Keeper>;

pub(crate) fn keeper() -> KeeperGuard {
    KEEPER.lock().unwrap_or_else(|e| e.into_inner())
}

impl Keeper {
    /// Returns the files to complete, in a forked child, which has no keeper thread.
    pub(crate) fn take_all(&mut self) -> Vec<Arc<OnDemand>> {
        self.is_running = false;
        std::mem::take(&mut self.kept).iter().filter_map(|(_, source)| source.upgrade()).collect()
    }
}

/// Registers a file with the keeper, so that it is not held for long.
fn register_with_keeper(source: &Arc<OnDemand>) {
    let mut keeper = keeper();
    if !keeper.is_running {
        let thread = std::thread::Builder::new().name("belljar-keeper".into()).stack_size(128 << 10);
        keeper.is_running = thread.spawn(run_keeper).is_ok();
    }
    if keeper.is_running {
        keeper.kept.push((Instant::now(), Arc::downgrade(source)));
    } else {
        drop(keeper);
        source.complete();
    }
}

fn run_keeper() {
    loop {
        std::thread::sleep(POLL_INTERVAL);
        let kept = {
            let mut keeper = keeper();
            if keeper.kept.is_empty() {
                keeper.is_running = false;
                return;
            }
            std::mem::take(&mut keeper.kept)
        };
        let mut left = Vec::new();
        for (since, source) in kept {
            let Some(strong) = source.upgrade() else { continue };
            if since.elapsed() >= HOLD_TIME || strong.file.is_break_requested() {
                strong.complete();
            } else {
                left.push((since, source));
            }
        }
        keeper().kept.append(&mut left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    const BLOCK: usize = 16 << 10;
    const LENGTH: usize = 9 * BLOCK + 100;

    fn contents() -> Vec<u8> {
        (0..LENGTH).map(|i| (i / 3 + i / BLOCK) as u8).collect()
    }

    fn file_of(contents: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(contents).unwrap();
        file
    }

    /// Maps the file on demand, unless leases are unavailable on this machine.
    fn on_demand(path: &std::path::Path, expected: Vec<u8>) -> Option<Arc<OnDemand>> {
        let file = match LeasedFile::new(&File::open(path).unwrap()) {
            Ok(file) => file,
            Err(error) => {
                println!("skipped: no lease on a file in the directory for temporary files: {error}");
                return None;
            }
        };
        let holds = move |i: usize, block: &[u8]| expected.chunks(BLOCK).nth(i) == Some(block);
        Some(
            OnDemand::new(file, LENGTH, BLOCK, Box::new(holds), crate::startup::handle_signals().unwrap())
                .unwrap(),
        )
    }

    fn loaded(source: &OnDemand) -> usize {
        source.loaded_count()
    }

    #[test]
    fn a_block_is_loaded_when_it_is_touched() {
        let path = file_of(&contents()).into_temp_path();
        let Some(source) = on_demand(&path, contents()) else { return };
        assert_eq!(source.bytes()[4 * BLOCK + 7], contents()[4 * BLOCK + 7]);
        // The keeper is done after a second, if this thread was delayed that long.
        assert!([1, 10].contains(&loaded(&source)));
        assert_eq!(source.load(BLOCK - 1..BLOCK + 1), Ok(()));
        assert!([3, 10].contains(&loaded(&source)));
        assert!(source.bytes() == contents());
        assert_eq!(source.load(LENGTH - 1..LENGTH + 1000), Ok(()));
    }

    #[test]
    fn many_threads_see_the_same() {
        let path = file_of(&contents()).into_temp_path();
        for _ in 0..20 {
            let Some(source) = on_demand(&path, contents()) else { return };
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert!(source.bytes() == contents()));
                }
                scope.spawn(|| source.complete());
            });
        }
    }

    #[test]
    fn who_writes_to_the_file_changes_nothing() {
        type Change = fn(&std::path::Path);
        let changes: [Change; 4] = [
            |path| OpenOptions::new().write(true).open(path).unwrap().write_all_at(&[7; LENGTH], 0).unwrap(),
            |path| drop(File::create(path).unwrap()),
            |path| {
                OpenOptions::new().append(true).open(path).unwrap().set_len(10).unwrap();
            },
            |path| std::fs::remove_file(path).unwrap(),
        ];
        for change in changes {
            let path = file_of(&contents()).into_temp_path();
            let Some(source) = on_demand(&path, contents()) else { return };
            assert_eq!(source.bytes()[0], contents()[0]);
            change(&path);
            assert!(source.bytes() == contents());
            assert!(!source.is_damaged());
        }
    }

    #[test]
    fn what_is_damaged_reads_as_zeros_and_is_told() {
        let mut damaged = contents();
        damaged[5 * BLOCK + 3] ^= 1;
        let path = file_of(&damaged).into_temp_path();
        let Some(source) = on_demand(&path, contents()) else { return };
        assert_eq!(source.load(4 * BLOCK..5 * BLOCK), Ok(()));
        assert!(!source.is_damaged() || loaded(&source) == 9);
        assert_eq!(source.bytes()[5 * BLOCK..6 * BLOCK], [0; BLOCK]);
        assert!(source.is_damaged());
        assert_eq!(source.load(0..LENGTH), Err(Damaged));
        assert_eq!(source.load(6 * BLOCK..LENGTH), Ok(()));
        assert_eq!(source.bytes()[6 * BLOCK..], contents()[6 * BLOCK..]);
    }

    #[test]
    fn what_is_copied_is_right_and_need_not_be_loaded() {
        let mut damaged = contents();
        damaged[7 * BLOCK + 3] ^= 1;
        let path = file_of(&damaged).into_temp_path();
        let Some(source) = on_demand(&path, contents()) else { return };
        let copy = |range: Range<usize>| {
            let mut to = vec![0; range.len()];
            source.copy(range, &mut to).map(|()| to)
        };
        for range in [
            BLOCK..4 * BLOCK,
            BLOCK + 1..4 * BLOCK - 1,
            5 * BLOCK - 9..6 * BLOCK + 9,
            3..3,
            8 * BLOCK..LENGTH,
        ] {
            assert!(copy(range.clone()) == Ok(contents()[range].to_vec()));
        }
        assert!([4, 5, 9].contains(&loaded(&source)));
        assert_eq!(copy(7 * BLOCK - 1..9 * BLOCK), Err(Damaged));
        assert!(source.is_damaged());
        assert_eq!(copy(7 * BLOCK..8 * BLOCK), Err(Damaged));
    }

    /// Copies blocks of a file while another thread needs all of them: the check waits until that has begun.
    #[test]
    fn a_block_that_is_copied_meanwhile_is_loaded_all_the_same() {
        for complete in [true, false] {
            let path = file_of(&contents()).into_temp_path();
            let file = match LeasedFile::new(&File::open(&path).unwrap()) {
                Ok(file) => file,
                Err(error) => return println!("skipped: no lease on a file in this directory: {error}"),
            };
            let (copying, is_copying) = std::sync::mpsc::channel();
            let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
            let may_go_on = Mutex::new(may_go_on);
            let expected = contents();
            let holds = move |i: usize, block: &[u8]| {
                if i == 3 && copying.send(()).is_ok() {
                    // The second time, nothing is sent: the block is loaded.
                    let _ = may_go_on.lock().unwrap().recv();
                }
                expected.chunks(BLOCK).nth(i) == Some(block)
            };
            let source = OnDemand::new(
                file,
                LENGTH,
                BLOCK,
                Box::new(holds),
                crate::startup::handle_signals().unwrap(),
            )
            .unwrap();
            std::thread::scope(|scope| {
                let mut copy = vec![0; BLOCK];
                let copied = scope.spawn(|| {
                    source.copy(3 * BLOCK..4 * BLOCK, &mut copy).unwrap();
                    copy
                });
                is_copying.recv().unwrap();
                drop(is_copying);
                let loaded = scope.spawn(|| match complete {
                    true => source.complete(),
                    false => source.load(0..LENGTH).unwrap(),
                });
                // It waits for the block that is copied, and has loaded all others by then.
                while source.loaded_count() < 9 {
                    std::thread::yield_now();
                }
                drop(go_on);
                assert!(copied.join().unwrap() == contents()[3 * BLOCK..4 * BLOCK]);
                loaded.join().unwrap();
            });
            assert_eq!(source.loaded_count(), 10);
            assert_eq!(source.load(3 * BLOCK..4 * BLOCK), Ok(()));
            assert!(source.bytes() == contents() && !source.is_damaged());
        }
    }

    #[test]
    fn code_is_loaded_when_it_is_executed() {
        let mut code = contents();
        // mov eax, 42; ret
        code[3 * BLOCK + 16..][..6].copy_from_slice(&[0xb8, 42, 0, 0, 0, 0xc3]);
        let path = file_of(&code).into_temp_path();
        let Some(source) = on_demand(&path, code.clone()) else { return };
        source.make_executable(BLOCK..4 * BLOCK).unwrap();
        let at = VmPtr::<()>::at(source.base() + 3 * BLOCK + 16).as_ptr().cast_const();
        // SAFETY: these bytes are a function of this type.
        let function = unsafe { std::mem::transmute::<*const (), extern "C" fn() -> u32>(at) };
        assert_eq!(function(), 42);
        assert!(source.bytes() == code);
    }

    #[test]
    fn the_file_is_free_once_nobody_needs_it() {
        let path = file_of(&contents()).into_temp_path();
        let Some(source) = on_demand(&path, contents()) else { return };
        drop(source);
        let begin = Instant::now();
        File::create(&path).unwrap();
        // Breaking a lease takes up to 45 seconds.
        assert!(begin.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_file_that_is_being_written_is_not_leased() {
        let file = file_of(&contents());
        assert!(LeasedFile::new(&File::open(file.path()).unwrap()).is_err());
        assert!(LeasedFile::new(&File::open("/").unwrap()).is_err());
    }
}
