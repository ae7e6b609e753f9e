//! The head against automatic differentiation of the loss as one would write it down: for every preset, in f32 and in
//! bf16, with and without a soft-cap. Needs nothing; run: `cargo test -p tokensieve-model --lib head::`.

use tch::{Device, Kind, Tensor};
use tokensieve_base::streams::Stream;
use tokensieve_kernels::backend::{Backend, runs_test_of};
use tokensieve_kernels::head_rows::TOP_ENTROPY;
use tokensieve_objective::{Against, Direction, Objective, Plan, Pull, Pulls, TokenStats, presets};

use super::*;

const ROWS: i64 = 37;
const VOCABULARY: i64 = 205;
const WIDTH: i64 = 24;

/// Hidden states, a reference's, two output matrices and labels.
struct Case {
    hidden: Tensor,
    reference: Tensor,
    weights: [Tensor; 2],
    labels: Vec<u32>,
    soft_cap: Option<f64>,
}

impl Case {
    fn new(kind: Kind, soft_cap: Option<f64>) -> Self {
        let mut stream = Stream::new(3, "head");
        let mut random = |shape: [i64; 2], size: f64| {
            let numbers: Vec<f64> = (0..shape[0] * shape[1]).map(|_| stream.normal() * size).collect();
            Tensor::from_slice(&numbers).reshape(shape).to_kind(kind)
        };
        Self {
            hidden: random([ROWS, WIDTH], 1.0),
            reference: random([ROWS, WIDTH], 1.0),
            weights: [random([VOCABULARY, WIDTH], 0.6), random([VOCABULARY, WIDTH], 0.6)],
            labels: (0..ROWS as u32).map(|i| i * 61 % VOCABULARY as u32).collect(),
            soft_cap,
        }
    }

    fn rows(&self) -> Rows<'_> {
        let unembedding = Unembedding { weight: &self.weights[0], soft_cap: self.soft_cap, name: "" };
        Rows { hidden_rd: &self.hidden, labels: &self.labels, unembedding }
    }

    fn reference_rows(&self) -> Rows<'_> {
        let unembedding = Unembedding { weight: &self.weights[1], soft_cap: None, name: "" };
        Rows { hidden_rd: &self.reference, labels: &self.labels, unembedding }
    }

    /// Log-probabilities of hidden states that may be differentiated, in f64.
    fn log_p(&self, hidden: &Tensor) -> Tensor {
        let z = hidden.mm(&self.weights[0].to_kind(Kind::Double).tr());
        let z = self.soft_cap.map_or(z.shallow_clone(), |cap| (z / cap).tanh() * cap);
        z.log_softmax(1, Kind::Double)
    }

    fn tokens(stats: &[RowStats], reference: &[RowStats]) -> Vec<TokenStats> {
        let each = stats.iter().zip(reference).zip(0u32..);
        each.map(|((own, reference), i)| TokenStats {
            top_entropy: Some(own.top_entropy),
            concentration: own.concentration(),
            reference_loss: Some(reference.loss),
            reference_mass: reference.mass,
            base_loss: Some(reference.loss + 0.2),
            bald: Some(f64::from(i % 7) * 0.1),
            advantage: Some(f64::from(i % 3) - 0.7),
            weight: if i % 5 == 4 { 0.5 } else { 1.0 },
            vocabulary: VOCABULARY as u32,
            document: i / 8,
            position: i % 8,
            ..TokenStats::new(own.loss, own.entropy)
        })
        .collect()
    }
}

fn f64s(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape(-1)).unwrap()
}

/// Largest difference relative to the largest number.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let [a, b] = [a, b].map(|t| t.to_kind(Kind::Double));
    (&a - &b).abs().max().double_value(&[]) / b.abs().max().double_value(&[]).max(1e-30)
}

/// What a preset's batch pulls, and which reference it needs.
fn pulls(objective: &Objective, tokens: &[TokenStats]) -> Pulls {
    let mut training = objective.begin(Plan { steps: 10, seed: 1 });
    let _ = training.survey(tokens);
    training.pulls(tokens).unwrap().clone()
}

