//! Facts about this process that change when it forks, and hooks for fork and exit.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The fork generation in the first word; 0 means "not numbered yet". A page of its own, so that the kernel can be asked
/// to empty it in a child (`MADV_WIPEONFORK`), which also catches a raw `clone` that runs no fork handlers. A static and
/// not a mapping, so that the fast path of a lock reads it with one instruction.
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Page([AtomicU32; PAGE_SIZE / 4]);

/// The largest page that the architecture has: the kernel empties whole ones.
const PAGE_SIZE: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };

static GENERATION: Page = Page([const { AtomicU32::new(0) }; PAGE_SIZE / 4]);

/// The highest generation that this process or a forebear was given; a child inherits it, so that its own is another.
static LAST: AtomicU32 = AtomicU32::new(0);
/// What `LAST` was when the fork handler last emptied the cell; 0 also stands for the first process.
static EMPTIED_AT: AtomicU32 = AtomicU32::new(0);
/// Is this process a child that no fork handler prepared (a raw `clone`)? Then libc's list of robust mutexes still has
/// the parent's nodes in it, and whatever is linked in front of them writes into lock lines that the parent holds.
static RAW_CLONE: AtomicBool = AtomicBool::new(false);

/// The number of this process as far as it is known: 0 when it has none yet.
#[inline(always)]
pub(crate) fn known_generation() -> u32 {
    GENERATION.0[0].load(Ordering::Relaxed)
}

/// Asks the kernel to empty the page in every child.
fn wipe_on_fork() {
    let page = ptr::from_ref(&GENERATION).cast_mut().cast();
    // A refusal (a kernel before 4.14) leaves it to the fork handler, and raw clones unnoticed.
    // SAFETY: a whole page that holds nothing but the generation, whose loss in a child is the purpose.
    let _ = unsafe { libc::madvise(page, PAGE_SIZE, libc::MADV_WIPEONFORK) };
}

/// The number of this process among its forebears. Compare these and not process ids, which are given out again.
pub(crate) fn generation() -> u32 {
    let cell = &GENERATION.0[0];
    let known = match cell.load(Ordering::Acquire) {
        0 => number(cell),
        known => known,
    };
    // By everyone, and not only by who wrote the cell: so nobody goes on to take a lock before `LAST` tells of it.
    LAST.fetch_max(known, Ordering::AcqRel); // pairs with the Acquire in `number`
    known
}

/// Numbers this process. Threads may do so at once: each step is the same whoever takes it.
#[cold]
fn number(cell: &AtomicU32) -> u32 {
    let last = LAST.load(Ordering::Acquire); // pairs with the Release in `generation`
    // Another thread writes the cell before `LAST`. So if that is new, the cell is seen here; an empty one is wiped.
    match cell.load(Ordering::Acquire) {
        0 => {}
        known => return known,
    }
    if last == 0 {
        wipe_on_fork();
        // The first process: from now on its forked children are told from raw clones. If the handler cannot be
        // registered, all children count as raw clones and do not lock; registering it twice does no harm.
        // SAFETY: the handler is a function of this crate, which is never unloaded.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(forget_parent)) };
    } else if last != EMPTIED_AT.load(Ordering::Relaxed) {
        RAW_CLONE.store(true, Ordering::Relaxed); // published by the Release below
    }
    let fresh = last.wrapping_add(1).max(1);
    match cell.compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => fresh,
        Err(first) => first,
    }
}

/// Is this a child of a raw `clone`, which inherits a robust list that nobody has emptied?
pub(super) fn is_raw_clone() -> bool {
    RAW_CLONE.load(Ordering::Relaxed)
}

/// The inode of this process's PID namespace, or 0 when `/proc` does not tell. Looked up once in each generation.
pub(crate) fn pid_namespace() -> u64 {
    static KNOWN: AtomicU64 = AtomicU64::new(0);
    static KNOWN_IN: AtomicU32 = AtomicU32::new(0);
    let generation = generation();
    if KNOWN_IN.load(Ordering::Acquire) == generation {
        return KNOWN.load(Ordering::Relaxed);
    }
    let inode = std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino());
    KNOWN.store(inode, Ordering::Relaxed);
    KNOWN_IN.store(generation, Ordering::Release); // pairs with the Acquire above: the inode is seen first
    inode
}

/// Is the process in the PID namespace in which it, or its first forebear, was numbered?
pub(super) fn is_at_home() -> bool {
    static HOME: AtomicU64 = AtomicU64::new(0);
    let here = pid_namespace();
    // Relaxed: a number, and no data behind it. The first process sets it before it can lock, and so before it forks.
    HOME.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed).map_or_else(|home| home == here, |_| true)
}

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

/// The process that a thread belongs to, from `/proc`.
pub(crate) fn process_of(tid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// The effective user id.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { libc::geteuid() }
}

static HAS_FORKED: AtomicBool = AtomicBool::new(false);

/// Remembers that somebody may share this process's file descriptions from now on.
pub(crate) fn note_fork() {
    HAS_FORKED.store(true, Ordering::Relaxed);
}

/// Has this process, or a forebear, been through [`note_fork`]?
pub(crate) fn has_forked() -> bool {
    HAS_FORKED.load(Ordering::Relaxed)
}

/// Registers what to do around every `fork`: before it, then after it in the parent, and in the child.
pub(crate) fn on_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> io::Result<()> {
    // Child handlers run in the order of registration: `forget_parent` first, so that `child` sees a new generation.
    let _ = generation();
    // SAFETY: the handlers are functions of this crate, which is never unloaded.
    let result = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
    match result {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

extern "C" fn forget_parent() {
    EMPTIED_AT.store(LAST.load(Ordering::Relaxed), Ordering::Relaxed);
    RAW_CLONE.store(false, Ordering::Relaxed); // `fork` gives the child an empty list, whatever its parent was
    GENERATION.0[0].store(0, Ordering::Relaxed);
    super::robust_list::empty_inherited();
}

/// Registers what to do at `exit` and at the end of `main`.
pub(crate) fn on_exit(hook: extern "C" fn()) -> io::Result<()> {
    // SAFETY: the hook is a function of this crate, which is never unloaded.
    match unsafe { libc::atexit(hook) } {
        0 => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::OutOfMemory)),
    }
}
