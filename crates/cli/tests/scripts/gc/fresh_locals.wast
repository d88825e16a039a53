;; Locals are zero again in each iteration of a body that tail-calls itself, and parameters keep their arguments, whatever is next to
;; them: also if all are in the frame and are cleared sixteen bytes at a time.
(module
  (func $mixed (export "mixed") (param i32 i64 externref v128 f32 i32) (result i64)
    (local i32 f64 v128 i32 i64 externref funcref f32 i32 i32 i32 v128 i64 i32 f64 externref i32)
    ;; Parameters.
    (local.set 15 (i32.add (local.get 15) (i32.trunc_f32_s (local.get 4))))
    (i64.add (i64.extend_i32_s (i32.add (local.get 0) (local.get 5))) (local.get 1))
    (i64.add (i64x2.extract_lane 0 (local.get 3)))
    (i64.add (i64.extend_i32_s (i32.eqz (ref.is_null (local.get 2)))))
    (i64.add (i64.extend_i32_s (local.get 15)))
    ;; Locals: nothing is added if all are zero.
    (i64.add (i64.extend_i32_s (local.get 6)))
    (i64.add (i64.trunc_f64_s (local.get 7)))
    (i64.add (i64x2.extract_lane 1 (local.get 8)))
    (i64.add (i64.extend_i32_s (local.get 9)))
    (i64.add (local.get 10))
    (i64.add (i64.extend_i32_s (i32.eqz (ref.is_null (local.get 11)))))
    (i64.add (i64.extend_i32_s (i32.eqz (ref.is_null (local.get 12)))))
    (i64.add (i64.trunc_f32_s (local.get 13)))
    (i64.add (i64.extend_i32_s (local.get 14)))
    (i64.add (i64.extend_i32_s (local.get 16)))
    (i64.add (i64x2.extract_lane 0 (local.get 17)))
    (i64.add (local.get 18))
    (i64.add (i64.extend_i32_s (local.get 19)))
    (i64.add (i64.trunc_f64_s (local.get 20)))
    (i64.add (i64.extend_i32_s (i32.eqz (ref.is_null (local.get 21)))))
    (i64.add (i64.extend_i32_s (local.get 22))))

  ;; Counts the locals that are not zero at the start of any iteration; each iteration leaves them nonzero.
  (func $rounds (export "rounds") (param i32 i64) (result i64)
    (local i32 v128 i64 externref f64 i32)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (i32.ne (local.get 2) (i32.const 0)))))
    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (v128.any_true (local.get 3)))))
    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (i64.ne (local.get 4) (i64.const 0)))))
    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (i32.eqz (ref.is_null (local.get 5))))))
    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (f64.ne (local.get 6) (f64.const 0)))))
    (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (i32.ne (local.get 7) (i32.const 0)))))
    (local.set 2 (i32.const -1))
    (local.set 3 (v128.const i64x2 -1 -1))
    (local.set 4 (i64.const -1))
    (local.set 6 (f64.const 1))
    (local.set 7 (i32.const -1))
    (return_call $rounds (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))

(assert_return
  (invoke "mixed" (i32.const 1) (i64.const 20) (ref.extern 7) (v128.const i64x2 300 9) (f32.const 4000) (i32.const 50000))
  (i64.const 54322))
(assert_return
  (invoke "mixed" (i32.const 0) (i64.const 0) (ref.null extern) (v128.const i64x2 0 0) (f32.const 0) (i32.const 0))
  (i64.const 0))
(assert_return (invoke "rounds" (i32.const 100) (i64.const 0)) (i64.const 0))
