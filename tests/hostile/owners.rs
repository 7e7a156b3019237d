//! Other people's files, and modes that forbid.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};

use robust_shm::{Error, SegmentInfo, SharedLock, SharedValue, remove, remove_orphans, segments};

use crate::plant::{FLAGS, every_way, is_not_a_segment, persistent, writable};
use crate::support::{Family, Need, Scratch, exists, is_root, member, path, skip, spawn};

/// An orphan of somebody else: ours goes with the next creation of any test, and nobody's with one as nobody.
fn orphan_of(owner: u32, name: &str) {
    drop(SharedValue::options().persistent(true).create(name, 7u64).unwrap());
    chown(path(name), Some(owner), None).unwrap();
    writable(name).write_all_at(&[0; 4], FLAGS).unwrap();
}

#[test]
fn a_segment_of_another_owner_is_foreign_and_nobodys_orphan() {
    if !is_root("gives files to others") {
        return;
    }
    let (kept, dead) = (persistent("foreign"), Scratch::new("foreign"));
    chown(path(&kept), Some(4242), None).unwrap();
    orphan_of(4242, &dead);
    for name in [&kept, &dead] {
        every_way(name, |error| {
            error.to_string().contains("uid 4242") && matches!(error, Error::ForeignOwner { found: 4242, .. })
        });
    }
    assert!(!remove_orphans().unwrap().iter().any(|name| [&kept.0, &dead.0].contains(&name)));
    drop(SharedLock::create(&Scratch::new("sweeps")).unwrap());
    assert!(exists(&dead));
    assert_eq!(SegmentInfo::of(&dead).unwrap().owner(), 4242);
    let trusting = SharedValue::<u64>::options().allow_owner(4242);
    assert_eq!(trusting.open(&kept).unwrap().get(), 7);
    assert!(matches!(trusting.open(&dead), Err(Error::NotFound { .. })), "a trusted owner's orphan goes");
}

fn become_nobody() {
    // The system calls alone, which change the one thread that matters: see `tests/errors.rs`.
    // SAFETY: integers only.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setgid, 65534) }, 0);
    // SAFETY: as above.
    assert_eq!(unsafe { libc::syscall(libc::SYS_setuid, 65534) }, 0);
}

/// As a user who may write to everything here, and remove nothing that is not his.
pub(crate) fn look_into_a_sticky_directory(family: &str) {
    become_nobody();
    let [open, dead, stranger, closed] = [0, 1, 2, 3].map(|which| member(family, which));
    for name in [&open, &dead] {
        every_way(name, |error| matches!(error, Error::ForeignOwner { found: 1, .. }));
        // Asked to by name, it is the system that refuses.
        let error = remove(name).unwrap_err();
        assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
        assert!(error.to_string().contains("owner uid 1,") && exists(name));
    }
    let trusting = SharedValue::<u64>::options().allow_owner(1);
    assert_eq!(trusting.open(&open).unwrap().get(), 7);
    // What is dead does not count, and who cannot remove it is told who can.
    assert!(matches!(trusting.open(&dead), Err(Error::NotFound { .. })));
    let error = trusting.create(&dead, 7).unwrap_err();
    assert!(matches!(error, Error::ForeignOrphan { owner: 1, mode: 0o666, .. }), "{error:?}");
    every_way(&stranger, is_not_a_segment);
    every_way(&closed, |error| matches!(error, Error::PermissionDenied { .. }));
    remove_orphans().unwrap();
    assert!([open, dead, stranger, closed].iter().all(|name| exists(name)));
    // What is not for us to read is passed over, and our own things work.
    assert!(!segments().flatten().any(|info| info.name() == member(family, 3)));
    let own = SharedValue::create(&member(family, 4), 1u64).unwrap();
    assert_eq!(own.update(|v| *v += 1).unwrap(), 2);
}

#[test]
fn in_a_sticky_directory_foreign_files_are_refused_and_stay() {
    if !crate::support::has_shared_memory_objects("another user looks") {
        return;
    }
    if !is_root("gives files to others") {
        return;
    }
    let family = Family::new("sticky");
    let [open, dead, stranger, closed] = [0, 1, 2, 3].map(|which| family.member(which));
    if fs::metadata("/dev/shm").unwrap().mode() & 0o1777 != 0o1777 {
        return skip(Need::System, "/dev/shm is no sticky directory for all");
    }
    for name in [&open, &closed] {
        fs::rename(path(&persistent("to-rename")), path(name)).unwrap();
        chown(path(name), Some(1), None).unwrap();
    }
    orphan_of(1, &dead);
    fs::write(path(&stranger), "not a segment").unwrap();
    for name in [&open, &dead, &stranger] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o666)).unwrap();
    }
    spawn("sticky", family.name()).join();
}

pub(crate) fn look_at_modes(name: &str) {
    let me = if is_root("becomes another user") { 65534 } else { return };
    become_nobody();
    drop(SharedValue::options().persistent(true).create(name, 7u64).unwrap());
    for mode in [0o400, 0o200, 0o000, 0o044] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        every_way(name, |error| matches!(error, Error::PermissionDenied { .. }));
        let error = SharedValue::<u64>::open(name).unwrap_err();
        assert!(error.to_string().contains(&format!("owner uid {me}, mode {mode:04o}")), "{error}");
        assert!(remove(name).is_err(), "what cannot be looked at is not removed");
        assert_eq!(SegmentInfo::of(name).is_ok(), mode == 0o400);
        remove_orphans().unwrap();
        assert!(exists(name));
    }
    fs::set_permissions(path(name), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(SharedValue::<u64>::open(name).unwrap().get(), 7);
    remove(name).unwrap();
}

#[test]
fn a_mode_that_forbids_access_is_said() {
    if !crate::support::has_shared_memory_objects("another user looks") {
        return;
    }
    spawn("another-mode", &Scratch::new("modes")).join();
}
