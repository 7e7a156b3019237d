//! [`Options`] that lead to a [`SharedValue`]: it needs a first value.

use super::SharedValue;
use super::observer::ValueObserver;
use crate::dynamic::Described;
use crate::error::Error;
use crate::options::Options;
use crate::shareable::Shareable;

impl<T: Shareable> Options<SharedValue<T>> {
    /// Creates the segment with its first value and these options.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedValue::<u8>::options().mode(0o640).create(&name, 1)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str, initial: T) -> Result<SharedValue<T>, Error> {
        self.create_with(name, &(), bytemuck::bytes_of(&initial))
    }

    /// Opens the segment, or creates it with `initial` and these options. Of programs that do this at once, exactly one
    /// creates.
    ///
    /// # Errors
    ///
    /// The same as [`create`](Self::create) and [`open`](Self::open), except `AlreadyExists` and `NotFound`.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = SharedValue::<u8>::options().mode(0o640).open_or_create(&name, 1)?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, initial: T) -> Result<SharedValue<T>, Error> {
        self.open_or_create_with(name, &(), bytemuck::bytes_of(&initial))
    }

    /// Looks at a value without being a user of it: see [`ValueObserver`]. As with [`open`](Self::open), an option that is
    /// stated must be the segment's.
    ///
    /// # Errors
    ///
    /// The same as [`SharedValue::observe`], [`Error::OptionMismatch`] and
    /// [`Error::ForeignOwner`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::SharedValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let level = SharedValue::<u8>::options().type_tag("acme.Level/1");
    /// let value = level.clone().mode(0o644).create(&name, 1)?;
    /// let observer = level.allow_owner(0).observe(&name)?; // also if root runs the service
    /// assert_eq!(observer.get(), 1);
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn observe(&self, name: &str) -> Result<ValueObserver<T>, Error> {
        ValueObserver::open(name, &self.settings)
    }
}

// The bound stands on the function and not on the block: so the compiler explains what is missing.
impl<T: Shareable> Options<SharedValue<T>> {
    /// Has the segment say of what its value is made, so that other languages and the command line can read it; and
    /// compares that with what is found, field by field, in the place of the type's name.
    ///
    /// Numbers and arrays of them say it by themselves. Of a struct or an enum, [`describe!`](macro@crate::describe) does.
    /// A program that does not describe its type goes by the name, as without.
    ///
    /// # Errors
    ///
    /// When the segment is created or opened: [`Error::InvalidArgument`] for a description that is longer than 4,096 bytes,
    /// or not of this type; [`Error::TypeMismatch`] names the first field that differs.
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::{Error, SharedValue, describe};
    ///
    /// #[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
    /// #[repr(C)]
    /// struct Account { balance: i64, open: bool, _pad: [u8; 7] }
    /// describe!(Account { balance: i64, open: bool, _pad: [u8; 7] });
    ///
    /// let name = robust_shm::unique_name("described");
    /// let first = Account { balance: 200, open: true, _pad: [0; 7] };
    /// let account = SharedValue::<Account>::options().described().create(&name, first)?;
    /// assert_eq!(account.info()?.schema().unwrap().to_string(), "Account{balance:i64,open:bool,_pad:[u8;7]}");
    ///
    /// mod older {
    ///     #[derive(Clone, Copy, bytemuck::NoUninit, bytemuck::CheckedBitPattern)]
    ///     #[repr(C)]
    ///     pub struct Account { balance: f64, open: bool, _pad: [u8; 7] }
    ///     robust_shm::describe!(Account { balance: f64, open: bool, _pad: [u8; 7] });
    /// }
    /// let Err(Error::TypeMismatch { expected, found, .. }) =
    ///     SharedValue::<older::Account>::options().described().open(&name) else { panic!() };
    /// assert!(expected.ends_with("with `balance`: f64") && found.ends_with("with `balance`: i64"));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    pub fn described(mut self) -> Self
    where
        T: Described,
    {
        self.settings.schema = Some(T::schema());
        self
    }
}
