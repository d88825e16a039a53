//! Every number that trades one good thing for another, each with its reason.

use std::time::Duration;

/// Operators of a callee that are always worth inlining: about what a call, the moves around it and the
/// callee's prologue and epilogue cost in code.
pub(crate) const INLINE_ONCE: u32 = 20;

/// The same in a module of more than [`MANY_FUNCTIONS`]: about what a call alone costs in code, as the callee stays for others.
/// Together with [`INLINE_GROWTH_BASE_OF_MANY`] it is a seventh of the code of a Dart program.
pub(crate) const INLINE_ONCE_OF_MANY: u32 = 12;

/// Operators of a callee that is called from a loop. Calls clobber half of the registers, so that a call in a
/// loop spills much of what the loop carries.
pub(crate) const INLINE_IN_LOOP: u32 = 40;

/// The same for a callee that calls nothing itself: the loop may then be without calls.
pub(crate) const INLINE_LEAF_IN_LOOP: u32 = 120;

/// Operators whose code is as large as that of one which makes an object: some 120 bytes. A
/// Dart program of 30,000 such instructions had 130,000 of them after the constructors were inlined.
pub(crate) const ALLOCATION_OPERATORS: u32 = 30;

/// The same for a cast, a test, or a branch on one: some 45 bytes.
pub(crate) const CAST_OPERATORS: u32 = 10;

/// Locals of an inlined callee: more than this is not a small function, whatever its operators.
pub(crate) const INLINE_LOCALS: u32 = 24;

/// How deep inlined calls nest. Positions are chains as long as this.
pub(crate) const INLINE_DEPTH: usize = 5;

/// Operators that a function may gain by inlining, whatever its size.
pub(crate) const INLINE_GROWTH_BASE: u32 = 200;

/// The same in a module of more than [`MANY_FUNCTIONS`]: most of them are small, so that the base is what counts.
pub(crate) const INLINE_GROWTH_BASE_OF_MANY: u32 = 50;

/// Functions above which a module has many. CPython, Ruby, gofmt and ripgrep have less.
pub(crate) const MANY_FUNCTIONS: usize = 30_000;

/// Operators that a function may gain by inlining for each of its own, in percent: bounds compile time and code
/// size of the whole module.
pub(crate) const INLINE_GROWTH_PERCENT: u32 = 40;

/// How often a function is inlined into itself: the first level saves half of all frames of a recursive
/// function, each further one less.
pub(crate) const INLINE_SELF: usize = 1;

/// Parameters and locals of a function that is inlined into itself: both copies' values are alive at once.
/// Measured: `fib` (3) and `tak` (5) take 0.7 and 0.55 of the time, `queens` (8) takes 1.35.
pub(crate) const INLINE_SELF_LOCALS: usize = 6;

/// Bytes up to which a bulk memory operation of constant length is done in place: sixteen-byte moves through
/// at most eight vector registers.
pub(crate) const INLINE_BULK_BYTES: u64 = 128;

/// Copies of unknown length in one function whose short lengths are done in place, at 200 bytes of code each.
pub(crate) const SHORT_COPIES: u32 = 8;

/// Targets of a `br_table` from which on edges get blocks of their own, so that values which blocks need are
/// passed once for each target instead of once for each entry.
pub(crate) const BR_TABLE_DIRECT: usize = 64;

/// Runs of equal targets up to which a `br_table` is comparisons.
pub(crate) const BR_TABLE_RUNS: usize = 3;

/// Values in a function that calls nothing below which it needs no stack check. Each value takes at most one
/// sixteen-byte slot, so its frame stays below 16 KiB, and at least 64 KiB are reserved below the limit.
pub(crate) const LEAF_VALUES: usize = 1024;

/// Whether an index that was found outside its table is also replaced by one inside, for the processor that
/// runs ahead of the check. One conditional move beside a comparison that is there anyway. Memories need none
/// where they are reserved whole: no 32-bit index reaches outside.
pub(crate) const TABLE_INDEX_GUARD: bool = true;

/// The same for memories that are never reserved whole: a 64-bit index reaches everything in the host's process.
pub(crate) const MEMORY_INDEX_GUARD: bool = true;

/// Bytes of an object up to which it is made in place: larger ones are rare, and filling them takes longer than the
/// call. Well below what goes to the old space at once.
pub(crate) const INLINE_ALLOC_BYTES: u32 = 4096;

/// Workspaces kept for reuse. Each holds the high-water mark of one thread's largest function.
pub(crate) const POOLED_WORKSPACES: usize = 64;

