//! The house has floors, and imports lead down: faces, segment, sync, os, on a ground of names, errors and layout. No file
//! imports, by way of others, itself.
//!
//! `os` is the only one that knows a system: nothing else names `libc`, `std::os` or a directory of one.
//!
//! What is read are the paths in `src`: `use` lines, and `crate::`, `super::` and `child::` elsewhere; unit tests are not.
//! What a file only lends on from its own folder (`pub use guard::LockGuard`) is the child's, and no import of the parent's.
//!
//! And what the documentation says of where something stands is so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom to the top: each floor, and what is on it.
const FLOORS: [(&str, &[&str]); 6] = [
    ("ground", &["error", "fault", "identity", "kind", "layout", "name", "options", "schema", "shareable"]),
    ("os", &["os"]),
    ("sync", &["sync"]),
    ("segment", &["segment"]),
    (
        "faces",
        &[
            "array",
            "condvar",
            "dynamic",
            "elements",
            "event",
            "face",
            "info",
            "lock",
            "observer",
            "rwlock",
            "semaphore",
            "slice",
            "value",
        ],
    ),
    ("root", &["", "guide"]),
];

/// The systems: folders in `os`. What the first one does not have, is in the next.
const SYSTEMS: [&[&str]; 3] = [&["linux", "unix", "common"], &["unix", "common"], &["windows", "common"]];

/// A module by the names that lead to it from the root; the systems under `os` are no part of them.
type Module = Vec<String>;

/// What a file says of other files.
#[derive(Default)]
struct File {
    children: BTreeSet<String>,
    /// Names that it lends on, and the child that each comes from.
    lent: BTreeMap<String, String>,
    /// Paths from the root.
    mentions: Vec<Module>,
}

#[test]
fn imports_lead_down() {
    let upward: BTreeSet<String> = SYSTEMS
        .into_iter()
        .flat_map(|system| arrows(&read_source(system)))
        .filter(|(from, to)| floor(from) < floor(to))
        .map(|(from, to)| {
            let on = |module: &Module| format!("{} ({})", show(module), FLOORS[floor(module)].0);
            format!("{} imports {}", on(&from), on(&to))
        })
        .collect();
    assert!(upward.is_empty(), "upward imports:\n{}", upward.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let mut circles = BTreeSet::new();
    for system in SYSTEMS {
        let arrows = arrows(&read_source(system));
        let files: BTreeSet<&Module> = arrows.iter().map(|(from, _)| from).collect();
        circles.extend(files.into_iter().filter_map(|file| circle(file, &arrows)));
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.into_iter().collect::<Vec<_>>().join("\n"));
}

/// Another system is another folder in `os`, and nothing else.
#[test]
fn only_os_knows_the_system() {
    let mut named = Vec::new();
    read_folder(&source(), &mut Module::new(), &mut |text, module| {
        let systems = systems_in(text);
        if module.first().is_none_or(|room| room != "os") && !systems.is_empty() {
            named.push(format!("{}: {}", show(module), systems.join(", ")));
        }
    });
    assert!(named.is_empty(), "what only `os` may name:\n{}", named.join("\n"));
}

#[test]
fn a_system_is_recognised_in_code_and_not_in_comments() {
    for (text, found) in [
        ("use libc::off_t;", ["libc"].as_slice()),
        ("error == Some(libc::ENOENT) // of libc", &["libc"]),
        ("use std::os::unix::fs::FileExt;", &["std::os"]),
        ("use std::{io, os::fd::RawFd};", &["os::fd"]),
        ("let text = \"in /dev/shm\";", &["/dev/shm"]),
        ("/// A file in `/dev/shm`, of libc's.\nlet kind = \"glibc\"; // std::os", &[]),
        ("use crate::os::file;", &[]),
    ] {
        assert_eq!(systems_in(text), found, "{text}");
    }
}

/// What a text of source names outside of comments that is one system's.
fn systems_in(text: &str) -> Vec<&'static str> {
    let code = without_comments(text);
    let is_word = |at: usize, len: usize| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        !code[..at].ends_with(is_part) && !code[at + len..].starts_with(is_part)
    };
    let names = ["libc", "std::os", "os::fd", "os::unix", "os::linux", "os::windows", "/dev/shm"];
    let mut found: Vec<_> =
        names.into_iter().filter(|name| code.match_indices(name).any(|(at, _)| is_word(at, name.len()))).collect();
    if found.contains(&"std::os") {
        found.retain(|name| !name.starts_with("os::"));
    }
    found
}

