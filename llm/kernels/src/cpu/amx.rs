//! Products of bf16 where the processor has matrix instructions (AMX): libtorch's, several times as fast as any without.
//!
//! libtorch compiles code for every shape that it has not met lately. That takes milliseconds, longer than a small
//! product, and half a megabyte, and the number of tokens is another in every pack. So libtorch gets a multiple of 64
//! tokens, a shape that comes again, and the kernel without matrix instructions multiplies the few that are left. What is
//! written in f32, as gradients are, MKL multiplies.

use tch::{Device, Kind, Tensor};

use super::product::{self, of_any_rows};
use crate::backend::Backend;
use crate::plain::native_product;
use crate::product::Product;
use crate::shim::product_in_f32;

/// Libtorch multiplies a multiple of so many tokens (choice: packs of 4,000 tokens that differ by a tenth then have seven
/// shapes, and the tokens left over are a hundredth).
const TOKENS: i64 = 64;

/// Whether the processor has matrix instructions.
#[cfg(target_arch = "x86_64")]
pub(crate) fn multiplies_tiles() -> bool {
    /// Of leaf 7 in edx.
    const AMX_BF16: u32 = 1 << 22;
    /// Asked once: under a hypervisor the instruction is a slow one.
    static FOUND: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::arch::x86_64::__cpuid_count(7, 0).edx & AMX_BF16 != 0);
    *FOUND
}

#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn multiplies_tiles() -> bool {
    false
}

/// A product, by who is fastest at it here; `None` if libtorch is to multiply everything.
pub(crate) fn product(product: &Product, out: &Tensor) -> Option<()> {
    if applies(product) { with_tiles(product, out) } else { product::product(product, out) }
}

/// Whether libtorch multiplies these factors with matrix instructions.
fn applies(product: &Product) -> bool {
    product.x.kind() == Kind::BFloat16
        && product.x.device() == Device::Cpu
        && Backend::of_cpu() == Ok(Backend::Avx512Bf16)
        && multiplies_tiles()
}

/// `None` if libtorch is to multiply everything.
fn with_tiles(product: &Product, out: &Tensor) -> Option<()> {
    if out.kind() == Kind::Float {
        return in_f32(product, out);
    }
    let tokens = product.x.size()[0];
    let left = tokens % TOKENS;
    if left == 0 || left == tokens {
        return None;
    }
    product.of_rows(out, (0, tokens - left), native_product);
    product.of_rows(out, (tokens - left, left), |few, out| {
        // Libtorch's where numbers lie in memory as the kernel cannot read them.
        if of_any_rows(few, out).is_none() {
            native_product(few, out);
        }
    });
    Some(())
}

/// By MKL, which compiles nothing: libtorch itself would round the product to bf16 first.
fn in_f32(product: &Product, out: &Tensor) -> Option<()> {
    let Product { x, weight, also, added, .. } = *product;
    let mut onto = false;
    if let Some(added) = added {
        if added.data_ptr() != out.data_ptr() {
            out.shallow_clone().copy_(added);
        }
        onto = true;
    }
    product_in_f32(x, weight, onto, out)?;
    if let Some((x, weight)) = also
        && product_in_f32(x, weight, true, out).is_none()
    {
        native_product(&Product::of(x, weight).plus(Some(out)), out);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{close, random};
    use super::*;

    fn exact(x: &Tensor, weight: &Tensor) -> Tensor {
        x.to_kind(Kind::Double).mm(&weight.to_kind(Kind::Double))
    }

    /// On any processor: only who multiplies the greater part is a matter of matrix instructions.
    #[test]
    fn the_parts_of_a_product_are_the_product() {
        let _guard = tch::no_grad_guard();
        let bf16 = |size: &[i64], seed| random(size, seed).to_kind(Kind::BFloat16);
        for tokens in [65, 128 + 37] {
            let (x, weight, added) = (bf16(&[tokens, 50], 1), bf16(&[50, 40], 2), bf16(&[tokens, 40], 3));
            let (also_x, also, bias) = (bf16(&[tokens, 6], 4), bf16(&[6, 40], 5), random(&[40], 6));
            let out = added.zeros_like();
            let both = Product::of(&x, &weight).and(&also_x, &also);
            let expected = exact(&x, &weight) + exact(&also_x, &also);
            with_tiles(&both.plus(Some(&added)), &out).expect("some tokens are left over");
            close(&out, &(&expected + &added), 8e-3);
            with_tiles(&both.plus(Some(&bias)), &out).expect("some tokens are left over");
            close(&out, &(&expected + &bias), 8e-3);
        }
    }

    /// On any processor with MKL: of all layouts, onto what stands there or beside it.
    #[test]
    fn products_in_f32_are_not_rounded() {
        let _guard = tch::no_grad_guard();
        let bf16 = |size: &[i64], seed| random(size, seed).to_kind(Kind::BFloat16);
        for tokens in [1, 3, 77] {
            let (x, dy) = (bf16(&[tokens, 50], 1), bf16(&[tokens, 40], 2));
            let sum = random(&[50, 40], 7).to_kind(Kind::Float);
            let expected = &sum + exact(&x.tr(), &dy);
            if cfg!(target_arch = "aarch64") {
                assert!(with_tiles(&Product::of(&x.tr(), &dy), &sum).is_none(), "there is no MKL");
                continue;
            }
            let beside = sum.zeros_like();
            with_tiles(&Product::of(&x.tr(), &dy).plus(Some(&sum)), &beside).expect("MKL multiplies");
            close(&beside, &expected, 1e-6);
            with_tiles(&Product::of(&x.tr(), &dy).plus(Some(&sum)), &sum).expect("MKL multiplies");
            close(&sum, &expected, 1e-6);
            // Two products, into a part of wider rows.
            let (out, weight) = (random(&[tokens, 64], 8).to_kind(Kind::Float), bf16(&[40, 50], 9));
            let (part, square) = (out.narrow(1, 8, 50), bf16(&[50, 50], 3));
            with_tiles(&Product::of(&dy, &weight).and(&x, &square), &part).expect("MKL multiplies");
            close(&part, &(exact(&dy, &weight) + exact(&x, &square)), 1e-6);
        }
    }

    #[test]
    fn nothing_is_split_off_where_libtorch_takes_all() {
        let _guard = tch::no_grad_guard();
        for tokens in [63, 128] {
            let (x, weight) = (random(&[tokens, 8], 1), random(&[8, 8], 2));
            let out = random(&[tokens, 8], 3);
            assert!(with_tiles(&Product::of(&x, &weight), &out).is_none());
        }
    }
}
