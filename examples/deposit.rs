//! One of two separate programs that share an account: run it beside `withdraw`, and watch both with `balance`.
//!
//! `cargo run --release --example deposit [times] [amount]`

use std::thread::sleep;
use std::time::Duration;

use robust_shm::SharedValue;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let times: u32 = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let amount: i64 = arguments.next().map_or(Ok(1), |text| text.parse())?;

    // Whoever comes first creates the account, the others open it. It goes with the last of them.
    let account = SharedValue::open_or_create("robust-shm-example-account", 200i64)?;
    println!("{} account {:?}", if account.was_created() { "opened a new" } else { "joined the" }, account.name());

    for _ in 0..times {
        let balance = account.update(|balance| *balance += amount)?; // lock, change, commit, unlock
        println!("deposited {amount}, balance {balance}");
        sleep(Duration::from_millis(100));
    }
    Ok(())
}
