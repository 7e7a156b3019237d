//! Child processes for tests: the test binary runs itself again with a role, keeps the child's output, and bounds
//! every wait. Nothing survives a test, even one that fails: children are killed when their handle is dropped.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest that any test waits for anything.
pub const LIMIT: Duration = Duration::from_secs(120);

const ROLE: &str = "ROBUST_SHM_TEST_ROLE";
const NAME: &str = "ROBUST_SHM_TEST_NAME";

/// A fresh segment name that is removed at the end, whatever happened in between.
pub struct Scratch(pub String);

impl Scratch {
    pub fn new(prefix: &str) -> Self {
        Self(robust_shm::unique_name(prefix))
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

pub fn path(name: &str) -> std::path::PathBuf {
    std::path::Path::new("/dev/shm").join(name)
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
        let entries = std::fs::read_dir("/dev/shm").unwrap().flatten();
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

/// Starts this test binary again as `role`, with the segment `name`.
pub fn spawn(role: &str, name: &str) -> Role {
    spawn_through(&[], role, name)
}

/// As [`spawn`], started by another program: `["unshare", "--pid", ..]`.
pub fn spawn_through(wrapper: &[&str], role: &str, name: &str) -> Role {
    let this = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(std::ffi::OsStr::new).chain([this.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(NAME, name);
    Role::start(command, role)
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
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some((_, said)) = line.split_once("SAY ") {
                        return said.to_owned();
                    }
                }
                Err(error) => panic!("child {:?} said nothing more: {error}", self.role),
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

/// If the thread sleeps: how often it has gone to sleep, so that two sleeps can be told apart.
pub fn asleep(thread: libc::pid_t) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let sleeps = field("voluntary_ctxt_switches:")?.parse().ok()?;
    field("State:")?.starts_with('S').then_some(sleeps)
}

/// Waits for a condition; fails after [`LIMIT`].
pub fn until<R>(what: &str, mut condition: impl FnMut() -> Option<R>) -> R {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(result) = condition() {
            return result;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Runs the body on a thread and fails if it takes longer than [`LIMIT`]: for what must not hang.
pub fn within_limit<R: Send + 'static>(what: &str, body: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let _ = sender.send(body());
    });
    match receiver.recv_timeout(LIMIT) {
        Ok(result) => {
            thread.join().unwrap();
            result
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => std::panic::resume_unwind(thread.join().unwrap_err()),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} took longer than {LIMIT:?}"),
    }
}

/// A forked child of this process, which is killed when this is dropped before its end.
pub struct Forked {
    pid: libc::pid_t,
    has_ended: bool,
}

/// Forks; the child runs the body and ends, without destructors and exit hooks. For processes that play a role: the test
/// harness has other threads. Mind that the closure must not take things out of the parent: use `Option::take` in it.
pub fn fork(body: impl FnOnce()) -> Forked {
    // SAFETY: in a process with one thread that matters; the child ends with `_exit`.
    #[allow(unsafe_code)]
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        end_with(body);
    }
    Forked::adopt(pid)
}

/// In a new process: bounds its life by an alarm, runs the body, and ends with 0 if it did not panic.
pub fn end_with(body: impl FnOnce()) -> ! {
    // SAFETY: takes an integer.
    #[allow(unsafe_code)]
    unsafe {
        libc::alarm(LIMIT.as_secs() as libc::c_uint)
    };
    let ok = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_ok();
    // SAFETY: ends the process.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(i32::from(!ok))
    }
}

impl Forked {
    /// Takes charge of a child that was made in another way.
    pub fn adopt(pid: libc::pid_t) -> Self {
        Self { pid, has_ended: false }
    }

    pub fn id(&self) -> libc::pid_t {
        self.pid
    }

    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(self.pid, signal) };
        assert_eq!(result, 0);
    }

    /// Has it ended? The status then is what `waitpid` says.
    pub fn try_wait(&mut self) -> Option<libc::c_int> {
        let mut status = 0;
        // SAFETY: a child of ours, and a place for its status.
        #[allow(unsafe_code)]
        let ended = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } == self.pid;
        self.has_ended = ended;
        ended.then_some(status)
    }

    /// Waits for the child to end by itself, successfully.
    pub fn join(mut self) {
        let status = until("the end of a forked child", || self.try_wait());
        assert_eq!(status, 0, "a forked child failed");
    }

    /// Kills with SIGKILL and waits for the end.
    pub fn kill(mut self) {
        self.signal(libc::SIGKILL);
        let status = until("the end of a killed child", || self.try_wait());
        assert_eq!(status, libc::SIGKILL, "a forked child ended by itself");
    }

    /// Leaves the child to itself and its alarm.
    pub fn forget(mut self) {
        self.has_ended = true;
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.has_ended {
            // SAFETY: a child of ours that has not been waited for.
            #[allow(unsafe_code)]
            unsafe {
                libc::kill(self.pid, libc::SIGKILL)
            };
            // SAFETY: as above; no status is asked for.
            #[allow(unsafe_code)]
            unsafe {
                libc::waitpid(self.pid, std::ptr::null_mut(), 0)
            };
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
