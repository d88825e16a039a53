//! What is wrong in the arguments of `bindgen!` is an error that says what could be there.

mod unknown {
    belljar::component::bindgen!({ inline: "package a:b; world w {}", trappable: true });
}

mod unknown_flag {
    belljar::component::bindgen!({ inline: "package a:b; world w {}", imports: { default: trapping } });
}

mod is_async {
    belljar::component::bindgen!({
        inline: "package a:b; world w { import f: func(); }",
        imports: { default: trappable | async },
    });
}

mod old_async {
    belljar::component::bindgen!({ inline: "package a:b; world w {}", async: true });
}

mod twice {
    belljar::component::bindgen!({ inline: "package a:b; world w {}", world: "w", world: "w" });
}

mod ownership {
    belljar::component::bindgen!({ inline: "package a:b; world w {}", ownership: Borrowed });
}

mod nothing_of_that_name {
    belljar::component::bindgen!({
        inline: "package a:b; world w { import f: func(); }",
        with: { "a:b/c": std::string },
    });
}

mod no_such_function {
    belljar::component::bindgen!({
        inline: "package a:b; world w { import f: func(); }",
        imports: { "g": trappable },
    });
}

mod no_such_error {
    belljar::component::bindgen!({
        inline: "package a:b; interface i { type t = u8; } world w { import i; }",
        trappable_error_type: { "a:b/i.error" => u8 },
    });
}

mod words {
    belljar::component::bindgen!("world" at "path");
}

fn main() {}
