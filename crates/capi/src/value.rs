//! Values.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};

use robust_shm::Options;
use robust_shm::dynamic::{DynValue, DynValueHold, Schema};

use crate::arguments::{RSHM_FOREVER, bytes, bytes_mut, handle, optional_text, take_back, within};
use crate::code::rshm_code::{RSHM_OK, RSHM_TIMED_OUT};
use crate::code::{Failure, call};
use crate::held::{Held, for_guards};
use crate::opening::{Handle, open};
use crate::options::rshm_options;

/// A value that is never torn, whoever is killed, and its lock.
pub struct rshm_value {
    value: DynValue,
    held: Held<DynValueHold<&'static DynValue>>,
    schema: Option<CString>,
}

impl Drop for rshm_value {
    fn drop(&mut self) {
        drop(self.held.take());
    }
}

impl Handle for rshm_value {
    type Shared = DynValue;

    fn options() -> Options<DynValue> {
        DynValue::options()
    }

    fn new(value: DynValue) -> Self {
        let schema = schema_text(value.schema());
        Self { value, held: Held::nothing(), schema }
    }
}

pub(crate) fn schema_text(schema: Option<&Schema>) -> Option<CString> {
    schema.and_then(|schema| CString::new(schema.to_string()).ok())
}

/// # Safety
///
/// It is null, or a string.
pub(crate) unsafe fn parsed(schema: *const c_char) -> Result<Option<Schema>, Failure> {
    // SAFETY: the caller's.
    let text = unsafe { optional_text(schema, "schema") }?;
    text.map(Schema::parse).transpose().map_err(Failure::invalid)
}

/// # Safety
///
/// It is null, or a string.
pub(crate) unsafe fn needed(schema: *const c_char) -> Result<Schema, Failure> {
    // SAFETY: the caller's.
    unsafe { parsed(schema) }?.ok_or_else(|| Failure::invalid("the schema is a null pointer"))
}

/// The schema, and a value that fits it.
///
/// # Safety
///
/// They are null, or a string, and so many bytes.
unsafe fn described<'a>(
    schema: *const c_char,
    initial: *const c_void,
    size: usize,
) -> Result<(Schema, &'a [u8]), Failure> {
    // SAFETY: the caller's.
    let schema = unsafe { needed(schema) }?;
    if schema.size() != size {
        let message = format_args!("{schema} has {} bytes, and the size is {size}: is there a gap?", schema.size());
        return Err(Failure::invalid(message));
    }
    // SAFETY: the caller's.
    Ok((schema, unsafe { bytes(initial, size) }?))
}

/// Creates a value of `size` bytes, which are what the schema says: `"i64"`, `"Point{x:f64,y:f64}"`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_create(
    name: *const c_char,
    schema: *const c_char,
    initial: *const c_void,
    size: usize,
    options: *const rshm_options,
    out: *mut *mut rshm_value,
) -> c_int {
    let how = |options: Options<DynValue>, name: &str| -> Result<DynValue, Failure> {
        // SAFETY: the caller's, as the header says.
        let (schema, initial) = unsafe { described(schema, initial, size) }?;
        Ok(options.create(name, &schema, initial)?)
    };
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, how) }
}

/// Opens a value that there is. A null pointer for the schema: of any type; else one that agrees.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_open(
    name: *const c_char,
    schema: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_value,
) -> c_int {
    let how = |options: Options<DynValue>, name: &str| -> Result<DynValue, Failure> {
        // SAFETY: the caller's, as the header says.
        let schema = unsafe { parsed(schema) }?;
        Ok(match schema {
            Some(schema) => options.open_as(name, &schema)?,
            None => options.open(name)?,
        })
    };
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, how) }
}

/// Opens the value that there is, if its schema agrees, or creates it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_open_or_create(
    name: *const c_char,
    schema: *const c_char,
    initial: *const c_void,
    size: usize,
    options: *const rshm_options,
    out: *mut *mut rshm_value,
) -> c_int {
    let how = |options: Options<DynValue>, name: &str| -> Result<DynValue, Failure> {
        // SAFETY: the caller's, as the header says.
        let (schema, initial) = unsafe { described(schema, initial, size) }?;
        Ok(options.open_or_create(name, &schema, initial)?)
    };
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, how) }
}

/// Closes the handle, which may be a null pointer. If this thread holds the lock, nothing is committed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_close(value: *mut rshm_value) {
    call(|| {
        // SAFETY: the caller's, as the header says.
        drop(unsafe { take_back(value) });
        Ok(RSHM_OK)
    });
}

