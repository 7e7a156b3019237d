//! What a signal handler locks, and what the thread's list of held locks must be like afterwards. For tests in which one
//! thread of a process matters.

use std::cell::UnsafeCell;
use std::fs::File;
use std::mem::{MaybeUninit, size_of};
use std::os::unix::fs::FileExt;
use std::ptr;

use robust_shm::{LockError, LockGuard, LockKind, RwLockWriteGuard, SharedLock, SharedRwLock};

use crate::support::{member, path};

/// The locks that the interrupted operation uses: ours, and as many of libc's.
pub(crate) const OUTER: usize = 3;
/// Those that handlers use besides.
const INNER: usize = 3;

/// All locks of one test. Forked children share them with their parent.
pub(crate) struct Locks {
    pub(crate) ours: Vec<SharedLock>,
    /// What some steps and some handlers read and write under.
    pub(crate) read: SharedRwLock,
    pub(crate) libcs: RobustMutexes<OUTER>,
    /// Of our lock 0.
    file: File,
}

impl Locks {
    pub(crate) fn new(family: &str) -> Self {
        let ours = (0..OUTER + INNER).map(|which| SharedLock::create(&member(family, which)).unwrap()).collect();
        let file = File::options().write(true).open(path(&member(family, 0))).unwrap();
        let read = SharedRwLock::create(&member(family, OUTER + INNER)).unwrap();
        Self { ours, read, libcs: RobustMutexes::new(), file }
    }

    fn inner(&self, which: usize) -> LockGuard<'_> {
        self.ours[OUTER + which].lock().unwrap()
    }

    /// Leaves our lock 0, which is free, as if somebody might sleep on it.
    fn seem_awaited(&self) {
        const LOCK_WORD: u64 = 520;
        self.file.write_all_at(&libc::FUTEX_WAITERS.to_ne_bytes(), LOCK_WORD).unwrap();
    }

    /// After a process was killed that used them: all of them can be had at once. Gives those whose holder has died: bit n
    /// for our lock n, bit 16 + n for libc's mutex n.
    pub(crate) fn take_all(&self) -> u32 {
        let mut dead = 0;
        for (which, lock) in self.ours.iter().enumerate() {
            let mut guard = lock.try_lock_ignoring_poison().unwrap_or_else(|error| panic!("lock {which}: {error}"));
            dead |= u32::from(LockGuard::is_poisoned(&guard)) << which;
            LockGuard::recover(&mut guard, || ());
        }
        let mut writing = self.read.try_write_ignoring_poison().unwrap_or_else(|error| panic!("to write: {error}"));
        RwLockWriteGuard::recover(&mut writing, || ());
        drop(writing);
        for which in 0..OUTER {
            match self.libcs.try_lock(which) {
                0 => {}
                libc::EOWNERDEAD => {
                    dead |= 1 << (16 + which);
                    self.libcs.make_consistent(which);
                }
                other => panic!("mutex {which}: {}", std::io::Error::from_raw_os_error(other)),
            }
            self.libcs.unlock(which);
        }
        dead
    }
}

/// What a handler does.
pub(crate) type Nested = fn(&Locks);

pub(crate) const NESTED: [Nested; 5] = [alone, inside_each_other, out_of_order, what_is_interrupted, reading];

fn alone(locks: &Locks) {
    drop(locks.inner(0));
}

fn inside_each_other(locks: &Locks) {
    let _first = locks.inner(0);
    let _second = locks.inner(1);
}

fn out_of_order(locks: &Locks) {
    let (first, second, third) = (locks.inner(0), locks.inner(1), locks.inner(2));
    drop(second);
    drop(first);
    drop(locks.inner(1));
    drop(third);
}

