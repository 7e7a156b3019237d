//! Strange things under a segment's name: huge files, links, sockets, devices, other people's files, files that shrink.
//! The bugs that they have found come first.
#![allow(unsafe_code)]

mod support;

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt;

use robust_shm::{Error, SegmentInfo, SharedArray, SharedLock, SharedValue, remove, remove_orphans, segments};
use support::{Family, Need, Scratch, exists, is_root, member, path, pause, play, say, skip, spawn, within_limit};

#[test]
fn child() {
    play(&[
        ("sticky", look_into_a_sticky_directory),
        ("another-mode", look_at_modes),
        ("shrinks", read_a_file_that_shrinks),
        ("occupied", meet_a_lock_on_all_bytes),
    ]);
}

/// Every way to get at a name. Each must fail, and name it; what the error is, is for the caller to check.
#[track_caller]
fn every_way(name: &str, expected: fn(&Error) -> bool) {
    for error in [
        SharedValue::create(name, 1u64).err(),
        SharedValue::open_or_create(name, 1u64).err(),
        SharedValue::<u64>::open(name).err(),
        SharedArray::<u32, 4>::create(name).err(),
        SharedArray::<u32, 4>::open(name).err(),
        SharedLock::create(name).err(),
        SharedLock::open_or_create(name).err(),
        SharedLock::open(name).err(),
    ] {
        let error = error.expect("an error");
        assert!(expected(&error), "{error:?}");
        assert!(error.name() == name && error.to_string().contains(&format!("{name:?}")), "{error}");
    }
    assert!(exists(name));
}

fn is_not_a_segment(error: &Error) -> bool {
    matches!(error, Error::NotASegment { .. })
}

/// A persistent segment that nobody uses.
fn persistent(prefix: &str) -> Scratch {
    let name = Scratch::new(prefix);
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    name
}

const FLAGS: u64 = 56;

/// The bytes of a segment whose users have all gone without a word.
fn orphans_bytes() -> Vec<u8> {
    let mut bytes = fs::read(path(&persistent("image"))).unwrap();
    bytes[FLAGS as usize] = 0;
    bytes
}

/// An orphan of somebody else: ours goes with the next creation of any test, and nobody's with one as nobody.
fn orphan_of(owner: u32, name: &str) {
    drop(SharedValue::options().persistent(true).create(name, 7u64).unwrap());
    chown(path(name), Some(owner), None).unwrap();
    writable(name).write_all_at(&[0; 4], FLAGS).unwrap();
}

fn writable(name: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path(name)).unwrap()
}

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

/// The first version looked for a free byte in the visitors' book for ever.
#[test]
fn a_stranger_who_locks_all_bytes_is_an_error_and_no_hang() {
    let name = persistent("occupied");
    let file = writable(&name);
    // SAFETY: all-zero bytes are a flock structure: from the start to the end of all files.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: the descriptor is open and the structure outlives the call.
    assert_eq!(unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_OFD_SETLK, &raw const lock) }, 0);
    file.lock_shared().unwrap(); // as a user has it
    spawn("occupied", &name).join();
    drop(file);
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 7);
}

/// Whoever is just removing a name is no user: there is nothing to open, and soon nothing that exists.
#[test]
fn who_finds_a_name_being_removed_is_patient_and_then_says_by_whom() {
    let name = Scratch::new("leaver");
    fs::write(path(&name), orphans_bytes()).unwrap();
    let file = writable(&name);
    file.lock().unwrap();
    // Each is patient for five seconds.
    let name = &*name;
    std::thread::scope(|scope| {
        let ways: [fn(&str) -> Error; 3] = [
            |name| SharedValue::create(name, 1u64).unwrap_err(),
            |name| SharedValue::open_or_create(name, 1u64).unwrap_err(),
            |name| SharedValue::<u64>::open(name).unwrap_err(),
        ];
        for way in ways {
            scope.spawn(move || {
                let error = way(name);
                let Error::Io { source, .. } = &error else { panic!("{error:?}") };
                assert_eq!(source.kind(), std::io::ErrorKind::TimedOut);
                let who = format!("process {} holds it exclusively", std::process::id());
                assert!(error.to_string().contains(&who), "{error}");
            });
        }
    });
    drop(file);
    assert_eq!(SharedValue::open_or_create(name, 8u64).unwrap().get(), 8);
}

