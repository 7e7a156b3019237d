//! Segments of other users: whom they may be taken for, and what becomes of what they leave. Needs root, to become others.
#![cfg(all(target_os = "linux", not(robust_shm_unix)))] // of the directory that all users have in common
#![allow(unsafe_code)]

mod support;

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, chown};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use robust_shm::dynamic::{self, DynSlice, DynValue};
use robust_shm::{
    Error, LockError, Options, SegmentInfo, SharedArray, SharedLock, SharedSlice, SharedValue, remove, remove_orphans,
    segments,
};
use support::{Heard, Scratch, asleep, exists, own_tid, path, pause, play, say, spawn, until};

#[test]
fn child() {
    play(&[
        ("reuses", reuse_what_cannot_be_removed),
        ("exits-slowly", exit_slowly),
        ("uses", use_for_a_while),
        ("makes-anew", make_anew),
        ("races", race_for_what_cannot_be_removed),
        ("gave-up-root", give_privileges_up),
        ("locked-out", look_from_where_nothing_is_to_be_seen),
        ("sweeps-as-owner", sweep_as_its_owner),
        ("unmapped", look_from_a_user_namespace),
        ("own-unmapped", live_as_nobody_in_a_user_namespace),
        ("observes", observe_as_nobody),
        ("observes-untyped", observe_untyped_as_nobody),
        ("hinders", hinder_as_nobody),
        ("makes-anew-again", make_anew_again_and_again),
        ("makes-elements-anew-again", make_elements_anew_again_and_again),
        ("overrides", override_modes),
    ]);
}

const NOBODY: libc::c_long = 65534;
const OWNER: u32 = 4242;

/// Becomes another user, in this thread: glibc's own function signals the other threads of the harness.
fn become_user(uid: libc::c_long) {
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        // SAFETY: takes integers.
        assert_eq!(unsafe { libc::syscall(call, uid, uid, uid) }, 0);
    }
}

fn is_root() -> bool {
    support::is_root("only root can become other users")
}

/// One test at a time: who creates a segment as root also sweeps, and would take away the orphans of another test.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const FLAGS: u64 = 56;

/// What killed programs of [`OWNER`] have left, for all to write to.
fn orphan(name: &str) {
    drop(SharedValue::options().persistent(true).create(name, 7u64).unwrap());
    fs::set_permissions(path(name), PermissionsExt::from_mode(0o666)).unwrap();
    chown(path(name), Some(OWNER), None).unwrap();
    OpenOptions::new().write(true).open(path(name)).unwrap().write_all_at(&[0; 4], FLAGS).unwrap();
}

fn id(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()[32..48].to_vec()
}

