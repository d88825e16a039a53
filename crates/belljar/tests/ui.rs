//! Code that must not compile: uses that would let a pointer outlive its owner (promise 1), types that do not fit those of
//! components, and wrong arguments of `bindgen!`.

#[test]
fn misuse_is_a_compile_error() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
