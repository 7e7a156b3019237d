//! Strange files under a segment's name: huge ones, links, sockets, devices, one that shrinks; and strange names.
#![cfg(target_os = "linux")]

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;

use robust_shm::{Error, SegmentInfo, SharedArray, SharedLock, SharedValue, remove, remove_orphans, segments};

use crate::plant::{every_way, is_not_a_segment, orphans_bytes, persistent, writable};
use crate::support::{Family, Need, Scratch, exists, is_linux, is_root, path, pause, say, skip, spawn, until};

#[test]
fn a_hole_of_a_tebibyte_costs_nothing() {
    if !is_linux("does not count the blocks of a file") {
        return;
    }
    const TEBIBYTE: u64 = 1 << 40;
    let name = persistent("giant");
    let file = writable(&name);
    file.set_len(TEBIBYTE).unwrap();
    let blocks = || file.metadata().unwrap().blocks();
    let before = blocks();
    // More than the header claims is no harm.
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 7);
    assert_eq!(SegmentInfo::of(&name).unwrap().bytes(), TEBIBYTE);
    assert_eq!(blocks(), before, "pages were touched");
    // Another type of the claimed size: a valid header, nobody who reads, and a hole as long as it says.
    file.write_all_at(&[0; 64], 640).unwrap();
    let [size, len] = [64u64, 80];
    const SCHEMA_LEN: u64 = 256; // and `c_library`, which is 0
    file.write_all_at(&2u32.to_ne_bytes(), 48).unwrap();
    for (at, number) in
        [(24, TEBIBYTE), (size, 1), (size + 8, 1), (len, TEBIBYTE - 704), (len + 8, 704), (SCHEMA_LEN, 0)]
    {
        file.write_all_at(&number.to_ne_bytes(), at).unwrap();
    }
    assert_eq!(SegmentInfo::of(&name).unwrap().length(), TEBIBYTE - 704);
    let mismatch = |error: &Error| matches!(error, Error::TypeMismatch { .. } | Error::AlreadyExists { .. });
    every_way(&name, mismatch);
    // A header that says more than there is.
    file.set_len(TEBIBYTE - 1).unwrap();
    every_way(&name, |error| matches!(error, Error::Truncated { .. }));
    if file.set_len(i64::MAX as u64).is_ok() {
        every_way(&name, mismatch); // where a file can be so long
    }
    assert_eq!(blocks(), before, "pages were touched");
    remove(&name).unwrap();
}

#[test]
fn links_to_a_segment_and_to_nothing_are_no_segments() {
    let (target, name) = (persistent("target"), Scratch::new("link"));
    for to in [path(&target), path("nobody-made-this")] {
        symlink(to, path(&name)).unwrap();
        every_way(&name, is_not_a_segment);
        assert!(
            is_not_a_segment(&remove(&name).unwrap_err()) && is_not_a_segment(&SegmentInfo::of(&name).unwrap_err())
        );
        remove_orphans().unwrap();
        assert!(!segments().flatten().any(|info| info.name() == &*name));
        fs::remove_file(path(&name)).unwrap();
    }
    assert!(!exists("nobody-made-this"), "a dangling link was followed");
    assert_eq!(SharedValue::<u64>::open(&target).unwrap().get(), 7);
}

/// A second name of one file: nobody is told, and each name goes for itself.
#[test]
fn a_hard_link_is_a_second_name_of_the_segment() {
    let (name, other) = (Scratch::new("one"), Scratch::new("other"));
    let value = SharedValue::create(&name, 7u64).unwrap();
    fs::hard_link(path(&name), path(&other)).unwrap();
    SharedValue::<u64>::open(&other).unwrap().set(8).unwrap();
    assert_eq!(value.get(), 8);
    drop(value);
    // The last one out takes the name that he knows; unless a sweep, which may be at it in another test, has just found
    // the segment by its other name: then that one goes, and this one is an orphan.
    until("the end of both names", || {
        remove_orphans().unwrap();
        (!exists(&name) && !exists(&other)).then_some(())
    });
}

#[test]
fn a_socket_is_no_segment() {
    let name = Scratch::new("socket");
    let _listener = UnixListener::bind(path(&name)).unwrap();
    every_way(&name, is_not_a_segment);
    assert!(is_not_a_segment(&remove(&name).unwrap_err()) && is_not_a_segment(&SegmentInfo::of(&name).unwrap_err()));
    remove_orphans().unwrap();
    assert!(exists(&name));
}

