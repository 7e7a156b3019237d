//! Shared values of several words, behind one face: read a consistent copy, write a new value.

#[cfg(feature = "iceoryx2")]
mod blackboard;
mod left_right;

use robust_shm::{SharedValue, unique_name};

#[cfg(feature = "iceoryx2")]
pub use blackboard::Blackboard;
pub use left_right::MmapSync;

use crate::peers::{Peer, Room};

/// A value of `N` words that is read and written as a whole.
pub trait Store<const N: usize>: Sized {
    /// The most writers that it allows.
    const WRITERS: usize = usize::MAX;

    /// A copy may be torn; that is said, and not an error.
    const MAY_TEAR: bool = false;

    fn create() -> Self;

    /// To be called in a forked child: how the child reads.
    fn attach(&self) -> Self;

    /// To be called in a forked child: how the child writes.
    fn attach_writer(&self) -> Self {
        self.attach()
    }

    fn read(&mut self) -> [u64; N];

    fn write(&mut self, value: &[u64; N]);
}

impl<const N: usize> Store<N> for SharedValue<[u64; N]> {
    fn create() -> Self {
        Self::create(&unique_name("peers"), [0; N]).expect("a new name")
    }

    fn attach(&self) -> Self {
        Self::open(self.name()).expect("the parent holds it")
    }

    #[inline]
    fn read(&mut self) -> [u64; N] {
        self.get()
    }

    #[inline]
    fn write(&mut self, value: &[u64; N]) {
        self.set(*value).expect("a value's lock is not poisoned");
    }
}

/// Words behind a lock.
pub struct Locked<P, const N: usize> {
    peer: P,
    words: Room<[u64; N]>,
}

impl<P: Peer, const N: usize> Store<N> for Locked<P, N> {
    fn create() -> Self {
        Self { peer: P::create(), words: Room::new() }
    }

    fn attach(&self) -> Self {
        Self { peer: self.peer.attach(), words: self.words }
    }

    #[inline]
    fn read(&mut self) -> [u64; N] {
        let _guard = self.peer.hold();
        // SAFETY: valid for ever, and the lock is held.
        unsafe { *self.words.lock() }
    }

    #[inline]
    fn write(&mut self, value: &[u64; N]) {
        let _guard = self.peer.hold();
        // SAFETY: as above.
        unsafe { *self.words.lock() = *value };
    }
}

/// The floor: a copy without any protection. It has no writers.
pub struct Bare<const N: usize>(Room<[u64; N]>);

impl<const N: usize> Store<N> for Bare<N> {
    const WRITERS: usize = 0;

    fn create() -> Self {
        Self(Room::new())
    }

    fn attach(&self) -> Self {
        Self(self.0)
    }

    #[inline]
    fn read(&mut self) -> [u64; N] {
        // SAFETY: valid for ever, and nobody writes.
        unsafe { *self.0.lock() }
    }

    fn write(&mut self, _: &[u64; N]) {
        unreachable!("nobody writes here");
    }
}