impl rshm_value {
    #[inline]
    fn check(&self, size: usize) -> Result<(), Failure> {
        if self.value.size() == size { Ok(()) } else { Err(self.wrong_size(size)) }
    }

    #[cold]
    fn wrong_size(&self, size: usize) -> Failure {
        Failure::invalid(format_args!("the value has {} bytes, not {size}", self.value.size()))
    }
}

/// Copies the last commit; takes no lock, and never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_get(value: *const rshm_value, out: *mut c_void, size: usize) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(value) }?;
        this.check(size)?;
        // SAFETY: the caller's, as the header says.
        this.value.get(unsafe { bytes_mut(out, size) }?);
        Ok(RSHM_OK)
    })
}

/// Takes the lock, commits these bytes, gives it back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_set(value: *const rshm_value, new: *const c_void, size: usize) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(value) }?;
        this.check(size)?;
        // SAFETY: the caller's, as the header says.
        this.value.set(unsafe { bytes(new, size) }?)?;
        Ok(RSHM_OK)
    })
}

/// How often a new value has been committed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_commits(value: *const rshm_value) -> u64 {
    // SAFETY: the caller's, as the header says.
    unsafe { value.as_ref() }.map_or(0, |this| this.value.commits())
}

/// Waits until there is a commit after number `*seen`, copies it, and writes its number there. Begin with 0, or with what
/// `rshm_value_commits` says. `RSHM_TIMED_OUT`: there was none, and nothing is copied.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_wait_newer(
    value: *const rshm_value,
    seen: *mut u64,
    timeout_ns: u64,
    out: *mut c_void,
    size: usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(value) }?;
        this.check(size)?;
        // SAFETY: the caller's, as the header says.
        let seen = unsafe { seen.as_mut() }.ok_or_else(|| Failure::invalid("`seen` is a null pointer"))?;
        // SAFETY: the caller's, as the header says.
        let out = unsafe { bytes_mut(out, size) }?;
        match timeout_ns {
            RSHM_FOREVER => this.value.wait_newer(seen, out)?,
            0 if this.value.get_if_changed(seen, out) => {}
            0 => return Err(Failure { code: RSHM_TIMED_OUT, message: "there was no commit since".into() }),
            nanos => this.value.wait_newer_for(seen, out, std::time::Duration::from_nanos(nanos))?,
        }
        Ok(RSHM_OK)
    })
}

/// Takes the lock, and copies the value: change the copy, and commit it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_lock(
    value: *const rshm_value,
    timeout_ns: u64,
    copy: *mut c_void,
    size: usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(value) }?;
        this.check(size)?;
        // SAFETY: the caller's, as the header says.
        let copy = unsafe { bytes_mut(copy, size) }?;
        // SAFETY: `give` has made it, and its guards stand beside it.
        let value = unsafe { for_guards(&this.value) };
        let hold = within(timeout_ns, || value.hold(), || value.try_hold(), |most| value.try_hold_for(most))?;
        hold.read(copy);
        this.held.put(hold);
        Ok(RSHM_OK)
    })
}

/// Commits these bytes, and gives the lock back. `RSHM_INVALID_VALUE`: the schema does not allow them, a `bool` of 7 for
/// example; the lock stays held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_commit(value: *const rshm_value, copy: *const c_void, size: usize) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(value) }?;
        this.check(size)?;
        // SAFETY: the caller's, as the header says.
        let copy = unsafe { bytes(copy, size) }?;
        let hold = this.held.take().ok_or_else(|| Failure::not_held("the lock"))?;
        match DynValueHold::commit(hold, copy) {
            Ok(()) => Ok(RSHM_OK),
            Err((hold, error)) => {
                this.held.put(hold);
                Err(error.into())
            }
        }
    })
}

/// Gives the lock back, and commits nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_discard(value: *const rshm_value) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let hold = unsafe { handle(value) }?.held.take();
        drop(hold.ok_or_else(|| Failure::not_held("the lock"))?);
        Ok(RSHM_OK)
    })
}

/// In bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_size(value: *const rshm_value) -> usize {
    // SAFETY: the caller's, as the header says.
    unsafe { value.as_ref() }.map_or(0, |this| this.value.size())
}

/// What the value is made of; a null pointer if nobody has said. It is valid until the handle is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_value_schema(value: *const rshm_value) -> *const c_char {
    // SAFETY: the caller's, as the header says.
    let schema = unsafe { value.as_ref() }.and_then(|this| this.schema.as_ref());
    schema.map_or(std::ptr::null(), |schema| schema.as_ptr())
}
