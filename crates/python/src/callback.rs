//! Calling Python code that this thread may never come back from.
//!
//! A daemon thread that runs Python code when the interpreter ends is ended amid it: before CPython 3.14 by `pthread_exit`, which
//! unwinds through whatever has called that code. Rust would abort the program for it. So the thread stays where it is, as it
//! does from 3.14 on: the process is about to end, and the kernel gives back what the thread has locked.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::hint::black_box;
use std::{mem, ptr, thread};

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

// PyO3's declarations say that these never unwind, and an optimizer that sees both takes its word: so they are called by
// addresses that it does not see through.
unsafe extern "C-unwind" {
    fn PyObject_Call(callable: *mut PyObject, arguments: *mut PyObject, keywords: *mut PyObject) -> *mut PyObject;
    fn PyObject_IsTrue(object: *mut PyObject) -> c_int;
}

type Call = unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;
type Ask = unsafe extern "C-unwind" fn(*mut PyObject) -> c_int;

/// Dropped by who unwinds, it never returns.
struct Stay;

impl Drop for Stay {
    fn drop(&mut self) {
        loop {
            thread::park();
        }
    }
}

/// `callable(*arguments)`.
pub(crate) fn call<'py>(
    callable: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = arguments.into_pyobject(callable.py()).map_err(Into::into)?;
    let call = black_box(PyObject_Call as Call);
    let stay = Stay;
    // SAFETY: both are objects, the second is a tuple, and this thread is attached, as it has them; no keywords are null.
    let returned = unsafe { call(callable.as_ptr(), arguments.as_ptr(), ptr::null_mut()) };
    mem::forget(stay);
    // SAFETY: a new reference, or null and an exception: which this makes of it.
    unsafe { Bound::from_owned_ptr_or_err(callable.py(), returned) }
}

/// `bool(object)`.
pub(crate) fn is_true(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let ask = black_box(PyObject_IsTrue as Ask);
    let stay = Stay;
    // SAFETY: it is an object, and this thread is attached, as it has it.
    let is_true = unsafe { ask(object.as_ptr()) };
    mem::forget(stay);
    if is_true < 0 { Err(PyErr::fetch(object.py())) } else { Ok(is_true > 0) }
}
