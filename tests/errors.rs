//! Every error, provoked by doing the wrong thing; each message names the segment, what was expected and what was found.
#![allow(unsafe_code)]

mod support;

use std::fs;
#[cfg(target_os = "linux")]
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use robust_shm::{Error, LockError, SegmentInfo, SharedArray, SharedLock, SharedSemaphore, SharedValue, remove};
use support::{FileExt, Scratch, assert_error, check, exists, path, play, ready_to_die, spawn};
#[cfg(target_os = "linux")]
use support::{is_root, say};

#[test]
fn child() {
    play(&[
        ("hold", hold),
        #[cfg(target_os = "linux")]
        ("stranger", look_as_a_stranger),
        #[cfg(target_os = "linux")]
        ("full", fill_a_small_file_system),
        #[cfg(target_os = "linux")]
        ("descriptors", run_out_of_descriptors),
        #[cfg(target_os = "linux")]
        ("file-limit", meet_a_limit_on_files),
        #[cfg(target_os = "linux")]
        ("umask", create_with_a_umask),
    ]);
}

fn hold(name: &str) {
    let value = SharedValue::<u32>::open(name).unwrap();
    let _guard = value.lock().unwrap();
    ready_to_die();
}

#[test]
fn names_that_cannot_be_files_are_invalid() {
    let long = "x".repeat(300);
    // The last two are other people's: a POSIX semaphore's, and one of a segment that is being made.
    for name in ["", ".", "..", "a/b", "/a", "a\0b", &long, "sem.lock", "x.robust-shm-unfinished-1-2-3"] {
        assert_error!(SharedLock::create(name), InvalidName, name, ["not valid", "use 1 to"]);
        assert_error!(SharedLock::open(name), InvalidName, name, ["not valid"]);
        assert_error!(remove(name), InvalidName, name, ["not valid"]);
        assert_error!(SegmentInfo::of(name), InvalidName, name, ["not valid"]);
    }
    let name = Scratch::new("größe ☃ and spaces");
    assert!(SharedLock::create(&name).is_ok());
}

#[test]
fn what_nobody_made_is_not_found() {
    let name = Scratch::new("nobody");
    assert_error!(
        SharedLock::open(&name),
        NotFound,
        &name,
        ["the program that creates it", "open_or_create", "persistent"]
    );
    assert_error!(remove(&name), NotFound, &name, []);
    assert_error!(SegmentInfo::of(&name), NotFound, &name, []);
}

#[test]
fn a_second_creation_says_that_the_segment_exists() {
    let name = Scratch::new("twice");
    let _lock = SharedLock::create(&name).unwrap();
    assert_error!(SharedLock::create(&name), AlreadyExists, &name, ["open it"]);
}

#[test]
fn another_type_shows_both_sides() {
    let name = Scratch::new("types");
    let _value = SharedValue::create(&name, 1.5f64).unwrap();
    assert_error!(SharedValue::<u64>::open(&name), TypeMismatch, &name, ["SharedValue<u64>", "SharedValue<f64>"]);
    assert_error!(SharedArray::<f64, 4>::open(&name), TypeMismatch, &name, ["SharedArray<f64, 4>", "SharedValue<f64>"]);
    assert_error!(SharedLock::open(&name), TypeMismatch, &name, ["SharedLock", "SharedValue<f64>"]);
    assert_error!(SharedSemaphore::open(&name), TypeMismatch, &name, ["SharedSemaphore", "SharedValue<f64>"]);
    let tagged = SharedValue::<f64>::options().type_tag("acme/1").open(&name);
    assert_error!(tagged, TypeMismatch, &name, ["type_tag \"acme/1\"", "without a type_tag"]);

    let array = Scratch::new("types");
    let _array = SharedArray::<u8, 4>::create(&array).unwrap();
    assert_error!(
        SharedArray::<u8, 5>::open(&array),
        TypeMismatch,
        &array,
        ["SharedArray<u8, 5>", "SharedArray<u8, 4>"]
    );
}

#[test]
fn the_same_struct_in_two_modules_is_the_same_type() {
    mod producer {
        #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        pub(crate) struct Point(pub(crate) f64, pub(crate) f64);
    }
    mod consumer {
        #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        pub(crate) struct Point(pub(crate) f64, pub(crate) f64);
    }
    let name = Scratch::new("modules");
    let _value = SharedValue::create(&name, producer::Point(1.0, 2.0)).unwrap();
    let other = SharedValue::<consumer::Point>::open(&name).unwrap().get();
    assert_eq!((other.0, other.1), (1.0, 2.0));
}

