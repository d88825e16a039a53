;; Threads on one shared memory: waiting, waking, growth, and traps of accesses.

(module $Mem
  (memory (export "memory") 1 4 shared))

;; A thread waits until the script's own store notifies it.
(thread $waits (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (import "mem" "memory" (memory 1 4 shared))
    (func (export "wait") (result i32)
      (i32.atomic.store (i32.const 4) (i32.const 1))
      (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
  ;; Notified, or the value changed before it could wait.
  (assert_return (invoke "wait") (either (i32.const 0) (i32.const 1))))

(thread $counts (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (import "mem" "memory" (memory 1 4 shared))
    (func (export "count")
      (local $i i32)
      (loop $next
        (drop (i64.atomic.rmw.add (i32.const 16) (i64.const 1)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $i) (i32.const 100000))))))
  (invoke "count"))

(register "mem" $Mem)
(module
  (import "mem" "memory" (memory 1 4 shared))
  (func (export "count")
    (local $i i32)
    (loop $next
      (drop (i64.atomic.rmw.add (i32.const 16) (i64.const 1)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 100000)))))
  (func (export "counted") (result i64) (i64.atomic.load (i32.const 16)))
  (func (export "wake")
    (loop $ready (br_if $ready (i32.eqz (i32.atomic.load (i32.const 4)))))
    (i32.atomic.store (i32.const 0) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 0) (i32.const -1)))))
(invoke "count")
(invoke "wake")
(wait $waits)
(wait $counts)
(assert_return (invoke "counted") (i64.const 200000))

;; Growth by one thread is visible to another.
(thread $grows (shared (module $Mem))
  (register "mem" $Mem)
  (module
    (import "mem" "memory" (memory 1 4 shared))
    (func (export "grow") (result i32) (memory.grow (i32.const 2)))
    (func (export "set") (i32.store (i32.const 0x2fffc) (i32.const 7))))
  (assert_return (invoke "grow") (i32.const 1))
  (assert_return (invoke "grow") (i32.const -1))
  (assert_return (invoke "set")))
(wait $grows)
(module
  (import "mem" "memory" (memory 3 4 shared))
  (func (export "size") (result i32) (memory.size))
  (func (export "get") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "get_atomic") (param i32) (result i32) (i32.atomic.load (local.get 0)))
  (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2))))
(assert_return (invoke "size") (i32.const 3))
(assert_return (invoke "get" (i32.const 0x2fffc)) (i32.const 7))
(assert_trap (invoke "get" (i32.const 0x2fffd)) "out of bounds memory access")
(assert_trap (invoke "get_atomic" (i32.const 0x30000)) "out of bounds memory access")
(assert_trap (invoke "get_atomic" (i32.const 0x30001)) "unaligned atomic")
(assert_return (invoke "fill" (i32.const 0x20000) (i32.const 0x55) (i32.const 100)))
(assert_return (invoke "copy" (i32.const 0x20031) (i32.const 0x20000) (i32.const 100)))
(assert_return (invoke "get" (i32.const 0x20090)) (i32.const 0x55555555))
(assert_trap (invoke "fill" (i32.const 0x2ff00) (i32.const 0) (i32.const 0x101)) "out of bounds memory access")

;; A memory that a module defines itself, with large and small data segments.
(module
  (memory (export "memory") 1 1 shared)
  (data (i32.const 8) "\01\02\03\04")
  (data $passive "\05\06\07\08")
  (func (export "init") (memory.init $passive (i32.const 12) (i32.const 0) (i32.const 4)))
  (func (export "get") (result i64) (i64.atomic.load (i32.const 8)))
  (func (export "wait") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait offset") (param i32) (result i32)
    (memory.atomic.wait32 offset=0xfffffffc (local.get 0) (i32.const 0) (i64.const 0)))
  (func (export "notify") (param i32) (result i32)
    (memory.atomic.notify offset=4 (local.get 0) (i32.const 1))))
