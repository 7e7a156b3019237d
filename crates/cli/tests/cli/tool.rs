//! Runs the program, with an end to each wait.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::{self, until};

/// What it has said, and how it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    /// As a shell sees it.
    pub(crate) code: i32,
}

impl Said {
    /// The object of its only line.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The object of each line.
    pub(crate) fn all_json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The line that begins with this name, in its columns.
    pub(crate) fn row(&self, name: &str) -> Vec<&str> {
        let line = self.out.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {self:?}")).split_whitespace().collect()
    }
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_robust-shm");

/// The program, with these arguments. Signals do to it what they do by default, also where these tests run in the background of
/// a script, which has its children ignore some.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(arguments);
    let by_default = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: no handler is installed, but one is taken away.
            #[allow(unsafe_code)]
            let _ = unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: what runs between fork and exec is async-signal-safe.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(by_default);
    }
    command
}

/// Runs it to its end.
pub(crate) fn run(arguments: &[&str]) -> Said {
    Running::start(command(arguments)).end()
}

/// Runs it until this part of what it says is as expected: for whatever counts users. [`command`] has code of its own run
/// between fork and exec, so the program is started by a fork of this process; and a forked child is one more user of all
/// that is open here, by whichever test, until it becomes another program.
pub(crate) fn run_until<T: Debug + PartialEq>(arguments: &[&str], part: impl Fn(&Said) -> T, expected: &T) -> Said {
    let mut before = None;
    until("the expected output", || {
        let said = run(arguments);
        let found = part(&said);
        if found == *expected {
            return Some(said);
        }
        if before.as_ref() != Some(&found) {
            println!("expected {expected:?}, not yet {found:?}"); // for whoever reads why it was in vain
            before = Some(found);
        }
        None
    })
}

/// The program while it runs; killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (out, err) = (child.stdout.take().map(gather), child.stderr.take().map(gather));
        Self { child, out, err }
    }

    pub(crate) fn of(arguments: &[&str]) -> Self {
        Self::start(command(arguments))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(result, 0);
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until it sleeps, as [`support::until_it_waits`], in whatever call.
    pub(crate) fn until_asleep(&self) {
        let id = self.id().cast_signed();
        support::until("the program to sleep", || support::asleep(id));
    }

    /// Waits until it ends, and all to whom it has given its output.
    pub(crate) fn end(mut self) -> Said {
        let status = support::until("the end of the program", || self.child.try_wait().unwrap());
        let text = |stream: Option<JoinHandle<String>>| {
            let stream = stream.unwrap();
            support::until("the end of its output", || stream.is_finished().then_some(()));
            stream.join().unwrap()
        };
        let (out, err) = (text(self.out.take()), text(self.err.take()));
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
        Said { out, err, code }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn gather(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A directory that goes at the end.
pub(crate) struct Directory(std::path::PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(robust_shm::unique_name("robust-shm-cli"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: impl AsRef<OsStr>) -> std::path::PathBuf {
        self.0.join(name.as_ref())
    }

    /// The path of a file in it, as a word for a shell.
    pub(crate) fn word(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
