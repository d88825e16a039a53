//! A tool that an agent calls, as a component in a pool of sandboxes: every call starts from the same state, ends in time, and
//! leaves nothing behind. Its interface is WIT, and the host's side is generated from it.

use belljar::component::{Component, HasSelf, Linker, bindgen};
use belljar::{Engine, Limits, PoolConfig, Result, SandboxTemplate};
use std::time::Duration;

bindgen!({
    inline: "
        package example:tools;
        world tool {
            /// Writes a line to the journal of the call.
            import note: func(line: string);
            /// Answers a question.
            export ask: func(question: string) -> string;
        }
    ",
});

/// What the host keeps for one call.
#[derive(Default)]
struct Call {
    notes: Vec<String>,
}

impl ToolImports for Call {
    fn note(&mut self, line: String) {
        self.notes.push(line);
    }
}

/// A small tool, so that the example needs no toolchain. It notes each question, counts them, and answers with the question; one
/// that begins with `!` it thinks about for ever.
const TOOL: &str = r#"(component
    (import "note" (func $note (param "line" string)))
    (core module $memory
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core instance $memory (instantiate $memory))
    (core func $note (canon lower (func $note) (memory (core memory $memory "memory"))))
    (core module $tool
        (import "" "memory" (memory 1))
        (import "" "note" (func $note (param i32 i32)))
        (global $asked (mut i32) (i32.const 0))
        (func (export "ask") (param $text i32) (param $length i32) (result i32)
            (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
            (if (i32.gt_u (global.get $asked) (i32.const 1)) (then unreachable))
            (if (i32.eq (i32.load8_u (local.get $text)) (i32.const 33)) (then (loop (br 0))))
            (call $note (local.get $text) (local.get $length))
            (i32.store (i32.const 0) (local.get $text))
            (i32.store (i32.const 4) (local.get $length))
            (i32.const 0)))
    (core instance $tool (instantiate $tool
        (with "" (instance (export "memory" (memory $memory "memory")) (export "note" (func $note))))))
    (func (export "ask") (param "question" string) (result string)
        (canon lift (core func $tool "ask") (memory (core memory $memory "memory"))
            (realloc (core func $memory "realloc")))))"#;

fn main() -> Result<()> {
    let engine = Engine::default();
    let component = Component::new(&engine, TOOL)?;
    let mut linker = Linker::<Call>::new(&engine);
    Tool::add_to_linker::<_, HasSelf<_>>(&mut linker, |call| call)?;
    let pool = SandboxTemplate::new(linker.instantiate_pre(&component)?, || Ok(Call::default()))
        .limits(Limits::default().wall(Duration::from_millis(200)).memory(16 << 20))
        .pool(PoolConfig::new().max_sandboxes(4))?;

    // Each thread's calls get clean instances.
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let pool = &pool;
            scope.spawn(move || -> Result<()> {
                for number in 0..100 {
                    let mut session = pool.session()?;
                    let instance = session.instance();
                    let tool = Tool::new(session.store(), &instance)?;
                    let question = format!("{thread}/{number}?");
                    assert_eq!(tool.call_ask(session.store(), &question)?, question);
                    assert_eq!(session.store().data().notes, [question]);
                }
                Ok(())
            });
        }
    });

    // A tool that does not answer is stopped, and its sandbox is wiped.
    let error = pool.call::<(&str,), (String,)>("ask", ("!",)).unwrap_err();
    println!("stopped: {error}");
    println!("answer: {}", pool.call::<(&str,), (String,)>("ask", ("again?",))?.0);
    let statistics = pool.statistics();
    println!("{} calls in {} sandboxes", statistics.sessions, statistics.sandboxes);
    assert_eq!((statistics.sessions, statistics.discarded), (402, 0));
    Ok(())
}
