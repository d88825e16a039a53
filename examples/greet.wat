(module $greet
  ;; The function that the plugin needs from its host.
  (import "host" "log" (func $log (param i32 i32)))
  ;; The host needs the plugin's memory, and functions that allocate and free parts of it. This allocator never reuses
  ;; memory, so `free` does nothing.
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 1024))
  (func $malloc (export "malloc") (param $size i32) (result i32)
    (global.get $top)
    (global.set $top (i32.add (global.get $top) (local.get $size))))
  (func (export "free") (param i32))
  ;; Logs "hello, " and the name that lies in memory at $name.
  (data (i32.const 0) "hello, ")
  (func (export "greet") (param $name i32) (param $length i32) (local $text i32)
    (local.set $text (call $malloc (i32.add (local.get $length) (i32.const 7))))
    (memory.copy (local.get $text) (i32.const 0) (i32.const 7))
    (memory.copy (i32.add (local.get $text) (i32.const 7)) (local.get $name) (local.get $length))
    (call $log (local.get $text) (i32.add (local.get $length) (i32.const 7))))
  ;; Never returns.
  (func (export "hang") (loop $again (br $again))))
