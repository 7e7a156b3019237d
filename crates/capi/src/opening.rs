//! How each kind of handle is opened: the name, the options, and a place for what comes out.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use robust_shm::Options;

use crate::arguments::{give, text};
use crate::code::rshm_code::RSHM_OK;
use crate::code::{Failure, call};
use crate::options::{self, rshm_options};

/// What C programs have a pointer to.
pub(crate) trait Handle: Sized {
    /// What it leads to.
    type Shared;

    fn options() -> Options<Self::Shared>;

    /// Those options that not all kinds have.
    fn more(options: Options<Self::Shared>, _given: &rshm_options) -> Options<Self::Shared> {
        options
    }

    fn new(shared: Self::Shared) -> Self;
}

/// # Safety
///
/// The caller's, as the header says.
pub(crate) unsafe fn open<H: Handle, E: Into<Failure>>(
    name: *const c_char,
    options: *const rshm_options,
    out: *mut *mut H,
    how: impl FnOnce(Options<H::Shared>, &str) -> Result<H::Shared, E>,
) -> c_int {
    call(|| {
        // SAFETY: the caller's, as the header says.
        let name = unsafe { text(name, "name") }?;
        let mut made = H::options();
        // SAFETY: the caller's, as the header says.
        if let Some(options) = unsafe { options::read(options) }? {
            // SAFETY: the caller's, as the header says.
            made = H::more(unsafe { options.apply(made) }?, options);
        }
        let shared = how(made, name).map_err(Into::into)?;
        // SAFETY: the caller's, as the header says.
        unsafe { give(out, H::new(shared)) }?;
        Ok(RSHM_OK)
    })
}