/// Values of a function above which its workspace is not kept: some hundred bytes of memory each, all told.
pub(crate) const POOLED_VALUES: usize = 500_000;

/// Instructions, before the middle end, above which a function is a giant. The most in Ruby, CPython, SQLite, gofmt and
/// ripgrep is 85,000. Up to here the backtracking allocator's time grows with the power 1.2 of the size, and beyond
/// with 1.5.
pub(crate) const HUGE_INSTRUCTIONS: usize = 300_000;

/// Blocks, before the middle end, above which a function is a giant, for the same reason. The most in those programs is
/// about 10,000.
pub(crate) const HUGE_BLOCKS: usize = 30_000;

/// Values on the stack above which a function is a giant. The backtracking allocator's time grows with the square of
/// what is alive at once: 2,500 values take 0.1 s, 25,000 take 11 s.
pub(crate) const HUGE_HEIGHT: usize = 2_000;

/// Loops around one another above which a function is a giant. The middle end's time grows with the fourth power of
/// their number: 500 take 0.08 s, 1,000 take 1.7 s. The most in those programs is 8.
pub(crate) const HUGE_LOOPS: u32 = 64;

/// Instructions, values and operands above which a function is a giant: what [`HUGE_INSTRUCTIONS`] is for functions whose calls and
/// branches carry many values.
pub(crate) const HUGE_WRITTEN_OUT: usize = 900_000;

/// What is alive, summed over a function (see [`crate::pressure`]), above which registers are given out in one pass where nothing is
/// done more than once. The backtracking allocator takes 5 to 17 ns for each: 88 million take half a second. The most in
/// CPython, gofmt, ripgrep and SQLite is 4 million.
pub(crate) const MAX_LIVE_RANGES: u64 = 20_000_000;

/// The same for a function with loops, where it pays to look for the best registers. Ruby's interpreter, which no other function of
/// those programs comes near, has 260 million.
pub(crate) const MAX_LIVE_RANGES_LOOPS: u64 = 400_000_000;

/// Nanoseconds of CPU time that the backtracking allocator takes at least for each.
pub(crate) const LIVE_RANGE_NANOS: u64 = 4;

/// Instructions, values and operands up to which nothing is that crowded.
pub(crate) const LIVE_RANGES_MIN_SIZE: u64 = 6_000;

/// CPU time for each instruction, value and operand, with each effort: half of what usual code takes on a processor of 2023, so that
/// little is refused that would fit. What a function is foreseen to take is asked for before it is begun.
pub(crate) const SPEED_TIME: Duration = Duration::from_nanos(400);
pub(crate) const LINEAR_TIME: Duration = Duration::from_nanos(250);

/// Locals times blocks above which locals lie in the frame instead of being values: the function builder keeps a table of
/// this size, and in loops there may be as many block parameters. The most in those programs is 1.5 million, in
/// Ruby, and then 0.2 million.
pub(crate) const FRAME_LOCALS_BLOCKS: u64 = 4_000_000;

/// The same for functions of more than [`MANY_LOCALS`]: so many do not fit registers anyway, and each block of a loop may
/// take all of them as parameters. A thousand locals in a thousand cases of a loop took 0.7 s.
pub(crate) const MANY_LOCALS_BLOCKS: u64 = 1_000_000;

/// Locals above which [`MANY_LOCALS_BLOCKS`] holds: twice what those programs have.
pub(crate) const MANY_LOCALS: u64 = 400;

/// Locals above which they lie in the frame, whatever the blocks: all may be alive at once, see [`HUGE_HEIGHT`]. The most
/// in those programs is 189.
pub(crate) const FRAME_LOCALS: u64 = 2_000;

/// Locals that hold references, times calls, above which locals lie in the frame: each call's stack map may name each of
/// them. The most in those programs is 1,314.
pub(crate) const FRAME_REFERENCES_CALLS: u64 = 100_000;

/// Handlers and clauses that are looked at to find out where something thrown is caught. What is not found out is
/// asked when it is thrown.
pub(crate) const CATCH_SEARCH: usize = 64;

/// Float constants kept in registers through a loop, of sixteen vector registers.
pub(crate) const HOISTED_CONSTANTS: usize = 4;

/// Instructions of a loop beyond which constants are made where they are used: its values need the registers.
pub(crate) const HOIST_LOOP_INSTRUCTIONS: usize = 250;

/// Steps looked at for each back edge.
pub(crate) const INDUCTION_UPDATES: usize = 12;

/// Instructions looked at before a back edge's branch.
pub(crate) const SINK_DISTANCE: usize = 250;