fn reuse_what_cannot_be_removed(name: &str) {
    become_user(NOBODY);
    let first = id(name);
    let trusting = SharedValue::<u64>::options().allow_owner(OWNER);
    // What is dead does not count.
    assert!(matches!(trusting.open(name), Err(Error::NotFound { .. })));
    // Who wants another mode than it has cannot have it, and is told whom to ask.
    for error in [trusting.create(name, 1).unwrap_err(), trusting.open_or_create(name, 1).unwrap_err()] {
        assert!(matches!(error, Error::ForeignOrphan { owner: OWNER, mode: 0o666, .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("uid 4242") && message.contains("mode(0o666)"), "{message}");
        assert_eq!(format!("{error:?}"), format!("ForeignOrphan: {message}"));
    }
    assert_eq!(id(name), first, "it was touched");

    let value = trusting.clone().mode(0o666).open_or_create(name, 8).unwrap();
    assert!(value.was_created() && (value.get(), value.commits()) == (8, 0));
    assert_ne!(id(name), first, "an old opener would take it for the old one");
    let second = id(name);
    assert!(matches!(trusting.create(name, 1), Err(Error::AlreadyExists { .. })));
    assert_eq!(trusting.open(name).unwrap().update(|v| *v += 1).unwrap(), 9);
    drop(value);
    assert!(exists(name), "only its owner can remove it");

    // As something larger, something smaller, and something persistent: each starts with its own contents.
    let arrays = SharedArray::<u32, 5_000>::options().allow_owner(OWNER).mode(0o666);
    let array = arrays.create_from(name, &[3; 5_000]).unwrap();
    assert!(array.was_created() && array.to_vec().unwrap() == [3; 5_000]);
    drop(array);
    let array = arrays.create(name).unwrap();
    assert!(array.was_created() && array.to_vec().unwrap() == [0; 5_000]);
    std::mem::forget(array.lock().unwrap()); // held and poisoned, when all are gone
    drop(array);
    let pid = std::process::id();
    assert!(SegmentInfo::of(name).unwrap().users().iter().all(|user| user.pid == pid));
    assert_ne!(id(name), second);
    say("leaked");
}

fn give_privileges_up(name: &str) {
    let options = SharedValue::<u64>::options().mode(0o666).allow_owner(0);
    let value = options.create(name, 7).unwrap();
    become_user(NOBODY);
    // Of what may not be read, a list says nothing.
    assert!(!segments().any(|found| matches!(found, Err(Error::PermissionDenied { .. }))));
    drop(value);
    assert!(exists(name), "nobody cannot remove what root made");
    let value = options.open_or_create(name, 8).unwrap();
    assert!(value.was_created() && value.get() == 8);
    drop(value);
    let persistent = options.clone().persistent(true).create(name, 9).unwrap();
    drop(persistent);
    assert_eq!(options.open(name).unwrap().get(), 9);
}

fn sweep_as_its_owner(name: &str) {
    become_user(OWNER.into());
    assert!(remove_orphans().unwrap().iter().any(|removed| removed == name));
    assert!(!exists(name));
}

/// Once, the last user could neither open nor remove what he had left, and the message blamed the mode.
#[test]
fn an_orphan_that_cannot_be_removed_is_made_anew_in_place() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let name = Scratch::new("reuses");
    orphan(&name);
    spawn("reuses", &name).join();
    // Its owner can still do what he could.
    spawn("sweeps-as-owner", &name).join();
}

#[test]
fn a_program_that_gave_its_privileges_up_can_use_its_names_again() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let closed = Scratch::new("closed");
    let _closed = SharedValue::create(&closed, 7u64).unwrap();
    let name = Scratch::new("gave-up");
    spawn("gave-up-root", &name).join();
    remove(&name).unwrap();
}

fn jail_of(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(name)
}

fn look_from_where_nothing_is_to_be_seen(name: &str) {
    let value = SharedValue::create(name, 7u64).unwrap();
    std::os::unix::fs::chroot(jail_of(name)).unwrap();
    let as_root = value.is_removed();
    become_user(NOBODY);
    assert_eq!((as_root, value.is_removed()), (true, false), "nothing there is an answer, being kept out is none");
}

#[test]
fn who_may_not_look_does_not_take_a_name_for_gone() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let name = Scratch::new("unseen"); // left behind, because it is out of the child's reach
    let dev = jail_of(&name).join("dev");
    fs::create_dir_all(&dev).unwrap();
    fs::set_permissions(&dev, fs::Permissions::from_mode(0o700)).unwrap();
    let mut child = spawn("locked-out", &name);
    let status = child.wait_for_end();
    fs::remove_dir(&dev).unwrap();
    fs::remove_dir(jail_of(&name)).unwrap();
    assert!(status.success());
}

fn of_owner() -> Options<SharedValue<u64>> {
    SharedValue::options().allow_owner(OWNER).mode(0o666)
}

