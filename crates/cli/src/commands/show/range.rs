//! `--range`: some of the elements of an array.

use std::str::FromStr;

/// From one element to another, which is not in it; as `10..20`, `10..` or `..20`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    from: usize,
    to: Option<usize>,
}

impl Range {
    pub(crate) const ALL: Self = Self { from: 0, to: None };

    /// Within so many.
    pub(crate) fn within(self, len: usize) -> std::ops::Range<usize> {
        let to = self.to.unwrap_or(len).min(len);
        self.from.min(to)..to
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |number: &str| number.parse().map_err(|_| format!("{number:?} is not the number of an element"));
        let (from, to) = text.split_once("..").ok_or("a range is written 10..20, 10.. or ..20")?;
        let from = if from.is_empty() { 0 } else { parse(from)? };
        let to = if to.is_empty() { None } else { Some(parse(to)?) };
        if to.is_some_and(|to| to < from) {
            return Err("it ends before it begins".to_owned());
        }
        Ok(Self { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_in_rust() {
        let within = |text: &str| text.parse::<Range>().map(|range| range.within(100));
        assert_eq!(within("10..20"), Ok(10..20));
        assert_eq!(
            [within("10.."), within("..20"), within(".."), within("90..120")],
            [10..100, 0..20, 0..100, 90..100].map(Ok)
        );
        assert_eq!(within("120..130"), Ok(100..100));
        for wrong in ["", "10", "a..b", "-1..2", "20..10", "1..=2"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong:?}");
        }
    }
}
