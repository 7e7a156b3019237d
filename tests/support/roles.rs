//! Child processes: the test binary runs itself again with a role.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;

use robust_shm::LockKind;

use super::patience::Patience;
use super::{KINDS, until};

const ROLE: &str = "ROBUST_SHM_TEST_ROLE";
const KIND: &str = "ROBUST_SHM_TEST_LOCK_KIND";
const NAME: &str = "ROBUST_SHM_TEST_NAME";

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
    pub(super) role: String,
    #[cfg_attr(
        target_os = "linux",
        expect(dead_code, reason = "there the system says who sleeps, and not the segment")
    )]
    pub(super) name: String,
}

/// Starts this test binary again as `role`, with the segment `name`. If it is run by an emulator, so is the child: by the
/// words of `ROBUST_SHM_TEST_EMULATOR`.
pub fn spawn(role: &str, name: &str) -> Role {
    spawn_through(&[], role, name)
}

/// As [`spawn`], for a role that creates segments with the lock of this [`kind`].
pub fn spawn_of(kind: LockKind, role: &str, name: &str) -> Role {
    let mut command = command(&[], &std::env::current_exe().unwrap(), role, name);
    command.env(KIND, format!("{kind:?}"));
    Role::start(command, role, name)
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
pub fn spawn_program(wrapper: &[&str], program: &Path, role: &str, name: &str) -> Role {
    Role::start(command(wrapper, program, role, name), role, name)
}

fn command(wrapper: &[&str], program: &Path, role: &str, name: &str) -> Command {
    let emulator = std::env::var("ROBUST_SHM_TEST_EMULATOR").unwrap_or_default();
    let words: Vec<_> = wrapper.iter().copied().chain(emulator.split_whitespace()).map(std::ffi::OsStr::new).collect();
    let mut words = words.into_iter().chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["child", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, role).env(NAME, name);
    command
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
    fn start(mut command: Command, role: &str, name: &str) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = forward(child.stdout.take().unwrap());
        Self { stdin: child.stdin.take(), child, lines, role: role.to_owned(), name: name.to_owned() }
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

    #[cfg(unix)]
    pub fn signal(&self, signal: libc::c_int) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(result, 0);
    }

    /// Kills, by SIGKILL or what stands for it, and waits for the end.
    pub fn kill(mut self) {
        // A container is killed a moment after what has started it: until then its input must not end, or it goes on.
        let _input = self.stdin.take();
        self.child.kill().unwrap();
        let status = self.wait_for_end();
        assert!(was_killed(status), "child {:?} ended by itself: {status}", self.role);
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

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(libc::SIGKILL)
}

/// What [`Child::kill`] has the process end with, and no panic does.
#[cfg(windows)]
fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
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
