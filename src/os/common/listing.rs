//! What stands in a directory of regular files, where the system tells it in one piece.

use std::fs;
use std::io;
use std::path::Path;

/// The names of all regular files in the directory that could be segments: none where there is no directory. Names that are
/// not Unicode are no names of ours.
pub(super) fn names_in(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        entries => Some(entries?),
    };
    Ok(entries.into_iter().flatten().filter_map(|entry| match entry {
        Ok(entry) => {
            let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
            entry.file_name().into_string().ok().filter(|_| regular).map(Ok)
        }
        Err(error) => Some(Err(error)),
    }))
}

/// How many names are a few.
const FEW: usize = 64;

/// A few of these names: all of them where there are no more, else those behind `position`, which moves on, and at the end
/// back to the start. `None` stands for a place at random, so that of many programs that look once each, everything is
/// looked at by some.
pub(super) fn some_of(all: &[String], position: &mut Option<i64>) -> Vec<String> {
    let start = match *position {
        Some(position) => usize::try_from(position).unwrap_or(0),
        None => super::random_place() as usize % all.len().max(1),
    };
    let start = if all.len() <= FEW || start >= all.len() { 0 } else { start };
    let end = (start + FEW).min(all.len());
    *position = Some(if end == all.len() { 0 } else { end as i64 });
    all[start..end].to_vec()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_few_at_a_time_are_all_of_them() {
        for count in [0, 1, FEW, FEW + 1, 1_000] {
            let all: Vec<String> = (0..count).map(|which| which.to_string()).collect();
            let (mut found, mut position) = (BTreeSet::new(), Some(0));
            loop {
                let some = some_of(&all, &mut position);
                assert!(some.len() <= FEW);
                found.extend(some);
                if position == Some(0) {
                    break;
                }
            }
            assert_eq!(found.len(), count);
        }
    }

    #[test]
    fn who_begins_nowhere_begins_anywhere() {
        let all: Vec<String> = (0..1_000).map(|which| which.to_string()).collect();
        let starts: BTreeSet<_> = (0..50).map(|_| some_of(&all, &mut None)[0].clone()).collect();
        assert!(starts.len() > 5, "not at random: {starts:?}");
    }
}
