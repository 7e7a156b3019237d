//! Arrays.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_uint, c_void};

use robust_shm::Options;
use robust_shm::dynamic::{DynSlice, DynSliceGuard, DynSliceReadGuard};

use crate::arguments::{handle, take_back, within, write};
use crate::code::rshm_code::{RSHM_OK, RSHM_OWNER_DIED, RSHM_WOULD_DEADLOCK};
use crate::code::{Failure, call};
use crate::held::{Held, HeldByMany, for_guards};
use crate::lock::RSHM_EVEN_POISONED;
use crate::opening::{Handle, open};
use crate::options::rshm_options;
use crate::value::{needed, parsed, schema_text};

/// Elements that are changed in place, under their lock. It is poisoned when a holder dies.
pub struct rshm_array {
    array: DynSlice,
    pub(crate) held: Held<DynSliceGuard<&'static DynSlice>>,
    readers: HeldByMany<DynSliceReadGuard<&'static DynSlice>>,
    schema: Option<CString>,
}

impl Drop for rshm_array {
    fn drop(&mut self) {
        drop(self.held.take());
        self.readers.close();
    }
}

impl Handle for rshm_array {
    type Shared = DynSlice;

    fn options() -> Options<DynSlice> {
        DynSlice::options()
    }

    fn more(mut options: Options<DynSlice>, given: &rshm_options) -> Options<DynSlice> {
        if let Some(poison) = given.poison() {
            options = options.poison(poison);
        }
        if let Some(readers) = given.readers() {
            options = options.readers(readers);
        }
        options
    }

    fn new(array: DynSlice) -> Self {
        let schema = schema_text(array.schema());
        Self { array, held: Held::nothing(), readers: HeldByMany::nothing(), schema }
    }
}

/// Creates an array of `len` elements, which are zero, and of which each is what the schema says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_create(
    name: *const c_char,
    schema: *const c_char,
    len: usize,
    options: *const rshm_options,
    out: *mut *mut rshm_array,
) -> c_int {
    let how = |options: Options<DynSlice>, name: &str| -> Result<DynSlice, Failure> {
        // SAFETY: the caller's, as the header says.
        let schema = unsafe { needed(schema) }?;
        Ok(options.create(name, &schema, len)?)
    };
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, how) }
}

/// Opens an array that there is, of any length. A null pointer for the schema: of any type; else one that agrees.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_open(
    name: *const c_char,
    schema: *const c_char,
    options: *const rshm_options,
    out: *mut *mut rshm_array,
) -> c_int {
    let how = |options: Options<DynSlice>, name: &str| -> Result<DynSlice, Failure> {
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

/// Opens the array that there is, if it has this length and its schema agrees, or creates it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_open_or_create(
    name: *const c_char,
    schema: *const c_char,
    len: usize,
    options: *const rshm_options,
    out: *mut *mut rshm_array,
) -> c_int {
    let how = |options: Options<DynSlice>, name: &str| -> Result<DynSlice, Failure> {
        // SAFETY: the caller's, as the header says.
        let schema = unsafe { needed(schema) }?;
        Ok(options.open_or_create(name, &schema, len)?)
    };
    // SAFETY: the caller's, as the header says.
    unsafe { open(name, options, out, how) }
}

/// Closes the handle, which may be a null pointer. What this thread holds is given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_close(array: *mut rshm_array) {
    call(|| {
        // SAFETY: the caller's, as the header says.
        drop(unsafe { take_back(array) });
        Ok(RSHM_OK)
    });
}