fn exit_slowly(name: &str) {
    extern "C" fn look() {
        say("exits");
        pause();
        say(VALUE.get().unwrap().get());
    }
    static VALUE: OnceLock<SharedValue<u64>> = OnceLock::new();
    // Before the crate's own hook, and so called after it.
    // SAFETY: a function of this program.
    assert_eq!(unsafe { libc::atexit(look) }, 0);
    become_user(NOBODY);
    VALUE.get_or_init(|| of_owner().open_or_create(name, 1).unwrap());
    say("uses");
    pause();
    std::process::exit(0);
}

fn use_for_a_while(name: &str) {
    become_user(NOBODY);
    let _value = of_owner().open(name).unwrap();
    say("uses");
    pause();
}

fn make_anew(name: &str) {
    become_user(NOBODY);
    say(own_tid());
    let value = of_owner().open_or_create(name, 9).unwrap();
    say(value.get());
}

/// It is no user any more, so that others can be the last one out; but what it has mapped must stay what it is.
#[test]
fn what_an_exiting_process_still_has_mapped_is_not_made_anew() {
    let _alone = alone();
    if !is_root() || !support::is_linux("does not count sleeps") {
        return;
    }
    let name = Scratch::new("exits");
    orphan(&name);
    let mut exiting = spawn("exits-slowly", &name);
    exiting.expect("uses");
    let mut last = spawn("uses", &name);
    last.expect("uses");
    exiting.go_on();
    exiting.expect("exits");
    last.go_on();
    last.join();
    let next = spawn("makes-anew", &name);
    let thread = next.hear().parse().unwrap();
    let mut sleeps = std::collections::BTreeSet::new();
    let mut heard = None;
    until("some attempts", || {
        sleeps.extend(asleep(thread));
        heard = Some(next.heard()).filter(|heard| *heard != Heard::NothingYet);
        (heard.is_some() || sleeps.len() > 5).then_some(())
    });
    exiting.go_on();
    exiting.expect("1");
    exiting.join();
    assert_eq!(heard, None);
    next.expect("9");
    next.join();
    remove(&name).unwrap();
}

const ELEMENTS: usize = 3_000;

fn race_for_what_cannot_be_removed(name: &str) {
    become_user(NOBODY);
    let options = SharedArray::<u64, ELEMENTS>::options().allow_owner(OWNER).mode(0o666);
    say("ready");
    pause();
    let mut created = 0;
    for _ in 0..100 {
        let array = options.open_or_create_from(name, &[7; ELEMENTS]).unwrap();
        created += u32::from(array.was_created());
        // Nobody sees one that is half made, or loses one that is in use.
        assert!(array.to_vec().unwrap().iter().all(|element| *element == 7));
        assert!(!array.is_removed());
    }
    say(created);
}

#[test]
fn of_many_who_make_an_orphan_anew_none_sees_it_half_made() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let name = Scratch::new("races");
    orphan(&name);
    let mut children: Vec<_> = (0..6).map(|_| spawn("races", &name)).collect();
    children.iter().for_each(|child| child.expect("ready"));
    children.iter_mut().for_each(support::Role::go_on);
    let created: u32 = children.iter().map(|child| child.hear().parse::<u32>().unwrap()).sum();
    children.into_iter().for_each(support::Role::join);
    println!("made anew {created} times");
    assert!(created > 0);
}

#[test]
fn every_segment_has_an_id_of_its_own() {
    let _alone = alone();
    let (one, other) = (Scratch::new("one"), Scratch::new("other"));
    let _one = SharedLock::create(&one).unwrap();
    let _other = SharedLock::create(&other).unwrap();
    assert_ne!(id(&one), id(&other));
}

#[test]
fn several_owners_can_be_allowed() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let names = [1, 4242].map(|owner| {
        let name = Scratch::new("allowed");
        drop(SharedValue::options().persistent(true).create(&name, owner).unwrap());
        chown(path(&name), Some(owner), None).unwrap();
        name
    });
    let both = SharedValue::<u32>::options().allow_owner(1).allow_owner(4242);
    assert_eq!([&names[0], &names[1]].map(|name| both.open(name).unwrap().get()), [1, 4242]);
    let one = SharedValue::<u32>::options().allow_owner(1);
    assert!(matches!(one.open(&names[1]), Err(Error::ForeignOwner { found: 4242, .. })));
}

