//! Who may open what this process makes, or finds, in the system's own words.

use std::io;
use std::ptr;

use windows_sys::Win32::Foundation::{HANDLE, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::{ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, GetAce, SECURITY_ATTRIBUTES};
use windows_sys::Win32::System::SystemServices::{
    ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE, ACCESS_DENIED_CALLBACK_ACE_TYPE,
    ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE, ACCESS_DENIED_OBJECT_ACE_TYPE,
};

use super::handle::{done, wide};
use super::owner::{self, Sid};
use super::security::Security;

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

/// Whoever may do all that the user may anyhow: the system, administrators, and what stands for a file's owner.
const NO_STRANGERS: [&str; 4] = ["S-1-5-18", "S-1-5-32-544", "S-1-3-0", "S-1-3-4"];

/// Somebody else than this user to whom what is open, or what is made in it, gives access of whatever kind: how the system
/// calls him. The handle must be one that may ask for that.
pub(super) fn stranger_to(file: HANDLE) -> io::Result<Option<String>> {
    let security = Security::of(file)?;
    // SAFETY: of what is asked there, valid or null.
    unsafe { stranger_in(security.list) }
}

/// # Safety
///
/// The list must be a valid one, or none.
unsafe fn stranger_in(list: *const ACL) -> io::Result<Option<String>> {
    if list.is_null() {
        return Ok(Some("everybody".to_owned()));
    }
    // SAFETY: by the contract of this function.
    let count = unsafe { (*list).AceCount };
    for index in 0..u32::from(count) {
        let mut entry = ptr::null_mut();
        // SAFETY: the list is valid, and the pointer is to room for a pointer.
        done(unsafe { GetAce(list, index, &raw mut entry) })?;
        // SAFETY: each entry begins so.
        let kind = unsafe { (*entry.cast::<ACE_HEADER>()).AceType };
        match kind.into() {
            ACCESS_ALLOWED_ACE_TYPE => {}
            ACCESS_DENIED_ACE_TYPE
            | ACCESS_DENIED_OBJECT_ACE_TYPE
            | ACCESS_DENIED_CALLBACK_ACE_TYPE
            | ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE => continue,
            // Whom it is for stands elsewhere in it.
            _ => return Ok(Some(format!("whoever is meant by an entry of type {kind}"))),
        }
        // SAFETY: an entry of this type is such a structure.
        let sid = unsafe { &raw mut (*entry.cast::<ACCESS_ALLOWED_ACE>()).SidStart };
        // SAFETY: an identifier begins there.
        let sid = unsafe { Sid::copy(sid.cast()) };
        if owner::own_sid() != Some(&sid) && !NO_STRANGERS.contains(&sid.text().as_str()) {
            return Ok(Some(sid.text()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::Security::GetSecurityDescriptorDacl;

    use super::*;

    fn stranger_of(entries: &str) -> Option<String> {
        let access = Access::of(entries).unwrap();
        let (mut is_there, mut list, mut is_default) = (0, ptr::null_mut(), 0);
        let descriptor = access.0.lpSecurityDescriptor;
        // SAFETY: a valid descriptor, and room for the answers.
        done(unsafe { GetSecurityDescriptorDacl(descriptor, &raw mut is_there, &raw mut list, &raw mut is_default) })
            .unwrap();
        assert_ne!(is_there, 0);
        // SAFETY: the descriptor's, which lives as long.
        unsafe { stranger_in(list) }.unwrap()
    }

    #[test]
    fn a_stranger_is_anybody_but_the_user_the_system_and_administrators() {
        assert_eq!(stranger_of("(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;FA;;;CO)"), None);
        assert_eq!(stranger_of("(D;;FA;;;WD)(A;;FA;;;{user})"), None, "who is kept out is none");
        assert_eq!(stranger_of("(A;;FA;;;{user})(A;;FR;;;WD)").as_deref(), Some("S-1-1-0"));
        assert_eq!(stranger_of("(A;OICIIO;FR;;;BU)(A;;FA;;;{user})").as_deref(), Some("S-1-5-32-545"));
        // SAFETY: none.
        assert_eq!(unsafe { stranger_in(ptr::null()) }.unwrap().as_deref(), Some("everybody"));
    }
}
