;; Import sections that state a module name, or a type, once for several imports: equivalent to separate imports.

(module $lib
  (global (export "one") i32 (i32.const 1))
  (global (export "two") i32 (i32.const 2))
  (global (export "variable") (mut i32) (i32.const 3))
  (memory (export "memory") 1)
  (table (export "table") 1 funcref)
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "sub") (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1))))
(register "lib")

;; Items of several types, and several items of one type. Indices continue from group to group.
(module
  (import "spectest" "global_i32" (global $single i32))
  (import "lib"
    (item "add" (func $add (param i32 i32) (result i32)))
    (item "one" (global $one i32))
    (item "memory" (memory 1))
    (item "table" (table 1 funcref))
    (item "variable" (global $variable (mut i32))))
  (import "lib" (item "two") (item "one") (global i32))
  (import "lib" (item "sub") (item "add") (func (param i32 i32) (result i32)))
  (import "lib" "sub" (func $last (param i32 i32) (result i32)))
  (func (export "globals") (result i32)
    (i32.or (i32.or (global.get $one) (i32.shl (global.get $variable) (i32.const 4)))
      (i32.or (i32.shl (global.get 3) (i32.const 8)) (i32.shl (global.get 4) (i32.const 12)))))
  (func (export "call") (param i32 i32) (result i32)
    (i32.mul (call 1 (local.get 0) (local.get 1)) (call 2 (local.get 0) (local.get 1))))
  (func (export "named") (param i32 i32) (result i32)
    (call $last (call $add (local.get 0) (local.get 1)) (local.get 1)))
  (func (export "store") (i32.store (i32.const 8) (i32.const 7))))
(assert_return (invoke "globals") (i32.const 0x1231))
(assert_return (invoke "call" (i32.const 7) (i32.const 3)) (i32.const 40))
(assert_return (invoke "named" (i32.const 7) (i32.const 3)) (i32.const 7))
(assert_return (invoke "store"))

;; Empty groups, of both kinds.
(module binary
  "\00asm" "\01\00\00\00"
  "\01\04\01\60\00\00"                          ;; a type
  "\02\0d\02" "\01a\00\7f\00" "\01a\00\7e\00\00\00")

;; Linking checks each import.
(assert_unlinkable
  (module (import "lib" (item "one" (global i32)) (item "three" (global i32))))
  "unknown import")
(assert_unlinkable
  (module (import "lib" (item "one") (item "add") (global i32)))
  "incompatible import type")

;; The group markers are markers only after an empty name.
(assert_malformed
  (module binary "\00asm" "\01\00\00\00" "\01\04\01\60\00\00" "\02\08\01" "\01a\01b\7f\00\00")
  "malformed import kind")
(assert_malformed
  (module binary "\00asm" "\01\00\00\00" "\01\04\01\60\00\00" "\02\07\01" "\01a\00\7d\00\00")
  "malformed import kind")
;; An item is missing, or has an unknown kind.
(assert_malformed
  (module binary "\00asm" "\01\00\00\00" "\01\04\01\60\00\00" "\02\09\01" "\01a\00\7f\02\01f\00")
  "unexpected end")
(assert_malformed
  (module binary "\00asm" "\01\00\00\00" "\01\04\01\60\00\00" "\02\0a\01" "\01a\00\7f\01\01f\7e\00")
  "malformed import kind")
;; The type of a group must exist in the module.
(assert_invalid
  (module binary "\00asm" "\01\00\00\00" "\02\0a\01" "\01a\00\7e\00\05\01\01f")
  "unknown type")