#[test]
fn strangers_files_are_neither_adopted_nor_removed() {
    let name = Scratch::new("stranger");
    let all = |words: &[&str]| {
        for error in [
            SharedValue::create(&name, 1u8).err(),
            SharedValue::open_or_create(&name, 1u8).err(),
            SharedValue::<u8>::open(&name).err(),
            remove(&name).err(),
            SegmentInfo::of(&name).err(),
        ] {
            let error = error.expect("an error");
            assert!(matches!(error, Error::NotASegment { .. }), "{error:?}");
            check(&error, &name, words);
        }
        assert!(exists(&name));
    };
    fs::write(path(&name), "").unwrap();
    all(&["an empty file"]);
    fs::write(path(&name), "somebody's notes").unwrap();
    all(&["16 bytes", "starts otherwise"]);
    fs::remove_file(path(&name)).unwrap();
    #[cfg(target_os = "linux")]
    {
        symlink("/etc/passwd", path(&name)).unwrap();
        all(&["a symbolic link"]);
        fs::remove_file(path(&name)).unwrap();
        let fifo = std::ffi::CString::new(path(&name).to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with NUL.
        assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
        all(&["FIFO"]);
        fs::remove_file(path(&name)).unwrap();
    }
    fs::create_dir(path(&name)).unwrap();
    all(&["directory"]);
    fs::remove_dir(path(&name)).unwrap();
}

#[cfg(target_os = "linux")]
fn set_limit_on_files(to: u64) {
    let limit = libc::rlimit { rlim_cur: to, rlim_max: to };
    // SAFETY: a limit that outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
}

#[cfg(target_os = "linux")]
fn meet_a_limit_on_files(name: &str) {
    set_limit_on_files(4096);
    let error = SharedArray::<u8, 10_000>::create(name).unwrap_err();
    let Error::Io { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge);
    check(&error, name, &["at most 4096 bytes", "12754", "ulimit -f"]);
    assert!(!exists(name));
    drop(SharedValue::options().persistent(true).create(name, 7u64).unwrap());
    // Held by nobody who lives: whoever takes over has to write.
    const LOCK_WORD: u64 = 520;
    let file = fs::OpenOptions::new().write(true).open(path(name)).unwrap();
    file.write_all_at(&0x3fff_fff0u32.to_ne_bytes(), LOCK_WORD).unwrap();
    set_limit_on_files(0);
    let error = SharedValue::<u64>::open(name).unwrap_err();
    check(&error, name, &["at most 0 bytes", "640", "ulimit -f"]);
    remove(name).unwrap();
    let error = SharedValue::create(name, 7u64).unwrap_err();
    check(&error, name, &["at most 0 bytes", "707", "ulimit -f"]);
}

/// Once, the kernel killed the creator (`SIGXFSZ`).
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_the_size_of_files_is_named() {
    spawn("file-limit", &Scratch::new("file-limit")).join();
}

/// Bits that the creation wants, whatever the umask takes away; nor does it from what stands beside a segment.
#[cfg(target_os = "linux")]
fn create_with_a_umask(name: &str) {
    become_nobody();
    for umask in [0o777, 0o477, 0o077] {
        // SAFETY: takes an integer.
        unsafe { libc::umask(umask) };
        for (asked, got) in [(None, 0o600), (Some(0o640), 0o640), (Some(0o7666), 0o666), (Some(0), 0o600)] {
            let options = SharedValue::options();
            let options = asked.map_or(options.clone(), |mode| options.mode(mode));
            let value = options.create(name, 7u64).unwrap();
            assert_eq!(fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777, got, "{umask:o}");
            let second = SharedValue::<u64>::open(name).unwrap();
            assert_eq!((second.get(), SegmentInfo::of(name).unwrap().attached()), (7, 2));
            drop((second, value));
        }
    }
    #[cfg(robust_shm_unix)] // this user has one of his own there
    fs::remove_dir(support::directory()).unwrap();
}

/// A user without privileges, in this thread; nothing if this is one.
#[cfg(target_os = "linux")]
fn become_nobody() {
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        // glibc's own function signals other threads of the harness.
        // SAFETY: takes integers.
        unsafe { libc::syscall(call, 65534, 65534, 65534) };
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_umask_takes_permissions_from_a_segment() {
    spawn("umask", &Scratch::new("umask")).join();
}

#[test]
fn a_value_with_the_largest_alignment_can_be_opened_again_and_is_swept() {
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, align(4096))]
    struct Page([u8; 4096]);
    let name = Scratch::new("aligned");
    let value = SharedValue::create(&name, Page([7; 4096])).unwrap();
    assert_eq!(SharedValue::<Page>::open(&name).unwrap().get().0, [7; 4096]);
    assert_eq!(SegmentInfo::of(&name).unwrap().element_size(), 4096);
    drop(value);
    let array = SharedArray::<Page, 2>::create(&name).unwrap();
    assert_eq!(SharedArray::<Page, 2>::open(&name).unwrap().lock().unwrap()[1].0[4095], 0);
    drop(array);
}

