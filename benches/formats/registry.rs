//! A registry of four schemas on a thread of this process: it is asked once for each, before anything is measured.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use serde_json::json;
use weir_base::options::OptionBag;
use weir_connectors::format::registry::RegistryFactory;
use weir_connectors::format::{Decoded, Format, FormatFactory};

use crate::cases::runtime;

/// The address of a registry in which `schemas`, each of a language and with its text, have the ids from 1 on.
pub(crate) fn start(schemas: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || listener.incoming().for_each(|wire| answer(wire.expect("connection"), &schemas)));
    url
}

fn answer(mut wire: TcpStream, schemas: &[(&str, String)]) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && wire.read(&mut byte).is_ok_and(|read| read == 1) {
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let parts: Vec<&str> = head.split(' ').nth(1).unwrap_or_default().split('/').skip(1).collect();
    let body = match parts.as_slice() {
        ["schemas", "ids", id] => {
            let (language, text) = &schemas[id.parse::<usize>().expect("number") - 1];
            json!({ "schemaType": language, "schema": text })
        }
        _ => json!([{ "subject": "t-value", "version": 1 }]),
    };
    let body = body.to_string();
    write!(wire, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).expect("answer");
}

/// Bodies of messages behind the header that names schema `id`.
pub(crate) fn framed(id: u32, between: &[u8], bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    bodies.iter().map(|body| [&[0], &id.to_be_bytes()[..], between, body].concat()).collect()
}

/// A format that knows the schema of `message`.
pub(crate) fn open(factory: RegistryFactory, url: &str, (declared, wanted): (&SchemaRef, &SchemaRef), message: &[u8]) -> Box<dyn Format> {
    let mut bag = OptionBag::new("Table 'bench'");
    bag.insert("f.url", url, None);
    let format = factory.open("f.", &mut bag, declared).expect("format");
    let mut decoder = format.decoder(&Arc::clone(wanted));
    while decoder.push(message) == Decoded::Waits {
        runtime().block_on(decoder.wanted()).expect("answered");
    }
    assert_eq!(decoder.rows(), 1, "{}", factory.name());
    format
}
