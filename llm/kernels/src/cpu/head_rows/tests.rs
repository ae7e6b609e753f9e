//! The head's kernels against libtorch's operators.

mod label;
mod tails;
mod temperature;

use tch::{Kind, Tensor};

use crate::head_rows::plain::{DeviceTasks, DeviceTop};
use crate::head_rows::{
    Chunk, ChunkStats, Logits, Onto, Reference, Request, RowStats, Tail, Task, Top, fetch, plain,
};
use crate::tests::{chunk, random};

const ROWS: i64 = 11;

/// Hidden states, an output matrix and labels: several blocks of logits and a rest, logits far apart.
struct Case {
    hidden: Tensor,
    weight: Tensor,
    logits: Tensor,
    labels: Vec<u32>,
    cap: Option<f64>,
}

impl Case {
    fn all() -> impl Iterator<Item = Self> {
        [
            (Kind::Float, None, 9003),
            (Kind::BFloat16, None, 9003),
            (Kind::Float, Some(30.0), 4100),
            (Kind::BFloat16, Some(30.0), 70),
        ]
        .into_iter()
        .map(|(kind, cap, columns)| {
            let [hidden, weight] = [ROWS, columns].map(|n| random(&[n, 40], n as u64).to_kind(kind));
            let logits = hidden.mm(&weight.tr());
            Self { hidden, weight, logits, labels: (0..ROWS as u32).map(|i| i * 6).collect(), cap }
        })
    }

    fn chunk(&self) -> Chunk<'_> {
        chunk(&self.hidden, &self.labels, &self.weight, self.cap)
    }

    fn plain_statistics(&self, request: &Request) -> Vec<RowStats> {
        fetch(vec![ChunkStats::Device(plain::statistics(&self.chunk(), &self.logits, request))])
    }
}

fn numbers(of: &Tensor) -> Vec<f64> {
    Vec::try_from(of.reshape(-1)).unwrap()
}

/// Tasks that pull each row onto the reference alone, from the rows' predictions in f64.
fn onto_reference(case: &Case, logits: &Tensor) -> Vec<Task> {
    let log_sum_exp = logits.logsumexp([1], true);
    let of_label = logits.gather(1, &case.chunk().labels_n.unsqueeze(1), false);
    let (losses, sums) = (numbers(&(&log_sum_exp - of_label)), numbers(&log_sum_exp));
    let task = |row: usize| Task {
        row,
        label: case.labels[row],
        loss: losses[row],
        log_sum_exp: sums[row],
        label_weight: 0.0,
        reference_weight: 1.0,
    };
    (0..ROWS as usize).map(task).collect()
}

#[test]
fn statistics_are_those_of_the_operators() {
    crate::needs_kernels!();
    for case in Case::all() {
        let request = Request { top_entropy: true, tempered: true, mass: true, reference: None };
        let own = super::statistics(&case.chunk(), &case.logits, &request).expect("the kernels apply");
        for (own, plain) in own.iter().zip(&case.plain_statistics(&request)) {
            let near = |a: f64, b: f64| assert!((a - b).abs() < 2e-5 * (1.0 + b.abs()), "{own:?} {plain:?}");
            near(own.loss, plain.loss);
            near(own.entropy, plain.entropy);
            near(own.log_sum_exp, plain.log_sum_exp);
            assert!((own.top_entropy - plain.top_entropy).abs() < 1e-2);
            near(own.best, plain.best);
            assert_eq!(own.greedy, plain.greedy);
            let both = own.tempered.expect("asked for").into_iter().zip(plain.tempered.expect("asked for"));
            both.for_each(|(own, plain)| near(own, plain));
            let [of_own, of_plain] = [own, plain].map(|stats| stats.mass.expect("asked for"));
            near(of_own, of_plain);
            assert!(!own.greedy || [of_own, of_plain] == [1.0; 2]);
        }
    }
}