fn without_comments(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn floor(module: &Module) -> usize {
    let room = module.first().map_or("", String::as_str);
    FLOORS
        .iter()
        .position(|(_, rooms)| rooms.contains(&room))
        .unwrap_or_else(|| panic!("on which floor is {room}? Say so in tests/floors.rs"))
}

/// The shortest way from the file to itself.
fn circle(file: &Module, arrows: &BTreeSet<(Module, Module)>) -> Option<String> {
    let mut ways = VecDeque::from([vec![file]]);
    let mut met = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for (_, to) in arrows.iter().filter(|(from, _)| Some(&from) == way.last()) {
            if to == file {
                let first = way.iter().enumerate().min_by_key(|(_, module)| **module).map_or(0, |(at, _)| at);
                let names: Vec<_> =
                    way.iter().cycle().skip(first).take(way.len() + 1).map(|module| show(module)).collect();
                return Some(names.join(" → "));
            }
            if met.insert(to) {
                ways.push_back(way.iter().copied().chain([to]).collect());
            }
        }
    }
    None
}

fn show(module: &Module) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("/") }
}

/// Who imports from whom.
fn arrows(files: &BTreeMap<Module, File>) -> BTreeSet<(Module, Module)> {
    let mentions = files.iter().flat_map(|(from, file)| file.mentions.iter().map(move |path| (from, path)));
    mentions.map(|(from, path)| (from.clone(), home(files, path))).filter(|(from, to)| from != to).collect()
}

/// The module in which that stands to which a path leads.
fn home(files: &BTreeMap<Module, File>, path: &Module) -> Module {
    let mut module = Module::new();
    for name in path {
        let Some(file) = files.get(&module) else { break }; // one of another system's, by another name
        let Some(child) = file.children.get(name).or_else(|| file.lent.get(name)) else { break };
        module.push(child.clone());
    }
    module
}

/// Of the systems, one; and no unit tests that have a file of their own.
fn read_source(system: &[&str]) -> BTreeMap<Module, File> {
    let mut files = BTreeMap::<Module, File>::new();
    let (os, mut rest) = (source().join("os"), Vec::new());
    read_folder(&source(), &mut Module::new(), &mut |text, module| {
        if module.first().is_none_or(|room| room != "os") {
            read_file(text, module, files.entry(module.clone()).or_default());
        }
    });
    files.retain(|module, _| !is_of_tests(module));
    for folder in system.iter().map(|folder| os.join(folder)) {
        let mut has = Vec::new();
        read_folder(&folder, &mut vec!["os".to_owned()], &mut |text, module| {
            if !rest.contains(module) && !is_of_tests(module) {
                read_file(text, module, files.entry(module.clone()).or_default());
                has.push(module.clone());
            }
        });
        rest.extend(has);
    }
    files
}

fn is_of_tests(module: &Module) -> bool {
    module.last().is_some_and(|name| name == "tests")
}

fn read_folder(folder: &Path, module: &mut Module, read: &mut impl FnMut(&str, &Module)) {
    for entry in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
        let name = entry.file_stem().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        let is_own = matches!(name.as_str(), "lib" | "mod") || entry.is_dir() && folder.ends_with("src/os");
        if !is_own {
            module.push(name);
        }
        if entry.is_dir() {
            read_folder(&entry, module, read);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            read(&fs::read_to_string(&entry).expect("UTF-8"), module);
        }
        if !is_own {
            module.pop();
        }
    }
}

fn read_file(text: &str, module: &Module, file: &mut File) {
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = without_comments(code);
    for line in code.lines() {
        if let Some((_, child)) = line.strip_suffix(';').and_then(|line| line.split_once("mod ")) {
            file.children.insert(child.to_owned());
        }
    }

    let (mut rest, mut lines) = (String::new(), code.lines());
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (is_lent, tree) = match words.as_slice() {
            ["use", tree @ ..] => (false, tree),
            [visibility, "use", tree @ ..] if visibility.starts_with("pub") => (true, tree),
            _ => {
                rest = rest + line + "\n";
                continue;
            }
        };
        let mut tree = tree.concat();
        while !tree.ends_with(';') {
            tree += lines.next().expect("the end of a `use`").trim();
        }
        for path in leaves(tree.trim_end_matches(';')) {
            match path.as_slice() {
                [child, name] if is_lent && file.children.contains(child) => {
                    file.lent.insert(name.clone(), child.clone());
                }
                _ => file.mentions.extend(from_root(path, module, &file.children)),
            }
        }
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c| !is_part(c)).filter(|word| word.contains("::")) {
        let path = word.split("::").map(str::to_owned).collect();
        file.mentions.extend(from_root(path, module, &file.children));
    }
}

