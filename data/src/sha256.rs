//! SHA-256 as lower-case hex.

use std::path::Path;
use std::{fs, io};

use sha2::{Digest, Sha256};

/// Whether a text is a SHA-256 in lower-case hex.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// SHA-256 of a file, as lower-case hex.
pub fn sha256_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut hash)?;
    Ok(hex(hash))
}

pub(crate) fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}
