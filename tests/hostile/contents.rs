//! Files with contents that look nearly right. The faults that they have found come first.

use std::fs;
use std::time::Duration;

use robust_shm::{Error, SegmentInfo, SharedLock, SharedValue, remove, remove_orphans};

use crate::plant::{is_not_a_segment, orphans_bytes, writable};
use crate::support::{CONTROLS, Family, FileExt, Scratch, exists, path, within_limit};

/// The first version compared as many bytes of the magic number as the file had: `remove` deleted a file with an "r" in
/// it.
#[test]
fn a_file_with_a_piece_of_the_magic_number_is_a_strangers() {
    let name = Scratch::new("magic");
    for len in 1..8 {
        fs::write(path(&name), &b"rbstSHM\0"[..len]).unwrap();
        let error = remove(&name).unwrap_err();
        assert!(is_not_a_segment(&error), "{error}");
        assert!(error.to_string().contains(&format!("only {len} bytes")), "{error}");
        assert!(exists(&name));
    }
    fs::write(path(&name), [b'r'; 8]).unwrap();
    assert!(remove(&name).unwrap_err().to_string().contains("8 bytes that starts otherwise"));
}

/// The first version believed the counters even under the lock, and read for ever. `begun`, of values that do not fit
/// into the counters' line, is at 648.
#[test]
fn damaged_commit_counters_do_not_keep_a_reader_for_ever() {
    let name = Scratch::new("counters");
    drop(SharedValue::options().persistent(true).create(&name, [7u64; 9]).unwrap());
    writable(&name).write_all_at(&[0xff; 8], 648).unwrap();
    let value = SharedValue::<[u64; 9]>::open(&name).unwrap();
    let value = within_limit("reading", move || {
        assert_eq!((value.get(), value.commits()), ([7; 9], 0));
        assert!(value.try_lock().is_ok(), "the reader took the lock, and has released it");
        value
    });
    value.update(|v| v[8] += 1).unwrap();
    assert_eq!((value.get()[8], value.commits()), (8, 1));
}

/// Noise that names somebody as the one who comes next, or nobody: he is not waited for.
#[test]
fn a_damaged_successor_costs_nobody_his_turn() {
    const SUCCESSOR: u64 = 448;
    const TURNS: usize = 100;
    let name = Scratch::new("successor");
    let lock = SharedLock::create(&name).unwrap();
    let of_now = u64::from(std::process::id());
    for word in [u64::MAX, 1, 1 << 32 | 1, of_now, 1 << 32 | of_now, 1 << 31, 1 << 30, 1 << 32] {
        let mut line = [0xa5; 64];
        line[8..16].copy_from_slice(&word.to_le_bytes());
        writable(&name).write_all_at(&line, SUCCESSOR).unwrap();
        let name = name.to_string();
        within_limit("three who take turns", move || {
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let lock = SharedLock::open(&name).unwrap();
                        for _ in 0..TURNS {
                            let _guard = lock.lock().unwrap();
                            std::thread::sleep(Duration::from_micros(20));
                        }
                    });
                }
            });
        });
    }
    drop(lock);
}

/// The first version printed what a stranger had put into a header as it was: a terminal would have obeyed it.
#[test]
fn nothing_in_a_message_controls_a_terminal() {
    const TYPE_NAME_LEN: u64 = 60;
    const SCHEMA: u64 = 704;
    let name = Scratch::new(&format!("control{CONTROLS}"));
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    let text = b"u64\n\x1b[2Jnot \xc2\x9b found";
    writable(&name).write_all_at(b"\x1b[m", SCHEMA).unwrap();
    writable(&name).write_all_at(&(text.len() as u32).to_ne_bytes(), TYPE_NAME_LEN).unwrap();
    writable(&name).write_all_at(text, TYPE_NAME_LEN + 60).unwrap();
    let check = |message: String| assert!(!message.chars().any(char::is_control), "{message:?}");
    let error = SharedValue::<u64>::open(&name).unwrap_err();
    assert!(matches!(error, Error::TypeMismatch { .. }));
    check(error.to_string());
    check(SharedValue::create(&name, 1u64).unwrap_err().to_string());
    let info = SegmentInfo::of(&name).unwrap();
    assert_eq!((info.name(), info.type_name().as_bytes()), (&*name, &text[..]));
    check(info.to_string());
    check(format!("{info:?}"));
    remove(&name).unwrap();
    check(SharedValue::<u64>::open(&name).unwrap_err().to_string());
    check(remove(&name).unwrap_err().to_string());
    let value = SharedValue::create(&name, 1u64).unwrap();
    check(format!("{value:?}"));
    check(format!("{:?}", value.lock().unwrap()));
}

/// Files of this user that know nothing of locks: no sweep takes them, whatever they contain.
#[test]
fn strangers_who_never_lock_lose_nothing() {
    let family = Family::new("stranger");
    let valid = orphans_bytes();
    let mut other_version = valid.clone();
    other_version[8] = 9;
    let mut damaged = valid.clone();
    damaged[440] = 1;
    for (which, bytes) in
        [b"notes".to_vec(), Vec::new(), other_version, damaged, valid[..600].to_vec()].iter().enumerate()
    {
        fs::write(path(&family.member(which)), bytes).unwrap();
    }
    for _ in 0..3 {
        remove_orphans().unwrap();
        drop(SharedLock::create(&Scratch::new("sweeps")).unwrap());
        assert_eq!(family.living().len(), 5);
    }
    // The one that is a segment, down to the last byte, is one.
    fs::write(path(&family.member(5)), &valid).unwrap();
    remove_orphans().unwrap();
    assert!(!exists(&family.member(5)));
}
