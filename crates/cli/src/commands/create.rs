//! `create`: a segment that stays.

use robust_shm::{SharedEvent, SharedLock, SharedRwLock, SharedSemaphore};

use crate::arguments::Create;
use crate::failure::{Failure, USAGE};

pub(crate) fn run(arguments: &Create) -> Result<u8, Failure> {
    let Create { name, kind, value } = arguments;
    let usage = |sentence: &str| Err(Failure::new(USAGE, sentence));
    match (&**kind, value) {
        // Persistent: else it would go with this process.
        ("lock", None) => drop(SharedLock::options().persistent(true).create(name)?),
        ("rwlock", None) => drop(SharedRwLock::options().persistent(true).create(name)?),
        ("event", None) => drop(SharedEvent::options().persistent(true).create(name)?),
        ("semaphore", Some(permits)) => match permits.parse() {
            Ok(permits) => drop(SharedSemaphore::options().persistent(true).create(name, permits)?),
            Err(_) => return usage("a semaphore has a number of permits: robust-shm create NAME semaphore 4"),
        },
        ("semaphore", None) => return usage("say how many permits: robust-shm create NAME semaphore 4"),
        ("lock" | "rwlock" | "event", Some(_)) => return usage("locks and events have no value"),
        _ => return usage("there are lock, rwlock, event and semaphore"),
    }
    Ok(0)
}