fn meet_a_lock_on_all_bytes(name: &str) {
    // SAFETY: takes an integer. A hang ends here, and not at the end of all patience.
    unsafe { libc::alarm(60) };
    let check = |error: Error| {
        assert!(matches!(error, Error::Io { .. }) && error.name() == name, "{error:?}");
        assert!(error.to_string().contains("or one was stopped"), "a user is in nobody's way: {error}");
    };
    // Each is patient for five seconds.
    std::thread::scope(|scope| {
        scope.spawn(|| check(SharedValue::<u64>::open(name).unwrap_err()));
        scope.spawn(|| check(remove(name).unwrap_err()));
    });
    assert!(SegmentInfo::of(name).is_ok() && exists(name));
    assert!(!remove_orphans().unwrap().iter().any(|removed| removed == name));
}

/// The first version printed what a stranger had put into a header as it was: a terminal would have obeyed it.
#[test]
fn nothing_in_a_message_controls_a_terminal() {
    const TYPE_NAME_LEN: u64 = 60;
    let name = Scratch::new("con\ntrol\u{1b}[31m\u{7f}");
    drop(SharedValue::options().persistent(true).create(&name, 7u64).unwrap());
    let text = b"u64\n\x1b[2Jnot \xc2\x9b found";
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

#[test]
fn a_hole_of_a_tebibyte_costs_nothing() {
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
    // Another type of the claimed size: a valid header, and a hole as long as it says.
    let [size, len] = [64u64, 80];
    file.write_all_at(&2u32.to_ne_bytes(), 48).unwrap();
    for (at, number) in [(24, TEBIBYTE), (size, 1), (size + 8, 1), (len, TEBIBYTE - 704), (len + 8, 704)] {
        file.write_all_at(&number.to_ne_bytes(), at).unwrap();
    }
    assert_eq!(SegmentInfo::of(&name).unwrap().length(), TEBIBYTE - 704);
    let mismatch = |error: &Error| matches!(error, Error::TypeMismatch { .. } | Error::AlreadyExists { .. });
    every_way(&name, mismatch);
    // A header that says more than there is.
    file.set_len(TEBIBYTE - 1).unwrap();
    every_way(&name, |error| matches!(error, Error::Truncated { .. }));
    file.set_len(i64::MAX as u64).unwrap();
    every_way(&name, mismatch);
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
    support::until("the end of both names", || {
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

#[test]
fn a_segment_of_another_owner_is_foreign_and_nobodys_orphan() {
    if !is_root("gives files to others") {
        return;
    }
    let (kept, dead) = (persistent("foreign"), Scratch::new("foreign"));
    chown(path(&kept), Some(4242), None).unwrap();
    orphan_of(4242, &dead);
    for name in [&kept, &dead] {
        every_way(name, |error| {
            error.to_string().contains("uid 4242") && matches!(error, Error::ForeignOwner { found: 4242, .. })
        });
    }
    assert!(!remove_orphans().unwrap().iter().any(|name| [&kept.0, &dead.0].contains(&name)));
    drop(SharedLock::create(&Scratch::new("sweeps")).unwrap());
    assert!(exists(&dead));
    assert_eq!(SegmentInfo::of(&dead).unwrap().owner(), 4242);
    let trusting = SharedValue::<u64>::options().allow_owner(4242);
    assert_eq!(trusting.open(&kept).unwrap().get(), 7);
    assert!(matches!(trusting.open(&dead), Err(Error::NotFound { .. })), "a trusted owner's orphan goes");
}

fn become_nobody() {
    // The system calls alone, which change the one thread that matters: see `tests/errors.rs`.
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setgid, 65534) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setuid, 65534) }, 0);
}

