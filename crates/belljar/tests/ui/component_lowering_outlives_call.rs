//! A lowering context cannot be kept after the call.

use belljar::component::types::Type;
use belljar::component::{ComponentType, FlatSink, HostTypes, Lower, LowerContext};
use std::cell::RefCell;

struct Keeps<'a>(RefCell<Option<&'a mut LowerContext<'a>>>);

impl ComponentType for Keeps<'_> {
    fn check(_: &Type, _: &dyn HostTypes) -> belljar::Result<()> {
        Ok(())
    }
}

impl Lower for Keeps<'_> {
    fn lower(&self, cx: &mut LowerContext<'_>, _: &Type, _: &mut FlatSink) -> belljar::Result<()> {
        *self.0.borrow_mut() = Some(cx);
        Ok(())
    }

    fn store(&self, _: &mut LowerContext<'_>, _: &Type, _: u64) -> belljar::Result<()> {
        Ok(())
    }
}

fn main() {}
