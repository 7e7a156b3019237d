//! A bank account that two processes use at once: wrong without the lock, right with it.
//!
//! `cargo run --release --example bank`

use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use robust_shm::{SharedValue, unique_name};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TIMES: i32 = 100;
/// The work between reading the balance and writing it. Whatever the other process writes meanwhile is lost. A real
/// program computes something here; the sleep makes the window wide enough to be seen.
const WORK: Duration = Duration::from_micros(200);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    match &arguments[1..] {
        [] => parent(),
        [account, start, how, change] => child(account, start, how, change.parse()?),
        _ => Err("this example takes no arguments".into()),
    }
}

fn parent() -> Result<()> {
    for how in ["without lock", "with lock"] {
        for _ in 0..3 {
            println!("{how}: {}", run(how)?);
        }
    }
    println!(
        "One process deposited 1 and another withdrew 1, {TIMES} times each: without the lock, a change that fell \
         between the other's read and write was lost; with it, every one counted."
    );
    Ok(())
}

/// One run: a deposit process and a withdrawal process, at once. The balance should end as it began.
fn run(how: &str) -> Result<i32> {
    let account = SharedValue::create(&unique_name("account"), 200)?;
    let start = SharedValue::create(&unique_name("start"), false)?;
    let spawn = |change: &str| -> Result<Child> {
        Ok(Command::new(std::env::current_exe()?).args([account.name(), start.name(), how, change]).spawn()?)
    };
    let children = [spawn("1")?, spawn("-1")?];
    start.set(true)?; // both wait for this, so that they work at the same time
    let ends = children.map(|mut child| child.wait()); // for both, also when the first one failed
    for end in ends {
        let status = end?;
        if !status.success() {
            return Err(format!("a child failed: {status}").into());
        }
    }
    Ok(account.get())
}

fn child(account: &str, start: &str, how: &str, change: i32) -> Result<()> {
    let account = SharedValue::<i32>::open(account)?;
    let start = SharedValue::<bool>::open(start)?;
    let patience = Instant::now() + Duration::from_secs(10);
    while !start.get() {
        if Instant::now() > patience {
            return Err("the parent gave no start signal".into());
        }
        sleep(Duration::from_micros(50));
    }
    for _ in 0..TIMES {
        if how == "with lock" {
            let mut balance = account.lock()?; // from here on nobody else can change it
            sleep(WORK);
            *balance += change;
            // The guard goes here: it commits the new balance and releases the lock.
        } else {
            // The mistake: this is `account.set(account.get() + change)` in slow motion.
            let balance = account.get();
            sleep(WORK);
            account.set(balance + change)?; // `balance` may be old by now
        }
        sleep(WORK); // both get their turns
    }
    Ok(())
}