/// The paths of a `use`: `a::{b, c::{d, e}}` are `a::b`, `a::c::d` and `a::c::e`.
fn leaves(tree: &str) -> Vec<Module> {
    let Some((prefix, inner)) = tree.split_once('{') else {
        return vec![tree.split("::").map(str::to_owned).filter(|name| name != "self").collect()];
    };
    let inner = inner.strip_suffix('}').unwrap_or_else(|| panic!("no use: {tree}"));
    let mut depth = 0;
    let parts = inner.split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let prefix: Module = prefix.split("::").map(str::to_owned).filter(|name| !name.is_empty()).collect();
    let parts = parts.filter(|part| !part.is_empty()).flat_map(leaves);
    parts.map(|part| prefix.iter().cloned().chain(part).collect()).collect()
}

/// The same path, from the root; `None` for what is not in this crate.
fn from_root(path: Module, module: &Module, children: &BTreeSet<String>) -> Option<Module> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => Some(module[..module.len() - ups].iter().chain(&path[ups..]).cloned().collect()),
        first if children.contains(first) => Some(module.iter().cloned().chain(path).collect()),
        _ => None,
    }
}

/// What the documentation calls a path of this repository: the first word of what stands between backticks.
fn paths_in(text: &str, is_source: bool) -> Vec<&str> {
    const TOPS: [&str; 6] = ["src/", "tests/", "examples/", "benches/", "crates/", ".ci/"];
    let mut is_code = false;
    let lines = text.lines().map(str::trim_start).filter(|line| !is_source || line.starts_with("//"));
    let prose = lines.filter(move |line| {
        let is_fence = line.trim_start_matches(['/', '!', ' ']).starts_with("```");
        is_code ^= is_fence;
        !is_fence && !is_code
    });
    let quoted = prose.flat_map(|line| line.split('`').skip(1).step_by(2));
    let paths = quoted.filter_map(|text| text.split_whitespace().next()).map(|word| word.trim_end_matches([';', ',']));
    // `src/<kind>.rs` stands for others.
    paths.filter(|path| TOPS.iter().any(|top| path.starts_with(top)) && !path.contains('<')).collect()
}

/// A path, or `src/*.rs` if there is any.
fn is_there(root: &Path, path: &str) -> bool {
    let (Some((before, end)), Some((folder, _))) = (path.split_once('*'), path.rsplit_once('/')) else {
        return root.join(path).exists();
    };
    let start = before.rsplit('/').next().unwrap_or_default();
    let names = fs::read_dir(root.join(folder)).into_iter().flatten().map(|entry| entry.expect("readable").file_name());
    names.filter_map(|name| name.into_string().ok()).any(|name| name.starts_with(start) && name.ends_with(end))
}

#[test]
fn paths_are_found_in_prose_and_comments() {
    let text = "see `src/a.rs`, and `Lib/b.py`\n```sh\n`tests/c`\n```\n  `tests/d --all; e` f `src/<kind>.rs`\n";
    assert_eq!(paths_in(text, false), ["src/a.rs", "tests/d"]);
    let source = "//! `src/a.rs`\nlet a = \"`src/b.rs`\";\n    // as `.ci/run`\n";
    assert_eq!(paths_in(source, true), ["src/a.rs", ".ci/run"]);
}

#[test]
fn each_path_that_the_documentation_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<PathBuf> = ["README.md", "CHANGELOG.md", "tests/README.md", "tests/platforms/README.md"]
        .map(|file| root.join(file))
        .to_vec();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if path.is_dir() { &mut folders } else { &mut files }.push(path);
        }
    }
    let (mut count, mut missing) = (0, BTreeSet::new());
    for file in files {
        let text = fs::read_to_string(&file).expect("UTF-8");
        for path in paths_in(&text, file.extension().is_some_and(|extension| extension == "rs")) {
            count += 1;
            if !is_there(root, path) {
                missing.insert(format!("{path}, in {}", file.strip_prefix(root).expect("in it").display()));
            }
        }
    }
    assert!(count > 100, "only {count} paths were found");
    assert!(missing.is_empty(), "not there: {missing:#?}");
}
