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
    /// How many locks the thread holds, leaked guards included.
    pub(crate) held: u32,
    pub(crate) list: RobustList,
}

/// Cells of their own, so that the fast path loads single words and copies no structure through the stack.
struct Cache {
    /// Where the generation of this process stands: reading it here saves asking for the cell.
    cell: Cell<&'static AtomicU32>,
    generation: Cell<u32>,
    tid: Cell<u32>,
    held: Cell<u32>,
    list: Cell<RobustList>,
}

static NOT_LOOKED_UP: AtomicU32 = AtomicU32::new(0);

thread_local! {
    // Without a destructor: so it also works in the destructors of other thread-locals, and in signal handlers.
    static CACHE: Cache = const {
        Cache {
            cell: Cell::new(&NOT_LOOKED_UP), // holds 0, which differs from the 1 below: the first look goes the slow way
            generation: Cell::new(1),
            tid: Cell::new(0),
            held: Cell::new(0),
            list: Cell::new(RobustList::NONE),
        }
    };
}

/// The calling thread, if it has been looked up in this fork generation.
#[inline(always)]
pub(crate) fn cached() -> Option<Thread> {
    CACHE.with(|cache| (cache.cell.get().load(Ordering::Relaxed) == cache.generation.get()).then(|| cache.thread()))
}

/// The calling thread.
///
/// # Errors
///
/// `Unsupported` where the kernel keeps no robust list for the thread (emulators, some sandboxes).
pub(crate) fn current() -> io::Result<Thread> {
    match cached() {
        Some(thread) => Ok(thread),
        None => CACHE.with(|cache| look_up(cache).map(|()| cache.thread())),
    }
}

impl Cache {
    #[inline(always)]
    fn thread(&self) -> Thread {
        Thread { tid: self.tid.get(), generation: self.generation.get(), held: self.held.get(), list: self.list.get() }
    }
}

#[cold]
#[inline(never)]
fn look_up(cache: &Cache) -> io::Result<()> {
    let generation = process::generation();
    if process::is_raw_clone() {
        let message = "a child of a raw clone inherits its parent's list of held locks: use fork, or exec";
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    // SAFETY: takes nothing, cannot fail.
    let tid = unsafe { libc::gettid() }.unsigned_abs();
    cache.list.set(robust_list::of_this_thread(tid)?);
    cache.tid.set(tid);
    cache.held.set(0); // a new thread, or the only one of a forked child: locks do not pass to it
    cache.generation.set(generation);
    cache.cell.set(process::generation_cell());
    Ok(())
}

#[inline]
pub(crate) fn count_held(held: u32) {
    CACHE.with(|cache| cache.held.set(held));
}

/// The list that this thread had before it was forked, if it had locked anything.
pub(super) fn inherited_list() -> Option<RobustList> {
    let list = CACHE.with(|cache| cache.list.get());
    list.is_known().then_some(list)
}
