//! What each thread needs for locking, cached: its id and the head of its robust list.

use std::cell::Cell;
use std::io;

pub(crate) use super::kernel::thread_id as id;
use super::robust_list::{self, RobustList};
use super::{generation, kernel, namespace};

/// A thread that can hold locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// What the system calls it, and what stands in the lock word.
    pub(crate) tid: u32,
    /// The fork generation in which `tid` and the list are right.
    pub(crate) generation: u32,
    /// [`RobustList::NONE`] for one who only takes locks that are in no list.
    pub(crate) list: RobustList,
}

impl Thread {
    /// Is this still the process in which the thread was looked up, and not a child that has been forked since?
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.generation == generation::generation_if_numbered()
    }
}

/// Cells of their own, so that the fast path loads single words and copies no structure through the stack.
struct Cache {
    /// The fork generation in which the thread was looked up and the fast path is open to it.
    fast: Cell<u32>,
    /// The fork generation in which the thread and its list were looked up.
    looked_up: Cell<u32>,
    /// The fork generation in which its id was looked up.
    has_id: Cell<u32>,
    tid: Cell<u32>,
    list: Cell<RobustList>,
}

/// A generation that no process has: before the first look-up.
const NEVER: u32 = u32::MAX;

thread_local! {
    // Without a destructor: so it also works in the destructors of other thread-locals, and in signal handlers.
    static CACHE: Cache = const {
        Cache {
            fast: Cell::new(NEVER),
            looked_up: Cell::new(NEVER),
            has_id: Cell::new(NEVER),
            tid: Cell::new(0),
            list: Cell::new(RobustList::NONE),
        }
    };
}

/// The calling thread, if it may take the fast path: it has been looked up in this fork generation, and the process is
/// in the PID namespace that it, or its first forebear, began in. So whatever it has opened may be locked without
/// another look at the namespace: the others must say first that there are several.
#[inline(always)]
pub(crate) fn cached_at_home() -> Option<Thread> {
    let generation = generation::known_generation();
    CACHE.with(|cache| (generation == cache.fast.get()).then(|| cache.thread(generation)))
}

/// The calling thread, if it has been looked up in this fork generation.
pub(crate) fn cached() -> Option<Thread> {
    let generation = generation::generation_if_numbered();
    CACHE.with(|cache| (generation == cache.looked_up.get()).then(|| cache.thread(generation)))
}

/// The system's id of the thread that a lock word names so.
#[inline(always)]
pub(crate) fn system_id(tid: u32) -> u32 {
    tid
}

/// The calling thread without its list, if it has been looked up in this fork generation.
#[inline]
pub(crate) fn cached_without_list() -> Option<Thread> {
    let generation = generation::generation_if_numbered();
    CACHE.with(|cache| (generation == cache.has_id.get()).then(|| cache.without_list(generation)))
}

/// [`cached_without_list`] where that is known without a system call.
#[inline(always)]
pub(crate) fn cached_id() -> Option<Thread> {
    let generation = generation::known_generation();
    CACHE.with(|cache| (generation == cache.has_id.get() && generation != 0).then(|| cache.without_list(generation)))
}

/// The calling thread without its list, of which there need be none.
///
/// # Errors
///
/// `Unsupported` in a child of a raw `clone`.
pub(crate) fn without_list() -> io::Result<Thread> {
    if let Some(thread) = cached_without_list() {
        return Ok(thread);
    }
    CACHE.with(|cache| {
        let generation = generation::generation();
        if generation::is_raw_clone() {
            return Err(unsupported(
                "a child of a raw clone shares its parent's place among the users: use fork, or exec",
            ));
        }
        cache.look_up_id(generation);
        Ok(cache.without_list(generation))
    })
}

/// A word names the calling thread as its owner: would be noted where nobody else tells of the thread's end.
#[inline(always)]
pub(crate) fn note_taken() {}

/// That word does not any more.
#[inline(always)]
pub(crate) fn note_given_back() {}

/// The calling thread.
///
/// # Errors
///
/// `Unsupported` where the kernel keeps no robust list for the thread (emulators, some sandboxes).
pub(crate) fn current() -> io::Result<Thread> {
    match cached() {
        Some(thread) => Ok(thread),
        None => CACHE.with(|cache| look_up(cache).map(|generation| cache.thread(generation))),
    }
}

impl Cache {
    #[inline(always)]
    fn thread(&self, generation: u32) -> Thread {
        Thread { tid: self.tid.get(), generation, list: self.list.get() }
    }

    #[inline(always)]
    fn without_list(&self, generation: u32) -> Thread {
        Thread { tid: self.tid.get(), generation, list: RobustList::NONE }
    }

    #[cold]
    fn look_up_id(&self, generation: u32) {
        self.tid.set(kernel::thread_id());
        self.has_id.set(generation);
    }
}

fn unsupported(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message)
}

fn inherits_held_locks() -> io::Error {
    unsupported("a child of a raw clone inherits its parent's list of held locks: use fork, or exec")
}

#[cold]
#[inline(never)]
fn look_up(cache: &Cache) -> io::Result<u32> {
    let generation = generation::generation();
    if generation::is_raw_clone() {
        return Err(inherits_held_locks());
    }
    // In a child whose own fork handlers come before ours. (Or in the parent: then the lists are what they are.)
    let is_early = generation::is_amid_fork() && cache.looked_up.get() != NEVER && cache.looked_up.get() != generation;
    if is_early {
        robust_list::empty_inherited(inherited_list());
    }
    cache.look_up_id(generation);
    let list = robust_list::of_this_thread(cache.tid.get())?;
    if is_early && !list.is_idle() {
        return Err(inherits_held_locks()); // a raw clone, which another thread's fork has hidden
    }
    cache.list.set(list);
    cache.looked_up.set(generation);
    cache.fast.set(if namespace::is_at_home() { generation } else { NEVER });
    Ok(generation)
}

/// A number that no other thread has as long as this one lives; the thread that goes on in a forked child keeps it.
pub(crate) fn self_address() -> usize {
    CACHE.with(|cache| std::ptr::from_ref(cache).addr())
}

/// The list that this thread had before it was forked, if it had locked anything.
pub(super) fn inherited_list() -> Option<RobustList> {
    let list = CACHE.with(|cache| cache.list.get());
    list.is_known().then_some(list)
}