// Observers

fn observe_as_nobody(family: &str) {
    become_user(NOBODY);
    let [open, closed] = [0, 1].map(|which| support::member(family, which));
    let trusting = SharedValue::<u64>::options().allow_owner(0);
    let observer = trusting.observe(&open).unwrap();
    assert_eq!((observer.get(), observer.attached().unwrap(), observer.is_removed()), (7, 1, false));
    assert_eq!((observer.info().unwrap().owner(), observer.info().unwrap().attached()), (0, 1));
    let untrusting = SharedValue::<u64>::observe(&open).unwrap_err();
    assert!(matches!(untrusting, Error::ForeignOwner { found: 0, .. }), "{untrusting:?}");
    for refused in [trusting.observe(&closed).map(drop), trusting.open(&open).map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        let mode = if error.name() == open { "mode 0644" } else { "mode 0600" };
        let message = error.to_string();
        assert!(message.contains("owner uid 0") && message.contains(mode), "{message}");
    }
    say("sees 7");
    pause();
    let mut seen = 0;
    assert_eq!((observer.get_if_changed(&mut seen), seen, observer.attached().unwrap()), (Some(8), 1, 1));
    say("sees 8");
    pause();
    assert_eq!((observer.get(), observer.attached().unwrap(), observer.is_removed()), (8, 0, true));
}

#[test]
fn who_may_only_read_observes_and_is_no_user() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let family = support::Family::new("observes");
    let value = SharedValue::options().mode(0o644).create(&family.member(0), 7u64).unwrap();
    let _closed = SharedValue::create(&family.member(1), 7u64).unwrap();
    let mut child = spawn("observes", family.name());
    child.expect("sees 7");
    assert_eq!(value.info().unwrap().attached(), 1);
    assert!(value.info().unwrap().users().iter().all(|user| user.pid != child.id()));
    value.update(|v| *v += 1).unwrap();
    child.go_on();
    child.expect("sees 8");
    drop(value);
    assert!(!exists(&family.member(0)), "an observer keeps the name");
    child.go_on();
    child.join();
}

fn observe_untyped_as_nobody(family: &str) {
    become_user(NOBODY);
    let [value, slice] = [0, 1].map(|which| support::member(family, which));
    let (values, slices) = (DynValue::options().allow_owner(0), DynSlice::options().allow_owner(0));
    let (mut bytes, mut elements) = ([0; 8], [0; 4]);
    let observer = values.observe(&value).unwrap();
    observer.get(&mut bytes);
    assert_eq!((observer.schema().unwrap().show(&bytes).to_string(), observer.attached().unwrap()), ("7".into(), 1));
    let elements_observer = slices.observe(&slice).unwrap();
    elements_observer.copy_unlocked(1, &mut elements).unwrap();
    assert_eq!((elements, elements_observer.info().unwrap().attached()), ([8, 0, 9, 0], 1));
    for refused in [values.open(&value).map(drop), slices.open(&slice).map(drop)] {
        assert!(matches!(refused, Err(Error::PermissionDenied { .. })), "{refused:?}");
    }
    for untrusting in [dynamic::open(&value).map(drop), dynamic::observe(&slice).map(drop)] {
        assert!(
            matches!(untrusting, Err(Error::ForeignOwner { .. } | Error::PermissionDenied { .. })),
            "{untrusting:?}"
        );
    }
}

