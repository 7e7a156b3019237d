//! What the kernel keeps: one name, files, open file descriptions and their locks. Each function is one system call.

/// Program number `i` has description number `i`; the last place is for a newcomer.
pub(crate) const PLACES: usize = 4;
/// One file for each description, and one that has the name.
const FILES: usize = PLACES + 1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Flock {
    #[default]
    None,
    Shared,
    Exclusive,
}

/// An open file description. Programs have one at most: a process with two handles is two programs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Description {
    pub(crate) file: u8,
    pub(crate) flock: Flock,
    /// Holds the lock that guards the removal of the name.
    pub(crate) guards: bool,
    /// Has a presence byte.
    pub(crate) attends: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct File {
    pub(crate) complete: bool,
    pub(crate) persistent: bool,
    /// Its name went because somebody called `remove`.
    pub(crate) removed: bool,
    /// Bears the mark of an orphan that is being made anew.
    pub(crate) unfinished: bool,
    /// The segment's id: another one each time that it is made anew.
    pub(crate) id: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kernel {
    pub(crate) name: Option<u8>,
    pub(crate) descriptions: [Option<Description>; PLACES],
    pub(crate) files: [Option<File>; FILES],
}

impl Kernel {
    pub(crate) fn description(&self, of: usize) -> Description {
        self.descriptions[of].expect("an open description")
    }

    fn description_mut(&mut self, of: usize) -> &mut Description {
        self.descriptions[of].as_mut().expect("an open description")
    }

    pub(crate) fn file(&self, of: usize) -> File {
        self.files[usize::from(self.description(of).file)].expect("an open file exists")
    }

    pub(crate) fn file_mut(&mut self, of: usize) -> &mut File {
        let file = self.description(of).file;
        self.files[usize::from(file)].as_mut().expect("an open file exists")
    }

    /// Does the name lead to the file that this program has open? With one name, that is its link count, too.
    pub(crate) fn leads_to(&self, of: usize) -> bool {
        self.name == Some(self.description(of).file)
    }

    fn others(&self, of: usize) -> impl Iterator<Item = Description> {
        let file = self.description(of).file;
        let others = self.descriptions.into_iter().enumerate().filter(move |(i, _)| *i != of);
        others.filter_map(|(_, other)| other).filter(move |other| other.file == file)
    }

    /// `open(name)`; `false`: `ENOENT`.
    pub(crate) fn open(&mut self, who: usize) -> bool {
        let Some(file) = self.name else { return false };
        self.give(who, file);
        true
    }

    fn give(&mut self, who: usize, file: u8) {
        assert!(self.descriptions[who].is_none(), "programs have one description at a time");
        let none = Flock::None;
        self.descriptions[who] = Some(Description { file, flock: none, guards: false, attends: false });
    }

    /// `open(O_TMPFILE)`.
    pub(crate) fn create_unnamed(&mut self, who: usize) {
        let free =
            self.files.iter().position(Option::is_none).expect("at most a file for each description and the name");
        self.files[free] = Some(File::default());
        self.give(who, free as u8);
    }

    /// `linkat`; `false`: `EEXIST`.
    pub(crate) fn link(&mut self, who: usize) -> bool {
        let free = self.name.is_none();
        if free {
            self.name = Some(self.description(who).file);
        }
        free
    }

    /// `unlink(name)`, wherever it leads; `false`: `ENOENT`.
    pub(crate) fn unlink(&mut self) -> bool {
        let there = self.name.take().is_some();
        self.forget_unreachable();
        there
    }

    /// `close`, or the end of the process.
    pub(crate) fn close(&mut self, who: usize) {
        self.descriptions[who] = None;
        self.forget_unreachable();
    }

    fn forget_unreachable(&mut self) {
        for i in 0..FILES {
            let open = self.descriptions.iter().flatten().any(|description| usize::from(description.file) == i);
            if !open && self.name != Some(i as u8) {
                self.files[i] = None;
            }
        }
    }

    /// The first half of `flock` by a description that has the other kind: "the original lock lost".
    pub(crate) fn drop_flock(&mut self, who: usize) {
        self.description_mut(who).flock = Flock::None;
    }

    /// `flock(LOCK_SH | LOCK_NB)`, or its second half.
    pub(crate) fn try_share(&mut self, who: usize) -> bool {
        let free = self.others(who).all(|other| other.flock != Flock::Exclusive);
        self.description_mut(who).flock = if free { Flock::Shared } else { Flock::None };
        free
    }

    /// `flock(LOCK_EX | LOCK_NB)`, or its second half.
    pub(crate) fn try_exclude(&mut self, who: usize) -> bool {
        let free = self.others(who).all(|other| other.flock == Flock::None);
        self.description_mut(who).flock = if free { Flock::Exclusive } else { Flock::None };
        free
    }

    /// `fcntl(F_OFD_SETLK)` of the byte that guards the name.
    pub(crate) fn try_guard(&mut self, who: usize) -> bool {
        let free = self.others(who).all(|other| !other.guards);
        self.description_mut(who).guards = free;
        free
    }

    pub(crate) fn release_guard(&mut self, who: usize) {
        self.description_mut(who).guards = false;
    }

    /// `fcntl(F_OFD_SETLK)` of a byte of one's own.
    pub(crate) fn attend(&mut self, who: usize) {
        self.description_mut(who).attends = true;
    }

    /// `fcntl(F_OFD_GETLK)`, until nobody is left to count.
    pub(crate) fn count_attending(&self, who: usize) -> usize {
        self.others(who).filter(|other| other.attends).count()
    }
}
