//! Child processes for tests: the test binary runs itself again with a role, keeps the child's output, and bounds
//! every wait. Nothing survives a test, even one that fails: children are killed when their handle is dropped.
#![allow(dead_code, unreachable_pub, unused_imports, unused_macros, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use robust_shm::LockKind;

mod forked;
mod messages;
mod panics;
mod patience;

pub use forked::{Forked, end_with, fork};
pub(crate) use messages::assert_error;
pub use messages::check;
pub use panics::panic_of;
use patience::Patience;
pub use patience::Stopwatch;

/// The longest that any test waits for anything. On very slow machines build with `ROBUST_SHM_TEST_LIMIT_SECONDS=900`.
/// Who waits for something that nobody works at fails sooner.
pub const LIMIT: Duration = Duration::from_secs(match option_env!("ROBUST_SHM_TEST_LIMIT_SECONDS") {
    Some(seconds) => match u64::from_str_radix(seconds, 10) {
        Ok(seconds) => seconds,
        Err(_) => panic!("ROBUST_SHM_TEST_LIMIT_SECONDS is not a number of seconds"),
    },
    None => 120,
});

const ROLE: &str = "ROBUST_SHM_TEST_ROLE";
const KIND: &str = "ROBUST_SHM_TEST_LOCK_KIND";
const NAME: &str = "ROBUST_SHM_TEST_NAME";

/// The kinds of lock that there are here.
pub const KINDS: [LockKind; 3] = [LockKind::Futex, LockKind::File, LockKind::OsMutex];

/// Whether there are robust lists here, and so the kernel reports the death of a thread that holds a lock of the default
/// kind; else says that the test is skipped. There are none in an emulator, in some sandboxes (`tests/sandbox` is one),
/// and with `--cfg robust_shm_unix`: the default is then `LockKind::File`.
#[track_caller]
pub fn has_robust_lists(why: &str) -> bool {
    let are_there = LockKind::Futex.is_available();
    if !are_there {
        skip(Need::System, format!("robust lists: {why}"));
    }
    are_there
}

/// Makes a test of each kind of lock from what takes one: all but what needs to hear of the death of a holder.
macro_rules! with_each_kind {
    ($($(#[$attribute:meta])* $name:ident,)*) => {$(
        $(#[$attribute])*
        mod $name {
            use robust_shm::LockKind;

            #[test]
            fn futex() {
                if LockKind::Futex.is_available() {
                    super::$name(LockKind::Futex);
                } // else it is no kind that anybody gets
            }

            #[test]
            fn file() {
                super::$name(LockKind::File);
            }

            #[test]
            fn os_mutex() {
                super::$name(LockKind::OsMutex);
            }
        }
    )*};
}
pub(crate) use with_each_kind;

/// What a test cannot do everywhere.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// To be root.
    Root,
    /// To make namespaces.
    Namespaces,
    /// What root, too, cannot have everywhere: a kernel that is new enough, a file system, a control group.
    System,
}

/// Says that a test does not do its work here. Fails instead if `ROBUST_SHM_NO_SKIPS` names the need (`root,namespaces`)
/// or is `all`: where they are met, nothing may be passed over in silence.
#[track_caller]
pub fn skip(need: Need, why: impl std::fmt::Display) {
    let needed = format!("{need:?}").to_lowercase();
    let forbidden = std::env::var("ROBUST_SHM_NO_SKIPS").unwrap_or_default();
    let is_forbidden = forbidden.split(',').any(|word| word == needed || word == "all");
    assert!(!is_forbidden, "ROBUST_SHM_NO_SKIPS={forbidden} forbids to skip this: {why}");
    // Not by `eprintln!`, whose output nobody sees when the test passes.
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "SKIPPED, needs {needed}: {why}");
}

/// Whether this process is root; else says that the test is skipped.
#[track_caller]
pub fn is_root(why: &str) -> bool {
    // SAFETY: takes nothing.
    #[allow(unsafe_code)]
    let is_root = unsafe { libc::geteuid() } == 0;
    if !is_root {
        skip(Need::Root, why);
    }
    is_root
}

/// Whether the kernel is Linux and not gVisor, which says so in this way; else says that the test is skipped.
#[track_caller]
pub fn is_linux(why: &str) -> bool {
    let version = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let is_gvisor = version.starts_with("Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016");
    if is_gvisor {
        skip(Need::System, format!("gVisor {why}"));
    }
    !is_gvisor
}

/// Does the system count how often a thread has gone to sleep?
pub fn sleeps_are_counted() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("voluntary_ctxt_switches:"))
}

/// Whether this command works here, such as `unshare --mount true`; else says that the test is skipped.
#[track_caller]
pub fn can_unshare(command: &[&str]) -> bool {
    let mut attempt = Command::new(command[0]);
    attempt.args(&command[1..]).arg("true").stdin(Stdio::null()).stderr(Stdio::null());
    let can = attempt.status().is_ok_and(|status| status.success());
    if !can {
        skip(Need::Namespaces, format!("`{} true` does not work", command.join(" ")));
    }
    can
}