/// The same gradient by writing the loss down and letting libtorch differentiate it.
fn by_autograd(
    case: &Case,
    objective: &Objective,
    tokens: &[TokenStats],
    pulls: &Pulls,
) -> (Tensor, Vec<f64>) {
    // A tensor of its own, whatever the case's kind.
    let hidden = case.hidden.to_kind(Kind::Double).copy().set_requires_grad(true);
    let log_p = case.log_p(&hidden);
    let labels = rows::indices(&case.labels, Device::Cpu).unsqueeze(1);
    let q = match (objective.against(), objective.temperature()) {
        (Some(Against::Uniform), _) => log_p.full_like(1.0 / VOCABULARY as f64),
        (_, Some(temperature)) => (log_p.detach() / temperature).softmax(1, Kind::Double),
        _ => {
            let weight = case.weights[1].to_kind(Kind::Double);
            case.reference.to_kind(Kind::Double).mm(&weight.tr()).softmax(1, Kind::Double)
        }
    };
    let towards_reference = match objective.top_k() {
        _ if objective.direction() == Direction::Reverse => {
            (log_p.exp() * (&log_p - q.log())).sum_dim_intlist(1, false, Kind::Double)
        }
        None => -(&q * &log_p).sum_dim_intlist(1, false, Kind::Double),
        Some(k) => {
            let (top, ids) = q.topk(k as i64, 1, true, true);
            let inside = log_p.gather(1, &ids, false);
            let one = |x: &Tensor| (-x.sum_dim_intlist(1, false, Kind::Double) + 1.0).log();
            let tail_q = -top.sum_dim_intlist(1, false, Kind::Double) + 1.0;
            -(&top * &inside).sum_dim_intlist(1, false, Kind::Double) - tail_q * one(&inside.exp())
        }
    };
    // The label's part of the written-out loss has the slope −a in log p; objective's own tests say so.
    let column = |f: &dyn Fn(usize) -> f64| Tensor::from_slice(&(0..tokens.len()).map(f).collect::<Vec<_>>());
    let label = -log_p.gather(1, &labels, false).squeeze_dim(1) * column(&|i| pulls.pulls[i].label);
    let loss = (label + &towards_reference * column(&|i| pulls.pulls[i].reference)).sum(Kind::Double)
        / pulls.normaliser;
    loss.backward();
    (hidden.grad(), f64s(&towards_reference))
}

fn check(kind: Kind, soft_cap: Option<f64>, tolerance: f64) {
    let case = Case::new(kind, soft_cap);
    // Chunks of 16 rows, one of them kept.
    let chunk = 16 * VOCABULARY as usize * kind.elt_size_in_bytes();
    let mut head = Head::new(chunk, chunk);
    let of_reference = Request { mass: true, ..Request::default() };
    let reference_stats = head.statistics(&case.reference_rows(), &of_reference);
    for name in presets::names() {
        let objective = Objective::preset(name).unwrap();
        let request = Request { top_entropy: true, tempered: true, mass: true, ..Request::default() };
        let (stats, kept) = head.statistics_keeping(&case.rows(), &request);
        let tokens = Case::tokens(&stats, &reference_stats);
        let pulls = pulls(&objective, &tokens);
        let reference_rows = case.reference_rows();
        let top = objective.top_k().map(|k| head.top(&reference_rows, k));
        let reference = match (&top, objective.against()) {
            _ if !objective.distills() => Distribution::None,
            (Some(top), _) => Distribution::Top(top),
            (None, Some(Against::Uniform)) => Distribution::Uniform,
            (None, Some(Against::Itself)) => Distribution::Itself(1.0 / objective.temperature().unwrap()),
            (None, _) => Distribution::Model {
                hidden_rd: reference_rows.hidden_rd,
                unembedding: reference_rows.unembedding,
            },
        };
        let wanted = Wanted {
            pulls: &pulls.pulls,
            normaliser: pulls.normaliser,
            reference,
            reverse: objective.direction() == Direction::Reverse,
            weight_gradient: None,
        };
        let gradient = head.gradient(&case.rows(), &stats, &wanted, Some(kept));
        let Gradient { hidden_rd: gradient, distance: found } = gradient;
        let (expected, distances) = by_autograd(&case, &objective, &tokens, &pulls);
        for ((own, expected), pull) in found.iter().zip(distances).zip(&pulls.pulls) {
            let expected = if pull.reference == 0.0 { 0.0 } else { expected };
            assert!((own - expected).abs() < 3.0 * tolerance * (1.0 + expected), "{name}: {own} {expected}");
        }
        let error = distance(&gradient, &expected);
        assert!(error < tolerance, "{name} in {kind:?}, cap {soft_cap:?}: {error}");
        // No logits kept, and chunk by chunk: the same but for the order of sums.
        let rounding = 1e-2 * tolerance.max(1e-4);
        let computed_again = head.gradient(&case.rows(), &stats, &wanted, None);
        assert!(distance(&computed_again.hidden_rd, &gradient) < rounding, "{name}");
        let rows = case.rows();
        let mut chunks = head.chunks(&rows, request);
        while let Some(chunk) = chunks.next_chunk() {
            let range = chunk.range();
            assert_eq!(chunk.statistics(), &stats[range.clone()], "{name}");
            chunk.gradient(&Wanted { pulls: &pulls.pulls[range], ..wanted });
        }
        assert!(distance(&chunks.finish().hidden_rd, &gradient) < rounding, "{name}");
    }
}

