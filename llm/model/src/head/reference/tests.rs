//! Files of most probable tokens: the probability of all other tokens.
//! Needs libtorch; run: `cargo test -p tokensieve-model --lib head::reference::`.

use std::path::Path;

use tch::Tensor;

use super::file::{FORMAT, TAILS};
use super::{Origin, Place, TopFile, TopTable};
use crate::head::Top;
use crate::weights::save_safetensors;

const VOCABULARY: i64 = 9;

/// A file of one predicted token. `of` says whose predictions they are.
fn write(path: &Path, of: &str, top: &Top) {
    let mut table = TopTable::new(top.k);
    table.push([(0, 1)], &[3], [0.5], top);
    table
        .write(path, VOCABULARY, Origin { model: of, adapter: None, precision: Some("f32"), data: "d" })
        .unwrap();
}

/// The same file as it was before it had the tails.
fn without_tails(path: &Path, of: &str) {
    let mut tensors = Tensor::read_safetensors(path).unwrap();
    tensors.retain(|(name, _)| name != TAILS);
    let vocabulary = VOCABULARY.to_string();
    let metadata = [("format", FORMAT), ("model", of), ("data", "d"), ("vocabulary", vocabulary.as_str())];
    save_safetensors(path, &tensors, &metadata).unwrap();
}

/// The probability of all tokens but the first k of a file.
fn tail(path: &Path, k: usize) -> f64 {
    let file = TopFile::open(path, VOCABULARY, "d").unwrap();
    let place = Place { row: 0, part: 0, position: 0, label: 3 };
    f64::from(file.top(&[place], k).unwrap().tail(0))
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-5 * expected, "{found} {expected}");
}

#[test]
fn a_small_rest_keeps_its_digits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("top.safetensors");
    let top = Top { k: 3, ids: vec![3, 0, 5], probabilities: vec![0.65, 0.35, 1e-9], tails: vec![1e-12] };
    write(&path, "hash", &top);
    near(tail(&path, usize::MAX), 1e-12);
    near(tail(&path, 2), 1e-9 + 1e-12);
    near(tail(&path, 1), 0.35);
    let open = || TopFile::open(&path, VOCABULARY, "d").unwrap();
    assert_eq!((open().adapter.as_deref(), open().precision.as_deref()), (Some(""), Some("f32")));
    near(open().share(), 1.0);
    without_tails(&path, "hash");
    assert_eq!((open().adapter, open().precision), (None, None));
    assert!((0.0..1e-6).contains(&tail(&path, 3)));
    near(tail(&path, 1), 0.35);
}

#[test]
fn nothing_is_left_of_a_whole_distribution() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("top.safetensors");
    let all = VOCABULARY as usize;
    let exact = Top { k: 2, ids: vec![3, 0], probabilities: vec![0.65, 0.35], tails: vec![0.0] };
    let whole = Top {
        k: all,
        ids: (0..VOCABULARY as u32).collect(),
        probabilities: vec![1.0 / VOCABULARY as f32; all],
        tails: vec![0.0],
    };
    for (of, top) in [("oracle/train/0", &exact), ("hash", &whole)] {
        write(&path, of, top);
        assert_eq!(tail(&path, usize::MAX), 0.0);
        without_tails(&path, of);
        assert_eq!(tail(&path, usize::MAX), 0.0);
        let left_out = top.probabilities[1..].iter().map(|p| f64::from(*p)).sum();
        near(tail(&path, 1), left_out);
    }
}
