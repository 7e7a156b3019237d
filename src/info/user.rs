//! [`User`]: a process that uses a segment.

use super::SegmentInfo;
use crate::os::{file_lock, process};

/// A process that has a segment open.
///
/// # Examples
///
/// ```
/// let name = robust_shm::unique_name("user");
/// let value = robust_shm::SharedValue::create(&name, 1u16)?;
/// for user in robust_shm::SegmentInfo::of(&name)?.users() {
///     println!("{} (process {}, uid {})", user.command, user.pid, user.uid);
/// }
/// # Ok::<(), robust_shm::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct User {
    /// The process id, in the PID namespace of whoever asks.
    pub pid: u32,
    /// The name of its program, up to 15 bytes, as `ps -o comm` shows it.
    pub command: String,
    /// Its effective user id.
    pub uid: u32,
}

impl SegmentInfo {
    /// The processes that use the segment, as far as this PID namespace can name them and `/proc` tells; how many
    /// handles there are in all is [`attached`](Self::attached). It is looked up when this is called.
    ///
    /// On Windows, macOS and FreeBSD nothing tells who has a file locked: there are none here, and `attached` is right.
    ///
    /// # Examples
    ///
    /// ```
    /// let name = robust_shm::unique_name("users");
    /// let value = robust_shm::SharedValue::create(&name, 1u16)?;
    /// let users = robust_shm::SegmentInfo::of(&name)?.users();
    /// assert!(users.iter().all(|user| user.pid == std::process::id()));
    /// # Ok::<(), robust_shm::Error>(())
    /// ```
    #[must_use]
    pub fn users(&self) -> Vec<User> {
        let mut pids: Vec<u32> = file_lock::lockers(&self.status).unwrap_or_default().iter().map(|it| it.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        let user = |pid| process::describe(pid).map(|(command, uid)| User { pid, command, uid });
        pids.into_iter().filter(|pid| *pid != 0).filter_map(user).collect()
    }
}
