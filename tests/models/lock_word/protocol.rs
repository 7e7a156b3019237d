//! What the model's world consists of, and every step that can happen in it.
//!
//! A step does one atomic access, as the code and the kernel do. A thread's [`At`] names the access that it makes next,
//! by the function of `src/sync/robust_futex.rs` that makes it.

/// More threads than any configuration has.
pub(crate) const MOST: usize = 5;

/// The lock word. Thread `i` has the id `i + 1`; 0 is nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Word {
    pub(crate) owner: u8,
    pub(crate) waiters: bool,
    pub(crate) died: bool,
}

impl Word {
    pub(crate) const FREE: Self = Self { owner: 0, waiters: false, died: false };
    pub(crate) const W: Self = Self { owner: 0, waiters: true, died: false };
    pub(crate) const DW: Self = Self { owner: 0, waiters: true, died: true };

    fn held(owner: u8, waiters: bool) -> Self {
        Self { owner, waiters, died: false }
    }
}

/// Where a thread is: the access that it makes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum At {
    /// Not in an operation; nothing is pending. With no rounds left: finished.
    #[default]
    Idle,
    /// `lock_free`: `CAS 0 → tid`. From here on the node is pending.
    LockFree,
    /// `lock_contended`: the load at the head of the loop.
    Look,
    /// `acquire`: `CAS seen → tid` or `tid | W`.
    Acquire,
    /// `acquire`: the store of the poison.
    Poison,
    /// `acquire`: the epoch. Its load and its store are one step, because nobody else writes it meanwhile.
    Count,
    /// `process::thread_exists`
    ThreadExists,
    /// `mark_dead`: `CAS seen → D | W`.
    MarkDead,
    /// `announce_waiter`: `CAS seen → seen | W`.
    Announce,
    /// `futex::wait`: sleeps if the word is `seen | W`.
    Wait,
    Asleep,
    /// In the critical section; then `unlock_alone` or `unlock`: `CAS tid → 0`.
    Release,
    /// `unlock_and_wake`: the load of the epoch.
    ReadEpoch,
    /// `unlock_and_wake`: the store of `W`.
    StoreW,
    /// Only with [`Fault::ReadEpochLate`].
    ReadEpochLate,
    /// `futex::wake_one`
    WakeOne,
    /// `clear_waiters`: `{W, epoch} → {0, epoch}`.
    Clear,
    /// `list.end`: nothing is pending any more.
    End,
    /// Killed; the kernel's `handle_futex_death` looks at the word next.
    KernelLooks,
    /// As above; the kernel wakes one next.
    KernelWakes,
    Dead,
}

impl At {
    /// Does a thread here hold the lock?
    pub(crate) fn holds(self) -> bool {
        matches!(self, Self::Poison | Self::Count | Self::Release | Self::ReadEpoch | Self::StoreW)
    }

    /// Will a thread here make another step without anybody's help?
    pub(crate) fn goes_on(self) -> bool {
        !matches!(self, Self::Idle | Self::Asleep | Self::Dead)
    }

    fn is_alive(self) -> bool {
        !matches!(self, Self::KernelLooks | Self::KernelWakes | Self::Dead)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Thread {
    pub(crate) at: At,
    /// How many more operations it makes.
    pub(crate) rounds: u8,
    /// The word as it was last loaded, while that matters.
    pub(crate) seen: Word,
    /// The epoch as it was read before the release, while that matters.
    pub(crate) epoch: u8,
    /// What only a faulty protocol needs to remember in an operation: that it has slept, or has yet to set the poison.
    pub(crate) remembers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) word: Word,
    pub(crate) epoch: u8,
    pub(crate) poison: bool,
    /// Not in the lock line: what the poison stands for.
    pub(crate) holder_died: bool,
    /// How many more may die.
    pub(crate) deaths: u8,
    pub(crate) threads: [Thread; MOST],
}

/// What a thread does where it has a choice, or what is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Move {
    /// The access that it stands before.
    Step,
    /// As [`Step`](Self::Step), without `lock_free`: the thread holds another lock.
    BeginSlowly,
    /// A wake-up of this sleeper, by a thread or by the kernel.
    Wake(u8),
    /// The same at the sleeper's deadline, with [`Fault::NoLastTry`].
    WakeTooLate(u8),
    /// `WouldBlock` or `TimedOut`.
    GiveUp,
    /// A sleep ends at its deadline.
    TimeOut,
    /// A spinning waiter loads the word again, instead of what it would do next.
    Spin,
    /// Asks whether the holder exists, before it sleeps.
    LookUp,
    /// The holder of the lock repairs the data.
    Repair,
    Die,
    /// As [`Die`](Self::Die), without any notice by the kernel.
    Vanish,
}