#[test]
fn gradient_of_every_preset_in_f32() {
    check(Kind::Float, None, 2e-5);
    check(Kind::Float, Some(4.0), 2e-5);
}

#[test]
fn gradient_of_every_preset_in_bf16() {
    // bf16 has 8 bits, and pulls near a threshold may tip: they are computed from the same rounded logits here.
    check(Kind::BFloat16, None, 2e-2);
    check(Kind::BFloat16, Some(4.0), 2e-2);
}

#[test]
fn gradient_of_every_preset_in_libtorchs_operators() {
    // What no kernel of ours is for, as on CUDA.
    check(Kind::Double, None, 2e-5);
    check(Kind::Double, Some(4.0), 2e-5);
}

#[test]
fn statistics_are_those_of_the_softmax() {
    for (kind, soft_cap, tolerance) in
        [(Kind::Float, None, 1e-5), (Kind::Float, Some(4.0), 1e-5), (Kind::BFloat16, None, 0.03)]
    {
        let case = Case::new(kind, soft_cap);
        let request = Request { top_entropy: true, tempered: true, mass: true, ..Request::default() };
        let stats = Head::default().statistics(&case.rows(), &request);
        let log_p = case.log_p(&case.hidden.to_kind(Kind::Double));
        let labels = rows::indices(&case.labels, Device::Cpu).unsqueeze(1);
        let entropy = |log_p: &Tensor| f64s(&-(log_p.exp() * log_p).sum_dim_intlist(1, false, Kind::Double));
        let (top, _) = log_p.topk(TOP_ENTROPY as i64, 1, true, false);
        let (loss, entropies) = (f64s(&-log_p.gather(1, &labels, false)), entropy(&log_p));
        let tempered = INVERSE_TEMPERATURES
            .map(|by| f64s(&-(&log_p * by).log_softmax(1, Kind::Double).gather(1, &labels, false)));
        let top_entropies = entropy(&top.log_softmax(1, Kind::Double));
        let concentrations = f64s(&(&log_p * 2.0).exp().sum_dim_intlist(1, false, Kind::Double));
        let no_larger = log_p.le_tensor(&log_p.gather(1, &labels, false));
        let masses = f64s(&(log_p.exp() * no_larger).sum_dim_intlist(1, false, Kind::Double));
        for (i, own) in stats.iter().enumerate() {
            let of = own.tempered.expect("asked for");
            for ((own, expected), by) in of.iter().zip(&tempered).zip(INVERSE_TEMPERATURES) {
                // Both logits of the difference are rounded, and multiplied.
                let near = 2.0 * tolerance * by.max(1.0);
                assert!((own - expected[i]).abs() < near, "tempered {own} {}", expected[i]);
            }
            assert!((own.loss - loss[i]).abs() < tolerance, "loss {} {}", own.loss, loss[i]);
            assert!(
                (own.entropy - entropies[i]).abs() < tolerance,
                "entropy {} {}",
                own.entropy,
                entropies[i]
            );
            assert!((own.top_entropy - top_entropies[i]).abs() < tolerance);
            let mass = own.mass.expect("asked for");
            assert!((mass - masses[i]).abs() < tolerance, "mass {mass} {}", masses[i]);
            let concentration = own.concentration().expect("asked for");
            assert!((concentration - concentrations[i]).abs() < tolerance, "{concentration}");
        }
    }
}

