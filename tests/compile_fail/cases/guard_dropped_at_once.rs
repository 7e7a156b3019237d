#![deny(unused_must_use)]

use robust_shm::{Error, SharedLock};

fn main() -> Result<(), Error> {
    let lock = SharedLock::create("name")?;
    lock.lock()?;
    lock.lock();
    Ok(())
}
