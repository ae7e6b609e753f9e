//! `TensorBoard`'s event files: records with checksums around a few fields of protocol buffers, written by hand.
//!
//! A record is its length (u64, little endian), the length's checksum, the content, the content's checksum. The checksum
//! is CRC-32C, rotated and shifted by a constant (`masked`), as TensorFlow's record format has it. Field numbers are
//! those of tensorboard/compat/proto/{event,summary}.proto.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tokensieve_model::{Error, Result};

/// What the names of this program's files end with.
const OWN: &str = "tokensieve";

/// An event file being written.
#[derive(Debug)]
pub(super) struct Events {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Events {
    /// A new file in a folder. Whatever earlier files of the folder say about this step and later ones is void: so
    /// `TensorBoard` reads a session's start.
    pub(super) fn create(folder: &Path, void_from: u64) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let time = now();
        // TensorBoard reads a folder's files in the order of their names.
        let name =
            format!("events.out.tfevents.{:010}.{:06}.{OWN}", time as u64, (time.fract() * 1e6) as u64);
        let path = folder.join(name);
        let file = File::create(&path).map_err(Error::io(&path))?;
        let mut events = Self { path, file: BufWriter::new(file) };
        events.event(0, |event| event.bytes(3, b"brain.Event:2"))?;
        events.event(void_from, |event| event.message(7, |session| session.varint(1, 1)))?;
        Ok(events)
    }

    /// The files that this program made in a folder.
    pub(super) fn all(folder: &Path) -> Result<Vec<PathBuf>> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Ok(Vec::new()) };
        let paths: std::io::Result<Vec<PathBuf>> = entries.map(|entry| Ok(entry?.path())).collect();
        let mut paths = paths.map_err(Error::io(folder))?;
        paths.retain(|path| path.extension().is_some_and(|last| last == OWN));
        Ok(paths)
    }

    /// Scalars after a step.
    pub(super) fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        self.event(step, |event| {
            event.message(5, |summary| {
                for (tag, value) in values {
                    summary.message(1, |entry| {
                        entry.bytes(1, tag.as_bytes());
                        entry.float(2, *value as f32);
                    });
                }
            });
        })
    }

    /// Gives everything to the system.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    fn event(&mut self, step: u64, fill: impl FnOnce(&mut Message)) -> Result<()> {
        let mut event = Message::default();
        event.double(1, now());
        event.varint(2, step);
        fill(&mut event);
        let length = (event.0.len() as u64).to_le_bytes();
        let parts = [&length[..], &masked(&length), &event.0, &masked(&event.0)].concat();
        self.file.write_all(&parts).map_err(Error::io(&self.path))
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// A protocol buffer being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) {
        self.number(field << 3);
        self.number(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.number(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.number(field << 3 | 2);
        self.number(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.number(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}

/// TensorFlow's masked checksum.
fn masked(content: &[u8]) -> [u8; 4] {
    crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C (Castagnoli), bit by bit: a few hundred bytes per step.
fn crc32c(content: &[u8]) -> u32 {
    !content.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}

/// The step of the session's start in a file's bytes, which is the second record.
#[cfg(test)]
pub(super) fn void_from(bytes: &[u8]) -> u64 {
    let after = |record: &[u8]| 16 + u64::from_le_bytes(record[..8].try_into().unwrap()) as usize;
    let content = &bytes[after(bytes)..][12..];
    // Field 1 is a double, the time; then comes field 2.
    assert_eq!((content[0], content[9]), (1 << 3 | 1, 2 << 3));
    let step = &content[10..];
    let length = 1 + step.iter().position(|byte| byte & 0x80 == 0).unwrap();
    assert_eq!(step[length..length + 4], [7 << 3 | 2, 2, 1 << 3, 1], "a session's start");
    step[..length].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn numbers_are_written_as_protocol_buffers_have_them() {
        let mut message = Message::default();
        message.varint(2, 300);
        message.message(5, |inner| inner.float(2, 1.0));
        assert_eq!(message.0, [0x10, 0xac, 0x02, 0x2a, 5, 0x15, 0, 0, 0x80, 0x3f]);
    }
}
