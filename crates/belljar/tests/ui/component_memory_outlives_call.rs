//! What a value is lifted from cannot be kept after the call.

use belljar::component::types::Type;
use belljar::component::{ComponentType, FlatValues, HostTypes, Lift, LiftContext};

struct Kept(&'static [u8]);

impl ComponentType for Kept {
    fn check(_: &Type, _: &dyn HostTypes) -> belljar::Result<()> {
        Ok(())
    }
}

impl Lift for Kept {
    fn lift(cx: &mut LiftContext<'_>, _: &Type, _: &mut FlatValues<'_>) -> belljar::Result<Self> {
        Ok(Kept(cx.memory()?))
    }

    fn load(cx: &mut LiftContext<'_>, _: &Type, _: u64) -> belljar::Result<Self> {
        Ok(Kept(cx.memory()?))
    }
}

fn main() {}
