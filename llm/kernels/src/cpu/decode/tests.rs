//! Against libtorch's operators, with sizes that leave remainders everywhere.

use half::bf16;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::nf4::Nf4Weight;
use crate::shape::{Attention, Heads};
use crate::tests::{random, with_threads};

fn filled<N: Number>(x: &Tensor, columns: usize) -> Buffer<N> {
    let [rows, own] = x.size()[..] else { unreachable!("a matrix") };
    let mut buffer = Buffer::default();
    buffer.shaped(rows as usize, columns);
    for row in 0..rows as usize {
        // SAFETY: so many numbers of this kind lie there.
        let from = unsafe {
            std::slice::from_raw_parts(x.data_ptr().cast::<N>().add(row * own as usize), own as usize)
        };
        buffer.row_mut(row)[..own as usize].copy_from_slice(from);
    }
    buffer
}

fn numbers<N: Number>(buffer: &Buffer<N>) -> Tensor {
    let rows: Vec<Tensor> = (0..buffer.rows())
        .map(|row| {
            let row = buffer.row(row);
            // SAFETY: bytes of plain numbers.
            let bytes = unsafe { std::slice::from_raw_parts(row.as_ptr().cast(), size_of_val(row)) };
            Tensor::from_data_size(bytes, &[row.len() as i64], N::KIND)
        })
        .collect();
    Tensor::stack(&rows, 0).to_kind(Kind::Double)
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size(), "{what}");
    let scale = expected.abs().max().double_value(&[]);
    let worst = (found - expected).abs().max().double_value(&[]);
    assert!(worst <= tolerance * scale, "{what}: off by {worst} of {scale}");
}

/// Tiles that are laid out for each product are those that are laid out once.
fn products_of_four_bits<N: Number>() {
    for (outputs, inputs, rank) in [(33, 7, 0), (64, 130, 4), (100, 256, 3)] {
        let held = Nf4Weight::of(&random(&[outputs, inputs], 1));
        let whole = Tensor::empty([outputs, inputs + rank], (N::KIND, Device::Cpu));
        held.write(&whole.narrow(1, 0, inputs));
        let beside = random(&[outputs, rank], 2).to_kind(N::KIND);
        whole.narrow(1, inputs, rank).copy_(&beside);
        let bias = random(&[outputs], 3);
        for rows in [1, 13] {
            let x =
                filled::<N>(&random(&[rows, inputs + rank], 4).to_kind(N::KIND), (inputs + rank) as usize);
            let product = |matrix: &Matrix| {
                let mut out = vec![0.0_f32; (rows * outputs) as usize];
                matrix.product_into(&x, &mut out);
                out
            };
            let found = product(&Matrix::nf4::<N>(&held, &beside, Some(&bias)));
            assert_eq!(found, product(&Matrix::new::<N>(&whole, Some(&bias))));
        }
    }
}

#[test]
fn a_weight_in_four_bits_has_the_product_of_its_numbers() {
    crate::needs_kernels!();
    products_of_four_bits::<f32>();
    products_of_four_bits::<bf16>();
}

fn products<N: Number>(tolerance: f64) {
    for (outputs, inputs) in [(1, 1), (33, 7), (64, 32), (100, 45), (16, 3)] {
        for rows in [1, 2, 11, 12, 13, 30] {
            let draw = |size: &[i64], seed| random(size, seed).to_kind(N::KIND);
            let (weight, bias) = (draw(&[outputs, inputs], 1), draw(&[outputs], 2));
            let (x, before) = (draw(&[rows, inputs], 3), draw(&[rows, outputs], 4));
            let double = |x: &Tensor| x.to_kind(Kind::Double);
            let expected = double(&x).mm(&double(&weight).tr()) + double(&bias);
            let matrix = Matrix::new::<N>(&weight, Some(&bias));
            let what = format!("{rows} rows of {inputs} to {outputs}");
            let input = filled::<N>(&x, inputs as usize);
            let mut out = filled::<N>(&before, outputs as usize);
            matrix.product(&input, &mut out, Into::Sum);
            assert_close(&what, &numbers(&out), &(&expected + double(&before)), tolerance);
            matrix.product(&input, &mut out, Into::Place);
            assert_close(&what, &numbers(&out), &expected, tolerance);
            let mut floats = vec![0.0_f32; (rows * outputs) as usize];
            matrix.product_into(&input, &mut floats);
            let floats = Tensor::from_slice(&floats).view([rows, outputs]).to_kind(Kind::Double);
            assert_close(&what, &floats, &expected, 1e-5);
            // A view of the weight's columns, and outputs beside the inputs.
            let view = Tensor::cat(&[&weight, &weight], 1).narrow(1, 0, inputs);
            let mut both = filled::<N>(&x, (inputs + outputs) as usize);
            Matrix::new::<N>(&view, None).product_beside(&mut both);
            let beside = numbers(&both).narrow(1, inputs, outputs);
            assert_close(&what, &beside, &(&expected - double(&bias)), tolerance);
            assert_close(&what, &numbers(&both).narrow(1, 0, inputs), &double(&x), 0.0);
        }
    }
}

