//! Watches the account of `deposit` and `withdraw`, without ever taking its lock.
//!
//! `cargo run --release --example balance [seconds]`

use std::thread::sleep;
use std::time::{Duration, Instant};

use robust_shm::SharedValue;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = match std::env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("seconds: expected a number, found {text:?}"))?,
        None => 10,
    };
    let account = SharedValue::open_or_create("robust-shm-example-account", 200i64)?;

    let start = Instant::now();
    let mut seen = u64::MAX; // "I have seen no commit yet": so the first look prints the balance as it is
    while start.elapsed() < Duration::from_secs(seconds) {
        // `None` while nothing was committed since the last look. Between two looks there may be several commits.
        if let Some(balance) = account.get_if_changed(&mut seen) {
            println!("balance {balance} after {seen} commits");
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
