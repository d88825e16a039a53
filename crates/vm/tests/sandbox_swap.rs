//! Written pages that were swapped out are cleared like all others.
//!
//! The test asks the kernel to page them out. Without swap space the kernel keeps them all, including the image's,
//! which is a file in memory. Then the test reports that, and only checks that asking changes nothing.

use belljar::{Engine, Linker, Module, SandboxTemplate, Session};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Three parts: the image, what initialization writes, and zeros. Sizes are in wasm pages.
fn wat(pages: usize) -> String {
    let bytes = pages << 16;
    format!(
        r#"(module (memory (export "memory") {pages} {}) (data (i32.const 9000) "of the image")
            (func (export "init") (memory.fill (i32.const {}) (i32.const 7) (i32.const {})))
            (func (export "fill") (drop (memory.grow (i32.const 16)))
                (memory.fill (i32.const 0) (i32.const 171) (i32.const {})))
            ;; Every other page.
            (func (export "some") (local $i i32)
                (loop (i32.store (local.get $i) (i32.const 0xdead))
                    (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8192))) (i32.const {bytes})))))
            (func (export "none")))"#,
        pages + 16,
        bytes / 4,
        bytes / 4,
        bytes + (16 << 16),
    )
}

/// Returns how many pages of a memory are present, and how many are swapped out.
fn present_and_swapped(bytes: &[u8]) -> (usize, usize) {
    let first = bytes.as_ptr().addr() / 4096;
    let mut rows = vec![0; bytes.len() / 4096 * 8];
    File::open("/proc/self/pagemap").unwrap().read_exact_at(&mut rows, first as u64 * 8).unwrap();
    let rows = rows.chunks(8).map(|row| u64::from_le_bytes(row.try_into().unwrap()));
    rows.fold((0, 0), |(present, swapped), row| {
        (present + (row >> 63) as usize, swapped + (row >> 62 & 1) as usize)
    })
}

/// Asks the kernel to page out the session's memory.
fn page_out(session: &mut Session<'_, ()>, every_other: bool) -> (usize, usize) {
    let memory = session.instance().get_memory(session.store(), "memory").unwrap();
    let bytes = memory.data(&*session.store());
    let step = if every_other { 4096 * 2 } else { bytes.len() };
    for part in bytes.chunks(step) {
        let length = if every_other { 4096 } else { part.len() };
        // SAFETY: whole pages of a memory that this thread owns; their contents do not change.
        let asked = unsafe { libc::madvise(part.as_ptr().cast_mut().cast(), length, libc::MADV_PAGEOUT) };
        assert_eq!(asked, 0, "{}", std::io::Error::last_os_error());
    }
    present_and_swapped(bytes)
}

fn contents(session: &mut Session<'_, ()>) -> Vec<u8> {
    let memory = session.instance().get_memory(session.store(), "memory").unwrap();
    memory.data(&*session.store()).to_vec()
}

#[test]
fn pages_that_were_swapped_out_are_wiped() {
    let engine = Engine::default();
    let mut swapped_at_all = 0;
    // Less and more than what is overwritten in place.
    for pages in [16, 400] {
        let module = Module::new(&engine, wat(pages)).unwrap();
        let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
        let mut sandbox = SandboxTemplate::new(pre, || Ok(())).init("init").build().unwrap();
        let expected = contents(&mut sandbox.session().unwrap());
        assert_eq!(&expected[9000..9012], b"of the image");
        for round in 0..12 {
            let export = ["fill", "some", "none"][round % 3];
            let mut session = sandbox.session().unwrap();
            session.call::<(), ()>(export, ()).unwrap();
            let (present, swapped) = page_out(&mut session, round % 2 == 1);
            println!("{pages} pages, {export}: {present} in memory, {swapped} swapped out");
            if export != "none" {
                swapped_at_all += swapped;
            }
            drop(session);
            let mut session = sandbox.session().unwrap();
            assert!(contents(&mut session) == expected, "round {round}");
            if round % 4 == 0 {
                // Clean pages that are swapped out are still clean when they return, and what is written over them is
                // cleared, too.
                page_out(&mut session, false);
                assert!(contents(&mut session) == expected, "round {round}");
                page_out(&mut session, false);
                session.call::<(), ()>("some", ()).unwrap();
            }
        }
    }
    if swapped_at_all == 0 {
        println!("skipped: no swap; all pages stayed in memory, and were wiped there");
    }
}
