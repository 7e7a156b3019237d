//! Watches the account of `deposit` and `withdraw`, without ever taking its lock.
//!
//! `cargo run --release --example balance [seconds]`

use std::thread::sleep;
use std::time::{Duration, Instant};

use robust_shm::SharedValue;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds: u64 = std::env::args().nth(1).map_or(Ok(6), |text| text.parse())?;
    let account = SharedValue::open_or_create("robust-shm-example-account", 200i64)?;
    let end = Instant::now() + Duration::from_secs(seconds);

    let mut seen = u64::MAX; // "I have seen no commit yet"
    while Instant::now() < end {
        if let Some(balance) = account.get_if_changed(&mut seen) {
            println!("balance {balance} after {seen} commits");
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
