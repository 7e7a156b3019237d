//! Copies the lock's real source for the checker `lock`, once as it is and once for each mutant, with the mutant's edits.
//!
//! What every copy has that the source has not: `crate` is the copy's own root, std's atomics are the checker's, and the
//! two accesses of the robust list go through it; a robust list can be made from the address of its head, and a token
//! shows its bits. Unit tests stay behind. The lock line is the one of `src/layout.rs`. A mutant whose edits do not fit the
//! source any more makes its own test fail, and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "lock/mutants.rs"]
#[allow(dead_code, reason = "the rest is for the tests")]
mod mutants;

#[path = "places/mutants.rs"]
#[allow(dead_code, reason = "as above")]
mod place_mutants;

use mutants::{EQUIVALENT, File, MUTANTS};

const FILES: [File; 23] = [
    File::Kind,
    File::Lock,
    File::Gate,
    File::Credit,
    File::Sleep,
    File::Changes,
    File::Condition,
    File::Word,
    File::RobustFutex,
    File::Waiting,
    File::Watch,
    File::Watched,
    File::Reservation,
    File::Successor,
    File::Event,
    File::Readers,
    File::Permits,
    File::Poison,
    File::Users,
    File::RobustList,
    File::Find,
    File::Nested,
    File::Proof,
];

