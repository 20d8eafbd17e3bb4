//! The order events of a company that is made up: a row for each item of an order.
//!
//! ```text
//! message   "AO"  version: 1  length of the body: 4  body  CRC-32 of the body: 4      (numbers have their highest byte first)
//! body      fields, each  tag: 1  length: 2  value
//! tags      1 number of the order: 8    2 milliseconds since 1970: 8    3 customer: text
//!           4 an item, whose value is fields again:  1 article: text    2 pieces: 2    3 price of one in cents: 4
//!           254 the reader gives up    255 the reader never comes back    (for trying out what becomes of such messages)
//! ```
//!
//! A message without items is a heartbeat and gives no row. Fields with other tags are passed over.

mod weir;

pub use weir::Rows;

/// The columns that rows have.
const COLUMNS: [(&str, &str); 7] = [
    ("order_id", "BIGINT"),
    ("placed_at", "TIMESTAMP_LTZ(3)"),
    ("customer", "STRING"),
    ("line", "INT"),
    ("article", "STRING"),
    ("pieces", "INT"),
    ("price", "DECIMAL(10, 2)"),
];

/// Checks that the table has the columns that this module fills.
pub fn open(columns: &str) -> Result<(), String> {
    let mut found = columns.lines().map(|line| line.rsplit_once('\t').map_or(line, |(column, _use)| column));
    for (name, sql_type) in COLUMNS {
        let expected = format!("{}\t{}", name, sql_type);
        match found.next() {
            Some(column) if column == expected => {}
            other => return Err(format!("expected the column '{} {}', found {:?}", name, sql_type, other)),
        }
    }
    found.next().map_or(Ok(()), |column| Err(format!("there is no column {:?} in an order", column)))
}

/// Gives the rows of a message.
pub fn decode(message: &[u8], rows: &mut Rows) -> Result<(), String> {
    let (mut id, mut placed, mut customer, mut line) = (None, None, None, 0);
    let body = body(message)?;
    for field in fields(body) {
        match field? {
            (1, value) => id = Some(number(value)? as i64),
            (2, value) => placed = Some(number(value)? as i64),
            (3, value) => customer = Some(value),
            (254, _) => panic!("asked to give up"),
            #[allow(clippy::empty_loop)]
            (255, _) => loop {},
            _ => {}
        }
    }
    let id = id.ok_or("the order has no number")?;
    for field in fields(body) {
        if let (4, item) = field? {
            line += 1;
            rows.long(Some(id));
            match placed {
                Some(millis) if millis >= 253_402_300_800_000 => rows.bad(&format!("{} milliseconds are past the year 9999", millis)),
                Some(millis) => match millis.checked_mul(1_000) {
                    Some(micros) => rows.long(Some(micros)),
                    None => rows.bad(&format!("{} milliseconds are before the year 0", millis)),
                },
                None => rows.long(None),
            }
            rows.text(customer);
            rows.int(Some(line));
            read_item(item, rows)?;
        }
    }
    Ok(())
}

fn read_item(item: &[u8], rows: &mut Rows) -> Result<(), String> {
    let (mut article, mut pieces, mut price) = (None, None, None);
    for field in fields(item) {
        match field? {
            (1, value) => article = Some(value),
            (2, value) => pieces = Some(number(value)?),
            (3, value) => price = Some(number(value)?),
            _ => {}
        }
    }
    rows.text(article);
    rows.int(pieces.map(|pieces| pieces as i32));
    rows.decimal(price.map(i128::from));
    Ok(())
}

fn body(message: &[u8]) -> Result<&[u8], String> {
    if message.get(..3) != Some(b"AO\x01") {
        return Err("the message is no order event of version 1".to_string());
    }
    let length = number(message.get(3..7).ok_or("the message ends in its length")?)? as usize;
    let rest = &message[7..];
    if rest.len() != length + 4 {
        return Err(format!("the body should have {} bytes and a checksum, and {} bytes are there", length, rest.len()));
    }
    let (body, sum) = rest.split_at(length);
    if number(sum)? != u64::from(crc32(body)) {
        return Err("the checksum is wrong".to_string());
    }
    Ok(body)
}

/// The fields in `bytes`: tag and value.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), String>> {
    std::iter::from_fn(move || {
        let (&tag, rest) = bytes.split_first()?;
        let value = rest.get(..2).and_then(|size| rest.get(2..2 + (usize::from(size[0]) << 8 | usize::from(size[1]))));
        // After a field that is cut off there is nothing more.
        bytes = value.map_or(&[][..], |value| &rest[2 + value.len()..]);
        Some(value.map(|value| (tag, value)).ok_or_else(|| format!("the field with tag {} is cut off", tag)))
    })
}

fn number(bytes: &[u8]) -> Result<u64, String> {
    if bytes.len() > 8 {
        return Err(format!("a number of {} bytes", bytes.len()));
    }
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

const CRC: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u32, 0);
        while bit < 8 {
            sum = sum >> 1 ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| sum >> 8 ^ CRC[usize::from(sum as u8 ^ byte)])
}
