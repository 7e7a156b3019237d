//! Do two schemas describe the same bytes, and where do they not?

use super::{Node, Schema};

/// The first place at which two schemas differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// From the outermost type on: `at[].x`; empty where these differ themselves.
    path: String,
    expected: String,
    found: String,
}

impl Difference {
    /// What was expected, and what was found, as it goes on behind "with".
    pub(crate) fn sides(&self) -> (String, String) {
        let Self { path, expected, found } = self;
        let side = |what: &String| if path.is_empty() { what.clone() } else { format!("`{path}`: {what}") };
        (side(expected), side(found))
    }
}

impl Schema {
    /// Do both describe the same bytes? All names and types are equal, in the same order; but a struct or an enum without a
    /// name agrees with one of any name.
    ///
    /// ```
    /// # use robust_shm::dynamic::Schema;
    /// let schema = |text| Schema::parse(text).unwrap();
    /// assert!(schema("Point{x:f64,y:f64}").agrees(&schema("{x:f64,y:f64}")));
    /// assert!(!schema("{x:f64,y:f64}").agrees(&schema("{x:f64,z:f64}")));
    /// ```
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }

    /// The first difference between what is expected and what was found.
    pub(crate) fn difference(&self, found: &Self) -> Option<Difference> {
        let here = || Some(Difference { path: String::new(), expected: self.short(), found: found.short() });
        let names_agree = |a: &str, b: &str| a.is_empty() || b.is_empty() || a == b;
        match (&self.node, &found.node) {
            (Node::Primitive(a), Node::Primitive(b)) if a == b => None,
            (Node::Array(a, n), Node::Array(b, m)) if n == m => a.difference(b).map(|inner| inner.within("[]")),
            (Node::Struct(a, x), Node::Struct(b, y)) if names_agree(a, b) => {
                for (a, b) in x.iter().zip(y) {
                    if a.name != b.name {
                        let named = |name: &String| format!("field `{name}`");
                        return Some(Difference {
                            path: String::new(),
                            expected: named(&a.name),
                            found: named(&b.name),
                        });
                    }
                    if let Some(inner) = a.schema.difference(&b.schema) {
                        return Some(inner.within(&a.name));
                    }
                }
                let next = |fields: &[super::Field], at: usize| match fields.get(at) {
                    Some(field) => format!("field `{}`", field.name),
                    None => "the end of the struct".to_owned(),
                };
                let both = x.len().min(y.len());
                (x.len() != y.len()).then(|| Difference {
                    path: String::new(),
                    expected: next(x, both),
                    found: next(y, both),
                })
            }
            (Node::Enum(a, r, x), Node::Enum(b, s, y)) if names_agree(a, b) && r == s => {
                let value = |variants: &[super::Variant], at: usize| match variants.get(at) {
                    Some(variant) => format!("variant `{}` = {}", variant.name, variant.number),
                    None => "the end of the enum".to_owned(),
                };
                let at = (0..x.len().max(y.len())).find(|at| x.get(*at) != y.get(*at))?;
                Some(Difference { path: String::new(), expected: value(x, at), found: value(y, at) })
            }
            _ => here(),
        }
    }

    /// What it is, without its parts.
    fn short(&self) -> String {
        match &self.node {
            Node::Primitive(primitive) => primitive.name().to_owned(),
            Node::Array(_, len) => format!("an array of {len}"),
            Node::Struct(name, _) if name.is_empty() => "a struct".to_owned(),
            Node::Struct(name, _) => format!("struct `{name}`"),
            Node::Enum(name, repr, _) if name.is_empty() => format!("an enum of {}", repr.name()),
            Node::Enum(name, repr, _) => format!("enum `{name}` of {}", repr.name()),
        }
    }
}

impl Difference {
    fn within(mut self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{outer}{dot}{}", self.path);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        for (expected, found, said) in [
            ("u8", "i8", ["u8", "i8"]),
            ("P{x:f64,y:f64}", "Q{x:f64,y:f64}", ["struct `P`", "struct `Q`"]),
            ("{x:f64,y:f64}", "{x:f64,z:f64}", ["field `y`", "field `z`"]),
            ("{x:f64}", "{x:f64,z:f64}", ["the end of the struct", "field `z`"]),
            ("{x:f64,z:f64}", "{x:f64}", ["field `z`", "the end of the struct"]),
            ("{x:f64,y:[u8;8]}", "{x:f64,y:u64}", ["`y`: an array of 8", "`y`: u64"]),
            ("[{a:[{b:u8};2]};3]", "[{a:[{b:i8};2]};3]", ["`[].a[].b`: u8", "`[].a[].b`: i8"]),
            ("[[u8;2];3]", "[[i8;2];3]", ["`[][]`: u8", "`[][]`: i8"]),
            ("(u8){A=1}", "(i8){A=1}", ["an enum of u8", "an enum of i8"]),
            ("E(u8){A=1,B=2}", "(u8){A=1,B=3}", ["variant `B` = 2", "variant `B` = 3"]),
            ("{e:(u8){A=1}}", "{e:(u8){A=1,B=3}}", ["`e`: the end of the enum", "`e`: variant `B` = 3"]),
            ("{x:u8}", "[u8;1]", ["a struct", "an array of 1"]),
        ] {
            let (expected, found) = (Schema::parse(expected).unwrap(), Schema::parse(found).unwrap());
            let (left, right) = expected.difference(&found).unwrap().sides();
            assert_eq!([&*left, &*right], said);
            assert!(!expected.agrees(&found) && !found.agrees(&expected));
            assert!(expected.agrees(&expected));
        }
        let (named, unnamed) = (Schema::parse("E(u8){A=1}").unwrap(), Schema::parse("(u8){A=1}").unwrap());
        assert!(named.agrees(&unnamed) && unnamed.agrees(&named));
    }
}
