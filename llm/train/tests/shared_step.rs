//! A step that several processes share computes what one process computes: gradient, loss, selection, evaluation. The
//! processes are threads here, each with a model of its own. Needs libtorch; run:
//! `cargo test -p tokensieve-train --test shared_step`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use std::thread;
use std::time::Duration;

use fixture::Fixture;
use tch::{Kind, Tensor};
use tokensieve_kernels::Backend;
use tokensieve_kernels::backend::runs_test_of;
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::{Adapter, Document, LoraConfig, Model};
use tokensieve_objective::{Objective, Plan};
use tokensieve_processes::{Group, Store, Timing, World};
use tokensieve_train::Trained;
use tokensieve_train::step::{
    Evaluation, Processes, Ranking, Rule as _, StepOptions, StepReport, evaluate, statistics, step,
};

const PLAN: Plan = Plan { steps: 10, seed: 4 };

/// Everything that a token's pull can depend on, in every plan of passes.
const OBJECTIVES: [&str; 9] = [
    "preset = 'mle'",
    "preset = 'masked-mle'",
    "preset = 'masked-mle+distill'",
    "preset = 'asft'",
    "preset = 'masked-mle'\nselect.of = 'documents'",
    "preset = 'masked-mle'\nselect.within = 'micro-batch'",
    "preset = 'masked-mle'\nselect.within = 'running'\nselect.window = 20",
    "preset = 'label-smoothing'\nmatch = 'grad-norm'",
    "against = 'reference'\notherwise = 'none'\nselect.by = 'divergence'\nselect.keep = 'top 50%'",
];

/// Ten documents of different lengths; one is masked altogether.
fn documents(vocabulary: u32) -> Vec<Document> {
    fixture::documents(10, vocabulary, |row, i| if i < 4 || row == 3 { 0.0 } else { 1.0 })
}

/// A model that is the same in every process.
struct Bench {
    model: Model,
    trained: Trained,
    reference: Reference,
    documents: Vec<Document>,
    ranking: Ranking,
}

impl Bench {
    fn new(ranking: Ranking) -> Self {
        let mut model = Fixture::new("llama3").model(Kind::Float);
        let adapter = |seed: u64| {
            let adapter = Adapter::new(
                model.config(),
                &LoraConfig { r: 2, ..LoraConfig::default() },
                seed,
                model.device(),
            );
            let adapter = adapter.unwrap();
            let mut values = adapter.parameters.values().shallow_clone();
            values += Tensor::arange(values.numel() as i64, (Kind::Float, model.device())).sin() * 0.2;
            adapter
        };
        let (own, reference) = (adapter(5), Reference::Adapter(Box::new(adapter(6))));
        model.attach(Some(&own)).unwrap();
        let documents = documents(model.config().vocab_size as u32);
        Self { model, trained: Trained::Adapter(own), reference, documents, ranking }
    }

    /// Two steps, so that what is remembered counts; then an evaluation, and statistics.
    fn run(&mut self, toml: &str, group: Option<&Group>) -> Found {
        let batch: Vec<&Document> = self.documents.iter().collect();
        let options = StepOptions {
            micro_tokens: 30,
            checkpointing: false,
            dropout: 0,
            ranking: self.ranking,
            processes: group.map(Processes::from),
        };
        let mut head = Head::new(16 * 4 * self.model.config().vocab_size as usize, 1 << 20);
        let mut rule = Objective::from_toml(toml).unwrap().begin(PLAN);
        let (model, trained, reference) = (&mut self.model, &self.trained, &self.reference);
        let mut report = StepReport::default();
        for part in [&batch[..4], &batch] {
            report = step(&mut head, model, trained, reference, &mut rule, part, &options).unwrap();
        }
        let gradient = trained.parameters().gradients().copy();
        let evaluation = evaluate(&mut head, model, &batch, 30, Some(rule.objective()), group).unwrap();
        let seen = statistics(&mut head, model, trained, reference, rule.reads(), &batch, &options).unwrap();
        Found { report, gradient, evaluation, losses: seen.iter().map(|token| token.loss).collect() }
    }
}

struct Found {
    report: StepReport,
    gradient: Tensor,
    evaluation: Evaluation,
    losses: Vec<f64>,
}

/// What each of so many processes finds.
fn shared(size: usize, toml: &str, ranking: Ranking) -> Vec<Found> {
    let timing = Timing::default();
    let mut kept = Some(Store::keep("127.0.0.1", 0, Duration::from_secs(20)).unwrap());
    let port = kept.as_ref().map(Store::port).unwrap();
    let process = |rank: usize, kept: Option<Store>| {
        let (address, attempt) = ("127.0.0.1".to_owned(), String::new());
        let world = World {
            rank,
            size,
            local_rank: rank,
            local_size: None,
            address,
            port,
            store_is_kept: false,
            attempt,
        };
        let group = Group::join(&world, kept, timing, |_| {}).unwrap();
        Bench::new(ranking).run(toml, Some(&group))
    };
    thread::scope(|scope| {
        let process = &process;
        let started: Vec<_> = (0..size)
            .map(|rank| {
                let kept = kept.take();
                scope.spawn(move || process(rank, kept))
            })
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-5 * b.abs().max(1.0)
}

/// More processes than documents are among them.
fn same(toml: &str, ranking: Ranking, sizes: &[usize]) {
    let alone = Bench::new(ranking).run(toml, None);
    assert!(alone.gradient.norm().double_value(&[]) > 0.0, "{toml}");
    for size in sizes {
        let all = shared(*size, toml, ranking);
        for found in &all {
            let away = (&found.gradient - &alone.gradient).norm() / alone.gradient.norm();
            assert!(away.double_value(&[]) < 1e-5, "{toml}, {size} processes: {away:?}");
            assert!(found.gradient.equal(&all[0].gradient), "{toml}: all processes have the same bits");
            let (ours, one) = (&found.report, &alone.report);
            assert!(
                near(ours.loss, one.loss) && near(ours.nll.unwrap_or(0.0), one.nll.unwrap_or(0.0)),
                "{toml}: {} {}",
                ours.loss,
                one.loss
            );
            assert_eq!(
                (ours.tokens, ours.selected, ours.pulled),
                (one.tokens, one.selected, one.pulled),
                "{toml}"
            );
            let selected = |report: &StepReport| {
                report.records.iter().map(|r| (r.label, r.selected)).collect::<Vec<_>>()
            };
            assert_eq!(selected(ours), selected(one), "{toml}");
            let (ours, one) = (&found.evaluation, &alone.evaluation);
            assert!(
                near(ours.nll, one.nll) && near(ours.accuracy, one.accuracy) && ours.tokens == one.tokens
            );
            assert_eq!(ours.objective_loss.is_some(), one.objective_loss.is_some());
            assert_eq!(found.losses.len(), alone.losses.len());
            assert!(found.losses.iter().zip(&alone.losses).all(|(ours, one)| near(*ours, *one)), "{toml}");
        }
    }
}

#[test]
fn several_processes_find_what_one_finds() {
    for toml in OBJECTIVES {
        same(toml, Ranking::Exact, &[2, 3]);
    }
    same(OBJECTIVES[1], Ranking::Exact, &[12]);
}

#[test]
fn documents_ranked_in_int8_are_chosen_from_all() {
    // Which have int8 products too.
    if !runs_test_of(Backend::Avx512Bf16) {
        return;
    }
    let toml = "preset = 'masked-mle'\nselect.of = 'documents'\nselect.keep = 'top 50%'\nnormalise = 'all'";
    same(toml, Ranking::Int8, &[2, 3]);
}
