//! Room for the bytes of one value: on the stack, for all but the large ones. And room for as many as somebody asks for.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

#[inline]
pub(crate) fn scratch<R>(size: usize, use_: impl FnOnce(&mut [u8]) -> R) -> R {
    const ON_STACK: usize = 64;
    if size <= ON_STACK { use_(&mut [0; ON_STACK][..size]) } else { use_(&mut vec![0; size]) }
}

/// So many zeros. `MemoryError` where there is no room for them: a failed allocation of Rust's would end the interpreter.
pub(crate) fn zeros(len: usize) -> PyResult<Vec<u8>> {
    let mut bytes = room_for(len)?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// An empty vector with room for so many.
pub(crate) fn room_for<T>(count: usize) -> PyResult<Vec<T>> {
    let mut items = Vec::new();
    match items.try_reserve_exact(count) {
        Ok(()) => Ok(items),
        Err(_) => Err(PyMemoryError::new_err(format!("no room for {count} items of {} bytes", size_of::<T>()))),
    }
}
