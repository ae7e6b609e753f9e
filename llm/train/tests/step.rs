//! One optimizer step on a tiny random model: the gradient is that of the reported loss, whatever the micro-batches, the
//! objective and the reference. Needs libtorch; run: `cargo test -p tokensieve-train --test step`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use fixture::Fixture;
use tch::{Kind, Tensor};
use tokensieve_kernels::Backend;
use tokensieve_kernels::backend::runs_test_of;
use tokensieve_model::head::{Head, Origin, Reference, Rows, TopFile, TopTable, write_top};
use tokensieve_model::{Adapter, Document, LoraConfig, Model, Precomputed, Result};
use tokensieve_objective::{Criterion, Objective, Plan, Pull, Pulls, Selection, TokenStats, Training};
use tokensieve_train::Trained;
use tokensieve_train::step::{
    Ranking, Reads, Rule, Scope, StepOptions, StepReport, evaluate, statistics, step,
};

const PLAN: Plan = Plan { steps: 10, seed: 4 };

const ORIGIN: Origin = Origin { model: "m", adapter: None, precision: None, data: "d" };

fn options(micro_tokens: usize) -> StepOptions<'static> {
    StepOptions { micro_tokens, checkpointing: false, dropout: 0, ranking: Ranking::Exact, processes: None }
}

fn in_int8() -> StepOptions<'static> {
    StepOptions { ranking: Ranking::Int8, ..options(40) }
}

/// Nine documents that begin alike; one is masked altogether, one counts half.
fn documents(vocabulary: u32) -> Vec<Document> {
    fixture::documents(9, vocabulary, |row, i| match row {
        _ if i < 4 => 0.0,
        3 => 0.0,
        5 => 0.5,
        _ => 1.0,
    })
}

struct Bench {
    fixture: Fixture,
    model: Model,
    trained: Trained,
    documents: Vec<Document>,
}

impl Bench {
    fn new(name: &str) -> Self {
        Self::dropping(name, 0.0)
    }

    fn dropping(name: &str, rate: f64) -> Self {
        let fixture = Fixture::new(name);
        let mut model = fixture.model(Kind::Float);
        let mut adapter = fixture.adapter(&model);
        adapter.config.dropout = rate;
        model.attach(Some(&adapter)).unwrap();
        let documents = documents(model.config().vocab_size as u32);
        Self { fixture, model, trained: Trained::Adapter(adapter), documents }
    }

    /// Another adapter, somewhat away from zero.
    fn reference(&self) -> Reference {
        let lora = LoraConfig { r: 2, ..LoraConfig::default() };
        let adapter = Adapter::new(self.model.config(), &lora, 5, self.model.device()).unwrap();
        let mut values = adapter.parameters.values().shallow_clone();
        values += Tensor::arange(values.numel() as i64, (Kind::Float, values.device())).sin() * 0.2;
        Reference::Adapter(Box::new(adapter))
    }

    fn step(
        &mut self,
        rule: &mut dyn Rule,
        reference: &Reference,
        micro_tokens: usize,
    ) -> (StepReport, Tensor) {
        self.try_step(rule, reference, &options(micro_tokens)).unwrap()
    }

    fn try_step(
        &mut self,
        rule: &mut dyn Rule,
        reference: &Reference,
        options: &StepOptions,
    ) -> Result<(StepReport, Tensor)> {
        let batch: Vec<&Document> = self.documents.iter().collect();
        let mut head = Head::new(16 * 4 * self.model.config().vocab_size as usize, 1 << 20);
        let (model, trained) = (&mut self.model, &self.trained);
        let report = step(&mut head, model, trained, reference, rule, &batch, options)?;
        Ok((report, trained.parameters().gradients().copy()))
    }

    fn preset(&mut self, toml: &str, reference: &Reference, micro_tokens: usize) -> (StepReport, Tensor) {
        self.step(&mut Objective::from_toml(toml).unwrap().begin(PLAN), reference, micro_tokens)
    }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).norm().double_value(&[]) / b.norm().double_value(&[]).max(1e-30)
}

/// Trains on the half of the tokens where the model differs most from the reference.
const BY_DIVERGENCE: &str =
    "against = 'reference'\notherwise = 'none'\nselect.by = 'divergence'\nselect.keep = 'top 50%'";

