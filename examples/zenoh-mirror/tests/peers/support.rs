//! Peers, writers and names that go when the test does.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use robust_shm::SharedValue;

/// The longest that any test waits for anything.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "waited in vain until {what}");
        thread::sleep(Duration::from_micros(50));
    }
}

/// One that nobody takes before a mirror does: an address of loopback, all of which is Linux's to use, that is this process's
/// and this call's own, and a port that the kernel gives to nobody who does not ask for it.
pub(crate) fn endpoint() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed));
    let is_free = |port: &u16| TcpListener::bind((address, *port)).is_ok();
    let port = (7447..7500).find(is_free).expect("a port is free");
    format!("tcp/{address}:{port}")
}

/// A program that is killed with the thread that starts it, also when that is by SIGKILL; where `setpriv`, of util-linux, is
/// not there, only when it is dropped.
fn mortal(program: impl AsRef<OsStr>) -> Command {
    static CAN: LazyLock<bool> = LazyLock::new(|| {
        Command::new("setpriv").args(["--pdeathsig", "KILL", "true"]).status().is_ok_and(|status| status.success())
    });
    if !*CAN {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// A value and its copy, which are on one machine here, and so have two names.
pub(crate) struct Names {
    pub(crate) near: String,
    pub(crate) far: String,
    pub(crate) key: String,
}

impl Names {
    pub(crate) fn new() -> Self {
        let (near, far) = (robust_shm::unique_name("near"), robust_shm::unique_name("far"));
        Self { key: format!("test/{near}"), near, far }
    }

    pub(crate) fn near_as_key(&self) -> String {
        format!("{}={}", self.near, self.key)
    }

    pub(crate) fn far_as_key(&self) -> String {
        format!("{}={}", self.far, self.key)
    }
}

/// Names are made before mirrors are started, and so go after these.
impl Drop for Names {
    fn drop(&mut self) {
        for name in [&self.near, &self.far] {
            for end in ["", ".heard", ".mirror"] {
                let _ = robust_shm::remove(&format!("{name}{end}")); // most were never there
            }
        }
    }
}

/// The program; dropping it is SIGKILL.
pub(crate) struct Mirror {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = mortal(env!("CARGO_BIN_EXE_zenoh-mirror"));
        let mut child = command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::new(Mutex::new(Vec::new()));
        let hear = Arc::clone(&said);
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| hear.lock().unwrap().push(line)));
        Self { child, said }
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said that, and returns the whole line.
    pub(crate) fn says(&self, what: &str) -> String {
        let mut found = None;
        until(&format!("somebody says {what:?}"), || {
            found = self.said.lock().unwrap().iter().find(|line| line.contains(what)).cloned();
            found.is_some()
        });
        found.unwrap()
    }

    /// How it has ended by itself.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("it had said: {:?}", self.said.lock().map(|said| said.clone()));
        }
    }
}

const ROLE: &str = "ZENOH_MIRROR_WRITES_TO";

/// Another process, which writes without a pause; dropping it is SIGKILL.
pub(crate) struct Writer(Child);

impl Writer {
    pub(crate) fn start(name: &str) -> Self {
        let mut command = mortal(std::env::current_exe().unwrap());
        command.args(["--exact", "support::writer", "--ignored", "--nocapture"]).env(ROLE, name).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a [`Writer`] runs; nothing, if it is no such process.
#[test]
#[ignore = "no test: a role, which a test starts in another process"]
fn writer() {
    let Ok(name) = std::env::var(ROLE) else { return };
    let value = SharedValue::<[u64; 500]>::open(&name).unwrap();
    let end = Instant::now() + LIMIT; // should nobody kill it
    while Instant::now() < end {
        let mut guard = value.lock().unwrap();
        let next = guard[0] + 1;
        for half in guard.chunks_mut(250) {
            half.fill(next);
            thread::yield_now(); // so that it is often killed between the two
        }
    }
}
