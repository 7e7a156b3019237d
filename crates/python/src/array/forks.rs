//! In a forked child, what its parent was about to write to is not the child's: it has not got the lock.
//!
//! In Rust, though it is about Python's objects: a thread that runs Python code when the interpreter ends is ended amid it, and
//! unwinding through what has called that is no good end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyWeakrefMethods, PyWeakrefReference};

use super::Array;

/// Arrays that have given away memory that can be written to, at least while their locks are held.
static NOTED: Mutex<Vec<Py<PyWeakrefReference>>> = Mutex::new(Vec::new());

/// Is this one among them?
#[derive(Default)]
pub(super) struct Noted(AtomicBool);

fn taken() -> Vec<Py<PyWeakrefReference>> {
    std::mem::take(&mut *NOTED.lock().unwrap_or_else(PoisonError::into_inner))
}

fn give_back(arrays: Vec<Py<PyWeakrefReference>>) {
    NOTED.lock().unwrap_or_else(PoisonError::into_inner).extend(arrays);
}

/// Once for each array is enough.
pub(super) fn note(of: &Bound<'_, Array>) -> PyResult<()> {
    if of.get().noted.0.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let (py, mut arrays) = (of.py(), taken());
    if arrays.len() == arrays.capacity() {
        // As often as the list would grow.
        arrays.retain(|array| array.bind(py).upgrade().is_some());
        arrays.reserve(arrays.len() + 1);
    }
    arrays.push(PyWeakrefReference::new(of)?.unbind());
    give_back(arrays);
    Ok(())
}

/// To be called in every forked child.
#[pyfunction]
#[pyo3(name = "_in_child")]
pub(crate) fn in_child(py: Python<'_>) -> PyResult<()> {
    let arrays = taken();
    let done = arrays.iter().filter_map(|array| array.bind(py).upgrade()).try_for_each(|array| {
        let array = array.cast::<Array>()?.get();
        array.views.forget(py);
        array.numpy.freeze(py)
    });
    give_back(arrays);
    done
}

/// Once for the interpreter.
pub(crate) fn hear_of_forks(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let keywords = PyDict::new(module.py());
    keywords.set_item("after_in_child", module.getattr("_in_child")?)?;
    module.py().import("os")?.call_method("register_at_fork", (), Some(&keywords)).map(drop)
}
