//! The other program that shares the account with `deposit`. It never takes what is not there.
//!
//! `cargo run --release --example withdraw [times] [amount]`

use std::thread::sleep;
use std::time::Duration;

use robust_shm::SharedValue;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let times: u32 = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let amount: i64 = arguments.next().map_or(Ok(1), |text| text.parse())?;

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
            Err(error) => println!("could not withdraw {amount}: {error}"),
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}
