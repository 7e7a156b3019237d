//! Peers that are programs of other languages, or that work on files.

use std::path::PathBuf;
use std::process::Command;

use crate::effort::Effort;
use crate::report::Row;

pub const PYTHON_VALUE: &str = "Python multiprocessing.Value('q')";

/// `named-lock`: a lock on a file, and a mutex inside the process.
pub struct NamedLock {
    lock: named_lock::NamedLock,
    path: PathBuf,
}

impl NamedLock {
    pub fn create() -> Self {
        let path = std::env::temp_dir().join(robust_shm::unique_name("peers-named-lock"));
        Self { lock: named_lock::NamedLock::with_path(&path).expect("a new file"), path }
    }

    pub fn locked<R>(&self, action: impl FnOnce() -> R) -> R {
        let _guard = self.lock.lock().expect("a file that can be locked");
        action()
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Python's `multiprocessing`; nothing when there is no python3.
pub fn python(case: &str, effort: Effort) -> Vec<Row> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python.py");
    run("python3", Command::new("python3").arg(script), case, effort)
}

/// Python's `multiprocessing.Event`, on so many cores; nothing when there is no python3.
pub fn python_event(case: &str, cores: usize, effort: Effort) -> Vec<Row> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python_event.py");
    run("python3", Command::new("python3").arg(script).arg(cores.to_string()), case, effort)
}

/// Python's `multiprocessing.Condition`, on so many cores; nothing when there is no python3.
pub fn python_condition(case: &str, cores: usize, effort: Effort) -> Vec<Row> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python_condition.py");
    run("python3", Command::new("python3").arg(script).arg(cores.to_string()), case, effort)
}

/// Boost.Interprocess; nothing when its headers or the compiler are not there.
pub fn boost(case: &str, effort: Effort) -> Vec<Row> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/boost.cpp");
    let program = std::env::temp_dir().join(robust_shm::unique_name("peers-boost"));
    let compiled =
        Command::new("c++").args(["-O2", "-o"]).arg(&program).arg(source).args(["-lrt", "-pthread"]).output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        eprintln!("Boost.Interprocess is not measured: no C++ compiler, or no headers (Debian: libboost-dev)");
        return Vec::new();
    }
    let rows = run("Boost.Interprocess", &mut Command::new(&program), case, effort);
    let _ = std::fs::remove_file(&program);
    rows
}

/// Runs a program that takes the number of rounds and the milliseconds of each, and prints lines `contender<TAB>ns ...`.
fn run(what: &str, command: &mut Command, case: &str, effort: Effort) -> Vec<Row> {
    let rounds = effort.rounds(15).to_string();
    let output = match command.args([&rounds, &effort.ms(20).to_string()]).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            eprintln!("{what} is not measured: {}", String::from_utf8_lossy(&output.stderr).trim());
            return Vec::new();
        }
        Err(error) => {
            eprintln!("{what} is not measured: {error}");
            return Vec::new();
        }
    };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| parse(line, case)).collect()
}

fn parse(line: &str, case: &str) -> Option<Row> {
    let (who, figures) = line.split_once('\t')?;
    let rounds = figures.split_whitespace().map(|figure| figure.parse().ok()).collect::<Option<Vec<f64>>>()?;
    Some(Row::new(case, who, "ns", rounds))
}
