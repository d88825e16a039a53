//! All unsafe code: regions, memories, tables, traps, signals, stack walking, and entering and leaving guest code.
//!
//! In: loaded code, imports, values. Out: instances, results, [`Exit`]s. Never: knowledge of how code was compiled.
//! `invariants.md` names the facts that unsafe code here relies on.
//!
//! The crate's own interface is safe to use under one rule: numbers of a store's entities ([`Entity`],
//! [`belljar_core::FuncRefId`], [`RawFunc`], [`RawExtern`]) are passed only to that store. The `belljar` crate enforces
//! the rule for its users by checking every handle.

mod abi_types;
mod apart;
mod builtins;
mod bulk;
mod byte_scan;
mod call;
mod call_hook;
mod checkpoint;
mod code;
mod code_table;
mod context_cell;
mod entities;
mod exception;
mod exit;
mod externs;
mod fault;
mod fault_report;
mod fork;
mod gc;
mod growth_limiter;
mod guest_stack;
mod guest_thread;
mod hooked_call;
mod host;
mod host_func;
mod host_work;
mod instance;
mod instances;
mod instantiate;
mod interrupt;
pub(crate) mod invariants;
mod inventory;
mod jit_dump;
mod kill;
mod kill_reason;
mod limit_group;
mod limits;
mod loaded;
mod machine;
mod memory;
mod number_call;
mod on_demand;
mod parking;
mod published;
mod quota;
mod recorded_stack;
mod region_area;
mod resumable;
mod run_limits;
mod runtime;
mod sample_ring;
mod sampling;
mod scratch;
mod shared_memory;
mod snapshot;
mod snapshot_bytes;
mod startup;
mod store;
mod store_id;
mod store_inner;
mod store_limits;
mod store_memory;
mod store_monitor;
mod store_mut;
mod store_region;
mod stored_trampolines;
mod sync;
mod sys;
mod table;
mod tables;
mod thread_registration;
mod thrown;
mod trampoline_text;
mod trampolines;
mod trap;
mod typed_ref;
mod types;
mod vm_ptr;
mod walk;
mod write_protected;

pub use abi_types::{AbiParams, AbiResult, AbiTy, One, RawAny, RawExn, RawExtern, RawFunc, RawVector, Value};
pub use belljar_abi::TrampolineKind;
pub use call::{DirectCall, TypedFunc, call_values};
pub use call_hook::CallHook;
pub use checkpoint::Checkpoint;
pub use code::{CodeImage, PrivateCopy};
pub use code_table::CodeChunk;
pub use exit::Exit;
pub use fault::{Fault, FaultAddress, SegmentPart};
pub use fork::hold_while_forking;
pub use gc::{GcStats, OwnedRoot, Root, RootScope};
pub use growth_limiter::{Limiter, Usage};
pub use host::HostClosure;
pub use host_func::{HostCallee, HostFunc, HostName};
pub use instance::Entity;
pub use instantiate::{ImportValue, NeedsChecks, instantiate, link_fresh, link_only};
pub use jit_dump::{CodeLine, CodePiece};
pub use kill::kill_all;
pub use kill_reason::KillReason;
pub use limit_group::LimitGroup;
pub use limits::ResourceLimiter;
pub use loaded::LoadedModule;
pub use machine::{Context as SignalContext, ThreadState};
pub use memory::MemorySettings;
pub use number_call::NumberFunc;
pub use on_demand::{BlockCheck, Damaged, OnDemand};
pub use parking::{Interruption, WaitResult};
pub use quota::{EngineLimitExceeded, EngineQuota, Limit, LimitExceeded, Quota, Refusal};
pub use recorded_stack::{HostCall, LiveStack, RawFrame, RawStack};
pub use resumable::{Resumable, SuspendedCall, Suspension, call_resumable};
pub use runtime::{Runtime, RuntimeSettings, TrampolineSource};
pub use sampling::{Sample, Sampler, Samples};
pub use scratch::Borrowed;
pub use shared_memory::SharedMemory;
pub use snapshot::{restore_instance, restore_store, snapshot_note, stored_note};
pub use store::StoreCore;
pub use store_id::StoreId;
pub use store_inner::StoreInner;
pub use store_monitor::{StackSnapshot, StoreMonitor, function_at};
pub use store_mut::StoreMut;
pub use sys::{
    LeasedFile, SignalsHandled, append_jit_dump, append_perf_map, generation as process_generation,
    prepare_for_kernel, tells_written_pages, thread_cpu_time, thread_id as this_thread_id,
};
pub use table::TABLE_LIMIT;
pub use thrown::Thrown;
pub use typed_ref::{RefKind, TypedRef};
