//! Registries of one schema, each on a thread of this process: they are asked before anything is measured.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use arrow_schema::SchemaRef;
use serde_json::json;
use weir_base::options::OptionBag;
use weir_connectors::format::registry::RegistryFactory;
use weir_connectors::format::{Decoded, Format, FormatFactory};

use crate::cases::runtime;
use crate::messages::Messages;
use crate::support::datasets::packed;

/// The id of the schema.
const ID: u32 = 1;

/// The address of a registry in which a schema of a language has the id [`ID`].
fn start(language: &'static str, text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    let schema = json!({ "schemaType": language, "schema": text }).to_string();
    std::thread::spawn(move || listener.incoming().for_each(|wire| answer(wire.expect("connection"), &schema)));
    url
}

fn answer(mut wire: TcpStream, schema: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && wire.read(&mut byte).is_ok_and(|read| read == 1) {
        head.extend(byte);
    }
    let versions = String::from_utf8_lossy(&head).starts_with("GET /schemas/ids/1/versions ");
    let body = if versions { r#"[{"subject":"t-value","version":1}]"# } else { schema };
    write!(wire, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).expect("answer");
}

/// Bodies of messages behind the header that names the schema.
pub(crate) fn framed(between: &[u8], bodies: &[&[u8]]) -> Messages {
    packed(bodies.iter().map(|body| [&[0], &ID.to_be_bytes()[..], between, body].concat()))
}

/// A format that knows the schema of its messages, one of which is `message`.
pub(crate) fn open(
    factory: RegistryFactory,
    (language, text): (&'static str, String),
    (declared, wanted): (&SchemaRef, &SchemaRef),
    message: &[u8],
) -> Box<dyn Format> {
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.url", start(language, text), None);
    let format = factory.open("f.", &mut bag, declared).expect("format");
    let mut decoder = format.decoder(wanted);
    while decoder.push(message) == Decoded::Waits {
        runtime().block_on(decoder.wanted()).expect("answered");
    }
    assert_eq!(decoder.rows(), 1, "{}", factory.name());
    format
}
