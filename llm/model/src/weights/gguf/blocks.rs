//! ggml's storage formats: blocks of 32 or 256 elements with a shared scale. The operations and their order are those
//! of the `gguf` Python package, so that results are equal to the last bit.

use half::{bf16, f16};

/// The storage format of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, non_camel_case_types, reason = "ggml's names")]
pub enum Format {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

use Format::{BF16, F16, F32, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};

/// A format with its number in files, elements per block, bytes per block, and what decodes a block.
type Row = (Format, u32, usize, usize, fn(&[u8], &mut [f32]));

/// Every format.
const FORMATS: [Row; 11] = [
    (F32, 0, 1, 4, f32_),
    (F16, 1, 1, 2, f16_),
    (Q4_0, 2, 32, 18, q4_0),
    (Q4_1, 3, 32, 20, q4_1),
    (Q5_0, 6, 32, 22, q5_0),
    (Q5_1, 7, 32, 24, q5_1),
    (Q8_0, 8, 32, 34, q8_0),
    (Q4_K, 12, 256, 144, q4_k),
    (Q5_K, 13, 256, 176, q5_k),
    (Q6_K, 14, 256, 210, q6_k),
    (BF16, 30, 1, 2, bf16_),
];

impl Format {
    /// The format with a number.
    pub(super) fn from_id(id: u32) -> Result<Self, String> {
        FORMATS.iter().find(|row| row.1 == id).map(|row| row.0).ok_or_else(|| {
            let known: Vec<String> = FORMATS.iter().map(|row| format!("{:?}", row.0)).collect();
            format!("stored in ggml's format {id}; supported are {}", known.join(", "))
        })
    }

    fn row(self) -> Row {
        *FORMATS.iter().find(|row| row.0 == self).expect("every format is listed")
    }

    /// Elements per block.
    pub fn block(self) -> usize {
        self.row().2
    }

    /// Bytes of a number of elements (whole blocks).
    pub fn bytes(self, elements: usize) -> usize {
        let (_, _, block, bytes, _) = self.row();
        elements / block * bytes
    }

    /// Fills `out` (whole blocks) from the blocks at the start of `from`.
    pub(super) fn dequantise(self, from: &[u8], out: &mut [f32]) {
        let (_, _, block, bytes, one) = self.row();
        from.chunks_exact(bytes).zip(out.chunks_exact_mut(block)).for_each(|(from, out)| one(from, out));
    }
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

fn f32_(from: &[u8], out: &mut [f32]) {
    out[0] = f32::from_le_bytes([from[0], from[1], from[2], from[3]]);
}

fn f16_(from: &[u8], out: &mut [f32]) {
    out[0] = half(from);
}

fn bf16_(from: &[u8], out: &mut [f32]) {
    out[0] = bf16::from_le_bytes([from[0], from[1]]).to_f32();
}

/// The four-bit elements of a block: first the lower halves of all bytes, then the upper halves.
fn nibbles(packed: &[u8]) -> impl Iterator<Item = u8> + '_ {
    packed.iter().map(|byte| byte & 15).chain(packed.iter().map(|byte| byte >> 4))
}

fn q4_0(from: &[u8], out: &mut [f32]) {
    let d = half(from);
    out.iter_mut().zip(nibbles(&from[2..])).for_each(|(out, q)| *out = d * (f32::from(q) - 8.0));
}

fn q4_1(from: &[u8], out: &mut [f32]) {
    let (d, m) = (half(from), half(&from[2..]));
    out.iter_mut().zip(nibbles(&from[4..])).for_each(|(out, q)| *out = d * f32::from(q) + m);
}

/// The five-bit elements of a block: `high` has the fifth bits.
fn fives<'a>(high: &[u8], packed: &'a [u8]) -> impl Iterator<Item = f32> + 'a {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    nibbles(packed).zip(0..).map(move |(q, i)| f32::from(q | ((high >> i & 1) as u8) << 4))
}

fn q5_0(from: &[u8], out: &mut [f32]) {
    let d = half(from);
    out.iter_mut().zip(fives(&from[2..6], &from[6..])).for_each(|(out, q)| *out = d * (q - 16.0));
}

fn q5_1(from: &[u8], out: &mut [f32]) {
    let (d, m) = (half(from), half(&from[2..]));
    out.iter_mut().zip(fives(&from[4..8], &from[8..])).for_each(|(out, q)| *out = d * q + m);
}

fn q8_0(from: &[u8], out: &mut [f32]) {
    let d = half(from);
    out.iter_mut().zip(&from[2..]).for_each(|(out, q)| *out = d * f32::from(q.cast_signed()));
}

/// The six-bit scale and minimum of one of the eight groups of 32 elements, packed into 12 bytes.
fn scale_and_minimum(group: usize, packed: &[u8]) -> (f32, f32) {
    let (scale, minimum) = if group < 4 {
        (packed[group] & 63, packed[group + 4] & 63)
    } else {
        let low = packed[group + 4];
        (low & 15 | packed[group - 4] >> 6 << 4, low >> 4 | packed[group] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}

/// Two groups share 32 bytes: the even one has the lower halves, the odd one the upper halves. `fifth` returns the
/// fifth bit of an element (group, index).
fn groups(scales: &[u8], packed: &[u8], head: &[u8], fifth: impl Fn(usize, usize) -> u8, out: &mut [f32]) {
    let (d, least) = (half(head), half(&head[2..]));
    for (group, out) in out.chunks_exact_mut(32).enumerate() {
        let (scale, minimum) = scale_and_minimum(group, scales);
        let (scale, minimum) = (d * scale, least * minimum);
        let shift = group % 2 * 4;
        for (i, out) in out.iter_mut().enumerate() {
            let q = packed[group / 2 * 32 + i] >> shift & 15 | fifth(group, i) << 4;
            *out = scale * f32::from(q) - minimum;
        }
    }
}

fn q4_k(from: &[u8], out: &mut [f32]) {
    groups(&from[4..16], &from[16..], from, |_, _| 0, out);
}

fn q5_k(from: &[u8], out: &mut [f32]) {
    let high = &from[16..48];
    groups(&from[4..16], &from[48..], from, |group, i| high[i] >> group & 1, out);
}

fn q6_k(from: &[u8], out: &mut [f32]) {
    let (low, high, scales, d) = (&from[..128], &from[128..192], &from[192..208], half(&from[208..]));
    // Two halves of 128 elements; in each, four groups of 32 share 64 bytes of low bits and 32 bytes of high bits.
    for (index, out) in out.iter_mut().enumerate() {
        let (part, rest) = (index / 128, index % 128);
        let (group, i) = (rest / 32, rest % 32);
        let low = low[part * 64 + group % 2 * 32 + i] >> (group / 2 * 4) & 15;
        let high = high[part * 32 + i] >> (group * 2) & 3;
        let q = f32::from(low | high << 4) - 32.0;
        *out = d * f32::from(scales[index / 16].cast_signed()) * q;
    }
}
