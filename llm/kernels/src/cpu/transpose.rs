//! A transposed matrix: numbers that lie side by side down its columns come to lie side by side along its rows.

use tch::{Device, Tensor};

use super::lanes::{LANES, Make, Number, Simd, Words, run};
use super::rows::Rows;
use crate::shim::parallel;

/// A copy of the transposed view of a matrix on the CPU, with each row's numbers side by side from a line of the cache on, and
/// zeros up to the line's end.
pub(super) fn transposed<S: Simd, N: Number>(simd: S, view: &Tensor) -> Option<Tensor> {
    let from = Rows::<N>::of(&view.tr()).filter(|from| from.inner == 1)?;
    let square = LANES * N::PER_WORD;
    let (rows, columns) = view.size2().ok()?;
    let whole_lines = (columns as usize).next_multiple_of(square) as i64;
    let result = Tensor::empty([rows, whole_lines], (N::KIND, Device::Cpu));
    let _ = result.narrow(1, columns, whole_lines - columns).zero_();
    let result = result.narrow(1, 0, columns);
    let into = Rows::<N>::of(&result)?;
    parallel(from.count.div_ceil(square), 1, |squares| {
        for start in squares.map(|number| number * square) {
            // SAFETY: the one has these rows, the other these columns, and no other thread is given them.
            unsafe { transpose(simd, &from, &into, start..from.count.min(start + square)) };
        }
    });
    Some(result)
}

/// Some rows, at most a square's, as columns.
///
/// # Safety
/// `from` has these rows, `into` these columns, and no other thread is given them.
unsafe fn transpose<S: Simd, N: Number>(
    simd: S,
    from: &Rows<N>,
    into: &Rows<N>,
    rows: std::ops::Range<usize>,
) {
    run!(simd, {
        let whole = if rows.len() == LANES * N::PER_WORD { from.columns / LANES * LANES } else { 0 };
        // SAFETY: the caller's promise.
        unsafe {
            for column in (0..whole).step_by(LANES) {
                let mut lines = [simd.word(0); LANES];
                for (word, line) in lines.iter_mut().enumerate() {
                    let row = from.row(rows.start + word * N::PER_WORD);
                    *line = N::zip(row.add(column), from.outer);
                }
                for (lane, line) in Words::transpose(lines).into_iter().enumerate() {
                    line.store(into.row(column + lane).add(rows.start).cast());
                }
            }
            for column in whole..from.columns {
                for row in rows.clone() {
                    into.row(column).add(row).write(*from.row(row).add(column));
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;
    use crate::cpu::rows::with_simd;
    use crate::tests::random;

    #[test]
    fn transposed_matrices_are_those_of_libtorch() {
        crate::needs_kernels!();
        for [rows, columns] in [[1, 1], [16, 16], [31, 40], [64, 32], [100, 17]] {
            // A view whose rows lie apart, too.
            let x = random(&[rows, columns + 3], 1).to_kind(Kind::Float).narrow(1, 2, columns);
            let view = x.tr();
            let found = with_simd!(transposed::<f32>(&view)).expect("kernels on the CPU");
            assert!(found.stride()[1] == 1 && found == view);
            let view = x.to_kind(Kind::BFloat16).tr();
            let found = with_simd!(transposed::<half::bf16>(&view)).expect("kernels on the CPU");
            assert!(found.stride()[1] == 1 && found == view);
        }
    }
}