/// The protocol, or what it would be with one thing done wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What `robust_futex.rs` does.
    #[default]
    Nothing,
    /// Not wrong either: what it does where `clear_waiters` is empty.
    NeverClear,
    /// Not wrong either: who acquires from `D` keeps the bit, and does not set it.
    KeepWFromD,
    /// Unlock swaps 0 into the word and wakes one if the bit was set; who has slept acquires with the bit.
    SwapToZero,
    /// As above; who has slept acquires as everybody else.
    SwapToZeroAndForget,
    /// The bit is cleared with a plain `CAS W → 0`.
    ClearWithoutEpoch,
    /// The epoch is read when `W` has been stored.
    ReadEpochLate,
    /// Acquisitions from `W` are not counted.
    CountOnlyFromD,
    /// Acquisitions from `D` are not counted.
    CountOnlyFromW,
    /// Who acquires from `W` drops the bit.
    DropW,
    /// Who acquires from `D` or `D | W` drops the bit.
    DropWFromD,
    /// Nothing is pending while a waiter sleeps and until it tries again to acquire.
    NotPendingAsleep,
    /// Nothing is pending once the lock has been released.
    NotPendingAtWake,
    /// Poison comes when the lock has been released.
    PoisonAfterRelease,
    /// Poison comes when `D` has been seen, before the lock is acquired.
    PoisonBeforeAcquire,
    /// `mark_dead` is a plain store.
    MarkDeadBlindly,
    /// A waiter that is woken at its deadline reports `TimedOut` without another look.
    NoLastTry,
    /// The kernel before 6.2 passes a wake-up on only if the word is 0.
    OldKernel,
    /// The kernel puts a waiter to sleep whatever the word is.
    WaitUnconditionally,
}

impl Fault {
    pub(crate) fn is_wrong(self) -> bool {
        !matches!(self, Self::Nothing | Self::NeverClear | Self::KeepWFromD)
    }

    fn swaps(self) -> bool {
        matches!(self, Self::SwapToZero | Self::SwapToZeroAndForget)
    }
}

impl State {
    pub(crate) fn new(threads: usize, rounds: u8, deaths: u8) -> Self {
        let mut all = [Thread::default(); MOST];
        all[..threads].iter_mut().for_each(|thread| thread.rounds = rounds);
        Self { word: Word::FREE, epoch: 0, poison: false, holder_died: false, deaths, threads: all }
    }

    /// Thread `i` makes this move. `None`: it cannot.
    pub(crate) fn after(mut self, i: usize, choice: Move, fault: Fault) -> Option<Self> {
        match choice {
            Move::Step => self.step(i, fault)?,
            Move::Wake(sleeper) => self.wake(i, usize::from(sleeper), At::Look, fault),
            Move::WakeTooLate(sleeper) => self.wake(i, usize::from(sleeper), At::End, fault),
            Move::BeginSlowly => {
                self.threads[i].rounds -= 1;
                self.go(i, At::Look);
            }
            Move::GiveUp => self.go(i, At::End),
            Move::TimeOut | Move::Spin => self.go(i, At::Look),
            Move::LookUp => self.threads[i].at = At::ThreadExists,
            Move::Repair => (self.poison, self.holder_died) = (false, false),
            Move::Die => self.die(i, fault),
            Move::Vanish => {
                self.deaths -= 1;
                self.holder_died |= self.threads[i].at.holds();
                self.end_thread(i);
            }
        }
        Some(self)
    }

