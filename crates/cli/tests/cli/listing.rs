//! `ls`, `info`, `create`, `rm` and `gc`.

use robust_shm::{SegmentInfo, SharedArray, SharedSemaphore, SharedValue};
use serde_json::json;

use crate::support::{self, Family, Scratch, exists, until};
use crate::tool::{Running, Said, command, run, run_until};

#[test]
fn each_segment_is_a_row() {
    let family = Family::new("rows");
    let [value, array, semaphore] = [0, 1, 2].map(|which| family.member(which));
    let _value = SharedValue::create(&value, 7u64).unwrap();
    let array_handle = SharedArray::<f64, 100>::create(&array).unwrap();
    let semaphore_handle = SharedSemaphore::create(&semaphore, 4).unwrap();
    let (_guard, _permit) = (array_handle.lock().unwrap(), semaphore_handle.acquire().unwrap());
    let me = std::process::id().to_string();
    let bytes = |name: &str| SegmentInfo::of(name).unwrap().bytes().to_string();
    let rows = [
        (&value, format!("value u64 - {} 1 - free", bytes(&value))),
        (&array, format!("array f64 100 {} 1 {me} held", bytes(&array))),
        (&semaphore, format!("semaphore - 4 {} 1 - 3 of 4 free", bytes(&semaphore))),
    ];
    // Without its name and its age.
    let row = |said: &Said, name: &str| {
        let words = said.row(name);
        words[1..words.len() - 1].join(" ")
    };
    let found = |said: &Said| rows.each_ref().map(|(name, _)| row(said, name));
    let said = run_until(&["ls", &format!("{}.*", family.name())], found, &rows.each_ref().map(|(_, row)| row.clone()));
    assert_eq!((said.code, &*said.err), (0, ""));
    let titles = "NAME KIND TYPE LEN BYTES USERS HOLDER STATE AGE";
    assert_eq!(said.out.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "), titles);
    assert_eq!(said.out.lines().count(), 4, "{}", said.out);

    let only = run(&["ls", "--kind", "array", &format!("{}.?", family.name())]);
    assert_eq!((only.code, only.out.lines().count()), (0, 2), "{only:?}");
    let none = run(&["ls", "no-such-*"]);
    assert_eq!((none.code, none.out.lines().count()), (0, 1), "empty is no error: {none:?}");
}

#[test]
fn columns_are_flush() {
    let family = Family::new("größe-日本");
    for which in [0, 10] {
        robust_shm::SharedLock::options().persistent(true).create(&family.member(which)).map(drop).unwrap();
    }
    let said = run(&["ls", &format!("{}*", family.name())]);
    // Two of its characters are two columns wide.
    let columns: Vec<usize> =
        said.out.lines().map(|line| line.chars().take_while(|char| *char != 'K').count()).collect();
    let kinds: Vec<usize> = said
        .out
        .lines()
        .skip(1)
        .map(|line| line.chars().count() - line.split("lock").nth(1).unwrap().chars().count())
        .collect();
    assert_eq!(kinds[0], kinds[1], "{}", said.out);
    assert_eq!(kinds[0] - "lock".len() + 2, columns[0], "{}", said.out);
}

#[test]
fn info_tells_all() {
    let name = Scratch::new("info");
    let value = SharedValue::options().persistent(true).mode(0o640).create(&name, [1u32, 2]).unwrap();
    value.set([3, 4]).unwrap();
    let _guard = value.lock().unwrap();
    let said = run(&["info", &name]);
    assert_eq!(said.code, 0);
    assert_eq!(said.row("kind")[1], "value");
    assert_eq!(said.row("mode")[1], "0640");
    assert_eq!(said.row("commits")[1], "1");
    assert_eq!(said.row("persistent")[1], "yes");
    let me = std::process::id();
    assert!(said.out.contains(&format!("of process {me}")), "{}", said.out);
    assert!(!said.out.contains("permits"), "no semaphore: {}", said.out);
    let json = run(&["info", "--json", &name]).json();
    assert_eq!([&json["format"], &json["commits"], &json["creator"]], [&json!(1), &json!(1), &json!(me)]);
    assert_eq!([&json["holder"]["process"], &json["permits"]], [&json!(me), &json!(null)]);
    assert_eq!(json["id"], json!(format!("{:032x}", value.info().unwrap().id())));
    let processes = || {
        let json = run(&["info", "--json", &name]).json();
        (json["processes"][0]["process"] == json!(me)).then_some(())
    };
    until("the kernel's table to have it", processes);
}

#[test]
fn what_is_created_stays_until_it_is_removed() {
    let [lock, rwlock, event, semaphore] = ["lock", "rwlock", "event", "semaphore"].map(Scratch::new);
    for (name, kind, value) in [
        (&lock, "lock", None),
        (&rwlock, "rwlock", None),
        (&event, "event", None),
        (&semaphore, "semaphore", Some("3")),
    ] {
        let arguments: Vec<&str> = ["create", name, kind].into_iter().chain(value).collect();
        let said = run(&arguments);
        assert_eq!((said.code, &*said.out, &*said.err), (0, "", ""));
        let info = SegmentInfo::of(name).unwrap();
        assert!(info.is_persistent() && info.attached() == 0);
        assert_eq!(run(&["info", "--json", name]).json()["kind"], json!(kind));
        let again = run(&arguments);
        assert_eq!(again.code, 1, "{again:?}");
        assert!(again.err.starts_with("robust-shm: ") && again.err.contains("already exists"), "{again:?}");
    }
    assert_eq!(SegmentInfo::of(&semaphore).unwrap().permits(), Some(3));
    assert_eq!(run(&["rm", &lock, "no-such-one", &rwlock]).code, 1);
    assert!(!exists(&lock) && !exists(&rwlock), "those that are there go");
    let said = run(&["rm", "--json", &event, &semaphore]);
    assert_eq!(said.all_json()[0], json!({"format": 1, "name": event.0, "removed": true}));
    assert_eq!((said.code, said.out.lines().count()), (0, 2));
}

#[test]
fn what_is_in_use_can_be_left() {
    let name = Scratch::new("in-use");
    let value = SharedValue::create(&name, 1u64).unwrap();
    let said = run(&["rm", "--if-unused", &name]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(exists(&name));
    assert_eq!(run(&["rm", &name]).code, 0);
    assert!(!exists(&name));
    assert_eq!(value.get(), 1, "who uses it keeps it");
}

#[test]
fn gc_takes_what_killed_users_have_left_and_says_so_before() {
    let (dead, live) = (Scratch::new("dead"), Scratch::new("live"));
    let _live = SharedValue::create(&live, 1u64).unwrap();
    // Whoever creates something sweeps, too: until nobody has come in between.
    until("a look that comes before any other program's", || {
        let child = support::spawn("hold", &dead);
        child.expect("ready");
        child.kill();
        let ls = run(&["ls", &dead]);
        let dry = run(&["gc", "--dry-run"]);
        let wet = run(&["gc", "--json"]);
        assert!(!exists(&dead) && exists(&live));
        assert!(!dry.out.contains(&*live) && !wet.out.contains(&*live));
        let is_named = dry.out.lines().any(|line| line == &*dead);
        let removed = wet.all_json().contains(&json!({"format": 1, "name": dead.0, "removed": true}));
        let is_orphan = ls.out.contains("orphan");
        (is_named && removed && is_orphan && (dry.code, wet.code) == (0, 0)).then_some(())
    });
}

/// Whoever has closed the pipe has seen enough.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    let family = Family::new("pipe");
    for which in 0..3 {
        robust_shm::SharedLock::options().persistent(true).create(&family.member(which)).map(drop).unwrap();
    }
    let name = family.member(0);
    for arguments in [
        &["ls"][..],
        &["ls", "--json"],
        &["info", &name],
        &["holders", "--json", &name],
        &["man"],
        &["completions", "bash"],
        &["names"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child = command(arguments);
        child.stdout(writer).stderr(std::process::Stdio::piped());
        let output = support::within_limit("the program to end", move || child.output().unwrap());
        assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]), "{arguments:?}");
    }
    // As a shell does it.
    let mut shell = std::process::Command::new("sh");
    shell.arg("-c").arg("\"$1\" ls --json | head -1").args(["sh", crate::tool::PROGRAM]);
    let said = Running::start(shell).end();
    assert_eq!((said.code, &*said.err, said.out.lines().count()), (0, "", 1));
}

/// That the output cannot be written is a failure when nobody has closed it.
#[test]
fn a_full_disk_is_told() {
    let mut ls = command(&["ls"]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    ls.stdout(full);
    let output = support::within_limit("the program to end", move || ls.output().unwrap());
    assert_eq!(output.status.code(), Some(6));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not write the output"));
}

/// Nothing of what is shown changes, nor does anybody look like a user of it.
#[test]
fn who_looks_changes_nothing() {
    use std::os::unix::fs::MetadataExt;
    let name = Scratch::new("looked-at");
    robust_shm::SharedLock::options().persistent(true).create(&name).map(drop).unwrap();
    let picture = || {
        let status = std::fs::metadata(support::path(&name)).unwrap();
        let bytes = std::fs::read(support::path(&name)).unwrap();
        (bytes, status.mtime(), status.mtime_nsec(), status.ctime(), status.ctime_nsec())
    };
    let before = picture();
    for command in
        [&["ls"][..], &["ls", "--all", "--json"], &["info", &name], &["holders", &name], &["gc", "--dry-run"]]
    {
        run(command);
        assert_eq!(picture(), before, "{command:?}");
    }
}