/// As a tool of another user sees them, which learns their type from them.
#[test]
fn who_may_only_read_observes_what_he_has_no_type_for() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let family = support::Family::new("observes-untyped");
    let _value = SharedValue::create(&family.member(0), 7u64).unwrap();
    let _array = SharedArray::create_from(&family.member(1), &[7u16, 8, 9]).unwrap();
    for which in 0..2 {
        fs::set_permissions(path(&family.member(which)), PermissionsExt::from_mode(0o444)).unwrap();
    }
    spawn("observes-untyped", family.name()).join();
}

fn hinder_as_nobody(name: &str) {
    become_user(NOBODY);
    let file = File::open(path(name)).unwrap();
    // Gets it while nobody shares it for a moment, or never: those who share it are the stronger.
    assert!(file.try_lock().is_err());
    file.lock_shared().unwrap();
    say("shares");
    pause();
    say(match file.try_lock() {
        Ok(()) => "excludes",
        Err(_) => "cannot exclude",
    });
    pause();
}

/// What a stranger who may read can do: nothing to users and observers; he puts the removal off, and keeps others from opening
/// what has no users for as long as they are patient. They are told who it is.
#[test]
fn a_stranger_with_a_lock_on_what_he_may_read_hinders_openers_only_and_is_named() {
    let _alone = alone();
    if !is_root() || !support::is_linux("has no table of file locks") {
        return;
    }
    let name = Scratch::new("hinders");
    let options = SharedValue::<u64>::options().mode(0o644).persistent(true);
    let value = options.create(&name, 7).unwrap();
    let mut child = spawn("hinders", &name);
    child.expect("shares");
    let observer = SharedValue::<u64>::observe(&name).unwrap();
    assert_eq!((value.info().unwrap().attached(), observer.attached().unwrap()), (1, 1));
    *value.try_lock_for(Duration::from_secs(9)).unwrap() += 1;
    drop(SharedValue::<u64>::open(&name).unwrap());
    drop(value);
    child.go_on();
    child.expect("excludes");
    assert_eq!((observer.get(), observer.attached().unwrap()), (8, 0));
    assert_eq!(SharedValue::<u64>::observe(&name).unwrap().get(), 8);
    let start = Instant::now();
    let error = SharedValue::<u64>::open(&name).unwrap_err();
    let who = format!("process {} holds it exclusively", child.id());
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains(&who), "{error}");
    assert!(start.elapsed() < support::LIMIT / 2, "its patience is bounded");
    child.kill();
    assert_eq!(SharedValue::<u64>::open(&name).unwrap().get(), 8);
    remove(&name).unwrap();
}

/// As large as several pages, and as little.
type Board = [u64; 1_500];

fn board() -> Options<SharedValue<Board>> {
    SharedValue::options().allow_owner(OWNER).mode(0o666)
}

/// Each time it is the last user, and cannot remove the name; the next one makes it anew.
fn make_anew_again_and_again(name: &str) {
    become_user(NOBODY);
    let small = SharedValue::<u64>::options().allow_owner(OWNER).mode(0o666);
    // SAFETY: takes an integer. Nobody else ends it if the test is killed.
    unsafe { libc::alarm(support::LIMIT.as_secs() as libc::c_uint) };
    say("ready");
    for round in 1.. {
        // Never committed to, as what is written once and read for ever.
        let board = board().open_or_create(name, [round; 1_500]).unwrap();
        assert!(board.was_created());
        if round.is_multiple_of(3) {
            drop(board);
            drop(small.create(name, round).unwrap()); // shorter
        }
    }
}

