//! The products that carry the gradient on: back to the hidden states, and onto the output matrix.

use tch::Tensor;

use tokensieve_kernels::Product;

/// Elements of a piece of the output matrix' gradient: what is transposed for it at a time (choice: 16 MiB in bf16).
const PIECE: i64 = 8 << 20;

/// gradient·weight, `[n, D]`.
pub(super) fn onto_hidden(gradient_nv: &Tensor, weight_vd: &Tensor) -> Tensor {
    Product::of(gradient_nv, weight_vd).result()
}

/// Adds gradientᵀ·hidden to f32 `[V, D]`, piece by piece of the vocabulary.
pub(super) fn onto_weight(gradient_nv: &Tensor, hidden_nd: &Tensor, sum_vd: &Tensor) {
    let [vocabulary, width] = [sum_vd.size()[0], sum_vd.size()[1]];
    let step = (PIECE / width).max(1);
    for start in (0..vocabulary).step_by(step as usize) {
        let n = step.min(vocabulary - start);
        let piece = sum_vd.narrow(0, start, n);
        Product::of(&gradient_nv.narrow(1, start, n).tr(), hidden_nd).plus(Some(&piece)).write(&piece);
    }
}
