//! Is there a Linux kernel below this process? What only has its system calls may not keep its promises. And the calls that
//! have another name on each system.

use std::ffi::{CStr, OsStr};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Refuses a system on which locks would not exclude. The kernel is asked once.
pub(crate) fn check() -> io::Result<()> {
    static IS_LINUX: AtomicBool = AtomicBool::new(false);
    if IS_LINUX.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut name = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the pointer is to room for the answer.
    unsafe { libc::uname(name.as_mut_ptr()) };
    // SAFETY: zero bytes are a name, whether or not the call has written one.
    let name = unsafe { name.assume_init() };
    // SAFETY: the kernel ends the text with a NUL, and so do zero bytes.
    let release = unsafe { CStr::from_ptr(name.release.as_ptr()) };
    if is_wsl1(release.to_bytes()) {
        let message = "this is WSL 1, which has no Linux kernel, and whose file locks cannot be relied on: use WSL 2";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    IS_LINUX.store(true, Ordering::Relaxed);
    Ok(())
}

/// Asks the kernel to empty these pages in every child. `false`: it does not.
pub(super) fn wipes_in_children(pages: *const (), len: usize) -> bool {
    // qemu-user takes all advice that it does not know for a hint, and says yes to it. A kernel knows what it does not
    // know. (To clone a child that looks at a page would be a proof, and costs milliseconds in a large process.)
    const NO_ADVICE: libc::c_int = 0x7ead;
    // SAFETY: whole pages that hold nothing but what is to be lost in a child.
    let advise = |advice| unsafe { libc::madvise(pages.cast_mut().cast(), len, advice) == 0 };
    !advise(NO_ADVICE) && advise(libc::MADV_WIPEONFORK)
}

/// The id of the calling thread, as the kernel knows it.
pub(crate) fn thread_id() -> u32 {
    // Past libc: glibc has the function since 2.30 only.
    // SAFETY: takes nothing, cannot fail.
    let tid = unsafe { libc::syscall(libc::SYS_gettid) };
    tid as u32
}

/// Random bits from the kernel; `false` where it has no such call.
pub(super) fn fill_at_random(words: &mut [u64; 2]) -> bool {
    let wanted = size_of_val(words);
    // Past libc: glibc has the function since 2.25 only.
    // SAFETY: the pointer and the length describe `words`, which are plain old data.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, words.as_mut_ptr(), wanted, 0) };
    usize::try_from(got) == Ok(wanted)
}

/// Another description of an open file, whether or not it has a name yet. Needs `/proc`, and allocates nothing.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    let mut path = [0; 32];
    let mut rest = &mut path[..];
    write!(rest, "/proc/self/fd/{}", file.as_raw_fd())?;
    let left = rest.len();
    let path = OsStr::from_bytes(&path[..path.len() - left]);
    OpenOptions::new().read(true).write(true).open(path)
}

/// WSL 1 calls itself "4.4.0-19041-Microsoft". WSL 2 is Linux, "5.15.90.1-microsoft-standard-WSL2"; so are the kernels
/// that its users build, whatever else they are called.
fn is_wsl1(release: &[u8]) -> bool {
    let says = |word: &[u8]| release.windows(word.len()).any(|part| part == word);
    says(b"Microsoft") && !says(b"microsoft-standard") && !says(b"WSL2")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wsl_1_is_told_from_wsl_2_and_from_linux() {
        for release in ["4.4.0-19041-Microsoft", "4.4.0-43-Microsoft", "3.4.0-Microsoft"] {
            assert!(is_wsl1(release.as_bytes()), "{release}");
        }
        for release in [
            "5.15.90.1-microsoft-standard-WSL2",
            "6.6.36.3-microsoft-standard-WSL2+",
            "6.1.0-Microsoft-microsoft-standard",
            "6.6.0-Microsoft-WSL2-custom",
            "6.1.0-50-cloud-amd64",
            "5.4.0-microsoft",
            "Micro",
            "",
        ] {
            assert!(!is_wsl1(release.as_bytes()), "{release}");
        }
    }

    #[test]
    fn this_system_is_not_refused() {
        check().unwrap();
    }
}
