//! What is made once, by Python code.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// What is in the cell, or `make` puts there. While that runs nobody waits for the cell: its Python code may come back here, a
/// finalizer's or a signal handler's, and would wait for itself. So it may be made more than once; the first one stays.
#[inline]
pub(crate) fn once<'a, T>(
    cell: &'a PyOnceLock<T>,
    py: Python<'_>,
    make: impl FnOnce() -> PyResult<T>,
) -> PyResult<&'a T> {
    if let Some(it) = cell.get(py) {
        return Ok(it);
    }
    let made = make()?;
    Ok(cell.get_or_init(py, || made))
}
