//! What a C program passes: strings, bytes, handles, times.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use robust_shm::LockError;

use crate::code::Failure;

/// Wait for as long as it takes.
pub const RSHM_FOREVER: u64 = u64::MAX;

/// # Safety
///
/// It is null, or a string that ends with a zero and stays what it is for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    // SAFETY: the caller's.
    let text = unsafe { optional_text(text, what) }?;
    text.ok_or_else(|| Failure::invalid(format_args!("the {what} is a null pointer")))
}

/// # Safety
///
/// As of [`text`].
pub(crate) unsafe fn optional_text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| Failure::invalid(format_args!("the {what} is not UTF-8: {text:?}")))
}

/// # Safety
///
/// It is null, or so many bytes can be read there for `'a`.
pub(crate) unsafe fn bytes<'a>(bytes: *const c_void, size: usize) -> Result<&'a [u8], Failure> {
    if bytes.is_null() {
        return Err(Failure::invalid("where to read is a null pointer"));
    }
    // SAFETY: the caller's.
    Ok(unsafe { std::slice::from_raw_parts(bytes.cast(), size) })
}

/// # Safety
///
/// It is null, or so many bytes can be written there for `'a`, and nobody else looks at them.
pub(crate) unsafe fn bytes_mut<'a>(bytes: *mut c_void, size: usize) -> Result<&'a mut [u8], Failure> {
    if bytes.is_null() {
        return Err(Failure::invalid("where to write is a null pointer"));
    }
    // SAFETY: the caller's.
    Ok(unsafe { std::slice::from_raw_parts_mut(bytes.cast(), size) })
}

/// # Safety
///
/// It is null, or a `T` that lives for `'a`.
pub(crate) unsafe fn handle<'a, T>(handle: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::invalid("the handle is a null pointer"))
}

/// Where something is to be written, if anywhere.
///
/// # Safety
///
/// It is null, or a `T` can be written there.
pub(crate) unsafe fn write<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller's.
        unsafe { to.write(value) }
    }
}

/// A new handle, for the caller to close.
///
/// # Safety
///
/// It is null, or a pointer can be written there.
pub(crate) unsafe fn give<T>(to: *mut *mut T, handle: T) -> Result<(), Failure> {
    if to.is_null() {
        return Err(Failure::invalid("where to put the handle is a null pointer"));
    }
    // SAFETY: the caller's.
    unsafe { to.write(Box::into_raw(Box::new(handle))) };
    Ok(())
}

/// A handle that [`give`] has given, or null.
///
/// # Safety
///
/// Nobody uses it any more.
pub(crate) unsafe fn take_back<T>(handle: *mut T) -> Option<Box<T>> {
    // SAFETY: from `give`, and the caller's last.
    (!handle.is_null()).then(|| unsafe { Box::from_raw(handle) })
}

/// The form that fits the time: 0 does not wait.
#[inline]
pub(crate) fn within<G>(
    timeout_ns: u64,
    wait: impl FnOnce() -> Result<G, LockError>,
    wait_not: impl FnOnce() -> Result<G, LockError>,
    wait_for: impl FnOnce(Duration) -> Result<G, LockError>,
) -> Result<G, LockError> {
    match timeout_ns {
        RSHM_FOREVER => wait(),
        0 => wait_not(),
        nanos => wait_for(Duration::from_nanos(nanos)),
    }
}
