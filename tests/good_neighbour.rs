//! What is not ours is not disturbed, and a directory that is full of it costs little.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use robust_shm::{Error, SegmentInfo, SharedLock, SharedValue, remove, remove_orphans, segments};
use support::{Family, Scratch, exists, member, path, play, ready_to_die, say, spawn};

#[test]
fn child() {
    play(&[
        ("creates-one", creates_one),
        ("dies", |name| {
            let _value = SharedValue::create(name, 7u64).unwrap();
            ready_to_die();
        }),
    ]);
}

/// What happens to the files in /dev/shm from now on.
struct Watch(File);

impl Watch {
    fn new() -> Self {
        // SAFETY: takes an integer.
        let descriptor = unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) };
        assert!(descriptor >= 0, "{}", io::Error::last_os_error());
        // SAFETY: fresh, and nobody else's.
        let file = unsafe { File::from_raw_fd(descriptor) };
        let all = libc::IN_OPEN | libc::IN_CLOSE_WRITE | libc::IN_MODIFY | libc::IN_ATTRIB;
        let directory = std::ffi::CString::new(support::directory().into_os_string().into_encoded_bytes()).unwrap();
        // SAFETY: a path that ends with NUL.
        assert!(unsafe { libc::inotify_add_watch(descriptor, directory.as_ptr(), all) } >= 0);
        Self(file)
    }

    /// What has happened, by file.
    fn seen(mut self) -> BTreeMap<String, u32> {
        let mut seen = BTreeMap::new();
        let mut buffer = vec![0; 1 << 20];
        while let Ok(len) = self.0.read(&mut buffer) {
            // struct inotify_event: watch, mask, cookie, length of the name (4 bytes each), name.
            let mut rest = &buffer[..len];
            while rest.len() >= 16 {
                let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
                let (mask, end) = (word(4), 16 + word(12) as usize);
                let name = String::from_utf8_lossy(&rest[16..end]).trim_end_matches('\0').to_owned();
                *seen.entry(name).or_default() |= mask;
                rest = &rest[end..];
            }
        }
        seen
    }
}

const WRITTEN: u32 = libc::IN_CLOSE_WRITE | libc::IN_MODIFY | libc::IN_ATTRIB;

/// Once, everything in /dev/shm was opened for writing before it was asked what it is: watchers were told of changes, and
/// 112 of 839 strangers could not be executed.
#[test]
fn a_strangers_file_is_not_opened_for_writing_and_what_is_no_file_not_at_all() {
    let _alone = alone();
    let family = Family::new("strangers");
    let [text, large, fifo] = [0, 1, 2].map(|which| family.member(which));
    fs::write(path(&text), "somebody's notes").unwrap();
    fs::write(path(&large), [7; 10_000]).unwrap();
    assert!(Command::new("mkfifo").arg(path(&fifo)).status().unwrap().success());
    let watch = Watch::new();
    for name in [&text, &large, &fifo] {
        assert!(matches!(SharedValue::create(name, 7u64), Err(Error::NotASegment { .. })));
        assert!(matches!(SharedValue::open_or_create(name, 7u64), Err(Error::NotASegment { .. })));
        assert!(matches!(SharedValue::<u64>::open(name), Err(Error::NotASegment { .. })));
        assert!(matches!(SegmentInfo::of(name), Err(Error::NotASegment { .. })));
        assert!(matches!(remove(name), Err(Error::NotASegment { .. })));
    }
    for _ in 0..3 {
        drop(SharedLock::create(&Scratch::new("sweeps")).unwrap());
        remove_orphans().unwrap();
        let _ = segments().count();
    }
    let seen = watch.seen();
    assert!(seen.keys().any(|name| name.contains("sweeps-")), "the watch does not work: {seen:?}");
    for name in [&text, &large] {
        assert_eq!(seen.get(name).copied().unwrap_or_default() & WRITTEN, 0, "{name}: {:#x}", seen[name]);
    }
    assert_eq!(seen.get(&fifo), None);
}

/// A sweep is no user: who watches a segment is not told of a change each time that anybody creates another.
#[test]
fn a_sweep_opens_only_orphans_for_writing() {
    let _alone = alone();
    let [used, kept] = ["used", "kept"].map(Scratch::new);
    let _value = SharedValue::create(&used, 7u64).unwrap();
    drop(SharedLock::options().persistent(true).create(&kept).unwrap());
    let watch = Watch::new();
    for _ in 0..3 {
        remove_orphans().unwrap();
    }
    let seen = watch.seen();
    for name in [&used, &kept] {
        let events = seen.get(&**name).copied().unwrap_or_default();
        assert_eq!(events & WRITTEN, 0, "{}: {events:#x}", &**name);
        assert_ne!(events, 0, "{} was not looked at", &**name);
    }
}

/// What one test does, the other counts.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const MANY: usize = 3_000;

fn creates_one(family: &str) {
    let name = robust_shm::unique_name("first");
    let watch = Watch::new();
    drop(SharedLock::create(&name).unwrap());
    say(watch.seen().keys().filter(|name| name.starts_with(family)).count());
}

/// Once, the first creation of each process looked at all of /dev/shm: 0.1 s where there were 5,000 files.
#[test]
fn a_creation_looks_at_few_files_and_the_next_ones_at_the_others() {
    let _alone = alone();
    let family = Family::new("many");
    let orphan = Scratch::new("orphan");
    let stranger = |which| fs::write(path(&member(family.name(), which)), [7; 1_000]).unwrap();
    (0..MANY / 2).for_each(stranger);
    let child = spawn("dies", &orphan);
    child.expect("ready");
    child.kill();
    (MANY / 2..MANY).for_each(stranger);
    let looked_at: usize = {
        let child = spawn("creates-one", family.name());
        let count = child.hear().parse().unwrap();
        child.join();
        count
    };
    assert!((1..200).contains(&looked_at), "{looked_at} files");
    // On a thread of its own, so that its creations count as work: a sweep that was held up rests for ten times as long.
    let creations = support::within_limit("the end of the orphan", {
        let orphan = orphan.to_string();
        move || {
            let mut creations = 0;
            while exists(&orphan) {
                drop(SharedLock::create(&Scratch::new("sweeps")).unwrap());
                creations += 1;
                thread::sleep(Duration::from_micros(200));
            }
            creations
        }
    });
    println!("{looked_at} files at once; gone after {creations} creations");
}
