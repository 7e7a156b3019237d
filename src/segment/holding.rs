//! A lock that is held, and the handle with it: a reference to that, or an `Arc`. So one guard is of both, and the second
//! needs no lifetime.
#![allow(unsafe_code)]

use std::ops::Deref;
use std::ptr;
use std::sync::Arc;

use super::elements::{Bytes, Elements};
use super::locked::Locked;
use super::{Contents, ElementsOf, Segment};
use crate::error::LockError;
use crate::sync::mutex::{Detached, DetachedReading, Reading};

/// A handle, as such a guard sees it.
pub(crate) trait Handle {
    type Contents: Contents;

    fn segment(&self) -> &Segment<Self::Contents>;
}

type ContentsOf<L> = <<L as Deref>::Target as Handle>::Contents;

/// What leads to a handle.
///
/// # Safety
///
/// It leads always to the same, which stays where it is as long as this lives.
pub(crate) unsafe trait Leads: Deref<Target: Handle> {}

// SAFETY: a reference does.
unsafe impl<H: Handle> Leads for &H {}
// SAFETY: an `Arc` does.
unsafe impl<H: Handle> Leads for Arc<H> {}

/// [`Locked`], with what leads to its handle. Whoever has it releases the lock on drop.
#[derive(Debug)]
pub(crate) struct Holding<L> {
    detached: Detached,
    /// As a [`Leads`], which only `new` asks for.
    handle: L,
}

impl<L: Leads> Holding<L> {
    /// `lock`: takes the lock of this segment.
    #[inline(always)]
    pub(crate) fn new(
        handle: L,
        lock: impl FnOnce(&Segment<ContentsOf<L>>) -> Result<Locked<'_, ContentsOf<L>>, LockError>,
    ) -> Result<Self, LockError> {
        let segment = handle.segment();
        let locked = lock(segment)?;
        assert!(ptr::eq(locked.held.mutex(), segment.mutex()), "the lock of this segment");
        let detached = locked.held.detach();
        Ok(Self { detached, handle })
    }
}

impl<L: Deref<Target: Handle>> Holding<L> {
    pub(crate) fn handle(&self) -> &L::Target {
        &self.handle
    }

    /// To be used, but not to be changed.
    #[inline(always)]
    pub(crate) fn locked(&self) -> Locked<'_, ContentsOf<L>> {
        let segment = self.handle.segment();
        // SAFETY: as `new` has asserted, and it leads to the same since. Only this one has it, and makes a twin at a time.
        let held = unsafe { self.detached.attach(segment.mutex()) };
        Locked::of(segment, held)
    }

    /// Something that may change it, as a wait does.
    pub(crate) fn change<R>(&mut self, action: impl FnOnce(&mut Locked<'_, ContentsOf<L>>) -> R) -> R {
        /// Also when the action unwinds.
        struct Changing<'a, C: Contents>(Locked<'a, C>, &'a mut Detached);
        impl<C: Contents> Drop for Changing<'_, C> {
            fn drop(&mut self) {
                *self.1 = self.0.held.twin().detach();
            }
        }
        let Self { detached, handle } = self;
        let segment = handle.segment();
        // SAFETY: as in `locked`.
        let held = unsafe { detached.attach(segment.mutex()) };
        action(&mut Changing(Locked::of(segment, held), detached).0)
    }
}

impl<L: Deref<Target: Handle<Contents = ElementsOf<Bytes>>>> Holding<L> {
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        let place = self.locked().place();
        // SAFETY: as in `Locked::elements`: the lock is held as long as `self`, and changes need a `&mut self`.
        unsafe { place.as_ref() }.as_slice()
    }

    #[inline(always)]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let mut place = self.locked().place();
        // SAFETY: as in `Locked::elements_mut`; and `self` is borrowed exclusively.
        unsafe { place.as_mut() }.as_mut_slice()
    }
}

/// [`Reading`], with what leads to its handle. Whoever has it ends it on drop.
#[derive(Debug)]
pub(crate) struct HoldingToRead<L> {
    detached: DetachedReading,
    handle: L,
}

impl<L: Leads> HoldingToRead<L> {
    /// `enter`: becomes a reader of this segment.
    pub(crate) fn new(
        handle: L,
        enter: impl FnOnce(&Segment<ContentsOf<L>>) -> Result<Reading<'_>, LockError>,
    ) -> Result<Self, LockError> {
        let segment = handle.segment();
        let reading = enter(segment)?;
        assert!(reading.is_of(segment.mutex()), "a reader of this segment");
        let detached = reading.detach();
        Ok(Self { detached, handle })
    }
}

impl<L: Deref<Target: Handle>> HoldingToRead<L> {
    /// Lets writers in, if this thread reads.
    pub(crate) fn release(&self) {
        // SAFETY: as `new` has asserted, and it leads to the same since.
        unsafe { self.detached.attach(self.handle.segment().mutex()) }.release();
    }
}

impl<L: Deref<Target: Handle<Contents = ElementsOf<Bytes>>>> HoldingToRead<L> {
    #[inline(always)]
    pub(crate) fn bytes(&self) -> &[u8] {
        let place = self.handle.segment().place();
        // SAFETY: as in `Read::elements`: who changes anything waits until this reader has left.
        unsafe { place.as_ref() }.as_slice()
    }
}
