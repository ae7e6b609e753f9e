//! The head's passes in libtorch's own operators, in f32: what runs where there are no kernels, and what the kernels are
//! compared with.

use tch::{Kind, Tensor};

use super::task::{Chunk, INVERSE_TEMPERATURES, Onto, Reference, Request, TOP_ENTROPY, Tail, Top};
use crate::upload;

/// Tasks as the device reads them.
#[derive(Debug)]
pub struct DeviceTasks {
    /// i64 `[n]`.
    pub labels_n: Tensor,
    /// log Σ exp of the logits: f32 `[n, 1]`, as all that follow.
    pub log_sum_exp: Tensor,
    /// −log p of the label.
    pub loss: Tensor,
    /// a.
    pub label_weight: Tensor,
    /// b.
    pub reference_weight: Tensor,
    /// a + b.
    pub weight: Tensor,
    /// b/V.
    pub flat: Tensor,
    /// 1 where b is not 0.
    pub has_reference: Tensor,
    /// The reference's most probable tokens, where it is truncated to them.
    pub top: Option<DeviceTop>,
}

/// The most probable tokens of each row's reference.
#[derive(Debug)]
pub struct DeviceTop {
    /// i64 `[n, k]`.
    pub ids: Tensor,
    /// f32 `[n, k]`.
    pub probabilities: Tensor,
    /// The probability of all other tokens: f32 `[n, 1]`.
    pub tail: Tensor,
}

impl DeviceTop {
    /// Each of the three changed alike.
    #[must_use]
    pub fn map(&self, change: impl Fn(&Tensor) -> Tensor) -> Self {
        let [ids, probabilities, tail] = [&self.ids, &self.probabilities, &self.tail].map(change);
        Self { ids, probabilities, tail }
    }
}

/// c·tanh(z / c) in f32.
fn capped(logits: &Tensor, soft_cap: Option<f64>) -> Tensor {
    let z = logits.to_kind(Kind::Float);
    match soft_cap {
        Some(cap) => (z / cap).tanh() * cap,
        None => z,
    }
}

/// f64 `[n, 7]`: loss, entropy, top entropy, log-sum-exp, whether the label is the (first) most probable token, log p of what is, the divergence;
/// and, where they are asked for, the losses at each inverse temperature and the probability of all tokens no more probable
/// than the label.
pub fn statistics(part: &Chunk, logits_nv: &Tensor, request: &Request) -> Tensor {
    let soft_cap = part.soft_cap;
    let labels = part.labels_n.unsqueeze(1);
    let mut z = capped(logits_nv, soft_cap);
    let max = z.amax([1], true);
    let is_largest = z.gather(1, &labels, false).ge_tensor(&max);
    let greedy = z.argmax(1, true).eq_tensor(&labels);
    // Before the label's logit changes: the reference's logits are rounded as all others are.
    let divergence =
        request.reference.map(|reference| divergence(&z.log_softmax(1, Kind::Float), &reference));
    let no_larger = request.mass.then(|| z.le_tensor(&z.gather(1, &labels, false)));
    let label_logit = if logits_nv.kind() == Kind::Float {
        z.gather(1, &labels, false)
    } else {
        let exact = capped(&part.label_logits(), soft_cap).unsqueeze(1);
        let _ = z.scatter_(1, &labels, &exact);
        exact
    };
    let log_sum_exp = z.logsumexp([1], true);
    let log_p = &z - &log_sum_exp;
    let entropy = entropy(&log_p);
    let top = if request.top_entropy {
        let k = (TOP_ENTROPY as i64).min(z.size()[1]);
        let (top, _) = z.topk(k, 1, true, false);
        self::entropy(&top.log_softmax(1, Kind::Float))
    } else {
        entropy.full_like(f64::NAN)
    };
    let tempered = request
        .tempered
        .then(|| INVERSE_TEMPERATURES.map(|by| (&z * by).logsumexp([1], true) - &label_logit * by));
    let best = label_logit.where_self(&is_largest, &max) - &log_sum_exp;
    let loss = &log_sum_exp - label_logit;
    let divergence = divergence.unwrap_or_else(|| entropy.full_like(f64::NAN));
    let mut columns = vec![loss, entropy, top, log_sum_exp, greedy.to_kind(Kind::Float), best, divergence];
    columns.extend(tempered.into_iter().flatten());
    let mass = no_larger.map(|no_larger| sum(&(log_p.exp() * no_larger)).clamp_max(1.0));
    columns.extend(mass.map(|mass| mass.masked_fill(&is_largest, 1.0)));
    Tensor::cat(&columns, 1).to_kind(Kind::Double)
}

