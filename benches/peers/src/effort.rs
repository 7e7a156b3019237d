//! How much is measured.

/// From the command line.
#[derive(Clone, Copy, Default)]
pub struct Effort {
    /// A smoke test: nothing can be concluded from its figures.
    pub quick: bool,
    /// Only cases whose name contains this.
    pub only: Option<&'static str>,
    /// The file whose figures are replaced.
    pub readme: Option<&'static str>,
    rounds: Option<usize>,
    ms: Option<u64>,
}

impl Effort {
    /// `--quick`, `--only TEXT`, `--rounds N`, `--ms N`, `--readme FILE`; what is left over are the names of the parts.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<(Self, Vec<String>), String> {
        let (mut effort, mut rest) = (Self::default(), Vec::new());
        while let Some(argument) = arguments.next() {
            let mut next = || arguments.next().ok_or(format!("{argument} needs a value"));
            match &*argument {
                "--quick" => effort.quick = true,
                "--only" => effort.only = Some(next()?.leak()),
                "--readme" => effort.readme = Some(next()?.leak()),
                "--rounds" => effort.rounds = Some(number(&next()?)?),
                "--ms" => effort.ms = Some(number(&next()?)? as u64),
                _ if argument.starts_with("--") => return Err(format!("no such option: {argument}")),
                _ => rest.push(argument),
            }
        }
        Ok((effort, rest))
    }

    /// Rounds over all contenders.
    pub fn rounds(self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { usual })
    }

    /// Milliseconds for one contender in one round.
    pub fn ms(self, usual: u64) -> u64 {
        self.ms.unwrap_or(if self.quick { usual.div_ceil(10) } else { usual })
    }

    pub fn wants(self, case: &str) -> bool {
        self.only.is_none_or(|only| case.contains(only))
    }

    /// Whether the figures are those of a whole run as it is meant.
    pub fn usual(self) -> bool {
        !self.quick && self.only.is_none() && self.rounds.is_none() && self.ms.is_none()
    }

    /// All of `cases`, or the first `few` of them.
    pub fn cases<T>(self, cases: &[T], few: usize) -> &[T] {
        if self.quick { &cases[..few.min(cases.len())] } else { cases }
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
