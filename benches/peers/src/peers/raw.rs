//! `raw_sync`'s mutex.

use raw_sync::locks::{LockGuard, LockImpl, LockInit, Mutex};

use super::{Peer, Room};

pub struct RawSync {
    room: Room<[u64; 8]>,
    lock: Box<dyn LockImpl>,
}

impl Peer for RawSync {
    const WHO: &str = "raw_sync";
    type Guard<'a> = LockGuard<'a>;

    #[inline]
    fn hold(&self) -> LockGuard<'_> {
        self.lock.lock().expect("nobody dies here")
    }

    fn create() -> Self {
        let room = Room::<[u64; 8]>::new();
        // SAFETY: the memory is aligned, and stays for ever.
        let (lock, used) = unsafe { Mutex::new(room.lock().cast(), room.number().cast()) }.expect("a new mutex");
        assert!(used <= 64);
        Self { room, lock }
    }

    fn attach(&self) -> Self {
        let room = self.room;
        // SAFETY: initialised by `create`.
        let found = unsafe { Mutex::from_existing(room.lock().cast(), room.number().cast()) };
        Self { room, lock: found.expect("it exists").0 }
    }

    #[inline]
    fn locked<R>(&self, action: impl FnOnce(&mut u64) -> R) -> R {
        let guard = self.hold();
        let number: *mut u8 = *guard;
        // SAFETY: the guard's pointer is to the number given above, and the lock is held.
        action(unsafe { &mut *number.cast::<u64>() })
    }
}