/// Its observers had no say in it: they are told, and meanwhile they see one or the other whole, and no page of theirs is
/// gone.
#[test]
fn what_is_made_anew_under_an_observers_eyes_is_never_half_seen() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let name = Scratch::new("anew");
    orphan(&name);
    let child = spawn("makes-anew-again", &name);
    child.expect("ready");
    let (mut whole, mut gone) = (0, 0);
    until("many that were made anew", || {
        match board().observe(&name) {
            Ok(observer) => {
                let first = observer.try_get().map(|board| board[0]);
                for _ in 0..50 {
                    match observer.try_get() {
                        Ok(board) => {
                            assert!(board.iter().all(|word| *word == board[0]), "torn");
                            assert_eq!(first.as_ref().ok(), Some(&board[0]), "of another segment");
                            whole += 1;
                        }
                        Err(error) => {
                            assert!(matches!(error, LockError::Io { .. }), "{error:?}");
                            assert!(error.to_string().contains("observe the name again"), "{error}");
                            assert!(observer.is_removed() && format!("{observer:?}").contains("<removed>"));
                            assert!(support::panic_of(|| observer.get()).2.contains("observe the name again"));
                            gone += 1;
                            break;
                        }
                    }
                }
            }
            Err(Error::NotFound { .. } | Error::TypeMismatch { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        (whole > 5_000 && gone > 200).then_some(())
    });
    println!("{whole} whole, {gone} gone");
    child.kill();
    remove(&name).unwrap();
}

/// The same with elements, which nobody locks meanwhile.
fn make_elements_anew_again_and_again(name: &str) {
    become_user(NOBODY);
    let options = SharedSlice::<u64>::options().allow_owner(OWNER).mode(0o666);
    // SAFETY: takes an integer. Nobody else ends it if the test is killed.
    unsafe { libc::alarm(support::LIMIT.as_secs() as libc::c_uint) };
    say("ready");
    for round in 1.. {
        assert!(options.open_or_create_from(name, &[round; 1_500]).unwrap().was_created());
    }
}

/// Who has no type for what he looks at is told, too, and sees nothing of another segment.
#[test]
fn what_is_made_anew_is_not_taken_for_what_was_there_by_who_has_no_type_for_it() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    for role in ["makes-anew-again", "makes-elements-anew-again"] {
        let name = Scratch::new("anew-untyped");
        orphan(&name);
        let child = spawn(role, &name);
        child.expect("ready");
        let (whole, gone) = (Cell::new(0), Cell::new(0));
        let mut bytes = vec![0; 12_000];
        let mut look = |copy: &mut dyn FnMut(&mut [u8]) -> Result<(), String>| {
            let mut first = None;
            for _ in 0..50 {
                if let Err(error) = copy(&mut bytes) {
                    assert!(error.contains("observe the name again"), "{error}");
                    gone.set(gone.get() + 1);
                    return;
                }
                assert!(bytes.chunks(8).all(|word| word == &bytes[..8]), "torn");
                let word = bytes[..8].to_vec();
                assert_eq!(*first.get_or_insert_with(|| word.clone()), word, "of another segment");
                whole.set(whole.get() + 1);
            }
        };
        until("many that were made anew", || {
            let values = DynValue::options().allow_owner(OWNER).observe(&name);
            let slices = DynSlice::options().allow_owner(OWNER).observe(&name);
            if let Ok(observer) = values.as_ref().map_err(drop)
                && observer.size() == 12_000
            {
                // It has no form that returns an error: what it says, it says by a panic.
                look(&mut |into| {
                    let get = std::panic::AssertUnwindSafe(|| observer.get(into));
                    std::panic::catch_unwind(get).map_err(|panic| *panic.downcast::<String>().unwrap())
                });
            }
            if let Ok(observer) = slices.as_ref().map_err(drop) {
                look(&mut |into| observer.copy_unlocked(0, into).map_err(|error| error.to_string()));
            }
            (whole.get() > 2_000 && gone.get() > 100).then_some(())
        });
        println!("{role}: {} whole, {} gone", whole.get(), gone.get());
        child.kill();
        remove(&name).unwrap();
    }
}

/// Else an observer of what nobody but its owner may write to could not be sure of what it has mapped.
#[test]
fn what_only_its_owner_may_write_to_is_never_made_anew() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let name = Scratch::new("owners");
    orphan(&name);
    fs::set_permissions(path(&name), PermissionsExt::from_mode(0o644)).unwrap();
    let before = id(&name);
    spawn("overrides", &name).join();
    assert_eq!(id(&name), before);
    remove(&name).unwrap();
}

