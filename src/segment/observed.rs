//! A segment that this process only looks at. It is no user of it, and in nobody's way.
//!
//! What there is of it is a description for reading, without any lock, and a mapping for reading. So an observer may be of
//! another user, who may not write, or see the directory mounted for reading only; whatever it does, nobody can mistake it
//! for a user, and it keeps nothing alive.
//!
//! The segment can go, and the mapping then keeps what stood there last: with one exception. What its users, all killed,
//! have left, and the next one may not remove, is made anew in its place (`reuse.rs`). That begins with another id, which an
//! observer looks at *behind* each copy: so a copy that has anything of the new contents in it is known.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use super::cell::{InCell, cell_at};
use super::elements::{Bytes, Count, Elements, ElementsOf};
use super::found::{self, Found, os_error, read_header};
use super::inspect::{self, Inspection};
use super::retries::Retries;
use super::{AnyValue, Contents, EventOnly, Extent, Measures, PermitsOnly, open, orphan};
use crate::error::{Error, LockError};
use crate::identity::{Description, Identity};
use crate::layout::{self, Header, LockLine};
use crate::name::Name;
use crate::options::{LockKind, Settings};
use crate::os::descriptor::Descriptor;
use crate::os::map::Map;
use crate::os::{file, file_lock};
use crate::schema::Schema;
use crate::sync::commit::CommitCell;
use crate::sync::mutex;
use crate::sync::words::Copied;

/// A segment with the contents `C`, for reading only.
pub(crate) struct Observed<C> {
    /// Half of the id: random, so that no other segment has it.
    id: u64,
    /// Where it is mapped, if no other segment can be made in its place. Who reads has the pointer at hand, and so the answer.
    lasting: Option<NonNull<u8>>,
    measures: Measures,
    lock_kind: LockKind,
    description: Option<Arc<Description>>,
    map: Map,
    file: Descriptor,
    name: Name,
    contents: PhantomData<fn() -> C>,
}

// SAFETY: the mapping belongs to the process and not to a thread; all that is read there is read by atomics, and what is
// copied out is `Send` by the bounds of the faces.
unsafe impl<C> Send for Observed<C> {}
// SAFETY: as above.
unsafe impl<C> Sync for Observed<C> {}
// Nothing is ever changed.
impl<C> UnwindSafe for Observed<C> {}
impl<C> RefUnwindSafe for Observed<C> {}

impl<C: Contents> Observed<C> {
    pub(crate) fn open(name: &str, settings: &Settings, stated: &C::Stated) -> Result<Self, Error> {
        let name = Name::new(name)?;
        let identity = C::identity(&name, settings, stated)?;
        let mut retries = Retries::new();
        loop {
            match Self::try_open(&name, &identity, settings)? {
                Attempt::Opened(observed) => return Ok(*observed),
                Attempt::NotThere => return Err(Error::NotFound { name: name.shared() }),
                Attempt::Changed => retries.wait(&name, "could not observe the segment")?,
            }
        }
    }

    fn try_open(name: &Name, identity: &Identity, settings: &Settings) -> Result<Attempt<C>, Error> {
        // What is half made is not there.
        let Some(Found { open, contents: Some(valid) }) = found::open_validated(name, false)? else {
            return Ok(Attempt::NotThere);
        };
        found::check_owner(name, &open, &settings.allowed_owners)?;
        open::check_identity(name, identity, &valid.identity)?;
        open::check_options(name, settings, &open.status, &valid)?;
        let header = &valid.header;
        let unreadable = |error| os_error(name, "could not read the segment", error);
        let Some(len) = open::len_of(header) else { return Ok(Attempt::Changed) };
        let map =
            Map::read_only(&open.file, len).map_err(|error| os_error(name, "could not map the segment", error))?;
        // A second look: from here on the id tells.
        let status = file::status(&open.file).map_err(unreadable)?;
        let now = read_header(&open.file).map_err(unreadable)?;
        let is_same = now.is_some_and(|now| now.is_same_segment(header)) && status.owner == open.status.owner;
        if !is_same || status.links == 0 || status.len < header.total_len {
            return Ok(Attempt::Changed);
        }
        Ok(Attempt::Opened(Box::new(Self {
            id: header.id[0],
            lasting: (!orphan::can_be_made_anew(&status)).then_some(map.start()),
            measures: Measures::of(header),
            lock_kind: valid.lock_kind,
            description: if valid.identity.schema().is_some() { &valid.identity } else { identity }.description.clone(),
            map,
            file: Descriptor::new(open.file, status)
                .map_err(|error| os_error(name, "could not keep open the segment", error))?,
            name: name.clone(),
            contents: PhantomData,
        })))
    }
}

fn another() -> io::Error {
    let what = "its users had been killed, and another one was made in its place; observe the name again";
    io::Error::new(io::ErrorKind::NotFound, what)
}

enum Attempt<C> {
    Opened(Box<Observed<C>>),
    NotThere,
    /// It is being removed, or made anew: try again.
    Changed,
}

