//! Help, the manual page, and completions.

use crate::support::{Need, Scratch, skip};
use crate::tool::{Directory, PROGRAM, Running, run};

const COMMANDS: [&str; 13] =
    ["ls", "show", "info", "holders", "get", "set", "add", "create", "rm", "gc", "wait", "lock", "event"];

#[test]
fn the_manual_has_a_page_for_each_command() {
    let all = run(&["man"]);
    assert!(all.code == 0 && all.out.contains(".TH robust-shm 1"), "{}", all.out);
    assert!(all.out.contains("Exit codes: 0 done"), "{}", all.out);
    for command in COMMANDS {
        assert!(all.out.contains(&format!("robust\\-shm\\-{command}(1)")), "{command}: {}", all.out);
        let page = run(&["man", command]);
        assert!(page.code == 0 && page.out.contains(&format!(".TH robust-shm-{command} 1")), "{}", page.out);
        assert!(run(&["help", command]).out.contains("Usage: robust-shm"), "{command}");
    }
    assert!(run(&["man", "lock"]).out.contains("<NAME> \\-\\- <COMMAND>..."), "what is run stands behind two dashes");
}

#[test]
fn the_pages_are_set_without_a_warning() {
    if std::process::Command::new("groff").arg("--version").output().is_err() {
        return skip(Need::System, "groff");
    }
    let mut pages = vec![vec!["man"]];
    pages.extend(COMMANDS.map(|command| vec!["man", command]));
    for page in pages {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg("\"$0\" \"$@\" | groff -man -Tutf8 -ww -z").arg(PROGRAM).args(&page);
        let said = Running::start(shell).end();
        assert_eq!((said.code, &*said.err), (0, ""), "{page:?}");
    }
}

#[test]
fn there_is_a_script_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = run(&["completions", shell]);
        assert_eq!((said.code, &*said.err), (0, ""), "{shell}");
        assert!(said.out.contains("holders") && !said.out.contains("hidden"), "{shell}");
        let asks = ["bash", "zsh", "fish"].contains(&shell);
        assert_eq!(said.out.contains("robust-shm names"), asks, "{shell}: names of segments");
    }
    let zsh = run(&["completions", "zsh"]).out;
    assert!(zsh.starts_with("#compdef robust-shm\n") && zsh.matches(":_robust_shm_names'").count() >= 7, "{zsh}");
}

#[test]
fn bash_completes_commands_options_and_names() {
    if std::process::Command::new("bash").arg("--version").output().is_err() {
        return skip(Need::System, "bash");
    }
    let name = Scratch::new("to-be-completed");
    let _lock = robust_shm::SharedLock::create(&name).unwrap();
    let directory = Directory::new();
    std::fs::write(directory.path("script"), run(&["completions", "bash"]).out).unwrap();
    std::os::unix::fs::symlink(PROGRAM, directory.path("robust-shm")).unwrap();
    let complete = |words: &[&str]| {
        let script = "PATH=$1:$PATH; . \"$1/script\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($#-1)); \
                      f=$(complete -p robust-shm | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
                      $f robust-shm \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", script, "bash", &directory.word("")]).args(words);
        let said = Running::start(bash).end();
        assert_eq!(said.err, "", "{words:?}");
        said.out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["robust-shm", "hol"]), ["holders"]);
    assert!(complete(&["robust-shm", "ls", "--"]).contains(&"--all".to_owned()));
    let start = &name[..name.len() - 4];
    assert_eq!(complete(&["robust-shm", "info", start]), [&*name]);
    assert_eq!(complete(&["robust-shm", "ls", "--kind", "rw"]), ["rwlock"]);
}
