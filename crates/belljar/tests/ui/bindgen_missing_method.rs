//! The host has to implement each function that the world imports.

belljar::component::bindgen!({
    inline: "
        package example:ids;
        world ids {
            import next: func() -> u64;
            import last: func() -> u64;
        }
    ",
});

struct State;

impl IdsImports for State {
    fn next(&mut self) -> u64 {
        0
    }
}

fn main() {}
