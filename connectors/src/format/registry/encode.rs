//! The header of a message that is written.

use std::sync::Arc;

use super::registration::Registration;
use crate::format::Wanted;
use crate::format::cells::Cells;
use crate::format::columns::Fault;
use crate::format::encoder::WriteRow;

/// Writes messages with a header.
#[derive(Debug)]
pub(super) struct WriteFramed<W> {
    pub(super) registration: Arc<Registration>,
    /// What stands between the id and the body.
    pub(super) between: &'static [u8],
    pub(super) writer: W,
}

impl<W: WriteRow> WriteRow for WriteFramed<W> {
    fn write(&self, columns: &[Cells<'_>], row: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        let Some(id) = self.registration.id() else { return Err(Fault::syntax("the id of the schema is not known yet")) };
        out.push(0);
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(self.between);
        self.writer.write(columns, row, out)
    }

    fn ready(&self) -> Wanted {
        Box::pin(Arc::clone(&self.registration).ensure())
    }
}
