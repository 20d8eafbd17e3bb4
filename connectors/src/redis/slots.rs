//! Which node of a cluster has which slots, so that the commands for one node go there together.

use redis::Value;

/// How many slots a cluster has.
pub(super) const SLOTS: usize = 16_384;

/// The nodes of a cluster, as numbers, by slot. The numbers mean nothing but that equal ones are one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SlotMap {
    of_slot: Vec<u16>,
}

impl SlotMap {
    /// From the answer to CLUSTER SLOTS; a slot that is in no range counts as one of the first node.
    pub(super) fn parse(answer: &Value) -> Self {
        let mut of_slot = vec![0; SLOTS];
        let mut nodes: Vec<&Value> = Vec::new();
        let Value::Array(ranges) = answer else { return Self { of_slot } };
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            let [Value::Int(first), Value::Int(last), master, ..] = parts.as_slice() else { continue };
            let number = nodes.iter().position(|node| same_node(node, master)).unwrap_or_else(|| {
                nodes.push(master);
                nodes.len() - 1
            });
            let range = usize::try_from(*first).unwrap_or(SLOTS)..=usize::try_from(*last).unwrap_or(0);
            if let Some(slots) = of_slot.get_mut(range) {
                slots.fill(u16::try_from(number).unwrap_or(u16::MAX));
            }
        }
        Self { of_slot }
    }

    /// The numbers of `keys`, those of one node together.
    pub(super) fn by_node<'a>(&self, keys: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<usize>> {
        let mut groups: std::collections::BTreeMap<u16, Vec<usize>> = std::collections::BTreeMap::new();
        for (number, key) in keys.enumerate() {
            let node = self.of_slot.get(slot(key)).copied().unwrap_or_default();
            groups.entry(node).or_default().push(number);
        }
        groups.into_values().collect()
    }
}

/// The slot of a key: of what stands in its first pair of braces, or of all of it (Redis cluster specification, key distribution model).
fn slot(key: &[u8]) -> usize {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let inside = key.get(open + 1..)?;
        inside.get(..inside.iter().position(|byte| *byte == b'}')?).filter(|tag| !tag.is_empty())
    });
    let crc = tag.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        let row = usize::from((crc >> 8) as u8 ^ byte);
        (crc << 8) ^ CRC.get(row).copied().unwrap_or_default()
    });
    usize::from(crc) % SLOTS
}

/// CRC-16/XMODEM of each byte.
const CRC: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Host and port, without the id and what else a newer server tells.
fn same_node(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => one.get(..2) == other.get(..2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, port: i64) -> Value {
        let master = Value::Array(vec![Value::BulkString(b"h".to_vec()), Value::Int(port), Value::BulkString(port.to_string().into_bytes())]);
        Value::Array(vec![Value::Int(first), Value::Int(last), master])
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!([slot(b"foo"), slot(b"bar"), slot(b"hello"), slot(b"123456789")], [12_182, 5_061, 866, 0x31c3]);
        assert_eq!(slot(b"{foo}x"), slot(b"foo"));
        assert_eq!(slot(b"a{b}{c}"), slot(b"b"));
        assert_ne!(slot(b"{}x"), slot(b""));
    }

    #[test]
    fn keys_of_one_node_go_together_and_a_hash_tag_counts_alone() {
        let map =
            SlotMap::parse(&Value::Array(vec![range(0, 5_460, 1), range(5_461, 10_922, 2), range(10_923, 16_382, 3), range(16_383, 16_383, 1)]));
        let keys: [&[u8]; 5] = [b"foo", b"bar", b"hello", b"{foo}x", b"123456789"];
        assert_eq!(map.by_node(keys.into_iter()), [vec![1, 2], vec![0, 3, 4]]);
        assert_eq!(SlotMap::parse(&Value::Nil).by_node(keys.into_iter()), [vec![0, 1, 2, 3, 4]], "nothing is known");
    }
}
