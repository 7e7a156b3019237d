//! A mapped segment, its lock and its presence: what a handle has, and the order in which these go.
#![allow(unsafe_code)]

use std::mem::{ManuallyDrop, offset_of};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;

use super::measures::Measures;
use super::registered::Registered;
use crate::error::Error;
use crate::fault::point;
use crate::identity::Description;
use crate::kind::{Body, Kind, Word};
use crate::layout::{self, Header, LockLine};
use crate::name::Name;
use crate::options::LockKind;
use crate::os::map::Map;
use crate::sync::mutex::{Mutex, Permits, Readers};
use crate::sync::poison::Poison;
use crate::sync::users::Users;

pub(super) struct Mapping {
    map: ManuallyDrop<Map>,
    pub(super) base: NonNull<u8>,
    pub(super) measures: Measures,
    body: Body,
    pub(super) mutex: Mutex,
    word: Word,
    pub(super) name: Name,
    pub(super) was_created: bool,
    /// What the elements are made of, if that is known.
    pub(super) description: Option<Arc<Description>>,
    pub(super) presence: ManuallyDrop<Registered>,
}

// SAFETY: the mapping belongs to the process and not to a thread; all access to it goes through atomics, or through
// the lock (`Locked`), and contents are `Send` (arrays also `Sync`) by the bounds of their constructors.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}
// What a panic can leave half-done in a segment is what a death can: values never are, arrays are poisoned.
impl UnwindSafe for Mapping {}
impl RefUnwindSafe for Mapping {}

impl Mapping {
    /// Wraps a mapping of the file that has this header, and as long as it says. What has just been created
    /// and fails here is taken back.
    pub(super) fn new(
        map: Map,
        header: &Header,
        lock_kind: LockKind,
        name: Name,
        description: Option<Arc<Description>>,
        presence: Registered,
        was_created: bool,
    ) -> Result<Self, Error> {
        let base = map.start();
        let kind = Kind::from_stored(header.kind);
        let body = kind.map_or(Body::Nothing, Kind::body);
        // SAFETY: the mapping is `header.total_len` bytes, which includes the lock line.
        let line = unsafe { base.add(layout::LOCK_OFFSET) }.cast();
        let slots = header.readers as usize;
        let poison = kind.map_or(Poison::Never, |kind| Poison::of(kind, header.poisons()));
        let word = kind.map_or(Word::Holder, Kind::word);
        // SAFETY: as above, and so is the header.
        let namespace = unsafe { base.add(offset_of!(Header, pid_namespace)) }.cast();
        // SAFETY: 8-aligned; unmapped only by our drop, together with the lock.
        let users = unsafe { Users::new(presence.seat(), namespace, lock_kind) };
        // SAFETY: page-aligned base and a multiple of 64: aligned; unmapped only by our drop, and not while held. The
        // length was checked against the number of slots.
        let mutex = unsafe { Mutex::new(line, lock_kind, name.shared(), users, poison, slots) };
        let mutex = match mutex {
            Ok(mutex) => mutex,
            Err(source) => {
                if was_created {
                    presence.retract();
                }
                return Err(Error::Lock { source });
            }
        };
        Ok(Self {
            map: ManuallyDrop::new(map),
            base,
            measures: Measures::of(header),
            body,
            mutex,
            word,
            name,
            was_created,
            description,
            presence: ManuallyDrop::new(presence),
        })
    }

    /// The permits of a semaphore; of another kind, none.
    #[inline(always)]
    pub(super) fn permits(&self) -> Permits<'_> {
        let count = if self.body == Body::Permits { self.measures.count } else { 0 };
        // SAFETY: within the mapping.
        let line = unsafe { self.base.add(layout::LOCK_OFFSET) };
        // SAFETY: the lock line, of which the bell line is another view; made of atomics.
        let bell = unsafe { line.cast().as_ref() };
        // SAFETY: within the mapping, whose length was checked against the number of permits.
        let first = unsafe { self.base.add(layout::PERMITS_OFFSET) }.cast::<LockLine>();
        // SAFETY: so many lines stand there, 64-aligned; all that is changed in them is atomic or in an `UnsafeCell`.
        let lines = unsafe { NonNull::slice_from_raw_parts(first, count).as_ref() };
        Permits::new(&self.mutex, bell, lines)
    }

    /// Readers side by side, of a kind that can have any.
    pub(super) fn readers(&self) -> Option<Readers<'_>> {
        // SAFETY: such a kind has a reader line.
        self.body.has_readers().then(|| unsafe { self.mutex.readers() })
    }

    fn is_held_by_leaked_guard(&self) -> bool {
        if self.readers().is_some_and(|readers| readers.any_is_held_by_leaked_guard()) {
            return true;
        }
        match self.word {
            Word::Holder => self.mutex.is_held_by_leaked_guard(),
            Word::Bell => self.permits().any_is_held_by_leaked_guard(),
            // Nobody holds an event, and whoever waits for it borrows the handle.
            Word::Event => false,
        }
    }

    /// Whoever asked for it has it from here on, and so has a forked child.
    pub(super) fn owned(self) -> Self {
        self.presence.belong();
        self
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // A leaked guard has left its node in its thread's robust list: libc and the kernel will write to it. So a lock
        // that may be held is never unmapped. Nor is it left: whoever found no user would take its holder for dead, and
        // have the node put into his own list.
        if self.is_held_by_leaked_guard() {
            return;
        }
        // SAFETY: dropped once, here, and nothing uses the mapping any more.
        unsafe { ManuallyDrop::drop(&mut self.map) };
        point!("close: unmapped");
        // The last thing that happens.
        // SAFETY: dropped once, here.
        unsafe { ManuallyDrop::drop(&mut self.presence) };
    }
}
