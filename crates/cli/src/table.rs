//! Tables for people: columns padded by what a terminal shows of them.

use std::io;

use clap::builder::styling::Style;

use crate::output::Out;

/// A text that is escaped already, and how it is shown where there are colours.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Cut to so many columns.
    pub(crate) fn cut(mut self, most: usize) -> Self {
        if width(&self.text) > most {
            let mut left = most - 1;
            let fits = |char: &char| {
                let is_room = left >= width_of(*char);
                left = left.saturating_sub(width_of(*char));
                is_room
            };
            self.text = self.text.chars().take_while(fits).chain(['…']).collect();
        }
        self
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text.to_string(), Style::new())
    }
}

/// Prints the rows under their titles; a column whose title begins with `>` is flush right. The last one is not padded.
pub(crate) fn print<const N: usize>(out: &mut Out, titles: [&str; N], rows: &[[Cell; N]]) -> io::Result<()> {
    let names = titles.map(|title| title.trim_start_matches('>'));
    let widths: [usize; N] = std::array::from_fn(|column| {
        let widest = rows.iter().map(|row| width(&row[column].text)).max();
        widest.unwrap_or(0).max(width(names[column]))
    });
    let head = names.map(Cell::from);
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (column, Cell { text, style }) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column] - width(text));
            let shown = if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") };
            match (titles[column].starts_with('>'), column + 1 == N) {
                (true, _) => line.extend([&*padding, &*shown]),
                (false, true) => line.push_str(&shown),
                (false, false) => line.extend([&*shown, &*padding]),
            }
            line.push_str(if column + 1 == N { "" } else { "  " });
        }
        out.line(line.trim_end())?;
    }
    Ok(())
}

fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// How many columns a character has. What has none, and what moves the cursor, was escaped.
fn width_of(char: char) -> usize {
    let is_wide = matches!(u32::from(char),
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd);
    1 + usize::from(is_wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_counted_as_a_terminal_does() {
        assert_eq!([width("abc"), width("größe"), width("日本"), width("한"), width("")], [3, 5, 4, 2, 0]);
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let cut = |text: &str| Cell::from(text).cut(4).text;
        assert_eq!([cut("abcd"), cut("abcde"), cut("日本語"), cut("a日本")], ["abcd", "abc…", "日…", "a日…"]);
    }
}
