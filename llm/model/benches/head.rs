//! The head against libtorch's own operators in the same run: milliseconds per 1000 rows at `SmolLM2`'s shape, and what the
//! matrix products alone take. Needs libtorch; `cargo bench -p tokensieve-model --bench head [-- ROWS]`.

use std::time::Instant;

use tch::{Device, Kind, Tensor, no_grad};
use tokensieve_model::head::{Distribution, Head, Request, Rows, Unembedding, Wanted};
use tokensieve_objective::Pull;

const VOCABULARY: i64 = 49_152;
const WIDTH: i64 = 576;

/// Milliseconds per 1000 rows, the best of some tries: other work on the machine only ever slows one down.
fn time(rows: i64, mut work: impl FnMut()) -> f64 {
    work();
    let seconds = (0..5).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min) * 1e6 / rows as f64
}

/// What a careful loop writes: logits, softmax and gradient of a chunk in f32, by libtorch's operators.
fn plain(hidden: &Tensor, weight: &Tensor, labels: &Tensor, reference: Option<&Tensor>) -> Tensor {
    let chunks: Vec<Tensor> = hidden
        .split(512, 0)
        .into_iter()
        .zip(labels.split(512, 0))
        .enumerate()
        .map(|(i, (h, y))| {
            let z = h.mm(&weight.tr()).to_kind(Kind::Float);
            let log_p = z.log_softmax(1, Kind::Float);
            let y = y.unsqueeze(1);
            let _loss = -log_p.gather(1, &y, false);
            let mut p = log_p.exp();
            let _entropy = -(&p * &log_p).sum_dim_intlist(1, false, Kind::Float);
            match reference {
                Some(reference) => {
                    p -= reference
                        .narrow(0, i as i64 * 512, h.size()[0])
                        .mm(&weight.tr())
                        .softmax(1, Kind::Float);
                }
                None => _ = p.scatter_add_(1, &y, &y.ones_like().to_kind(Kind::Float).neg()),
            }
            p.to_kind(weight.kind()).mm(weight)
        })
        .collect();
    Tensor::cat(&chunks, 0)
}

fn main() {
    let rows: i64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(4224);
    println!("{rows} rows, vocabulary {VOCABULARY}, width {WIDTH}: ms per 1000 rows");
    println!("{:34} {:>8} {:>8}", "", "bf16", "f32");
    let columns = [Kind::BFloat16, Kind::Float].map(|kind| no_grad(|| measure(rows, kind)));
    for ((name, bf16), (_, f32)) in columns[0].iter().zip(&columns[1]) {
        println!("{name:34} {bf16:8.1} {f32:8.1}");
    }
}

fn wanted<'a>(pulls: &'a [Pull], reference: Distribution<'a>) -> Wanted<'a> {
    Wanted { pulls, normaliser: 1.0, reference, reverse: false, weight_gradient: None }
}

fn measure(n: i64, kind: Kind) -> Vec<(&'static str, f64)> {
    tch::manual_seed(1);
    let random = |rows: i64| Tensor::randn([rows, WIDTH], (Kind::Float, Device::Cpu)).to_kind(kind);
    let (hidden, other, weight) = (random(n), random(n), (random(VOCABULARY) * 0.1).to_kind(kind));
    let labels: Vec<u32> = (0..n as u32).map(|i| i * 7919 % VOCABULARY as u32).collect();
    let label_tensor = Tensor::from_slice(&labels.iter().map(|y| i64::from(*y)).collect::<Vec<_>>());
    let unembedding = Unembedding { weight: &weight, soft_cap: None, name: "" };
    let rows = Rows { hidden_rd: &hidden, labels: &labels, unembedding };
    let mut head = Head::default();
    let pull = |label: f64, reference: f64| vec![Pull { label, reference }; n as usize];
    let (ours, theirs) = (pull(1.0, 0.0), pull(0.0, 1.0));
    let masked: Vec<Pull> =
        ours.iter().enumerate().map(|(i, p)| if i % 4 == 0 { *p } else { Pull::default() }).collect();
    let mixed: Vec<Pull> = (0..n as usize).map(|i| if i % 4 == 0 { ours[i] } else { theirs[i] }).collect();
    let model = Distribution::Model { hidden_rd: &other, unembedding };
    let mut results = Vec::new();
    let mut say = |name, milliseconds| results.push((name, milliseconds));
    let slice = hidden.narrow(0, 0, n.min(496));
    let m = slice.size()[0];
    let logits = Tensor::empty([m, VOCABULARY], (kind, Device::Cpu));
    say("logits alone", time(m, || _ = slice.mm_out(&logits, &weight.tr())));
    say("backward product by libtorch", time(m, || _ = logits.mm(&weight)));
    say("statistics", time(n, || _ = head.statistics(&rows, &Request::default())));
    say(
        "statistics with top-20 entropy",
        time(n, || _ = head.statistics(&rows, &Request { top_entropy: true, ..Request::default() })),
    );
    let mut fused = |pulls: &[Pull], reference| {
        time(n, || {
            let mut chunks = head.chunks(&rows, Request::default());
            while let Some(chunk) = chunks.next_chunk() {
                let range = chunk.range();
                chunk.gradient(&wanted(&pulls[range], reference));
            }
        })
    };
    say("fused, label", fused(&ours, Distribution::None));
    say("fused, reference", fused(&theirs, model));
    let mut two = |pulls: &[Pull], reference| {
        time(n, || {
            let (stats, kept) = head.statistics_keeping(&rows, &Request::default());
            let _ = head.gradient(&rows, &stats, &wanted(pulls, reference), Some(kept));
        })
    };
    say("kept logits, a quarter masked in", two(&masked, Distribution::None));
    say("kept logits, masked and distilled", two(&mixed, model));
    say("plain, label", time(n, || _ = plain(&hidden, &weight, &label_tensor, None)));
    say("plain, reference", time(n, || _ = plain(&hidden, &weight, &label_tensor, Some(&other))));
    results
}
