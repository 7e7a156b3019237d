//! Permits of a semaphore: when nobody else wants one, when two processes want some of four, and the kill of a holder.

use std::cell::UnsafeCell;
use std::hint::black_box;

use robust_shm::{SharedLock, SharedSemaphore, unique_name};

use crate::effort::Effort;
use crate::report::{Limit, Part, Row};
use crate::side_by_side::kill;
use crate::uncontended::{Field, rows};
use crate::{sys, team};

const ROUNDS: usize = 9;
const MS: u64 = 100;
const KILLS: usize = 101;

const ONE: &str = "acquire and give back, nobody else wants one";
const TWO: &str = "2 processes, 4 permits, two cores";
const KILL: &str = "from a kill until the next one is in";
const OURS: &str = "SharedSemaphore";
const SEM_T: &str = "sem_t, process-shared";
const UNDO: &str = "SysV semaphore with SEM_UNDO";
const HOLDER: &str = "SharedLock, its holder is killed";
const PERMIT: &str = "SharedSemaphore, the holder of its permit is killed";

/// A number of permits that can be taken and given back.
trait Permits {
    fn create(permits: u32) -> Self;
    fn take_and_give(&self);
}

impl Permits for SharedSemaphore {
    fn create(permits: u32) -> Self {
        Self::create(&unique_name("peers"), permits as usize).expect("a new name")
    }

    #[inline]
    fn take_and_give(&self) {
        drop(self.acquire().expect("a thread that can lock"));
    }
}

/// One counter, and the kernel when it is 0. A killed holder's permit is lost.
struct SemT(*mut UnsafeCell<libc::sem_t>);

impl Permits for SemT {
    fn create(permits: u32) -> Self {
        let place = sys::map(size_of::<libc::sem_t>()).cast::<UnsafeCell<libc::sem_t>>().as_ptr();
        // SAFETY: room that stays there.
        assert_eq!(unsafe { libc::sem_init(place.cast(), 1, permits) }, 0);
        Self(place)
    }

    #[inline]
    fn take_and_give(&self) {
        // SAFETY: initialised, and never unmapped.
        assert_eq!(unsafe { libc::sem_wait(self.0.cast()) }, 0);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::sem_post(self.0.cast()) }, 0);
    }
}

/// The only other one that gets permits back from the killed: two system calls.
struct Undo(libc::c_int);

impl Undo {
    fn operate(&self, number: libc::c_short) {
        let mut operation = libc::sembuf { sem_num: 0, sem_op: number, sem_flg: libc::SEM_UNDO as libc::c_short };
        // SAFETY: one operation.
        assert_eq!(unsafe { libc::semop(self.0, &raw mut operation, 1) }, 0);
    }
}

impl Permits for Undo {
    fn create(permits: u32) -> Self {
        // SAFETY: integers.
        let set = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
        assert!(set >= 0, "semget: {}", std::io::Error::last_os_error());
        // SAFETY: a set of one, whose value is set.
        assert_eq!(unsafe { libc::semctl(set, 0, libc::SETVAL, permits as libc::c_int) }, 0);
        Self(set)
    }

    #[inline]
    fn take_and_give(&self) {
        self.operate(-1);
        self.operate(1);
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // SAFETY: its own.
        unsafe { libc::semctl(self.0, 0, libc::IPC_RMID) };
    }
}

pub fn measure(effort: Effort) -> Part {
    let mut part = Part { name: "permits", how: how(effort), rows: Vec::new(), bars: Vec::new() };
    part.rows.extend(alone(effort));
    if effort.wants(TWO) {
        part.rows.extend(two(effort));
    }
    if effort.wants(KILL) {
        part.rows.extend(kills(effort));
    }
    part.bar(ONE, OURS, SEM_T, Limit::AtMost(1.0));
    part.bar(ONE, OURS, UNDO, Limit::AtMost(0.06));
    part.bar(TWO, OURS, SEM_T, Limit::AtMost(0.4));
    part.bar(KILL, PERMIT, HOLDER, Limit::AtMost(1.2));
    part
}

fn how(effort: Effort) -> String {
    format!(
        "alone: processor time, pinned to the second core; two: {} rounds, {} ms each, time of one process for one; {} kills: from \
         just before SIGKILL until the waiter, asleep, is in, all on one core",
        effort.rounds(ROUNDS),
        effort.ms(MS),
        effort.rounds(KILLS)
    )
}

fn alone(effort: Effort) -> Vec<Row> {
    let (ours, sem_t, undo) = (<SharedSemaphore as Permits>::create(4), SemT::create(4), Undo::create(4));
    let mut field = Field(Vec::new());
    field.add(ONE, OURS, || black_box(&ours).take_and_give());
    field.add(ONE, SEM_T, || black_box(&sem_t).take_and_give());
    field.add(ONE, UNDO, || black_box(&undo).take_and_give());
    field.0.retain(|contender| effort.wants(contender.case));
    sys::pin(1);
    let rows = rows(field, effort);
    sys::unpin();
    rows
}

/// Who, and the nanoseconds of one in so many milliseconds.
type Both = (&'static str, fn(u64) -> f64);

fn two(effort: Effort) -> Vec<Row> {
    let contenders: [Both; 3] = [(OURS, both::<SharedSemaphore>), (SEM_T, both::<SemT>), (UNDO, both::<Undo>)];
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(ROUNDS) {
        for (which, (_, both)) in contenders.iter().enumerate() {
            rounds[which].push(both(effort.ms(MS)));
        }
    }
    contenders.iter().zip(rounds).map(|((who, _), rounds)| Row::new(TWO, who, "ns", rounds)).collect()
}

fn both<P: Permits>(ms: u64) -> f64 {
    const BATCH: u64 = 16;
    let permits = P::create(4);
    let outcome = team::run(2, ms, |member| {
        sys::pin(member.which);
        member.repeat(|_| (0..BATCH).for_each(|_| black_box(&permits).take_and_give()));
    });
    outcome.cpu_per_operation() / BATCH as f64
}

/// Who, and the microseconds of one kill.
type Kill = (&'static str, fn() -> f64);

fn kills(effort: Effort) -> Vec<Row> {
    let contenders: [Kill; 2] = [
        (HOLDER, || {
            let lock = SharedLock::options().poison(false).create(&unique_name("peers")).expect("a new name");
            kill(|end| lock.lock().map(|_guard| end()).unwrap(), |end| lock.lock().map(|_guard| end()).unwrap())
        }),
        (PERMIT, || {
            let one = <SharedSemaphore as Permits>::create(1);
            kill(|end| one.acquire().map(|_permit| end()).unwrap(), |end| one.acquire().map(|_permit| end()).unwrap())
        }),
    ];
    let mut rounds = vec![Vec::new(); contenders.len()];
    for _ in 0..effort.rounds(KILLS) {
        for (which, (_, kill)) in contenders.iter().enumerate() {
            rounds[which].push(kill());
        }
    }
    contenders.iter().zip(rounds).map(|((who, _), rounds)| Row::new(KILL, who, "µs", rounds)).collect()
}
