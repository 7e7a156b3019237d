//! `completions`: a script for a shell, which asks this program for the names of segments.

use clap::CommandFactory;
use clap_complete::Shell;
use robust_shm::segments;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::output::Out;

/// `GENERATED`: the function of the script in front of this.
const BASH: &str = r#"
_robust_shm_and_names() {
    GENERATED "$@"
    local word=${COMP_WORDS[COMP_CWORD]}
    if [[ $COMP_CWORD -ge 2 && $word != -* && ${COMP_WORDS[COMP_CWORD-1]} != --* ]]; then
        COMPREPLY+=($(compgen -W "$(robust-shm names 2>/dev/null)" -- "$word"))
    fi
}
complete -F _robust_shm_and_names -o bashdefault -o default robust-shm
"#;

const ZSH: &str = r#"
_robust_shm_names() {
    local names=(${(f)"$(robust-shm names 2>/dev/null)"})
    compadd -a names
}
"#;

const FISH: &str = r#"
complete -c robust-shm -n 'test (count (commandline -opc)) -ge 2' -f -a '(robust-shm names 2>/dev/null)'
"#;

pub(crate) fn run(shell: Shell, out: &mut Out) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "robust-shm", &mut script);
    let script = String::from_utf8_lossy(&script);
    let script = match shell {
        Shell::Bash => {
            // It splits the dash in this program's name in one of two places only (clap_complete 4.6.11).
            let script = script.replace("robust__subcmd__shm", "robust__shm");
            let function = script.split_once("()").map_or("", |(function, _)| function);
            format!("{script}{}", BASH.replace("GENERATED", function))
        }
        // The names stand where zsh would complete files. The function must be there before the script calls itself.
        Shell::Zsh => {
            let (head, rest) = script.split_once("\n\n").unwrap_or(("", &script));
            format!("{head}\n{ZSH}\n{}", with_names(rest))
        }
        Shell::Fish => format!("{script}{FISH}"),
        _ => script.into_owned(),
    };
    out.raw(script.as_bytes())?;
    Ok(0)
}

/// In a script for zsh: an argument that is a name is completed by `_robust_shm_names`.
fn with_names(script: &str) -> String {
    let lines = script.lines().map(|line| {
        let is_name = [":name -- ", "::pattern -- ", "*::names -- "].iter().any(|start| line.contains(start));
        if is_name { line.replace(":_default'", ":_robust_shm_names'") } else { line.to_owned() }
    });
    lines.map(|line| line + "\n").collect()
}

/// Those that a shell can complete without quotes.
pub(crate) fn names(out: &mut Out) -> Result<u8, Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    for info in segments().flatten() {
        if info.name().bytes().all(is_plain) && !info.name().starts_with('-') {
            out.line(info.name())?;
        }
    }
    Ok(0)
}
