//! robust-shm beside other locks and shared memories, in one run.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml -- all` measures everything, writes JSON, and prints
//! figures and verdicts; each part also runs alone, by its name. Contenders always take turns within a round, a figure
//! is the median over the rounds, and a ratio is the median of the rounds' ratios: compare those, not the times of
//! different machines.

mod contention;
mod foreign;
mod peers;
mod pingpong;
mod report;
mod sys;
mod team;
mod uncontended;

use std::path::PathBuf;
use std::process::ExitCode;

use report::{Effort, Part};

const PARTS: &[(&str, &str, fn(Effort) -> Part)] = &[
    ("uncontended", "a lock that nobody else wants, try_lock, reading a u64", uncontended::measure),
    ("contention", "a lock that 2, 4 and 16 processes want", contention::measure),
    ("pingpong", "a lock handed to and fro between two processes", pingpong::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let named: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    let parts: Vec<_> = PARTS.iter().filter(|(name, ..)| named.contains(name) || named == ["all"]).collect();
    if parts.is_empty() {
        usage();
        return ExitCode::from(2);
    }
    let effort = Effort { quick };
    let machine = report::machine();
    for (_, _, measure) in parts {
        let part = measure(effort);
        part.print();
        println!("  written to {}", part.save(&results(effort), &machine).display());
    }
    ExitCode::SUCCESS
}

/// Where the figures go: a quick run's do not replace real ones.
fn results(effort: Effort) -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.join(if effort.quick { "target/quick" } else { "results" })
}

fn usage() {
    eprintln!("usage: peers all|PART... [--quick]\n");
    for (name, what, _) in PARTS {
        eprintln!("  {name:<12} {what}");
    }
}
