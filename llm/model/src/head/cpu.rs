//! The head on processors with AVX-512: rows of a chunk shared among libtorch's threads, each read by [`kernels`].
#![allow(unsafe_code)]

pub mod kernels;

use tch::{Device, Kind, Tensor};

use self::kernels::{Mix, Sums, capped};
use super::TOP_ENTROPY;
use super::gradient::{Tail, Top};
use super::rows::{Part, RowStats};
use super::tasks::Task;
use tokensieve_kernels::shim;

/// Rows as bytes: what threads share. Each row is touched by one thread only.
#[derive(Clone, Copy)]
struct Matrix {
    start: *mut u8,
    stride: usize,
    columns: usize,
}

// Sound: see `Matrix::row`, the only way in.
unsafe impl Send for Matrix {}
// Sound: likewise.
unsafe impl Sync for Matrix {}

impl Matrix {
    /// A tensor on the CPU whose rows have their numbers side by side.
    fn new(tensor: &Tensor) -> Self {
        let (size, stride) = (tensor.size(), tensor.stride());
        assert!(tensor.device() == Device::Cpu && size.len() == 2 && (stride[1] == 1 || size[1] <= 1));
        let stride = stride[0] as usize * tensor.kind().elt_size_in_bytes();
        Self { start: tensor.data_ptr().cast(), stride, columns: size[1] as usize }
    }

    /// A row's first byte. The tensor outlives every use, and no two threads ask for the same row of what is written.
    fn row(self, i: usize) -> *mut u8 {
        self.start.wrapping_add(i * self.stride)
    }
}

/// Results that threads write, each at places of its own.
struct Slots<T>(*mut T);

// Sound: `put` is called once per place.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T> Slots<T> {
    /// Sound if `i` is within and nobody else's.
    unsafe fn put(&self, i: usize, value: T) {
        // Sound: see above.
        unsafe { *self.0.add(i) = value };
    }
}

/// One result per row, rows shared among threads.
fn each_row<T: Clone + Default + Send>(n: usize, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut results = vec![T::default(); n];
    let slots = Slots(results.as_mut_ptr());
    shim::parallel(n, 1, |part| {
        // Sound: parts do not overlap and lie within 0..n.
        part.for_each(|i| unsafe { slots.put(i, of(i)) });
    });
    results
}

/// Whether the kernels can be used for these logits.
pub(super) fn can(logits: &Tensor) -> bool {
    logits.device() == Device::Cpu
        && matches!(logits.kind(), Kind::Float | Kind::BFloat16)
        && is_x86_feature_detected!("avx512f")
}

fn cap_of(soft_cap: Option<f64>) -> f32 {
    soft_cap.map_or(f32::INFINITY, |cap| cap as f32)
}

/// Every row's statistics.
pub(super) fn statistics(part: &Part, logits_nv: &Tensor, top_entropy: bool) -> Vec<RowStats> {
    if logits_nv.kind() == Kind::BFloat16 {
        statistics_of::<true>(part, logits_nv, top_entropy)
    } else {
        statistics_of::<false>(part, logits_nv, top_entropy)
    }
}

fn statistics_of<const BF16: bool>(part: &Part, logits_nv: &Tensor, top_entropy: bool) -> Vec<RowStats> {
    let cap = cap_of(part.unembedding.soft_cap);
    let [logits, hidden, weight] = [logits_nv, &part.hidden_nd, part.unembedding.weight].map(Matrix::new);
    each_row(part.labels.len(), |i| {
        let (row, label) = (logits.row(i).cast_const(), part.labels[i] as usize);
        assert!(label < logits.columns, "label {label} lies outside the vocabulary");
        // Sound: the rows have as many numbers as their matrices have columns; `can` has asked for AVX-512.
        let (sums, rounded, exact) = unsafe {
            let sums = kernels::sums::<BF16>(row, logits.columns, cap);
            let rounded = kernels::get::<BF16>(row, label);
            let exact = if BF16 {
                kernels::dot::<BF16>(hidden.row(i), weight.row(label), hidden.columns)
            } else {
                rounded
            };
            (sums, capped(rounded, cap), capped(exact, cap))
        };
        let mut stats = with_exact_label(sums, rounded, exact);
        if top_entropy {
            let mut top = Vec::new();
            // Sound: as above.
            unsafe {
                kernels::largest::<BF16>(row, logits.columns, TOP_ENTROPY.min(logits.columns), &mut top);
            }
            let value = |(z, id): (f32, u32)| if id as usize == label { exact } else { capped(z, cap) };
            stats.top_entropy = entropy(top.into_iter().map(|found| f64::from(value(found))));
        } else {
            stats.top_entropy = f64::NAN;
        }
        stats
    })
}

