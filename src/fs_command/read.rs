//! cat and head: the content of files on standard output.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use weir_fs::Kind;
use weir_fs::transfer::{Source, pieces};

use super::cli::{Cat, Head};
use super::context::Context;
use crate::failure::Failure;

/// How much is read at a time when all is wanted, and when only the beginning is.
const WHOLE: u64 = 8 * 1024 * 1024;
const BEGINNING: u64 = 64 * 1024;

/// Prints files.
pub(super) async fn cat(context: &mut Context, arguments: &Cat) -> Result<(), Failure> {
    for text in &arguments.places {
        print(context, text, WHOLE, Wanted::All).await?;
    }
    Ok(())
}

/// Prints the beginnings of files, each under its name if there are several.
pub(super) async fn head(context: &mut Context, arguments: &Head) -> Result<(), Failure> {
    let wanted = arguments.bytes.map_or(Wanted::Lines(arguments.lines), Wanted::Bytes);
    for text in &arguments.places {
        if arguments.places.len() > 1 {
            context.printer.line(&format!("==> {text} <=="))?;
        }
        print(context, text, BEGINNING, wanted).await?;
    }
    Ok(())
}

/// How much is still to be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    Lines(u64),
    Bytes(u64),
}

impl Wanted {
    /// The part of `bytes` that is wanted; what is wanted after it.
    fn take(self, bytes: &Bytes) -> (Bytes, Self) {
        match self {
            Self::All => (bytes.clone(), self),
            Self::Bytes(left) => {
                let length = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                (bytes.slice(..length), Self::Bytes(left - length as u64))
            }
            Self::Lines(left) => {
                let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
                let wanted = usize::try_from(left).unwrap_or(usize::MAX);
                match wanted.checked_sub(1) {
                    None => (Bytes::new(), self),
                    Some(before) => match ends.nth(before) {
                        Some(end) => (bytes.slice(..end), Self::Lines(0)),
                        None => {
                            let seen = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
                            (bytes.clone(), Self::Lines(left - seen))
                        }
                    },
                }
            }
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Lines(0))
    }
}

async fn print(context: &mut Context, text: &str, piece: u64, mut wanted: Wanted) -> Result<(), Failure> {
    let Some(Source { place, found }) = context.found(text).await? else { return Ok(()) };
    if found.kind != Kind::File {
        return context.complain(&format!("`{}` is no file; `weir fs ls` shows what is in a folder", place.uri()));
    }
    let mut content = pieces(&place, found.size, piece).boxed();
    while !wanted.is_over() {
        match content.try_next().await {
            Ok(Some(bytes)) => {
                let (part, rest) = wanted.take(&bytes);
                context.printer.bytes(&part)?;
                wanted = rest;
            }
            Ok(None) => break,
            Err(error) => return context.report(place.uri(), &error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed of a text that comes in pieces of `piece` bytes.
    fn printed(text: &str, piece: usize, mut wanted: Wanted) -> String {
        let mut printed = Vec::new();
        for bytes in text.as_bytes().chunks(piece) {
            if wanted.is_over() {
                break;
            }
            let (part, rest) = wanted.take(&Bytes::copy_from_slice(bytes));
            printed.extend(part);
            wanted = rest;
        }
        String::from_utf8(printed).expect("text")
    }

    #[test]
    fn the_beginning_ends_at_the_same_place_however_it_comes() {
        let text = "one\ntwo\n\nfour";
        for piece in 1..=text.len() {
            assert_eq!(printed(text, piece, Wanted::All), text);
            assert_eq!(printed(text, piece, Wanted::Lines(0)), "");
            assert_eq!(printed(text, piece, Wanted::Lines(2)), "one\ntwo\n");
            assert_eq!(printed(text, piece, Wanted::Lines(3)), "one\ntwo\n\n");
            assert_eq!(printed(text, piece, Wanted::Lines(9)), text);
            assert_eq!(printed(text, piece, Wanted::Bytes(5)), "one\nt");
            assert_eq!(printed(text, piece, Wanted::Bytes(99)), text);
        }
    }
}
