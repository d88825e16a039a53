//! Checks that all formats contain what a sampler recorded.

use belljar_profile::{FrameKind, Profile, ProfileBuilder, ProfileFormat, ProfileFrame};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// One sample: a trap in an inlined function, called from `area_of`, during a host call.
fn shapes() -> Profile {
    let guest =
        |name, line| ProfileFrame::guest(name).in_module("shapes.wasm").at("./shapes.cpp", Some(line));
    let mut builder = ProfileBuilder::new("shapes.wasm", MS);
    let stack = [
        ProfileFrame::host("log"),
        guest("shapes::Square::checked() const", 12).inlined(),
        guest("shapes::area(shapes::Square const&)", 20),
        guest("area_of", 31),
    ]
    .map(|frame| builder.frame(frame));
    builder.sample(MS, 1, MS, &stack);
    builder.finish()
}

#[test]
fn a_sample_has_the_frames_that_it_was_given() {
    let profile = shapes();
    let sample = profile.samples().next().unwrap();
    let frames: Vec<&ProfileFrame> = sample.stack().collect();
    let names: Vec<_> = frames.iter().map(|f| (f.function(), f.is_inlined(), f.line())).collect();
    assert_eq!(
        names,
        [
            ("log", false, None),
            ("shapes::Square::checked() const", true, Some(12)),
            ("shapes::area(shapes::Square const&)", false, Some(20)),
            ("area_of", false, Some(31)),
        ]
    );
    assert_eq!((frames[0].kind(), frames[0].module()), (FrameKind::Host, None));
    for frame in &frames[1..] {
        assert_eq!((frame.kind(), frame.module()), (FrameKind::Guest, Some("shapes.wasm")));
        assert_eq!(frame.file(), Some("./shapes.cpp"));
    }
    assert_eq!((sample.time(), sample.weight(), sample.thread().name()), (MS, MS, "thread 1"));
}

#[test]
fn equal_frames_have_equal_ids() {
    let frame = || ProfileFrame::guest("f").in_module("m").at("f.c", Some(3));
    let mut builder = ProfileBuilder::new("", MS);
    let first = builder.frame(frame());
    assert_eq!(builder.frame(frame()), first);
    for other in [frame().inlined(), frame().at("f.c", Some(4)), ProfileFrame::host("f")] {
        assert_ne!(builder.frame(other), first);
    }
}

#[test]
#[should_panic(expected = "another profile")]
fn a_frame_of_another_profile_is_refused() {
    let frame = ProfileBuilder::new("", MS).frame(ProfileFrame::guest("f"));
    ProfileBuilder::new("", MS).sample(MS, 1, MS, &[frame]);
}

#[test]
fn errors_of_the_file_are_errors() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in ProfileFormat::ALL.into_iter().filter(|format| format.ensure_supported().is_ok()) {
        let error = shapes().write_to(format, &mut Full).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{format:?}");
    }
}

/// Prints a profile in all formats to files, for inspection by hand:
/// `cargo test -p belljar-profile --all-features --test profile -- --ignored`.
#[test]
#[ignore = "writes files for people"]
fn show() {
    let mut builder = ProfileBuilder::new("ray.wasm", MS);
    let names =
        ["_start", "render", "trace", "intersect", "core::f64::sqrt", "alloc::vec::Vec<T>::push", "grow"];
    let guest: Vec<_> = names
        .iter()
        .map(|name| builder.frame(ProfileFrame::guest(name).in_module("ray.wasm").at("src/ray.rs", Some(7))))
        .collect();
    let sqrt = builder.frame(ProfileFrame::guest("Vec3::normalized").in_module("ray.wasm").inlined());
    let write = builder.frame(ProfileFrame::host("wasi_snapshot_preview1.fd_write"));
    let collect = builder.frame(ProfileFrame::runtime("garbage collection"));
    builder.thread(1, "main");
    builder.thread(2, "worker");
    for i in 0..4000_u64 {
        let depth = 2 + (i * 7919 % 6) as usize;
        let mut stack: Vec<_> = guest[..depth].iter().rev().copied().collect();
        match i % 9 {
            0 => stack.insert(0, write),
            1 => stack.insert(0, collect),
            2 | 3 => stack.insert(0, sqrt),
            _ => {}
        }
        builder.sample(MS * i as u32, 1 + u64::from(i % 4 == 0), MS, &stack);
    }
    let profile = builder.finish();
    println!("{:.10}", profile.summary());
    for name in ["profile.svg", "profile.json", "profile.pb.gz", "profile.txt"] {
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        profile.write_to(ProfileFormat::of_path(&path).unwrap(), &mut file).unwrap();
        println!("{}", path.display());
    }
}