#[test]
fn of_equal_logits_the_first_is_the_most_probable() {
    crate::needs_kernels!();
    let (mut first, mut later) = (0, 0);
    for case in Case::all() {
        let largest = case.logits.argmax(1, true);
        // Every label ties with the token that was the most probable one.
        let labels = case.chunk().labels_n.unsqueeze(1);
        let _ = case.logits.shallow_clone().scatter_(1, &labels, &case.logits.gather(1, &largest, false));
        let request = Request { mass: true, ..Request::default() };
        let own = super::statistics(&case.chunk(), &case.logits, &request).expect("the kernels apply");
        let largest = Vec::<i64>::try_from(largest.reshape(-1)).unwrap();
        for (((own, plain), label), largest) in
            own.iter().zip(case.plain_statistics(&request)).zip(&case.labels).zip(largest)
        {
            let is_first = i64::from(*label) <= largest;
            assert_eq!([own.greedy, plain.greedy], [is_first; 2], "{label} {largest}");
            assert_eq!([own.mass, plain.mass], [Some(1.0); 2]);
            *(if is_first { &mut first } else { &mut later }) += 1;
        }
    }
    assert!(first > 0 && later > 0, "{first} {later}");
}

#[test]
fn divergences_are_those_of_the_operators() {
    crate::needs_kernels!();
    for case in Case::all() {
        let other = case.logits.flip([1]);
        // Rows of a larger batch: the chunk's are the last ones.
        let all = Tensor::cat(&[&other.narrow(0, 0, 2), &other], 0);
        let [few, one] = [5, 1].map(|k| plain::top(&all, None, k));
        let certain =
            Top { probabilities: vec![1.0; one.ids.len()], tails: vec![0.0; one.tails.len()], ..one };
        for reference in [
            Reference::Uniform,
            Reference::Logits((&other, None)),
            Reference::Logits((&other, Some(20.0))),
            Reference::Logits((&case.logits, case.cap)),
            Reference::Top(&few, 2),
            Reference::Top(&certain, 2),
        ] {
            let request = Request { reference: Some(reference), ..Request::default() };
            let own = super::statistics(&case.chunk(), &case.logits, &request).expect("the kernels apply");
            for (own, plain) in own.iter().zip(&case.plain_statistics(&request)) {
                let [own, plain] = [own, plain].map(|stats| stats.divergence.expect("asked for"));
                assert!((own - plain).abs() < 2e-5 * (1.0 + plain), "{reference:?} {own} {plain}");
                let same =
                    matches!(reference, Reference::Logits((q, _)) if std::ptr::eq(q, &raw const case.logits));
                assert_eq!(plain < 1e-5, same, "{reference:?} {plain}");
            }
        }
    }
}

#[test]
fn most_probable_tokens_are_those_of_the_operators() {
    crate::needs_kernels!();
    for case in Case::all() {
        // Rounded logits are often equal.
        for logits in [&case.logits, &case.logits.round()] {
            let own = super::top(logits, case.cap, 7).expect("the kernels apply");
            assert_eq!(own.ids, first_of_the_largest(logits, 7));
            let plain = plain::top(logits, case.cap, 7);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5 * b + 1e-7;
            assert_eq!(own.probabilities.len(), plain.probabilities.len());
            assert!(own.probabilities.iter().zip(&plain.probabilities).all(near));
        }
    }
}

/// The indices of each row's k largest numbers, largest first. Of equal numbers the lower index comes first, an order that
/// libtorch does not promise.
fn first_of_the_largest(logits_nv: &Tensor, k: usize) -> Vec<u32> {
    let numbers = Vec::<f32>::try_from(logits_nv.to_kind(Kind::Float).reshape(-1)).unwrap();
    let columns = logits_nv.size()[1] as usize;
    let of_row = |row: &[f32]| {
        let mut ids: Vec<u32> = (0..columns as u32).collect();
        // This sort leaves equals in their order.
        ids.sort_by(|a, b| row[*b as usize].total_cmp(&row[*a as usize]));
        ids.truncate(k);
        ids
    };
    numbers.chunks(columns).flat_map(of_row).collect()
}

