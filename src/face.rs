//! What every face has: a segment inside, five methods, and the ways in which [`Options`] lead to it.
//!
//! A new face states what its segment contains ([`Face`]), says whether it starts [empty](StartsEmpty) and whether it
//! can be [poisoned](HasPoison), and calls [`methods_of_every_face!`].

use crate::error::Error;
use crate::options::Options;
use crate::segment::{Contents, Segment};

/// A handle of a segment. The trait is not public, so nobody else implements it.
pub(crate) trait Face: Sized {
    type Contents: Contents;

    fn from_segment(segment: Segment<Self::Contents>) -> Self;
}

/// What a program says of a segment when it runs.
type Stated<H> = <<H as Face>::Contents as Contents>::Stated;

/// A face that needs no initial contents: a lock starts free, an array starts with zeros.
pub(crate) trait StartsEmpty: Face {}

/// A face that can be read side by side.
pub(crate) trait HasReaders: Face {}

/// A face whose holder can leave something half-changed.
pub(crate) trait HasPoison: Face {}

// The bounds are private on purpose: the faces are all in this crate.
#[allow(private_bounds)]
impl<H: Face> Options<H> {
    /// Opens a segment that exists. An option that is stated must be the segment's; an option that is not stated
    /// follows the segment.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when nobody holds such a segment, [`Error::TypeMismatch`] when it holds something else,
    /// [`Error::OptionMismatch`] when it contradicts an option that was stated, [`Error::ForeignOwner`] when its owner
    /// was not [allowed](Self::allow_owner), and the errors for files that are not, or not quite, segments of ours.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedValue};
    ///
    /// let name = robust_shm::unique_name("options");
    /// let tagged = SharedValue::<u8>::options().type_tag("acme.Level/1");
    /// let made = tagged.create(&name, 1)?;
    /// assert!(!tagged.open(&name)?.was_created());
    /// assert!(matches!(tagged.mode(0o666).open(&name), Err(Error::OptionMismatch { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use = "keep it: `let handle = ...?;` (dropping the last handle removes the segment)"]
    pub fn open(&self, name: &str) -> Result<H, Error> {
        self.open_with(name, &Stated::<H>::default())
    }

    /// Opens a segment of which this is `stated`, where the type leaves something open.
    pub(crate) fn open_with(&self, name: &str, stated: &Stated<H>) -> Result<H, Error> {
        Ok(H::from_segment(Segment::open(name, &self.settings, stated)?))
    }

    /// Creates such a segment, whose data begin with these bytes; the rest is zero.
    pub(crate) fn create_with(&self, name: &str, stated: &Stated<H>, initial: &[u8]) -> Result<H, Error> {
        Ok(H::from_segment(Segment::create(name, &self.settings, stated, initial)?))
    }

    /// Opens a segment, or creates it as [`create_with`](Self::create_with) does.
    pub(crate) fn open_or_create_with(&self, name: &str, stated: &Stated<H>, initial: &[u8]) -> Result<H, Error> {
        Ok(H::from_segment(Segment::open_or_create(name, &self.settings, stated, initial)?))
    }
}

/// For handles that need no initial contents: a lock starts free, an array starts with zeros.
#[allow(private_bounds)]
impl<H: StartsEmpty> Options<H> {
    /// Creates the segment with these options.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyExists`] while a live or a persistent segment has the name, [`Error::OutOfSharedMemory`],
    /// [`Error::InvalidName`], and what the operating system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{SharedArray, SharedLock};
    ///
    /// let array = SharedArray::<u8, 4>::options().mode(0o640).create(&robust_shm::unique_name("options"))?;
    /// assert_eq!(array.to_vec()?, [0; 4]);
    /// let lock = SharedLock::options().mode(0o640).create(&robust_shm::unique_name("options"))?;
    /// assert!(lock.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let handle = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str) -> Result<H, Error> {
        self.create_with(name, &Stated::<H>::default(), &[])
    }

    /// Opens the segment, or creates it with these options. Of programs that do this at once, exactly one creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open`](Self::open), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedLock;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let first = SharedLock::options().persistent(true).open_or_create(&name)?;
    /// let second = SharedLock::options().persistent(true).open_or_create(&name)?;
    /// assert!(first.was_created() && !second.was_created());
    /// robust_shm::remove(&name)?;
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let handle = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str) -> Result<H, Error> {
        self.open_or_create_with(name, &Stated::<H>::default(), &[])
    }
}

/// For arrays, slices and locks. A value is never poisoned.
#[allow(private_bounds)]
impl<H: HasPoison> Options<H> {
    /// Whether a segment that is created is poisoned when a holder dies or panics amid changes. `true` by default.
    ///
    /// `false` is for what cannot be left half-done: elements that each mean something by themselves, as counters do,
    /// or a lock that guards nothing, because it only says who leads. `lock` then never returns `Poisoned`, and the
    /// lock of a dead holder is handed over all the same. The segment records it, and an opener follows the segment. An
    /// opener that states something else gets [`Error::OptionMismatch`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{SharedArray, SharedLock};
    ///
    /// // Hits per minute, counted by workers that may be killed at any time.
    /// let hits = SharedArray::<u64, 60>::options().poison(false).open_or_create(&robust_shm::unique_name("hits"))?;
    /// hits.lock()?[17] += 1;
    ///
    /// let turn = SharedLock::options().poison(false).open_or_create(&robust_shm::unique_name("turn"))?;
    /// let _mine = turn.lock()?; // even if the last holder was killed during its turn
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn poison(mut self, poison: bool) -> Self {
        self.settings.poison = Some(poison);
        self
    }
}