/// As a user who may write to everything here, and remove nothing that is not his.
fn look_into_a_sticky_directory(family: &str) {
    become_nobody();
    let [open, dead, stranger, closed] = [0, 1, 2, 3].map(|which| member(family, which));
    for name in [&open, &dead] {
        every_way(name, |error| matches!(error, Error::ForeignOwner { found: 1, .. }));
        // Asked to by name, it is the system that refuses.
        let error = remove(name).unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert!(error.to_string().contains("owner uid 1,") && exists(name));
    }
    let trusting = SharedValue::<u64>::options().allow_owner(1);
    assert_eq!(trusting.open(&open).unwrap().get(), 7);
    // What is dead does not count, and who cannot remove it is told who can.
    assert!(matches!(trusting.open(&dead), Err(Error::NotFound { .. })));
    let error = trusting.create(&dead, 7).unwrap_err();
    assert!(matches!(error, Error::ForeignOrphan { owner: 1, mode: 0o666, .. }), "{error:?}");
    every_way(&stranger, is_not_a_segment);
    every_way(&closed, |error| matches!(error, Error::PermissionDenied { .. }));
    remove_orphans().unwrap();
    assert!([open, dead, stranger, closed].iter().all(|name| exists(name)));
    // What is not for us to read is passed over, and our own things work.
    assert!(!segments().flatten().any(|info| info.name() == member(family, 3)));
    let own = SharedValue::create(&member(family, 4), 1u64).unwrap();
    assert_eq!(own.update(|v| *v += 1).unwrap(), 2);
}

#[test]
fn in_a_sticky_directory_foreign_files_are_refused_and_stay() {
    if !is_root("gives files to others") {
        return;
    }
    let family = Family::new("sticky");
    let [open, dead, stranger, closed] = [0, 1, 2, 3].map(|which| family.member(which));
    if fs::metadata("/dev/shm").unwrap().mode() & 0o1777 != 0o1777 {
        return skip(Need::System, "/dev/shm is no sticky directory for all");
    }
    for name in [&open, &closed] {
        fs::rename(path(&persistent("to-rename")), path(name)).unwrap();
        chown(path(name), Some(1), None).unwrap();
    }
    orphan_of(1, &dead);
    fs::write(path(&stranger), "not a segment").unwrap();
    for name in [&open, &dead, &stranger] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    spawn("sticky", family.name()).join();
}

fn look_at_modes(name: &str) {
    let me = if is_root("becomes another user") { 65534 } else { return };
    become_nobody();
    drop(SharedValue::options().persistent(true).create(name, 7u64).unwrap());
    for mode in [0o400, 0o200, 0o000, 0o044] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        every_way(name, |error| matches!(error, Error::PermissionDenied { .. }));
        let error = SharedValue::<u64>::open(name).unwrap_err();
        assert!(error.to_string().contains(&format!("owner uid {me}, mode {mode:04o}")), "{error}");
        assert!(remove(name).is_err(), "what cannot be looked at is not removed");
        assert_eq!(SegmentInfo::of(name).is_ok(), mode == 0o400);
        remove_orphans().unwrap();
        assert!(exists(name));
    }
    fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(SharedValue::<u64>::open(name).unwrap().get(), 7);
    remove(name).unwrap();
}

#[test]
fn a_mode_that_forbids_access_is_said() {
    spawn("another-mode", &Scratch::new("modes")).join();
}

/// Files of this user that know nothing of locks: no sweep takes them, whatever they contain.
#[test]
fn strangers_who_never_lock_lose_nothing() {
    let family = Family::new("stranger");
    let valid = orphans_bytes();
    let mut other_version = valid.clone();
    other_version[8] = 9;
    let mut damaged = valid.clone();
    damaged[500] = 1;
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

#[test]
fn names_that_are_no_text_or_too_long_are_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let family = Family::new("names");
    let valid = orphans_bytes();
    let no_text = [family.name().as_bytes(), b".\xff\xfe"].concat();
    let no_text = std::path::Path::new("/dev/shm").join(std::ffi::OsStr::from_bytes(&no_text));
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

fn read_a_file_that_shrinks(name: &str) {
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
    assert!(matches!(error, Error::Truncated { expected: 8896, found: 4096, .. }), "{error:?}");
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
