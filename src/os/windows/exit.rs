//! A hook for the end of this process.
//!
//! Not by `atexit`, of which `std::process::exit` does not hear. The system calls [`at_detach`] when all other threads have
//! been ended, wherever they were. If one of them had a lock that the hook needs, as that of the heap, the system ends the
//! process there and then; what the hook has not done is left to the next user of the name.

use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::System::SystemServices::DLL_PROCESS_DETACH;
use windows_sys::Win32::System::Threading::{FLS_OUT_OF_INDEXES, FlsAlloc, FlsSetValue};

use super::kernel;

static HOOK: OnceLock<extern "C" fn()> = OnceLock::new();

fn call_hook() {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}

/// Registers what to do at every end that the process makes itself: of `main`, by `exit`, by `ExitProcess`. Twice does no
/// harm.
pub(crate) fn on_exit(hook: extern "C" fn()) -> io::Result<()> {
    HOOK.get_or_init(|| hook);
    if kernel::is_wine() { on_exit_in_wine() } else { Ok(()) }
}

/// In the table of functions that are called when a process, and each of its threads, begins and ends.
// SAFETY: the section is that of such functions, and this is one; `std` has one there, too.
#[unsafe(link_section = ".CRT$XLB")]
#[used]
static AT_DETACH: unsafe extern "system" fn(*mut c_void, u32, *mut c_void) = at_detach;

unsafe extern "system" fn at_detach(_: *mut c_void, reason: u32, _: *mut c_void) {
    if reason == DLL_PROCESS_DETACH {
        call_hook();
    }
}

/// Wine 8 does not call those of a program at its end. But it calls what a thread has asked for at that thread's end, also
/// of the one that ends the process. So each thread that opens segments asks.
fn on_exit_in_wine() -> io::Result<()> {
    static SLOT: OnceLock<u32> = OnceLock::new();
    // SAFETY: the function is of this crate. (In a library that is unloaded it would not be there any more: Wine only.)
    let slot = *SLOT.get_or_init(|| unsafe { FlsAlloc(Some(at_thread_end)) });
    // SAFETY: takes an integer, and a pointer that is only compared with null.
    if slot == FLS_OUT_OF_INDEXES || unsafe { FlsSetValue(slot, ptr::dangling()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

unsafe extern "system" fn at_thread_end(_: *const c_void) {
    let Some(function) = kernel::in_ntdll(c"RtlDllShutdownInProgress") else { return };
    // SAFETY: takes nothing, and answers with a byte.
    let is_at_end = unsafe { function() } as u8 != 0;
    if is_at_end {
        call_hook();
    }
}
