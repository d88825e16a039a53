;; Relaxed vector instructions in the deterministic profile: the first of the results that the specification allows.

(module
  (func (export "swizzle") (param v128 v128) (result v128) (i8x16.relaxed_swizzle (local.get 0) (local.get 1)))
  (func (export "madd") (param v128 v128 v128) (result v128)
    (f32x4.relaxed_madd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "nmadd") (param v128 v128 v128) (result v128)
    (f64x2.relaxed_nmadd (local.get 0) (local.get 1) (local.get 2)))
  (func (export "min") (param v128 v128) (result v128) (f32x4.relaxed_min (local.get 0) (local.get 1)))
  (func (export "max") (param v128 v128) (result v128) (f64x2.relaxed_max (local.get 0) (local.get 1)))
  (func (export "select8") (param v128 v128 v128) (result v128)
    (i8x16.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "select16") (param v128 v128 v128) (result v128)
    (i16x8.relaxed_laneselect (local.get 0) (local.get 1) (local.get 2)))
  (func (export "trunc_s") (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))
  (func (export "trunc_u") (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_u (local.get 0)))
  (func (export "trunc_s_zero") (param v128) (result v128) (i32x4.relaxed_trunc_f64x2_s_zero (local.get 0)))
  (func (export "trunc_u_zero") (param v128) (result v128) (i32x4.relaxed_trunc_f64x2_u_zero (local.get 0)))
  (func (export "q15mulr") (param v128 v128) (result v128)
    (i16x8.relaxed_q15mulr_s (local.get 0) (local.get 1)))
  (func (export "dot") (param v128 v128) (result v128)
    (i16x8.relaxed_dot_i8x16_i7x16_s (local.get 0) (local.get 1)))
  (func (export "dot_add") (param v128 v128 v128) (result v128)
    (i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get 0) (local.get 1) (local.get 2))))

(assert_return
  (invoke "swizzle" (v128.const i8x16 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    (v128.const i8x16 0 15 16 17 31 32 127 128 255 1 1 1 1 1 1 1))
  (v128.const i8x16 1 16 0 0 0 0 0 0 0 2 2 2 2 2 2 2))
;; Rounded once: 2^-46.
(assert_return
  (invoke "madd" (v128.const f32x4 0x1.000002p0 0 0 0) (v128.const f32x4 0x1.000002p0 0 0 0)
    (v128.const f32x4 -0x1.000004p0 0 0 0))
  (v128.const f32x4 0 0 0 0))
(assert_return
  (invoke "nmadd" (v128.const f64x2 0x1.0000000000001p0 2) (v128.const f64x2 0x1.0000000000001p0 3)
    (v128.const f64x2 0x1.0000000000002p0 1))
  (v128.const f64x2 0 -5))
(assert_return
  (invoke "min" (v128.const f32x4 nan 1 0 2) (v128.const f32x4 1 nan -0 1))
  (v128.const f32x4 nan:arithmetic nan:arithmetic -0 1))
(assert_return
  (invoke "max" (v128.const f64x2 -0 nan) (v128.const f64x2 0 1))
  (v128.const f64x2 0 nan:arithmetic))
(assert_return
  (invoke "select8" (v128.const i32x4 -1 -1 -1 -1) (v128.const i32x4 0 0 0 0)
    (v128.const i8x16 1 0x80 0x7f -1 0 0 0 0 0 0 0 0 0 0 0 0))
  (v128.const i8x16 1 0x80 0x7f -1 0 0 0 0 0 0 0 0 0 0 0 0))
(assert_return
  (invoke "select16" (v128.const i32x4 -1 -1 -1 -1) (v128.const i32x4 0 0 0 0)
    (v128.const i16x8 1 0x8000 0x7fff -1 0 0 0 0))
  (v128.const i16x8 1 0x8000 0x7fff -1 0 0 0 0))
(assert_return (invoke "trunc_s" (v128.const f32x4 nan 1e10 -1e10 -1.5)) (v128.const i32x4 0 0x7fffffff 0x80000000 -1))
(assert_return (invoke "trunc_u" (v128.const f32x4 nan 1e10 -1e10 3e9)) (v128.const i32x4 0 -1 0 3000000000))
(assert_return (invoke "trunc_s_zero" (v128.const f64x2 nan 1e10)) (v128.const i32x4 0 0x7fffffff 0 0))
(assert_return (invoke "trunc_u_zero" (v128.const f64x2 -1 1e10)) (v128.const i32x4 0 -1 0 0))
(assert_return
  (invoke "q15mulr" (v128.const i16x8 0x8000 0x4000 0 0 0 0 0 0) (v128.const i16x8 0x8000 0x4000 0 0 0 0 0 0))
  (v128.const i16x8 0x7fff 0x2000 0 0 0 0 0 0))
;; The second operand is signed; a sum that is too large saturates.
(assert_return
  (invoke "dot" (v128.const i8x16 -128 -128 1 2 -128 -128 0 0 0 0 0 0 0 0 0 0)
    (v128.const i8x16 -127 -127 -3 -4 -128 -128 0 0 0 0 0 0 0 0 0 0))
  (v128.const i16x8 32512 -11 32767 0 0 0 0 0))
(assert_return
  (invoke "dot_add" (v128.const i8x16 -128 -128 -128 -128 1 2 3 4 0 0 0 0 0 0 0 0)
    (v128.const i8x16 -128 -128 -128 -128 -1 -1 -1 -1 0 0 0 0 0 0 0 0) (v128.const i32x4 1 2 3 4))
  (v128.const i32x4 65535 -8 3 4))
