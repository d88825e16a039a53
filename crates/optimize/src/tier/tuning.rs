//! All numbers that trade one quality for another, each with its reason.

use std::time::Duration;

/// A callee of at most this many operators is always inlined: about the code size of a call, the moves around it, and
/// the callee's prologue and epilogue.
pub(crate) const INLINE_ONCE: u32 = 20;

/// The same in a module of more than [`MANY_FUNCTIONS`]: about the code size of a call alone, as the callee stays for
/// other callers. Together with [`INLINE_GROWTH_BASE_OF_MANY`] this accounts for a seventh of the code of a Dart program.
pub(crate) const INLINE_ONCE_OF_MANY: u32 = 12;

/// The same for a callee that is called from a loop. Calls clobber half of the registers, so that a call in a loop
/// spills much of what the loop carries.
pub(crate) const INLINE_IN_LOOP: u32 = 40;

/// The same for a leaf callee that is called from a loop: the loop may then be without calls.
pub(crate) const INLINE_LEAF_IN_LOOP: u32 = 120;

/// The weight of an operator that allocates an object, whose code is some 120 bytes. A Dart program of 30,000 such
/// instructions had 130,000 of them after its constructors were inlined.
pub(crate) const ALLOCATION_OPERATORS: u32 = 30;

/// The weight of a cast, a test, or a branch on one, whose code is some 45 bytes.
pub(crate) const CAST_OPERATORS: u32 = 10;

/// The most locals of an inlined callee: a function with more is not small, whatever its operators.
pub(crate) const INLINE_LOCALS: u32 = 24;

/// The most inlined calls that nest. The position chains of inlined code are as long as this.
pub(crate) const INLINE_DEPTH: usize = 5;

/// The number of operators that a function may gain by inlining, whatever its size.
pub(crate) const INLINE_GROWTH_BASE: u32 = 200;

/// The same in a module of more than [`MANY_FUNCTIONS`]: most of its functions are small, so the base dominates.
pub(crate) const INLINE_GROWTH_BASE_OF_MANY: u32 = 50;

/// The number of functions above which a module has many. CPython, Ruby, gofmt and ripgrep have fewer.
pub(crate) const MANY_FUNCTIONS: usize = 30_000;

/// The operators that a function may gain by inlining, in percent of its own: bounds compile time and code size of the
/// whole module.
pub(crate) const INLINE_GROWTH_PERCENT: u32 = 40;

/// How often a function is inlined into itself. The first level saves half of all frames of a recursive function, each
/// further level less.
pub(crate) const INLINE_SELF: usize = 1;

/// The most parameters and locals of a function that is inlined into itself: the values of both copies are live at
/// once. Measured: `fib` (3) and `tak` (5) take 0.7 and 0.55 of the time, `queens` (8) takes 1.35.
pub(crate) const INLINE_SELF_LOCALS: usize = 6;

/// A bulk memory operation of constant length is done inline up to this many bytes: sixteen-byte moves through at most
/// eight vector registers.
pub(crate) const INLINE_BULK_BYTES: u64 = 128;

/// The most copies of unknown length in one function that get inline code for short lengths, at 200 bytes of code each.
pub(crate) const SHORT_COPIES: u32 = 8;

/// A `br_table` of more than this many targets gets a block for each edge, so that the values for the target blocks are
/// passed once for each target instead of once for each entry.
pub(crate) const BR_TABLE_DIRECT: usize = 64;

/// A `br_table` of at most this many runs of equal targets becomes comparisons.
pub(crate) const BR_TABLE_RUNS: usize = 3;

/// A leaf function with at most this many values needs no stack check. Each value takes at most one sixteen-byte slot,
/// so its frame stays below 16 KiB, and at least 64 KiB are reserved below the limit.
pub(crate) const LEAF_VALUES: usize = 1024;

/// Whether an out-of-bounds index of a table is also replaced by one in bounds, against speculative execution past the
/// bounds check. This costs one conditional move beside the comparison that is there anyway. Memories that are reserved
/// whole need none: no 32-bit index reaches outside.
pub(crate) const TABLE_INDEX_GUARD: bool = true;

/// The same for memories that are never reserved whole: a 64-bit index reaches the whole address space of the host
/// process.
pub(crate) const MEMORY_INDEX_GUARD: bool = true;

/// Objects of at most this many bytes are allocated inline: larger ones are rare, and initializing them takes longer
/// than the call. This is well below the size that is allocated in the old space at once.
pub(crate) const INLINE_ALLOC_BYTES: u32 = 4096;

/// The most workspaces kept for reuse. Each holds the high-water mark of one thread's largest function.
pub(crate) const POOLED_WORKSPACES: usize = 64;

