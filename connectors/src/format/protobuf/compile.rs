//! From the text of a file with types to their descriptors.
//!
//! Protox does what `protoc` does, on the prost that is here already; what a file imports comes from the registry, or belongs to Protocol
//! Buffers itself, or is well known.

use prost_types::FileDescriptorProto;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};

use super::descriptor::{Descriptors, within};
use super::known::WELL_KNOWN;

/// What messages of the compiler call a file of the registry, which has no name there.
const NAME: &str = "schema.proto";
/// The deepest nesting of types that is read.
const MOST_NESTED: usize = 64;

/// The types that a text declares, and all that it imports.
#[derive(Debug)]
pub(in crate::format) struct Compiled {
    pub(super) descriptors: Descriptors,
    file: FileDescriptorProto,
}

impl Compiled {
    /// The full name of the type that is reached by its place in the file, then by the places of types within types.
    pub(super) fn name_at(&self, places: &[usize]) -> Option<String> {
        let (first, inner) = places.split_first()?;
        let mut message = self.file.message_type.get(*first)?;
        let mut name = within(self.file.package(), message.name());
        for place in inner {
            message = message.nested_type.get(*place)?;
            name = within(&name, message.name());
        }
        Some(name)
    }
}

/// Files by the names under which they are imported.
struct Imports(Vec<(String, String)>);

impl FileResolver for Imports {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        let Some((place, (_, text))) = self.0.iter().enumerate().find(|(_, (known, _))| known == name) else {
            return match WELL_KNOWN.iter().find(|(known, _)| *known == name) {
                Some((_, text)) => File::from_source(name, text),
                None => Err(Error::file_not_found(name)),
            };
        };
        // A file that is imported under two names is one all the same: its types must not be there twice.
        match self.0.iter().take(place).find(|(_, same)| name != NAME && same == text) {
            Some((first, _)) => File::from_source(name, &format!("syntax = \"proto3\"; import public \"{first}\";")),
            None => File::from_source(name, text),
        }
    }
}

/// Compiles `text`, which may import the files `imports` by their names.
///
/// # Errors
/// Why it is no file of Protocol Buffers.
pub(in crate::format) fn compile(text: &str, mut imports: Vec<(String, String)>) -> Result<Compiled, String> {
    imports.push((NAME.to_owned(), text.to_owned()));
    if imports.iter().any(|(_, text)| nesting(text) > MOST_NESTED) {
        return Err(format!("it is nested more than {MOST_NESTED} deep"));
    }
    let mut files = ChainFileResolver::new();
    files.add(Imports(imports));
    files.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(files);
    compiler.include_imports(true).open_file(NAME).map_err(|error| weir_base::error::chain(&error))?;
    let set = compiler.file_descriptor_set();
    let file = set.file.iter().find(|file| file.name() == NAME).cloned().ok_or_else(|| "it was not compiled".to_owned())?;
    Ok(Compiled { descriptors: Descriptors::new(set), file })
}

/// How deep brackets of any kind stand in each other: each may be a call of the compiler within itself.
fn nesting(text: &str) -> usize {
    let mut deepest = 0;
    text.bytes().fold(0_usize, |depth, byte| {
        let depth = match byte {
            b'{' | b'[' | b'(' | b'<' => depth + 1,
            b'}' | b']' | b')' | b'>' => depth.saturating_sub(1),
            _ => depth,
        };
        deepest = deepest.max(depth);
        depth
    });
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = r#"
        syntax = "proto3"; package shop; import "money.proto"; import "google/protobuf/timestamp.proto";
        message Item { string sku = 1; message Inner { int32 x = 1; } }
        message Order { int64 id = 1; org.Money price = 2; google.protobuf.Timestamp at = 3; message Line { message Tax { int32 x = 1; } } }"#;
    const MONEY: &str = r#"syntax = "proto3"; package org; message Money { int64 cents = 1; }"#;

    #[test]
    fn types_are_found_by_their_places_and_imports_by_their_names() {
        let imports = vec![("money.proto".to_owned(), MONEY.to_owned())];
        let compiled = compile(SHOP, imports).expect("compiled");
        for (places, name) in [(&[0][..], "shop.Item"), (&[1], "shop.Order"), (&[0, 0], "shop.Item.Inner"), (&[1, 0, 0], "shop.Order.Line.Tax")] {
            assert_eq!(compiled.name_at(places).as_deref(), Some(name));
            assert!(compiled.descriptors.message(name).is_some());
        }
        assert_eq!((compiled.name_at(&[2]), compiled.name_at(&[0, 1]), compiled.name_at(&[])), (None, None, None));
        assert!(compiled.descriptors.message("org.Money").is_some() && compiled.descriptors.message("google.protobuf.Timestamp").is_some());
        assert!(compile(SHOP, Vec::new()).expect_err("no import").contains("money.proto"));
    }

    #[test]
    fn a_file_may_be_imported_under_two_names() {
        let shop = r#"syntax = "proto3"; package shop; import "money.proto"; import "bill.proto";
            message Order { int64 id = 1; org.Money price = 2; Bill bill = 3; }"#;
        let bill = r#"syntax = "proto3"; package shop; import "common/money.proto"; message Bill { org.Money due = 1; }"#;
        let imports = [("money.proto", MONEY), ("common/money.proto", MONEY), ("bill.proto", bill)];
        let compiled = compile(shop, imports.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec()).expect("compiled");
        assert!(["shop.Order", "shop.Bill", "org.Money"].iter().all(|name| compiled.descriptors.message(name).is_some()));
    }

    #[test]
    fn files_that_serializers_do_not_register_are_known() {
        let shop = r#"syntax = "proto3"; package shop;
            import "confluent/meta.proto"; import "confluent/type/decimal.proto"; import "google/type/date.proto"; import "google/type/timeofday.proto";
            import "google/type/money.proto"; import "google/type/latlng.proto";
            message Order {
              option (confluent.message_meta).doc = "An order";
              confluent.type.Decimal price = 1 [(confluent.field_meta) = { params: [{ value: "9", key: "precision" }], tags: "PII" }];
              google.type.Date day = 2; google.type.TimeOfDay at = 3; google.type.Money paid = 4; google.type.LatLng place = 5;
            }"#;
        let compiled = compile(shop, Vec::new()).expect("compiled");
        for name in ["confluent.type.Decimal", "google.type.Date", "google.type.TimeOfDay", "google.type.Money", "google.type.LatLng"] {
            assert!(compiled.descriptors.message(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_no_file_is_told_and_what_is_nested_without_end_is_refused() {
        for text in ["message", "{\"type\":\"record\"}", "syntax = \"proto3\"; message A { B b = 1; }"] {
            assert!(!compile(text, Vec::new()).expect_err(text).is_empty());
        }
        let deep = format!("{}{}", "message A {".repeat(50_000), "}".repeat(50_000));
        assert_eq!(compile(&deep, Vec::new()).expect_err("deep"), "it is nested more than 64 deep");
    }
}