    /// The next access of thread `i`. `None`: it sleeps, or has ended, or it is [`Move::Wake`] that it makes.
    fn step(&mut self, i: usize, fault: Fault) -> Option<()> {
        let me = i as u8 + 1;
        let thread = self.threads[i];
        match thread.at {
            At::Idle => {
                self.threads[i].rounds = thread.rounds.checked_sub(1)?;
                self.go(i, At::LockFree);
            }
            At::LockFree => {
                let done = self.compare_exchange(Word::FREE, Word::held(me, false));
                self.go(i, if done { At::Release } else { At::Look });
            }
            At::Look => {
                self.threads[i].seen = self.word;
                self.threads[i].at = match self.word {
                    Word { owner: 0, .. } => At::Acquire,
                    Word { waiters: true, .. } => At::Wait,
                    _ => At::Announce,
                };
            }
            At::Acquire if fault == Fault::PoisonBeforeAcquire && thread.seen.died && !thread.remembers => {
                self.poison = true;
                self.threads[i].remembers = true;
            }
            At::Acquire => self.acquire(i, fault),
            At::Poison => {
                self.poison = true;
                self.go(i, if fault == Fault::CountOnlyFromW { At::Release } else { At::Count });
            }
            At::Count => {
                self.epoch += 1;
                self.go(i, At::Release);
            }
            At::ThreadExists => {
                let exists = self.threads[usize::from(thread.seen.owner) - 1].at != At::Dead;
                let sleep = if thread.seen.waiters { At::Wait } else { At::Announce };
                self.threads[i].at = if exists { sleep } else { At::MarkDead };
            }
            At::MarkDead => {
                if !self.compare_exchange(thread.seen, Word::DW) && fault == Fault::MarkDeadBlindly {
                    self.word = Word::DW;
                }
                self.go(i, At::Look);
            }
            At::Announce => {
                let announced = Word { waiters: true, ..thread.seen };
                if self.compare_exchange(thread.seen, announced) {
                    self.threads[i].seen = announced;
                    self.threads[i].at = At::Wait;
                } else {
                    self.go(i, At::Look);
                }
            }
            At::Wait => {
                let sleeps = self.word == thread.seen || fault == Fault::WaitUnconditionally;
                self.go(i, if sleeps { At::Asleep } else { At::Look });
            }
            At::Release => self.release(i, fault),
            At::ReadEpoch | At::ReadEpochLate => {
                self.threads[i].epoch = self.epoch;
                self.threads[i].at = if thread.at == At::ReadEpoch { At::StoreW } else { At::WakeOne };
            }
            At::StoreW => {
                self.word = if fault.swaps() { Word::FREE } else { Word::W };
                self.threads[i].at = if fault == Fault::ReadEpochLate { At::ReadEpochLate } else { At::WakeOne };
            }
            At::WakeOne => {
                self.no_sleeper()?;
                let keeps = fault == Fault::NeverClear || fault.swaps();
                self.threads[i].at = if keeps { At::End } else { At::Clear };
            }
            At::Clear => {
                if self.epoch == thread.epoch || fault == Fault::ClearWithoutEpoch {
                    self.compare_exchange(Word::W, Word::FREE);
                }
                self.go(i, At::End);
            }
            At::End if fault == Fault::PoisonAfterRelease && thread.remembers => {
                self.poison = true;
                self.threads[i].remembers = false;
            }
            At::End => {
                self.threads[i].remembers = false;
                self.go(i, At::Idle);
            }
            At::KernelLooks => self.handle_futex_death(i, fault),
            At::KernelWakes => {
                self.no_sleeper()?;
                self.end_thread(i);
            }
            At::Asleep | At::Dead => return None,
        }
        Some(())
    }

    fn compare_exchange(&mut self, old: Word, new: Word) -> bool {
        let same = self.word == old;
        if same {
            self.word = new;
        }
        same
    }

