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
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(NAME, name);
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
