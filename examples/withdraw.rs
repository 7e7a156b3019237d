//! The other program that shares the account with `deposit`. It never takes what is not there.
//!
//! `cargo run --release --example withdraw [amount] [times] [pause in ms]`

use std::str::FromStr;
use std::thread::sleep;
use std::time::Duration;

use robust_shm::{LockError, SharedValue};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let amount: i64 = argument(1, "amount", 1)?;
    let times: u32 = argument(2, "times", 80)?;
    let pause = Duration::from_millis(argument(3, "pause in ms", 100)?);

    // The same name and the same type as in `deposit`. With another type, this would be an error that shows both.
    let account = SharedValue::open_or_create("robust-shm-example-account", 200i64)?;
    println!("{} account {:?}", if account.was_created() { "opened a new" } else { "joined the" }, account.name());

    for _ in 0..times {
        // An `Err` from the closure rolls back: the balance stays as it was.
        let result = account.try_update(|balance| -> Result<i64, Error> {
            *balance -= amount;
            if *balance < 0 { Err("not enough money".into()) } else { Ok(*balance) }
        });
        match result {
            Ok(balance) => println!("withdrew {amount}, balance {balance}"),
            Err(error) if error.is::<LockError>() => return Err(error),
            Err(refused) => println!("could not withdraw {amount}: {refused}"),
        }
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
