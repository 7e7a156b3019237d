//! What a test needs of a system that not all have is said where it stands, by `cfg`, and in one table, in `tests/README.md`:
//! so on another system it is not there, and nothing that is there is passed over when it runs.
//!
//! A file that is not in the table is for every system, as a whole.
//!
//! And each system has the locks that it should: tests of a kind that is not available pass.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use robust_shm::{Error, LockKind, SharedLock};
use support::{KINDS, Scratch};

/// Of other crates, which have systems of their own; and what has all of them in it.
const NOT_HERE: [&str; 6] = ["compile_fail", "fuzz", "languages", "models", "platforms", "support"];

/// As the table calls them, and as `cfg` does.
const SYSTEMS: [(&str, &str); 3] = [("Linux", "target_os = \"linux\""), ("Unix", "unix"), ("Windows", "windows")];

/// A file, and whether all of it or parts of it are for this system alone.
type Need = (String, String);

/// `Futex` and its robust lists on Linux, which is the default there, unless an emulator or a sandbox has none; `OsMutex` on
/// Linux; `File` everywhere, and the default elsewhere, also in what Linux plays of another Unix.
#[test]
fn each_system_has_the_kinds_of_locks_that_it_should() {
    let is_linux = cfg!(all(target_os = "linux", not(robust_shm_unix)));
    let has_futex = is_linux && support::kernel_has_robust_lists();
    assert_eq!(KINDS, [LockKind::Futex, LockKind::File, LockKind::OsMutex]);
    assert_eq!(KINDS.map(LockKind::is_available), [has_futex, true, is_linux]);
    assert_eq!(LockKind::default(), if has_futex { LockKind::Futex } else { LockKind::File });
    for kind in KINDS {
        let name = Scratch::new("kind");
        match SharedLock::options().lock_kind(kind).create(&name) {
            Ok(lock) => assert!(kind.is_available() && lock.info().unwrap().lock_kind() == kind, "{kind:?}"),
            Err(error) => assert!(!kind.is_available() && matches!(error, Error::Lock { .. }), "{kind:?}: {error}"),
        }
    }
    let name = Scratch::new("default");
    assert_eq!(SharedLock::create(&name).unwrap().info().unwrap().lock_kind(), LockKind::default());
}

#[test]
fn the_table_says_what_the_files_say() {
    let (said, listed) = (said_by_files(), listed_in(&fs::read_to_string(folder().join("README.md")).unwrap()));
    let show = |needs: &BTreeSet<Need>, others: &BTreeSet<Need>| {
        needs.difference(others).map(|(file, system)| format!("\n  {file}: {system}")).collect::<String>()
    };
    let (unlisted, untrue) = (show(&said, &listed), show(&listed, &said));
    assert!(unlisted.is_empty() && untrue.is_empty(), "only by cfg:{unlisted}\nonly in tests/README.md:{untrue}");
}

/// By its name, or in the command that runs it.
#[test]
fn each_file_has_its_row() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with('|'));
    let mut named = BTreeSet::new();
    for quoted in rows.flat_map(|row| row.split('`').skip(1).step_by(2)) {
        let mut before = "";
        for word in quoted.split_whitespace() {
            let path = word.strip_prefix("tests/").unwrap_or(word);
            let test = (before == "--test").then_some(word);
            named.extend([path.split('/').next(), path.strip_prefix("models/"), test].into_iter().flatten());
            before = word;
        }
    }
    let names = [folder(), folder().join("models")].into_iter().flat_map(names_in);
    // What has no test in it: what is shared, what is read, how it is built.
    let is_test = |name: &String| (name.ends_with(".rs") || !name.contains('.')) && !NO_TESTS.contains(&&**name);
    let is_named = |name: &String| {
        let stem = name.trim_end_matches(".rs");
        named.contains(stem) || named.contains(&*format!("{stem}.rs"))
    };
    let missing: Vec<String> = names.filter(|name| is_test(name) && !is_named(name)).collect();
    assert_eq!(missing, [""; 0], "not in tests/README.md");
}

const NO_TESTS: [&str; 3] = ["support", "hashes.rs", "build.rs"];

fn names_in(folder: PathBuf) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn no_test_asks_for_the_system_when_it_runs() {
    let mut asking = Vec::new();
    for (file, text) in files() {
        let asks = |(_, cfg): &(&str, &str)| text.contains(&format!("cfg!({cfg}"));
        if file != "systems.rs" && SYSTEMS.iter().any(asks) {
            asking.push(file);
        }
    }
    assert_eq!(asking, [""; 0], "let cfg leave the test out, and tests/README.md say so");
}

#[test]
fn systems_are_found_in_attributes() {
    for (text, whole, in_part) in [
        ("#![cfg(target_os = \"linux\")]", ["Linux"].as_slice(), [].as_slice()),
        ("#![cfg(all(target_os = \"linux\", robust_shm_fault))]", &["Linux"], &[]),
        ("    #[cfg(unix)]\n#[cfg(windows)]", &[], &["Unix", "Windows"]),
        ("#[cfg(not(windows))]\n#[cfg(not(unix))]", &[], &[]),
        ("// #[cfg(unix)]", &[], &[]),
        ("#[cfg_attr(unix, ignore)]\n#[cfg(robust_shm_unix)]", &[], &[]),
    ] {
        let expected: BTreeSet<String> = whole
            .iter()
            .map(ToString::to_string)
            .chain(in_part.iter().map(|system| format!("in part {system}")))
            .collect();
        assert_eq!(needs_in(text), expected, "{text}");
    }
}

fn said_by_files() -> BTreeSet<Need> {
    let of_file = |(file, text): (String, String)| needs_in(&text).into_iter().map(move |need| (file.clone(), need));
    files().into_iter().flat_map(of_file).collect()
}

/// What the attributes of a text ask for.
fn needs_in(text: &str) -> BTreeSet<String> {
    let mut needs = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let (whole, condition) = match (line.strip_prefix("#![cfg("), line.strip_prefix("#[cfg(")) {
            (Some(condition), _) => (true, condition),
            (_, Some(condition)) => (false, condition),
            _ => continue,
        };
        let condition = condition.replace("robust_shm_unix", "");
        for (system, cfg) in SYSTEMS {
            if condition.contains(cfg) && !condition.contains(&format!("not({cfg}")) {
                needs.insert(if whole { system.to_owned() } else { format!("in part {system}") });
            }
        }
    }
    needs
}

/// The rows of the table: a system, the files, and what they need of it.
fn listed_in(readme: &str) -> BTreeSet<Need> {
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| only on ")).flat_map(|row| {
        let mut cells = row.split(" | ");
        let systems = cells.next().unwrap();
        let need = systems.strip_suffix(", in part").map_or(systems.to_owned(), |system| format!("in part {system}"));
        let files = cells.next().unwrap().split('`').skip(1).step_by(2);
        files.map(|file| (file.to_owned(), need.clone())).collect::<Vec<_>>()
    });
    rows.collect()
}

/// All files of tests, by their names in this folder.
fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&folder(), "", &mut files);
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && !NOT_HERE.contains(&name.as_str()) {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((format!("{prefix}{name}"), fs::read_to_string(path).unwrap()));
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}