/// Σ q (log q − log p) of rows of probabilities, written down; the tokens outside `top` are one.
fn divergence(q: &[f64], p: &[f64], top: Option<&[u32]>) -> f64 {
    let term = |q: f64, p: f64| if q > 0.0 { q * (q.ln() - p.ln()) } else { 0.0 };
    let inside = |id: &usize| top.is_none_or(|top| top.contains(&(*id as u32)));
    let rest = |values: &[f64]| (0..values.len()).filter(|id| !inside(id)).map(|id| values[id]).sum::<f64>();
    let each = (0..q.len()).filter(inside).map(|id| term(q[id], p[id])).sum::<f64>();
    each + term(rest(q), rest(p))
}

#[test]
fn divergences_are_those_of_the_distributions() {
    for (kind, soft_cap, tolerance) in [
        (Kind::Float, None, 2e-5),
        (Kind::Float, Some(4.0), 2e-5),
        (Kind::BFloat16, None, 0.03),
        // libtorch's operators, as on CUDA.
        (Kind::Double, None, 2e-5),
        (Kind::Double, Some(4.0), 2e-5),
    ] {
        let case = Case::new(kind, soft_cap);
        // Chunks of 16 rows, one of them kept.
        let chunk = 16 * VOCABULARY as usize * kind.elt_size_in_bytes();
        let mut head = Head::new(chunk, chunk);
        let p = f64s(&case.log_p(&case.hidden.to_kind(Kind::Double)).exp());
        let other = case.reference_rows();
        let [hidden, weight] = [&case.reference, &case.weights[1]].map(|x| x.to_kind(Kind::Double));
        let q = f64s(&hidden.mm(&weight.tr()).softmax(1, Kind::Double));
        let uniform = vec![1.0 / VOCABULARY as f64; q.len()];
        let few = head.top(&other, 5);
        let (plain, top) = head.statistics_and_top(&other, 5);
        assert_eq!((&top.ids, &top.probabilities), (&few.ids, &few.probabilities));
        let losses = |stats: &[RowStats]| stats.iter().map(|row| (row.loss, row.entropy)).collect::<Vec<_>>();
        assert_eq!(losses(&plain), losses(&head.statistics(&other, &Request::default())));
        let all = head.top(&other, VOCABULARY as usize);
        let model = Distribution::Model { hidden_rd: other.hidden_rd, unembedding: other.unembedding };
        for (divergence_from, q) in [
            (Distribution::Uniform, &uniform),
            (model, &q),
            (Distribution::Top(&few), &q),
            (Distribution::Top(&all), &q),
        ] {
            let request = Request { divergence_from, ..Request::default() };
            let stats = head.statistics(&case.rows(), &request);
            let row = VOCABULARY as usize;
            for (i, (q, p)) in q.chunks_exact(row).zip(p.chunks_exact(row)).enumerate() {
                let top = if let Distribution::Top(top) = divergence_from { Some(top.ids(i)) } else { None };
                let (own, expected) = (stats[i].divergence.unwrap(), divergence(q, p, top));
                assert!((own - expected).abs() < tolerance * (1.0 + expected), "{kind:?} {own} {expected}");
            }
            // Wherever the logits are, the numbers are the same.
            let (keeping, kept) = head.statistics_keeping(&case.rows(), &request);
            let pulls = vec![Pull::default(); stats.len()];
            let reference = Distribution::None;
            let wanted =
                Wanted { pulls: &pulls, normaliser: 1.0, reference, reverse: false, weight_gradient: None };
            let _ = head.gradient(&case.rows(), &keeping, &wanted, Some(kept));
            let (rows, mut by_chunk) = (case.rows(), Vec::new());
            let mut chunks = head.chunks(&rows, request);
            while let Some(chunk) = chunks.next_chunk() {
                by_chunk.extend(chunk.statistics().iter().map(|stats| stats.divergence));
            }
            for (i, row) in stats.iter().enumerate() {
                assert_eq!([keeping[i].divergence, by_chunk[i]], [row.divergence; 2]);
            }
        }
        let own = case.rows();
        let itself = Distribution::Model { hidden_rd: own.hidden_rd, unembedding: own.unembedding };
        let request = Request { divergence_from: itself, ..Request::default() };
        assert!(head.statistics(&own, &request).iter().all(|row| row.divergence.unwrap() < 1e-6));
    }
}

