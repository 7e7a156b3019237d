//! Names that files cannot have on Windows, or that stand for something else there.
//!
//! A name that differs from another one in its case only is not among these: it is refused where there is such a file.

/// Characters that the system keeps for itself: '<', '>' and '"' are wildcards, too, and ':' leads into a file.
const RESERVED: &[char] = &['<', '>', ':', '"', '\\', '|', '?', '*'];

/// Devices, whatever extension there is behind.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
/// With a digit behind, which may be a superscript.
const NUMBERED_DEVICES: &[&str] = &["COM", "LPT"];

/// Why not; `None` when a file may have this name.
pub(super) fn why(name: &str) -> Option<&'static str> {
    match name {
        _ if name.contains(RESERVED) => {
            Some("it contains one of < > : \" \\ | ? *, which Windows allows in no file name")
        }
        _ if name.contains(|c: char| c < ' ') => {
            Some("it contains a control character, which Windows allows in no file name")
        }
        _ if name.ends_with(['.', ' ']) => {
            Some("it ends with a dot or a space, which Windows cuts off from file names")
        }
        _ if is_device(name) => Some("Windows takes it for a device, as NUL or COM1, with whatever behind the dot"),
        _ => None,
    }
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_uppercase();
    let is_numbered = |device: &&str| {
        stem.strip_prefix(*device).is_some_and(|rest| matches!(rest, "¹" | "²" | "³") || is_digit(rest))
    };
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(is_numbered)
}

fn is_digit(text: &str) -> bool {
    text.len() == 1 && text.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::why;

    #[test]
    fn what_windows_cannot_have_is_refused_with_the_reason() {
        for (name, reason) in [
            ("acme:balance", "< > :"),
            ("a\\b", "< > :"),
            ("a*", "< > :"),
            ("a\tb", "control"),
            ("a.", "cuts off"),
            ("a ", "cuts off"),
            ("nul", "device"),
            ("Con.txt", "device"),
            ("COM1", "device"),
            ("lpt9.a.b", "device"),
            ("com²", "device"),
            ("AUX .x", "device"),
            ("conout$", "device"),
        ] {
            assert!(why(name).is_some_and(|why| why.contains(reason)), "{name:?}: {:?}", why(name));
        }
    }

    #[test]
    fn all_others_are_let_be() {
        for name in
            ["acme-balance", "größe ☃", " a", ".a", "a.b", "console", "com", "com10", "comx", "nul-1", "x~1", "%41"]
        {
            assert_eq!(why(name), None, "{name:?}");
        }
    }
}