fn source(file: File) -> &'static str {
    match file {
        File::Kind => "kind.rs",
        File::Lock => "sync/lock.rs",
        File::Gate => "sync/gate.rs",
        File::Credit => "sync/credit.rs",
        File::Sleep => "sync/sleep.rs",
        File::Changes => "sync/changes.rs",
        File::Condition => "sync/condition.rs",
        File::Word => "sync/word.rs",
        File::RobustFutex => "sync/robust_futex.rs",
        File::Waiting => "sync/waiting.rs",
        File::Watch => "sync/watch.rs",
        File::Watched => "sync/watched.rs",
        File::Users => "sync/users.rs",
        File::Reservation => "sync/reservation.rs",
        File::Successor => "sync/successor.rs",
        File::Event => "sync/event.rs",
        File::Readers => "sync/readers.rs",
        File::Permits => "sync/permits.rs",
        File::Poison => "sync/poison.rs",
        File::RobustList => "os/linux/robust_list.rs",
        File::Find => "os/linux/robust_list/find.rs",
        File::Nested => "os/linux/robust_list/nested.rs",
        File::Proof => "os/linux/robust_list/proof.rs",
    }
}

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let source_root = root.join("../../src");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    println!("cargo::rerun-if-env-changed=LOCK_SOURCE");
    let source_root = env::var_os("LOCK_SOURCE").map_or(source_root, PathBuf::from);
    let read = |path: &str| {
        let path = source_root.join(path);

        println!("cargo::rerun-if-changed={}", path.display());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=lock/mutants.rs");
    let originals = FILES.map(|file| read(source(file)));
    fs::write(out.join("lock_line.rs"), lock_line(&read("layout.rs"))).expect("writable");
    fs::write(out.join("wait_line.rs"), wait_line(&read("layout/wait_line.rs"))).expect("writable");
    fs::write(out.join("reader_line.rs"), reader_line(&read("layout/body.rs"))).expect("writable");

    // For whoever works on some of them: only those that are looked for in worlds that are called so.
    println!("cargo::rerun-if-env-changed=LOCK_WORLDS");
    let wanted = env::var("LOCK_WORLDS").ok();

    let mut subjects = String::new();
    let mut table = String::new();
    let real = std::iter::once(("real", &[][..]));
    let are_wanted = |mutant: &&mutants::Mutant| wanted.as_ref().is_none_or(|wanted| mutant.world.contains(wanted));
    let mutants = MUTANTS.iter().chain(EQUIVALENT).filter(are_wanted);
    for (name, edits) in real.chain(mutants.map(|mutant| (mutant.name, mutant.edits))) {
        let mut texts = originals.clone();
        let mut missing = Vec::new();
        for edit in edits {
            let at = FILES.iter().position(|file| *file == edit.file).expect("all files are listed");
            match texts[at].matches(edit.from).count() {
                1 => texts[at] = texts[at].replacen(edit.from, edit.to, 1),
                count => missing.push(format!("{} times in {}: {}", count, source(edit.file), edit.from)),
            }
        }
        if !missing.is_empty() {
            writeln!(table, "Err(({name:?}, {missing:?})),", missing = missing.join("\n")).expect("a string");
            continue;
        }
        let directory = out.join(name);
        for (file, text) in FILES.iter().zip(&texts) {
            let text = adapted(*file, text, name);
            let path = directory.join(source(*file));
            fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        let lists = [File::Word, File::RobustList, File::Find, File::Nested, File::Proof, File::Poison];
        let is_like_real = name != "real" && edits.iter().all(|edit| !lists.contains(&edit.file));
        subjects += &module(name, is_like_real, &directory, &root);
        writeln!(table, "Ok({name}::sync::entry::subject({name:?})),").expect("a string");
    }
    writeln!(subjects, "pub(crate) static SUBJECTS: &[Result<Subject, (&str, &str)>] = &[{table}];").expect("a string");
    for mutant in MUTANTS.iter().filter(are_wanted) {
        writeln!(subjects, "#[test] fn {0}() {{ is_found({0:?}); }}", mutant.name).expect("a string");
    }
    fs::write(out.join("subjects.rs"), subjects).expect("writable");
    write_places(&root, &out);
}

/// The places of Windows for the checker `places`, as they are and with each mutant's edits.
fn write_places(root: &Path, out: &Path) {
    use place_mutants::{File, LONG, MUTANTS};
    println!("cargo::rerun-if-changed=places/mutants.rs");
    let files = [
        (File::Place, "../../src/os/windows/place.rs"),
        (File::Life, "../../src/os/windows/life.rs"),
        (File::Waiter, "places/waiter.rs"),
    ];
    let originals = files.map(|(_, path)| {
        let path = root.join(path);
        println!("cargo::rerun-if-changed={}", path.display());
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    });
    let (mut modules, mut table, mut tests) = (String::new(), String::new(), String::new());
    let real = std::iter::once(("real", &[][..]));
    for (name, edits) in real.chain(MUTANTS.iter().map(|mutant| (mutant.name, mutant.edits))) {
        let mut texts = originals.clone();
        let mut missing = Vec::new();
        for (file, from, to) in edits {
            let at = files.iter().position(|(known, _)| known == file).expect("all files are listed");
            match texts[at].matches(from).count() {
                1 => texts[at] = texts[at].replacen(from, to, 1),
                count => missing.push(format!("{count} times in {file:?}: {from}")),
            }
        }
        if !missing.is_empty() {
            writeln!(table, "({name:?}, Err({:?})),", missing.join("\n")).expect("a string");
            continue;
        }
        let directory = out.join("places").join(name);
        fs::create_dir_all(&directory).expect("writable");
        let [place, life, waiter] = texts.map(|text| {
            let text = text.split("\n#[cfg(test)]\nmod tests").next().expect("a first part").to_owned();
            text.replace("std::sync::atomic", "crate::stubs::atomic")
        });
        // Each thread is a process of its own.
        let known =
            "static KNOWN: std::sync::Mutex<Vec<Arc<Meeting>>> = std::sync::Mutex::new(Vec::new());\n    KNOWN.lock()";
        assert_eq!(place.matches(known).count(), 1, "what a process knows");
        let each = "KNOWN[crate::search::with(|run| run.process())].lock()";
        let place = place.replace(known, each)
            + "static KNOWN: [std::sync::Mutex<Vec<Arc<Meeting>>>; 256] = [const { std::sync::Mutex::new(Vec::new()) }; 256];\n\
               pub(super) fn forget() { for known in &KNOWN[crate::search::with(|run| run.processes())] { let all = std::mem::take(&mut *known.lock().unwrap_or_else(PoisonError::into_inner)); drop(all); } }\n";
        for (file, text) in [("place.rs", place), ("life.rs", life), ("waiter.rs", waiter)] {
            fs::write(directory.join(file), text).expect("writable");
        }
        let path = directory.display();
        writeln!(
            modules,
            "#[allow(dead_code, unused, clippy::all, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, reason = \"a copy\")]\n\
             mod {name} {{\n\
                 pub(crate) use crate::stubs::{{Deadline, futex as back_off, monotonic_nanos, objects, random, thread}};\n\
                 #[path = \"{path}/life.rs\"] mod life;\n\
                 #[path = \"{path}/place.rs\"] mod place;\n\
                 #[path = \"{path}/waiter.rs\"] mod waiter;\n\
                 pub(crate) const SUBJECT: crate::Subject = crate::Subject {{ body: waiter::body, forget: place::forget }};\n\
             }}"
        )
        .expect("a string");
        writeln!(table, "({name:?}, Ok({name}::SUBJECT)),").expect("a string");
    }
    for mutant in MUTANTS {
        let ignored = if LONG.contains(&mutant.name) { "#[ignore = \"takes minutes\"]" } else { "" };
        writeln!(tests, "#[test] {ignored} fn {0}() {{ is_found({0:?}); }}", mutant.name).expect("a string");
    }
    let text = format!("{modules}\nstatic SUBJECTS: &[(&str, Result<Subject, &str>)] = &[{table}];\n{tests}");
    fs::write(out.join("places.rs"), text).expect("writable");
}

/// The text of a copy.
fn adapted(file: File, text: &str, root: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().expect("a first part");
    let mut text =
        text.replace("crate::", &format!("crate::{root}::")).replace("std::sync::atomic", "crate::memory::atomic");
    if file == File::Users {
        // Of a search that is broken off, nothing is dropped.
        text =
            text.replace("pub(super) fn enter", "pub(crate) fn enter").replace("std::sync::Arc", "crate::stubs::Arc");
    }
    if file == File::Poison {
        for name in ["inherit", "begin_changes", "end_changes"] {
            text = text.replace(&format!("pub(super) fn {name}"), &format!("pub(crate) fn {name}"));
        }
        // Where there are no readers, whoever holds the lock is amid changes.
        let amid = "owner_died && dirty != 0";
        assert_eq!(text.matches(amid).count(), 1, "the dirt");
        text = text.replace(amid, "owner_died && (dirty != 0 || crate::world::all_holders_change())");
    }
    if file == File::RobustList {
        for (from, to) in [
            ("ptr::read_unaligned(link)", "crate::memory::read(link)"),
            ("ptr::write_unaligned(link, value)", "crate::memory::write(link, value)"),
            ("\nmod came_by;", "\nuse crate::stubs::came_by;"),
            ("\nmod find;", "\n#[path = \"robust_list/find.rs\"]\nmod find;"),
            ("\nmod nested;", "\n#[path = \"robust_list/nested.rs\"]\nmod nested;"),
            ("\nmod proof;", "\n#[path = \"robust_list/proof.rs\"]\nmod proof;"),
        ] {
            assert_eq!(text.matches(from).count(), 1, "the robust list's accesses: {from}");
            text = text.replace(from, to);
        }
        text += "impl RobustList { pub(crate) fn of(head: usize) -> Self { Self { head: ptr::with_exposed_provenance_mut(head) } } }";
    }
    if file == File::Gate {
        // Whether it is time to ask is the checker's choice.
        let is_time = "let probes = is_time_to_probe(line, waits);";
        assert_eq!(text.matches(is_time).count(), 1, "the probe");
        text = text.replace(is_time, "let probes = crate::world::probes();");
    }
    if file == File::Waiting {
        // Some begin as if they had slept before.
        let has_slept = "has_slept: comes_back,";
        assert_eq!(text.matches(has_slept).count(), 1, "who has slept");
        text = text.replace(has_slept, "has_slept: comes_back || crate::successor::has_slept_before(),");
    }
    if file == File::Successor {
        text = of_successor(text);
    }
    if file == File::Reservation {
        text += "impl Token { pub(crate) fn bits(self) -> u32 { self.0 } }";
    }
    text
}

/// There is a successor only where the world has one; and what a candidate remembers from one look at the lock to the next, the
/// checker knows.
fn of_successor(mut text: String) -> String {
    for (from, to) in [
        (
            "Self { line, state: State::Waits }",
            "Self { line, state: if crate::successor::are_named() { State::Waits } else { State::Past } }",
        ),
        (
            "pub(super) fn doze(&mut self,",
            "pub(super) fn doze(&mut self, lock: &LockLine, me: &Thread, slot: u32) -> Option<Deadline> {
                crate::successor::begin();
                let nap = self.really_doze(lock, me, slot);
                crate::successor::end(self.remembered());
                nap
            }
            fn really_doze(&mut self,",
        ),
        (
            "pub(super) fn end(&mut self,",
            "pub(super) fn end(&mut self, lock: &LockLine, list: RobustList) {
                crate::successor::begin();
                self.really_end(lock, list);
                crate::successor::end(0);
            }
            fn really_end(&mut self,",
        ),
    ] {
        assert_eq!(text.matches(from).count(), 1, "the successor: {from}");
        text = text.replace(from, to);
    }
    text + "impl Candidate<'_> {
        fn remembered(&self) -> u64 {
            match self.state {
                State::Waits => 1,
                State::Dozes(end, seen) => crate::hashes::mixed(end.0, seen.into()),
                State::Comes => 2,
                State::Past => 3,
            }
        }
    }"
}

