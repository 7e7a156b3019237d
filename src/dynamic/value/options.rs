//! [`Options`] that lead to a [`DynValue`]: it has a schema, and a first value.

use super::{DynValue, DynValueObserver};
use crate::error::Error;
use crate::layout::MAX_VALUE;
use crate::options::Options;
use crate::schema::Schema;

impl Options<DynValue> {
    /// Creates the segment with these options, and with these bytes as its first value.
    ///
    /// # Errors
    ///
    /// The same as [`DynValue::create`].
    ///
    /// # Examples
    ///
    /// ```
    /// use robust_shm::dynamic::DynValue;
    ///
    /// let name = robust_shm::unique_name("options");
    /// let made = DynValue::options().mode(0o640).create(&name, &"u8".parse().unwrap(), &[1])?;
    /// assert!(made.was_created());
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn create(&self, name: &str, schema: &Schema, initial: &[u8]) -> Result<DynValue, Error> {
        check(name, schema, initial)?;
        self.create_with(name, &Some(schema.clone()), initial)
    }

    /// Opens a value of this type with these options.
    ///
    /// # Errors
    ///
    /// The same as [`DynValue::open_as`], and [`Error::OptionMismatch`].
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_as(&self, name: &str, schema: &Schema) -> Result<DynValue, Error> {
        self.open_with(name, &Some(schema.clone()))
    }

    /// Opens a value of this type, or creates it with these bytes and these options.
    ///
    /// # Errors
    ///
    /// The same as [`DynValue::open_or_create`], and [`Error::OptionMismatch`].
    #[must_use = "keep it: `let value = ...?;` (dropping the last handle removes the segment)"]
    pub fn open_or_create(&self, name: &str, schema: &Schema, initial: &[u8]) -> Result<DynValue, Error> {
        check(name, schema, initial)?;
        self.open_or_create_with(name, &Some(schema.clone()), initial)
    }

    /// Looks at a value of whatever type without being a user of it: see [`DynValueObserver`].
    ///
    /// # Errors
    ///
    /// The same as [`DynValue::observe`], and [`Error::OptionMismatch`].
    pub fn observe(&self, name: &str) -> Result<DynValueObserver, Error> {
        DynValueObserver::open(name, &self.settings)
    }
}

/// Can these bytes be the first value?
fn check(name: &str, schema: &Schema, initial: &[u8]) -> Result<(), Error> {
    let refused = |what, expected: String, found: String| {
        Err(Error::InvalidArgument { name: name.into(), what, expected, found })
    };
    if schema.size() > MAX_VALUE {
        return refused(
            "the size of the value",
            format!("at most {MAX_VALUE} bytes"),
            format!("{} bytes", schema.size()),
        );
    }
    if initial.len() != schema.size() {
        let expected = format!("one of {} bytes", schema.size());
        return refused("the first value", expected, format!("one of {}", initial.len()));
    }
    if !schema.allows(initial) {
        return refused("the first value", "one that its schema allows".to_owned(), schema.show(initial).to_string());
    }
    Ok(())
}
