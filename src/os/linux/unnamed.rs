//! Files without a name, until they get one.

use std::ffi::CStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use super::directory;
use super::file::c_path;

/// A file without a name, which the kernel forgets when its creator dies.
pub(crate) fn create_unnamed() -> io::Result<File> {
    let made =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(directory::place());
    made.map_err(directory::explained)
}

/// Is this how a file without a name is refused, where one with a name may be allowed?
pub(crate) fn wants_a_name(error: &io::Error) -> bool {
    // open(2), O_TMPFILE: EOPNOTSUPP from the file system, EISDIR from a kernel that does not know the flag. Linking:
    // ENOENT without /proc. Either: what sandboxes say, whose rules are about names.
    matches!(
        error.raw_os_error(),
        Some(
            libc::EOPNOTSUPP
                | libc::EISDIR
                | libc::EINVAL
                | libc::ENOENT
                | libc::ENOSYS
                | libc::EXDEV
                | libc::EACCES
                | libc::EPERM
        )
    )
}

/// Gives an unnamed file its name; `AlreadyExists` when somebody was first.
pub(crate) fn link(file: &File, name: &CStr) -> io::Result<()> {
    let target = c_path(name)?;
    // By descriptor, which spares a walk through /proc. Before Linux 6.10 that was a privilege, and NotFound without.
    match link_to(file.as_raw_fd(), c"", libc::AT_EMPTY_PATH, &target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    let source = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    let source = CStr::from_bytes_with_nul(source.as_bytes()).map_err(io::Error::other)?;
    link_to(libc::AT_FDCWD, source, libc::AT_SYMLINK_FOLLOW, &target)
}

fn link_to(directory: RawFd, source: &CStr, flags: libc::c_int, target: &CStr) -> io::Result<()> {
    // SAFETY: both paths end with NUL and outlive the call.
    let result = unsafe { libc::linkat(directory, source.as_ptr(), libc::AT_FDCWD, target.as_ptr(), flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