/// The label's logit was rounded with the others; its f32 product takes its place in the sums.
fn with_exact_label(sums: Sums, rounded: f32, exact: f32) -> RowStats {
    let max = f64::from(sums.max);
    let [before, after] = [rounded, exact].map(|z| f64::from(z) - max);
    let (mut sum, mut weighted) = (sums.sum, sums.weighted);
    if rounded.to_bits() != exact.to_bits() {
        sum = (sum - before.exp()).max(0.0) + after.exp();
        weighted += after.exp() * after - before.exp() * before;
    }
    let greedy = rounded >= sums.max;
    RowStats {
        loss: sum.ln() - after,
        entropy: sum.ln() - weighted / sum,
        top_entropy: f64::NAN,
        log_sum_exp: max + sum.ln(),
        greedy,
        // The most probable token's logit is the maximum, whose distance from itself is 0.
        best: if greedy { after - sum.ln() } else { -sum.ln() },
    }
}

/// Entropy of the softmax of a few logits, the largest first.
fn entropy(logits: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let sums = logits.map(|z| z - max).fold((0.0, 0.0), |(s, w), z: f64| (s + z.exp(), w + z.exp() * z));
    sums.0.ln() - sums.1 / sums.0
}

/// The most probable tokens of each row.
pub(super) fn top(logits_nv: &Tensor, soft_cap: Option<f64>, k: usize) -> Top {
    let rows = if logits_nv.kind() == Kind::BFloat16 {
        top_of::<true>(logits_nv, soft_cap, k)
    } else {
        top_of::<false>(logits_nv, soft_cap, k)
    };
    let (ids, probabilities) = rows.into_iter().flatten().unzip();
    Top { k, ids, probabilities }
}

fn top_of<const BF16: bool>(logits_nv: &Tensor, soft_cap: Option<f64>, k: usize) -> Vec<Vec<(u32, f32)>> {
    let (logits, cap) = (Matrix::new(logits_nv), cap_of(soft_cap));
    each_row(logits_nv.size()[0] as usize, |i| {
        let mut found = Vec::with_capacity(k + 1);
        // Sound: as in `statistics_of`.
        let sums = unsafe {
            kernels::largest::<BF16>(logits.row(i), logits.columns, k, &mut found);
            kernels::sums::<BF16>(logits.row(i), logits.columns, cap)
        };
        let log_sum_exp = f64::from(sums.max) + sums.sum.ln();
        let probability = |z: f32| (f64::from(capped(z, cap)) - log_sum_exp).exp() as f32;
        found.into_iter().map(|(z, id)| (id, probability(z))).collect()
    })
}