const OBJECTIVES: [&str; 14] = [
    "preset = 'mle'",
    "preset = 'masked-mle'",
    "preset = 'masked-mle+distill'",
    "preset = 'rho'",
    "preset = 'asft'",
    "preset = 'threshold-above'\nparameters.tau = 0.01",
    "preset = 'truncated-kd'\ntop_k = 5",
    "preset = 'masked-mle'\nselect.of = 'documents'\nnormalise = 'all'",
    "preset = 'label-smoothing'\nmatch = 'grad-norm'",
    BY_DIVERGENCE,
    "against = 'reference'\nweight = 'divergence'",
    "preset = 'masked-mle+distill'\nselect.by = 'divergence'\ntop_k = 5",
    "preset = 'deft'",
    "preset = 'cayley'",
];

#[test]
fn the_size_of_micro_batches_changes_nothing() {
    for (name, dropout, objectives) in [
        ("llama3", 0.0, &OBJECTIVES[..]),
        ("llama3", 0.3, &OBJECTIVES[..]),
        ("gemma2", 0.0, &OBJECTIVES[2..3]),
    ] {
        let mut bench = Bench::dropping(name, dropout);
        let reference = bench.reference();
        for toml in objectives {
            let (whole, expected) = bench.preset(toml, &reference, 10_000);
            assert!(expected.norm().double_value(&[]) > 0.0, "{toml}");
            for micro_tokens in [15, 40] {
                let (report, gradient) = bench.preset(toml, &reference, micro_tokens);
                let away = distance(&gradient, &expected);
                assert!(away < 1e-5, "{name}, {toml}, {micro_tokens}: {away}");
                assert!((report.loss - whole.loss).abs() < 1e-5 * whole.loss.abs().max(1.0), "{toml}");
                assert_eq!((report.tokens, report.selected), (whole.tokens, whole.selected), "{toml}");
                let chosen =
                    |report: &StepReport| report.records.iter().map(|r| r.selected).collect::<Vec<_>>();
                assert_eq!(chosen(&report), chosen(&whole), "{toml}");
            }
        }
    }
}

#[test]
fn a_reference_with_other_frequencies_for_long_documents_predicts_alike_in_every_micro_batch() {
    // Phi-3's longrope; the trained model computes the documents' common beginning once.
    let mut bench = Bench::new("llama3");
    let reference = Reference::Model(Box::new(Fixture::new("phi3").model(Kind::Float)));
    let (_, alone) = bench.preset("preset = 'distill'", &reference, 1);
    let (_, together) = bench.preset("preset = 'distill'", &reference, 10_000);
    let away = distance(&together, &alone);
    assert!(away < 1e-5, "{away}");
}

/// (loss(θ + εd) − loss(θ − εd)) / 2ε against g·d, with what counts as constant left alone.
fn check_slope(bench: &mut Bench, toml: &str, reference: &Reference) {
    let (_, gradient) = bench.preset(toml, reference, 40);
    let direction = &gradient / gradient.norm();
    let values = bench.trained.parameters().values().shallow_clone();
    let before = values.copy();
    let mut at = |by: f64| {
        values.shallow_clone().copy_(&(&before + &direction * by));
        bench.trained.refresh(&mut bench.model).unwrap();
        bench.preset(toml, reference, 10_000).0.loss
    };
    let (step, slope) = (2e-3, gradient.norm().double_value(&[]));
    let found = (at(step) - at(-step)) / (2.0 * step);
    at(0.0);
    assert!((found / slope - 1.0).abs() < 0.02, "{toml}: {found} {slope}");
}

#[test]
fn the_gradient_is_the_losses() {
    let mut bench = Bench::new("llama3");
    let reference = bench.reference();
    for toml in
        ["preset = 'mle'", "preset = '-p'", "preset = 'distill'", "preset = 'label-smoothing'", OBJECTIVES[6]]
    {
        check_slope(&mut bench, toml, &reference);
    }
    // The same of all weights, tied and untied.
    for name in ["llama3", "qwen3"] {
        let mut bench = Bench::new(name);
        bench.model.attach(None).unwrap();
        bench.trained = Trained::Weights(bench.model.parameters());
        check_slope(&mut bench, "preset = 'mle'", &Reference::None);
    }
}