fn entropy(log_p: &Tensor) -> Tensor {
    -(log_p.exp() * log_p).sum_dim_intlist(1, true, Kind::Float)
}

/// KL(q ‖ p) of every row, `[n, 1]`; never negative, which rounding can make it where q is p.
fn divergence(log_p: &Tensor, reference: &Reference) -> Tensor {
    let divergence = match reference {
        Reference::Uniform => -log_p.mean_dim(1, true, Kind::Float) - (log_p.size()[1] as f64).ln(),
        Reference::Logits((logits, cap)) => {
            let log_q = capped(logits, *cap).log_softmax(1, Kind::Float);
            sum(&(log_q.exp() * (&log_q - log_p)))
        }
        Reference::Top(top, first) => {
            let (n, k) = (log_p.size()[0], top.k as i64);
            let rows = first * top.k..(first + n as usize) * top.k;
            let ids: Vec<i64> = top.ids[rows.clone()].iter().map(|id| i64::from(*id)).collect();
            let ids = upload(&ids, log_p.device()).view([n, k]);
            let q = upload(&top.probabilities[rows], log_p.device()).view([n, k]);
            let q_tail = upload(&top.tails[*first..first + n as usize], log_p.device()).view([n, 1]);
            let p_tail = positive(&tail(log_p.exp(), &ids));
            // 0·log 0 is 0.
            let term = |q: &Tensor, log_p: &Tensor| q.xlogy(q) - q * log_p;
            sum(&term(&q, &log_p.gather(1, &ids, false))) + term(&q_tail, &p_tail.log())
        }
    };
    divergence.clamp_min(0.0)
}

/// Overwrites logits `[n, V]` by the gradient on them, and returns −Σ q log p, or KL(p ‖ q) where that is lowered, f64 `[n]`, 0
/// without a q. The first rows have the reference's logits.
///
/// # Panics
/// If the tail is of tokens that the tasks do not name.
pub fn gradient(logits_nv: &mut Tensor, tasks: &DeviceTasks, soft_cap: Option<f64>, onto: &Onto) -> Tensor {
    let labels = tasks.labels_n.unsqueeze(1);
    let z = capped(logits_nv, soft_cap);
    let mut log_p = &z - &tasks.log_sum_exp;
    let _ = log_p.scatter_(1, &labels, &-&tasks.loss);
    let (mut out, distance) =
        if onto.reverse { reverse(&log_p, tasks, onto) } else { forward(&log_p, tasks, onto) };
    let _ = out.scatter_add_(1, &labels, &-&tasks.label_weight);
    if let Some(cap) = soft_cap {
        out *= 1.0 - (&z / cap).square();
    }
    logits_nv.copy_(&out);
    distance.squeeze_dim(1).to_kind(Kind::Double)
}

/// (a + b)·p − b·q, and −Σ q log p.
fn forward(log_p: &Tensor, tasks: &DeviceTasks, onto: &Onto) -> (Tensor, Tensor) {
    let p = log_p.exp();
    let mut cross_entropy = tasks.has_reference.zeros_like();
    let out = match onto.tail {
        Tail::Uniform => {
            cross_entropy = -log_p.mean_dim(1, true, Kind::Float) * &tasks.has_reference;
            &p * &tasks.weight - &tasks.flat
        }
        Tail::Top(_) => {
            let (out, distance) = towards_top(&p, log_p, tasks);
            cross_entropy = distance * &tasks.has_reference;
            out
        }
        Tail::Itself(by) => {
            let q = (log_p * by).softmax(1, Kind::Float);
            cross_entropy = -sum(&(&q * log_p)) * &tasks.has_reference;
            &p * &tasks.weight - q * &tasks.reference_weight
        }
        Tail::None => &p * &tasks.weight,
    };
    if let Some((reference, cap)) = onto.logits {
        let n = reference.size()[0];
        let q = capped(reference, cap).softmax(1, Kind::Float);
        let pull = tasks.reference_weight.narrow(0, 0, n);
        cross_entropy.narrow(0, 0, n).copy_(&-sum(&(&q * log_p.narrow(0, 0, n))));
        let _ = out.narrow(0, 0, n).g_sub_(&(q * pull));
    }
    (out, cross_entropy)
}

