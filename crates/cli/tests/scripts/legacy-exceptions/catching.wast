;; The legacy instructions.

(module $far
  (tag $e (export "e") (param i32))
  (func (export "throw-e") (param i32) (throw $e (local.get 0))))
(register "far" $far)

(module
  (import "far" "e" (tag $e (param i32)))
  (import "far" "throw-e" (func $throw-e (param i32)))
  (tag $own (param i32))
  (tag $empty)
  (tag $refs (param externref i64))

  (func $throw-own (param i32) (throw $own (local.get 0)))
  (func $throw-refs (param externref) (throw $refs (local.get 0) (i64.const 5)))

  (func (export "catch") (param i32) (result i32)
    try (result i32)
        (if (i32.eq (local.get 0) (i32.const 0)) (then (call $throw-e (i32.const 10))))
        (if (i32.eq (local.get 0) (i32.const 1)) (then (call $throw-own (i32.const 20))))
        (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $empty)))
        (if (i32.eq (local.get 0) (i32.const 3)) (then (throw $own (i32.const 30))))
        (i32.const 40)
      catch $e (i32.add (i32.const 1))
      catch $own (i32.add (i32.const 2))
      catch_all (i32.const 3) end)

  ;; An exception that no clause matches propagates.
  (func (export "not-mine") (param i32) (result i32)
    try (result i32)
        try (result i32)
           (call $throw-e (local.get 0)) (i32.const -1)
          catch $own end
      catch $e (i32.add (i32.const 100)) end)

  (func (export "no-clause") (param i32) (result i32)
    try (result i32)
       try (call $throw-e (local.get 0)) end (i32.const -1)
      catch $e end)

  (func (export "nothing-thrown") (param i32) (result i32)
    try (result i32)
       (i32.add (local.get 0) (i32.const 1))
      catch $e
      catch_all (unreachable) end)

  (func (export "only-throws") (param i32) (result i32)
    try (result i32) (throw $own (local.get 0)) catch $own end)

  (func (export "params") (param i32) (result i32)
    (i32.const 7)
    (local.get 0)
    try (param i32) (result i32)
       (call $throw-own) (i32.const 0)
      catch $own end
    (i32.add))

  ;; A clause is outside its own try.
  (func (export "throw-in-clause") (param i32) (result i32)
    try (result i32)
        try (result i32)
           (call $throw-own (local.get 0)) (i32.const -1)
          catch $own (drop) (throw $e (i32.const 9))
          catch $e (drop) (i32.const -2) end
      catch $e (i32.add (i32.const 1)) end)

  (func (export "rethrow") (param i32) (result i32)
    try (result i32)
        try (result i32)
           (call $throw-e (local.get 0)) (i32.const -1)
          catch $e (drop) (rethrow 0) end
      catch $e (i32.add (i32.const 1)) end)

  (func (export "rethrow-outer") (param i32) (result i32)
    try (result i32)
        try (result i32)
           (call $throw-e (i32.const 1)) (i32.const -1)
          catch $e
            (drop)
            try (result i32)
               (call $throw-own (i32.const 50)) (i32.const -1)
              catch $own (drop) (if (result i32) (local.get 0) (then (rethrow 2)) (else (rethrow 1))) end end
      catch $e (i32.add (i32.const 1000))
      catch $own (i32.add (i32.const 2000)) end)

  (func (export "rethrow-all") (param i32) (result i32)
    try (result i32)
       try (call $throw-e (local.get 0)) catch_all (rethrow 0) end (i32.const -1)
      catch $e end)

  (func (export "rethrow-out") (param i32)
    try (call $throw-own (local.get 0)) catch_all (rethrow 0) end)

  (func (export "delegate") (param i32) (result i32)
    try $outer (result i32)
        try (result i32)
            try (result i32)
               (call $throw-e (local.get 0)) (i32.const -1)
              delegate $outer
          catch_all (i32.const -2) end
      catch $e (i32.add (i32.const 1)) end)

  (func (export "delegate-block") (param i32) (result i32)
    try (result i32)
        (block $b (result i32)
          try (result i32)
              try (result i32)
                 (call $throw-e (local.get 0)) (i32.const -1)
                delegate $b
            catch_all (i32.const -2) end)
      catch $e (i32.add (i32.const 1)) end)

  (func $delegate-out (param i32)
    try  try (call $throw-e (local.get 0)) delegate 1 catch_all end)
  (func (export "delegate-out") (param i32) (result i32)
    try (result i32) (call $delegate-out (local.get 0)) (i32.const -1) catch $e end)

  (func (export "delegate-returns") (param i32) (result i32)
    try (result i32)  try (result i32) (local.get 0) delegate 0 catch_all (i32.const -1) end)

  (func (export "unreachable-try") (result i32)
    (block (result i32)
      (br 0 (i32.const 5))
      try (result i32)
         try (call $throw-e (i32.const 0)) delegate 0 (i32.const 1)
        catch $e (drop) try  catch_all (rethrow 0) end (i32.const 2)
        catch_all (i32.const 3) end))

  (func (export "refs") (param externref) (result externref i64)
    (local $i i32)
    (loop $again (result externref i64)
      try (result externref i64)
          try (call $throw-own (i32.const 1)) catch_all end
          (call $throw-refs (local.get 0))
          (unreachable)
        catch $refs end
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (if (param externref i64) (result externref i64) (i32.lt_u (local.get $i) (i32.const 50))
        (then (drop) (local.set 0) (br $again)))))

  (func (export "loop") (param i32) (result i32)
    (local $sum i32)
    (loop $again
      try
         (call $throw-own (local.get 0))
        catch $own (local.set $sum (i32.add (local.get $sum)))
        catch_all (unreachable) end
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $sum))

  ;; Legacy and new instructions in one function.
  (func (export "mixed") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h)
        try
           (try_table (call $throw-e (local.get 0)))
          catch $own (drop)
          catch_all (rethrow 0) end)
      (i32.const -1)))

  (func (export "trap") (param i32) (result i32)
    try (result i32) (i32.div_u (i32.const 1) (local.get 0)) catch_all (i32.const 2) end))

