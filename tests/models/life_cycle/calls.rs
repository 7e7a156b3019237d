//! What a program does: the functions of `src/segment/`, a system call at a time.

use crate::kernel::Flock;
use crate::program::{Broken, Op, Outcome, Owner, Program, Step, Then, World, Wrong};

/// In the place of an id that was validated: the mark.
const UNFINISHED: u8 = u8::MAX;
/// More than there are times that a file is made anew between two looks.
const IDS: u8 = 16;

impl World {
    /// A program begins a call.
    pub(crate) fn begin(&mut self, who: usize, op: Op) {
        let program = &mut self.programs[who];
        program.op = op;
        program.calls_left = program.calls_left.saturating_sub(1);
        program.then = Then::Retry;
        program.step = op.first_step();
    }

    /// The program drops its handle.
    pub(crate) fn leave(&mut self, who: usize, broken: Broken) {
        self.start_leaving(who, Then::End(Outcome::Left), broken);
    }

    fn start_leaving(&mut self, who: usize, then: Then, broken: Broken) {
        let retracts = then == Then::End(Outcome::Failed) && self.programs[who].step == Step::MapCreated;
        let persistent = self.kernel.file(who).persistent && !retracts;
        let by_closing = persistent || broken == Broken::LeavesByClosing;
        self.programs[who].then = then;
        self.programs[who].step = match self.kernel.description(who).flock {
            _ if by_closing => Step::Close,
            Flock::Shared => Step::LeaveDropShared,
            Flock::None | Flock::Exclusive => Step::LeaveExclude,
        };
    }

    /// It is killed.
    pub(crate) fn kill(&mut self, who: usize) {
        self.kernel.close(who);
        self.programs[who] = Program { step: Step::Dead, ..Program::default() };
        self.killed = true;
    }

    /// Mapping fails, with `ENOMEM`, say.
    pub(crate) fn fail_to_map(&mut self, who: usize, broken: Broken) {
        let retracts = broken == Broken::RetractsFromUsers && self.programs[who].step == Step::MapCreated;
        self.start_leaving(who, Then::End(Outcome::Failed), broken);
        if retracts {
            self.programs[who].step = Step::Guard;
        }
    }

    /// The program's next system call; how its call has ended, if it has.
    pub(crate) fn advance(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        use Step::*;
        match self.programs[who].step {
            Idle | Dead | Using => unreachable!("no call is being made"),
            CreateUnnamed | Fill | ShareUnnamed | Link | MapCreated => self.create(who, broken),
            LookOpen | LookExclude | LookShare | LookDropShared | LookExcludeAgain => self.look(who, broken),
            Open | Exclude | AdmitAndAttend | DropExclusive | Share | CheckLinks | MapOpened => self.open(who, broken),
            Guard | CheckName | Unlink | Release => self.unlink_exact(who, broken),
            Mark | Rewrite | Unmark => self.reuse(who, broken),
            LeaveDropShared | LeaveExclude | Close => self.go(who, broken),
            RemoveOpen | SweepOpen | SweepExclude => self.clear_away(who, broken),
            InspectOpen | InspectCount => self.inspect(who, broken),
        }
    }

    fn to(&mut self, who: usize, step: Step) -> Option<Outcome> {
        self.programs[who].step = step;
        None
    }

    fn close_then(&mut self, who: usize, then: Then) -> Option<Outcome> {
        self.programs[who].then = then;
        self.to(who, Step::Close)
    }

    fn unlink_then(&mut self, who: usize, then: Then) -> Option<Outcome> {
        self.programs[who].then = then;
        self.to(who, Step::Guard)
    }

    fn leave_then(&mut self, who: usize, then: Then, broken: Broken) -> Option<Outcome> {
        self.start_leaving(who, then, broken);
        None
    }

    /// The call has ended, with nothing open.
    fn end(&mut self, who: usize, outcome: Outcome) -> Option<Outcome> {
        self.programs[who] = Program { calls_left: self.programs[who].calls_left, ..Program::default() };
        Some(outcome)
    }

    fn got(&mut self, who: usize) -> Option<Outcome> {
        let calls_left = self.programs[who].calls_left;
        self.programs[who] = Program { step: Step::Using, calls_left, ..Program::default() };
        Some(Outcome::Got)
    }

