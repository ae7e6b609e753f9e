//! The libtorch set-up works: one product in bf16 and one gradient, both against numbers known by other means.
//! Needs libtorch (`./just setup libtorch`).

use tch::{Device, Kind, Tensor};

#[test]
fn a_bf16_product_agrees_with_f32() {
    tch::manual_seed(0);
    let (rows, inner, columns) = (96, 256, 64);
    let cpu = (Kind::Float, Device::Cpu);
    // Rounded to bf16 first, so that both products start from the same numbers and only the sums differ.
    let a = Tensor::randn([rows, inner], cpu).to_kind(Kind::BFloat16);
    let b = Tensor::randn([inner, columns], cpu).to_kind(Kind::BFloat16);
    let exact = a.to_kind(Kind::Float).matmul(&b.to_kind(Kind::Float));
    let rounded = a.matmul(&b).to_kind(Kind::Float);
    // bf16 keeps 8 bits: half a unit in the last place is 2⁻⁹ of the value. Entries have a deviation of √inner; with a
    // sum carried in f32 that is all there is, and four times as much leaves room for kernels that round on the way.
    let tolerance = 4.0 * 2_f64.powi(-9) * 4.0 * f64::from(inner as i32).sqrt();
    let worst = (&rounded - &exact).abs().max().double_value(&[]);
    assert!(worst > 0.0, "bf16 must round somewhere");
    assert!(worst < tolerance, "worst difference {worst}, tolerance {tolerance}");
}

#[test]
fn the_gradient_of_cross_entropy_is_p_minus_the_label() {
    let logits = Tensor::from_slice(&[1.0_f64, -2.0, 0.5, 3.0]).set_requires_grad(true);
    let label = 2;
    let loss = -logits.log_softmax(-1, Kind::Double).get(label);
    loss.backward();

    // Σₓ exp zₓ by hand, without torch.
    let z = [1.0_f64, -2.0, 0.5, 3.0];
    let sum: f64 = z.iter().map(|z| z.exp()).sum();
    for (x, z) in (0_i64..).zip(z) {
        let expected = z.exp() / sum - f64::from(x == label);
        let found = logits.grad().double_value(&[x]);
        assert!((found - expected).abs() < 1e-15, "∂loss/∂z[{x}] is {found}, not {expected}");
    }
}