/// For arrays, slices and read-write locks.
#[allow(private_bounds)]
impl<H: HasReaders> Options<H> {
    /// How many can read side by side without taking turns, in a segment that is created: 0 to 64. 32 by default, and 0 with
    /// [`LockKind::OsMutex`](crate::LockKind::OsMutex).
    ///
    /// Each slot takes 64 bytes of the segment, and is used by one thread at a time of all processes. Readers beyond that number
    /// read one at a time, as under the lock; with 0, all do. An opener follows the segment; one that states another number
    /// gets [`Error::OptionMismatch`].
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a larger number, when the segment is created or opened.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedArray;
    ///
    /// // Never read side by side: 2 KiB less.
    /// let name = robust_shm::unique_name("little");
    /// let little = SharedArray::<u8, 16>::options().readers(0).create(&name)?;
    /// assert_eq!(little.info()?.bytes(), 722);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn readers(mut self, slots: usize) -> Self {
        self.settings.readers = Some(slots);
        self
    }
}

/// The five methods that every face has. `$handle` is what the examples call it, `$face` its type, `$arguments` those
/// of `create`; a bound on its type stands on `options`, so that the compiler explains a missing derive there.
macro_rules! methods_of_every_face {
    ($handle:literal: $face:literal($arguments:literal) $(where $type:ident: $bound:ident)?) => {
        /// More ways to create and open: permissions, persistence, tags.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("options");
        #[doc = concat!("let options = robust_shm::", $face, "::options().mode(0o660).persistent(true);")]
        #[doc = concat!("drop(options.create(", $arguments, ")?); // the last user leaves, the segment stays")]
        #[doc = concat!("let ", $handle, " = options.open(&name)?;")]
        #[doc = concat!("assert!(!", $handle, ".was_created());")]
        /// robust_shm::remove(&name)?;
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn options() -> crate::options::Options<Self>
        $(where $type: $bound,)?
        {
            crate::options::Options::new()
        }

        /// The name that the segment was created or opened with.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("name");
        #[doc = concat!("let ", $handle, " = robust_shm::", $face, "::create(", $arguments, ")?;")]
        #[doc = concat!("assert_eq!(", $handle, ".name(), name);")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn name(&self) -> &str {
            self.segment.name()
        }

        /// Whether this handle created the segment, rather than opening it.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("created");
        #[doc = concat!("let ", $handle, " = robust_shm::", $face, "::create(", $arguments, ")?;")]
        #[doc = concat!("assert!(", $handle, ".was_created());")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn was_created(&self) -> bool {
            self.segment.was_created()
        }

        /// Whether the name has been taken away from the segment. This handle and all others that exist then go on as
        /// before, and a program that opens the name gets another segment, or none.
        ///
        /// [`remove`](crate::remove) takes a name away, but so does anybody who may delete files in `/dev/shm`: `rm`,
        /// and **systemd-logind**, which deletes everything that a user has there when the user's last session ends
        /// (`RemoveIPC=yes` in `logind.conf`, the default on many systems; system users are spared). Services that run
        /// as an ordinary user turn that off, or ask this now and then. (On Windows, macOS and FreeBSD, whoever may delete the
        /// user's files in [another directory](crate::guide::systems).)
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("removed");
        #[doc = concat!("let ", $handle, " = robust_shm::", $face, "::create(", $arguments, ")?;")]
        #[doc = concat!("assert!(!", $handle, ".is_removed());")]
        /// robust_shm::remove(&name)?;
        #[doc = concat!("assert!(", $handle, ".is_removed());")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use]
        pub fn is_removed(&self) -> bool {
            self.segment.is_removed()
        }

        /// What can be told about the segment that this handle uses, whether or not it still has its name.
        ///
        /// # Errors
        ///
        /// [`Error::Io`](crate::Error::Io) when the operating system does not tell.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("info");
        #[doc = concat!("let ", $handle, " = robust_shm::", $face, "::create(", $arguments, ")?;")]
        #[doc = concat!("assert_eq!(", $handle, ".info()?.attached(), 1);")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn info(&self) -> Result<crate::info::SegmentInfo, crate::error::Error> {
            Ok(crate::info::SegmentInfo::new(self.name(), self.segment.inspect()?))
        }
    };
}
pub(crate) use methods_of_every_face;

/// For each `$form` of locking one more, whose guard `$owned` keeps the handle alive. `$take`: makes it of an `Arc` of that.
macro_rules! forms_with_owned_guards {
    ($($form:ident $with_owned:ident ($($argument:ident: $type:ty)?) -> $owned:ident::$take:ident($wait:expr);)*) => {$(
        #[doc = concat!("Like [`", stringify!($form), "`](Self::", stringify!($form), "), with a guard that keeps the handle alive: for structures that keep one, and for bindings.")]
        ///
        /// # Errors
        ///
        #[doc = concat!("The same as [`", stringify!($form), "`](Self::", stringify!($form), ").")]
        #[must_use = "bind it: `let _guard = ...?;` (without a binding, the lock is released at once)"]
        pub fn $with_owned(self: &Arc<Self> $(, $argument: $type)?) -> Result<$owned, LockError> {
            $owned::$take(Arc::clone(self), $wait)
        }
    )*};
}
pub(crate) use forms_with_owned_guards;