/// The definition of the lock line.
fn lock_line(layout: &str) -> String {
    let start =
        layout.find("#[repr(C, align(64))]\n#[derive(Debug)]\npub(crate) struct LockLine {").expect("the lock line");
    let text = &layout[start..];
    text.split("\n#[cfg(test)]\nmod tests").next().expect("a first part").to_owned()
}

/// The definition of the wait line.
fn wait_line(layout: &str) -> String {
    let start = layout.find("/// Behind the lock line").expect("the wait line");
    layout[start..].split("\n#[cfg(test)]\nmod tests").next().expect("a first part").to_owned()
}

/// The definition of the reader line, and what else is known of the slots.
fn reader_line(layout: &str) -> String {
    let item = |start: &str, end: &str| {
        let text = &layout[layout.find(start).unwrap_or_else(|| panic!("{start}"))..];
        text[..text.find(end).expect("an end") + end.len()].to_owned()
    };
    item("/// The cache line of readers side by side", "\n}\n") + &item("/// The bits of so many slots.", "\n}\n")
}

/// A copy's modules; those that no edit touches can be the real one's.
fn module(name: &str, is_like_real: bool, directory: &Path, root: &Path) -> String {
    let at = |file: File| format!("#[path = {:?}]", directory.join(source(file)));
    let os = format!(
        "pub(crate) mod os {{
            pub(crate) use crate::stubs::os::*;
            {robust_list} pub(crate) mod robust_list;
            pub(crate) mod thread {{
                use super::robust_list::RobustList;
                #[derive(Clone, Copy, Debug)]
                pub(crate) struct Thread {{ pub(crate) tid: u32, pub(crate) generation: u32, pub(crate) list: RobustList }}
                impl Thread {{ pub(crate) fn is_current(&self) -> bool {{ true }} }}
                pub(crate) fn inherited_list() -> Option<RobustList> {{ None }}
                pub(crate) fn system_id(tid: u32) -> u32 {{ tid }}
            }}
        }}",
        robust_list = at(File::RobustList)
    );
    let rest = format!("{poison} pub(crate) mod poison;", poison = at(File::Poison));
    let (kind, os, rest) = if is_like_real {
        (
            "pub(crate) use crate::real::kind;".to_owned(),
            "pub(crate) use crate::real::os;".to_owned(),
            "pub(crate) use crate::real::sync::poison;".to_owned(),
        )
    } else {
        (format!("{} pub(crate) mod kind;", at(File::Kind)), os, rest)
    };
    format!(
        "#[allow(warnings, clippy::all, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, reason = \"a copy\")]
        mod {name} {{
            {kind}
            use crate::{{fault, layout, options, world}};
            {os}
            pub(crate) mod sync {{
                pub(crate) use crate::memory::atomic;
                pub(crate) use crate::stubs::{{habits, interrupts, node, spin}};
                {rest}
                {word} pub(crate) mod word;
                {users} pub(crate) mod users;
                {lock} pub(crate) mod lock;
                {gate} pub(crate) mod gate;
                {credit} pub(crate) mod credit;
                {sleep} pub(crate) mod sleep;
                {changes} pub(crate) mod changes;
                {condition} pub(crate) mod condition;
                {robust_futex} pub(crate) mod robust_futex;
                {reservation} pub(crate) mod reservation;
                {successor} pub(crate) mod successor;
                {waiting} pub(crate) mod waiting;
                {watch} pub(crate) mod watch;
                {watched} pub(crate) mod watched;
                {event} pub(crate) mod event;
                {readers} pub(crate) mod readers;
                {permits} pub(crate) mod permits;
                #[path = {entry:?}] pub(crate) mod entry;
            }}
        }}\n",
        word = at(File::Word),
        users = at(File::Users),
        lock = at(File::Lock),
        gate = at(File::Gate),
        credit = at(File::Credit),
        sleep = at(File::Sleep),
        changes = at(File::Changes),
        condition = at(File::Condition),
        robust_futex = at(File::RobustFutex),
        reservation = at(File::Reservation),
        successor = at(File::Successor),
        waiting = at(File::Waiting),
        watch = at(File::Watch),
        watched = at(File::Watched),
        event = at(File::Event),
        readers = at(File::Readers),
        permits = at(File::Permits),
        entry = root.join("lock/entry.rs"),
    )
}
