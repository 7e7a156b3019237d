//! What `with v: v.value += 1` calls, without what PyO3 puts around each call: that took a seventh of such a block.
//!
//! PyO3 knows of a thread that it is attached by a count, which these do not raise. That is for who drops a `Py` or attaches:
//! so whatever might do that, and whatever may fail, wait or call Python code, is done once more, attached as PyO3 has it.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt, PyType};

use super::Value;
use crate::section::leave;
use crate::waiting::Timeout;

const ENTER: &CStr = c"__enter__($self)\n--\n\n";
const EXIT: &CStr = c"__exit__($self, _kind, value, _trace, /)\n--\n\nCommits; an exception discards.";
const VALUE: &CStr =
    c"The value. Inside `with v:` that of the block, which can be assigned; outside the last commit, without waiting.";

/// To be called before there is a value, or a class below `Value`.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    let class = py.get_type::<Value>();
    add_method(&class, c"__enter__", ENTER, ffi::METH_NOARGS, ffi::PyMethodDefPointer { PyCFunction: enter })?;
    add_method(&class, c"__exit__", EXIT, ffi::METH_FASTCALL, ffi::PyMethodDefPointer { PyCFunctionFast: exit })?;
    let value = ffi::PyGetSetDef {
        name: c"value".as_ptr(),
        get: Some(get),
        set: Some(set),
        doc: VALUE.as_ptr(),
        closure: ptr::null_mut(),
    };
    // SAFETY: the type is one, and the definition stays, with functions that want what a descriptor of `Value` gives them.
    let made = unsafe { ffi::PyDescr_NewGetSet(class.as_ptr().cast::<PyTypeObject>(), Box::leak(Box::new(value))) };
    add(&class, c"value", made)
}

fn add_method(
    class: &Bound<'_, PyType>,
    name: &'static CStr,
    doc: &'static CStr,
    flags: c_int,
    function: ffi::PyMethodDefPointer,
) -> PyResult<()> {
    let method = ffi::PyMethodDef { ml_name: name.as_ptr(), ml_meth: function, ml_flags: flags, ml_doc: doc.as_ptr() };
    // SAFETY: as above, and the flags are those of the function.
    let made = unsafe { ffi::PyDescr_NewMethod(class.as_ptr().cast::<PyTypeObject>(), Box::leak(Box::new(method))) };
    add(class, name, made)
}

fn add(class: &Bound<'_, PyType>, name: &CStr, made: *mut PyObject) -> PyResult<()> {
    // SAFETY: a new reference, or null and an exception.
    let made = unsafe { Bound::from_owned_ptr_or_err(class.py(), made) }?;
    class.setattr(name.to_string_lossy().as_ref(), made)
}

/// # Safety
///
/// It is an object of `Value` or of a class below it, the thread is attached, and the object stays while the result is used.
#[inline(always)]
unsafe fn of<'a>(value: *mut PyObject) -> Borrowed<'a, 'a, Value> {
    // SAFETY: the caller's word.
    let py = unsafe { Python::assume_attached() };
    // SAFETY: the caller's word.
    let object = unsafe { Borrowed::from_ptr(py, value) };
    // SAFETY: the caller's word.
    unsafe { object.cast_unchecked::<Value>() }
}

/// What `action` returns, or else `failed` and an exception.
#[cold]
fn attached<R>(failed: R, action: impl FnOnce(Python<'_>) -> PyResult<R>) -> R {
    Python::attach(|py| {
        let done = catch_unwind(AssertUnwindSafe(|| action(py))).unwrap_or_else(|panic| Err(panicked(&*panic)));
        done.unwrap_or_else(|error| {
            error.restore(py);
            failed
        })
    })
}

/// The same without that, until something panics: a panic must not come to the interpreter, which would abort.
#[inline(always)]
fn sheltered<R: Copy>(failed: R, action: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|panic| attached(failed, |_| Err(panicked(&*panic))))
}

fn panicked(panic: &(dyn Any + Send)) -> PyErr {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    PanicException::new_err((text.unwrap_or("panic from Rust code").to_owned(),))
}

unsafe extern "C" fn enter(slf: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: a method's descriptor has checked the class, and whoever calls keeps it.
    let value = unsafe { of(slf) };
    sheltered(ptr::null_mut(), || {
        if value.get().enter_at_once() {
            return value.to_owned().into_ptr();
        }
        attached(ptr::null_mut(), |py| {
            value.get().enter(py, Timeout::FOREVER)?;
            Ok(value.to_owned().into_ptr())
        })
    })
}

unsafe extern "C" fn exit(slf: *mut PyObject, arguments: *mut *mut PyObject, count: ffi::Py_ssize_t) -> *mut PyObject {
    // SAFETY: a method's descriptor has checked the class, and whoever calls keeps it.
    let value = unsafe { of(slf) };
    sheltered(ptr::null_mut(), || {
        let py = value.py();
        if count != 3 {
            return attached(ptr::null_mut(), |_| {
                Err(PyTypeError::new_err(format!("Value.__exit__() takes 3 positional arguments, found {count}")))
            });
        }
        // SAFETY: there are three.
        let exception = unsafe { arguments.add(1) };
        // SAFETY: as above.
        let exception = unsafe { exception.read() };
        // SAFETY: an argument is an object, and the caller's until this returns.
        let exception = unsafe { Borrowed::from_ptr(py, exception) };
        if exception.is_none() && value.get().held.is_mine() {
            return match value.get().leave(py, false) {
                Ok(()) => py.None().into_ptr(),
                Err(error) => attached(ptr::null_mut(), |_| Err(error)),
            };
        }
        attached(ptr::null_mut(), |py| {
            leave(&exception, |exception| value.get().leave(py, exception.is_some()))?;
            Ok(py.None().into_ptr())
        })
    })
}

unsafe extern "C" fn get(slf: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: a descriptor has checked the class, and whoever calls keeps it.
    let value = unsafe { of(slf) };
    sheltered(ptr::null_mut(), || {
        if value.get().is_number()
            && let Ok(number) = value.get().value(value.py())
        {
            return number.into_ptr();
        }
        attached(ptr::null_mut(), |py| value.get().value(py).map(Bound::into_ptr))
    })
}

unsafe extern "C" fn set(slf: *mut PyObject, new: *mut PyObject, _: *mut c_void) -> c_int {
    // SAFETY: a descriptor has checked the class, and whoever calls keeps it.
    let value = unsafe { of(slf) };
    sheltered(-1, || {
        if new.is_null() {
            return attached(-1, |_| Err(PyAttributeError::new_err("can't delete attribute")));
        }
        // SAFETY: not null, it is an object, and the caller's until this returns.
        let new = unsafe { Borrowed::from_ptr(value.py(), new) };
        let is_plain = new.is_exact_instance_of::<PyInt>() || new.is_exact_instance_of::<PyFloat>();
        if is_plain && value.get().is_number() && value.get().held.is_mine() && value.get().assign(&new).is_ok() {
            return 0;
        }
        attached(-1, |_| value.get().assign(&new).map(|()| 0))
    })
}
