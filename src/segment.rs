//! A segment that this process uses: its mapping, its lock, its presence.
//!
//! | file | what happens there |
//! |---|---|
//! | `segment/create.rs` | creating, and opening or creating: the attempts |
//! | `segment/make.rs` | a complete segment is made without a name, then gets one |
//! | `segment/fresh_name.rs` | a name that nobody has, for a segment that is to have it, or is not finished |
//! | `segment/found.rs` | what stands under a name: opened, validated, whose it is |
//! | `segment/retries.rs` | how long others may be in the way |
//! | `segment/open.rs` | what was found is admitted, shared, looked at again and mapped |
//! | `segment/orphan.rs` | what killed users have left is removed |
//! | `segment/take_over.rs` | a persistent segment that nobody uses any more becomes usable: a dead holder's lock is freed |
//! | `segment/reuse.rs` | an orphan that cannot be removed becomes the new segment |
//! | `segment/inspect.rs` | a look at a segment that changes nothing |
//! | `segment/observed.rs` | a segment that this process only looks at |
//! | `segment/mapping.rs` | the mapping of a user, with the lock and the presence |
//! | `segment/measures.rs` | how much there is, and where, as the header said it |
//! | `segment/cell.rs` | where the contents of a value are |
//! | `segment/locked.rs` | what can be done while the lock is held |
//! | `segment/elements.rs` | the same, where elements stand in place |
//! | `segment/holding.rs` | the lock together with the handle that it is of |
//! | `segment/readers.rs` | readers side by side, and whoever keeps them out |
//! | `segment/permits.rs` | the permits of a semaphore, mapped |
//! | `segment/further_lines.rs` | these, and the slots of readers, in the file |
//! | `segment/presence.rs` | being a user: the shared `flock`, leaving, and a place of its own in a forked child |
//! | `segment/registered.rs` | what fork and exit do with the presences of this process |
//! | `segment/registry.rs` | all presences of this process |
//! | `segment/removal.rs` | how a name goes away: last one out, orphans, `remove` |
//!
//! # The life of a segment
//!
//! A segment is a file in `/dev/shm`. Every handle has an open file description of its own with a shared `flock` on it,
//! so that the kernel itself forgets a process that dies.
//!
//! * **Born complete.** The file has no name until its header, its data and its creator's lock are in place. A creator
//!   that is killed leaves nothing.
//! * **Opened carefully.** Everything in the header is read with file I/O and validated before anything is mapped.
//! * **The last one out removes it.** A leaver converts its lock into an exclusive one, without waiting. That fails while
//!   anybody else has one. The conversion is not atomic: for a moment the leaver has no lock at all. Nothing comes of
//!   it, because a leaver needs none: whoever takes an exclusive lock in that moment is himself a leaver, or found an
//!   orphan, and removes the name; whoever takes a shared one is a new user, and will leave after us. Two leavers
//!   cannot both fail, because each drops its shared lock before it looks for the other's.
//!   A persistent segment is left by closing.
//! * **Orphans.** An exclusive lock that an opener gets says that no user is left: the last one was killed. The opener
//!   removes the name, or takes over if the segment is persistent. One that belongs to another user, whom this one
//!   trusts, and cannot be removed for that reason is made anew in place.
//! * **Removal is guarded.** Before removing a name, a process takes an open-file-description lock on the file (which
//!   does not conflict with `flock`) and checks that the name still leads to this very file. So nobody removes a
//!   successor; `remove`, which was asked for whatever has the name, then tries again.
//! * **Looking changes nothing.** To count the users, a process takes no lock, or else two could each believe that the
//!   other remains. Every user also holds a presence byte: an open-file-description lock on a byte of its own. The kernel
//!   tells of such locks without giving one, also across PID namespaces.
//! * **Observers are no users.** They read, and leave no trace by which others could take them for one: no lock, no byte, no
//!   writable mapping. So the segment goes under their eyes when its last user does.
//! * **Nobody waits for a stopped process**: leavers try once, openers for a bounded time.
use std::marker::PhantomData;
use std::sync::Arc;

use crate::error::{Error, LockError};
use crate::identity::{Description, Identity, TypeName};
use crate::kind::{Body, Kind, Open, Shape};
use crate::name::Name;
use crate::options::Settings;
use crate::schema::Schema;
use crate::sync::mutex::Mutex;

mod cell;
mod create;
mod elements;
mod found;
mod fresh_name;
mod further_lines;
mod holding;
mod inspect;
mod locked;
mod make;
mod mapping;
mod measures;
mod observed;
mod open;
mod orphan;
mod permits;
mod presence;
mod readers;
mod registered;
mod registry;
mod removal;
mod retries;
mod reuse;
mod take_over;

pub(crate) use cell::{AnyValue, ValueOf};
pub(crate) use elements::{Bytes, Elements, ElementsOf, Read};
pub use fresh_name::unique_name;
pub(crate) use holding::{Handle, Holding, HoldingToRead, Leads};
pub(crate) use inspect::{Inspection, inspect, kind_of};
pub(crate) use locked::Locked;
pub(crate) use observed::Observed;
pub(crate) use permits::PermitsOnly;
pub(crate) use readers::ReadersOnly;
pub use removal::{orphans, remove, remove_orphans};

