//! A schema from a text. The text may stand in a hostile file: it is bounded, and so is the depth.

use std::collections::HashSet;
use std::str::FromStr;

use super::{DEEPEST, LONGEST_TEXT, Primitive, Schema, Variant};

/// A text that is no [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no schema: at byte {at}, expected {expected}")]
#[non_exhaustive]
pub struct SchemaError {
    /// At which byte of the text, from 0.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl Schema {
    /// # Errors
    ///
    /// [`SchemaError`] says at which byte what was expected.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        if text.len() > LONGEST_TEXT {
            return Err(SchemaError { at: LONGEST_TEXT, expected: "at most 4,096 bytes" });
        }
        let mut parser = Parser { text, at: 0, depth: 0 };
        let schema = parser.a_type()?;
        parser.skip();
        if parser.at < text.len() { parser.expected("the end") } else { Ok(schema) }
    }
}

impl FromStr for Schema {
    type Err = SchemaError;

    fn from_str(text: &str) -> Result<Self, SchemaError> {
        Self::parse(text)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, SchemaError> {
        Err(SchemaError { at: self.at, expected })
    }

    fn skip(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_ascii_start().len();
    }

    fn eat(&mut self, sign: char) -> bool {
        self.skip();
        let found = self.rest().starts_with(sign);
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: char, expected: &'static str) -> Result<(), SchemaError> {
        if self.eat(sign) { Ok(()) } else { self.expected(expected) }
    }

    /// Letters, digits and underscores; there may be none.
    fn word(&mut self) -> &'a str {
        self.skip();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn name(&mut self, expected: &'static str) -> Result<&'a str, SchemaError> {
        self.skip();
        let before = self.at;
        let word = self.word();
        if word.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            self.at = before;
            return self.expected(expected);
        }
        Ok(word)
    }

    fn number<N: std::str::FromStr>(&mut self, expected: &'static str) -> Result<N, SchemaError> {
        self.skip();
        let before = self.at;
        self.eat('-');
        self.word();
        let digits = &self.text[before..self.at];
        digits.parse().map_err(|_| SchemaError { at: before, expected })
    }

    fn a_type(&mut self) -> Result<Schema, SchemaError> {
        if self.depth == DEEPEST {
            return self.expected("at most 16 types within each other");
        }
        self.depth += 1;
        let parsed = self.of_this_depth();
        self.depth -= 1;
        parsed
    }

    fn of_this_depth(&mut self) -> Result<Schema, SchemaError> {
        self.skip();
        let begin = self.at;
        if self.eat('[') {
            let element = self.a_type()?;
            self.sign(';', "`;`")?;
            let len = self.number("a length")?;
            self.sign(']', "`]`")?;
            return Schema::array(element, len).ok_or(SchemaError { at: begin, expected: "fewer bytes" });
        }
        let name = self.word();
        let behind_name = self.at;
        if !name.starts_with(|c: char| c.is_ascii_digit()) {
            if self.eat('{') {
                return self.structure(begin, name);
            }
            if self.eat('(') {
                return self.enumeration(name);
            }
        }
        // What is wrong is the name, and not what may stand behind it.
        self.at = behind_name;
        Primitive::named(name).map(Schema::primitive).ok_or(SchemaError { at: begin, expected: "a type" })
    }

    fn structure(&mut self, begin: usize, name: &str) -> Result<Schema, SchemaError> {
        let (mut fields, mut names) = (Vec::new(), HashSet::new());
        loop {
            let field = self.name("the name of a field")?;
            if !names.insert(field) {
                self.at -= field.len();
                return self.expected("a name that no other field has");
            }
            self.sign(':', "`:`")?;
            fields.push((field.to_owned(), self.a_type()?));
            if self.eat('}') {
                return Schema::structure(name.to_owned(), fields)
                    .ok_or(SchemaError { at: begin, expected: "fewer bytes" });
            }
            self.sign(',', "`,` or `}`")?;
        }
    }

    fn enumeration(&mut self, name: &str) -> Result<Schema, SchemaError> {
        self.skip();
        let before = self.at;
        let repr = Primitive::named(self.word()).filter(|repr| repr.is_integer());
        let Some(repr) = repr else {
            self.at = before;
            return self.expected("an integer type");
        };
        self.sign(')', "`)`")?;
        self.sign('{', "`{`")?;
        let (mut variants, mut names, mut numbers) = (Vec::new(), HashSet::new(), HashSet::new());
        loop {
            let variant = self.name("the name of a variant")?;
            if !names.insert(variant) {
                self.at -= variant.len();
                return self.expected("a name that no other variant has");
            }
            self.sign('=', "`=`")?;
            self.skip();
            let before = self.at;
            let number: i128 = self.number("an integer")?;
            self.at = if repr.holds(number) && numbers.insert(number) { self.at } else { before };
            if self.at == before {
                return self.expected("a number of that integer type which no other variant has");
            }
            variants.push(Variant { name: variant.to_owned(), number });
            if self.eat('}') {
                return Ok(Schema::enumeration(name.to_owned(), repr, variants));
            }
            self.sign(',', "`,` or `}`")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back_with_and_without_blanks() {
        for (loose, canonical) in [
            (" u8 ", "u8"),
            ("[ usize ; 04 ]", "[u64;4]"),
            ("[[u8; 4]; 2]", "[[u8;4];2]"),
            ("{a:u8}", "{a:u8}"),
            (" Point {\n\tx : f64 , y : [ f64 ; 0 ] }", "Point{x:f64,y:[f64;0]}"),
            ("Light ( u8 ) { Red = 0 , Amber = 255 }", "Light(u8){Red=0,Amber=255}"),
            ("(i8){Low=-128,Zero=-0}", "(i8){Low=-128,Zero=0}"),
            ("u8{u8:u8}", "u8{u8:u8}"),
        ] {
            let schema = Schema::parse(loose).unwrap();
            assert_eq!(schema.to_string(), canonical);
            assert_eq!(Schema::parse(canonical).unwrap(), schema);
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_where() {
        let deep = |n: usize| format!("{}u8{}", "[".repeat(n), ";1]".repeat(n));
        assert!(Schema::parse(&deep(15)).is_ok());
        for (text, at, expected) in [
            ("", 0, "a type"),
            ("u9", 0, "a type"),
            ("u8 u8", 3, "the end"),
            ("4{a:u8}", 0, "a type"),
            ("ü", 0, "a type"),
            ("[u8", 3, "`;`"),
            ("[u8;", 4, "a length"),
            ("[u8;-1]", 4, "a length"),
            ("[u8;+1]", 4, "a length"),
            ("[u8;4", 5, "`]`"),
            ("{}", 1, "the name of a field"),
            ("{4a:u8}", 1, "the name of a field"),
            ("{a}", 2, "`:`"),
            ("{a:}", 3, "a type"),
            ("{a:u8,}", 6, "the name of a field"),
            ("{a:u8,a:u8}", 6, "a name that no other field has"),
            ("{a:u8;b:u8}", 5, "`,` or `}`"),
            ("(f64){A=0}", 1, "an integer type"),
            ("(u8)", 4, "`{`"),
            ("(u8){}", 5, "the name of a variant"),
            ("(u8){A}", 6, "`=`"),
            ("(u8){A=}", 7, "an integer"),
            ("(u8){A=256}", 7, "a number of that integer type which no other variant has"),
            ("(u8){A=-1}", 7, "a number of that integer type which no other variant has"),
            ("(u8){A=1,B=1}", 11, "a number of that integer type which no other variant has"),
            ("(u8){A=1,A=2}", 9, "a name that no other variant has"),
            ("[[u64;9999999999];9999999999]", 0, "fewer bytes"),
            ("{a:[u8;9223372036854775807],b:u8}", 0, "fewer bytes"),
            (&deep(16), 16, "at most 16 types within each other"),
            (&"[".repeat(3000), 16, "at most 16 types within each other"),
            (&" ".repeat(4097), 4096, "at most 4,096 bytes"),
        ] {
            assert_eq!(Schema::parse(text), Err(SchemaError { at, expected }), "{text}");
        }
    }
}