#[test]
fn device_nodes_are_no_segments() {
    if !is_root("gives files to others") {
        return;
    }
    // null, zero, full, tty, and a disk that is not there.
    for (kind, major, minor) in [
        (libc::S_IFCHR, 1, 3),
        (libc::S_IFCHR, 1, 5),
        (libc::S_IFCHR, 1, 7),
        (libc::S_IFCHR, 5, 0),
        (libc::S_IFBLK, 7, 99),
    ] {
        let name = Scratch::new("device");
        let node = CString::new(path(&name).to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with NUL, and integers.
        if unsafe { libc::mknod(node.as_ptr(), kind | 0o600, libc::makedev(major, minor)) } != 0 {
            return skip(Need::System, "device nodes cannot be made");
        }
        // With `nodev`, opening one is not permitted at all.
        every_way(&name, |error| is_not_a_segment(error) || matches!(error, Error::PermissionDenied { .. }));
        assert!(remove(&name).is_err() && SegmentInfo::of(&name).is_err());
        remove_orphans().unwrap();
        assert!(exists(&name));
    }
}

pub(crate) fn read_a_file_that_shrinks(name: &str) {
    let array = SharedArray::<u8, 8192>::open(name).unwrap();
    say("opened");
    pause();
    let guard = array.lock_ignoring_poison().unwrap(); // the second finds what the first has left
    say(guard[8191]);
}

/// What the crate's documentation says under "Trust": who may write to the file can also shorten it.
#[test]
fn a_file_that_shrinks_while_it_is_open_is_a_sigbus_for_who_touches_it_and_no_harm_to_others() {
    let (name, other) = (Scratch::new("shrinks"), Scratch::new("other"));
    let array = SharedArray::<u8, 8192>::create(&name).unwrap();
    let value = SharedValue::create(&other, 7u64).unwrap();
    let mut children = [0, 1].map(|_| spawn("shrinks", &name));
    children.iter().for_each(|child| child.expect("opened"));
    writable(&name).set_len(4096).unwrap();
    let error = SharedArray::<u8, 8192>::open(&name).unwrap_err();
    assert!(matches!(error, Error::Truncated { expected: 10_946, found: 4096, .. }), "{error:?}");
    for child in &mut children {
        child.go_on();
        let status = child.wait_for_end();
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
    }
    // The lock that they held is on a page that is still there: it was handed over, with the news.
    assert!(array.is_poisoned());
    assert_eq!(array.lock_ignoring_poison().unwrap()[0], 0);
    assert_eq!(value.update(|v| *v += 1).unwrap(), 8);
    drop(array);
    assert!(!exists(&name));
}

#[test]
fn names_that_are_no_text_or_too_long_are_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let family = Family::new("names");
    let valid = orphans_bytes();
    let no_text = [family.name().as_bytes(), b".\xff\xfe"].concat();
    let no_text = crate::support::directory().join(std::ffi::OsStr::from_bytes(&no_text));
    let long = format!("{}.{}", family.name(), "x".repeat(254 - family.name().len()));
    fs::write(&no_text, &valid).unwrap();
    fs::write(path(&long), &valid).unwrap();
    fs::write(path(&format!("{}.\n\u{7}", family.name())), &valid).unwrap();
    let listed: Vec<_> = segments().flatten().filter(|info| info.name().starts_with(family.name())).collect();
    let removed = remove_orphans().unwrap();
    let stay = (no_text.exists(), exists(&long));
    fs::remove_file(&no_text).unwrap();
    assert_eq!(stay, (true, true));
    assert!(removed.iter().all(|name| !name.ends_with('x')));
    assert!(listed.iter().all(|info| info.name().ends_with('\u{7}')), "{listed:?}");
    assert!(matches!(SharedLock::open(&long), Err(Error::InvalidName { .. })));
    assert_eq!(family.living(), [long]);
}

#[test]
fn the_longest_name_and_every_odd_one_work() {
    for odd in
        ["x".repeat(250), " ".into(), "-rf *".into(), "...".into(), "a\\b".into(), "\u{202e}rtl".into(), "%s%n".into()]
    {
        let name = Scratch(odd);
        if exists(&name) {
            continue; // somebody else's
        }
        let lock = SharedLock::create(&name).unwrap();
        assert_eq!(lock.name(), &*name);
        assert!(segments().flatten().any(|info| info.name() == &*name));
        assert!(matches!(SharedLock::create(&name), Err(Error::AlreadyExists { .. })));
        drop(lock);
        assert!(!exists(&name));
    }
}