/// A fresh segment name that is removed at the end, whatever happened in between. Bind it: a temporary takes the segment
/// away at the end of the statement. All names of a run begin with `ROBUST_SHM_TEST_PREFIX`, by which it finds its own.
pub struct Scratch(pub String);

impl Scratch {
    pub fn new(prefix: &str) -> Self {
        let run = std::env::var("ROBUST_SHM_TEST_PREFIX").unwrap_or_default();
        Self(robust_shm::unique_name(&format!("{run}{prefix}")))
    }
}

impl std::ops::Deref for Scratch {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(path(&self.0));
    }
}

/// Whether all users have one directory of segments, which are objects of shared memory; else says that the test is
/// skipped.
#[track_caller]
pub fn has_shared_memory_objects(why: &str) -> bool {
    if cfg!(robust_shm_unix) {
        skip(Need::System, why);
    }
    !cfg!(robust_shm_unix)
}

/// Where segments are files.
pub fn directory() -> std::path::PathBuf {
    if !cfg!(robust_shm_unix) {
        return "/dev/shm".into();
    }
    // SAFETY: takes nothing.
    #[allow(unsafe_code)]
    let me = unsafe { libc::geteuid() };
    let directory = format!("/tmp/robust-shm-{me}");
    let _ = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&directory);
    directory.into()
}

pub fn path(name: &str) -> std::path::PathBuf {
    directory().join(name)
}

pub fn exists(name: &str) -> bool {
    std::fs::symlink_metadata(path(name)).is_ok()
}

/// Names that begin alike, for tests with many segments; all of them are removed at the end.
pub struct Family(Scratch);

impl Family {
    pub fn new(prefix: &str) -> Self {
        Self(Scratch::new(prefix))
    }

    /// The name to give to children, which call [`member`] with it.
    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn member(&self, which: usize) -> String {
        member(self.name(), which)
    }

    /// The members that exist.
    pub fn living(&self) -> Vec<String> {
        let prefix = format!("{}.", self.name());
        let entries = std::fs::read_dir(directory()).unwrap().flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with(&prefix))
            .collect()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for name in self.living() {
            let _ = std::fs::remove_file(path(&name));
        }
    }
}

/// A member of the [`Family`] of this name.
pub fn member(family: &str, which: usize) -> String {
    format!("{family}.{which}")
}

/// What a child does, given the segment's name.
pub type Body = fn(&str);

/// In a child: runs the body of its role and exits. `roles` is called at the start of a test named `child`, which every
/// test file with children has: `#[test] fn child() { support::play(&[("role", body)]) }`.
pub fn play(roles: &[(&str, Body)]) {
    let Ok(role) = std::env::var(ROLE) else { return };
    let name = std::env::var(NAME).unwrap_or_default();
    let (_, body) = roles.iter().find(|(known, _)| *known == role).unwrap_or_else(|| panic!("no role {role}"));
    body(&name);
    std::process::exit(0);
}

/// A running child.
pub struct Role {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    role: String,
}

/// Starts this test binary again as `role`, with the segment `name`. If it is run by an emulator, so is the child: by the
/// words of `ROBUST_SHM_TEST_EMULATOR`.
pub fn spawn(role: &str, name: &str) -> Role {
    spawn_through(&[], role, name)
}

/// As [`spawn`], for a role that creates segments with the lock of this [`kind`].
pub fn spawn_of(kind: LockKind, role: &str, name: &str) -> Role {
    spawn_through(&["env", &format!("{KIND}={kind:?}")], role, name)
}

/// In a child: the kind of lock that it was given by [`spawn_of`].
pub fn kind() -> LockKind {
    let name = std::env::var(KIND).unwrap_or_default();
    KINDS.into_iter().find(|kind| format!("{kind:?}") == name).unwrap_or_default()
}

/// As [`spawn`], started by another program: `["unshare", "--pid", ..]`.
pub fn spawn_through(wrapper: &[&str], role: &str, name: &str) -> Role {
    spawn_program(wrapper, &std::env::current_exe().unwrap(), role, name)
}

/// As [`spawn_through`], in another build of this test.
pub fn spawn_program(wrapper: &[&str], program: &std::path::Path, role: &str, name: &str) -> Role {
    let emulator = std::env::var("ROBUST_SHM_TEST_EMULATOR").unwrap_or_default();
    let words: Vec<_> = wrapper.iter().copied().chain(emulator.split_whitespace()).map(std::ffi::OsStr::new).collect();
    let mut words = words.into_iter().chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(NAME, name);
    Role::start(command, role)
}

/// What there is to hear from a child.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Line(String),
    NothingYet,
    /// It has closed its output, and so have its children.
    End,
}

impl Role {
    pub fn start(mut command: Command, role: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = forward(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), child, lines, role: role.to_owned() }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the child has printed this line with [`say`].
    pub fn expect(&self, line: &str) {
        let heard = self.hear();
        assert_eq!(heard, line, "from child {:?}", self.role);
    }

