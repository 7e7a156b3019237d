//! Programs in C11 and C++17, compiled with warnings as errors against the installed library: shared, static, under the
//! address sanitizer, with another C library, and loaded and unloaded. What this machine has no compiler for is skipped, with
//! a sentence.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The library, installed as its users do it.
static PREFIX: LazyLock<PathBuf> = LazyLock::new(|| install(None));

fn install(target: Option<&str>) -> PathBuf {
    let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join(target.unwrap_or("installed"));
    let mut script = Command::new("timeout");
    script.arg("1200").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh"));
    // A target directory of its own: cargo may be building in the usual one.
    script.arg(&prefix).env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("build"));
    script.env_remove("RUSTFLAGS").envs(target.map(|target| ("ROBUST_SHM_TARGET", target)));
    succeeds(&mut script);
    prefix
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

fn there_is(compiler: &str) -> bool {
    let is_there = Command::new(compiler).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        eprintln!("SKIPPED, needs {compiler}: not on this machine");
    }
    is_there
}

/// What `pkg-config` says, or what it would say.
fn flags(prefix: &Path, is_static: bool) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.args(["--cflags", "--libs", "robust_shm"]).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    if is_static {
        command.arg("--static");
    }
    let said = command.output().ok().filter(|output| output.status.success());
    let said = said.map(|output| String::from_utf8(output.stdout).unwrap()).unwrap_or_else(|| {
        let prefix = prefix.display();
        let more = if is_static { "-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc" } else { "" };
        format!("-I{prefix}/include -L{prefix}/lib -lrobust_shm {more}")
    });
    said.split_whitespace().map(str::to_owned).collect()
}

/// Compiles and runs a program. Its names are gone when it ends.
fn runs(title: &str, compiler: &str, source: &str, before: &[&str], behind: &[String]) -> String {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = directory.join(title);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let mut compile = Command::new(compiler);
    compile.args(["-Wall", "-Wextra", "-Werror", "-O1"]).args(before).arg(&source).arg("-o").arg(&program).args(behind);
    succeeds(&mut compile);
    let prefix =
        format!("{}capi-{}-{title}-", std::env::var("ROBUST_SHM_TEST_PREFIX").unwrap_or_default(), std::process::id());
    let mut run = Command::new("timeout");
    run.arg("150").arg(&program);
    if source.ends_with("unload.c") {
        run.arg(PREFIX.join("lib/librobust_shm.so.0"));
    }
    run.arg(&prefix).env("LD_LIBRARY_PATH", PREFIX.join("lib")).env("ASAN_OPTIONS", "detect_leaks=1");
    let output = succeeds(&mut run);
    let left = robust_shm::segments().filter_map(Result::ok).find(|info| info.name().starts_with(&prefix));
    assert!(left.is_none(), "{left:?}");
    String::from_utf8(output.stdout).unwrap()
}

const C11: [&str; 2] = ["-std=c11", "-D_GNU_SOURCE"];

#[test]
fn c_with_the_shared_library() {
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| there_is(compiler)) {
        runs(&format!("shared-{compiler}"), compiler, "tests/programs/family.c", &C11, &flags(&PREFIX, false));
    }
}

#[test]
fn c_with_the_static_library() {
    if there_is("gcc") {
        let archive = PREFIX.join("lib/librobust_shm.a").display().to_string();
        let mut flags = flags(&PREFIX, true);
        flags.retain(|flag| flag != "-lrobust_shm");
        flags.insert(0, archive);
        runs("static", "gcc", "tests/programs/family.c", &C11, &flags);
    }
}

#[test]
fn the_examples_print_what_rusts_do() {
    if there_is("gcc") {
        let example = |name: &str| {
            runs(&format!("example-{name}"), "gcc", &format!("examples/{name}.c"), &C11, &flags(&PREFIX, false))
        };
        assert_eq!(example("squares"), "[25, 36, 49, 64]\n174\n");
        is_rusts_bank(&example("bank"));
    }
    if there_is("g++") {
        is_rusts_bank(&runs("example-bank-cpp", "g++", "examples/bank.cpp", &["-std=c++17"], &flags(&PREFIX, false)));
    }
}

fn is_rusts_bank(said: &str) {
    assert_eq!(said.matches("without lock: ").count(), 3);
    assert_eq!(said.lines().filter(|line| *line == "with lock: 200").count(), 3, "{said}");
}

#[test]
fn c_plus_plus() {
    for compiler in ["g++", "clang++"].into_iter().filter(|compiler| there_is(compiler)) {
        runs(
            &format!("raii-{compiler}"),
            compiler,
            "tests/programs/raii.cpp",
            &["-std=c++17", "-pthread"],
            &flags(&PREFIX, false),
        );
    }
}

#[test]
fn under_the_address_sanitizer() {
    let probe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
    let mut can = Command::new("sh");
    can.arg("-c").arg(format!(
        "echo 'int main(void){{return 0;}}' | gcc -fsanitize=address -x c - -o {0} && {0}",
        probe.display()
    ));
    if !can.output().is_ok_and(|output| output.status.success()) {
        return eprintln!("SKIPPED, needs gcc with the address sanitizer");
    }
    let sanitized = [&C11[..], &["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]].concat();
    runs("sanitized", "gcc", "tests/programs/family.c", &sanitized, &flags(&PREFIX, false));
}

#[test]
fn with_another_c_library() {
    if !there_is("musl-gcc") {
        return;
    }
    let targets = Command::new("rustup").args(["target", "list", "--installed"]).output();
    if !targets.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("x86_64-unknown-linux-musl")) {
        return eprintln!("SKIPPED, needs Rust's standard library for musl");
    }
    let prefix = install(Some("x86_64-unknown-linux-musl"));
    let archives = ["librobust_shm.a", "librobust_shm_unwind.a"];
    let archives = archives.map(|archive| prefix.join("lib").join(archive).display().to_string());
    let include = format!("-I{}", prefix.join("include").display());
    runs("musl", "musl-gcc", "tests/programs/family.c", &[&C11[..], &["-static", &include]].concat(), &archives);
}

#[test]
fn loaded_and_unloaded() {
    if there_is("gcc") {
        runs("unload", "gcc", "tests/programs/unload.c", &[&C11[..], &["-pthread"]].concat(), &["-ldl".to_owned()]);
    }
}