    fn create(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        let name_taken = if self.programs[who].op == Op::OpenOrCreate { Then::Retry } else { Then::Look };
        match self.programs[who].step {
            Step::CreateUnnamed => {
                self.kernel.create_unnamed(who);
                self.kernel.file_mut(who).persistent = self.programs[who].op == Op::CreatePersistent;
                self.to(who, if broken == Broken::NamesBeforeFilling { Step::Link } else { Step::Fill })
            }
            Step::Fill => {
                self.kernel.file_mut(who).complete = true;
                self.kernel.attend(who);
                self.to(who, if broken == Broken::NamesBeforeSharing { Step::Link } else { Step::ShareUnnamed })
            }
            Step::ShareUnnamed => {
                if !self.kernel.try_share(who) {
                    self.wrong = Some(Wrong::UnnamedFileIsLocked);
                }
                self.to(who, if self.kernel.leads_to(who) { Step::MapCreated } else { Step::Link })
            }
            Step::Link if !self.kernel.link(who) => self.close_then(who, name_taken),
            Step::Link => self.to(
                who,
                match broken {
                    Broken::NamesBeforeFilling => Step::Fill,
                    Broken::NamesBeforeSharing => Step::ShareUnnamed,
                    _ => Step::MapCreated,
                },
            ),
            Step::MapCreated if self.kernel.leads_to(who) => self.got(who),
            _ => self.leave_then(who, name_taken, broken),
        }
    }

    fn look(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        match self.programs[who].step {
            Step::LookOpen if !self.kernel.open(who) => self.to(who, Step::CreateUnnamed),
            Step::LookOpen => {
                self.check_complete(who);
                if self.kernel.file(who).persistent && !self.kernel.file(who).unfinished {
                    return self.close_then(who, Then::End(Outcome::AlreadyExists));
                }
                self.to(who, Step::LookExclude)
            }
            Step::LookExclude if self.kernel.try_exclude(who) => self.unlink_as_found(who, broken),
            Step::LookExclude => self.to(who, Step::LookShare),
            Step::LookShare if !self.kernel.try_share(who) => self.close_then(who, Then::Retry),
            Step::LookShare if broken == Broken::LooksAndCloses => {
                self.close_then(who, Then::End(Outcome::AlreadyExists))
            }
            Step::LookShare => self.to(who, Step::LookDropShared),
            Step::LookDropShared => {
                self.kernel.drop_flock(who);
                self.to(who, Step::LookExcludeAgain)
            }
            _ if self.kernel.try_exclude(who) => self.unlink_as_found(who, broken),
            _ => self.close_then(who, Then::End(Outcome::AlreadyExists)),
        }
    }

    fn open(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        let op = self.programs[who].op;
        match self.programs[who].step {
            Step::Open if self.kernel.open(who) => {
                self.check_complete(who);
                self.to(who, Step::Exclude)
            }
            Step::Open if op == Op::OpenOrCreate => self.to(who, Step::CreateUnnamed),
            Step::Open => self.end(who, Outcome::NotFound),
            Step::Exclude => {
                let excludes = self.kernel.try_exclude(who);
                let unfinished = self.programs[who].id == UNFINISHED;
                match excludes {
                    true if !self.is_as_found(who, broken) => self.close_then(who, Then::Retry),
                    true if unfinished || !self.programs[who].saw_persistent => self.unlink_then(who, Then::Retry),
                    false if unfinished => self.close_then(who, Then::Retry),
                    _ => self.to(who, Step::AdmitAndAttend),
                }
            }
            Step::AdmitAndAttend => {
                let excludes = self.kernel.description(who).flock == Flock::Exclusive;
                if op == Op::OpenMistyped && broken != Broken::RefusedWhileSharing {
                    return self.close_then(who, Then::End(Outcome::Refused));
                }
                if excludes && broken != Broken::TakesOverAfterSharing {
                    self.take_over(who);
                }
                self.kernel.attend(who);
                self.to(who, if excludes { Step::DropExclusive } else { Step::Share })
            }
            Step::DropExclusive => {
                self.kernel.drop_flock(who);
                self.to(who, Step::Share)
            }
            Step::Share if !self.kernel.try_share(who) => self.close_then(who, Then::Retry),
            Step::Share if op == Op::OpenMistyped => self.close_then(who, Then::End(Outcome::Refused)),
            Step::Share if broken == Broken::OpensWithoutSecondLook => self.got(who),
            Step::Share => {
                if broken == Broken::TakesOverAfterSharing && self.kernel.file(who).persistent {
                    self.take_over(who);
                }
                self.to(who, Step::CheckLinks)
            }
            Step::CheckLinks if self.kernel.leads_to(who) && self.is_as_validated(who, broken) => {
                self.to(who, Step::MapOpened)
            }
            Step::MapOpened if self.kernel.leads_to(who) => {
                let file = self.kernel.file(who);
                if file.unfinished || !file.complete || file.id != self.programs[who].id {
                    self.wrong = Some(Wrong::UsesAnother);
                }
                self.got(who)
            }
            _ => self.leave_then(who, Then::Retry, broken),
        }
    }