/// A workspace is not kept after a function with more values than this: each accounts for some hundred bytes of memory
/// in all.
pub(crate) const POOLED_VALUES: usize = 500_000;

/// A function with more instructions than this before the middle end is huge. The most in Ruby, CPython, SQLite, gofmt
/// and ripgrep is 85,000. The backtracking allocator's time grows with the power 1.2 of the size up to here, and with
/// the power 1.5 beyond.
pub(crate) const HUGE_INSTRUCTIONS: usize = 300_000;

/// A function with more blocks than this before the middle end is huge, for the same reason. The most in those programs
/// is about 10,000.
pub(crate) const HUGE_BLOCKS: usize = 30_000;

/// A function with more values than this on the stack is huge. The backtracking allocator's time grows with the square
/// of the number of live values: 2,500 values take 0.1 s, 25,000 take 11 s.
pub(crate) const HUGE_HEIGHT: usize = 2_000;

/// A function with loops nested deeper than this is huge. The middle end's time grows with the fourth power of the
/// depth: 500 take 0.08 s, 1,000 take 1.7 s. The most in those programs is 8.
pub(crate) const HUGE_LOOPS: u32 = 64;

/// A function with more instructions, values and operands than this is huge. This corresponds to [`HUGE_INSTRUCTIONS`]
/// for functions whose calls and branches carry many values.
pub(crate) const HUGE_WRITTEN_OUT: usize = 900_000;

/// Above this sum of live ranges (see [`crate::tier::pressure`]), a function without loops gets single-pass register
/// allocation. The backtracking allocator takes 5 to 17 ns for each unit: 88 million take half a second. The most in
/// CPython, gofmt, ripgrep and SQLite is 4 million.
pub(crate) const MAX_LIVE_RANGES: u64 = 20_000_000;

/// The same for a function with loops, for which a good allocation pays off. Ruby's interpreter, by far the largest in
/// those programs, has 260 million.
pub(crate) const MAX_LIVE_RANGES_LOOPS: u64 = 400_000_000;

/// The least CPU time in nanoseconds that the backtracking allocator takes for each unit of the sum of live ranges.
pub(crate) const LIVE_RANGE_NANOS: u64 = 4;

/// Functions of at most this many instructions, values and operands never reach these sums.
pub(crate) const LIVE_RANGES_MIN_SIZE: u64 = 6_000;

/// CPU time for each instruction, value and operand at each optimization level: half of what typical code takes on a
/// processor of 2023, so that few functions are rejected that would fit. The budget is checked for this estimate before
/// the function is compiled.
pub(crate) const SPEED_TIME: Duration = Duration::from_nanos(400);
pub(crate) const LINEAR_TIME: Duration = Duration::from_nanos(250);

/// Above this number of locals times blocks, locals lie in the stack frame instead of being SSA values: the function
/// builder keeps a table of this size, and in loops there may be as many block parameters. The most in those programs
/// is 1.5 million, in Ruby, followed by 0.2 million.
pub(crate) const FRAME_LOCALS_BLOCKS: u64 = 4_000_000;

/// The same for functions of more than [`MANY_LOCALS`]: so many do not fit registers anyway, and each block of a loop
/// may take all of them as parameters. A thousand locals in a thousand cases of a loop took 0.7 s.
pub(crate) const MANY_LOCALS_BLOCKS: u64 = 1_000_000;

/// The number of locals above which [`MANY_LOCALS_BLOCKS`] applies: twice the most in those programs.
pub(crate) const MANY_LOCALS: u64 = 400;

/// Above this number, locals lie in the stack frame whatever the blocks: all may be live at once, see [`HUGE_HEIGHT`].
/// The most in those programs is 189.
pub(crate) const FRAME_LOCALS: u64 = 2_000;

/// Above this number of locals that hold references, times calls, locals lie in the stack frame: the stack map of each
/// call may list each of them. The most in those programs is 1,314.
pub(crate) const FRAME_REFERENCES_CALLS: u64 = 100_000;

/// The most handlers and clauses that are searched at compile time for the one that catches an exception. Otherwise the
/// search happens when the exception is thrown.
pub(crate) const CATCH_SEARCH: usize = 64;

/// The most float constants kept in registers through a loop, of sixteen vector registers.
pub(crate) const HOISTED_CONSTANTS: usize = 4;

/// In loops of more instructions than this, constants are created where they are used: the loop's values need the
/// registers.
pub(crate) const HOIST_LOOP_INSTRUCTIONS: usize = 250;

/// The most induction updates considered for each back edge.
pub(crate) const INDUCTION_UPDATES: usize = 12;

/// The most instructions scanned before the branch of a back edge.
pub(crate) const SINK_DISTANCE: usize = 250;