/// The gradient towards nothing, every token alike, another model's most probable tokens, its whole prediction, and the
/// prediction itself at other temperatures; in both directions.
#[test]
fn gradients_are_those_of_the_operators() {
    crate::needs_kernels!();
    for case in Case::all() {
        let stats = case.plain_statistics(&Request::default());
        let reference = case.logits.flip([1]);
        let top = plain::top(&reference, None, 5);
        for (tail, b) in [
            (Tail::None, 0.0),
            (Tail::Uniform, 0.3),
            (Tail::Top(&top), 0.3),
            (Tail::None, 0.3),
            (Tail::Itself(1.0 / 0.7), -0.7),
            (Tail::Itself(0.5), 0.3),
            (Tail::Itself(1.4), 0.0),
        ] {
            for reverse in [false, true] {
                let other = (matches!(tail, Tail::None) && b != 0.0).then_some((&reference, Some(20.0)));
                let tasks: Vec<Task> = (0..ROWS as usize)
                    .map(|row| Task {
                        row,
                        label: case.labels[row],
                        loss: stats[row].loss,
                        log_sum_exp: stats[row].log_sum_exp,
                        label_weight: 0.7,
                        reference_weight: b,
                    })
                    .collect();
                let mut expected = case.logits.copy();
                let onto = Onto { logits: other, tail, reverse };
                let distances =
                    plain::gradient(&mut expected, &on_device(&case, &tasks, &tail), case.cap, &onto);
                let distances = Vec::<f64>::try_from(distances).unwrap();
                let (apart, in_place) = (case.logits.zeros_like(), case.logits.copy());
                let elsewhere =
                    Logits::Elsewhere((0..ROWS as usize).map(|row| (&case.logits, row)).collect());
                for (out, logits) in [(&apart, &elsewhere), (&in_place, &Logits::InPlace)] {
                    let own = super::gradient(out, logits, &tasks, case.cap, &onto).expect("kernels apply");
                    let rounding = if case.logits.kind() == Kind::Float { 1e-5 } else { 8e-3 };
                    crate::tests::close(out, &expected, rounding);
                    // In KL(p ‖ q) the errors of p count times log p − log q.
                    let near = if reverse { 1e-3 } else { 1e-4 };
                    for (own, plain) in own.iter().zip(&distances) {
                        assert!((own - plain).abs() < near * (1.0 + plain.abs()), "{onto:?} {own} {plain}");
                    }
                }
            }
        }
    }
}

fn on_device(case: &Case, tasks: &[Task], tail: &Tail) -> DeviceTasks {
    let column = |of: &dyn Fn(&Task) -> f64| {
        let numbers: Vec<f32> = tasks.iter().map(|task| of(task) as f32).collect();
        Tensor::from_slice(&numbers).unsqueeze(1)
    };
    let device_top = |top: &Top| {
        let ids: Vec<i64> = top.ids.iter().map(|id| i64::from(*id)).collect();
        let shape = [ROWS, top.k as i64];
        DeviceTop {
            ids: Tensor::from_slice(&ids).view(shape),
            probabilities: Tensor::from_slice(&top.probabilities).view(shape),
            tail: Tensor::from_slice(&top.tails).unsqueeze(1),
        }
    };
    let share = 1.0 / case.weight.size()[0] as f64;
    DeviceTasks {
        labels_n: case.chunk().labels_n,
        log_sum_exp: column(&|task| task.log_sum_exp),
        loss: column(&|task| task.loss),
        label_weight: column(&|task| task.label_weight),
        reference_weight: column(&|task| task.reference_weight),
        weight: column(&|task| task.label_weight + task.reference_weight),
        flat: column(&|task| task.reference_weight * share),
        has_reference: column(&|task| f64::from(u8::from(task.reference_weight != 0.0))),
        top: if let Tail::Top(top) = tail { Some(device_top(top)) } else { None },
    }
}