(assert_return (invoke "init"))
(assert_return (invoke "get") (i64.const 0x0807060504030201))
(assert_return (invoke "wait" (i32.const 8) (i64.const 0) (i64.const -1)) (i32.const 1))
(assert_return (invoke "wait" (i32.const 8) (i64.const 0x0807060504030201) (i64.const 1000)) (i32.const 2))
(assert_trap (invoke "wait" (i32.const 4) (i64.const 0) (i64.const 0)) "unaligned atomic")
(assert_trap (invoke "wait" (i32.const 65536) (i64.const 0) (i64.const 0)) "out of bounds memory access")
(assert_trap (invoke "wait offset" (i32.const 4)) "out of bounds memory access")
(assert_return (invoke "notify" (i32.const 0)) (i32.const 0))
(assert_trap (invoke "notify" (i32.const 65532)) "out of bounds memory access")
(assert_trap (invoke "notify" (i32.const 2)) "unaligned atomic")

;; Atomic accesses to a memory that is not shared.
(module
  (memory 1)
  (func (export "add") (param i32 i32) (result i32) (i32.atomic.rmw8.add_u (local.get 0) (local.get 1)))
  (func (export "exchange") (param i32 i64 i64) (result i64)
    (i64.atomic.rmw16.cmpxchg_u offset=2 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait") (param i32) (result i32)
    (memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const 0)))
  (func (export "notify") (result i32) (memory.atomic.notify (i32.const 0) (i32.const 1)))
  (func (export "fence") (atomic.fence)))
(assert_return (invoke "add" (i32.const 2) (i32.const 0x1ff)) (i32.const 0))
(assert_return (invoke "add" (i32.const 2) (i32.const 1)) (i32.const 0xff))
(assert_return (invoke "exchange" (i32.const 0) (i64.const 0) (i64.const 0x12345)) (i64.const 0))
(assert_return (invoke "exchange" (i32.const 0) (i64.const 0) (i64.const 0)) (i64.const 0x2345))
(assert_trap (invoke "exchange" (i32.const 1) (i64.const 0) (i64.const 0)) "unaligned atomic")
(assert_trap (invoke "exchange" (i32.const 65534) (i64.const 0) (i64.const 0)) "out of bounds memory access")
(assert_trap (invoke "wait" (i32.const 0)) "expected shared memory")
(assert_trap (invoke "wait" (i32.const 1)) "unaligned atomic")
(assert_return (invoke "notify") (i32.const 0))
(assert_return (invoke "fence"))

;; Shared memories with 64-bit addresses are checked.
(module
  (memory i64 1 2 shared)
  (func (export "add") (param i64 i64) (result i64) (i64.atomic.rmw.add (local.get 0) (local.get 1)))
  (func (export "get") (param i64) (result i64) (i64.load offset=0xfffffff8 (local.get 0)))
  (func (export "grow") (result i64) (memory.grow (i64.const 1)))
  (func (export "wait") (param i64) (result i32)
    (memory.atomic.wait32 offset=8 (local.get 0) (i32.const 1) (i64.const 0))))
(assert_return (invoke "add" (i64.const 0xfff8) (i64.const 5)) (i64.const 0))
(assert_return (invoke "add" (i64.const 0xfff8) (i64.const 5)) (i64.const 5))
(assert_trap (invoke "add" (i64.const 0x10000) (i64.const 5)) "out of bounds memory access")
(assert_trap (invoke "add" (i64.const -8) (i64.const 5)) "out of bounds memory access")
(assert_trap (invoke "get" (i64.const 0)) "out of bounds memory access")
(assert_trap (invoke "get" (i64.const -8)) "out of bounds memory access")
(assert_return (invoke "grow") (i64.const 1))
(assert_return (invoke "add" (i64.const 0x10000) (i64.const 5)) (i64.const 0))
(assert_return (invoke "wait" (i64.const 0)) (i32.const 1))
(assert_trap (invoke "wait" (i64.const -8)) "out of bounds memory access")

(assert_unlinkable
  (module (import "spectest" "memory" (memory 1 2 shared)))
  "incompatible import type")
(assert_unlinkable
  (module (import "spectest" "shared_memory" (memory 1 2)))
  "incompatible import type")
(module (import "spectest" "shared_memory" (memory 1 2 shared)))