#[test]
fn the_output_matrix_gets_its_gradient() {
    let case = Case::new(Kind::Float, Some(4.0));
    let mut head = Head::new(10_000, 0);
    let stats = head.statistics(&case.rows(), &Request::default());
    let pulls = vec![Pull { label: 1.0, reference: 0.0 }; stats.len()];
    let sum = Tensor::ones([VOCABULARY, WIDTH], (Kind::Float, Device::Cpu));
    let wanted = Wanted {
        pulls: &pulls,
        normaliser: 2.0,
        reference: Distribution::None,
        reverse: false,
        weight_gradient: Some(&sum),
    };
    let _ = head.gradient(&case.rows(), &stats, &wanted, None);
    let weight = case.weights[0].to_kind(Kind::Double).set_requires_grad(true);
    let z = (case.hidden.to_kind(Kind::Double).mm(&weight.tr()) / 4.0).tanh() * 4.0;
    let labels = rows::indices(&case.labels, Device::Cpu);
    let loss = z.log_softmax(1, Kind::Double).nll_loss(&labels) * stats.len() as f64 / 2.0;
    loss.backward();
    assert!(distance(&(sum - 1.0), &weight.grad()) < 1e-5);
}

#[test]
fn chunks_change_nothing_but_rounding() {
    let case = Case::new(Kind::Float, None);
    let pulls = vec![Pull { label: 1.0, reference: 0.5 }; case.labels.len()];
    let reference = case.reference_rows();
    let reference =
        Distribution::Model { hidden_rd: reference.hidden_rd, unembedding: reference.unembedding };
    let wanted = Wanted { pulls: &pulls, normaliser: 3.0, reference, reverse: false, weight_gradient: None };
    let of = |chunk_bytes: usize| {
        let mut head = Head::new(chunk_bytes, 0);
        let stats = head.statistics(&case.rows(), &Request::default());
        head.gradient(&case.rows(), &stats, &wanted, None).hidden_rd
    };
    for chunk_bytes in [1, 5_000, 20_000] {
        assert!(distance(&of(chunk_bytes), &of(1 << 20)) < 1e-5);
    }
}

#[test]
fn the_labels_logit_is_exact_beside_others_in_int8() {
    if !runs_test_of(Backend::Avx512Bf16) {
        return;
    }
    for (kind, soft_cap) in [(Kind::Float, None), (Kind::Float, Some(4.0)), (Kind::BFloat16, None)] {
        let case = Case::new(kind, soft_cap);
        let weight = Int8Weight::of(&case.weights[0]).expect("the processor multiplies int8");
        let stats = Head::default().int8_statistics(&case.rows(), &weight, &Request::default());
        let logits = Tensor::empty([ROWS, VOCABULARY], (kind, Device::Cpu));
        weight.product(&case.hidden, None, &logits);
        let labels = rows::indices(&case.labels, Device::Cpu).unsqueeze(1);
        let [hidden, weight] = [&case.hidden, &case.weights[0]].map(|x| x.to_kind(Kind::Double));
        let exact = hidden.mm(&weight.tr()).gather(1, &labels, false);
        let z = logits.to_kind(Kind::Double).scatter(1, &labels, &exact);
        let z = soft_cap.map_or(z.shallow_clone(), |cap| (z / cap).tanh() * cap);
        let losses = f64s(&-z.log_softmax(1, Kind::Double).gather(1, &labels, false));
        for (row, loss) in stats.iter().zip(losses) {
            assert!((row.loss - loss).abs() < 1e-4, "{kind:?}, cap {soft_cap:?}: {} {loss}", row.loss);
        }
    }
}
