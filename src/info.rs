//! [`SegmentInfo`]: what can be told about a segment from outside, and the list of all of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::identity::{Description, TypeName};
use crate::kind::{Body, Shape};
use crate::name::Name;
use crate::options::LockKind;
use crate::os::file::Status;
use crate::os::process;
use crate::schema::Schema;
use crate::segment::{self, Inspection};
use crate::sync::poison::Poison;

mod holder;
mod list;
mod show;
mod user;

pub use holder::{Hold, Holder};
pub use list::{Segments, segments};
pub use user::User;

/// What can be told about a segment from outside, at one moment. Nothing is locked, mapped or changed to find it out.
///
/// # Examples
///
/// ```
/// use robust_shm::{LockKind, SegmentInfo, SharedArray};
///
/// let name = robust_shm::unique_name("info");
/// let array = SharedArray::<f64, 3>::options().type_tag("acme.Vector/1").create(&name)?;
/// let guard = array.lock()?;
///
/// let info = SegmentInfo::of(&name)?;
/// println!("{info}"); // most of what follows, in one line
/// assert_eq!((info.name(), info.kind(), info.type_name()), (&*name, "SharedArray", "acme.Vector/1"));
/// assert!(info.has_type_tag());
/// assert_eq!((info.element_size(), info.element_alignment(), info.length()), (8, 8, 3));
/// assert_eq!((info.mode(), info.id()), (0o600, array.info()?.id()));
/// assert!(info.bytes() >= 24);
/// assert_eq!((info.creator(), info.attached()), (std::process::id(), 1));
/// assert!(info.created() <= std::time::SystemTime::now());
/// println!("uid {}", info.owner());
/// assert_eq!(info.lock_kind(), LockKind::default());
/// println!("held by thread {:?} of process {:?}", info.holder_thread(), info.holder_process());
/// assert_eq!((info.commits(), info.is_set()), (None, None)); // only values have the one, only events the other
/// assert!(info.has_poison() && !info.is_poisoned());
/// assert!(!info.is_persistent() && !info.is_orphan());
/// # drop(guard);
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[derive(Clone)]
pub struct SegmentInfo {
    name: String,
    status: Status,
    id: [u64; 2],
    shape: Shape,
    type_name: TypeName,
    description: Option<Arc<Description>>,
    bytes: u64,
    owner: u32,
    lock_kind: LockKind,
    created: SystemTime,
    creator: u32,
    persistent: bool,
    commits: Option<u64>,
    is_set: Option<bool>,
    has_poison: bool,
    poisoned: bool,
    holder_thread: Option<u32>,
    holder_process: Option<u32>,
    available_permits: Option<usize>,
    /// Those with somebody in them, and all.
    reader_slots: Option<(usize, usize)>,
    /// See [`Inspection`].
    further_holders: Vec<(usize, u32)>,
    is_here: bool,
    has_sleepers: bool,
    attached: usize,
}

impl SegmentInfo {
    /// Looks at the segment of this name.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::NotASegment`], [`Error::UnsupportedFormat`], [`Error::Truncated`],
    /// [`Error::PermissionDenied`], [`Error::InvalidName`], [`Error::Io`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SegmentInfo};
    ///
    /// assert!(matches!(SegmentInfo::of("nobody-made-this"), Err(Error::NotFound { .. })));
    /// ```
    pub fn of(name: &str) -> Result<Self, Error> {
        let name = Name::new(name)?;
        match segment::inspect(&name)? {
            Some(found) => Ok(Self::new(name.as_str(), found)),
            None => Err(Error::NotFound { name: name.shared() }),
        }
    }

    pub(crate) fn new(name: &str, found: Inspection) -> Self {
        let Inspection {
            status,
            header,
            identity,
            lock_kind,
            lock,
            commits,
            is_set,
            taken,
            free,
            further_holders,
            is_here,
            has_sleepers,
            attached,
        } = found;
        let shape = identity.shape;
        let body = shape.kind.body();
        let poison_rule = Poison::of(shape.kind, header.poisons());
        Self {
            name: name.to_owned(),
            status,
            id: header.id,
            shape,
            type_name: identity.type_name,
            description: identity.description,
            bytes: status.len,
            owner: status.owner,
            lock_kind,
            created: SystemTime::UNIX_EPOCH + Duration::from_nanos(header.created),
            creator: header.creator_pid,
            persistent: header.persistent(),
            commits: (body == Body::CommitCell).then_some(commits),
            available_permits: (body == Body::Permits).then_some(free),
            reader_slots: body.has_readers().then_some((taken, taken + free)),
            is_set,
            further_holders,
            is_here,
            has_sleepers,
            has_poison: poison_rule != Poison::Never,
            poisoned: lock.poisoned,
            holder_thread: lock.holder,
            holder_process: lock.holder_here.and_then(process::process_of),
            attached,
        }
    }

