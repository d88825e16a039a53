//! What is wrong in WIT, or missing in belljar, is an error with its place.

mod no_such_world {
    belljar::component::bindgen!({
        inline: "package a:b; world client {} world server {}",
        world: "servers",
    });
}

mod several_worlds {
    belljar::component::bindgen!({ inline: "package a:b; world client {} world server {}" });
}

mod syntax {
    belljar::component::bindgen!({
        inline: "
            package a:b;
            interface i {
                f: func() > u8;
            }
        ",
    });
}

mod no_such_type {
    belljar::component::bindgen!({
        inline: "
            package a:b;
            interface i {
                f: func(x: number);
            }
            world w { import i; }
        ",
    });
}

mod no_file {
    belljar::component::bindgen!("w" in "missing/folder");
}

mod asynchronous {
    belljar::component::bindgen!({
        inline: "
            package a:b;
            world w {
                import f: async func();
            }
        ",
    });
}

mod streams {
    belljar::component::bindgen!({
        inline: "
            package a:b;
            interface i {
                f: func() -> stream<u8>;
            }
            world w { import i; }
        ",
    });
}

fn main() {}
