//! The native half of the Python package `robust_shm`. What users see is told in the package's README and its stubs.
//!
//! | file | |
//! |---|---|
//! | `value.rs`, `array.rs`, `lock.rs`, `rwlock.rs`, `condition.rs`, `event.rs`, `semaphore.rs` | the classes |
//! | `value/direct.rs` | what a value's block calls, without PyO3 around it (**unsafe**) |
//! | `handle.rs`, `options.rs`, `opener.rs`, `observer.rs`, `segments.rs` | what all of them have, and opening by name |
//! | `section.rs`, `reading.rs` | what `with` enters and leaves |
//! | `codec.rs`, `scratch.rs` | values as Python sees them, and their bytes |
//! | `callback.rs` | Python code that a thread may not come back from (**unsafe**) |
//! | `once.rs` | what is made once, by Python code |
//! | `errors.rs` | the library's errors as exceptions |
//! | `waiting.rs` | waiting without the interpreter, until Ctrl-C |
//! | `thread.rs` | guards, which belong to one thread, in handles, which belong to all (**unsafe**) |
//! | `buffer.rs` | an array's memory as a buffer (**unsafe**) |

// What Python's users read is the stubs.
#![allow(missing_docs, missing_debug_implementations, clippy::needless_pass_by_value)]

mod array;
mod buffer;
mod callback;
mod codec;
mod condition;
mod errors;
mod event;
mod handle;
mod lock;
mod observer;
mod once;
mod opener;
mod options;
mod reading;
mod rwlock;
mod scratch;
mod section;
mod segments;
mod semaphore;
mod thread;
mod value;
mod waiting;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _native {
    use super::*;

    #[pymodule_export]
    use array::Array;
    #[pymodule_export]
    use array::forks::in_child;
    #[pymodule_export]
    use codec::{Record, describe, make};
    #[pymodule_export]
    use condition::Condition;
    #[pymodule_export]
    use event::Event;
    #[pymodule_export]
    use handle::{Handle, reopen};
    #[pymodule_export]
    use lock::Lock;
    #[pymodule_export]
    use observer::{EventObserver, SemaphoreObserver, ValueObserver, observe};
    #[pymodule_export]
    use opener::open;
    #[pymodule_export]
    use rwlock::RwLock;
    #[pymodule_export]
    use section::Section;
    #[pymodule_export]
    use segments::{SegmentInfo, User, gc, info, ls, orphans, remove, unique_name};
    #[pymodule_export]
    use semaphore::{Permit, Semaphore};
    #[pymodule_export]
    use value::{Changes, Value};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        value::direct::install(module.py())?;
        thread::hear_of_forks()?;
        array::forks::hear_of_forks(module)
    }
}
