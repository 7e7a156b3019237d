//! Strange things under a segment's name: the bugs that they have found come first.
#![allow(unsafe_code)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;

use robust_shm::{Error, SharedValue, remove};
use support::{Scratch, exists, path, play, within_limit};

#[test]
fn child() {
    play(&[]);
}

/// The first version compared as many bytes of the magic number as the file had: `remove` deleted a file with an "r" in
/// it.
#[test]
fn a_file_with_a_piece_of_the_magic_number_is_a_strangers() {
    let name = Scratch::new("magic");
    for len in 1..8 {
        fs::write(path(&name), &b"rbstSHM\0"[..len]).unwrap();
        let error = remove(&name).unwrap_err();
        assert!(matches!(error, Error::NotASegment { .. }), "{error}");
        assert!(error.to_string().contains(&format!("only {len} bytes")), "{error}");
        assert!(exists(&name));
    }
}

/// The first version believed the counters even under the lock, and read for ever. `begun` is at 584.
#[test]
fn damaged_commit_counters_do_not_keep_a_reader_for_ever() {
    let name = Scratch::new("counters");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    let file = fs::OpenOptions::new().write(true).open(path(&name)).unwrap();
    file.write_all_at(&[0xff; 8], 584).unwrap();
    let value = SharedValue::<u64>::open(&name).unwrap();
    let value = within_limit("reading", move || {
        assert_eq!((value.get(), value.commits()), (7, 0));
        value
    });
    value.update(|v| *v += 1).unwrap();
    assert_eq!((value.get(), value.commits()), (8, 1));
}
