//! [`SegmentInfo`] in words.

use std::fmt;

use super::SegmentInfo;
use crate::sync::poison::Poison;

/// By the names of the methods.
impl fmt::Debug for SegmentInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentInfo")
            .field("name", &self.name)
            .field("kind", &self.kind())
            .field("type_name", &self.type_name())
            .field("has_type_tag", &self.has_type_tag())
            .field("schema", &self.description.as_ref().map(|description| &description.text))
            .field("element_size", &self.element_size())
            .field("length", &self.length())
            .field("bytes", &self.bytes)
            .field("owner", &self.owner)
            .field("mode", &format_args!("{:#05o}", self.status.mode))
            .field("lock_kind", &self.lock_kind)
            .field("created", &self.created)
            .field("creator", &self.creator)
            .field("is_persistent", &self.is_persistent())
            .field("commits", &self.commits())
            .field("available_permits", &self.available_permits())
            .field("reader_slots", &self.reader_slots())
            .field("active_readers", &self.active_readers())
            .field("is_set", &self.is_set())
            .field("is_poisoned", &self.is_poisoned())
            .field("holder_thread", &self.holder_thread())
            .field("holder_process", &self.holder_process())
            .field("has_sleepers", &self.has_sleepers())
            .field("attached", &self.attached())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for SegmentInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, creator, .. } = self;
        let (name, type_name) = (self.name.escape_debug(), self.type_name().escape_debug());
        write!(f, "{name}: {}", self.shape.in_rust(&type_name))?;
        let says_it = |text: &str| self.type_name().bytes().filter(|byte| *byte != b' ').eq(text.bytes());
        if let Some(text) = self.description.as_ref().map(|it| &it.text).filter(|text| !says_it(text)) {
            write!(f, ", schema {}", text.escape_debug())?;
        }
        write!(f, ", {bytes} bytes, {:?} lock, created by process {creator}", self.lock_kind)?;
        if let Some(commits) = self.commits {
            write!(f, ", {commits} commits")?;
        }
        if let Some(available) = self.available_permits {
            write!(f, ", {available} available")?;
        }
        match self.active_readers() {
            None | Some(0) => {}
            Some(1) => f.write_str(", 1 reader")?,
            Some(count) => write!(f, ", {count} readers")?,
        }
        match self.attached {
            1 => write!(f, ", 1 handle attached")?,
            count => write!(f, ", {count} handles attached")?,
        }
        match (self.holder_thread, self.holder_process) {
            (Some(thread), Some(process)) => write!(f, ", held by thread {thread} of process {process}")?,
            (Some(thread), None) => write!(f, ", held by thread {thread}")?,
            (None, _) => {}
        }
        let without_poison = self.shape.kind.poison() != Poison::Never && !self.has_poison;
        for (is, word) in [
            (self.is_set == Some(true), "set"),
            (self.is_set == Some(false), "not set"),
            (self.persistent, "persistent"),
            (without_poison, "without poison"),
            (self.poisoned, "poisoned"),
            (self.is_orphan(), "orphan"),
        ] {
            if is {
                write!(f, ", {word}")?;
            }
        }
        Ok(())
    }
}