    fn unlink_exact(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        match self.programs[who].step {
            Step::Guard => {
                let guards = broken == Broken::UnlinksWithoutGuard || self.kernel.try_guard(who);
                self.to(who, if guards { Step::CheckName } else { self.after_unlink(who, broken) })
            }
            Step::CheckName => {
                let leads_here = broken == Broken::UnlinksWithoutCheck || self.kernel.leads_to(who);
                self.to(who, if leads_here { Step::Unlink } else { Step::Release })
            }
            Step::Unlink if !self.may_remove(who) => {
                if self.programs[who].then != Then::End(Outcome::Left) {
                    self.programs[who].then = match self.programs[who].op {
                        Op::Create | Op::CreatePersistent | Op::OpenOrCreate => Then::Reuse,
                        Op::Sweep => Then::End(Outcome::Swept),
                        _ => Then::End(Outcome::NotFound),
                    };
                }
                self.to(who, Step::Release)
            }
            // The guard stays, and goes with the description: the file has no name any more.
            Step::Unlink => {
                self.unlink(who);
                self.to(who, self.after_unlink(who, broken))
            }
            _ => {
                self.kernel.release_guard(who);
                if self.programs[who].then == Then::Reuse {
                    return self.to(who, if broken == Broken::ReusesWithoutMark { Step::Rewrite } else { Step::Mark });
                }
                self.to(who, self.after_unlink(who, broken))
            }
        }
    }

    /// Makes an orphan anew, which is held exclusively.
    fn reuse(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        let persistent = self.programs[who].op == Op::CreatePersistent;
        match self.programs[who].step {
            Step::Mark => {
                self.kernel.file_mut(who).unfinished = true;
                self.to(who, Step::Rewrite)
            }
            Step::Rewrite => {
                let file = self.kernel.file_mut(who);
                file.complete = false;
                file.id = (file.id + 1) % IDS;
                self.to(who, Step::Unmark)
            }
            _ => {
                if self.users(self.kernel.description(who).file) > 0 {
                    self.wrong = Some(Wrong::TookOverFromTheLiving);
                }
                let file = self.kernel.file_mut(who);
                (file.complete, file.unfinished, file.persistent) = (true, false, persistent);
                let id = file.id;
                self.programs[who].id = id;
                self.programs[who].then = Then::Retry;
                self.kernel.attend(who);
                let _ = broken;
                self.to(who, Step::DropExclusive)
            }
        }
    }

    /// The look of who has just got the file exclusively: is it still what was found? (Nobody else can change it now, so
    /// the look is no step of its own.)
    fn is_as_found(&self, who: usize, broken: Broken) -> bool {
        let file = self.kernel.file(who);
        let now = if file.unfinished { UNFINISHED } else { file.id };
        broken == Broken::RemovesWithoutComparing || now == self.programs[who].id
    }

    fn unlink_as_found(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        if self.is_as_found(who, broken) {
            self.unlink_then(who, Then::Retry)
        } else {
            self.close_then(who, Then::Retry)
        }
    }

    /// The second look, as a user: is it still what was validated?
    fn is_as_validated(&self, who: usize, broken: Broken) -> bool {
        let file = self.kernel.file(who);
        broken == Broken::OpensWithoutComparing || !file.unfinished && file.id == self.programs[who].id
    }

    /// Who unlinks without excluding is still a user.
    fn after_unlink(&self, who: usize, broken: Broken) -> Step {
        let leaves = self.kernel.description(who).flock == Flock::Shared;
        match leaves {
            true if self.kernel.file(who).persistent || broken == Broken::LeavesByClosing => Step::Close,
            true => Step::LeaveDropShared,
            false => Step::Close,
        }
    }

