//! Patterns of names: `*` for any text, `?` for one character.

/// Does all of the name fit?
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // The last star, and where its text ends if it takes as little as it can.
    let mut star = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(char) if *char == '?' || *char == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((star_at, ends)) = star else { return false };
                star = Some((star_at, ends + 1));
                (at, in_name) = (star_at + 1, ends + 1);
            }
        }
    }
    pattern[at..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a*", "acme-lock", true),
            ("*lock", "acme-lock", true),
            ("*o*k", "acme-lock", true),
            ("a?me*", "acme", true),
            ("?", "ö", true),
            ("acme", "acme-lock", false),
            ("*x*", "acme", false),
            ("?", "", false),
            ("", "a", false),
            ("**a**", "bab", true),
            ("[a]", "[a]", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern:?} {name:?}");
        }
    }
}
