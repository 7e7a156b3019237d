//! One of two separate programs that share an account. Run it in one terminal and `withdraw` in another; `balance`, in
//! a third, watches both. Any of them may be first.
//!
//! `cargo run --release --example deposit [amount] [times] [pause in ms]`

use std::str::FromStr;
use std::thread::sleep;
use std::time::Duration;

use robust_shm::SharedValue;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let amount: i64 = argument(1, "amount", 1)?;
    let times: u32 = argument(2, "times", 80)?;
    let pause = Duration::from_millis(argument(3, "pause in ms", 100)?);

    // Whoever comes first creates the account, the others open it. It goes with the last of them.
    let account = SharedValue::open_or_create("robust-shm-example-account", 200i64)?;
    println!("{} account {:?}", if account.was_created() { "opened a new" } else { "joined the" }, account.name());

    for _ in 0..times {
        // Lock, change, commit, unlock. Press ctrl-C at any moment: the other programs go on.
        let balance = account.update(|balance| *balance += amount)?;
        println!("deposited {amount}, balance {balance}");
        sleep(pause);
    }
    Ok(())
}

/// The argument at `position`, or what holds without it.
fn argument<T: FromStr>(position: usize, what: &str, otherwise: T) -> Result<T, String> {
    match std::env::args().nth(position) {
        Some(text) => text.parse().map_err(|_| format!("{what}: expected a number, found {text:?}")),
        None => Ok(otherwise),
    }
}
