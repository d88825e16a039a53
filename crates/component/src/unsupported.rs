//! The asynchronous functions of the runtime, which this version does not have. Components that import and never call them
//! run: so their core types are known.

use crate::plan::BuiltinKind;
use crate::types::{AddressType, FlatType, Type};
use wasmparser::CanonicalFunction;

/// Returns the builtin for a canonical function. `result` is the type that `task.return` takes.
pub(crate) fn builtin(canonical: &CanonicalFunction, result: Option<&Type>) -> BuiltinKind {
    use CanonicalFunction::*;
    use FlatType::{I32, I64};
    let (name, params, result): (_, &[FlatType], _) = match canonical {
        TaskReturn { .. } => {
            let flat = result.map(|ty| ty.flat(AddressType::I32));
            let params = match flat {
                None => Vec::new(),
                Some(Some(flat)) => flat.into_owned(),
                Some(None) => vec![I32],
            };
            return BuiltinKind::Unsupported { name: "task.return", params, result: None };
        }
        TaskCancel => ("task.cancel", &[], None),
        SubtaskDrop => ("subtask.drop", &[I32], None),
        SubtaskCancel { .. } => ("subtask.cancel", &[I32], Some(I32)),
        StreamNew { .. } => ("stream.new", &[], Some(I64)),
        StreamRead { .. } => ("stream.read", &[I32; 3], Some(I32)),
        StreamWrite { .. } => ("stream.write", &[I32; 3], Some(I32)),
        StreamForward { .. } => ("stream.forward", &[I32; 2], None),
        StreamCancelRead { .. } => ("stream.cancel-read", &[I32], Some(I32)),
        StreamCancelWrite { .. } => ("stream.cancel-write", &[I32], Some(I32)),
        StreamDropReadable { .. } => ("stream.drop-readable", &[I32], None),
        StreamDropWritable { .. } => ("stream.drop-writable", &[I32], None),
        FutureNew { .. } => ("future.new", &[], Some(I64)),
        FutureRead { .. } => ("future.read", &[I32; 2], Some(I32)),
        FutureWrite { .. } => ("future.write", &[I32; 2], Some(I32)),
        FutureForward { .. } => ("future.forward", &[I32; 2], None),
        FutureCancelRead { .. } => ("future.cancel-read", &[I32], Some(I32)),
        FutureCancelWrite { .. } => ("future.cancel-write", &[I32], Some(I32)),
        FutureDropReadable { .. } => ("future.drop-readable", &[I32], None),
        FutureDropWritable { .. } => ("future.drop-writable", &[I32], None),
        ErrorContextNew { .. } => ("error-context.new", &[I32; 2], Some(I32)),
        ErrorContextDebugMessage { .. } => ("error-context.debug-message", &[I32; 2], None),
        ErrorContextDrop => ("error-context.drop", &[I32], None),
        WaitableSetNew => ("waitable-set.new", &[], Some(I32)),
        WaitableSetWait { .. } => ("waitable-set.wait", &[I32; 2], Some(I32)),
        WaitableSetPoll { .. } => ("waitable-set.poll", &[I32; 2], Some(I32)),
        WaitableSetDrop => ("waitable-set.drop", &[I32], None),
        WaitableJoin => ("waitable.join", &[I32; 2], None),
        ThreadYield => ("thread.yield", &[], Some(I32)),
        ThreadIndex => ("thread.index", &[], Some(I32)),
        _ => ("thread", &[I32; 2], Some(I32)),
    };
    BuiltinKind::Unsupported { name, params: params.to_vec(), result }
}