/// Where each task's logits stand: a tensor's rows, one for each task, or rows of several.
pub(super) enum Logits<'a> {
    /// In the rows that the gradient goes to.
    InPlace,
    /// Tensor and row of each task.
    Elsewhere(Vec<(&'a Tensor, usize)>),
}

/// Writes the tasks' gradients into the rows of `out`, and returns each one's −Σ q log p. The first tasks have a pull onto the reference, whose logits and
/// soft-cap `reference` holds.
pub(super) fn gradient(
    out: &Tensor,
    logits: &Logits,
    tasks: &[Task],
    soft_cap: Option<f64>,
    reference: Option<(&Tensor, Option<f64>)>,
    tail: &Tail,
) -> Vec<f64> {
    if out.kind() == Kind::BFloat16 {
        gradient_of::<true>(out, logits, tasks, soft_cap, reference, tail)
    } else {
        gradient_of::<false>(out, logits, tasks, soft_cap, reference, tail)
    }
}

fn gradient_of<const BF16: bool>(
    out: &Tensor,
    logits: &Logits,
    tasks: &[Task],
    soft_cap: Option<f64>,
    reference: Option<(&Tensor, Option<f64>)>,
    tail: &Tail,
) -> Vec<f64> {
    let to = Matrix::new(out);
    let from: Vec<Matrix> = match logits {
        Logits::InPlace => (0..tasks.len()).map(|i| Matrix { start: to.row(i), ..to }).collect(),
        Logits::Elsewhere(places) => places
            .iter()
            .map(|(tensor, row)| (Matrix::new(tensor), *row))
            .map(|(matrix, row)| Matrix { start: matrix.row(row), ..matrix })
            .collect(),
    };
    let onto_reference = reference.map_or(0, |(logits, _)| logits.size()[0] as usize);
    let other = reference.map(|(logits, cap)| (Matrix::new(logits), cap_of(cap)));
    let cap = cap_of(soft_cap);
    each_row(tasks.len(), |i| {
        let other =
            other.filter(|_| i < onto_reference).map(|(matrix, cap)| (matrix.row(i).cast_const(), cap));
        let row = Row { from: from[i].row(0), to: to.row(i), columns: to.columns, cap, other };
        // Sound: each task has rows of its own, `columns` wide; `can` has asked for AVX-512.
        unsafe { row.write::<BF16>(&tasks[i], tail) }
    })
}

/// One task's rows.
struct Row {
    from: *mut u8,
    to: *mut u8,
    columns: usize,
    cap: f32,
    /// The reference's logits and their cap.
    other: Option<(*const u8, f32)>,
}

impl Row {
    /// Writes the gradient and returns −Σ q log p, 0 without a q.
    ///
    /// Sound if the rows are `columns` wide, nobody else's, and the processor has AVX-512.
    unsafe fn write<const BF16: bool>(&self, task: &Task, tail: &Tail) -> f64 {
        let (a, b) = (task.label_pull, task.reference_pull);
        let label = task.label as usize;
        let p_label = (-task.loss).exp();
        let mut mix = Mix {
            log_sum_exp: task.log_sum_exp as f32,
            scale: (a + b) as f32,
            reference: b as f32,
            reference_log_sum_exp: 0.0,
            flat: 0.0,
            cap: self.cap,
            reference_cap: f32::INFINITY,
        };
        let mut q_label = 0.0;
        let mut other = std::ptr::null();
        // Sound: the caller's promise, here and below.
        if let Some((row, cap)) = self.other {
            let sums = unsafe { kernels::sums::<BF16>(row, self.columns, cap) };
            let log_sum_exp = f64::from(sums.max) + sums.sum.ln();
            (mix.reference_log_sum_exp, mix.reference_cap, other) = (log_sum_exp as f32, cap, row);
            q_label =
                (f64::from(capped(unsafe { kernels::get::<BF16>(row, label) }, cap)) - log_sum_exp).exp();
        }
        let mut flat = 0.0;
        if matches!(tail, Tail::Uniform) && b != 0.0 {
            q_label = 1.0 / self.columns as f64;
            mix.flat = (b * q_label) as f32;
            flat = task.log_sum_exp - unsafe { kernels::mean::<BF16>(self.from, self.columns, self.cap) };
        }
        let slope = |z: f64| 1.0 - (z / f64::from(self.cap)).powi(2);
        let at_label = slope(task.log_sum_exp - task.loss);
        let (Tail::Top(top), true) = (tail, b != 0.0) else {
            let exact = ((a + b) * p_label - a - b * q_label) * at_label;
            return unsafe {
                let cross_entropy = kernels::gradient::<BF16>(self.from, other, self.to, self.columns, &mix);
                kernels::set::<BF16>(self.to, label, exact as f32);
                cross_entropy + flat
            };
        };
        let (ids, q) = (top.ids(task.row), top.probabilities(task.row));
        let logits: Vec<f32> =
            ids.iter().map(|id| unsafe { kernels::get::<BF16>(self.from, *id as usize) }).collect();
        // What p has beside the k: summed without them, for 1 − Σ would lose its digits.
        let outside = unsafe {
            for id in ids {
                kernels::set::<BF16>(self.from, *id as usize, f32::MIN);
            }
            let sums = kernels::sums::<BF16>(self.from, self.columns, self.cap);
            // Where logits are capped, the least possible one is −cap.
            let left_out = ids.len() as f64 * f64::from(-self.cap - sums.max).exp();
            (sums.sum - left_out) * (f64::from(sums.max) - task.log_sum_exp).exp()
        };
        let q_outside = (1.0 - q.iter().map(|q| f64::from(*q)).sum::<f64>()).max(0.0);
        let scale = a + b - b * q_outside / outside.max(f64::from(f32::MIN_POSITIVE));
        mix.scale = scale as f32;
        unsafe {
            kernels::gradient::<BF16>(self.from, other, self.to, self.columns, &mix);
            kernels::set::<BF16>(self.to, label, ((scale * p_label - a) * at_label) as f32);
        }
        let log = |p: f64| p.max(f64::MIN_POSITIVE).ln();
        let mut cross_entropy = if q_outside > 0.0 { -q_outside * log(outside) } else { 0.0 };
        for ((id, z), q) in ids.iter().zip(logits).zip(q) {
            cross_entropy += f64::from(*q) * (task.log_sum_exp - f64::from(capped(z, self.cap)));
            let z = f64::from(capped(z, self.cap));
            let (p, own) = if *id == task.label { (p_label, a) } else { ((z - task.log_sum_exp).exp(), 0.0) };
            let x = ((a + b) * p - own - b * f64::from(*q)) * slope(z);
            unsafe { kernels::set::<BF16>(self.to, *id as usize, x as f32) };
        }
        cross_entropy
    }
}

#[cfg(test)]
mod tests {
    use super::super::Unembedding;
    use super::super::plain;
    use super::super::rows::{Computed, Rows, fetch};
    use super::*;

    #[test]
    fn exponentials_are_right_to_a_millionth() {
        if is_x86_feature_detected!("avx512f") {
            // Sound: asked for.
            let worst = unsafe { kernels::worst_exp() };
            assert!(worst < 3e-7, "{worst}");
        }
    }

    #[test]
    fn kernels_say_what_libtorch_says() {
        // Several blocks and a rest; logits far apart.
        for (kind, cap, columns) in [
            (Kind::Float, None, 9003),
            (Kind::BFloat16, None, 9003),
            (Kind::Float, Some(30.0), 4100),
            (Kind::BFloat16, Some(30.0), 70),
        ] {
            tch::manual_seed(5);
            let random = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind);
            let (hidden_nd, weight) = (random([11, 40]), random([columns, 40]));
            let logits = hidden_nd.mm(&weight.tr());
            if !can(&logits) {
                return;
            }
            let labels: Vec<u32> = (0..11).map(|i| i * 6).collect();
            let unembedding = Unembedding { weight: &weight, soft_cap: cap, name: "" };
            let rows = Rows { hidden_rd: &hidden_nd, labels: &labels, unembedding };
            let part = rows.part(&rows.labels_r(), 0..labels.len());
            let own = statistics(&part, &logits, true);
            let plain = fetch(vec![Computed::There(plain::statistics(&part, &logits, true))]);
            for (own, plain) in own.iter().zip(&plain) {
                let near =
                    |a: f64, b: f64| assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{own:?} {plain:?}");
                near(own.loss, plain.loss);
                near(own.entropy, plain.entropy);
                near(own.log_sum_exp, plain.log_sum_exp);
                assert!((own.top_entropy - plain.top_entropy).abs() < 1e-2);
                near(own.best, plain.best);
                assert_eq!(own.greedy, plain.greedy);
            }
            let (own, plain) = (top(&logits, cap, 7), plain::top(&logits, cap, 7));
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5 * b + 1e-7;
            assert!(own.probabilities.iter().zip(&plain.probabilities).all(near));
        }
    }
}