#[test]
fn products_are_those_of_libtorch() {
    crate::needs_kernels!();
    products::<f32>(1e-5);
    products::<bf16>(1e-2);
}

#[test]
fn a_rows_product_does_not_depend_on_its_neighbours() {
    crate::needs_kernels!();
    let [weight, x] = [70, 40].map(|n| random(&[n, 50], n as u64).to_kind(Kind::BFloat16));
    let matrix = Matrix::new::<bf16>(&weight, None);
    let product = |first: i64, rows: i64| {
        let mut out = vec![0.0_f32; (rows * 70) as usize];
        matrix.product_into(&filled::<bf16>(&x.narrow(0, first, rows), 50), &mut out);
        out
    };
    let all = product(0, 40);
    for (first, rows) in [(0, 1), (3, 7), (5, 12), (20, 20)] {
        let range = (first * 70) as usize..((first + rows) * 70) as usize;
        assert_eq!(product(first, rows), all[range]);
    }
}

fn attention<N: Number>(tolerance: f64) {
    for (queries, keys, dim, tokens) in
        [(9, 3, 64, 150), (4, 4, 12, 37), (8, 1, 20, 70), (5, 1, 128, 20), (2, 2, 8, 1)]
    {
        for (soft_cap, window) in [(None, None), (Some(1.5), Some(6)), (None, Some(33))] {
            let heads = Heads { queries, keys, dim };
            let how = Attention { heads, scale: 0.3, soft_cap, window };
            let qkv = random(&[tokens, heads.width() as i64], 5).to_kind(N::KIND);
            // Two sequences at a time, of the same tokens; the second has two of them less.
            let lengths = [tokens as usize, (tokens as usize).saturating_sub(2)];
            let first = KeysValues::new::<N>(2, &heads);
            let mut held = [first.another(), first];
            let places: Vec<Place> = lengths
                .iter()
                .enumerate()
                .flat_map(|(sequence, length)| (0..*length).map(move |position| Place { sequence, position }))
                .collect();
            let all = Tensor::cat(&[&qkv, &qkv.narrow(0, 0, lengths[1] as i64)], 0);
            let mut out = Buffer::default();
            out.shaped(places.len(), queries * dim + 5);
            let rows = filled::<N>(&all, heads.width());
            let mut held = held.each_mut();
            held.iter_mut().zip(lengths).for_each(|(held, length)| held.grow(length));
            put(&rows, &held, 1, &places, &heads);
            attend(&rows, &held, 1, &places, &how, &mut out);
            let float = qkv.to_kind(Kind::Float);
            let expected = Tensor::empty([tokens, (queries * dim) as i64], (Kind::Float, Device::Cpu));
            let layout = crate::Layout { prefix: 0, lengths: vec![tokens as usize] };
            let _ = crate::plain::attention(&float, &layout, &how, None, &expected);
            let expected = Tensor::cat(&[&expected, &expected.narrow(0, 0, lengths[1] as i64)], 0);
            let what = format!("{queries} {keys} {dim} {tokens} {soft_cap:?} {window:?}");
            let found = numbers(&out).narrow(1, 0, (queries * dim) as i64);
            assert_close(&what, &found, &expected.to_kind(Kind::Double), tolerance);
        }
    }
}

#[test]
fn attention_is_that_of_libtorch() {
    crate::needs_kernels!();
    attention::<f32>(2e-5);
    attention::<bf16>(2e-2);
}