    /// The next line that the child says.
    pub fn hear(&self) -> String {
        let mut patience = Patience::new();
        loop {
            match self.lines.recv_timeout(patience.next()) {
                Ok(line) => {
                    if let Some((_, said)) = line.split_once("SAY ") {
                        return said.to_owned();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => patience.check(&format!("a word of child {:?}", self.role)),
                Err(mpsc::RecvTimeoutError::Disconnected) => panic!("child {:?} said nothing more", self.role),
            }
        }
    }

    /// What the child has said by now, without waiting.
    pub fn heard(&self) -> Heard {
        loop {
            match self.lines.try_recv() {
                Ok(line) => {
                    if let Some((_, said)) = line.split_once("SAY ") {
                        return Heard::Line(said.to_owned());
                    }
                }
                Err(mpsc::TryRecvError::Empty) => return Heard::NothingYet,
                Err(mpsc::TryRecvError::Disconnected) => return Heard::End,
            }
        }
    }

    /// Lets a child go on that waits in [`pause`].
    pub fn go_on(&mut self) {
        use std::io::Write;
        self.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(result, 0);
    }

    /// Kills with SIGKILL and waits for the end.
    pub fn kill(mut self) {
        // A container is killed a moment after what has started it: until then its input must not end, or it goes on.
        let _input = self.stdin.take();
        self.child.kill().unwrap();
        let status = self.wait_for_end();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "child {:?} ended by itself: {status}", self.role);
    }

    /// Waits for the child to end by itself, successfully.
    pub fn join(mut self) {
        let status = self.wait_for_end();
        assert!(status.success(), "child {:?}: {status}", self.role);
    }

    /// Waits for the end, however it comes.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        drop(self.stdin.take());
        let role = self.role.clone();
        until(&format!("the end of child {role:?}"), || self.child.try_wait().unwrap())
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// In a child: says a line to the test.
pub fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "SAY {line}").unwrap();
    out.flush().unwrap();
}

/// In a child: waits until the test lets it go on, or has ended.
pub fn pause() {
    let mut byte = [0];
    let _ = std::io::stdin().read(&mut byte);
}

/// In a child that is to be killed: says that it is ready, and stays until then.
pub fn ready_to_die() -> ! {
    say("ready");
    pause();
    std::process::abort()
}

/// The calling thread, as `/proc` names it.
pub fn own_tid() -> libc::pid_t {
    // SAFETY: takes nothing, cannot fail.
    #[allow(unsafe_code)]
    unsafe {
        libc::syscall(libc::SYS_gettid) as libc::pid_t
    }
}

/// If the thread sleeps: how often it has gone to sleep, so that two sleeps can be told apart (where the system counts).
pub fn asleep(thread: libc::pid_t) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let sleeps = field("voluntary_ctxt_switches:").map_or(Some(0), |count| count.parse().ok())?;
    field("State:")?.starts_with('S').then_some(sleeps)
}

/// Is there nothing left of the process but its status?
pub fn has_ended(pid: libc::pid_t) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with(['Z', 'X']))
}

/// Waits until every thread of the child sleeps in a futex call: when it has nothing else to wait for, in a lock.
pub fn until_it_waits(child: &Role) {
    until(&format!("the sleep of child {:?}", child.role), || all_wait(child.id()).then_some(()));
}

fn all_wait(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    tasks.map(|task| task.path()).all(|task| {
        let state = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        // Not everywhere may it be read; then every sleep counts.
        let call = std::fs::read_to_string(task.join("syscall")).ok().filter(|call| !call.is_empty());
        const FUTEX_WAITV: libc::c_long = 449; // on all architectures
        let dozes = if cfg!(robust_shm_unix) { libc::SYS_clock_nanosleep } else { libc::SYS_futex };
        let waits = [libc::SYS_futex, FUTEX_WAITV, dozes];
        let is_futex = call.is_none_or(|call| waits.iter().any(|number| call.starts_with(&format!("{number} "))));
        is_futex && state.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('S'))
    })
}

/// Waits for a condition; fails after [`LIMIT`], or sooner when nobody does anything.
#[track_caller]
pub fn until<R>(what: &str, mut condition: impl FnMut() -> Option<R>) -> R {
    let mut patience = Patience::new();
    loop {
        if let Some(result) = condition() {
            return result;
        }
        patience.check(what);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Runs the body on a thread and fails if it takes longer than [`LIMIT`], or does nothing: for what must not hang.
pub fn within_limit<R: Send + 'static>(what: &str, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = sender.send(body());
    });
    let mut patience = Patience::new();
    loop {
        match receiver.recv_timeout(patience.next()) {
            Ok(result) => {
                thread.join().unwrap();
                return result;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
            Err(mpsc::RecvTimeoutError::Timeout) => patience.check(what),
        }
    }
}

/// A small random number generator (xorshift64*), so that a failure can be repeated from its seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize) % bound
    }
}
