//! A program: what it may ask for, and where in `src/segment/` it is.

use crate::kernel::{Kernel, PLACES};

/// What a program may do with the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    #[default]
    Open,
    Create,
    CreatePersistent,
    OpenOrCreate,
    /// Opens with another type than the segment has.
    OpenMistyped,
    Remove,
    /// `remove_orphans`, which also precedes each creation.
    Sweep,
    Inspect,
}

impl Op {
    pub(crate) const ALL: &[Self] = &[
        Self::Open,
        Self::Create,
        Self::CreatePersistent,
        Self::OpenOrCreate,
        Self::OpenMistyped,
        Self::Remove,
        Self::Sweep,
        Self::Inspect,
    ];

    pub(crate) fn first_step(self) -> Step {
        match self {
            Self::Create | Self::CreatePersistent => Step::CreateUnnamed,
            Self::Open | Self::OpenOrCreate | Self::OpenMistyped => Step::Open,
            Self::Remove => Step::RemoveOpen,
            Self::Sweep => Step::SweepOpen,
            Self::Inspect => Step::InspectOpen,
        }
    }
}

/// The next system call, by the function that it is in. What nobody else can see is not a step of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// Has nothing open.
    #[default]
    Idle,
    /// Was killed.
    Dead,
    /// Has a handle.
    Using,
    // create.rs, `try_create` and `fill`
    CreateUnnamed,
    Fill,
    ShareUnnamed,
    Link,
    MapCreated,
    // open.rs, `is_in_use`
    LookOpen,
    LookExclude,
    LookShare,
    LookDropShared,
    LookExcludeAgain,
    // open.rs, `try_open`, `admit` and `share_and_map`
    Open,
    Exclude,
    AdmitAndAttend,
    DropExclusive,
    Share,
    CheckLinks,
    MapOpened,
    // removal.rs, `unlink_exact`
    Guard,
    CheckName,
    Unlink,
    Release,
    // reuse.rs, `reset`
    Mark,
    Rewrite,
    Unmark,
    // presence.rs, `leave`
    LeaveDropShared,
    LeaveExclude,
    /// The description is closed, whatever locks it has.
    Close,
    // removal.rs, `remove`
    RemoveOpen,
    // removal.rs, `remove_if_orphan`
    SweepOpen,
    SweepExclude,
    // open.rs, `inspect`
    InspectOpen,
    InspectCount,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    /// There is a handle.
    Got,
    #[default]
    Left,
    NotFound,
    AlreadyExists,
    Refused,
    Removed,
    Swept,
    Inspected,
    /// It could not be mapped.
    Failed,
}

/// What follows when the description is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Then {
    /// The next attempt of the same call.
    #[default]
    Retry,
    /// `create` asks who has the name.
    Look,
    /// An orphan that it could not remove is made anew.
    Reuse,
    End(Outcome),
}

/// What must never happen, and shows in a single step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Wrong {
    SawHalfMade,
    UnnamedFileIsLocked,
    TookOverFromTheLiving,
    PersistentRemovedUnasked,
    MissedAUser,
    UsesAnother,
}

/// The protocol with one thing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    Nowhere,
    NamesBeforeFilling,
    NamesBeforeSharing,
    UnlinksWithoutCheck,
    UnlinksWithoutGuard,
    LeavesByClosing,
    LooksAndCloses,
    RefusedWhileSharing,
    OpensWithoutSecondLook,
    SweepsWithoutExcluding,
    TakesOverAfterSharing,
    RetractsFromUsers,
    InspectsByLocking,
    ReusesWithoutMark,
    RemovesWithoutComparing,
    LeavesWithoutLooking,
    OpensWithoutComparing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Program {
    pub(crate) step: Step,
    pub(crate) op: Op,
    pub(crate) then: Then,
    /// The id that it has validated, and whether that was of a persistent segment.
    pub(crate) id: u8,
    pub(crate) saw_persistent: bool,
    /// How many more calls it makes.
    pub(crate) calls_left: u8,
}

/// Whose the file is, so that they may remove it. (By request, everybody may.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner {
    Everybody,
    Nobody,
    Program(usize),
}

/// The whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct World {
    pub(crate) owner: Owner,
    pub(crate) kernel: Kernel,
    pub(crate) programs: [Program; PLACES],
    pub(crate) kills_left: u8,
    pub(crate) failures_left: u8,
    pub(crate) killed: bool,
    pub(crate) wrong: Option<Wrong>,
}
