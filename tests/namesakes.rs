//! Threads of one id in several PID namespaces: the kernel takes the death of one for the death of a holder who lives. Needs
//! the right to make namespaces.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

mod support;

use std::time::{Duration, Instant};

use robust_shm::{LockError, SharedArray, SharedLock, SharedValue};
use support::{
    Family, Heard, Random, Role, Scratch, can_unshare, fork, member, own_tid, path, pause, play, say, spawn_through,
    until, within_limit,
};

#[test]
fn child() {
    play(&[("holds", holds), ("waits", waits), ("locks two", locks_two), ("siblings", siblings), ("storms", storms)]);
}

/// A shell's way into a new PID namespace. Without a `/proc` of its own, because what is told of it is not the same then.
const CONTAINER: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

fn can_contain() -> bool {
    can_unshare(&CONTAINER)
}

fn spawn_in_container(role: &str, name: &str) -> Role {
    spawn_through(&CONTAINER, role, name)
}

fn lock_word(name: &str) -> u64 {
    let bytes = std::fs::read(path(name)).unwrap();
    u64::from_ne_bytes(bytes[520..528].try_into().unwrap())
}

fn says_owner_died(name: &str) -> bool {
    let low = lock_word(name) as u32;
    low & libc::FUTEX_TID_MASK == 0 && low & libc::FUTEX_OWNER_DIED != 0
}

fn holds(name: &str) {
    let array = SharedArray::<u64, 4>::open(name).unwrap();
    let mut guard = array.lock().unwrap();
    guard[0] = 1;
    say(own_tid());
    pause();
    assert!(
        matches!(array.lock(), Err(LockError::WouldDeadlock { .. })),
        "although the word does not name it any more"
    );
    assert!(!array.is_poisoned(), "held, and by one who lives");
    guard[1] = 1;
    drop(guard);
    say("has released");
    drop(array.lock().unwrap());
    pause();
}

fn waits(name: &str) {
    let array = SharedArray::<u64, 4>::open(name).unwrap();
    say(own_tid());
    drop(array.lock());
}

/// Kills a namesake of the holder that waits for its lock, and waits until the kernel has marked the word.
fn kill_a_namesake(name: &str, holder: &str) {
    let waiter = spawn_in_container("waits", name);
    assert_eq!(waiter.hear(), holder, "each is the same thread of its namespace");
    until("the waiters bit", || (lock_word(name) as u32 & libc::FUTEX_WAITERS != 0).then_some(()));
    waiter.kill();
    until("the kernel's mark", || says_owner_died(name).then_some(()));
}

#[test]
fn a_holder_whose_namesake_dies_keeps_the_lock() {
    if !support::has_robust_lists("the kernel marks a word") {
        return;
    }
    if !can_contain() {
        return;
    }
    let name = Scratch::new("namesake");
    let array = SharedArray::<u64, 4>::create(&name).unwrap();
    let mut holder = spawn_in_container("holds", &name);
    kill_a_namesake(&name, &holder.hear());

    assert!(matches!(array.try_lock(), Err(LockError::WouldBlock { .. })));
    let result = array.try_lock_for(Duration::from_millis(20)).map(drop);
    assert!(matches!(result, Err(LockError::TimedOut { holder: None, process: None, .. })), "{result:?}");
    assert!(!array.is_poisoned() && !array.info().unwrap().is_poisoned());
    assert!(!robust_shm::SegmentInfo::of(&name).unwrap().is_poisoned());
    let shown = format!("{array:?}");
    assert!(shown.contains("locked"), "{shown}");

    holder.go_on();
    holder.expect("has released");
    within_limit("the lock", {
        let name = name.to_owned();
        move || assert_eq!(SharedArray::<u64, 4>::open(&name).unwrap().lock().unwrap()[..2], [1, 1])
    });
    holder.go_on();
    holder.join();
}

/// And then the holder dies.
#[test]
fn a_holder_who_dies_after_its_namesake_is_dead() {
    if !support::has_robust_lists("the kernel marks a word") {
        return;
    }
    if !can_contain() {
        return;
    }
    let name = Scratch::new("namesakes");
    let array = SharedArray::<u64, 4>::create(&name).unwrap();
    let holder = spawn_in_container("holds", &name);
    kill_a_namesake(&name, &holder.hear());
    assert!(matches!(array.try_lock(), Err(LockError::WouldBlock { .. })));
    holder.kill();
    within_limit("the lock of the dead", move || {
        assert!(matches!(array.lock().map(drop), Err(LockError::Poisoned { .. })));
    });
}

/// A waiter that finds a lock of its own in the holder's place: the same thread id, and the same addresses, because nothing is
/// laid out at random.
fn locks_two(family: &str) {
    // SAFETY: takes an integer.
    let persona = unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
    if persona & libc::ADDR_NO_RANDOMIZE == 0 {
        // For the program that it becomes now.
        let error = std::os::unix::process::CommandExt::exec(
            std::process::Command::new("/proc/self/exe").args(std::env::args_os().skip(1)),
        );
        panic!("{error}");
    }
    let [first, second] = [0, 1].map(|which| SharedLock::open(&member(family, which)).unwrap());
    say(format!("{} {}", own_tid(), std::fs::read_to_string("/proc/self/personality").is_ok()));
    pause();
    // In one of them first, in the other second.
    let guard = first.lock().unwrap();
    say("holds one");
    pause();
    let result = second.try_lock_for(Duration::from_millis(10)).map(drop);
    say(match result {
        Ok(()) => "free",
        Err(LockError::TimedOut { .. }) => "held by another",
        Err(LockError::WouldDeadlock { .. }) => "taken for its own",
        Err(_) => "something else",
    });
    pause();
    drop(guard);
}