#[test]
fn results_do_not_depend_on_threads() {
    crate::needs_kernels!();
    let heads = Heads { queries: 9, keys: 3, dim: 64 };
    let how = Attention { heads, scale: 0.3, soft_cap: None, window: None };
    let draw = |size: [i64; 2], seed| random(&size, seed).to_kind(Kind::BFloat16);
    let all = || {
        let (x, mut product) = (filled::<bf16>(&draw([37, 130], 1), 130), Buffer::<bf16>::default());
        product.shaped(37, 200);
        Matrix::new::<bf16>(&draw([200, 130], 2), None).product(&x, &mut product, Into::Place);
        let qkv = filled::<bf16>(&draw([50, heads.width() as i64], 3), heads.width());
        let places: Vec<Place> = (0..50).map(|position| Place { sequence: 0, position }).collect();
        let (mut held, mut out) = (KeysValues::new::<bf16>(1, &heads), Buffer::<bf16>::default());
        held.grow(50);
        put(&qkv, &[&mut held], 0, &places, &heads);
        out.shaped(50, 9 * 64);
        attend(&qkv, &[&mut held], 0, &places, &how, &mut out);
        [numbers(&product), numbers(&out)]
    };
    assert_eq!(with_threads(3, all), with_threads(1, all));
}

/// Values behind a sequence's end are multiplied by zero, which would leave NaN NaN.
#[test]
fn a_sequence_sees_nothing_of_one_that_failed() {
    crate::needs_kernels!();
    let heads = Heads { queries: 1, keys: 1, dim: 4 };
    let how = Attention { heads, scale: 1.0, soft_cap: None, window: None };
    let rows = |value: f64, count: i64| {
        filled::<f32>(&Tensor::full([count, 12], value, (Kind::Float, Device::Cpu)), 12)
    };
    let places: Vec<Place> = (0..16).map(|position| Place { sequence: 0, position }).collect();
    // It holds its block as long as the others come and go, or all memory would be given back.
    let mut first = KeysValues::new::<f32>(1, &heads);
    first.grow(1);
    let mut failed = first.another();
    failed.grow(16);
    put(&rows(f64::NAN, 16), &[&mut failed], 0, &places, &heads);
    drop(failed);
    let mut next = first.another();
    next.grow(1);
    put(&rows(7.0, 1), &[&mut next], 0, &places[..1], &heads);
    let mut out = Buffer::<f32>::default();
    out.shaped(1, 4);
    attend(&rows(1.0, 1), &[&mut next], 0, &places[..1], &how, &mut out);
    assert_eq!(out.row(0), [7.0; 4]);
}

#[test]
fn a_cache_forgets_and_is_copied() {
    crate::needs_kernels!();
    let heads = Heads { queries: 1, keys: 1, dim: 4 };
    let mut held = KeysValues::new::<f32>(1, &heads);
    held.grow(20);
    let tokens = Tensor::arange(20, (Kind::Float, Device::Cpu)).unsqueeze(1).expand([20, 12], false);
    let places: Vec<Place> = (0..20).map(|position| Place { sequence: 0, position }).collect();
    let rows = filled::<f32>(&tokens.contiguous(), 12);
    put(&rows, &[&mut held], 0, &places, &heads);
    let mut other = held.another();
    other.grow(3);
    other.copy_from(&held);
    other.truncate(30);
    assert_eq!(other.tokens(), 20);
    other.truncate(7);
    assert_eq!((other.tokens(), held.tokens()), (7, 20));
    let how = Attention { heads, scale: 1.0, soft_cap: None, window: Some(1) };
    let query = filled::<f32>(&Tensor::ones([1, 12], (Kind::Float, Device::Cpu)), 12);
    let mut out = Buffer::<f32>::default();
    out.shaped(1, 4);
    let mut seen = |held: &mut KeysValues, position: usize| {
        attend(&query, &[held], 0, &[Place { sequence: 0, position }], &how, &mut out);
        out.row(0)[0]
    };
    assert_eq!(seen(&mut other, 6), 6.0);
    // What one writes the other does not see, though both held the same.
    other.grow(1);
    let row = filled::<f32>(&Tensor::full([1, 12], 99.0, (Kind::Float, Device::Cpu)), 12);
    put(&row, &[&mut other], 0, &[Place { sequence: 0, position: 7 }], &heads);
    assert_eq!([5, 6, 7].map(|position| seen(&mut other, position)), [5.0, 6.0, 99.0]);
    assert_eq!([5, 6, 7, 19].map(|position| seen(&mut held, position)), [5.0, 6.0, 7.0, 19.0]);
}
