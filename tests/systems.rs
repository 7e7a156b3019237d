//! What a test needs of a system that not all have is said where it stands, by `cfg`, and in one table, in `tests/README.md`:
//! so on another system it is not there, and nothing that is there is passed over when it runs.
//!
//! A file that is not in the table is for every system, as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Of other crates, which have systems of their own; and what has all of them in it.
const NOT_HERE: [&str; 6] = ["compile_fail", "fuzz", "languages", "models", "platforms", "support"];

/// As the table calls them, and as `cfg` does.
const SYSTEMS: [(&str, &str); 3] = [("Linux", "target_os = \"linux\""), ("Unix", "unix"), ("Windows", "windows")];

/// A file, and whether all of it or parts of it are for this system alone.
type Need = (String, String);

#[test]
fn the_table_says_what_the_files_say() {
    let (said, listed) = (said_by_files(), listed_in(&fs::read_to_string(folder().join("README.md")).unwrap()));
    let show = |needs: &BTreeSet<Need>, others: &BTreeSet<Need>| {
        needs.difference(others).map(|(file, system)| format!("\n  {file}: {system}")).collect::<String>()
    };
    let (unlisted, untrue) = (show(&said, &listed), show(&listed, &said));
    assert!(unlisted.is_empty() && untrue.is_empty(), "only by cfg:{unlisted}\nonly in tests/README.md:{untrue}");
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
