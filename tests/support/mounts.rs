//! Children with a mount namespace of their own, in which they can put anything in the place of `/dev/shm`. That needs
//! root.

use std::ffi::CString;
use std::io;

use crate::support::{can_unshare, spawn_through};

#[allow(dead_code, reason = "each test binary uses its own part")]
const NAMESPACE: [&str; 4] = ["unshare", "--mount", "--propagation", "private"];

/// Lets a child play a role where it can mount what it likes. Does nothing, and says so, where that is not allowed.
#[allow(dead_code, reason = "as above")]
pub(crate) fn join_apart(role: &str) {
    if can_unshare(&NAMESPACE) {
        spawn_through(&NAMESPACE, role, role).join();
    }
}

/// In such a role: mounts a file system of this kind.
pub(crate) fn mount(kind: &str, target: &str, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let [kind, target, options] = [kind, target, options].map(|text| CString::new(text).unwrap());
    // SAFETY: strings that end with NUL and outlive the call.
    let result = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
