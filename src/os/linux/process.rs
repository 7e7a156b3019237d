//! Threads and users of this system, and hooks for the end of this process.

use std::io;
use std::os::unix::fs::MetadataExt;

use super::file::Status;

/// Does a thread of this id exist in our PID namespace? Only "no" is certain: ids are given out again.
pub(crate) fn thread_exists(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    // tkill with signal 0 sends nothing and only looks the thread up.
    // SAFETY: the call takes two integers and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_tkill, tid, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// Does a thread of this id exist in this very process? Only "no" is certain.
pub(crate) fn is_own_thread(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    // SAFETY: the call takes integers and, with signal 0, only looks the thread up.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, std::process::id().cast_signed(), tid, 0) };
    // A sandbox may refuse to say: then it may be.
    result == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

/// The process that a thread belongs to; `None` when it is gone, or a process has several threads and `/proc` does not tell
/// of it.
pub(crate) fn process_of(tid: u32) -> Option<u32> {
    if is_main_thread(tid) { Some(tid) } else { process_in_proc(tid) }
}

/// Is this the thread that its process is named after? Without `/proc`, and in a tenth of the time.
fn is_main_thread(tid: u32) -> bool {
    let Ok(tid) = libc::pid_t::try_from(tid) else { return false };
    // SAFETY: the call takes integers and, with signal 0, only looks for a thread of this id in a process of this id.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, tid, tid, 0) };
    result == 0 // a refusal is no answer: a sandbox may refuse everything
}

/// Does `/proc` show our PID namespace? In another one the same number is a stranger's.
fn proc_is_ours() -> bool {
    let me = std::fs::read_link("/proc/self").ok();
    me.and_then(|me| me.to_str()?.parse().ok()) == Some(std::process::id())
}

/// Does a thread of this id have the file mapped so that it can write there, as users do? `None` where `/proc` does not show it, or there is no such thread.
pub(crate) fn maps(tid: u32, file: &Status) -> Option<bool> {
    let maps = proc_is_ours().then(|| std::fs::read(format!("/proc/{tid}/maps"))).and_then(Result::ok)?;
    // proc_pid_maps(5): "7f5e2000-7f5e3000 rw-s 00000000 00:1a 4711  /dev/shm/name": the device in hexadecimal.
    let id = format!(" {:02x}:{:02x} {} ", libc::major(file.device), libc::minor(file.device), file.inode);
    let is_for_writing = |line: &str| line.split(' ').nth(1).is_some_and(|access| access.contains('w'));
    Some(String::from_utf8_lossy(&maps).lines().any(|line| line.contains(&id) && is_for_writing(line)))
}

/// The process that a thread belongs to, from `/proc`; `None` where that shows another PID namespace than ours.
fn process_in_proc(tid: u32) -> Option<u32> {
    if !proc_is_ours() {
        return None;
    }
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// The name of a process's program and its effective user id, from `/proc`; `None` when there is no such process.
pub(crate) fn describe(pid: u32) -> Option<(String, u32)> {
    let directory = format!("/proc/{pid}");
    let command = std::fs::read(format!("{directory}/comm")).ok()?;
    let uid = std::fs::metadata(directory).ok()?.uid();
    Some((String::from_utf8_lossy(command.trim_ascii_end()).into_owned(), uid))
}

unsafe extern "C" {
    fn at_quick_exit(hook: extern "C" fn()) -> libc::c_int;
}

/// Registers what to do at `exit`, at the end of `main`, and at `quick_exit`. Twice does no harm to a hook that finds
/// nothing left to do.
pub(crate) fn on_exit(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the hook is a function of this crate, which is never unloaded.
    let exit = unsafe { libc::atexit(hook) };
    // SAFETY: as above; glibc has had the function since 2.10, musl from its beginnings.
    let quick_exit = unsafe { at_quick_exit(hook) };
    if exit == 0 && quick_exit == 0 { Ok(()) } else { Err(io::Error::from(io::ErrorKind::OutOfMemory)) }
}
