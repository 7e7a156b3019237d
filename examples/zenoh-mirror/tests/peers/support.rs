//! Peers, writers and names that go when the test does.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
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

/// One that nobody uses at this moment.
pub(crate) fn endpoint() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("tcp/127.0.0.1:{port}")
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_zenoh-mirror"));
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
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "support::writer", "--nocapture"]).env(ROLE, name).stdout(Stdio::null());
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
