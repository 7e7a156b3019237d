//! A lock that is held, without the reference to its mutex: for guards that have the handle beside it, in which the mutex is,
//! and may move with that. A reference into what is beside it could not.

use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;

use super::Mutex;
use super::held::{GuardStaysOnItsThread, Held, Own};
use super::readers::Reading;
use crate::layout::LockLine;
use crate::os::robust_list::RobustList;

/// [`Held`] without its mutex. For the fields, see there.
#[derive(Debug)]
pub(crate) struct Detached {
    not_send: PhantomData<dyn GuardStaysOnItsThread>,
    alone_in: Own<RobustList>,
    owner: u64,
    generation: usize,
    was_panicking: usize,
}

impl Held<'_> {
    #[inline(always)]
    pub(crate) fn detach(self) -> Detached {
        let Self { not_send, alone_in, owner, generation, was_panicking, .. } = self;
        Detached { not_send, alone_in, owner, generation, was_panicking }
    }
}

impl Detached {
    /// What it was before, of which one only may be used.
    ///
    /// # Safety
    ///
    /// It is the mutex that it was detached from.
    #[inline(always)]
    pub(crate) unsafe fn attach<'a>(&self, mutex: &'a Mutex) -> Held<'a> {
        let Self { not_send, alone_in, owner, generation, was_panicking } = *self;
        Held { not_send, mutex, line: Own(mutex.line), alone_in, owner, generation, was_panicking }
    }
}

/// [`Reading`] without its mutex. For the fields, see there.
#[derive(Debug)]
pub(crate) struct DetachedReading {
    not_send: PhantomData<dyn GuardStaysOnItsThread>,
    line: Own<NonNull<LockLine>>,
    alone_in: Own<RobustList>,
    owner: u64,
    generation: usize,
}

// As `Reading`.
impl UnwindSafe for DetachedReading {}
impl RefUnwindSafe for DetachedReading {}

impl Reading<'_> {
    #[inline(always)]
    pub(crate) fn detach(self) -> DetachedReading {
        let Self { not_send, line, alone_in, owner, generation, .. } = self;
        DetachedReading { not_send, line, alone_in, owner, generation }
    }

    pub(crate) fn is_of(&self, mutex: &Mutex) -> bool {
        std::ptr::eq(self.mutex, mutex)
    }
}

impl DetachedReading {
    /// What it was before, of which one only may be used.
    ///
    /// # Safety
    ///
    /// It is the mutex that it was detached from.
    #[inline(always)]
    pub(crate) unsafe fn attach<'a>(&self, mutex: &'a Mutex) -> Reading<'a> {
        let Self { not_send, line, alone_in, owner, generation } = *self;
        Reading { not_send, mutex, line, alone_in, owner, generation }
    }
}