/// The lock that is just being taken or released is had or refused; another one is had meanwhile.
fn what_is_interrupted(locks: &Locks) {
    for lock in &locks.ours[..OUTER] {
        let _other = locks.inner(0);
        match lock.lock_ignoring_poison() {
            Ok(_) | Err(LockError::WouldDeadlock { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads beside another lock, and once more; unless what it interrupts is just writing, or about to.
fn reading(locks: &Locks) {
    let _other = locks.inner(1);
    let one = locks.read.read();
    for result in [&one, &locks.read.read()] {
        match result {
            Ok(_) | Err(LockError::WouldDeadlock { .. } | LockError::Poisoned { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What is interrupted: the steps of a thread that uses the outer locks.
pub(crate) type Steps = fn(&Locks);

pub(crate) const STEPS: [Steps; 13] = [
    |locks| drop(locks.ours[0].lock().unwrap()),
    |locks| {
        locks.seem_awaited();
        drop(locks.ours[0].lock().unwrap());
    },
    |locks| {
        locks.seem_awaited();
        release(locks, &[1, 0], &[0, 1]);
    },
    |locks| release(locks, &[0, 1], &[1, 0]),
    |locks| release(locks, &[0, 1, 2], &[1, 0, 2]),
    |locks| release(locks, &[LIBCS, LIBCS + 1, LIBCS + 2], &[LIBCS + 1, LIBCS + 2, LIBCS]),
    |locks| release(locks, &[0, LIBCS], &[LIBCS, 0]),
    |locks| release(locks, &[0, LIBCS, 1], &[LIBCS, 0, 1]),
    |locks| release(locks, &[LIBCS, 0, LIBCS + 1], &[LIBCS + 1, LIBCS, 0]),
    |locks| drop(locks.read.read().unwrap()),
    |locks| {
        let _outer = locks.ours[0].lock().unwrap();
        let (_one, _another) = (locks.read.read().unwrap(), locks.read.read().unwrap());
        assert!(matches!(locks.read.write(), Err(LockError::WouldDeadlock { .. })));
    },
    |locks| drop(locks.read.write().unwrap()),
    |locks| {
        let _first = locks.ours[0].lock().unwrap();
        assert!(matches!(locks.ours[0].lock(), Err(LockError::WouldDeadlock { .. })));
    },
];

/// From here on, [`release`] counts libc's mutexes.
const LIBCS: usize = 8;

/// Takes locks of both sorts in one order and releases them in another.
fn release(locks: &Locks, taken: &[usize], released: &[usize]) {
    let mut guards = [const { None }; OUTER];
    for which in taken {
        match which.checked_sub(LIBCS) {
            Some(libcs) => assert_eq!(locks.libcs.lock(libcs), 0),
            None => guards[*which] = Some(locks.ours[*which].lock().unwrap()),
        }
    }
    for which in released {
        match which.checked_sub(LIBCS) {
            Some(libcs) => locks.libcs.unlock(libcs),
            None => guards[*which] = None,
        }
    }
}

/// Robust mutexes of libc's that processes share: inherited through forks, at one address.
pub(crate) struct RobustMutexes<const N: usize> {
    mutexes: *const [UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>; N],
}

// SAFETY: mutexes are made to be used by several threads.
#[allow(unsafe_code)]
unsafe impl<const N: usize> Send for RobustMutexes<N> {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl<const N: usize> Sync for RobustMutexes<N> {}

#[allow(unsafe_code)]
impl<const N: usize> RobustMutexes<N> {
    pub(crate) fn new() -> Self {
        Self::with(|_| 0)
    }

    /// Those whose owner inherits the priority of who waits. libc marks the links to their nodes.
    #[allow(dead_code, reason = "each test binary uses its own part")]
    pub(crate) fn inheriting() -> Self {
        // Not in every version of the crate `libc`.
        const PTHREAD_PRIO_INHERIT: libc::c_int = 1;
        unsafe extern "C" {
            fn pthread_mutexattr_setprotocol(
                attributes: *mut libc::pthread_mutexattr_t,
                protocol: libc::c_int,
            ) -> libc::c_int;
        }
        // SAFETY: the attributes are initialised, says `with`.
        Self::with(|attributes| unsafe { pthread_mutexattr_setprotocol(attributes, PTHREAD_PRIO_INHERIT) })
    }

    /// `choose` is given initialised attributes.
    fn with(choose: impl FnOnce(*mut libc::pthread_mutexattr_t) -> libc::c_int) -> Self {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let (access, len) = (libc::PROT_READ | libc::PROT_WRITE, N * size_of::<libc::pthread_mutex_t>());
        // SAFETY: an anonymous mapping at an address of the kernel's choice.
        let region = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
        assert_ne!(region, libc::MAP_FAILED);
        let this = Self { mutexes: region.cast_const().cast() };
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        // SAFETY: room for the attributes.
        check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) });
        // SAFETY: initialised above.
        check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST) });
        // SAFETY: initialised above.
        check(unsafe { libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED) });
        check(choose(attributes.as_mut_ptr()));
        for which in 0..N {
            // SAFETY: room for a mutex that nobody uses yet, and initialised attributes.
            check(unsafe { libc::pthread_mutex_init(this.mutex(which), attributes.as_ptr()) });
        }
        this
    }

    fn mutex(&self, which: usize) -> *mut libc::pthread_mutex_t {
        // SAFETY: mapped until the process ends, and changed inside cells only.
        let mutexes = unsafe { &*self.mutexes };
        mutexes[which].get().cast()
    }

    /// The error number.
    pub(crate) fn lock(&self, which: usize) -> libc::c_int {
        // SAFETY: an initialised mutex.
        unsafe { libc::pthread_mutex_lock(self.mutex(which)) }
    }

    pub(crate) fn try_lock(&self, which: usize) -> libc::c_int {
        // SAFETY: as above.
        unsafe { libc::pthread_mutex_trylock(self.mutex(which)) }
    }

    pub(crate) fn unlock(&self, which: usize) {
        // SAFETY: a mutex that this thread holds.
        check(unsafe { libc::pthread_mutex_unlock(self.mutex(which)) });
    }

    /// Has somebody said in the mutex's word that the kernel must be asked?
    #[allow(dead_code, reason = "each test binary uses its own part")]
    pub(crate) fn waited_for(&self, which: usize) -> bool {
        const WORD: usize = if cfg!(target_env = "musl") { 4 } else { 0 };
        // SAFETY: of a mutex that is mapped until the process ends.
        let word = unsafe { self.mutex(which).wrapping_byte_add(WORD).cast::<u32>().read_volatile() };
        word & libc::FUTEX_WAITERS != 0
    }

    /// Says that what the mutex protects is whole again.
    pub(crate) fn make_consistent(&self, which: usize) {
        // SAFETY: a mutex that this thread has just got from a dead owner.
        check(unsafe { libc::pthread_mutex_consistent(self.mutex(which)) });
    }
}

fn check(errno: libc::c_int) {
    assert_eq!(errno, 0, "{}", std::io::Error::from_raw_os_error(errno));
}

/// Is so much in the thread's list? Where our locks are in none, that is not asked.
#[track_caller]
pub(crate) fn assert_listed(count: usize) {
    if LockKind::Futex.is_available() {
        assert_eq!(walk_robust_list(), count);
    }
}

/// Walks this thread's list of held locks, asserts that each node is where its neighbour says and belongs to a lock that
/// this thread holds, and gives how many there are.
#[allow(unsafe_code)]
pub(crate) fn walk_robust_list() -> usize {
    let mut head = ptr::null_mut::<usize>();
    let mut len = 0usize;
    // SAFETY: 0 is the calling thread; both pointers are to locals of the types that the call writes.
    let result = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    assert_eq!(result, 0);
    if head.is_null() {
        return 0; // a forked child on musl, where only locking registers the list
    }
    // SAFETY: takes nothing.
    let tid = unsafe { libc::gettid() }.cast_unsigned();
    let at = |address: usize| {
        // SAFETY: of the head, or of a node in the list, which lie in mapped memory.
        unsafe { ptr::with_exposed_provenance::<usize>(address).read_unaligned() }
    };
    let head = head.expose_provenance();
    let offset = at(head + 8).cast_signed();
    let (mut count, mut previous, mut link) = (0, head, at(head));
    while link & !1 != head {
        let node = link & !1;
        assert!(count < 2 * (OUTER + INNER), "the list has no end");
        assert!(count == 0 || at(node - 8) & !1 == previous, "a node that does not point back");
        let word = at(node.wrapping_add_signed(offset)) as u32;
        assert_eq!(word & libc::FUTEX_TID_MASK, tid, "a node of a lock that is not held");
        (count, previous, link) = (count + 1, node, at(node));
    }
    let pending = at(head + 16) & !1;
    let mut listed = at(head) & !1;
    while pending != 0 && listed != pending {
        assert_ne!(listed, head, "something is pending that is not in the list");
        listed = at(listed) & !1;
    }
    count
}
