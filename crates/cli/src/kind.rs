//! The kinds of segments, as this program calls them.

use clap::ValueEnum;
use robust_shm::SegmentInfo;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Value,
    Array,
    Lock,
    #[value(name = "rwlock")]
    RwLock,
    Event,
    Semaphore,
}

impl Kind {
    /// `None`: a kind that a later version of the library has.
    pub(crate) fn of(info: &SegmentInfo) -> Option<Self> {
        Self::from_str(&info.kind().trim_start_matches("Shared").to_lowercase(), false).ok()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Array => "array",
            Self::Lock => "lock",
            Self::RwLock => "rwlock",
            Self::Event => "event",
            Self::Semaphore => "semaphore",
        }
    }
}

/// The name of a segment's kind.
pub(crate) fn name_of(info: &SegmentInfo) -> &'static str {
    Kind::of(info).map_or(info.kind(), Kind::name)
}
