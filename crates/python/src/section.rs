//! What `with` enters and leaves, and the guard of the thread that is inside.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use robust_shm::LockError;

use crate::errors::{inside_already, not_held};
use crate::thread::Held;
use crate::waiting::{Timeout, wait_after};

/// A lock of the library that can be poisoned.
pub(crate) trait Poisonable: Send + Sync + 'static {
    type Guard;

    fn name(&self) -> &str;
    fn now(&'static self, even_poisoned: bool) -> Result<Self::Guard, LockError>;
    fn within(&'static self, most: Duration, even_poisoned: bool) -> Result<Self::Guard, LockError>;
    fn clear_poison(guard: &mut Self::Guard);
}

/// Such a lock, and this process's guard of it.
pub(crate) struct Exclusive<L: Poisonable> {
    held: Held<L, L::Guard>,
}

impl<L: Poisonable> Exclusive<L> {
    pub(crate) fn new(handle: Arc<L>) -> Self {
        Self { held: Held::new(handle) }
    }

    pub(crate) fn handle(&self) -> &Arc<L> {
        self.held.handle()
    }

    pub(crate) fn held(&self) -> &Held<L, L::Guard> {
        &self.held
    }

    #[inline]
    pub(crate) fn enter(&self, py: Python<'_>, timeout: Timeout, even_poisoned: bool) -> PyResult<()> {
        self.held.enter(|handle| match handle.now(even_poisoned) {
            Ok(guard) => Ok(guard),
            Err(_) if self.held.is_mine() => Err(inside_already(py, handle.name())),
            Err(error) => wait_after(py, error, timeout, |most| handle.within(most, even_poisoned)),
        })
    }

    /// `is_repaired`: what was poisoned is so no longer.
    #[inline]
    pub(crate) fn leave(&self, py: Python<'_>, is_repaired: bool) -> PyResult<()> {
        let Some(mut guard) = self.held.take() else {
            return Err(not_held(
                py,
                self.handle().name(),
                "it was given back amid the block, or taken by another thread",
            ));
        };
        if is_repaired {
            L::clear_poison(&mut guard);
        }
        Ok(())
    }
}

/// One way into a handle, and out of it.
pub(crate) trait Block: Send + Sync {
    fn enter(&self, py: Python<'_>, timeout: Timeout) -> PyResult<()>;

    /// `exception`: what passes, if anything does.
    fn leave(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()>;
}

/// What `x.lock(timeout=1)`, `x.read()` and `x.recover()` return: a block to be entered with `with`, as often as one likes.
#[pyclass(frozen, module = "robust_shm")]
pub(crate) struct Section {
    of: Py<PyAny>,
    block: Box<dyn Block>,
    timeout: Timeout,
}

impl Section {
    pub(crate) fn new(of: Py<PyAny>, block: Box<dyn Block>, timeout: Option<Timeout>) -> Self {
        Self { of, block, timeout: timeout.unwrap_or(Timeout::FOREVER) }
    }
}

#[pymethods]
impl Section {
    pub(crate) fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.block.enter(py, self.timeout)?;
        Ok(self.of.clone_ref(py))
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        leave(value, |exception| self.block.leave(py, exception))
    }
}

/// Leaves a block. Where an exception is on its way, that goes on, and what else went wrong is a note of it.
pub(crate) fn leave(
    exception: &Bound<'_, PyAny>,
    leave: impl FnOnce(Option<&Bound<'_, PyAny>>) -> PyResult<()>,
) -> PyResult<()> {
    if exception.is_none() {
        return leave(None);
    }
    if let Err(error) = leave(Some(exception)) {
        exception.call_method1("add_note", (format!("robust_shm: {error}"),))?;
    }
    Ok(())
}
