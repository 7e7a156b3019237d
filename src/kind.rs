//! The kinds of segments, in one table: all that the floors below the faces know of a face. A new kind is a row here.

use std::fmt;

/// Which face a segment has. The numbers stand in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    Value = 1,
    Array = 2,
    Lock = 3,
    Event = 4,
    RwLock = 5,
    /// `SharedSemaphore`
    Semaphore = 6,
}

/// What the word in the lock line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Who holds the lock: `sync/robust_futex.rs`.
    Holder,
    /// Whether the event is set: `sync/event.rs`. Nobody holds it.
    Event,
    /// How often the bell was rung: `sync/permits.rs`. Nobody holds it.
    Bell,
}

/// What stands behind the lock line and the wait line. How large that is, and where in it the data begin, is computed in
/// `layout/body.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// One element in a commit cell: two slots, and the number of commits.
    CommitCell,
    /// Readers side by side, as below, and the elements in place, one behind the other.
    Elements,
    /// A line for readers side by side, and their slots: lock lines, of which the header says how many.
    Readers,
    /// Lock lines, from behind the first one on; the length says how many.
    Permits,
    Nothing,
}

impl Body {
    /// Are there elements, whose type can be described?
    pub(crate) const fn has_elements(self) -> bool {
        matches!(self, Self::CommitCell | Self::Elements)
    }

    /// Is there a line for readers side by side?
    pub(crate) const fn has_readers(self) -> bool {
        matches!(self, Self::Elements | Self::Readers)
    }
}

/// Whose death poisons a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    /// Nobody's: what is in a commit cell is whole whoever dies, and some creators want none.
    Never,
    /// That of a holder amid changes: of what is changed in place; and of what is out of our sight because a lock guards it,
    /// amid the time in which a guard lets that be changed.
    OfWriters,
}

struct Row {
    kind: Kind,
    /// As the type is called, and as the messages call it.
    name: &'static str,
    word: Word,
    body: Body,
    /// If the creator does not do without.
    poison: Poison,
    /// How the sentence goes on that begins with "a holder died or panicked": what may be torn, and what repairs it.
    repair: &'static str,
    /// Can there be such a segment? What holds for all kinds is asked by `layout.rs`.
    is_plausible: fn(&Shape) -> bool,
    /// What stands in the angle brackets behind the name, given the type's name and the length.
    arguments: fn(&mut fmt::Formatter<'_>, &dyn fmt::Display, &dyn fmt::Display) -> fmt::Result,
    /// What a size in bytes is the size of.
    measured: &'static str,
}

/// The face of arrays whose length is not part of the type.
const SLICE: &str = "SharedSlice";

const TABLE: [Row; 6] = [
    Row {
        kind: Kind::Value,
        name: "SharedValue",
        word: Word::Holder,
        body: Body::CommitCell,
        poison: Poison::Never,
        repair: "",
        is_plausible: |shape| shape.len == Some(1),
        arguments: |f, name, _| write!(f, "<{name}>"),
        measured: "",
    },
    Row {
        kind: Kind::Array,
        name: "SharedArray",
        word: Word::Holder,
        body: Body::Elements,
        poison: Poison::OfWriters,
        repair: "while it could change the elements; check and repair them under lock_recover, or under lock_ignoring_poison and recover of the guard, or replace them all with copy_from_slice",
        is_plausible: |shape| shape.len.is_some(),
        arguments: |f, name, len| write!(f, "<{name}, {len}>"),
        measured: "elements of ",
    },
    Row {
        kind: Kind::Lock,
        name: "SharedLock",
        word: Word::Holder,
        body: Body::Nothing,
        poison: Poison::OfWriters,
        repair: "while it held it, so that what it guards may be half-changed; check and repair that under lock_recover, or under lock_ignoring_poison and recover of the guard; a lock that guards nothing is made with options().poison(false)",
        is_plausible: |shape| shape.len == Some(0) && shape.elem_size == 0,
        arguments: |_, _, _| Ok(()),
        measured: "",
    },
    Row {
        kind: Kind::Event,
        name: "SharedEvent",
        word: Word::Event,
        body: Body::Nothing,
        poison: Poison::Never,
        repair: "",
        is_plausible: |shape| shape.len == Some(0) && shape.elem_size == 0,
        arguments: |_, _, _| Ok(()),
        measured: "",
    },
    Row {
        kind: Kind::RwLock,
        name: "SharedRwLock",
        word: Word::Holder,
        body: Body::Readers,
        poison: Poison::OfWriters,
        repair: "while it could write, so that what it guards may be half-changed; check and repair that under write_recover, or under write_ignoring_poison and recover of the guard; a lock that guards nothing which could be torn is made with options().poison(false)",
        is_plausible: |shape| shape.len == Some(0) && shape.elem_size == 0,
        arguments: |_, _, _| Ok(()),
        measured: "",
    },
    Row {
        kind: Kind::Semaphore,
        name: "SharedSemaphore",
        word: Word::Bell,
        body: Body::Permits,
        poison: Poison::Never,
        repair: "",
        is_plausible: |shape| shape.len.is_some() && shape.elem_size == 0,
        arguments: |f, _, len| write!(f, " of {len} permits"),
        measured: "",
    },
];

/// The kinds that there are, with their numbers.
pub(crate) fn known() -> String {
    TABLE.iter().map(|row| format!("{}: {}", row.kind as u32, row.name)).collect::<Vec<_>>().join(", ")
}

/// See [`Row::repair`], by the name of the type.
pub(crate) fn repair_of(name: &str) -> &'static str {
    TABLE.iter().find(|row| row.name == name).map_or("", |row| row.repair)
}

