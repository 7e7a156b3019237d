//! Is there a Linux kernel below this process? What only has its system calls may not keep its promises.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
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
