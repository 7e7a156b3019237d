//! The calls that have another name on each system, and what a kernel may have, but not all that are served here.

use std::fs::File;
use std::io;

/// Refuses a system on which locks would not exclude. None is known.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(crate) fn check() -> io::Result<()> {
    Ok(())
}

/// Would ask the kernel to empty these pages in every child. Nothing in POSIX does.
pub(super) fn wipes_in_children(_pages: *const (), _len: usize) -> bool {
    false
}

/// The id of the calling thread, as the kernel knows it: no other thread of this process has it as long as this one lives.
pub(crate) fn thread_id() -> u32 {
    #[cfg(target_os = "linux")]
    // SAFETY: takes nothing, cannot fail.
    let id = unsafe { libc::syscall(libc::SYS_gettid) };
    #[cfg(target_os = "freebsd")]
    // SAFETY: takes nothing, cannot fail.
    let id = unsafe { libc::pthread_getthreadid_np() };
    #[cfg(target_os = "macos")]
    let id = {
        let mut id = 0u64;
        // SAFETY: 0 stands for the calling thread; the pointer is to room for the answer.
        unsafe { libc::pthread_threadid_np(0, &raw mut id) };
        id
    };
    // macOS counts all threads since it was booted. Those of one process that are as far apart as this are not alive at once.
    id as u32 & super::futex::TID
}

/// Another description of an open file, whether or not it has a name: there is no way to one but by its name. (What
/// `/dev/fd` opens is, on many systems, the same description again.)
pub(crate) fn reopen(_: &File) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Random bits from the kernel; `false` where it has no such call.
pub(super) fn fill_at_random(words: &mut [u64; 2]) -> bool {
    // SAFETY: the pointer and the length describe `words`, which are plain old data.
    unsafe { libc::getentropy(words.as_mut_ptr().cast(), size_of_val(words)) == 0 }
}
