//! File systems that can do less than tmpfs: without files that have no name (`O_TMPFILE`), without reservation
//! (`fallocate`), and processes without `/proc`. The children of these tests run under a system-call filter (seccomp) that
//! refuses what such a system refuses, or kills at a chosen call; or on such a file system, which needs root to mount.
#![cfg(all(target_os = "linux", not(robust_shm_unix)))] // of the directory that all users have in common
#![allow(unsafe_code)]

#[path = "support/mounts.rs"]
mod mounts;
mod support;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use robust_shm::{Error, SharedArray, SharedLock, SharedValue, remove, remove_orphans};
use support::{Family, Need, Role, Scratch, exists, member, play, say, skip, spawn};

#[test]
fn child() {
    play(&[
        ("lives", live_without_unnamed_files),
        ("lives-unreserved", live_without_reservation),
        ("lives-without-proc", live_without_proc),
        ("lives-confined", live_confined),
        ("lives-interrupted", live_interrupted),
        ("quota", meet_a_quota),
        ("too-large-a-file", meet_the_largest_file),
        ("lives-elsewhere", live_elsewhere),
        ("churns", create_and_close),
        ("dies-at-ftruncate", |name| die_at(libc::SYS_ftruncate, name)),
        ("dies-at-fallocate", |name| die_at(libc::SYS_fallocate, name)),
        ("dies-at-pwrite64", |name| die_at(libc::SYS_pwrite64, name)),
        ("dies-at-fcntl", |name| die_at(libc::SYS_fcntl, name)),
        ("dies-at-flock", |name| die_at(libc::SYS_flock, name)),
        ("dies-at-linkat", |name| die_at(libc::SYS_linkat, name)),
        ("dies-at-unlink", |name| die_at(UNLINK, name)),
        ("dies-persistent", die_persistent),
    ]);
}

// The system-call filter

/// What to do at a system call.
#[derive(Clone, Copy)]
enum Action {
    Fail(libc::c_int),
    Kill,
}

