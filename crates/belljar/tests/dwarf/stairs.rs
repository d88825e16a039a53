//! A program of Rust's compiler with debug information, for tests of backtraces. It needs no library of the target's, so that
//! any `rustc` makes it:
//!
//!   RUSTC_BOOTSTRAP=1 rustc --target wasm32-unknown-unknown --crate-type cdylib -g -O -C panic=abort \
//!       --remap-path-prefix=$PWD=. stairs.rs -o stairs.wasm
//!
//! The tests look for the lines that end in `// trap` and `// call …`.

#![feature(arbitrary_self_types, no_core, lang_items, intrinsics, rustc_attrs, auto_traits)]
#![allow(internal_features, dead_code)]
#![no_core]

#[lang = "pointee_sized"]
trait PointeeSized {}
#[lang = "meta_sized"]
trait MetaSized: PointeeSized {}
#[lang = "sized"]
trait Sized: MetaSized {}
#[lang = "copy"]
trait Copy {}
impl Copy for i32 {}
#[lang = "serialize_instance"]
auto trait Freeze {}
#[lang = "sub"]
trait Sub<Right = Self> {
    type Output;
    fn sub(self, right: Right) -> Self::Output;
}
impl Sub for i32 {
    type Output = i32;
    fn sub(self, right: i32) -> i32 {
        self - right
    }
}
#[lang = "mul"]
trait Mul<Right = Self> {
    type Output;
    fn mul(self, right: Right) -> Self::Output;
}
impl Mul for i32 {
    type Output = i32;
    fn mul(self, right: i32) -> i32 {
        self * right
    }
}

#[rustc_intrinsic]
fn abort() -> !;

mod house {
    pub struct Stair {
        pub steps: i32,
        pub floor: i32,
    }

    impl Stair {
        #[inline(never)]
        pub fn down(&self) -> i32 {
            match self.steps {
                0 => ground(self.floor), // call ground
                steps => self.landing(steps - 1) * 3, // call landing
            }
        }

        #[inline(always)]
        fn landing(&self, steps: i32) -> i32 {
            Stair { steps, floor: self.floor }.down() - 1 // call down
        }
    }

    /// There is no such floor.
    #[inline(always)]
    fn ground(floor: i32) -> i32 {
        match floor {
            13 => super::abort(), // trap
            floor => floor,
        }
    }
}

#[no_mangle]
pub extern "C" fn descend(steps: i32, floor: i32) -> i32 {
    house::Stair { steps, floor }.down() * 5 // call from outside
}
