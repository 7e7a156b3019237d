#![deny(unused_must_use)]

use robust_shm::{Error, SharedValue};

fn main() -> Result<(), Error> {
    SharedValue::create("name", 1)?;
    SharedValue::create("name", 1);
    Ok(())
}
