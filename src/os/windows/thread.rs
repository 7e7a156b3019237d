//! What each thread needs for locking, cached: its id, and the life by which others hear of its end.

use std::cell::Cell;
use std::io;
use std::mem::ManuallyDrop;

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

/// What a thread knows of itself.
struct Known {
    /// 0 before the first look-up.
    number: Cell<u32>,
    /// Of how many words is this thread the owner?
    held: Cell<u32>,
    /// Stays open until the process ends, unless [`end`](Self::end) closes it.
    life: Cell<Option<ManuallyDrop<life::Own>>>,
}

impl Known {
    const fn nothing() -> Self {
        Self { number: Cell::new(0), held: Cell::new(0), life: Cell::new(None) }
    }

    /// No word names this thread any more. If it goes on, it gets another number.
    #[cold]
    fn end(&self) {
        self.number.set(0);
        drop(self.life.take().map(ManuallyDrop::into_inner));
    }
}

/// What is dropped when the thread ends by itself.
struct Ending(Known);

impl Drop for Ending {
    fn drop(&mut self) {
        let Self(known) = self;
        if known.held.get() == 0 {
            return known.end();
        }
        // In another thread-local may be what holds it.
        let _ = AT_THE_END.try_with(|late| {
            late.number.set(known.number.get());
            late.held.set(known.held.get());
            late.life.set(known.life.take());
        });
    }
}

thread_local! {
    static KNOWN: Ending = const { Ending(Known::nothing()) };
    /// For the destructors of other thread-locals. Without a destructor of its own: so it is there until the last of them, but
    /// where thread-locals are the standard library's own make (`windows-gnu`): there it may begin anew, and a life that it had
    /// stays open.
    static AT_THE_END: Known = const { Known::nothing() };
}

#[inline(always)]
fn known<R>(look: impl Fn(&Known) -> R) -> R {
    KNOWN.try_with(|known| look(&known.0)).unwrap_or_else(|_| AT_THE_END.with(look))
}

/// A word names the calling thread as its owner: for as long as there is one, others can hear of the thread's end.
#[inline(always)]
pub(crate) fn note_taken() {
    known(|known| known.held.set(known.held.get().saturating_add(1)));
}

/// That word does not any more.
#[inline(always)]
pub(crate) fn note_given_back() {
    let less = |known: &Known| {
        let held = known.held.get().saturating_sub(1);
        known.held.set(held);
        held
    };
    if KNOWN.try_with(|known| less(&known.0)).is_err() {
        AT_THE_END.with(|late| {
            if less(late) == 0 {
                late.end()
            }
        });
    }
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
    let tid = number();
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
    let (number, life) = life::begin(id())?;
    let life = Cell::new(Some(ManuallyDrop::new(life)));
    known(|known| {
        known.life.set(life.take());
        known.number.set(number);
    });
    Ok(Thread::of(number))
}

/// What stands for the calling thread in lock words, or 0.
#[inline(always)]
pub(super) fn number() -> u32 {
    known(|known| known.number.get())
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
    AT_THE_END.with(|late| std::ptr::from_ref(late).addr())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The numbers of so many threads, one after the other, each of which has done this before and after it had one.
    fn ended(count: usize, before: fn(), after: fn()) -> Vec<u32> {
        let number = move || {
            before();
            let number = without_list().unwrap().tid;
            after();
            number
        };
        (0..count).map(|_| std::thread::spawn(number).join().unwrap()).collect()
    }

    fn are_known(numbers: &[u32]) -> usize {
        numbers.iter().filter(|number| life::of(**number).unwrap().is_some()).count()
    }

    /// More of them than one id can leave behind.
    #[test]
    fn a_thread_that_holds_nothing_leaves_nothing() {
        let numbers = ended(
            200,
            || (),
            || {
                note_taken();
                note_given_back();
            },
        );
        // Not none: another test's thread may have got a number.
        assert!(are_known(&numbers) < 20, "{} of 200 are left", are_known(&numbers));
    }

    #[test]
    fn of_one_that_holds_something_others_hear() {
        let numbers = ended(3, || (), note_taken);
        for number in numbers {
            assert!(life::of(number).unwrap().unwrap().has_ended().unwrap());
        }
    }

    static LATE_NUMBERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());

    /// Comes to be in a destructor, so that its own comes behind this file's.
    struct Later;

    impl Drop for Later {
        fn drop(&mut self) {
            LATE_NUMBERS.lock().unwrap().push(without_list().unwrap().tid);
            note_taken();
            note_given_back();
        }
    }

    struct Late;

    impl Drop for Late {
        fn drop(&mut self) {
            thread_local! {
                static LATER: Later = const { Later };
            }
            LATER.with(|_| ());
        }
    }

    #[test]
    fn who_gives_back_at_the_very_end_leaves_nothing_either() {
        thread_local! {
            static LATE: Late = const { Late };
        }
        let numbers = ended(100, || LATE.with(|_| ()), || ());
        let late_numbers = LATE_NUMBERS.lock().unwrap();
        // Of 64 numbers it may be the same again.
        let others = numbers.iter().zip(&*late_numbers).filter(|(number, late)| number != late).count();
        assert!(late_numbers.len() == 100 && others > 50, "{others} of {}", late_numbers.len());
        assert!(are_known(&numbers) < 20 && are_known(&late_numbers) < 20);
    }
}