/// Takes the lock. `*data` is then where the elements are, `*len` how many, until `rshm_array_unlock`. `flags` is 0 or
/// `RSHM_EVEN_POISONED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_lock(
    array: *const rshm_array,
    timeout_ns: u64,
    flags: c_uint,
    data: *mut *mut c_void,
    len: *mut usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(array) }?;
        // SAFETY: `give` has made it, and its guards stand beside it.
        let array = unsafe { for_guards(&this.array) };
        let mut guard = if flags & RSHM_EVEN_POISONED == 0 {
            within(timeout_ns, || array.lock(), || array.try_lock(), |most| array.try_lock_for(most))
        } else {
            let wait_for = |most| array.try_lock_ignoring_poison_for(most);
            within(timeout_ns, || array.lock_ignoring_poison(), || array.try_lock_ignoring_poison(), wait_for)
        }?;
        let is_poisoned = flags & RSHM_EVEN_POISONED != 0 && DynSliceGuard::is_poisoned(&guard);
        // SAFETY: the caller's, as the header says.
        unsafe { write(data, guard.as_mut_ptr().cast()) };
        // SAFETY: the caller's, as the header says.
        unsafe { write(len, array.len()) };
        this.held.put(guard);
        Ok(if is_poisoned { RSHM_OWNER_DIED } else { RSHM_OK })
    })
}

/// Gives back what `rshm_array_lock` has taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_unlock(array: *const rshm_array) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let guard = unsafe { handle(array) }?.held.take();
        drop(guard.ok_or_else(|| Failure::not_held("the lock"))?);
        Ok(RSHM_OK)
    })
}

/// Reads in place, beside other readers: once in each thread through one handle. `*data` is then where the elements are, `*len`
/// how many, until `rshm_array_read_unlock`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_read(
    array: *const rshm_array,
    timeout_ns: u64,
    data: *mut *const c_void,
    len: *mut usize,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let this = unsafe { handle(array) }?;
        if this.readers.has(0) {
            let message = "this thread reads already".into();
            return Err(Failure { code: RSHM_WOULD_DEADLOCK, message });
        }
        // SAFETY: `give` has made it, and its guards stand beside it.
        let array = unsafe { for_guards(&this.array) };
        let guard = within(timeout_ns, || array.read(), || array.try_read(), |most| array.try_read_for(most))?;
        // SAFETY: the caller's, as the header says.
        unsafe { write(data, guard.as_ptr().cast()) };
        // SAFETY: the caller's, as the header says.
        unsafe { write(len, array.len()) };
        this.readers.put(0, guard);
        Ok(RSHM_OK)
    })
}

/// Gives back what `rshm_array_read` has taken.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_read_unlock(array: *const rshm_array) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let guard = unsafe { handle(array) }?.readers.take(0);
        drop(guard.ok_or_else(|| Failure::not_held("the lock for reading"))?);
        Ok(RSHM_OK)
    })
}

/// Says that the elements are in order again: for who holds the lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_clear_poison(array: *const rshm_array) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let cleared = unsafe { handle(array) }?.held.with(DynSliceGuard::clear_poison);
        cleared.ok_or_else(|| Failure::not_held("the lock"))?;
        Ok(RSHM_OK)
    })
}

/// 1: a holder died amid its changes, and nobody has repaired since; 0: no.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_is_poisoned(array: *const rshm_array) -> c_int {
    // SAFETY: the caller's, as the header says.
    unsafe { array.as_ref() }.is_some_and(|this| this.array.is_poisoned()).into()
}

/// How many elements there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_len(array: *const rshm_array) -> usize {
    // SAFETY: the caller's, as the header says.
    unsafe { array.as_ref() }.map_or(0, |this| this.array.len())
}

/// How large each of them is, in bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_element_size(array: *const rshm_array) -> usize {
    // SAFETY: the caller's, as the header says.
    unsafe { array.as_ref() }.map_or(0, |this| this.array.element_size())
}

/// What each element is made of; a null pointer if nobody has said. It is valid until the handle is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rshm_array_schema(array: *const rshm_array) -> *const c_char {
    // SAFETY: the caller's, as the header says.
    let schema = unsafe { array.as_ref() }.and_then(|this| this.schema.as_ref());
    schema.map_or(std::ptr::null(), |schema| schema.as_ptr())
}

impl rshm_array {
    pub(crate) fn array(&self) -> &DynSlice {
        &self.array
    }
}