impl Kind {
    const fn row(self) -> &'static Row {
        const ROWS: &[Row] = &TABLE;
        let mut at = 0;
        while ROWS[at].kind as u32 != self as u32 {
            at += 1;
        }
        &ROWS[at]
    }

    pub(crate) const fn name(self) -> &'static str {
        self.row().name
    }

    pub(crate) const fn word(self) -> Word {
        self.row().word
    }

    pub(crate) const fn body(self) -> Body {
        self.row().body
    }

    pub(crate) const fn poison(self) -> Poison {
        self.row().poison
    }

    pub(crate) fn from_stored(number: u32) -> Option<Self> {
        TABLE.iter().map(|row| row.kind).find(|kind| *kind as u32 == number)
    }
}

/// The shape of the data: how many elements of which size (bytes) and alignment (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) elem_size: u64,
    pub(crate) elem_align: u64,
    /// `None`: any, in what an opener expects.
    pub(crate) len: Option<u64>,
    pub(crate) open: Open,
}

/// What a program that expects something leaves to the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// In what a segment says, there is nothing.
    Nothing,
    /// The length is none of the type's. So it is of a slice, which is an array to everybody else.
    Length,
    /// Whatever the type is.
    Type,
}

impl Shape {
    /// Is that what was expected, but perhaps for the alignment?
    pub(crate) fn admits(&self, found: &Self) -> bool {
        let is_of_size = self.open == Open::Type || self.elem_size == found.elem_size;
        self.kind == found.kind && is_of_size && (self.len.is_none() || self.len == found.len)
    }

    pub(crate) fn is_plausible(&self) -> bool {
        (self.kind.row().is_plausible)(self)
    }

    /// As a Rust program writes the type, given the name of the element's.
    pub(crate) fn in_rust<'a>(&'a self, type_name: &'a dyn fmt::Display) -> impl fmt::Display + 'a {
        InRust(self, type_name)
    }
}

struct InRust<'a>(&'a Shape, &'a dyn fmt::Display);

impl fmt::Display for InRust<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(shape, type_name) = self;
        let row = shape.kind.row();
        match (shape.open, &shape.len) {
            (Open::Type, _) => f.write_str(row.name),
            (Open::Length, None) => write!(f, "{SLICE}<{type_name}>"),
            (Open::Length, Some(len)) => write!(f, "{SLICE}<{type_name}> of {len} elements"),
            (Open::Nothing, None) => f.write_str(row.name),
            (Open::Nothing, Some(len)) => {
                f.write_str(row.name)?;
                (row.arguments)(f, type_name, len)
            }
        }
    }
}

/// How large its elements are.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} bytes, alignment {}", self.kind.row().measured, self.elem_size, self.elem_align)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_expects_any_length_admits_each_and_nothing_else() {
        let found = Shape { kind: Kind::Array, elem_size: 8, elem_align: 8, len: Some(3), open: Open::Nothing };
        let any = Shape { len: None, open: Open::Length, ..found };
        let stated = Shape { open: Open::Length, ..found };
        assert!(found.admits(&found) && any.admits(&found) && any.admits(&Shape { len: Some(0), ..found }));
        assert!(stated.admits(&found));
        for one in [found, stated] {
            assert!(!one.admits(&Shape { len: Some(4), ..found }));
        }
        for other in [Shape { elem_size: 16, ..found }, Shape { kind: Kind::Value, ..found }] {
            assert!(!any.admits(&other) && !found.admits(&other), "{other:?}");
        }
        let any_type = Shape { elem_size: 0, len: None, open: Open::Type, ..found };
        assert!(any_type.admits(&found) && !any_type.admits(&Shape { kind: Kind::Value, ..found }));
        let shown = [found, stated, any, any_type].map(|shape| shape.in_rust(&"u64").to_string());
        assert_eq!(shown, ["SharedArray<u64, 3>", "SharedSlice<u64> of 3 elements", "SharedSlice<u64>", "SharedArray"]);
        assert!(!any.is_plausible()); // as a segment
    }
}
