//! Which process this is: a number that differs between a process and its ancestors.
//!
//! Process ids do not serve, because they are given out again, and asking for one is a system call. So the number stands
//! in a page of its own that the kernel empties in every child (`MADV_WIPEONFORK`), which also catches a raw `clone`,
//! of which no fork handler hears. A static and not a mapping, so that the fast path of a lock reads it with one
//! instruction.
//!
//! **Where the kernel does not empty the page** (before Linux 4.14, gVisor, emulators that say "done" and do nothing),
//! the page stays empty for good, so that nobody takes the fast path, and the number is kept with the process id that it
//! was given to. A lock then costs a system call more, and a raw clone is told by its process id.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::kernel;

/// The number in the first word; 0 means "not numbered yet", or that the kernel does not empty the page.
#[cfg_attr(target_arch = "x86_64", repr(align(4096)))]
#[cfg_attr(not(target_arch = "x86_64"), repr(align(65536)))]
struct Page([AtomicU32; PAGE_SIZE / 4]);

/// The largest page that the architecture has: the kernel empties whole ones.
const PAGE_SIZE: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };

static GENERATION: Page = Page([const { AtomicU32::new(0) }; PAGE_SIZE / 4]);

/// The highest number that this process or an ancestor was given; a child inherits it, so that its own is another.
static LAST: AtomicU32 = AtomicU32::new(0);
/// What `LAST` was when the fork handler last emptied the cell; 0 also stands for the first process.
static EMPTIED_AT: AtomicU32 = AtomicU32::new(0);
/// Is the fork handler in place? Before that, nobody holds a lock that a child could inherit in its list.
static HEARS_OF_FORKS: AtomicBool = AtomicBool::new(false);
/// Is this process a child that no fork handler prepared (a raw `clone`)? Then libc's list of robust mutexes still has
/// the parent's nodes in it, and whatever is linked in front of them writes into lock lines that the parent holds.
static RAW_CLONE: AtomicBool = AtomicBool::new(false);

/// Forks that have begun in this process, and those that are over. A child inherits both, and evens them out when it has
/// begun.
pub(super) static FORKS_BEGUN: AtomicU32 = AtomicU32::new(0);
pub(super) static FORKS_OVER: AtomicU32 = AtomicU32::new(0);

/// Does the kernel empty the page? Asked by whoever numbers the first process; children inherit the answer, and the mark
/// on the page.
static WIPES: AtomicU8 = AtomicU8::new(UNASKED);
const UNASKED: u8 = 0;
const YES: u8 = 1;
const NO: u8 = 2;
/// Where it does not: the process id in the upper half, the number that it was given in the lower.
static BY_ID: AtomicU64 = AtomicU64::new(0);

/// The number of this process if it can be told without a system call, or 0.
#[inline(always)]
pub(crate) fn known_generation() -> u32 {
    GENERATION.0[0].load(Ordering::Relaxed)
}

/// The number of this process, or 0 if it has none yet.
#[inline]
pub(crate) fn generation_if_numbered() -> u32 {
    match GENERATION.0[0].load(Ordering::Acquire) {
        0 if WIPES.load(Ordering::Relaxed) == NO => given_to(std::process::id(), BY_ID.load(Ordering::Acquire)),
        known => known,
    }
}

fn given_to(process: u32, by_id: u64) -> u32 {
    if by_id >> 32 == u64::from(process) { by_id as u32 } else { 0 }
}

/// The number of this process, which gets one if it has none yet.
pub(crate) fn generation() -> u32 {
    let known = match generation_if_numbered() {
        0 => number(),
        known => known,
    };
    // By everyone, and not only by who wrote the cell: so nobody goes on to take a lock before `LAST` tells of it.
    LAST.fetch_max(known, Ordering::AcqRel); // pairs with the Acquire in `number`
    known
}

/// Numbers this process. Threads may do so at once: each step is the same whoever takes it.
#[cold]
fn number() -> u32 {
    let last = LAST.load(Ordering::Acquire); // pairs with the Release in `generation`
    // Another thread writes the cell before `LAST`. So if that is new, the cell is seen here; an empty one is wiped.
    match generation_if_numbered() {
        0 => {}
        known => return known,
    }
    if last == 0 {
        WIPES.store(
            if kernel::wipes_in_children(ptr::from_ref(&GENERATION).cast(), PAGE_SIZE) { YES } else { NO },
            Ordering::Relaxed,
        );
    } else if last != EMPTIED_AT.load(Ordering::Relaxed) && HEARS_OF_FORKS.load(Ordering::Relaxed) {
        // A fork that has begun and is not over: its child, and a fork handler of the program's that comes before ours.
        if is_amid_fork() {
            EMPTIED_AT.store(last, Ordering::Relaxed);
        }
        RAW_CLONE.store(!is_amid_fork(), Ordering::Relaxed); // published by the Release below
    }
    let fresh = last.wrapping_add(1).max(1);
    if WIPES.load(Ordering::Relaxed) == YES {
        let written = GENERATION.0[0].compare_exchange(0, fresh, Ordering::AcqRel, Ordering::Acquire);
        return written.map_or_else(|first| first, |_| fresh);
    }
    let me = std::process::id();
    let stale = BY_ID.load(Ordering::Acquire);
    match given_to(me, stale) {
        0 => {
            let given = u64::from(me) << 32 | u64::from(fresh);
            let written = BY_ID.compare_exchange(stale, given, Ordering::AcqRel, Ordering::Acquire);
            written.map_or_else(|first| first as u32, |_| fresh)
        }
        known => known,
    }
}

/// Has a fork begun that is not over? In a child: has our handler not been called yet?
pub(super) fn is_amid_fork() -> bool {
    FORKS_BEGUN.load(Ordering::SeqCst) != FORKS_OVER.load(Ordering::SeqCst)
}

/// Is this a child of a raw `clone`, which inherits a robust list that nobody has emptied?
pub(super) fn is_raw_clone() -> bool {
    RAW_CLONE.load(Ordering::Relaxed)
}

/// From now on, a child for which [`begin_child`] is not called is a raw clone.
pub(super) fn hears_of_forks() {
    HEARS_OF_FORKS.store(true, Ordering::Relaxed);
}

/// In a child of `fork`, which gets a number, and is no raw clone, whatever its parent was. Returns that of the parent.
pub(super) fn begin_child() -> u32 {
    if generation_if_numbered() != 0 {
        return EMPTIED_AT.load(Ordering::Relaxed); // a handler of the program's was first
    }
    let parent = LAST.load(Ordering::Relaxed);
    EMPTIED_AT.store(parent, Ordering::Relaxed);
    RAW_CLONE.store(false, Ordering::Relaxed);
    let _ = generation();
    parent
}