#[test]
fn a_file_of_the_most_probable_stands_for_their_model() {
    let mut bench = Bench::new("llama3");
    // The last two documents are of one row.
    (bench.documents[8].row, bench.documents[8].index_in_row) = (7, 1);
    let other = bench.fixture.model(Kind::Float);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("top.safetensors");
    let vocabulary = bench.model.config().vocab_size;
    let documents: Vec<&Document> = bench.documents.iter().collect();
    // There are no more tokens than the vocabulary has.
    let written = write_top(&path, &other, &documents, 100_000, 50, ORIGIN).unwrap();
    assert_eq!(written, vocabulary as usize);
    let open = |vocabulary, data| TopFile::open(&path, vocabulary, data);
    let file = Reference::TopK(Box::new(open(vocabulary, "d").unwrap()));
    let model = Reference::Model(Box::new(other));
    for toml in ["preset = 'distill'", "preset = 'rho'", "preset = 'masked-mle+distill'", OBJECTIVES[6]] {
        let (a, b) = (bench.preset(toml, &file, 60).1, bench.preset(toml, &model, 60).1);
        assert!(distance(&a, &b) < 1e-5, "{toml}: {}", distance(&a, &b));
        // The base is the same model too.
        let base = bench.preset(toml, &Reference::Base, 60).1;
        assert!(distance(&base, &b) < 1e-5, "{toml}: {}", distance(&base, &b));
    }
    assert!(open(vocabulary, "e").unwrap_err().to_string().contains("was made for other data (d, not e)"));
    assert!(open(vocabulary + 1, "d").unwrap_err().to_string().contains("vocabulary"));
    bench.documents[2].tokens[6] ^= 1;
    let batch: Vec<&Document> = bench.documents.iter().collect();
    let mut rule = Objective::preset("distill").unwrap().begin(PLAN);
    let (model, trained) = (&mut bench.model, &bench.trained);
    let error =
        step(&mut Head::default(), model, trained, &file, &mut rule, &batch, &options(99)).unwrap_err();
    assert!(error.to_string().contains("row 2 was tokenised otherwise"), "{error}");
    // A model that says nothing is not written down.
    let mut values = trained.parameters().values().shallow_clone();
    values *= f64::NAN;
    trained.refresh(model).unwrap();
    let other = folder.path().join("nan.safetensors");
    let error = write_top(&other, model, &batch, 5, 50, ORIGIN).unwrap_err().to_string();
    assert!(error.contains("row ") && error.contains("the model's output is not finite"), "{error}");
    assert!(!other.exists());
}

#[test]
fn a_reference_that_is_missing_or_overwritten_is_refused() {
    let mut bench = Bench::new("llama3");
    let batch: Vec<Document> = bench.documents.clone();
    let batch: Vec<&Document> = batch.iter().collect();
    let mut rule = Objective::preset("distill").unwrap().begin(PLAN);
    let mut run = |trained: &Trained, reference: Reference| {
        step(&mut Head::default(), &mut bench.model, trained, &reference, &mut rule, &batch, &options(99))
            .unwrap_err()
            .to_string()
    };
    assert!(run(&bench.trained, Reference::None).contains("reference.adapter"));
    let weights = Trained::Weights(bench.fixture.model(Kind::Float).parameters());
    assert!(run(&weights, Reference::Base).contains("which full fine-tuning overwrites"));
}

#[test]
fn evaluation_agrees_with_the_step() {
    let mut bench = Bench::new("gemma2");
    let (report, _) = bench.preset("preset = 'mle'", &Reference::None, 10_000);
    let documents: Vec<&Document> = bench.documents.iter().collect();
    let minus_p = Objective::preset("-p").unwrap();
    let evaluation =
        evaluate(&mut Head::default(), &bench.model, &documents, 30, Some(&minus_p), None).unwrap();
    assert_eq!(evaluation.tokens, report.tokens);
    assert!((evaluation.nll - report.nll.unwrap()).abs() < 1e-5);
    // −p, of which one document counts half.
    let loss = |record: &tokensieve_train::step::Record| {
        (-record.loss).exp() * if record.row == 5 { -0.5 } else { -1.0 }
    };
    let expected = report.records.iter().map(loss).sum::<f64>() / report.tokens as f64;
    assert!((evaluation.objective_loss.unwrap() - expected).abs() < 1e-5);
    assert!(evaluation.mean_p > 0.0 && evaluation.accuracy <= 1.0);
    let distill = Objective::preset("distill").unwrap();
    assert_eq!(
        evaluate(&mut Head::default(), &bench.model, &documents, 30, Some(&distill), None)
            .unwrap()
            .objective_loss,
        None
    );
}