impl Action {
    fn code(self) -> u32 {
        match self {
            Self::Fail(errno) => libc::SECCOMP_RET_ERRNO | errno.cast_unsigned(),
            Self::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// Which system call, which bits of which argument (any of them set), and what then.
struct Rule {
    call: libc::c_long,
    bits: Option<(u32, u32)>,
    action: Action,
}

impl Rule {
    /// The rule, and the same one for the older call that a C library may make instead: musl opens with `open`, where
    /// there is one, which has no directory in front of its other arguments.
    fn spellings(&self) -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let older = (self.call == libc::SYS_openat).then(|| {
            let bits = self.bits.map(|(argument, mask)| (argument - 1, mask));
            Self { call: libc::SYS_open, bits, action: self.action }
        });
        #[cfg(not(target_arch = "x86_64"))]
        let older = None;
        std::iter::once(Self { ..*self }).chain(older)
    }
}

/// For this thread and all that it starts, for good.
fn filter(rules: &[Rule]) {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    // struct seccomp_data: the number, the architecture, the instruction pointer, six arguments.
    const NUMBER: u32 = 0;
    const ARGUMENTS: u32 = 16;
    let op = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let jump = |how: u32| libc::BPF_JMP | how | libc::BPF_K;
    let mut program = Vec::new();
    for rule in rules.iter().flat_map(Rule::spellings) {
        // Without bits to look at, a comparison that always holds takes the place.
        let (load, test, mask) = match rule.bits {
            Some((argument, mask)) => (ARGUMENTS + 8 * argument, libc::BPF_JSET, mask),
            None => (NUMBER, libc::BPF_JGE, 0),
        };
        program.extend([
            op(LOAD, 0, 0, NUMBER),
            op(jump(libc::BPF_JEQ), 0, 3, rule.call as u32),
            op(LOAD, 0, 0, load),
            op(jump(test), 0, 1, mask),
            op(RETURN, 0, 0, rule.action.code()),
        ]);
    }
    program.push(op(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: takes integers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program and its length belong together, and outlive the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[cfg(target_arch = "x86_64")]
const UNLINK: libc::c_long = libc::SYS_unlink;
#[cfg(not(target_arch = "x86_64"))]
const UNLINK: libc::c_long = libc::SYS_unlinkat;

/// The bit of `O_TMPFILE` that is not `O_DIRECTORY`.
const UNNAMED: u32 = (libc::O_TMPFILE & !libc::O_DIRECTORY).cast_unsigned();
const NO_UNNAMED_FILES: Rule =
    Rule { call: libc::SYS_openat, bits: Some((2, UNNAMED)), action: Action::Fail(libc::EOPNOTSUPP) };
/// As if the link in `/proc` that names the file were not there.
const NO_PROC: Rule = Rule {
    call: libc::SYS_linkat,
    bits: Some((4, libc::AT_SYMLINK_FOLLOW.cast_unsigned())),
    action: Action::Fail(libc::ENOENT),
};

/// As before Linux 6.10, where linking a descriptor itself was a privilege.
const NO_EMPTY_PATH: Rule = Rule {
    call: libc::SYS_linkat,
    bits: Some((4, libc::AT_EMPTY_PATH.cast_unsigned())),
    action: Action::Fail(libc::ENOENT),
};
/// As under a profile that allows names only.
const CONFINED: Rule = Rule { call: libc::SYS_openat, bits: Some((2, UNNAMED)), action: Action::Fail(libc::EACCES) };
/// More than 64 KiB at a time never gets done, because a signal comes first.
const INTERRUPTED: Rule =
    Rule { call: libc::SYS_fallocate, bits: Some((3, !0xffff)), action: Action::Fail(libc::EINTR) };
const NO_QUOTA_LEFT: Rule = Rule { call: libc::SYS_fallocate, bits: None, action: Action::Fail(libc::EDQUOT) };

/// More than a file can be. No test can ask for so much where `/dev/shm` has no limit.
const LARGEST_FILE: Rule = Rule { call: libc::SYS_fallocate, bits: None, action: Action::Fail(libc::EFBIG) };
const NO_RESERVATION: Rule = Rule { call: libc::SYS_fallocate, bits: None, action: Action::Fail(libc::EOPNOTSUPP) };

fn assert_no_unnamed_files() {
    let attempt = fs::OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).open("/dev/shm");
    assert_eq!(attempt.unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP), "the filter does not work");
}

/// The private names of a process.
fn private_names(pid: u32) -> Vec<String> {
    let mark = format!(".robust-shm-unfinished-{pid}-");
    let entries = fs::read_dir("/dev/shm").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.contains(&mark)).collect()
}

// Living

fn live_without_unnamed_files(family: &str) {
    filter(&[NO_UNNAMED_FILES]);
    assert_no_unnamed_files();
    live(family);
}

fn live_without_reservation(family: &str) {
    filter(&[NO_RESERVATION]);
    live(family);
    let name = member(family, 0);
    let _array = SharedArray::<u8, 100_000>::create(&name).unwrap();
    let blocks = fs::metadata(support::path(&name)).unwrap().blocks();
    assert!(blocks * 512 >= 100_000, "{blocks} blocks are not all of it");
}

fn live_without_proc(family: &str) {
    filter(&[NO_PROC, NO_EMPTY_PATH]);
    live(family);
    filter(&[NO_UNNAMED_FILES]);
    live(family);
}

fn live_confined(family: &str) {
    filter(&[CONFINED]);
    live(family);
}

fn live_interrupted(family: &str) {
    filter(&[INTERRUPTED]);
    live(family);
    let name = member(family, 0);
    let array = SharedArray::<u8, 1_000_000>::create_from(&name, &[7; 1_000_000]).unwrap();
    assert!(fs::metadata(support::path(&name)).unwrap().blocks() * 512 >= 1_000_000);
    drop(array);
}

fn meet_a_quota(name: &str) {
    filter(&[NO_QUOTA_LEFT]);
    let error = SharedArray::<u8, 10_000>::create(name).unwrap_err();
    let Error::Io { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(source.kind(), io::ErrorKind::QuotaExceeded);
    let message = error.to_string();
    assert!(message.contains("quota") && message.contains("12754 bytes") && !exists(name), "{message}");
}

fn meet_the_largest_file(name: &str) {
    filter(&[LARGEST_FILE]);
    let error = SharedArray::<u8, 10_000>::create(name).unwrap_err();
    assert!(matches!(error, Error::OutOfSharedMemory { requested: 12_754, .. }) && !exists(name), "{error:?}");
}

fn live(family: &str) {
    let names = [0, 1, 2, 3].map(|which| member(family, which));
    let value = SharedValue::create(&names[0], 7u64).unwrap();
    let array = SharedArray::<u8, 10_000>::create_from(&names[1], &[3; 10_000]).unwrap();
    let lock = SharedLock::options().mode(0o640).open_or_create(&names[2]).unwrap();
    drop(SharedLock::options().persistent(true).create(&names[3]).unwrap());
    assert_eq!(private_names(std::process::id()), [""; 0]);
    assert!(matches!(SharedValue::create(&names[0], 1u64), Err(Error::AlreadyExists { .. })));
    assert_eq!(private_names(std::process::id()), [""; 0], "after a creation that failed");
    assert_eq!(SharedValue::<u64>::open(&names[0]).unwrap().update(|v| *v += 1).unwrap(), 8);
    assert_eq!(value.get(), 8);
    assert_eq!(SharedArray::<u8, 10_000>::open(&names[1]).unwrap().get(9_999).unwrap(), 3);
    assert_eq!(fs::metadata(support::path(&names[2])).unwrap().permissions().mode() & 0o777, 0o640);
    remove_orphans().unwrap();
    assert!(names.iter().all(|name| exists(name)));
    drop((value, array, lock));
    remove(&names[3]).unwrap();
    assert!(!names.iter().any(|name| exists(name)));
}

#[test]
fn segments_live_and_go_where_every_file_has_a_name() {
    spawn("lives", Family::new("lives").name()).join();
}

/// ramfs and ext2 are such. The first version could not create anything there.
#[test]
fn segments_live_where_nothing_can_be_reserved() {
    spawn("lives-unreserved", Family::new("lives").name()).join();
}

fn live_elsewhere(family: &str) {
    mounts::mount("tmpfs", "/dev", 0, "size=32m").unwrap(); // for the layers
    for layer in ["/dev/shm", "/dev/lower", "/dev/upper", "/dev/work"] {
        fs::create_dir(layer).unwrap();
    }
    for (kind, options) in [
        ("ramfs", ""),
        ("overlay", "lowerdir=/dev/lower,upperdir=/dev/upper,workdir=/dev/work"),
        ("tmpfs", "huge=always"),
        ("tmpfs", "size=0"),
    ] {
        if (kind == "overlay" || options == "size=0") && !support::is_linux("has no file locks or no room there") {
            continue;
        }
        if let Err(error) = mounts::mount(kind, "/dev/shm", 0, options) {
            skip(Need::System, format!("{kind} with {options:?} cannot be mounted: {error}"));
            continue;
        }
        live(family);
        // More than is worth asking about beforehand; ramfs and unlimited tmpfs answer that they have 0 bytes.
        drop(SharedArray::<u8, { 17 << 20 }>::create(&member(family, 4)).unwrap());
        assert_eq!(fs::read_dir("/dev/shm").unwrap().count(), 0);
    }
}

#[test]
fn segments_live_on_other_file_systems() {
    mounts::join_apart("lives-elsewhere");
}

/// Once, a creation waited for five seconds there and blamed others.
#[test]
fn segments_get_their_names_without_proc_before_linux_6_10() {
    spawn("lives-without-proc", Family::new("lives").name()).join();
}

#[test]
fn segments_are_made_where_a_sandbox_wants_every_file_to_have_a_name() {
    spawn("lives-confined", Family::new("lives").name()).join();
}

/// Once, the whole piece was tried again and again.
#[test]
fn reserving_comes_to_an_end_though_signals_keep_interrupting_it() {
    spawn("lives-interrupted", Family::new("lives").name()).join();
}

#[test]
fn a_quota_that_is_used_up_is_named() {
    spawn("quota", &Scratch::new("quota")).join();
}

#[test]
fn more_than_a_file_can_be_is_a_lack_of_shared_memory() {
    spawn("too-large-a-file", &Scratch::new("largest")).join();
}

// Dying

fn die_at(call: libc::c_long, name: &str) {
    // Once before, so that what is done once in a process is behind it.
    drop(SharedLock::create(&format!("{name}.before")).unwrap());
    filter(&[NO_UNNAMED_FILES, Rule { call, bits: None, action: Action::Kill }]);
    assert_no_unnamed_files();
    say("filtered");
    // Of more than a page, which is not written at once.
    let _array = SharedArray::<u8, 10_000>::create(name);
    say("survived");
}

fn die_persistent(name: &str) {
    filter(&[NO_UNNAMED_FILES, Rule { call: UNLINK, bits: None, action: Action::Kill }]);
    say("filtered");
    let _lock = SharedLock::options().persistent(true).create(name);
    say("survived");
}

/// Waits for the end that the filter brings. Returns the process id.
fn die(mut child: Role) -> u32 {
    child.expect("filtered");
    let status = child.wait_for_end();
    assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
    child.id()
}

/// Sweeps until a dead creator's private names are gone: another sweep may be at them.
fn sweep(pid: u32) {
    support::until("the end of a private name", || {
        remove_orphans().unwrap();
        private_names(pid).is_empty().then_some(())
    });
}

const NO_KILLS: &str = "has filters of system calls that do not kill a process with threads";

#[test]
fn a_creator_that_is_killed_at_any_call_leaves_what_a_sweep_takes() {
    if !support::is_linux(NO_KILLS) {
        return;
    }
    for call in ["ftruncate", "fallocate", "pwrite64", "fcntl", "flock", "linkat"] {
        let name = Scratch::new("dies");
        // A creator that had to sweep first may have died of that, and another sweep may have been faster than we are.
        let pid = support::until("a private name that is left", || {
            let pid = die(spawn(&format!("dies-at-{call}"), &name));
            (!private_names(pid).is_empty()).then_some(pid)
        });
        // So that a profile that allows only names that begin so allows these, too.
        assert!(private_names(pid).iter().all(|private| private.starts_with(&*name)), "{call}");
        assert!(!exists(&name), "{call}");
        sweep(pid);
        drop(SharedLock::create(&name).unwrap());
    }
}

#[test]
fn a_creator_that_is_killed_between_two_names_leaves_an_orphan_with_both() {
    if !support::is_linux(NO_KILLS) {
        return;
    }
    let name = Scratch::new("dies");
    let pid = support::until("a segment that is left", || {
        let pid = die(spawn("dies-at-unlink", &name));
        exists(&name).then_some(pid)
    });
    assert!(matches!(SharedLock::open(&name), Err(Error::NotFound { .. })));
    assert!(!exists(&name));
    sweep(pid);
}

#[test]
fn a_persistent_segment_loses_its_private_name_only() {
    if !support::is_linux(NO_KILLS) {
        return;
    }
    let name = Scratch::new("dies");
    let pid = support::until("a segment that is left", || {
        let pid = die(spawn("dies-persistent", &name));
        exists(&name).then_some(pid)
    });
    sweep(pid);
    drop(SharedLock::open(&name).unwrap().lock().unwrap());
    remove(&name).unwrap();
    assert!(!exists(&name));
}

// Creating among sweeps

const CHURN: Duration = Duration::from_millis(700);

fn create_and_close(name: &str) {
    filter(&[NO_UNNAMED_FILES]);
    let end = Instant::now() + CHURN;
    let mut created = 0u64;
    while Instant::now() < end {
        let value = SharedValue::create(name, created).unwrap();
        assert_eq!(value.get(), created);
        created += 1;
    }
    assert_eq!(private_names(std::process::id()), [""; 0]);
    say(created);
}

/// A sweep takes the private file of a creator that has not locked it yet for a dead creator's. The first version then
/// failed if it met the sweeper's own lock.
#[test]
fn a_sweep_that_meets_an_unfinished_segment_costs_its_creator_another_attempt_only() {
    let name = Scratch::new("churns");
    let mut child = spawn("churns", &name);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            let mut sweeps = 0;
            while !done.load(Ordering::Relaxed) {
                remove_orphans().unwrap();
                sweeps += 1;
            }
            sweeps
        });
        let status = child.wait_for_end();
        done.store(true, Ordering::Relaxed);
        println!("{} sweeps", sweeper.join().unwrap());
        assert!(status.success(), "{status}");
    });
    println!("{} created", child.hear());
}
