//! What each thread needs for locking, cached: its id.

use std::cell::Cell;
use std::io;

use windows_sys::Win32::System::Threading::GetCurrentThreadId;

use super::robust_list::{self, RobustList};
use super::{generation, life};

/// A thread that can hold locks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// What stands in the lock word: see `life.rs`.
    pub(crate) tid: u32,
    /// The one that there is.
    pub(crate) generation: u32,
    /// [`RobustList::NONE`].
    pub(crate) list: RobustList,
}

impl Thread {
    fn of(tid: u32) -> Self {
        Self { tid, generation: generation::generation(), list: RobustList::NONE }
    }

    /// Is this still the process in which the thread was looked up?
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.generation == generation::generation_if_numbered()
    }
}

thread_local! {
    // Without a destructor: so it also works in the destructors of other thread-locals.
    /// 0 before the first look-up.
    static TID: Cell<u32> = const { Cell::new(0) };
}

/// The calling thread, if it may take the fast path of a lock that is in a list: there are no lists.
#[inline(always)]
pub(crate) fn cached_at_home() -> Option<Thread> {
    None
}

/// The calling thread and its list, if it has been looked up.
pub(crate) fn cached() -> Option<Thread> {
    None
}

/// The calling thread without its list, if it has been looked up.
#[inline(always)]
pub(crate) fn cached_without_list() -> Option<Thread> {
    cached_id()
}

/// [`cached_without_list`] where that is known without a system call.
#[inline(always)]
pub(crate) fn cached_id() -> Option<Thread> {
    let tid = TID.get();
    (tid != 0).then(|| Thread::of(tid))
}

/// The calling thread without its list, of which there need be none.
///
/// # Errors
///
/// What tells others that it lives cannot be made.
pub(crate) fn without_list() -> io::Result<Thread> {
    if let Some(thread) = cached_id() {
        return Ok(thread);
    }
    let number = life::begin(id())?;
    TID.set(number);
    Ok(Thread::of(number))
}

/// What stands for the calling thread in lock words, or 0.
pub(super) fn number() -> u32 {
    TID.get()
}

/// The system's id of the thread that a lock word names so.
#[inline(always)]
pub(crate) fn system_id(number: u32) -> u32 {
    life::system_id(number)
}

/// The id of this thread, as the system knows it: a multiple of 4.
pub(crate) fn id() -> u32 {
    // SAFETY: takes nothing, cannot fail.
    unsafe { GetCurrentThreadId() }
}

/// The calling thread with its list.
///
/// # Errors
///
/// `Unsupported`: it has none.
pub(crate) fn current() -> io::Result<Thread> {
    let thread = without_list()?;
    robust_list::of_this_thread(thread.tid).map(|list| Thread { list, ..thread })
}

/// A number that no other thread has as long as this one lives.
pub(crate) fn self_address() -> usize {
    TID.with(|tid| std::ptr::from_ref(tid).addr())
}
