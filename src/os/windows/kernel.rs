//! Is there a Windows below this process on which what is promised here is so?

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::Foundation::FARPROC;
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress};
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;

use super::handle::wide;

/// The oldest one, of 2015, and Windows Server 2016.
const OLDEST: u32 = 10;

/// Refuses a system on which that is not known. It is asked once. Wine is let in, whatever it says that it is:
/// what it does has been tried.
pub(crate) fn check() -> io::Result<()> {
    static IS_NEW: AtomicBool = AtomicBool::new(false);
    if IS_NEW.load(Ordering::Relaxed) {
        return Ok(());
    }
    let found = version();
    if found < OLDEST && !is_wine() {
        let message =
            format!("this is Windows {found}, or a program that is run as if it were: Windows {OLDEST} is needed");
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    IS_NEW.store(true, Ordering::Relaxed);
    Ok(())
}

/// What the kernel says, and not what it says to programs that it takes for older ones.
fn version() -> u32 {
    // SAFETY: all-zero bytes are such a structure.
    let mut version: OSVERSIONINFOW = unsafe { MaybeUninit::zeroed().assume_init() };
    version.dwOSVersionInfoSize = size_of::<OSVERSIONINFOW>() as u32;
    // SAFETY: the pointer is to such a structure, which says how long it is. (It cannot fail.)
    unsafe { RtlGetVersion(&raw mut version) };
    version.dwMajorVersion
}

/// Only Wine has such a function.
pub(super) fn is_wine() -> bool {
    in_ntdll(c"wine_get_version").is_some()
}

/// A function of the library that stands between the kernel and all programs, and is loaded for as long as they live.
pub(super) fn in_ntdll(function: &CStr) -> FARPROC {
    // SAFETY: a text that ends with a NUL.
    let library = unsafe { GetModuleHandleW(wide("ntdll.dll".as_ref()).as_ptr()) };
    // SAFETY: a library that is loaded, or null, which means this program; a text that ends with a NUL.
    unsafe { GetProcAddress(library, function.as_ptr().cast()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_system_is_not_refused() {
        super::check().unwrap();
    }
}
