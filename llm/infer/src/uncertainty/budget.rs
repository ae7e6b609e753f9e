//! How much is computed at a time.

/// Limits on tokens and memory. They change no result beyond rounding.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Number of tokens in one forward pass.
    pub tokens: usize,
    /// Bytes for the hidden states of all passes.
    pub hidden_bytes: usize,
    /// Bytes for the sums over passes.
    pub sums_bytes: usize,
    /// Bytes for logits.
    pub logits_bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        // Choices: packs that occupy two cores; about forty short documents at 100 passes; at a vocabulary of 49,152, the
        // sums of 16 rows and the logits of 512 rows.
        Self { tokens: 4096, hidden_bytes: 256 << 20, sums_bytes: 64 << 20, logits_bytes: 48 << 20 }
    }
}
