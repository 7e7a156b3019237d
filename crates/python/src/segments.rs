//! What can be told about segments from outside, and what is done to them by name.

use std::time::UNIX_EPOCH;

use pyo3::prelude::*;
use robust_shm::Error;

use crate::errors::opening;
use crate::options;

/// What can be told about a segment from outside, as it was at one moment.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct SegmentInfo {
    it: robust_shm::SegmentInfo,
}

impl SegmentInfo {
    pub(crate) fn new(it: robust_shm::SegmentInfo) -> Self {
        Self { it }
    }
}

/// A process that uses a segment.
#[pyclass(frozen, get_all, eq, module = "robust_shm")]
#[derive(PartialEq)]
pub(crate) struct User {
    pid: u32,
    command: String,
    uid: u32,
}

#[pymethods]
impl User {
    fn __repr__(&self) -> String {
        format!("User(pid={}, command={:?}, uid={})", self.pid, self.command, self.uid)
    }
}

#[pymethods]
impl SegmentInfo {
    #[getter]
    fn name(&self) -> &str {
        self.it.name()
    }

    /// "value", "slice", "lock" ...
    #[getter]
    fn kind(&self) -> &str {
        self.it.kind()
    }

    /// The name of the type, or its tag.
    #[getter]
    fn type_name(&self) -> &str {
        self.it.type_name()
    }

    #[getter]
    fn has_type_tag(&self) -> bool {
        self.it.has_type_tag()
    }

    /// The type, as a text, if the segment says it.
    #[getter]
    fn schema(&self) -> Option<String> {
        self.it.schema().map(ToString::to_string)
    }

    /// In bytes.
    #[getter]
    fn element_size(&self) -> u64 {
        self.it.element_size()
    }

    /// How many elements.
    #[getter]
    fn length(&self) -> u64 {
        self.it.length()
    }

    /// The whole segment.
    #[getter]
    fn bytes(&self) -> u64 {
        self.it.bytes()
    }

    /// A user's number.
    #[getter]
    fn owner(&self) -> u32 {
        self.it.owner()
    }

    #[getter]
    fn mode(&self) -> u32 {
        self.it.mode()
    }

    /// No other segment ever has the same.
    #[getter]
    fn id(&self) -> u128 {
        self.it.id()
    }

    /// "futex", "file" or "os_mutex".
    #[getter]
    fn lock_kind(&self) -> &str {
        options::name_of(self.it.lock_kind())
    }

    /// Seconds, as of `time.time()`.
    #[getter]
    fn created(&self) -> f64 {
        self.it.created().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }

    /// The number of the process.
    #[getter]
    fn creator(&self) -> u32 {
        self.it.creator()
    }

    #[getter]
    fn is_persistent(&self) -> bool {
        self.it.is_persistent()
    }

    /// Of a value: how many there have been.
    #[getter]
    fn commits(&self) -> Option<u64> {
        self.it.commits()
    }

    /// Of a semaphore.
    #[getter]
    fn permits(&self) -> Option<usize> {
        self.it.permits()
    }

    /// Of a semaphore.
    #[getter]
    fn available_permits(&self) -> Option<usize> {
        self.it.available_permits()
    }

    /// Of an array and a lock with readers: how many can read at once.
    #[getter]
    fn reader_slots(&self) -> Option<usize> {
        self.it.reader_slots()
    }

    /// Of an array and a lock with readers.
    #[getter]
    fn active_readers(&self) -> Option<usize> {
        self.it.active_readers()
    }

    /// Of an event.
    #[getter]
    fn is_set(&self) -> Option<bool> {
        self.it.is_set()
    }

    #[getter]
    fn is_poisoned(&self) -> bool {
        self.it.is_poisoned()
    }

    /// The thread that holds the lock.
    #[getter]
    fn holder_thread(&self) -> Option<u32> {
        self.it.holder_thread()
    }

    /// Its process.
    #[getter]
    fn holder_process(&self) -> Option<u32> {
        self.it.holder_process()
    }

    /// Does somebody sleep, waiting?
    #[getter]
    fn has_sleepers(&self) -> bool {
        self.it.has_sleepers()
    }

    /// How many have it open.
    #[getter]
    fn attached(&self) -> usize {
        self.it.attached()
    }

    /// Has everybody who used it been killed?
    #[getter]
    fn is_orphan(&self) -> bool {
        self.it.is_orphan()
    }

    /// Those who have it open, as far as they can be named.
    fn users(&self) -> Vec<User> {
        let user = |user: robust_shm::User| User { pid: user.pid, command: user.command, uid: user.uid };
        self.it.users().into_iter().map(user).collect()
    }

    fn __repr__(&self) -> String {
        format!("<SegmentInfo {}>", self.it)
    }
}

/// All segments that this user may look at. A damaged one is left out.
#[pyfunction]
pub(crate) fn ls(py: Python<'_>) -> PyResult<Vec<SegmentInfo>> {
    let mut all = Vec::new();
    for found in robust_shm::segments() {
        match found {
            Ok(info) => all.push(SegmentInfo::new(info)),
            Err(error @ Error::Io { .. }) => return Err(opening(py, error)),
            Err(_) => {}
        }
    }
    Ok(all)
}

/// What can be told about the segment of that name, without using it.
#[pyfunction]
pub(crate) fn info(py: Python<'_>, name: &str) -> PyResult<SegmentInfo> {
    robust_shm::SegmentInfo::of(name).map(SegmentInfo::new).map_err(|error| opening(py, error))
}

/// Removes the segment of that name. Those who have it open can go on with it.
#[pyfunction]
pub(crate) fn remove(py: Python<'_>, name: &str) -> PyResult<()> {
    robust_shm::remove(name).map_err(|error| opening(py, error))
}

/// Removes what killed processes have left, and returns the names. Never what is in use, persistent or another user's.
#[pyfunction]
pub(crate) fn gc(py: Python<'_>) -> PyResult<Vec<String>> {
    robust_shm::remove_orphans().map_err(|error| opening(py, error))
}

/// What `gc` would remove.
#[pyfunction]
pub(crate) fn orphans(py: Python<'_>) -> PyResult<Vec<String>> {
    robust_shm::orphans().map_err(|error| opening(py, error))
}

/// A name that nobody uses, and that begins like this.
#[pyfunction]
pub(crate) fn unique_name(prefix: &str) -> String {
    robust_shm::unique_name(prefix)
}
