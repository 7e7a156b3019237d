//! Handles of kernel objects, closed in the end.

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};

use windows_sys::Win32::Foundation::HANDLE;

/// A kernel object that is open.
#[derive(Debug)]
pub(super) struct Handle(OwnedHandle);

impl Handle {
    /// What a call has answered that says "none" by a null pointer.
    ///
    /// # Safety
    ///
    /// A handle that is nobody's yet, and that `CloseHandle` closes, or null.
    pub(super) unsafe fn or_last_error(handle: HANDLE) -> io::Result<Self> {
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: by the contract of this function.
        Ok(Self(unsafe { OwnedHandle::from_raw_handle(handle) }))
    }

    pub(super) fn raw(&self) -> HANDLE {
        self.0.as_raw_handle()
    }
}

/// The end of a call that answers "no" by 0.
pub(super) fn done(answer: i32) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A text for a call, which wants it to end with a NUL.
pub(super) fn wide(text: &std::ffi::OsStr) -> Vec<u16> {
    use std::os::windows::ffi::OsStrExt;
    text.encode_wide().chain([0]).collect()
}
