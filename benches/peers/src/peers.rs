//! The locks that are compared, behind one face: a number, a lock around it, and a way for another process to get there.

mod condition;
mod file;
mod posix;
mod raw;

use std::cell::UnsafeCell;

use robust_shm::{LockGuard, LockKind, SharedLock, SharedValue, ValueGuard, unique_name};

pub use condition::PthreadCondition;
pub use file::{Flock, OfdByte};
pub use posix::{PthreadRobust, PthreadShared};
pub use raw::RawSync;

/// A lock between processes with a number that it guards, in another cache line than the lock's.
pub trait Peer: Sized {
    const WHO: &str;

    fn create() -> Self;

    /// To be called in a forked child: what the child uses instead of what it inherited.
    fn attach(&self) -> Self;

    /// The lock while it is held.
    type Guard<'a>
    where
        Self: 'a;

    fn hold(&self) -> Self::Guard<'_>;

    /// Locks even when a holder has died.
    fn hold_whatever_happened(&self) -> Self::Guard<'_> {
        self.hold()
    }

    /// Locks, gives access to the number, unlocks.
    fn locked<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R;

    /// Adds one if the number says that it is this side's turn.
    #[inline]
    fn take_turn(&self, side: u64) -> bool {
        self.locked(|number| {
            let mine = *number % 2 == side;
            *number += u64::from(mine);
            mine
        })
    }

    /// The number.
    fn number(&self) -> u64 {
        self.locked(|number| *number)
    }
}

impl Peer for SharedValue<u64> {
    const WHO: &str = "SharedValue";
    type Guard<'a> = ValueGuard<'a, u64>;

    #[inline]
    fn hold(&self) -> ValueGuard<'_, u64> {
        self.lock().expect("a value's lock is not poisoned")
    }

    fn create() -> Self {
        Self::create(&unique_name("peers"), 0).expect("a new name")
    }

    fn attach(&self) -> Self {
        Self::open(self.name()).expect("the parent holds it")
    }

    #[inline]
    fn locked<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R {
        action(&mut self.hold())
    }

    #[inline]
    fn take_turn(&self, side: u64) -> bool {
        let mut number = self.hold();
        let mine = *number % 2 == side;
        if mine {
            *number += 1;
        }
        mine
    }

    fn number(&self) -> u64 {
        self.get()
    }
}

/// [`SharedLock`] guards a number that is elsewhere, with the default kind of lock.
pub type NumberBesideLock = NumberBeside<FUTEX>;
/// The same with [`LockKind::File`].
pub type NumberBesideFile = NumberBeside<FILE>;
/// The same with [`LockKind::OsMutex`].
pub type NumberBesideOsMutex = NumberBeside<OS_MUTEX>;

const FUTEX: usize = 0;
const FILE: usize = 1;
const OS_MUTEX: usize = 2;
const KINDS: [LockKind; 3] = [LockKind::Futex, LockKind::File, LockKind::OsMutex];

pub struct NumberBeside<const KIND: usize> {
    pub lock: SharedLock,
    room: Room<()>,
}

impl<const KIND: usize> Peer for NumberBeside<KIND> {
    const WHO: &str = ["SharedLock", "SharedLock, File", "SharedLock, OsMutex"][KIND];
    type Guard<'a> = LockGuard<'a>;

    #[inline]
    fn hold(&self) -> LockGuard<'_> {
        self.lock.lock().expect("nobody dies here")
    }

    fn hold_whatever_happened(&self) -> LockGuard<'_> {
        self.lock.lock_recover(|| ()).expect("recovered")
    }

    fn create() -> Self {
        let lock = SharedLock::options().lock_kind(KINDS[KIND]).create(&unique_name("peers")).expect("a new name");
        Self { lock, room: Room::new() }
    }

    fn attach(&self) -> Self {
        let lock = SharedLock::open(self.lock.name()).expect("the parent holds it");
        Self { lock, room: self.room }
    }

    #[inline]
    fn locked<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R {
        let _guard = self.hold();
        // SAFETY: the lock is held.
        action(unsafe { &mut *self.room.number() })
    }
}

/// Memory for a lock of somebody else, and its number a line behind it; shared with forked children, never unmapped.
pub struct Room<L> {
    start: *mut RoomOf<L>,
}

#[repr(C, align(64))]
struct RoomOf<L> {
    lock: UnsafeCell<L>,
    number: Line,
}

#[repr(C, align(64))]
struct Line(UnsafeCell<u64>);

impl<L> Clone for Room<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for Room<L> {}

impl<L> Room<L> {
    pub fn new() -> Self {
        Self { start: crate::sys::map(size_of::<RoomOf<L>>()).as_ptr().cast() }
    }

    pub fn lock(&self) -> *mut L {
        // SAFETY: mapped for ever, zero at first; only the cell's address is taken.
        unsafe { (*self.start).lock.get() }
    }

    pub fn number(&self) -> *mut u64 {
        // SAFETY: as above.
        unsafe { (*self.start).number.0.get() }
    }
}

/// Something to do inside and outside of locks: `steps` dependent multiplications and additions.
#[inline]
pub fn work(steps: u64) {
    let mut x = steps;
    for _ in 0..steps {
        x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
    std::hint::black_box(x);
}

/// What one step of [`work`] takes, in nanoseconds.
pub fn step_ns() -> f64 {
    let steps = 2_000_000;
    let before = crate::sys::own_time();
    work(steps);
    (crate::sys::own_time() - before) as f64 / steps as f64
}
