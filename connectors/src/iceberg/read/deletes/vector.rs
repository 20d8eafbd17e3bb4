//! Deletion vectors: blobs of type `deletion-vector-v1` in Puffin files (Puffin specification, section of that name). Pure.

use std::io::Cursor;

use roaring::RoaringTreemap;

const MAGIC: [u8; 4] = [0xd1, 0xd3, 0x39, 0x64];

/// The positions of a blob; `Err` says what is wrong with it.
///
/// The blob is: length of magic and bitmap (4 bytes, big endian), magic, 64-bit roaring bitmap in the portable format, CRC-32 of magic and
/// bitmap (4 bytes, big endian).
pub(super) fn positions(blob: &[u8]) -> Result<RoaringTreemap, String> {
    let short = || format!("the blob has only {} bytes", blob.len());
    let (length, rest) = blob.split_first_chunk::<4>().ok_or_else(short)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|error| error.to_string())?;
    let body = rest.get(..length).ok_or_else(short)?;
    let sum = rest.get(length..length + 4).ok_or_else(short)?;
    if sum != crc32(body).to_be_bytes() {
        return Err("its checksum does not fit its content".to_owned());
    }
    let bitmap = body.strip_prefix(&MAGIC).ok_or_else(|| "it does not begin with the magic number".to_owned())?;
    RoaringTreemap::deserialize_from(Cursor::new(bitmap)).map_err(|error| error.to_string())
}

/// CRC-32 as of IEEE 802.3, bit by bit: a deletion vector is small.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
pub(in crate::iceberg::read) fn blob(positions: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let mut body = MAGIC.to_vec();
    positions.into_iter().collect::<RoaringTreemap>().serialize_into(&mut body).expect("serialises");
    let mut blob = u32::try_from(body.len()).expect("small").to_be_bytes().to_vec();
    blob.extend_from_slice(&body);
    blob.extend_from_slice(&crc32(&body).to_be_bytes());
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_blob_gives_its_positions_back_and_a_damaged_one_is_refused() {
        let wanted = [0, 7, 70_000, 5_000_000_000];
        let blob = blob(wanted);
        assert_eq!(positions(&blob).expect("right").into_iter().collect::<Vec<_>>(), wanted);
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 1;
            positions(&damaged).expect_err("damaged");
        }
        positions(&blob[..blob.len() - 1]).expect_err("cut off");
    }
}