impl<C> Observed<C> {
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.name.shared()
    }

    /// What the elements are made of, if the segment says it, or the program that observes it.
    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.description.as_ref()?.schema.as_ref()
    }

    /// The error for what is not [there](Self::is_there) any more.
    pub(crate) fn is_another(&self) -> LockError {
        LockError::io(self.shared_name(), "could not read the value", another())
    }

    /// Does the name lead elsewhere, or nowhere?
    pub(crate) fn is_removed(&self) -> bool {
        !self.is_there() || self.file.has_lost(self.name.as_str())
    }

    /// How many users there are.
    pub(crate) fn attached(&self) -> Result<usize, Error> {
        let count = self.open_file().and_then(file_lock::count_present);
        count.map_err(|error| os_error(&self.name, "could not count the users of the segment", error))
    }

    pub(crate) fn inspect(&self) -> Result<Inspection, Error> {
        let file = self.open_file().map_err(|error| os_error(&self.name, "could not inspect the segment", error))?;
        inspect::inspect_open(&self.name, file, None)
    }

    fn open_file(&self) -> io::Result<&std::fs::File> {
        self.file.status().map(|_| self.file.known())
    }

    /// Out of line, as what follows: in the way of a reader who needs neither, each would cost it a tenth of its time.
    #[cold]
    #[inline(never)]
    fn base(&self) -> NonNull<u8> {
        self.map.start()
    }

    /// Is it still the segment that was opened, and not one that was made in its place? What was copied before this was
    /// asked, with a fence in between, is of the one that it says.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_there(&self) -> bool {
        // SAFETY: within the header, and aligned.
        unsafe { self.load(offset_of!(Header, id)) == self.id }
    }

    /// # Safety
    ///
    /// Eight bytes at a multiple of eight, within the mapping.
    unsafe fn load(&self, offset: usize) -> u64 {
        // SAFETY: by the contract of this function.
        let word = unsafe { self.base().add(offset) };
        // SAFETY: as above, and mapped as long as `self`; an atomic, of which nothing but loads is made.
        let word = unsafe { word.cast::<AtomicU64>().as_ref() };
        word.load(Ordering::Relaxed) // of what is mapped for reading, no other order is promised
    }
}

impl<C: InCell> Observed<C> {
    /// The commit cell in the mapping, for reading; and whether it is certain that no other segment is made in its place, so
    /// that [`is_there`](Self::is_there) need not be asked.
    #[inline(always)]
    pub(crate) fn cell(&self) -> (CommitCell<'_>, bool) {
        let (base, is_certain) = match self.lasting {
            Some(base) => (base, true),
            None => (self.base(), false),
        };
        // SAFETY: within the length that was checked when mapping.
        let body = unsafe { base.add(layout::BODY_OFFSET) };
        // SAFETY: the body of a segment with a value of this size in it, mapped as long as `self`.
        (unsafe { cell_at(body, C::size(C::Extent::new(self.measures))) }, is_certain)
    }

    /// A consistent copy of the last commit, although writers overtook one; returns its number.
    ///
    /// Copying is tried again: each failure is somebody's commit, so the system goes on. After some, the writers are given
    /// the processor.
    #[cold]
    #[inline(never)]
    pub(crate) fn read_among_writers(&self, bytes: &mut impl Copied) -> u64 {
        const WITHOUT_A_PAUSE: u32 = 100;
        /// So often in a row without a commit, nobody was in the way: the counters are damaged, and will never be right.
        /// (They are stores of another core, which come to be seen in well below that time.)
        const IN_VAIN: u32 = 1_000;
        let (cell, _) = self.cell();
        let (mut failures, mut in_vain, mut last) = (1u32, 0, cell.commits());
        loop {
            if let Some(commit) = bytes.read(&cell) {
                return commit;
            }
            let now = cell.commits();
            in_vain = if now == last { in_vain + 1 } else { 0 };
            last = now;
            if in_vain == IN_VAIN {
                return bytes.read_locked(&cell); // as a user would, with the lock
            }
            failures = failures.saturating_add(1);
            if failures < WITHOUT_A_PAUSE { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
    }
}

impl Observed<AnyValue> {
    pub(crate) fn element_size(&self) -> usize {
        self.measures.elem_size
    }
}

impl Observed<ElementsOf<Bytes>> {
    /// How many elements, and of how many bytes each.
    pub(crate) fn count(&self) -> Count {
        Bytes::open_len(self.measures)
    }

    /// Copies bytes of the elements, from this one on, out of the file. They are there, as far as the header says it.
    pub(crate) fn copy_unlocked(&self, from: u64, into: &mut [u8]) -> Result<(), Error> {
        let unreadable = |error| os_error(&self.name, "could not read the segment", error);
        let file = self.open_file().map_err(unreadable)?;
        let start = (layout::LOCK_OFFSET + self.measures.offset) as u64 + from;
        let read = file::read_at(file, into, start).map_err(unreadable)?;
        if read < into.len() {
            return Err(layout::truncated(&self.name, start + into.len() as u64, start + read as u64));
        }
        // Behind the copy: what had been made in its place begins with another id.
        let now = read_header(file).map_err(unreadable)?;
        if now.is_none_or(|now| now.id[0] != self.id) {
            return Err(unreadable(another()));
        }
        Ok(())
    }
}

impl Observed<EventOnly> {
    /// Is it set? What was written before is seen then.
    pub(crate) fn is_set(&self) -> bool {
        // SAFETY: the word of the lock line.
        let seen = unsafe { self.load(layout::LOCK_OFFSET + offset_of!(LockLine, word)) };
        fence(Ordering::Acquire);
        mutex::says_set(seen)
    }
}

impl Observed<PermitsOnly> {
    pub(crate) fn permits(&self) -> usize {
        self.measures.count
    }

    /// How many nobody has. A moment's picture.
    pub(crate) fn available(&self) -> usize {
        // SAFETY: within the header, and aligned.
        let used_in = unsafe { self.load(offset_of!(Header, pid_namespace)) };
        let is_present = |slot| self.open_file().and_then(|file| file_lock::is_present(file, slot)).unwrap_or(true);
        let is_free = |which: &usize| {
            let line = layout::PERMITS_OFFSET + which * size_of::<LockLine>();
            // SAFETY: the word of a line, of which so many are mapped as the header said.
            let seen = unsafe { self.load(line + offset_of!(LockLine, word)) };
            mutex::is_free(self.lock_kind, seen, used_in, is_present)
        };
        (0..self.permits()).filter(is_free).count()
    }
}
