//! The macros for types of components say what they expect.

use belljar::component::{ComponentType, Lift};

#[derive(ComponentType)]
struct Unmarked {
    a: u32,
}

#[derive(ComponentType)]
#[component(variant)]
struct NoEnum {
    a: u32,
}

#[derive(ComponentType)]
#[component(record)]
enum NoStruct {
    A,
}

#[derive(ComponentType)]
#[component(record)]
struct WithoutNames(u32);

#[derive(ComponentType)]
#[component(enum)]
enum WithField {
    A(u32),
}

#[derive(Lift)]
#[component(variant)]
enum TwoFields {
    A(u32, u32),
}

#[derive(ComponentType)]
#[component(record)]
struct WrongAttribute {
    #[component(rename = "b")]
    a: u32,
}

#[derive(ComponentType)]
#[component(record)]
struct NoComponentType {
    a: std::time::Instant,
}

#[derive(ComponentType)]
#[component(record)]
struct Empty {}

belljar::component::flags! {
    Nothing {}
}

fn main() {}
