//! The proof that libc keeps its robust list as `robust_list.rs` describes it.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::sync::atomic::{AtomicU8, Ordering};

use super::{FUTEX_OFFSET, Node, RobustList, WORD, load, owner};

/// Has libc register the thread's list, as musl does when it is first needed.
pub(super) fn touch() -> io::Result<()> {
    Mutexes::<1>::new()?.with(|mutexes| mutexes.lock(0).and_then(|()| mutexes.unlock(0)))
}

/// Proves, once in each process, that libc keeps the list as described: real robust mutexes are locked, and the list is
/// read. Two threads that prove at once do no harm.
pub(super) fn prove_once(list: RobustList, tid: u32) -> io::Result<()> {
    const UNKNOWN: u8 = 0;
    const GOOD: u8 = 1;
    const BAD: u8 = 2;
    static VERDICT: AtomicU8 = AtomicU8::new(UNKNOWN);
    let mut verdict = VERDICT.load(Ordering::Relaxed);
    if verdict == UNKNOWN {
        verdict = if Mutexes::<2>::new()?.with(|mutexes| prove(list, tid, mutexes))? { GOOD } else { BAD };
        VERDICT.store(verdict, Ordering::Relaxed);
    }
    if verdict == GOOD { Ok(()) } else { Err(unsupported("the C library's robust list is not as documented")) }
}

fn prove(list: RobustList, tid: u32, mutexes: &Mutexes<2>) -> io::Result<bool> {
    let first = || load(list.first().addr());
    let before = first();
    mutexes.lock(0)?;
    let one = first();
    // Only a node that lies in the mutex may be followed.
    let mut good = mutexes.holds_node(0, one) && load(one) == before && owner(one) == tid;
    mutexes.lock(1)?;
    let two = first();
    good = good && mutexes.holds_node(1, two) && load(two) == one && load(one - WORD) == two;
    mutexes.unlock(1)?;
    good = good && first() == one;
    mutexes.unlock(0)?;
    Ok(good && first() == before && load(list.pending().addr()) == 0)
}

/// Throw-away robust mutexes of libc's. Boxed: a pthread mutex must not move once it is in use.
struct Mutexes<const N: usize>(Box<[MaybeUninit<libc::pthread_mutex_t>; N]>);

impl<const N: usize> Mutexes<N> {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: the pointer is to room for the attributes.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the attributes were initialised above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) })?;
        // musl registers a list for the sake of mutexes that processes share, and for no other.
        // SAFETY: as above.
        check(unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) })?;
        let mut mutexes = Box::new([const { MaybeUninit::uninit() }; N]);
        for mutex in mutexes.iter_mut() {
            // SAFETY: room for a mutex, and attributes that were initialised above.
            check(unsafe { libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr()) })?;
        }
        // SAFETY: initialised above, not used again.
        check(unsafe { libc::pthread_mutexattr_destroy(attributes.as_mut_ptr()) })?;
        Ok(Self(mutexes))
    }

    /// Runs `use_them`; the mutexes are freed only when it succeeded, which it does only with all of them unlocked: a
    /// locked one is in the thread's list for good.
    fn with<R>(self, use_them: impl FnOnce(&Self) -> io::Result<R>) -> io::Result<R> {
        let result = use_them(&self);
        if result.is_err() {
            std::mem::forget(self);
        }
        result
    }

    fn mutex(&self, which: usize) -> *mut libc::pthread_mutex_t {
        self.0[which].as_ptr().cast_mut()
    }

    fn lock(&self, which: usize) -> io::Result<()> {
        // SAFETY: an initialised mutex that only this thread knows; pthread mutexes are made to be changed through
        // shared pointers.
        check(unsafe { libc::pthread_mutex_lock(self.mutex(which)) })
    }

    fn unlock(&self, which: usize) -> io::Result<()> {
        // SAFETY: as in `lock`, and this thread holds it.
        check(unsafe { libc::pthread_mutex_unlock(self.mutex(which)) })
    }

    /// Do the node, its back pointer and its futex word all lie in this mutex?
    fn holds_node(&self, which: usize, node: Node) -> bool {
        let start = self.mutex(which).expose_provenance();
        let end = start + size_of::<libc::pthread_mutex_t>();
        let word = node.wrapping_add_signed(FUTEX_OFFSET);
        node.wrapping_sub(WORD) >= start
            && node <= end - WORD
            && word >= start
            && word <= end - 4
            && word.is_multiple_of(4)
    }
}

fn check(errno: libc::c_int) -> io::Result<()> {
    if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
}

pub(super) fn unsupported(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, why)
}
