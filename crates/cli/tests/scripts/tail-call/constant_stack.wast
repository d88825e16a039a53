;; A million tail calls use no stack, whatever is called and wherever the call was inlined.

(module $host
  (func (export "id") (param i32) (result i32) (local.get 0))
  (func (export "many") (param i32) (result i32 i64 f32 f64 i32 i64 f32 f64 i32 i32 i64)
    (local.get 0) (i64.const 2) (f32.const 3) (f64.const 4) (i32.const 5) (i64.const 6) (f32.const 7)
    (f64.const 8) (i32.const 9) (i32.const 10) (i64.const 11)))
(register "host" $host)

(module
  (import "host" "id" (func $id (param i32) (result i32)))
  (import "host" "many"
    (func $many-import (param i32) (result i32 i64 f32 f64 i32 i64 f32 f64 i32 i32 i64)))
  (import "spectest" "print_i32" (func $print (param i32)))
  (type $step (func (param i32 i64) (result i64)))
  (type $many (func (param i32) (result i32 i64 f32 f64 i32 i64 f32 f64 i32 i32 i64)))
  (type $wide (func (param i32 i64 i64 i64 i64 i64 i64 i64 i64 i64 v128 f64 v128) (result i64)))
  (table $t (export "t") 8 funcref)
  (elem (table $t) (i32.const 0) func $indirect-even $indirect-odd $wide-a)
  (elem declare func $by-ref)

  (func $itself (export "itself") (param i32 i64) (result i64)
    (local $fresh i64)
    (if (i64.ne (local.get $fresh) (i64.const 0)) (then unreachable))
    (local.set $fresh (i64.const 7))
    (if (result i64) (local.get 0)
      (then (return_call $itself
        (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.extend_i32_u (local.get 0)))))
      (else (local.get 1))))

  ;; Arguments are permuted.
  (func $swap (export "swap") (param i32 i32 i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $swap (i32.sub (local.get 0) (i32.const 1)) (local.get 2) (local.get 1)))

  (func $even (export "even") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 44))
      (else (return_call $odd (i32.sub (local.get 0) (i32.const 1))))))
  (func $odd (export "odd") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 99))
      (else (return_call $even (i32.sub (local.get 0) (i32.const 1))))))

  (func $indirect-even (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call_indirect $t (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))
  (func $indirect-odd (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (return_call_indirect $t (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))
  (func (export "indirect-even") (param i32) (result i32)
    (return_call_indirect $t (param i32) (result i32) (local.get 0) (i32.const 0)))

  (func $by-ref (param i32 i64) (result i64)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_ref $step
      (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3)) (ref.func $by-ref)))
  (func (export "by-ref") (param i32) (result i64)
    (return_call_ref $step (local.get 0) (i64.const 0) (ref.func $by-ref)))

  ;; Eleven results are returned through memory of the first caller.
  (func $many-down (export "many") (type $many)
    (if (local.get 0) (then (return_call $many-up (i32.sub (local.get 0) (i32.const 1)))))
    (return_call $many-import (i32.const 1)))
  (func $many-up (type $many)
    (if (local.get 0) (then (return_call $many-down (i32.sub (local.get 0) (i32.const 1)))))
    (return_call $many-import (i32.const -1)))

  ;; Callees with more and with fewer arguments on the stack than their callers.
  (func $wide-a (type $wide)
    (if (i32.eqz (local.get 0)) (then (return (i64.add (local.get 9) (i64x2.extract_lane 1 (local.get 12))))))
    (return_call $narrow (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 9) (i64.const 1))))
  (func $narrow (param i32 i64) (result i64)
    (return_call_indirect $t (type $wide)
      (local.get 0) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
      (i64.const 7) (i64.const 8) (local.get 1) (v128.const i64x2 0 0) (f64.const 0) (v128.const i64x2 0 1000)
      (i32.const 2)))
  (func (export "wide") (param i32) (result i64)
    (return_call $narrow (local.get 0) (i64.const 0)))

  ;; A small function with a tail call is inlined into callers without one.
  (func $hop (param i32) (result i32) (return_call $hop-2 (local.get 0)))
  (func $hop-2 (param i32) (result i32) (return_call $id (i32.add (local.get 0) (i32.const 1))))
  (func $down (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 5))))
    (return_call $down (i32.sub (local.get 0) (i32.const 1))))
  (func (export "inlined") (param i32) (result i32)
    (i32.add (call $hop (local.get 0)) (i32.mul (call $hop (i32.const 10)) (call $down (local.get 0)))))

  (func $ping (param i32) (result i32)
    (if (result i32) (local.get 0) (then (return_call $pong (local.get 0))) (else (i32.const 3))))
  (func $pong (param i32) (result i32) (return_call $ping (i32.sub (local.get 0) (i32.const 1))))
  (func (export "ping") (param i32) (result i32) (i32.add (call $ping (local.get 0)) (call $pong (i32.const 9))))

  (func $host-last (param i32) (return_call $print (local.get 0)))
  (func (export "host") (param i32) (call $host-last (local.get 0)) (return_call $print (local.get 0)))

  (func $stops (export "stops") (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then unreachable))
    (return_call $stops (i32.sub (local.get 0) (i32.const 1)))))

(assert_return (invoke "itself" (i32.const 1000000) (i64.const 0)) (i64.const 500000500000))
(assert_return (invoke "swap" (i32.const 1000001) (i32.const 4) (i32.const 9)) (i32.const 9))
(assert_return (invoke "even" (i32.const 1000000)) (i32.const 44))
(assert_return (invoke "odd" (i32.const 1000000)) (i32.const 99))
(assert_return (invoke "indirect-even" (i32.const 1000001)) (i32.const 0))
(assert_return (invoke "by-ref" (i32.const 1000000)) (i64.const 3000000))
(assert_return (invoke "many" (i32.const 1000001))
  (i32.const -1) (i64.const 2) (f32.const 3) (f64.const 4) (i32.const 5) (i64.const 6) (f32.const 7)
  (f64.const 8) (i32.const 9) (i32.const 10) (i64.const 11))
(assert_return (invoke "wide" (i32.const 1000000)) (i64.const 1001000))
(assert_return (invoke "inlined" (i32.const 1000000)) (i32.const 1000056))
(assert_return (invoke "ping" (i32.const 1000000)) (i32.const 6))
(assert_return (invoke "host" (i32.const 1)))
(assert_trap (invoke "stops" (i32.const 1000)) "unreachable")

;; Imports called through a table that never changes.
(module
  (type $many (func (param i32) (result i32 i64 f32 f64 i32 i64 f32 f64 i32 i32 i64)))
  (import "host" "many" (func $many (type $many)))
  (import "host" "id" (func $id (param i32) (result i32)))
  (table 2 2 funcref)
  (elem (i32.const 0) $many $id)
  (func (export "many") (param i32 i32) (result i32 i64 f32 f64 i32 i64 f32 f64 i32 i32 i64)
    (return_call_indirect (type $many) (local.get 1) (local.get 0))))
(assert_return (invoke "many" (i32.const 0) (i32.const 77))
  (i32.const 77) (i64.const 2) (f32.const 3) (f64.const 4) (i32.const 5) (i64.const 6) (f32.const 7)
  (f64.const 8) (i32.const 9) (i32.const 10) (i64.const 11))
(assert_trap (invoke "many" (i32.const 1) (i32.const 77)) "indirect call type mismatch")
(assert_trap (invoke "many" (i32.const 2) (i32.const 77)) "undefined element")
