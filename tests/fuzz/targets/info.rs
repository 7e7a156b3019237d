//! A file of fuzzed bytes, looked at, listed, and passed by a search for orphans.
#![no_main]

#[path = "../../hostile/model.rs"]
#[allow(dead_code)]
mod model;
#[path = "../../support/mod.rs"]
mod support;
#[path = "../../hostile/text.rs"]
#[allow(dead_code)]
mod text;

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use model::{Verdict, judge};
use robust_shm::{SegmentInfo, remove_orphans, segments};
use support::{Scratch, exists, path};

static NAME: LazyLock<Scratch> = LazyLock::new(|| Scratch::new("fuzzed-info"));

fuzz_target!(|bytes: &[u8]| {
    let name = &**NAME;
    fs::write(path(name), bytes).unwrap();
    let verdict = judge(bytes, bytes.len() as u64);
    let is_segment = matches!(verdict, Verdict::Segment { .. });
    match SegmentInfo::of(name) {
        Ok(info) => {
            assert!(is_segment);
            let text = format!("{info} {info:?} {:?}", info.created());
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
        Err(error) => assert!(!is_segment && error.name() == name && !error.to_string().chars().any(char::is_control)),
    }
    let listed = segments().filter_map(Result::ok).any(|info| info.name() == name);
    assert_eq!(listed, is_segment);
    let goes = verdict == (Verdict::Segment { persistent: false });
    assert_eq!(remove_orphans().unwrap().contains(&NAME.0), goes);
    assert_eq!(exists(name), !goes);
    if !goes {
        assert_eq!(fs::read(path(name)).unwrap(), bytes);
        fs::remove_file(path(name)).unwrap();
    }
});