/// Who may write to everything, and own nothing.
fn override_modes(name: &str) {
    const CAP_DAC_OVERRIDE: u32 = 1;
    #[repr(C)]
    struct Header(u32, libc::c_int);
    let (header, sets) = (Header(0x2008_0522, 0), [[1 << CAP_DAC_OVERRIDE; 3], [0; 3]]);
    // SAFETY: takes integers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }, 0);
    become_user(NOBODY);
    // SAFETY: the structures of version 3, which the call reads.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) }, 0);
    let options = SharedValue::<u64>::options().allow_owner(OWNER).mode(0o644);
    for error in [options.create(name, 1).unwrap_err(), options.open_or_create(name, 1).unwrap_err()] {
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert!(error.to_string().contains("mode 0644"), "{error}");
    }
    assert!(OpenOptions::new().write(true).open(path(name)).is_ok(), "not the case that is meant");
}

// User namespaces

/// A user namespace without a map: everybody is the overflow user, this process too. `false` where none can be made.
fn enter_a_user_namespace() -> bool {
    // SAFETY: takes an integer. The calling thread must be the process's only one, so it is forked off.
    unsafe { libc::unshare(libc::CLONE_NEWUSER) == 0 }
}

fn look_from_a_user_namespace(name: &str) {
    become_user(NOBODY);
    for map in [None, Some("65534 65534 1")] {
        look_from_a_user_namespace_with(map, name);
    }
}

fn look_from_a_user_namespace_with(map: Option<&str>, name: &str) {
    support::fork(|| {
        if !enter_a_user_namespace() {
            support::skip(support::Need::Namespaces, "no user namespace can be made here");
            return;
        }
        // Where one user has a number, it still is that of all others, too.
        if let Some(map) = map {
            // Who has changed its user has no right to its own files in /proc any more.
            // SAFETY: takes integers.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
            fs::write("/proc/self/uid_map", map).unwrap();
        }
        // SAFETY: takes nothing.
        let me = unsafe { libc::geteuid() };
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(path(name)).unwrap());
        assert_eq!(me, owner, "not the case that is meant");
        for error in [
            SharedValue::<u64>::open(name).unwrap_err(),
            SharedValue::create(name, 1u64).unwrap_err(),
            SharedValue::<u64>::options().allow_owner(owner).open(name).unwrap_err(),
        ] {
            assert!(matches!(error, Error::UnknownOwner { .. }), "{error:?}");
            assert!(error.to_string().contains(&format!("uid {owner}")), "{error}");
        }
        assert_eq!(remove_orphans().unwrap(), [""; 0]);
    })
    .join();
}

/// Once, whoever ran as `nobody` in a user namespace took every owner without a number for himself.
#[test]
fn an_owner_who_cannot_be_told_from_others_is_refused() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    let name = Scratch::new("unmapped");
    orphan(&name);
    spawn("unmapped", &name).join();
    assert!(exists(&name));
}

fn live_as_nobody_in_a_user_namespace(name: &str) {
    become_user(NOBODY);
    support::fork(|| {
        if !enter_a_user_namespace() {
            return support::skip(support::Need::Namespaces, "no user namespace can be made here");
        }
        // The kernel knows that these are ours, whatever number it shows.
        let value = SharedValue::create(name, 7u64).unwrap();
        assert_eq!(SharedValue::<u64>::open(name).unwrap().update(|v| *v += 1).unwrap(), 8);
        drop(value);
        assert!(!exists(name));
    })
    .join();
}

#[test]
fn ones_own_segments_are_told_from_others_even_without_a_number() {
    let _alone = alone();
    if !is_root() {
        return;
    }
    spawn("own-unmapped", &Scratch::new("own-unmapped")).join();
}
