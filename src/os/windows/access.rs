//! Who may open what this process makes, in the system's own words.

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;

use super::handle::{done, wide};
use super::owner;

/// Attributes for a call that makes something.
pub(super) struct Access(SECURITY_ATTRIBUTES);

// SAFETY: points to a descriptor of its own, which nobody changes.
unsafe impl Send for Access {}
// SAFETY: as above.
unsafe impl Sync for Access {}

impl Access {
    /// For this user, and for what else these entries name, in the language of security descriptors; `{user}` in them is the
    /// user. Protected: what stands above adds nobody.
    pub(super) fn of(entries: &str) -> io::Result<Self> {
        let user =
            owner::own_sid().ok_or_else(|| io::Error::other("Windows does not say which user this process is"))?;
        let text = format!("D:P{}", entries.replace("{user}", &user.text()));
        let mut descriptor = ptr::null_mut();
        // SAFETY: a text that ends with a NUL, room for a pointer, and no wish to know a length.
        done(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                wide(text.as_ref()).as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Self(SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor,
            bInheritHandle: 0,
        }))
    }

    pub(super) fn attributes(&self) -> *const SECURITY_ATTRIBUTES {
        &raw const self.0
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        // SAFETY: allocated by the call that made it, and not used any more.
        unsafe { LocalFree(self.0.lpSecurityDescriptor) };
    }
}