#[test]
fn another_ones_lock_at_the_same_address_is_not_ones_own() {
    if !can_contain() {
        return;
    }
    let [family, swapped] = [Family::new("address"), Family::new("address")];
    let _locks = [0, 1].map(|which| SharedLock::create(&family.member(which)).unwrap());
    // The other one's first is this one's second.
    for which in [0, 1] {
        std::fs::hard_link(path(&family.member(which)), path(&swapped.member(1 - which))).unwrap();
    }
    let mut children = [family.name(), swapped.name()].map(|name| spawn_in_container("locks two", name));
    let ids = children.each_ref().map(Role::hear);
    assert_eq!(ids[0], ids[1]);
    for child in &mut children {
        child.go_on();
        child.expect("holds one");
    }
    for child in &mut children {
        child.go_on();
        child.expect("held by another");
    }
    for mut child in children {
        child.go_on();
        child.join();
    }
}

const SIBLINGS: usize = 20;

/// Forks children, each of which has a child of its own that is the first of a PID namespace.
fn siblings(name: &str) {
    let lock = SharedLock::create(name).unwrap();
    drop(lock.lock().unwrap());
    let (mut stay, go) = std::io::pipe().unwrap();
    let mut go = Some(go);
    let children: Vec<_> = (0..SIBLINGS)
        .map(|_| {
            fork(|| {
                drop(go.take());
                // SAFETY: takes an integer; this process makes no threads.
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
                fork(|| {
                    assert_eq!(std::process::id(), 1);
                    let _ = std::io::Read::read(&mut stay, &mut [0]);
                })
                .join();
            })
        })
        .collect();
    let wanted = 1 + 2 * SIBLINGS;
    until("a place of its own for each", || (lock.info().unwrap().attached() == wanted).then_some(()));
    drop(go.take());
    children.into_iter().for_each(support::Forked::join);
}

/// Once they drew the same numbers, one after the other, because only their process ids set them apart; and the last ones
/// went on with their parent's place.
#[test]
fn siblings_that_are_each_the_first_of_a_namespace_have_places_of_their_own() {
    if can_contain() {
        support::spawn("siblings", &Scratch::new("siblings")).join();
    }
}

/// How long the storm lasts; longer if it is asked to.
fn storm_lasts() -> Duration {
    let seconds = std::env::var("ROBUST_SHM_NAMESAKES_SECONDS").map_or(2, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

const FIRST: usize = 0;
const LAST: usize = 63;
const INSIDE: usize = 32;

/// Takes the lock and changes both ends of an array, again and again, until it is told to stop.
fn storms(family: &str) {
    let array = SharedArray::<u64, 64>::open(&member(family, 0)).unwrap();
    let stop = SharedValue::<u64>::open(&member(family, 1)).unwrap();
    // Ids and addresses may be the same in each namespace.
    let since_1970 = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let mut random = Random::new(since_1970.as_nanos() as u64);
    let me = random.below(usize::MAX) as u64 | 1;
    while stop.get() == 0 {
        let mut guard = array
            .lock_recover(|data| {
                data[LAST] = data[FIRST];
                data[INSIDE] = 0;
            })
            .unwrap();
        if guard[INSIDE] != 0 || guard[FIRST] != guard[LAST] {
            return say("two in the section");
        }
        guard[INSIDE] = me;
        guard[FIRST] += 1;
        for _ in 0..random.below(2_000) {
            std::hint::spin_loop();
        }
        guard[LAST] += 1;
        if guard[INSIDE] != me || guard[FIRST] != guard[LAST] {
            return say("somebody came in");
        }
        guard[INSIDE] = 0;
        drop(guard);
        for _ in 0..random.below(200) {
            std::hint::spin_loop();
        }
    }
    say("calm");
}

/// Four namespaces, each with the same thread ids, and somebody is always being killed.
#[test]
fn a_storm_of_namesakes() {
    if !can_contain() {
        return;
    }
    let family = Family::new("storm");
    let array = SharedArray::<u64, 64>::create(&family.member(0)).unwrap();
    let stop = SharedValue::create(&family.member(1), 0u64).unwrap();
    let mut random = Random::new(u64::from(std::process::id()));
    let mut children: Vec<Role> = (0..4).map(|_| spawn_in_container("storms", family.name())).collect();
    let (end, mut kills) = (Instant::now() + storm_lasts(), 0);
    let count = || array.lock_ignoring_poison().unwrap()[FIRST];
    while Instant::now() < end {
        let before = count();
        // Bounded, and the proof that nobody hangs: somebody goes on.
        until("a section", || (count() > before + 100).then_some(()));
        for child in &children {
            if let Heard::Line(said) = child.heard() {
                panic!("{said}, after {kills} kills");
            }
        }
        let chosen = random.below(children.len());
        std::mem::replace(&mut children[chosen], spawn_in_container("storms", family.name())).kill();
        kills += 1;
    }
    stop.set(1).unwrap();
    for child in children {
        child.expect("calm");
        child.join();
    }
    println!("{kills} kills, {} sections", count());
}