    fn may_remove(&self, who: usize) -> bool {
        self.owner == Owner::Everybody || self.owner == Owner::Program(who) || self.programs[who].op == Op::Remove
    }

    fn unlink(&mut self, who: usize) {
        let retracts = self.programs[who].then == Then::End(Outcome::Failed);
        let asked = self.programs[who].op == Op::Remove;
        let Some(file) = self.kernel.name.map(usize::from) else { return };
        let found = self.kernel.files[file].as_mut().expect("a named file exists");
        found.removed |= asked;
        if found.persistent && !asked && !retracts {
            self.wrong = Some(Wrong::PersistentRemovedUnasked);
        }
        self.kernel.unlink();
        if asked {
            self.programs[who].then = Then::End(Outcome::Removed);
        }
    }

    fn go(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        match self.programs[who].step {
            Step::LeaveDropShared => {
                self.kernel.drop_flock(who);
                self.to(who, Step::LeaveExclude)
            }
            Step::LeaveExclude => {
                let last = self.kernel.try_exclude(who);
                // Between the two locks, somebody may have made a persistent segment of it, and have left.
                let file = self.kernel.file(who);
                let is_kept = file.persistent && !file.unfinished && broken != Broken::LeavesWithoutLooking;
                let retracts = self.programs[who].then == Then::End(Outcome::Failed);
                self.to(who, if last && (retracts || !is_kept) { Step::Guard } else { Step::Close })
            }
            _ => {
                self.kernel.close(who);
                match self.programs[who].then {
                    Then::Retry => self.to(who, self.programs[who].op.first_step()),
                    Then::Look => self.to(who, Step::LookOpen),
                    Then::Reuse => unreachable!("an orphan that is made anew is not closed first"),
                    Then::End(outcome) => self.end(who, outcome),
                }
            }
        }
    }

    fn clear_away(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        match self.programs[who].step {
            Step::RemoveOpen if self.kernel.open(who) => self.unlink_then(who, Then::Retry),
            Step::RemoveOpen => self.end(who, Outcome::NotFound),
            Step::SweepOpen if !self.kernel.open(who) => self.end(who, Outcome::Swept),
            Step::SweepOpen => {
                self.check_complete(who);
                let step = if self.kernel.file(who).persistent { Step::Close } else { Step::SweepExclude };
                self.programs[who].then = Then::End(Outcome::Swept);
                self.to(who, step)
            }
            _ => {
                let excludes = self.kernel.try_exclude(who) && self.is_as_found(who, broken);
                let unused = excludes || broken == Broken::SweepsWithoutExcluding;
                self.to(who, if unused { Step::Guard } else { Step::Close })
            }
        }
    }

    fn inspect(&mut self, who: usize, broken: Broken) -> Option<Outcome> {
        match self.programs[who].step {
            Step::InspectOpen if !self.kernel.open(who) => self.end(who, Outcome::NotFound),
            Step::InspectOpen => {
                self.check_complete(who);
                self.to(who, Step::InspectCount)
            }
            _ => {
                if broken == Broken::InspectsByLocking {
                    self.kernel.try_share(who);
                } else if self.kernel.count_attending(who) < self.users(self.kernel.description(who).file) {
                    self.wrong = Some(Wrong::MissedAUser);
                }
                self.close_then(who, Then::End(Outcome::Inspected))
            }
        }
    }

    fn check_complete(&mut self, who: usize) {
        let file = self.kernel.file(who);
        if !file.complete && !file.unfinished {
            self.wrong = Some(Wrong::SawHalfMade);
        }
        self.programs[who].id = if file.unfinished { UNFINISHED } else { file.id };
        self.programs[who].saw_persistent = file.persistent;
    }

    /// The lock word is reset, as nobody is left who could hold it.
    fn take_over(&mut self, who: usize) {
        if self.users(self.kernel.description(who).file) > 0 {
            self.wrong = Some(Wrong::TookOverFromTheLiving);
        }
    }

    /// How many handles this file has.
    pub(crate) fn users(&self, file: u8) -> usize {
        (0..self.programs.len()).filter(|&i| self.uses(i) == Some(file)).count()
    }

    /// The file that this program has a handle of.
    pub(crate) fn uses(&self, who: usize) -> Option<u8> {
        (self.programs[who].step == Step::Using).then(|| self.kernel.description(who).file)
    }
}
