//! `event`: tells all who wait.

use robust_shm::SharedEvent;

use crate::arguments::{Action, Event};
use crate::failure::Failure;

pub(crate) fn run(arguments: &Event) -> Result<u8, Failure> {
    let event = SharedEvent::open(&arguments.name)?;
    match arguments.action {
        Action::Set => event.set()?,
        Action::Clear => event.clear()?,
    }
    Ok(0)
}