/// a·p + b·p·(log p − log q − KL(p ‖ q)), and KL(p ‖ q).
fn reverse(log_p: &Tensor, tasks: &DeviceTasks, onto: &Onto) -> (Tensor, Tensor) {
    let p = log_p.exp();
    let ratio = match (onto.logits, onto.tail) {
        (Some((reference, cap)), _) => {
            let n = reference.size()[0];
            let log_q = capped(reference, cap).log_softmax(1, Kind::Float);
            let rest = log_p.narrow(0, n, log_p.size()[0] - n).zeros_like();
            Tensor::cat(&[log_p.narrow(0, 0, n) - log_q, rest], 0)
        }
        (None, Tail::Uniform) => log_p + (log_p.size()[1] as f64).ln(),
        (None, Tail::Itself(by)) => log_p - (log_p * by).log_softmax(1, Kind::Float),
        (None, Tail::Top(_)) => {
            let DeviceTop { ids, probabilities: q, tail: q_tail } = top_of(tasks);
            let log = |p: &Tensor| positive(p).log();
            let outside = (log(&tail(p.copy(), ids)) - log(q_tail)).expand_as(log_p).copy();
            outside.scatter(1, ids, &(log_p.gather(1, ids, false) - log(q)))
        }
        (None, Tail::None) => log_p.zeros_like(),
    };
    let divergence = sum(&(&p * &ratio));
    let out = &p * (&tasks.label_weight + &tasks.reference_weight * (ratio - &divergence));
    (out, divergence * &tasks.has_reference)
}

fn sum(terms: &Tensor) -> Tensor {
    terms.sum_dim_intlist(1, true, Kind::Float)
}

/// The most probable tokens of each row: ids and probabilities, and the probability of all others.
pub(crate) fn top(logits_nv: &Tensor, soft_cap: Option<f64>, k: usize) -> Top {
    let log_p = capped(logits_nv, soft_cap).log_softmax(1, Kind::Float);
    let (largest, ids) = log_p.topk(k as i64, 1, true, true);
    let numbers = |of: &Tensor| Vec::<f32>::try_from(of.reshape(-1)).expect("probabilities are f32");
    let (probabilities, tails) = (numbers(&largest.exp()), numbers(&tail(log_p.exp(), &ids)));
    let ids = Vec::<i64>::try_from(ids.reshape(-1)).expect("indices are i64");
    Top { k, ids: ids.into_iter().map(|id| id as u32).collect(), probabilities, tails }
}

/// (a + b)·p − b·q, where q is known for k tokens and has the prediction's shape on the others; and −Σ q log p with the
/// others as one.
fn towards_top(p: &Tensor, log_p: &Tensor, tasks: &DeviceTasks) -> (Tensor, Tensor) {
    let DeviceTop { ids, probabilities: q, tail: q_tail } = top_of(tasks);
    let (a, b) = (&tasks.label_weight, &tasks.reference_weight);
    let p_tail = positive(&tail(p.copy(), ids));
    let inside = p.gather(1, ids, false) * (a + b) - b * q;
    let cross_entropy =
        -(q * log_p.gather(1, ids, false)).sum_dim_intlist(1, true, Kind::Float) - q_tail * p_tail.log();
    let mut out = p * (a + b - b * q_tail / p_tail);
    let _ = out.scatter_(1, ids, &inside);
    (out, cross_entropy)
}

fn top_of(tasks: &DeviceTasks) -> &DeviceTop {
    tasks.top.as_ref().expect("the tail is of tokens that the tasks know")
}

/// The probability of all tokens but these, summed without them: 1 − Σ has no digits of a small one.
fn tail(mut p: Tensor, ids: &Tensor) -> Tensor {
    let _ = p.scatter_value_(1, ids, 0.0);
    p.sum_dim_intlist(1, true, Kind::Float)
}

/// Probabilities whose logarithms are finite: in the place of 0 stands the least normal number.
fn positive(p: &Tensor) -> Tensor {
    p.clamp_min(f64::from(f32::MIN_POSITIVE))
}