(assert_return (invoke "catch" (i32.const 0)) (i32.const 11))
(assert_return (invoke "catch" (i32.const 1)) (i32.const 22))
(assert_return (invoke "catch" (i32.const 2)) (i32.const 3))
(assert_return (invoke "catch" (i32.const 3)) (i32.const 32))
(assert_return (invoke "catch" (i32.const 4)) (i32.const 40))
(assert_return (invoke "not-mine" (i32.const 5)) (i32.const 105))
(assert_return (invoke "no-clause" (i32.const 5)) (i32.const 5))
(assert_return (invoke "nothing-thrown" (i32.const 5)) (i32.const 6))
(assert_return (invoke "only-throws" (i32.const 5)) (i32.const 5))
(assert_return (invoke "params" (i32.const 5)) (i32.const 12))
(assert_return (invoke "throw-in-clause" (i32.const 5)) (i32.const 10))
(assert_return (invoke "rethrow" (i32.const 5)) (i32.const 6))
(assert_return (invoke "rethrow-outer" (i32.const 0)) (i32.const 2050))
(assert_return (invoke "rethrow-outer" (i32.const 1)) (i32.const 1001))
(assert_return (invoke "rethrow-all" (i32.const 5)) (i32.const 5))
(assert_exception (invoke "rethrow-out" (i32.const 5)))
(assert_return (invoke "delegate" (i32.const 5)) (i32.const 6))
(assert_return (invoke "delegate-block" (i32.const 5)) (i32.const 6))
(assert_return (invoke "delegate-out" (i32.const 5)) (i32.const 5))
(assert_return (invoke "delegate-returns" (i32.const 5)) (i32.const 5))
(assert_return (invoke "unreachable-try") (i32.const 5))
(assert_return (invoke "refs" (ref.extern 4)) (ref.extern 4) (i64.const 5))
(assert_return (invoke "loop" (i32.const 10)) (i32.const 55))
(assert_return (invoke "mixed" (i32.const 10)) (i32.const 10))
(assert_trap (invoke "trap" (i32.const 0)) "integer divide by zero")
