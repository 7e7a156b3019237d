//! Threads and users of this system.

use std::io;
use std::path::Path;

use windows_sys::Win32::Foundation::{ERROR_INVALID_PARAMETER, WAIT_OBJECT_0};
use windows_sys::Win32::System::Threading::{
    GetProcessIdOfThread, OpenProcess, OpenThread, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION,
    QueryFullProcessImageNameW, THREAD_QUERY_LIMITED_INFORMATION, THREAD_SYNCHRONIZE, WaitForSingleObject,
};

use super::file::Status;
use super::handle::{Handle, done};
use super::owner;

pub(crate) use super::exit::on_exit;

fn open_thread(tid: u32, access: u32) -> io::Result<Handle> {
    // SAFETY: takes integers.
    let opened = unsafe { OpenThread(access, 0, tid) };
    // SAFETY: a handle that the call has just made for us, or null.
    unsafe { Handle::or_last_error(opened) }
}

/// Does a thread of this id exist? Only "no" is certain: ids are given out again.
pub(crate) fn thread_exists(tid: u32) -> bool {
    match open_thread(tid, THREAD_SYNCHRONIZE) {
        // One that has ended is there for as long as somebody has a handle of it.
        // SAFETY: the handle is open.
        Ok(thread) => unsafe { WaitForSingleObject(thread.raw(), 0) != WAIT_OBJECT_0 },
        Err(error) => error.raw_os_error() != Some(ERROR_INVALID_PARAMETER.cast_signed()),
    }
}

/// Does a thread of this id exist in this very process? Only "no" is certain.
pub(crate) fn is_own_thread(tid: u32) -> bool {
    thread_exists(tid) && process_of(tid).is_none_or(|process| process == std::process::id())
}

/// The process that a thread belongs to; `None` when it is gone, or may not be asked.
pub(crate) fn process_of(tid: u32) -> Option<u32> {
    let thread = open_thread(tid, THREAD_QUERY_LIMITED_INFORMATION).ok()?;
    // SAFETY: the handle is open, with the right to ask.
    let process = unsafe { GetProcessIdOfThread(thread.raw()) };
    (process != 0).then_some(process)
}

/// Does a thread of this id have the file mapped, although the handle by which it was opened is closed? Programs cannot close
/// those handles: see `descriptor.rs`.
pub(crate) fn maps(_tid: u32, _file: &Status) -> Option<bool> {
    Some(false)
}

/// The name of a process's program and its user's number; `None` when there is no such process, or it may not be asked.
pub(crate) fn describe(pid: u32) -> Option<(String, u32)> {
    // SAFETY: takes integers.
    let opened = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid) };
    // SAFETY: a handle that the call has just made for us, or null.
    let process = unsafe { Handle::or_last_error(opened) }.ok()?;
    let mut path = [0u16; 1024];
    let mut len = path.len() as u32;
    // SAFETY: the pointers are to so much room, and to its length.
    let asked =
        unsafe { QueryFullProcessImageNameW(process.raw(), PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut len) };
    done(asked).ok()?;
    let path = String::from_utf16_lossy(path.get(..len as usize)?);
    let program = Path::new(&path).file_name()?.to_string_lossy().into_owned();
    Some((program, owner::user_of(process.raw()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_told_from_the_dead() {
        let (tid, thread) = {
            let (send, receive) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || {
                send.send(super::super::thread::id()).unwrap();
                std::thread::park();
            });
            (receive.recv().unwrap(), thread)
        };
        assert!(thread_exists(tid) && is_own_thread(tid));
        assert_eq!(process_of(tid), Some(std::process::id()));
        thread.thread().unpark();
        thread.join().unwrap();
        assert!(!thread_exists(3), "ids are multiples of 4");
    }

    #[test]
    fn a_process_is_described() {
        let (program, uid) = describe(std::process::id()).unwrap();
        let own = std::env::current_exe().unwrap();
        assert_eq!((Some(program.as_ref()), uid), (own.file_name(), owner::effective_uid()));
        assert!(describe(3).is_none());
    }
}
