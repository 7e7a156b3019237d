//! What the text at the end of a segment says: a second reader of it, which knows nothing of the first.

/// A text that is understood.
pub(crate) struct Said {
    pub(crate) size: u128,
    /// Has it a `bool`, a `char` or an enum in it?
    has_strange_bits: bool,
    /// All words and signs, as they are written without blanks.
    pub(crate) words: String,
}

/// Can elements of this size have it, in place or not?
pub(crate) fn is_possible(text: &[u8], elem_size: u64, in_place: bool) -> bool {
    text.is_ascii()
        && parse(text).is_none_or(|said| said.size == u128::from(elem_size) && !(in_place && said.has_strange_bits))
}

/// `None`: there is none, or one that says nothing to programs of this version.
pub(crate) fn parse(text: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= 4096)?;
    let mut words: Vec<&str> = Vec::new();
    let mut rest = text.trim_ascii();
    while let Some(first) = rest.chars().next() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = if is_part(first) { rest.find(|c| !is_part(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        words.push(&rest[..end]);
        rest = rest[end..].trim_ascii_start();
    }
    let mut reader = Reader { words, at: 0, written: String::new(), has_strange_bits: false };
    let size = reader.a_type(1)?;
    (reader.at == reader.words.len()).then_some(Said {
        size,
        has_strange_bits: reader.has_strange_bits,
        words: reader.written,
    })
}

struct Reader<'a> {
    words: Vec<&'a str>,
    at: usize,
    written: String,
    has_strange_bits: bool,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn sign(&mut self, sign: &str) -> Option<()> {
        (self.next()? == sign).then(|| self.written += sign)
    }

    fn is_next(&self, sign: &str) -> bool {
        self.words.get(self.at) == Some(&sign)
    }

    fn number(&mut self) -> Option<u128> {
        let word = self.next()?;
        let number: u128 = word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        self.written += &number.to_string();
        Some(number)
    }

    fn name(&mut self) -> Option<&'a str> {
        let word = self.next()?;
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        is_name.then(|| self.written += word).map(|()| word)
    }

    /// Its size.
    fn a_type(&mut self, depth: usize) -> Option<u128> {
        if depth > 16 {
            return None;
        }
        if self.is_next("[") {
            self.sign("[")?;
            let before = self.has_strange_bits;
            let element = self.a_type(depth + 1)?;
            self.sign(";")?;
            let count = self.number()?;
            if count == 0 {
                self.has_strange_bits = before;
            }
            self.sign("]")?;
            return element.checked_mul(count).filter(|size| *size <= i64::MAX as u128);
        }
        let name = if self.is_next("{") || self.is_next("(") { "" } else { self.name()? };
        if self.is_next("{") {
            return self.a_struct(depth);
        }
        if self.is_next("(") {
            return self.an_enum();
        }
        if let "usize" | "isize" = name {
            self.written.truncate(self.written.len() - "size".len());
            self.written += "64";
        }
        self.has_strange_bits |= matches!(name, "bool" | "char");
        size_of(name)
    }

    fn a_struct(&mut self, depth: usize) -> Option<u128> {
        let (mut names, mut size) = (Vec::new(), 0u128);
        self.sign("{")?;
        loop {
            names.push(self.name()?);
            self.sign(":")?;
            size = size.checked_add(self.a_type(depth + 1)?).filter(|size| *size <= i64::MAX as u128)?;
            if self.is_next("}") {
                break;
            }
            self.sign(",")?;
        }
        self.sign("}")?;
        are_distinct(names).then_some(size)
    }

    fn an_enum(&mut self) -> Option<u128> {
        self.has_strange_bits = true;
        let (mut names, mut numbers) = (Vec::new(), Vec::new());
        self.sign("(")?;
        let repr = self.name()?;
        let size = size_of(repr).filter(|_| repr.starts_with(['u', 'i']))?;
        self.sign(")")?;
        self.sign("{")?;
        loop {
            names.push(self.name()?);
            self.sign("=")?;
            let is_negative = self.is_next("-");
            if is_negative {
                self.sign("-")?;
            }
            // The seeds have small numbers, of small types: what the edges are is for others to test.
            let number = i128::try_from(self.number()?).ok()?;
            numbers.push(if is_negative { -number } else { number });
            if self.is_next("}") {
                break;
            }
            self.sign(",")?;
        }
        self.sign("}")?;
        let bits = 8 * size as u32;
        let range = match repr.starts_with('i') {
            _ if bits >= 64 => i128::MIN..=i128::MAX,
            true => -(1i128 << (bits - 1))..=(1i128 << (bits - 1)) - 1,
            false => 0..=(1i128 << bits) - 1,
        };
        (numbers.iter().all(|number| range.contains(number)) && are_distinct(numbers) && are_distinct(names))
            .then_some(size)
    }
}

fn are_distinct<T: Ord>(mut all: Vec<T>) -> bool {
    let count = all.len();
    all.sort();
    all.dedup();
    all.len() == count
}

fn size_of(primitive: &str) -> Option<u128> {
    match primitive {
        "u8" | "i8" | "bool" => Some(1),
        "u16" | "i16" => Some(2),
        "u32" | "i32" | "f32" | "char" => Some(4),
        "u64" | "i64" | "f64" | "usize" | "isize" => Some(8),
        "u128" | "i128" => Some(16),
        _ => None,
    }
}
