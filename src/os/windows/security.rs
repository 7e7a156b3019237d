//! What the system keeps of an open file: whose it is, and who may open it.

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_FILE_OBJECT};
use windows_sys::Win32::Security::{
    ACL, DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID,
};

/// A copy, into which both pointers lead.
pub(super) struct Security {
    descriptor: PSECURITY_DESCRIPTOR,
    /// A valid identifier, or null.
    pub(super) owner: PSID,
    /// A valid list, or null: everybody may do everything.
    pub(super) list: *const ACL,
}

impl Security {
    /// Of what is open by a handle that may ask for that.
    pub(super) fn of(file: HANDLE) -> io::Result<Self> {
        let (mut owner, mut list, mut descriptor) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let asked = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
        // SAFETY: the pointers are to room for pointers, or null where nothing is asked for.
        let error = unsafe {
            GetSecurityInfo(
                file,
                SE_FILE_OBJECT,
                asked,
                &raw mut owner,
                ptr::null_mut(),
                &raw mut list,
                ptr::null_mut(),
                &raw mut descriptor,
            )
        };
        if error == 0 {
            Ok(Self { descriptor, owner, list })
        } else {
            Err(io::Error::from_raw_os_error(error.cast_signed()))
        }
    }
}

impl Drop for Security {
    fn drop(&mut self) {
        // SAFETY: allocated by the call that made it, and not used any more.
        unsafe { LocalFree(self.descriptor) };
    }
}