#[test]
fn a_survey_sees_what_a_step_selects_by() {
    let mut bench = Bench::new("llama3");
    let reference = bench.reference();
    let mut rule = Objective::preset("rho").unwrap().begin(PLAN);
    let (report, _) = bench.step(&mut rule, &reference, 40);
    let batch: Vec<&Document> = bench.documents.iter().collect();
    let (model, trained, reads) = (&mut bench.model, &bench.trained, rule.reads());
    let seen =
        statistics(&mut Head::default(), model, trained, &reference, reads, &batch, &options(15)).unwrap();
    assert_eq!(seen.len(), report.tokens);
    for (token, record) in seen.iter().zip(&report.records) {
        assert_eq!((token.document, token.position), (record.document, record.position));
        assert!((token.loss - record.loss).abs() < 1e-5 && (token.entropy - record.entropy).abs() < 1e-5);
        assert!(token.reference_loss.is_some());
    }
}

/// The probabilities that a model gives to the whole vocabulary at each predicted token, in f64.
fn probabilities(model: &Model, documents: &[Document]) -> Vec<Vec<f64>> {
    let of_document = |document: &Document| {
        let pack = model.pack(&[document]);
        let hidden_rd = tch::no_grad(|| model.forward(&pack)).to_kind(Kind::Double);
        let logits = hidden_rd.mm(&model.unembedding().weight.to_kind(Kind::Double).tr());
        let p = logits.softmax(1, Kind::Double);
        (0..p.size()[0]).map(|row| Vec::try_from(p.get(row)).unwrap()).collect::<Vec<Vec<f64>>>()
    };
    documents.iter().filter(|document| document.response_tokens() > 0).flat_map(of_document).collect()
}

/// Σ q log(q/p), where the tokens that are not among q's `k` most probable are one.
fn divergence(q: &[f64], p: &[f64], k: usize) -> f64 {
    let term = |q: f64, p: f64| if q > 0.0 { q * (q / p).ln() } else { 0.0 };
    let mut order: Vec<usize> = (0..q.len()).collect();
    order.sort_by(|a, b| q[*b].total_cmp(&q[*a]));
    let (top, rest) = order.split_at(k.min(q.len()));
    let of_rest = |values: &[f64]| rest.iter().map(|id| values[*id]).sum::<f64>();
    top.iter().map(|id| term(q[*id], p[*id])).sum::<f64>() + term(of_rest(q), of_rest(p))
}

#[test]
fn divergences_are_those_of_the_two_models() {
    for name in ["llama3", "qwen3"] {
        let mut bench = Bench::new(name);
        let p = probabilities(&bench.model, &bench.documents);
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = bench.model.config().vocab_size;
        let other = bench.fixture.model(Kind::Float);
        let batch: Vec<Document> = bench.documents.clone();
        let batch: Vec<&Document> = batch.iter().collect();
        let file = |k: usize, model: &Model| {
            let path = folder.path().join(format!("{k}.safetensors"));
            write_top(&path, model, &batch, k, 50, ORIGIN).unwrap();
            Reference::TopK(Box::new(TopFile::open(&path, vocabulary, "d").unwrap()))
        };
        let (all, few, itself) =
            (file(100_000, &other), file(5, &other), file(vocabulary as usize, &bench.model));
        let base = probabilities(&other, &bench.documents);
        let adapter = bench.reference();
        let Reference::Adapter(own) = &adapter else { unreachable!() };
        bench.model.attach(Some(own)).unwrap();
        let of_adapter = probabilities(&bench.model, &bench.documents);
        bench.model.attach(bench.trained.adapter()).unwrap();
        let reads = Objective::from_toml(BY_DIVERGENCE).unwrap().begin(PLAN).reads();
        let whole = vocabulary as usize;
        for (what, reference, q, k) in [
            ("adapter", &adapter, &of_adapter, whole),
            ("base", &Reference::Base, &base, whole),
            ("model", &Reference::Model(Box::new(bench.fixture.model(Kind::Float))), &base, whole),
            ("whole file", &all, &base, whole),
            ("file", &few, &base, 5),
            ("itself", &itself, &p, whole),
        ] {
            let (model, trained) = (&mut bench.model, &bench.trained);
            let head = &mut Head::new(16 * 4 * whole, 0);
            let found = statistics(head, model, trained, reference, reads, &batch, &options(40)).unwrap();
            assert_eq!(found.len(), p.len());
            let mut largest: f64 = 0.0;
            for ((token, q), p) in found.iter().zip(q).zip(&p) {
                let (own, expected) = (token.divergence.unwrap(), divergence(q, p, k));
                assert!((own - expected).abs() < 2e-5 * (1.0 + expected), "{name}, {what}: {own} {expected}");
                largest = largest.max(own);
            }
            assert_eq!(largest > 1e-3, what != "itself", "{name}, {what}: {largest}");
        }
        // Nobody else computes it.
        let (model, trained) = (&mut bench.model, &bench.trained);
        let reads = Objective::preset("rho").unwrap().begin(PLAN).reads();
        let head = &mut Head::default();
        let found = statistics(head, model, trained, &adapter, reads, &batch, &options(40)).unwrap();
        assert!(found.iter().all(|token| token.divergence.is_none()));
    }
}

