//! What each thread needs for locking, cached: its id and the head of its robust list.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process;
use super::robust_list::{self, RobustList};

/// The kernel walks at most 2,048 entries of a robust list (`ROBUST_LIST_LIMIT`); some room is left for libc's own.
pub(crate) const MAX_HELD: u32 = 2_000;

/// A thread that can hold robust futexes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// What `gettid` returns: what stands in the lock word.
    pub(crate) tid: u32,
    /// The fork generation in which `tid` and the list are right.
    pub(crate) generation: u32,
    pub(crate) list: RobustList,
}

#[derive(Clone, Copy)]
struct Cached {
    /// Where the generation of this process stands: reading it here saves asking for the cell.
    cell: &'static AtomicU32,
    thread: Thread,
}

static NOT_LOOKED_UP: AtomicU32 = AtomicU32::new(0);

thread_local! {
    // Both without destructors: so they also work in the destructors of other thread-locals, and in signal handlers.
    static CACHE: Cell<Cached> = const {
        Cell::new(Cached {
            cell: &NOT_LOOKED_UP, // holds 0, which differs from the 1 below: the first look goes the slow way
            thread: Thread { tid: 0, generation: 1, list: RobustList::NONE },
        })
    };
    static HELD: Cell<u32> = const { Cell::new(0) };
}

/// The calling thread.
///
/// # Errors
///
/// `Unsupported` where the kernel keeps no robust list for the thread (emulators, some sandboxes).
#[inline]
pub(crate) fn current() -> io::Result<Thread> {
    let cached = CACHE.get();
    if cached.cell.load(Ordering::Relaxed) == cached.thread.generation { Ok(cached.thread) } else { look_up() }
}

#[cold]
fn look_up() -> io::Result<Thread> {
    let generation = process::generation();
    // SAFETY: takes nothing, cannot fail.
    let tid = unsafe { libc::gettid() }.unsigned_abs();
    let list = robust_list::of_this_thread(tid)?;
    let thread = Thread { tid, generation, list };
    HELD.set(0); // a new thread, or the only one of a forked child: locks do not pass to it
    CACHE.set(Cached { cell: process::generation_cell(), thread });
    Ok(thread)
}

/// How many locks the calling thread holds, leaked guards included.
#[inline]
pub(crate) fn held() -> u32 {
    HELD.get()
}

#[inline]
pub(crate) fn count_held(held: u32) {
    HELD.set(held);
}

/// The list that this thread had before it was forked, if it had locked anything.
pub(super) fn inherited_list() -> Option<RobustList> {
    let list = CACHE.get().thread.list;
    list.is_known().then_some(list)
}
