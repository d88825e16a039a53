//! Sandboxes: guests that are reset after every call.
//!
//! In: a module with its imports, and a closure that makes the host's state. Out: the results of calls, which all start from the
//! same state. Never: a call that sees anything of an earlier one, however that ended.
//!
//! ```text
//! SandboxTemplate ── InstanceFactory: the first SandboxInstance runs the initialization, others adopt its Checkpoint
//!       │                   │
//! Sandbox, SandboxPool ── InstancePool::take ─▶ SandboxInstance::begin ─▶ Session: calls ─▶ InstancePool::give ─▶ reset
//! ```

mod guest;
mod instance_factory;
mod instance_pool;
mod module_guest;
mod pool;
mod sandbox_instance;
mod session;
mod stacks;
mod standalone;
mod statistics;
mod template;

#[cfg(feature = "component-model")]
pub(crate) use guest::Guest;
pub use guest::SandboxGuest;
pub use pool::{Burst, PoolConfig, PoolExhausted, SandboxPool};
pub use sandbox_instance::SandboxDiscarded;
pub use session::Session;
pub use standalone::{Sandbox, SandboxKillHandle};
pub use statistics::PoolStatistics;
pub use template::SandboxTemplate;
