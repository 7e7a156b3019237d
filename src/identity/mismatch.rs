//! Is what a segment holds what a program expects? If not, both sides in words.

use super::{Identity, TypeName};
use crate::kind::Open;
use crate::layout::CACHE_LINE;

impl Identity {
    /// `None`: that is what was expected. Else what was, and what was found.
    ///
    /// * Kind, element size and length are equal; so is the tag, if either side has one. Who takes whatever the type is, takes
    ///   whatever its tag is, too, unless he states one.
    /// * If both sides say of what the element is made, that agrees. It stands in the place of the type's name then.
    /// * The alignment is equal; but what agrees need only be placed as this program needs it.
    pub(crate) fn mismatch(&self, found: &Self) -> Option<(String, String)> {
        let is_as_large = self.shape.admits(&found.shape);
        if is_as_large && self.shape.open == Open::Type && !self.type_name.is_tag {
            return None;
        }
        let tags_agree = self.type_name == found.type_name || !self.type_name.is_tag && !found.type_name.is_tag;
        let (is_same_type, difference) = match (self.schema(), found.schema()) {
            (Some(expected), Some(schema)) => {
                let difference = expected.difference(schema);
                let is_aligned = self.shape.elem_align <= found.shape.elem_align.max(CACHE_LINE as u64);
                (difference.is_none() && is_aligned, difference)
            }
            _ if self.shape.open == Open::Type => (true, None),
            _ => (self.type_name == found.type_name && self.shape.elem_align == found.shape.elem_align, None),
        };
        if is_as_large && tags_agree && is_same_type {
            return None;
        }
        let (mut left, mut right) = (self.to_string(), found.to_string());
        if let Some(difference) = difference {
            let (expected, found) = difference.sides();
            left = format!("{left} with {expected}");
            right = format!("{right} with {found}");
        }
        // Where only one side has a tag, both say so.
        let of_one =
            |one: &TypeName, other: &TypeName| if !one.is_tag && other.is_tag { " without a type_tag" } else { "" };
        left += of_one(&self.type_name, &found.type_name);
        right += of_one(&found.type_name, &self.type_name);
        Some((left, right))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Description;
    use super::*;
    use crate::kind::{Kind, Open, Shape};
    use crate::schema::Schema;

    fn value(type_name: &str, elem_align: u64, schema: Option<&str>) -> Identity {
        let schema = schema.map(|text| Schema::parse(text).unwrap());
        let elem_size = schema.as_ref().map_or(16, |schema| schema.size() as u64);
        Identity {
            shape: Shape { kind: Kind::Value, elem_size, elem_align, len: Some(1), open: Open::Nothing },
            type_name: TypeName { text: type_name.to_owned(), is_tag: false },
            description: schema.map(|schema| Description { text: schema.to_string(), schema: Some(schema) }.into()),
        }
    }

    fn tagged(identity: Identity, tag: &str) -> Identity {
        Identity { type_name: TypeName::tag(tag), ..identity }
    }

    #[test]
    fn a_mismatch_of_tags_shows_both_whatever_has_them() {
        for kind in [Kind::Value, Kind::Array, Kind::Lock] {
            let shape = Shape { kind, elem_size: 0, elem_align: 1, len: Some(0), open: Open::Nothing };
            let [one, other] =
                ["one", "other"].map(|tag| Identity { shape, type_name: TypeName::tag(tag), description: None });
            let (expected, found) = one.mismatch(&other).unwrap();
            assert!(expected.ends_with("type_tag \"one\"") && found.ends_with("type_tag \"other\""), "{found}");
            let untagged = Identity { shape, type_name: TypeName::of::<u8>(), description: None };
            let (expected, found) = one.mismatch(&untagged).unwrap();
            assert!(expected.ends_with("type_tag \"one\"") && found.ends_with("without a type_tag"), "{found}");
            let (expected, found) = untagged.mismatch(&one).unwrap();
            assert!(expected.ends_with("without a type_tag") && found.ends_with("type_tag \"one\""), "{found}");
        }
    }

    #[test]
    fn what_both_describe_is_compared_in_the_place_of_the_name() {
        let point = value("Point", 8, Some("Point{x:f64,y:f64}"));
        assert_eq!(point.mismatch(&value("anything", 8, Some("{x:f64,y:f64}"))), None);
        let (expected, found) = point.mismatch(&value("Point", 8, Some("Point{x:f64,y:u64}"))).unwrap();
        assert_eq!(expected, "SharedValue<Point> (16 bytes, alignment 8) with `y`: f64");
        assert_eq!(found, "SharedValue<Point> (16 bytes, alignment 8) with `y`: u64");
        // Who does not say it, is told by the name.
        assert_eq!(point.mismatch(&value("Point", 8, None)), None);
        assert_eq!(value("Point", 8, None).mismatch(&point), None);
        assert!(point.mismatch(&value("Complex", 8, None)).is_some());
        // A text that this version does not understand counts as none.
        let of_a_later_version = Arc::new(Description { text: "Point{x:f256}".to_owned(), schema: None });
        let later = |name| Identity { description: Some(of_a_later_version.clone()), ..value(name, 8, None) };
        assert_eq!(point.mismatch(&later("Point")), None);
        assert!(point.mismatch(&later("Complex")).is_some());
    }

    #[test]
    fn a_tag_is_compared_besides() {
        let point = value("Point", 8, Some("Point{x:f64,y:f64}"));
        let other = value("Point", 8, Some("Point{x:f64,z:f64}"));
        assert_eq!(tagged(point.clone(), "1").mismatch(&tagged(point.clone(), "1")), None);
        assert!(tagged(point.clone(), "1").mismatch(&tagged(point.clone(), "2")).is_some());
        assert!(tagged(point.clone(), "1").mismatch(&point).is_some());
        assert!(point.mismatch(&tagged(point.clone(), "1")).is_some());
        let (expected, found) = tagged(point.clone(), "1").mismatch(&tagged(other, "1")).unwrap();
        assert!(expected.ends_with("type_tag \"1\" with field `y`") && found.ends_with("with field `z`"), "{expected}");
        assert_eq!(tagged(point.clone(), "1").mismatch(&tagged(value("", 8, None), "1")), None);
    }

    #[test]
    fn what_agrees_need_only_be_placed_as_it_must_be() {
        let text = Some("{a:[u64;16]}");
        let needs = |align| value("A", align, text);
        for (needed, there, is_enough) in
            [(1, 8, true), (8, 1, true), (64, 1, true), (128, 64, false), (128, 128, true)]
        {
            assert_eq!(needs(needed).mismatch(&needs(there)).is_none(), is_enough, "{needed} at {there}");
            let undescribed = Identity { description: None, ..needs(there) };
            assert_eq!(needs(needed).mismatch(&undescribed).is_none(), needed == there, "{needed} at {there}");
        }
        let (expected, found) = needs(128).mismatch(&needs(64)).unwrap();
        assert!(expected.ends_with("alignment 128)") && found.ends_with("alignment 64)"), "{expected}, {found}");
    }
}