use mapping::Mapping;
use measures::Measures;

/// What a segment holds, as a type: [`ValueOf`], [`ElementsOf`], [`LockOnly`], [`ReadersOnly`], [`EventOnly`] or
/// [`PermitsOnly`].
pub(crate) trait Contents {
    const KIND: Kind;
    /// What a program says of them when it runs, where the type leaves it open.
    type Stated: Default;
    /// What the type leaves open, as the segment says it: `()` is nothing.
    type Extent: Extent<Self>;

    /// Whatever is opened by this may be used as the type says.
    fn expected(stated: &Self::Stated) -> Expected;

    /// The same, with what the options say of it.
    fn identity(name: &Name, settings: &Settings, stated: &Self::Stated) -> Result<Identity, Error> {
        let Expected { mut shape, type_name, schema } = Self::expected(stated);
        if settings.any_tag && !Self::KIND.body().has_elements() {
            shape.open = Open::Type;
        }
        let described = settings.schema.clone().or(schema);
        Ok(Identity {
            shape,
            type_name: settings.type_tag.as_deref().map_or(type_name, TypeName::tag),
            description: described.map(|schema| Description::of(name, &shape, schema).map(Arc::new)).transpose()?,
        })
    }
}

/// What contents are, as far as a program says it.
pub(crate) struct Expected {
    pub(crate) shape: Shape,
    /// Of the type that stands for them.
    pub(crate) type_name: TypeName,
    /// What they are made of, if that needs no option to be known.
    pub(crate) schema: Option<Schema>,
}

impl Expected {
    /// `T`s.
    pub(crate) fn of<T>(shape: Shape) -> Self {
        Self { shape, type_name: TypeName::of::<T>(), schema: Schema::of_name::<T>() }
    }

    /// What the schema says; so many, if it is known.
    fn of_schema(kind: Kind, schema: &Schema, len: Option<u64>) -> Self {
        let elem_size = schema.size() as u64;
        // What does not fit its alignment is packed, as Rust calls that.
        let elem_align = Some(schema.align() as u64).filter(|align| elem_size.is_multiple_of(*align)).unwrap_or(1);
        let open = if kind.body() == Body::Elements { Open::Length } else { Open::Nothing };
        let shape = Shape { kind, elem_size, elem_align, len, open };
        Self { shape, type_name: TypeName::of_schema(schema), schema: Some(schema.clone()) }
    }

    /// Whatever is of this kind.
    fn of_any(kind: Kind) -> Self {
        let shape = Shape { kind, elem_size: 0, elem_align: 1, len: None, open: Open::Type };
        Self { shape, type_name: TypeName { text: String::new(), is_tag: false }, schema: None }
    }

    /// No elements at all.
    pub(crate) fn of_nothing(kind: Kind) -> Self {
        let shape = Shape { kind, elem_size: 0, elem_align: 1, len: Some(0), open: Open::Nothing };
        Self { shape, type_name: TypeName::of::<()>(), schema: None }
    }
}

/// How large the contents of a segment are, and where, as far as only the segment says it.
pub(crate) trait Extent<C: ?Sized>: Copy + std::fmt::Debug {
    fn new(measures: Measures) -> Self;
}

impl<C> Extent<C> for () {
    #[inline(always)]
    fn new(_: Measures) -> Self {}
}

/// How many.
impl<C> Extent<C> for usize {
    #[inline(always)]
    fn new(measures: Measures) -> Self {
        measures.count
    }
}

/// The lock alone.
pub(crate) struct LockOnly;

/// An event alone.
pub(crate) struct EventOnly;

/// A segment that was created or opened with the contents `C`.
pub(crate) struct Segment<C> {
    mapping: Mapping,
    contents: PhantomData<fn() -> C>,
}

impl<C> Segment<C> {
    fn new(mapping: Mapping) -> Self {
        Self { mapping: mapping.owned(), contents: PhantomData }
    }

    /// What the type leaves open.
    #[inline(always)]
    pub(crate) fn extent(&self) -> C::Extent
    where
        C: Contents,
    {
        C::Extent::new(self.mapping.measures)
    }

    pub(crate) fn name(&self) -> &str {
        self.mapping.name.as_str()
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.mapping.name.shared()
    }

    /// What the elements are made of, if the segment says it, or the program that has opened it.
    pub(crate) fn schema(&self) -> Option<&Schema> {
        self.mapping.description.as_ref()?.schema.as_ref()
    }

    pub(crate) fn was_created(&self) -> bool {
        self.mapping.was_created
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.mapping.presence.is_removed()
    }

    pub(crate) fn inspect(&self) -> Result<Inspection, Error> {
        let name = &self.mapping.name;
        let file = self
            .mapping
            .presence
            .file()
            .map_err(|error| found::os_error(name, "could not inspect the segment", error))?;
        inspect::inspect_own(name, file, self.mapping.presence.seat().slot())
    }

    #[cold]
    pub(crate) fn poisoned_error(&self) -> LockError
    where
        C: Contents,
    {
        LockError::Poisoned { name: self.shared_name(), kind: C::KIND.name() }
    }

    #[inline]
    pub(crate) fn mutex(&self) -> &Mutex {
        &self.mapping.mutex
    }
}
