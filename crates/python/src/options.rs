//! The keyword arguments that all classes have, as the library's options.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use robust_shm::{LockKind, Options};

/// Who does not state one follows the segment, or the library's choice where there is none.
#[derive(Default)]
pub(crate) struct Settings {
    mode: Option<u32>,
    persistent: Option<bool>,
    lock_kind: Option<LockKind>,
    allow_owner: Vec<u32>,
    tag: Option<String>,
    reserve: Option<bool>,
    poison: Option<bool>,
    readers: Option<usize>,
}

/// Which of the options a class has that not all have.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Has {
    Common,
    Poison,
    PoisonAndReaders,
}

impl Settings {
    pub(crate) fn new(keywords: Option<&Bound<'_, PyDict>>, has: Has) -> PyResult<Self> {
        let mut settings = Self::default();
        for (key, value) in keywords.into_iter().flatten() {
            let key = key.cast::<PyString>()?.to_cow()?;
            match &*key {
                "mode" => settings.mode = value.extract()?,
                "persistent" => settings.persistent = value.extract()?,
                "lock_kind" => {
                    settings.lock_kind = value.extract::<Option<String>>()?.as_deref().map(lock_kind).transpose()?
                }
                "allow_owner" => settings.allow_owner = owners(&value)?,
                "tag" => settings.tag = value.extract()?,
                "reserve" => settings.reserve = value.extract()?,
                "poison" if has != Has::Common => settings.poison = value.extract()?,
                "readers" if has == Has::PoisonAndReaders => settings.readers = value.extract()?,
                other => return Err(PyTypeError::new_err(format!("unexpected keyword argument {other:?}"))),
            }
        }
        Ok(settings)
    }

    /// What is needed to open the segment once more.
    pub(crate) fn to_reopen(&self) -> Self {
        Self { allow_owner: self.allow_owner.clone(), tag: self.tag.clone(), ..Self::default() }
    }

    /// As keyword arguments.
    pub(crate) fn keywords<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        if !self.allow_owner.is_empty() {
            keywords.set_item("allow_owner", &self.allow_owner)?;
        }
        if let Some(tag) = &self.tag {
            keywords.set_item("tag", tag)?;
        }
        Ok(keywords)
    }

    pub(crate) fn common<H>(&self, mut options: Options<H>) -> Options<H> {
        if let Some(mode) = self.mode {
            options = options.mode(mode);
        }
        if let Some(persistent) = self.persistent {
            options = options.persistent(persistent);
        }
        if let Some(kind) = self.lock_kind {
            options = options.lock_kind(kind);
        }
        if let Some(tag) = &self.tag {
            options = options.type_tag(tag);
        }
        if let Some(reserve) = self.reserve {
            options = options.reserve(reserve);
        }
        self.allow_owner.iter().fold(options, |options, uid| options.allow_owner(*uid))
    }

    pub(crate) fn poison(&self) -> Option<bool> {
        self.poison
    }

    pub(crate) fn readers(&self) -> Option<usize> {
        self.readers
    }
}

fn owners(value: &Bound<'_, PyAny>) -> PyResult<Vec<u32>> {
    match value.extract::<u32>() {
        Ok(one) => Ok(vec![one]),
        // One by one: who says how many there are may say anything.
        Err(_) => value.try_iter()?.map(|owner| owner?.extract()).collect(),
    }
}

fn lock_kind(name: &str) -> PyResult<LockKind> {
    match name {
        "futex" => Ok(LockKind::Futex),
        "file" => Ok(LockKind::File),
        "os_mutex" => Ok(LockKind::OsMutex),
        other => Err(PyValueError::new_err(format!("lock_kind is 'futex', 'file' or 'os_mutex', found {other:?}"))),
    }
}

/// As Python calls it.
pub(crate) fn name_of(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Futex => "futex",
        LockKind::File => "file",
        LockKind::OsMutex => "os_mutex",
        _ => "other",
    }
}
