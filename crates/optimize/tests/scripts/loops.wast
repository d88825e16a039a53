;; Loops as compilers generate them: counters, pointers, constants, and values that are exchanged.
(module
  (memory 1)
  (data (i32.const 0) "\01\00\00\00\02\00\00\00\03\00\00\00\04\00\00\00\05\00\00\00")

  ;; The update comes before the comparison, and the old value is used after it.
  (func (export "sum to") (param $n i32) (result i32) (local $i i32) (local $sum i32) (local $next i32)
    (loop $l
      (local.set $next (i32.add (local.get $i) (i32.const 1)))
      (local.set $sum (i32.add (local.get $sum) (local.get $i)))
      (local.set $i (local.get $next))
      (br_if $l (i32.ne (local.get $next) (i32.const 700))))
    (i32.add (local.get $sum) (local.get $n)))

  (func (export "down") (param $i i64) (result i64) (local $sum i64)
    (loop $l
      (local.set $sum (i64.add (local.get $sum) (local.get $i)))
      (br_if $l (i64.ne (local.tee $i (i64.add (local.get $i) (i64.const -3))) (i64.const -6))))
    (local.get $sum))

  ;; A pointer that is incremented, and wraps at 2³².
  (func (export "words") (param $p i32) (param $n i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $p))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "words from above") (result i32) (local $p i32) (local $n i32) (local $sum i32)
    (local.set $p (i32.const -8))
    (loop $l
      (if (i32.ge_u (local.get $n) (i32.const 2))
        (then (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $p))))))
      (local.set $p (i32.add (local.get $p) (i32.const 4)))
      (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 7))))
    (local.get $sum))

  ;; A list: the loaded word is the next address. A value from 64 bits has nonzero bits in its upper half.
  (func (export "chase") (param $from i64) (param $n i32) (result i32) (local $p i32)
    (local.set $p (i32.wrap_i64 (local.get $from)))
    (i32.store (i32.const 100) (i32.const 200))
    (i32.store (i32.const 200) (i32.const 300))
    (i32.store (i32.const 300) (i32.const 100))
    (loop $l
      (local.set $p (i32.load (local.get $p)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $p))
  (func (export "wrapped") (param $p i32) (param $step i64) (param $n i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $p))))
      (local.set $p (i32.wrap_i64 (i64.add (i64.extend_i32_u (local.get $p)) (local.get $step))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; Two values that are exchanged in each iteration.
  (func (export "fibonacci") (param $n i32) (result i64) (local $a i64) (local $b i64) (local $t i64)
    (local.set $b (i64.const 1))
    (loop $l
      (local.set $t (i64.add (local.get $a) (local.get $b)))
      (local.set $a (local.get $b))
      (local.set $b (local.get $t))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $a))

  ;; Float constants in a loop, the same ones twice.
  (func (export "floats") (param $n i32) (result f64) (local $x f64) (local $y f32)
    (loop $l
      (local.set $x (f64.add (f64.mul (local.get $x) (f64.const 0.5)) (f64.const 3)))
      (local.set $y (f32.add (f32.mul (local.get $y) (f32.const 0.5)) (f32.const 3)))
      (local.set $x (f64.mul (local.get $x) (f64.const 0.5)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (f64.add (local.get $x) (f64.promote_f32 (local.get $y))))

  ;; A mask of a zero-extended value.
  (func (export "mask") (param i32) (result i64)
    (i64.add (i64.and (i64.extend_i32_u (local.get 0)) (i64.const 0xff))
             (i64.and (i64.extend_i32_u (local.get 0)) (i64.const 0xffff00ff00))))

  ;; Jump tables of a few runs, with values.
  (func (export "runs") (param i32) (result i32)
    (block $c (result i32)
      (block $b (result i32)
        (block $a (result i32)
          (br_table $a $a $a $b $c $a (i32.const 5) (local.get 0)))
        (return (i32.add (i32.const 100))))
      (return (i32.add (i32.const 200))))
    (i32.add (i32.const 300)))
  (func (export "one") (param i32) (result i32)
    (block $a (block $b (br_table $b $a (local.get 0))) (return (i32.const 1)))
    (i32.const 2))
  (func (export "none") (param i32) (result i32)
    (block $a (br_table $a (local.get 0)))
    (i32.const 7))
  (func (export "same") (param i32) (result i32)
    (block $a (br_table $a $a $a $a (local.get 0)))
    (i32.const 8)))

(assert_return (invoke "sum to" (i32.const 5)) (i32.const 244655))
(assert_return (invoke "down" (i64.const 9)) (i64.const 15))
(assert_return (invoke "words" (i32.const 0) (i32.const 5)) (i32.const 15))
(assert_trap (invoke "words" (i32.const 65528) (i32.const 3)) "out of bounds memory access")
(assert_return (invoke "words from above") (i32.const 15))
(assert_return (invoke "chase" (i64.const 0x1234_0000_0064) (i32.const 4)) (i32.const 200))
(assert_return (invoke "wrapped" (i32.const 0) (i64.const 0x7_0000_0004) (i32.const 5)) (i32.const 15))
(assert_return (invoke "fibonacci" (i32.const 50)) (i64.const 12586269025))
(assert_return (invoke "floats" (i32.const 60)) (f64.const 8))
(assert_return (invoke "mask" (i32.const 0x12345678)) (i64.const 0x12005678))
(assert_return (invoke "mask" (i32.const -1)) (i64.const 0xff00ffff))
(assert_return (invoke "runs" (i32.const 0)) (i32.const 105))
(assert_return (invoke "runs" (i32.const 2)) (i32.const 105))
(assert_return (invoke "runs" (i32.const 3)) (i32.const 205))
(assert_return (invoke "runs" (i32.const 4)) (i32.const 305))
(assert_return (invoke "runs" (i32.const 5)) (i32.const 105))
(assert_return (invoke "runs" (i32.const -1)) (i32.const 105))
(assert_return (invoke "one" (i32.const 0)) (i32.const 1))
(assert_return (invoke "one" (i32.const 1)) (i32.const 2))
(assert_return (invoke "none" (i32.const 9)) (i32.const 7))
(assert_return (invoke "same" (i32.const 2)) (i32.const 8))
