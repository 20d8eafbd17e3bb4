//! Finished bytes of a file in pieces. One growing buffer would be copied each time it grows, and leave a hole of every size behind.

use std::io::{self, Write};

use bytes::Bytes;

const SMALLEST: usize = 64 << 10;
const LARGEST: usize = 1 << 20;

/// Where an encoder writes; what is written is taken out as it is, without a copy.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    full: Vec<Bytes>,
    open: Vec<u8>,
    bytes: usize,
}

impl Pieces {
    /// Bytes that have not been taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.bytes = 0;
        self.close();
        std::mem::take(&mut self.full)
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full.push(Bytes::from(std::mem::take(&mut self.open)));
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.open.len() == self.open.capacity() {
            self.close();
            self.open = Vec::with_capacity(self.bytes.clamp(SMALLEST, LARGEST));
        }
        let (fits, _) = bytes.split_at(bytes.len().min(self.open.capacity() - self.open.len()));
        self.open.extend_from_slice(fits);
        self.bytes += fits.len();
        Ok(fits.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_taken_once_and_in_order(writes in prop::collection::vec((0_usize..300_000, any::<bool>()), 1..12)) {
            let (mut pieces, mut expected, mut taken) = (Pieces::default(), Vec::new(), Vec::new());
            for (number, (length, take)) in writes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..length).map(|index| (index * 7 + number) as u8).collect();
                pieces.write_all(&bytes).expect("memory");
                expected.extend(bytes);
                prop_assert_eq!(pieces.bytes(), expected.len() - taken.len());
                if take {
                    taken.extend(pieces.take().concat());
                    prop_assert_eq!(&taken, &expected);
                }
            }
            taken.extend(pieces.take().concat());
            prop_assert_eq!(taken, expected);
        }
    }
}