    /// The segment's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the type that creates such a segment, as `"SharedValue"`. A [`SharedSlice`](crate::SharedSlice) is an array, too.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.shape.kind.name()
    }

    /// The name of the value's or the elements' type without module paths, or the `type_tag`; of what has no elements, `()`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        &self.type_name.text
    }

    /// Whether [`type_name`](Self::type_name) is a tag that the creator stated.
    #[must_use]
    pub fn has_type_tag(&self) -> bool {
        self.type_name.is_tag
    }

    /// Of what the value or the elements are made, if the segment says it, in words that this version knows. Segments of
    /// numbers and arrays of them do, and those that were created with `described()`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{SegmentInfo, SharedValue};
    ///
    /// let name = robust_shm::unique_name("schema");
    /// let value = SharedValue::create(&name, [0.5f64, 1.5])?;
    /// assert_eq!(SegmentInfo::of(&name)?.schema().unwrap().to_string(), "[f64;2]");
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    pub fn schema(&self) -> Option<&Schema> {
        self.description.as_ref()?.schema.as_ref()
    }

    /// The size of the value or of one element, in bytes.
    #[must_use]
    pub fn element_size(&self) -> u64 {
        self.shape.elem_size
    }

    /// The alignment of the value or of the elements, in bytes; 1 for what has none.
    #[must_use]
    pub fn element_alignment(&self) -> u64 {
        self.shape.elem_align
    }

    /// How many elements there are: 1 for a value, 0 for what has none.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self.shape.kind.body() {
            Body::Permits => 0,
            _ => self.shape.len.unwrap_or(0),
        }
    }

    /// The size of the whole segment in bytes, before rounding up to pages of 4,096.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The user id that the segment belongs to.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// The permission bits: who may look, and who may use it.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.status.mode
    }

    /// A random number, by which the segment is told from another one of the same name, before or after it.
    #[must_use]
    pub fn id(&self) -> u128 {
        u128::from(self.id[0]) << 64 | u128::from(self.id[1])
    }

    /// How the lock works.
    #[must_use]
    pub fn lock_kind(&self) -> LockKind {
        self.lock_kind
    }

    /// When the segment was created, by the creator's clock.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// The id of the process that created the segment, in its own PID namespace.
    #[must_use]
    pub fn creator(&self) -> u32 {
        self.creator
    }

    /// Whether the segment stays when its last user leaves.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// How many commits a value has seen; `None` for all but values.
    #[must_use]
    pub fn commits(&self) -> Option<u64> {
        self.commits
    }

    /// How many permits a semaphore has; `None` for all others.
    #[must_use]
    pub fn permits(&self) -> Option<usize> {
        self.available_permits.and(self.shape.len).map(|permits| permits as usize)
    }

    /// How many permits of a semaphore nobody has; `None` for all others.
    #[must_use]
    pub fn available_permits(&self) -> Option<usize> {
        self.available_permits
    }

    /// How many slots there are for readers side by side; `None` for what has none of its kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{SharedLock, SharedRwLock};
    ///
    /// let lock = SharedRwLock::options().readers(8).create(&robust_shm::unique_name("slots"))?;
    /// let _reading = lock.read()?;
    /// let info = lock.info()?;
    /// assert_eq!((info.reader_slots(), info.active_readers()), (Some(8), Some(1)));
    ///
    /// let other = SharedLock::create(&robust_shm::unique_name("no-slots"))?.info()?;
    /// assert_eq!((other.reader_slots(), other.active_readers()), (None, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reader_slots(&self) -> Option<usize> {
        self.reader_slots.map(|(_, slots)| slots)
    }

    /// How many of these have a reader in them. One who reads alone, because all others are taken, is the
    /// [holder](Self::holder_thread) of the lock.
    #[must_use]
    pub fn active_readers(&self) -> Option<usize> {
        self.reader_slots.map(|(active, _)| active)
    }

    /// Whether an event is set; `None` for all but events.
    #[must_use]
    pub fn is_set(&self) -> Option<bool> {
        self.is_set
    }

    /// Whether the segment is poisoned when a holder dies or panics. Only arrays and locks of both sorts are, and these are not
    /// when they were created with [`poison(false)`](crate::Options::poison).
    #[must_use]
    pub fn has_poison(&self) -> bool {
        self.has_poison
    }

    /// Whether a holder died or panicked and nobody has repaired the data yet. Never `true` for a segment that has no
    /// [poison](Self::has_poison).
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// The id of the thread that holds the lock, if any does and it can be told.
    #[must_use]
    pub fn holder_thread(&self) -> Option<u32> {
        self.holder_thread
    }

    /// The id of the process that the holding thread belongs to, when `/proc` tells.
    #[must_use]
    pub fn holder_process(&self) -> Option<u32> {
        self.holder_process
    }

    /// Whether somebody may be asleep, waiting for the lock, a permit, the event, a change or a condition. `false` is certain,
    /// but for [`LockKind::OsMutex`], whose sleepers only the C library knows of. `true` may be late: what a sleeper has left
    /// behind who was killed, or has given up, goes with one of the next releases.
    ///
    /// # Examples
    ///
    /// ```
    /// let lock = robust_shm::SharedLock::create(&robust_shm::unique_name("sleepers"))?;
    /// let _guard = lock.lock()?;
    /// assert!(!lock.info()?.has_sleepers()); // nobody else wants it
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn has_sleepers(&self) -> bool {
        self.has_sleepers
    }

    /// How many handles are attached, in all processes of all namespaces.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.attached
    }

    /// Whether the segment is left over, because its users were all killed. It goes when its name is next used, with
    /// the next creation, or by [`remove_orphans`](crate::remove_orphans).
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        !self.persistent && self.attached == 0
    }
}