#[test]
fn an_impossible_bit_pattern_is_an_error_until_set_repairs_it() {
    let name = Scratch::new("impossible");
    let value = SharedValue::create(&name, true).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path(&name)).unwrap();
    file.write_all_at(&[7], 656).unwrap();
    let error = value.try_get().unwrap_err();
    assert!(matches!(error, LockError::InvalidValue { .. }));
    assert!(error.to_string().contains("bool") && error.name() == &*name);
    assert!(matches!(value.lock(), Err(LockError::InvalidValue { .. })));
    assert!(std::panic::catch_unwind(|| value.get()).is_err());
    assert!(format!("{value:?}").contains("<invalid>"));
    value.set(false).unwrap();
    assert!(!value.get());
}

#[test]
fn lock_errors_name_the_segment_and_become_errors() {
    let name = Scratch::new("lock-errors");
    let value = SharedValue::create(&name, 1u32).unwrap();
    let child = spawn("hold", &name);
    child.expect("ready");
    for error in [value.try_lock().err(), value.try_lock_for(Duration::ZERO).err()] {
        let error = Error::from(error.unwrap());
        check(&error, &name, &["lock of segment"]);
        assert!(std::error::Error::source(&error).is_none(), "a report of the chain would say it twice");
    }
    child.kill();
}

#[test]
fn a_segment_larger_than_memory_is_out_of_shared_memory() {
    let name = Scratch::new("huge");
    const N: usize = 1 << 46;
    assert_error!(SharedArray::<u8, N>::create(&name), OutOfSharedMemory, &name, ["70368744180418", "bytes free"]);
    assert!(!exists(&name));
}

#[cfg(target_os = "linux")]
fn fill_a_small_file_system(name: &str) {
    // A /dev/shm of our own, of 1 MiB.
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    for (flags, data) in [(libc::MS_REC | libc::MS_PRIVATE, c""), (0, c"size=1m")] {
        let target = if flags == 0 { c"/dev/shm" } else { c"/" };
        // SAFETY: strings that end with NUL.
        let result =
            unsafe { libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), flags, data.as_ptr().cast()) };
        assert_eq!(result, 0);
    }
    assert_error!(
        SharedArray::<u8, { 2 << 20 }>::create(name),
        OutOfSharedMemory,
        name,
        ["2099906", "1048576 bytes free"]
    );
    assert!(SharedArray::<u8, { 512 << 10 }>::create(name).is_ok(), "the name and the space are free");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_file_system_is_an_error_and_no_sigbus() {
    if !support::has_shared_memory_objects("fills a /dev/shm") {
        return;
    }
    if !is_root("mounting needs root") {
        return;
    }
    spawn("full", &Scratch::new("full")).join();
}

#[cfg(target_os = "linux")]
fn look_as_a_stranger(name: &str) {
    // The system call alone, which changes the one thread that matters. glibc's function tells all threads by a signal,
    // and one that has just ended has no stack any more for its handler.
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setuid, 65534) }, 0);
    let error = SharedValue::<u32>::open(name).unwrap_err();
    say(match &error {
        Error::PermissionDenied { .. } => "denied",
        Error::ForeignOwner { .. } => "foreign",
        _ => "other",
    });
    check(&error, name, &["uid 0"]);
    assert!(remove(name).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn another_users_segment_is_refused() {
    if !support::has_shared_memory_objects("another user looks") {
        return;
    }
    if !is_root("becoming another user needs root") {
        return;
    }
    let name = Scratch::new("mine");
    let _value = SharedValue::create(&name, 1u32).unwrap();
    let child = spawn("stranger", &name);
    child.expect("denied");
    child.join();
    fs::set_permissions(path(&name), fs::Permissions::from_mode(0o666)).unwrap();
    let child = spawn("stranger", &name);
    child.expect("foreign");
    child.join();
    assert!(exists(&name));
}

#[cfg(target_os = "linux")]
fn run_out_of_descriptors(prefix: &str) {
    let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
    // SAFETY: a limit that outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    let mut locks = Vec::new();
    let error = loop {
        let name = format!("{prefix}-{}", locks.len());
        match SharedLock::create(&name) {
            Ok(lock) => locks.push(lock),
            Err(error) => {
                assert!(!exists(&name), "what could not be mapped is gone");
                break error;
            }
        }
    };
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    check(&error, &format!("{prefix}-{}", locks.len()), &["could not"]);
    assert!(locks.len() > 5);
    let names: Vec<String> = locks.iter().map(|lock| lock.name().to_owned()).collect();
    drop(locks);
    assert!(!names.iter().any(|name| exists(name)));
}

#[cfg(target_os = "linux")]
#[test]
fn running_out_of_descriptors_is_an_error_and_leaves_nothing() {
    spawn("descriptors", &Scratch::new("descriptors")).join();
}
