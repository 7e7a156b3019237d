//! Damaged headers, and those of other versions: each has its own message.

use std::fs;

use robust_shm::{Error, LockKind, SegmentInfo, SharedArray, SharedLock, SharedValue, remove};

use crate::support::{FileExt, Scratch, assert_error, check, exists, path};

/// A persistent segment without users, as bytes to be damaged.
fn damaged(damage: impl FnOnce(&fs::File)) -> Scratch {
    let name = Scratch::new("damaged");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    damage(&fs::OpenOptions::new().write(true).open(path(&name)).unwrap());
    name
}

#[test]
fn a_truncated_segment_says_how_long_it_should_be() {
    for len in [8, 100, 511, 512, 600, 640, 703, 704, 706] {
        let name = damaged(|file| file.set_len(len).unwrap());
        assert_error!(SharedValue::<u64>::open(&name), Truncated, &name, [&format!("found {len}")]);
        remove(&name).unwrap(); // asked for by name, a damaged segment of ours goes
    }
}

#[test]
fn every_damaged_header_field_has_its_own_message() {
    for (offset, bytes, word) in [
        (8, vec![9, 0, 0, 0], "version 9"),
        (12, vec![1, 2, 3, 4], "byte order"),
        (16, vec![32, 0, 0, 0], "32-bit"),
        (20, vec![1, 2, 0, 0], "header of"),
        (24, vec![0; 8], "in 0 bytes"),
        (48, vec![4, 0, 0, 0], "1 elements of 8 bytes for a Event"),
        (48, vec![5, 0, 0, 0], "1 elements of 8 bytes for a RwLock"),
        (48, vec![6, 0, 0, 0], "1 elements of 8 bytes for a Semaphore"),
        (48, vec![9, 0, 0, 0], "4: SharedEvent, 5: SharedRwLock, 6: SharedSemaphore), found kind 9;"),
        (52, vec![9, 0, 0, 0], "lock kind 9"),
        (56, vec![0xf0, 0, 0, 0], "flags"),
        (60, vec![0xff, 0, 0, 0], "type name of 255"),
        (64, vec![0xff; 8], "size"),
        (72, vec![3, 0, 0, 0], "alignment 3"),
        (80, vec![2, 0, 0, 0], "2 elements"),
        (88, vec![1, 0, 0, 0], "at 1, and a schema of 3 bytes, in 707"),
        (120, vec![0xff], "not UTF-8"),
        (130, vec![1], "behind the type name"),
        (248, vec![32, 0, 0, 0], "32 reader slots for a Value"),
        (252, vec![3, 0, 0, 0], "1 elements and 3 permits for a Value"),
        (
            256,
            vec![4, 0, 0, 0],
            "1 elements of 8 bytes behind 0 reader slots at 656, and a schema of 4 bytes, in 707 bytes",
        ),
        (256, vec![1, 16, 0, 0], "a schema of 4097 bytes for a Value"),
        (704, b"u32".to_vec(), "a schema of 4 bytes for elements of 8"),
        (704, vec![0xc3, 0xbc], "a schema that is not ASCII"),
        (260, vec![1, 0, 0, 0], &format!("C library 1 for lock kind {:?}", LockKind::default())),
        (264, vec![1], "reserved"),
        (447, vec![0x80], "reserved"),
    ] {
        let name = damaged(|file| file.write_all_at(&bytes, offset).unwrap());
        let error = SharedValue::<u64>::open(&name).unwrap_err();
        assert!(matches!(error, Error::NotASegment { .. } | Error::UnsupportedFormat { .. }), "{error:?}");
        check(&error, &name, &[word]);
        // Whatever is wrong with it, it is ours.
        remove(&name).unwrap();
        assert!(!exists(&name));
    }
}

/// Whoever wrote that counts on slots which the others do not look at.
#[test]
fn readers_in_slots_that_there_are_not_are_damage() {
    for (readers, at, is_damage) in [
        (0, 640, true),
        (3, 640, false), // somebody has read by the first slot
        (3, 648, false),
        (3, 641, true),
        (3, 649, true),
        (64, 647, false),
        (64, 656, true),
        (64, 703, true),
    ] {
        let name = Scratch::new("readers");
        drop(SharedArray::<u8, 4>::options().persistent(true).readers(readers).create(&name).unwrap());
        fs::OpenOptions::new().write(true).open(path(&name)).unwrap().write_all_at(&[1], at).unwrap();
        if is_damage {
            let words = format!("readers in others than its {readers} slots");
            assert_error!(SharedArray::<u8, 4>::open(&name), NotASegment, &name, [&*words]);
        } else {
            drop(SharedArray::<u8, 4>::open(&name).unwrap().lock().unwrap());
        }
        remove(&name).unwrap();
    }
}

/// Also when that other version's header is shorter than ours, or this one was cut short: then the version comes first.
#[test]
fn a_file_of_another_format_version_is_told_both_versions() {
    for version in [0u32, 1, 3, u32::MAX] {
        for len in [707, 511, 16] {
            let name = damaged(|file| {
                file.write_all_at(&version.to_ne_bytes(), 8).unwrap();
                file.set_len(len).unwrap();
            });
            let both = [
                "format version 2, which is this program's".to_owned(),
                format!("format version {version}, which is the file's"),
            ];
            let both = both.each_ref().map(String::as_str);
            assert_error!(SharedValue::<u64>::open(&name), UnsupportedFormat, &name, both);
            assert_error!(SharedLock::create(&name), UnsupportedFormat, &name, both);
            assert_error!(SegmentInfo::of(&name), UnsupportedFormat, &name, both);
        }
    }
}

#[test]
fn a_segment_of_another_version_is_removed_by_request_and_the_error_says_so() {
    let name = damaged(|file| file.write_all_at(&99u32.to_ne_bytes(), 8).unwrap());
    assert_error!(SharedValue::create(&name, 1u64), UnsupportedFormat, &name, ["version 99", "call remove"]);
    assert!(exists(&name));
    remove(&name).unwrap();
    drop(SharedValue::create(&name, 1u64).unwrap());
}