#[test]
fn masses_are_those_of_the_reference() {
    let mut bench = Bench::new("llama3");
    let other = bench.fixture.model(Kind::Float);
    let base = probabilities(&other, &bench.documents);
    let batch: Vec<Document> = bench.documents.clone();
    let batch: Vec<&Document> = batch.iter().collect();
    let toml = "against = 'reference'\nselected = '-mass_ref * p_ref * log p'";
    let reads = Objective::from_toml(toml).unwrap().begin(PLAN).reads();
    for reference in [Reference::Base, Reference::Model(Box::new(other))] {
        let (model, trained) = (&mut bench.model, &bench.trained);
        let head = &mut Head::default();
        let found = statistics(head, model, trained, &reference, reads, &batch, &options(40)).unwrap();
        assert_eq!(found.len(), base.len());
        for (token, q) in found.iter().zip(&base) {
            let of_label = (-token.reference_loss.unwrap()).exp() * (1.0 + 1e-5);
            let expected: f64 = q.iter().filter(|q| **q <= of_label).sum();
            let own = token.reference_mass.unwrap();
            assert!((own - expected).abs() < 1e-5, "{own} {expected}");
        }
        assert!(found.iter().any(|token| token.reference_mass.unwrap() < 0.5));
        assert!(found.iter().any(|token| token.reference_mass.unwrap() > 0.5));
    }
}

/// Where the reference is what the model predicts, there is nothing to learn: these tokens come last.
#[test]
fn tokens_that_the_model_knows_are_selected_last() {
    let mut bench = Bench::new("llama3");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("top.safetensors");
    let vocabulary = bench.model.config().vocab_size;
    let other = bench.fixture.model(Kind::Float);
    let known = 4;
    let mut table = TopTable::new(vocabulary as usize);
    for document in &bench.documents {
        let model = if document.row == known { &bench.model } else { &other };
        let pack = model.pack(&[document]);
        let hidden_rd = tch::no_grad(|| model.forward(&pack));
        let labels: Vec<u32> = pack.targets.iter().map(|target| target.label).collect();
        let rows = Rows { hidden_rd: &hidden_rd, labels: &labels, unembedding: model.unembedding() };
        let top = Head::default().top(&rows, table.k());
        table.push([(document.row, labels.len())], &labels, labels.iter().map(|_| 1.0), &top);
    }
    table.write(&path, vocabulary, ORIGIN).unwrap();
    let file = Reference::TopK(Box::new(TopFile::open(&path, vocabulary, "d").unwrap()));
    let tokens = bench.documents.iter().map(Document::response_tokens).sum::<usize>();
    let share = 100.0 * bench.documents[known].response_tokens() as f64 / tokens as f64;
    let toml = BY_DIVERGENCE.replace("top 50%", &format!("bottom {share}%"));
    let (report, _) = bench.preset(&toml, &file, 40);
    assert!(report.selected > 0 && report.tokens == tokens);
    for record in &report.records {
        assert_eq!(record.selected, record.row == known, "{record:?}");
    }
}

/// An objective that chooses these documents, with its own pulls on them.
struct Chosen {
    /// The objective with every token selected.
    training: Training,
    documents: Vec<u32>,
}

impl Rule for Chosen {
    fn pulls(&mut self, tokens: &[TokenStats], _: &[usize]) -> Result<Pulls> {
        let of_all = self.training.pulls(tokens)?.pulls.clone();
        let pull = |(token, pull): (&TokenStats, Pull)| {
            if self.documents.contains(&token.document) { pull } else { Pull::default() }
        };
        Ok(Pulls::of(tokens.iter().zip(of_all).map(pull).collect()))
    }

    fn reads(&self) -> Reads {
        self.training.reads()
    }

    fn loss(&self, token: &TokenStats, pull: Pull, selected: bool, distance: f64) -> f64 {
        self.training.loss(token, pull, selected, distance)
    }
}