    fn acquire(&mut self, i: usize, fault: Fault) {
        let seen = self.threads[i].seen;
        let waiters = match fault {
            Fault::DropW => seen.died,
            Fault::KeepWFromD => seen.waiters,
            Fault::DropWFromD => seen.waiters && !seen.died,
            Fault::SwapToZero => seen.waiters || seen.died || self.threads[i].remembers,
            _ => seen.waiters || seen.died,
        };
        if !self.compare_exchange(seen, Word::held(i as u8 + 1, waiters)) {
            return self.go(i, At::Look);
        }
        let next = match seen {
            Word { died: true, .. } if fault == Fault::PoisonAfterRelease => At::Count,
            Word { died: true, .. } => At::Poison,
            Word { waiters: true, .. } if fault != Fault::CountOnlyFromD => At::Count,
            _ => At::Release,
        };
        self.go(i, next);
        self.threads[i].remembers |= fault == Fault::PoisonAfterRelease && seen.died;
    }

    fn release(&mut self, i: usize, fault: Fault) {
        if self.compare_exchange(Word::held(i as u8 + 1, false), Word::FREE) {
            return self.go(i, At::End);
        }
        self.threads[i].at = if fault == Fault::ReadEpochLate { At::StoreW } else { At::ReadEpoch };
    }

    fn no_sleeper(&self) -> Option<()> {
        self.threads.iter().all(|thread| thread.at != At::Asleep).then_some(())
    }

    fn wake(&mut self, i: usize, sleeper: usize, then: At, fault: Fault) {
        self.threads[sleeper].remembers |= fault == Fault::SwapToZero;
        self.go(sleeper, then);
        if self.threads[i].at == At::KernelWakes { self.end_thread(i) } else { self.go(i, At::End) }
    }

    /// The kernel takes the thread out of its queue at once. What follows is not one step with that.
    fn die(&mut self, i: usize, fault: Fault) {
        self.deaths -= 1;
        self.holder_died |= self.threads[i].at.holds();
        if self.is_pending(self.threads[i].at, fault) || self.word.owner == i as u8 + 1 {
            self.threads[i] = Thread { at: At::KernelLooks, ..Thread::default() };
        } else {
            self.end_thread(i);
        }
    }

    /// A lock that is held is listed, or pending, or both (it may stay pending for as long as it is held): the kernel
    /// handles it once, and does the same in each case, so the model does not tell these apart.
    fn is_pending(&self, at: At, fault: Fault) -> bool {
        match at {
            At::Idle => false,
            At::Asleep | At::Look => fault != Fault::NotPendingAsleep,
            At::WakeOne | At::Clear | At::End => fault != Fault::NotPendingAtWake,
            _ => true,
        }
    }

    /// As in `kernel/futex/core.c`, 6.2 and later. Its load and its exchange, which it repeats when the word has changed
    /// in between, are one step; the wake-up is another.
    fn handle_futex_death(&mut self, i: usize, fault: Fault) {
        let seen = self.word;
        let wakes = if seen.owner == i as u8 + 1 {
            self.word = Word { owner: 0, died: true, ..seen };
            seen.waiters
        } else {
            if fault == Fault::OldKernel { seen == Word::FREE } else { seen.owner == 0 }
        };
        if wakes { self.threads[i].at = At::KernelWakes } else { self.end_thread(i) }
    }

    fn end_thread(&mut self, i: usize) {
        self.threads[i] = Thread { at: At::Dead, ..Thread::default() };
    }

    /// Moves on to a place where nothing of what was loaded matters any more.
    fn go(&mut self, i: usize, at: At) {
        let thread = &mut self.threads[i];
        (thread.at, thread.seen, thread.epoch) = (at, Word::FREE, 0);
    }

    /// Do these two agree: who the word names, and who believes to hold the lock?
    pub(crate) fn word_names_the_holder(&self) -> bool {
        self.threads.iter().zip(1..).all(|(thread, id)| {
            let is_named = self.word.owner == id;
            thread.at.holds() == is_named || is_named && !thread.at.is_alive()
        })
    }

    /// Does somebody sleep whom nobody will wake? Threads between two operations need not begin another one.
    pub(crate) fn strands_a_sleeper(&self) -> bool {
        self.threads.iter().any(|thread| thread.at == At::Asleep) && !self.threads.iter().any(|t| t.at.goes_on())
    }
}
