//! robust-shm beside other locks and shared memories, in one run.
//!
//! `cargo run --release -p robust-shm-peers -- all` measures everything, writes JSON, and prints
//! figures and verdicts; each part also runs alone, by its name. Contenders always take turns within a round, a figure
//! is the median over the rounds, and a ratio is the median of the rounds' ratios: compare those, not the times of
//! different machines.

mod bulk;
mod chart;
mod compare;
mod contention;
mod effort;
mod events;
mod faces;
mod figures;
mod foreign;
mod idle;
mod killed;
mod peers;
mod permits;
mod pingpong;
mod plots;
mod readers;
mod report;
mod saved;
mod scaling;
mod segments;
mod side_by_side;
mod starvation;
mod stores;
mod sys;
mod team;
mod uncontended;
mod waits;
mod worst;

use std::path::PathBuf;
use std::process::ExitCode;

use effort::Effort;
use report::Part;
use saved::Saved;

type Measure = fn(Effort) -> Part;

/// Name, description.
const PARTS: &[(&str, &str, Measure)] = &[
    ("uncontended", "a lock that nobody else wants, try_lock, reading a u64", uncontended::measure),
    ("contention", "a lock that 2, 4 and 16 processes want", contention::measure),
    ("starvation", "how long somebody waits who wants the lock once", starvation::measure),
    ("readers", "how fast one process reads while others write", readers::measure),
    ("side-by-side", "readers side by side: one, two, and what the kill of one costs", side_by_side::measure),
    ("pingpong", "a lock handed to and fro between two processes", pingpong::measure),
    ("events", "an event that two processes set for each other", events::measure),
    (
        "waits",
        "a change, and a condition, that two processes wait for in turn; locking beside a sleeper; waiting for 10 s",
        waits::measure,
    ),
    ("permits", "a semaphore that nobody else wants, that two want, and the kill of a holder", permits::measure),
    ("faces", "slices beside arrays, observers beside values", faces::measure),
    ("worst", "the longest waits beside those who never pause", worst::measure),
    ("killed", "from the kill of a holder until the next one has the lock", killed::measure),
    ("idle", "what a waiter costs while nothing happens", idle::measure),
    ("segments", "opening and creating", segments::measure),
    ("bulk", "large copies under the lock", bulk::measure),
    ("scaling", "costs as processes, segments and elements become more", scaling::measure),
];

fn main() -> ExitCode {
    match Effort::from_arguments(std::env::args().skip(1)) {
        Ok((effort, named)) => run(effort, &named),
        Err(error) => usage(&error),
    }
}

fn run(effort: Effort, named: &[String]) -> ExitCode {
    if named == ["render"] {
        return render(effort);
    }
    let known = |name: &String| name == "all" || PARTS.iter().any(|(part, ..)| part == name);
    if named.is_empty() || !named.iter().all(known) {
        return usage("which part?");
    }
    let wanted = |part: &str| named.iter().any(|name| name == "all" || name == part);
    let machine = report::machine();
    for (_, _, measure) in PARTS.iter().filter(|(name, ..)| wanted(name)) {
        let part = measure(effort);
        part.print();
        println!("  written to {}", part.save(&results(effort), &machine).display());
    }
    if effort.usual() { render(effort) } else { ExitCode::SUCCESS }
}

/// Tables and plots from the figures that there are; into the README only when it is named.
fn render(effort: Effort) -> ExitCode {
    let directory = results(effort);
    let saved = Saved::read(&directory, PARTS.iter().map(|(name, ..)| *name));
    for (name, plot) in plots::all(&saved) {
        std::fs::write(directory.join(name), plot).expect("room for a plot");
    }
    std::fs::write(directory.join("README.md"), figures::full(&saved)).expect("room for the tables");
    println!("\ntables and plots: {}", directory.display());
    let Some(readme) = effort.readme else { return ExitCode::SUCCESS };
    let text = std::fs::read_to_string(readme).expect("a README");
    let Some(new) = figures::replace(&text, &figures::brief(&saved, "benches/peers/results")) else {
        eprintln!("{readme} has no markers: {} and {}", figures::BEGIN, figures::END);
        return ExitCode::FAILURE;
    };
    std::fs::write(readme, new).expect("a README that can be written");
    ExitCode::SUCCESS
}

/// Where the figures go: those of a quick or a partial run do not replace real ones.
fn results(effort: Effort) -> PathBuf {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    package.join(if effort.usual() { "results" } else { "../../target/peers" })
}

fn usage(error: &str) -> ExitCode {
    eprintln!(
        "{error}\n\nusage: all|PART... [--quick] [--only TEXT-IN-CASE] [--rounds N] [--ms N]\n       render [--readme FILE]\n"
    );
    for (name, what, _) in PARTS {
        eprintln!("  {name:<12} {what}");
    }
    ExitCode::from(2)
}
