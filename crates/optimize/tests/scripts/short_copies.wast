;; Copies of every short length, in both directions, and copies that reach beyond the memory.
(module
  (memory 1)
  (data (i32.const 100) "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")

  (func $reset (memory.copy (i32.const 1000) (i32.const 100) (i32.const 62)))
  (func (export "copy") (param i32 i32 i32)
    (memory.copy (local.get 0) (local.get 1) (local.get 2)))

  ;; Copies `length` bytes inside the second text by `by`, and compares each byte with the first text's.
  (func (export "check") (param $by i32) (result i32) (local $length i32) (local $i i32)
    (loop $lengths
      (call $reset)
      (memory.copy (i32.add (i32.const 1010) (local.get $by)) (i32.const 1010) (local.get $length))
      (local.set $i (i32.const 0))
      (block $done
        (loop $bytes
          (br_if $done (i32.eq (local.get $i) (local.get $length)))
          (if (i32.ne
                (i32.load8_u (i32.add (i32.add (i32.const 1010) (local.get $by)) (local.get $i)))
                (i32.load8_u (i32.add (i32.const 110) (local.get $i))))
            (then (return (local.get $length))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $bytes)))
      ;; The byte after the copy is unchanged.
      (if (i32.ge_s (local.get $by) (i32.const 0))
        (then
          (if (i32.ne
                (i32.load8_u (i32.add (i32.add (i32.const 1010) (local.get $by)) (local.get $length)))
                (i32.load8_u (i32.add (i32.add (i32.const 110) (local.get $by)) (local.get $length))))
            (then (return (i32.add (i32.const 1000) (local.get $length)))))))
      (local.set $length (i32.add (local.get $length) (i32.const 1)))
      (br_if $lengths (i32.le_u (local.get $length) (i32.const 40))))
    (i32.const -1))

  (func (export "byte") (param i32) (result i32) (i32.load8_u (local.get 0)))

  (func (export "constant") (param i32 i32)
    (memory.copy (local.get 0) (local.get 1) (i32.const 37)))
  (func (export "fill") (param i32 i32)
    (memory.fill (local.get 0) (local.get 1) (i32.const 29)))
  (func (export "fill3") (param i32 i32)
    (memory.fill (local.get 0) (local.get 1) (i32.const 3)))
  (func (export "nothing") (param i32 i32)
    (memory.copy (local.get 0) (local.get 1) (i32.const 0))))

(assert_return (invoke "check" (i32.const 0)) (i32.const -1))
(assert_return (invoke "check" (i32.const 1)) (i32.const -1))
(assert_return (invoke "check" (i32.const -1)) (i32.const -1))
(assert_return (invoke "check" (i32.const 3)) (i32.const -1))
(assert_return (invoke "check" (i32.const -7)) (i32.const -1))
(assert_return (invoke "check" (i32.const 10)) (i32.const -1))

;; At the end, and across it: nothing is written before a trap.
(assert_return (invoke "copy" (i32.const 65532) (i32.const 100) (i32.const 4)))
(assert_trap (invoke "copy" (i32.const 65533) (i32.const 104) (i32.const 4)) "out of bounds memory access")
(assert_return (invoke "byte" (i32.const 65533)) (i32.const 49))
(assert_trap (invoke "copy" (i32.const 0) (i32.const 65533) (i32.const 4)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const 65520) (i32.const 100) (i32.const 17)) "out of bounds memory access")
(assert_return (invoke "byte" (i32.const 65520)) (i32.const 0))
(assert_return (invoke "copy" (i32.const 65536) (i32.const 65536) (i32.const 0)))
(assert_trap (invoke "copy" (i32.const 65537) (i32.const 0) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const 0) (i32.const 65537) (i32.const 0)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const -1) (i32.const 0) (i32.const 1)) "out of bounds memory access")
(assert_trap (invoke "copy" (i32.const 0) (i32.const -1) (i32.const 33)) "out of bounds memory access")

(assert_return (invoke "constant" (i32.const 2000) (i32.const 100)))
(assert_return (invoke "byte" (i32.const 2036)) (i32.const 65))
(assert_return (invoke "byte" (i32.const 2037)) (i32.const 0))
(assert_trap (invoke "constant" (i32.const 65500) (i32.const 100)) "out of bounds memory access")
(assert_trap (invoke "constant" (i32.const 0) (i32.const 65500)) "out of bounds memory access")
(assert_return (invoke "fill" (i32.const 3000) (i32.const 0x1ab)))
(assert_return (invoke "byte" (i32.const 3000)) (i32.const 0xab))
(assert_return (invoke "byte" (i32.const 3028)) (i32.const 0xab))
(assert_return (invoke "byte" (i32.const 3029)) (i32.const 0))
(assert_return (invoke "fill3" (i32.const 3100) (i32.const 0x1cd)))
(assert_return (invoke "byte" (i32.const 3102)) (i32.const 0xcd))
(assert_return (invoke "byte" (i32.const 3103)) (i32.const 0))
(assert_trap (invoke "fill3" (i32.const 65534) (i32.const 1)) "out of bounds memory access")
(assert_return (invoke "byte" (i32.const 65534)) (i32.const 50))
(assert_return (invoke "nothing" (i32.const 65536) (i32.const 65536)))
(assert_trap (invoke "nothing" (i32.const 65537) (i32.const 0)) "out of bounds memory access")
