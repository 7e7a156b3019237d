//! What every observer has.

/// The four methods that every observer has. `$make` makes what an `$observe` in the examples leads to.
macro_rules! methods_of_every_observer {
    ($make:literal, $observe:literal) => {
        /// The name that was observed.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("name");
        #[doc = concat!("let used = robust_shm::", $make, "?;")]
        #[doc = concat!("assert_eq!(robust_shm::", $observe, "(&name)?.name(), name);")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use]
        pub fn name(&self) -> &str {
            self.observed.name()
        }

        /// Whether the name has been taken away from the segment, as it is when its last user has left, or leads to another
        /// one. What is observed then does not change any more: observe the name again.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("removed");
        #[doc = concat!("let used = robust_shm::", $make, "?;")]
        #[doc = concat!("let observer = robust_shm::", $observe, "(&name)?;")]
        /// assert!(!observer.is_removed());
        /// drop(used);
        /// assert!(observer.is_removed());
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        #[must_use]
        pub fn is_removed(&self) -> bool {
            self.observed.is_removed()
        }

        /// How many handles of users are attached, in all processes of all namespaces; observers are none. 0 says that the
        /// users have gone, or were all killed.
        ///
        /// # Errors
        ///
        /// [`Error::Io`](crate::Error::Io) when the operating system does not tell.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("attached");
        #[doc = concat!("let used = robust_shm::", $make, "?;")]
        #[doc = concat!("assert_eq!(robust_shm::", $observe, "(&name)?.attached()?, 1);")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn attached(&self) -> Result<usize, crate::error::Error> {
            self.observed.attached()
        }

        /// What can be told about the segment, whether or not it still has its name.
        ///
        /// # Errors
        ///
        /// [`Error::Io`](crate::Error::Io) when the operating system does not tell.
        ///
        /// # Examples
        ///
        /// ```
        /// let name = robust_shm::unique_name("info");
        #[doc = concat!("let used = robust_shm::", $make, "?;")]
        #[doc = concat!("println!(\"{}\", robust_shm::", $observe, "(&name)?.info()?);")]
        /// # Ok::<(), robust_shm::Error>(())
        /// ```
        pub fn info(&self) -> Result<crate::info::SegmentInfo, crate::error::Error> {
            Ok(crate::info::SegmentInfo::new(self.name(), self.observed.inspect()?))
        }
    };
}
pub(crate) use methods_of_every_observer;