#[test]
fn documents_ranked_in_int8_are_trained_on_exactly() {
    // Every processor with AVX-512's bf16 instructions has int8 products, too.
    let has_int8 = runs_test_of(Backend::Avx512Bf16);
    for (name, toml) in [
        ("llama3", "preset = 'masked-mle'\nselect.of = 'documents'\nselect.keep = 'top 50%'"),
        ("llama3", "preset = 'rho'\nselect.of = 'documents'\nselect.keep = 'top 50%'"),
        (
            "llama3",
            "preset = 'rho'\nselect.by = 'divergence'\nselect.of = 'documents'\nselect.keep = 'top 50%'",
        ),
        (
            "gemma2",
            "selected = '-p^2'\notherwise = 'none'\n[select]\nby = 'entropy'\nkeep = 'top 50%'\nof = 'documents'",
        ),
    ] {
        let mut bench = Bench::new(name);
        let reference = bench.reference();
        let objective = Objective::from_toml(toml).unwrap();
        let ranked = bench.try_step(&mut objective.begin(PLAN), &reference, &in_int8());
        if !has_int8 {
            let error = ranked.unwrap_err().to_string();
            assert!(error.contains("processor with int8 products"), "{error}");
            continue;
        }
        let (report, gradient) = ranked.unwrap();
        assert_eq!(report.nll, None, "approximate for documents that were not chosen");
        let mut documents: Vec<u32> =
            report.records.iter().filter(|record| record.selected).map(|record| record.document).collect();
        documents.dedup();
        assert_eq!(documents.len(), 4, "{toml}: half of eight that are not masked");
        let everything = Selection::band(Criterion::Random, 0.0, 1.0).unwrap();
        let training = objective.select(everything).unwrap().begin(PLAN);
        let mut chosen = Chosen { training, documents };
        let (exact, expected) = bench.step(&mut chosen, &reference, 10_000);
        let away = distance(&gradient, &expected);
        assert!(away < 1e-5, "{toml}: {away}");
        assert!((report.loss - exact.loss).abs() < 1e-5 * exact.loss.abs(), "{toml}");
        // The losses of documents that were not chosen are approximate.
        for (rough, exact) in report.records.iter().zip(&exact.records) {
            let allowed = if rough.selected { 1e-5 } else { 0.2 };
            assert!((rough.loss - exact.loss).abs() < allowed, "{toml}: {rough:?} {exact:?}");
        }
    }
}

#[test]
fn only_documents_are_ranked_in_int8() {
    let mut bench = Bench::new("llama3");
    for toml in ["preset = 'mle'", "preset = 'masked-mle'"] {
        let mut training = Objective::from_toml(toml).unwrap().begin(PLAN);
        let result = bench.try_step(&mut training, &Reference::None, &in_int8());
        let error = result.unwrap_err().to_string();
        assert!(error.contains("does not choose documents"), "{error}");
    }
}

/// Pulls that depend on the batch's other tokens, from a rule that says they do not.
struct Mistaken;

impl Rule for Mistaken {
    fn pulls(&mut self, tokens: &[TokenStats], _: &[usize]) -> Result<Pulls> {
        let mean = tokens.iter().map(|token| token.loss).sum::<f64>() / tokens.len() as f64;
        Ok(Pulls::of(tokens.iter().map(|_| Pull { label: mean, reference: 0.0 }).collect()))
    }

    fn scope(&self) -> Result<Scope> {
        Ok(Scope::Token(Box::new(Mistaken)))
    }
}

#[test]
fn pulls_of_the_parts_of_a_batch_must_be_those_of_the_batch() {
    let mut bench = Bench::new("llama3");
    let error = bench.try_step(&mut Mistaken, &Reference::None, &options(40)).unwrap_err().to_string();
    assert!(error.contains("pulls of the parts of a batch are not those of the batch"), "{error}");
}

#[test]
fn an_unsound_statistic_is_named_by_its_place_in_the_batch() {
    let mut bench = Bench::new("llama3");
    // 42 predicted tokens come before the document, in other micro-batches.
    let before = 42;
    let unsound = Precomputed { advantage: Some(f64::NAN), ..Precomputed::default() };
    for (i, document) in bench.documents.iter_mut().enumerate() {
        document.precomputed = Precomputed { advantage: Some(1.0), ..Precomputed::default() };
        if i == 6 {
            document.precomputed = unsound.clone();
        }
    }
    let mut rule = Objective::preset("policy-gradient").unwrap().begin(PLAN);
    let error = bench.try_step(&mut rule, &Reference::None, &options(15)).unwrap_err().to_string();
    assert!(error.contains(&format!("token {before} (document 6, position 0): advantage is NaN")), "{error}");
}
