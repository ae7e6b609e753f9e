//! Measures of uncertainty against formulas written out, on a tiny ensemble and on tiny random models. Needs libtorch; run:
//! `cargo test -p tokensieve-infer --test uncertainty`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use fixture::Fixture;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use tch::{Device, Kind, Tensor, no_grad};
use tokensieve_documents::estimates::{
    DocumentRecord, Header, MaskScope, PosteriorSettings, PromptDropout, TokenRecord, Writer,
};
use tokensieve_infer::uncertainty::{
    Budget, Documents, DropoutSettings, Estimate, Measures, Posterior, Recorder, Spread, Sums, estimate,
    write_table,
};
use tokensieve_model::head::Unembedding;
use tokensieve_model::text::{Extras, Tokenizer};
use tokensieve_model::{Adapter, Document, Dropout, DropoutSite, Model, Pack, Precomputed};

/// Everything that a document's estimates are computed from is small, so that all paths are taken.
const SMALL: Budget =
    Budget { tokens: 40, hidden_bytes: 1 << 13, sums_bytes: 1 << 10, logits_bytes: 1 << 10 };

fn measures(predictions: &[Vec<f64>]) -> Measures {
    let n = predictions.len() as f64;
    let vocabulary = predictions[0].len();
    let entropy = |p: &[f64]| -p.iter().map(|p| if *p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>();
    let mean: Vec<f64> = (0..vocabulary).map(|x| predictions.iter().map(|p| p[x]).sum::<f64>() / n).collect();
    let kl = |p: &[f64], q: &[f64]| -> f64 {
        p.iter().zip(q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q).ln()).sum()
    };
    let total = entropy(&mean);
    let aleatoric = predictions.iter().map(|p| entropy(p)).sum::<f64>() / n;
    let pairs = predictions.iter().flat_map(|p| predictions.iter().map(move |q| (p, q)));
    Measures {
        total,
        aleatoric,
        epistemic: predictions.iter().map(|p| kl(p, &mean)).sum::<f64>() / n,
        pairwise_kl: pairs.map(|(p, q)| kl(p, q)).sum::<f64>() / (n * n),
        reverse_mi: predictions.iter().map(|p| kl(&mean, p)).sum::<f64>() / n,
    }
}

fn all(of: &Measures) -> [f64; 5] {
    [of.total, of.aleatoric, of.epistemic, of.pairwise_kl, of.reverse_mi]
}

#[track_caller]
fn close(found: &Measures, expected: &Measures, tolerance: f64) {
    for (found, expected) in all(found).into_iter().zip(all(expected)) {
        assert!((found - expected).abs() <= tolerance * (1.0 + expected), "{found} for {expected}");
    }
}

/// The measures of one row of predictions, through the sums.
fn spread(predictions: &[Vec<f64>], kind: Kind) -> Spread {
    let vocabulary = predictions[0].len() as i64;
    let logits: Vec<f64> = predictions.iter().flatten().map(|p| p.max(1e-30).ln()).collect();
    let shape = [1, predictions.len() as i64, vocabulary];
    let logits = Tensor::from_slice(&logits).to_kind(kind).view(shape);
    let weight = Tensor::zeros([vocabulary, 1], (Kind::Float, Device::Cpu));
    let unembedding = Unembedding { weight: &weight, soft_cap: None, name: "" };
    let mut sums = Sums::new(1, predictions.len(), &unembedding);
    sums.add(0..predictions.len(), &logits, None);
    sums.spreads(1)[0]
}

#[test]
fn a_tiny_ensemble_has_the_measures_of_the_formulas() {
    let half = 0.5_f64;
    let sure = |token: usize| (0..4).map(|x| if x == token { 1.0 } else { 0.0 }).collect::<Vec<f64>>();
    // Two that are sure of different tokens: one bit, all of it epistemic.
    let value = spread(&[sure(0), sure(1)], Kind::Float).value;
    assert!((value.total - 2.0_f64.ln()).abs() < 1e-6 && value.aleatoric.abs() < 1e-6, "{value:?}");
    assert!((value.epistemic - 2.0_f64.ln()).abs() < 1e-6, "{value:?}");
    // Two that agree upon a coin: one bit, none of it epistemic.
    let coin = vec![half, half, 0.0, 0.0];
    let value = spread(&[coin.clone(), coin], Kind::Float).value;
    assert!((value.aleatoric - 2.0_f64.ln()).abs() < 1e-6 && value.epistemic < 1e-6, "{value:?}");
    let ensemble = [vec![0.7, 0.1, 0.1, 0.1], vec![0.25, 0.25, 0.25, 0.25], vec![0.1, 0.2, 0.3, 0.4]];
    let found = spread(&ensemble, Kind::Float);
    let expected = measures(&ensemble);
    close(&found.value, &expected, 1e-6);
    assert!((expected.epistemic + expected.reverse_mi - expected.pairwise_kl).abs() < 1e-12);
    // The standard error: leaving out one after the other, written out.
    let without: Vec<Measures> = (0..3)
        .map(|left_out| {
            let rest: Vec<_> = (0..3).filter(|i| *i != left_out).map(|i| ensemble[i].clone()).collect();
            measures(&rest)
        })
        .collect();
    for (which, found) in all(&found.error.unwrap()).into_iter().enumerate() {
        let values: Vec<f64> = without.iter().map(|m| all(m)[which]).collect();
        let mean = values.iter().sum::<f64>() / 3.0;
        let expected = (2.0 / 3.0 * values.iter().map(|x| (x - mean).powi(2)).sum::<f64>()).sqrt();
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
    assert!(spread(&ensemble[..1], Kind::Float).error.is_none());
}

fn dropout(
    passes: usize,
    masks: MaskScope,
    prompt: PromptDropout,
    places: &[DropoutSite],
) -> DropoutSettings {
    DropoutSettings { passes, rate: 0.2, places: places.to_vec(), masks, prompt, seed: 3 }
}

struct Bench {
    model: Model,
    adapter: Adapter,
    documents: Vec<Document>,
}

impl Bench {
    fn new(name: &str) -> Self {
        let fixture = Fixture::new(name);
        let model = fixture.model(Kind::Float);
        let adapter = fixture.adapter(&model);
        let mut documents = fixture.documents.clone();
        // One without a response, and one with a second turn.
        documents.push(Document {
            row: 90,
            index_in_row: 0,
            tokens: vec![1, 2, 3],
            weights: vec![0.0; 3],
            precomputed: Precomputed::default(),
        });
        let mut turns = documents[0].clone();
        turns.tokens.extend([3, 1, 4, 1, 5, 9]);
        turns.weights.extend([0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        documents.push(turns);
        Self { model, adapter, documents }
    }

    fn estimates(
        &mut self,
        documents: &[&Document],
        posterior: &Posterior,
        budget: &Budget,
    ) -> Vec<Vec<Estimate>> {
        let mut found = Vec::new();
        let adapter = Some(&self.adapter);
        let all = Documents::all(documents);
        estimate(&mut self.model, adapter, all, posterior, 3, budget, &mut |index, estimates| {
            assert_eq!(index, found.len());
            found.push(estimates);
            Ok(())
        })
        .unwrap();
        assert_eq!(found.len(), documents.len());
        found
    }

    /// Everything in memory, one document and one pass at a time.
    fn naive(&mut self, document: &Document, dropout: &DropoutSettings) -> Vec<Measures> {
        self.model.attach(Some(&self.adapter)).unwrap();
        let places: Vec<usize> =
            (1..document.tokens.len()).filter(|place| document.weights[*place] != 0.0).collect();
        let Some(start) = places.first().map(|place| place - 1) else { return Vec::new() };
        let pack = Pack::new(&[document], false, Device::Cpu);
        let passes: Vec<Tensor> = (0..dropout.passes)
            .map(|pass| {
                let first = if dropout.prompt == PromptDropout::Deterministic { start } else { 0 };
                let keys = dropout.keys(&document.tokens, pass);
                let dropout = Dropout::new(&dropout.places, dropout.rate, first, keys);
                let hidden = no_grad(|| self.model.forward_with_dropout(&pack, Some(dropout)));
                let rows: Vec<i64> = places.iter().map(|place| *place as i64 - 1).collect();
                let hidden = hidden.index_select(0, &Tensor::from_slice(&rows));
                no_grad(|| self.model.unembedding().logits(&hidden).softmax(-1, Kind::Double))
            })
            .collect();
        let of_row = |row: usize| {
            let prediction = |p: &Tensor| Vec::<f64>::try_from(p.get(row as i64)).unwrap();
            measures(&passes.iter().map(prediction).collect::<Vec<_>>())
        };
        (0..places.len()).map(of_row).collect()
    }
}

#[test]
fn streaming_gives_what_everything_in_memory_gives() {
    for (name, masks, prompt, places) in [
        (
            "llama3",
            MaskScope::Token,
            PromptDropout::Stochastic,
            &[DropoutSite::Attention, DropoutSite::Residual][..],
        ),
        ("llama3", MaskScope::Token, PromptDropout::Deterministic, &DropoutSite::ALL),
        ("gemma2", MaskScope::Document, PromptDropout::Stochastic, &DropoutSite::ALL),
        ("gemma2", MaskScope::Document, PromptDropout::Deterministic, &[DropoutSite::Attention]),
        ("phi3", MaskScope::Token, PromptDropout::Stochastic, &[DropoutSite::Lora]),
        ("qwen3", MaskScope::Token, PromptDropout::Stochastic, &[DropoutSite::Embedding]),
    ] {
        let mut bench = Bench::new(name);
        let dropout = dropout(13, masks, prompt, places);
        let owned = bench.documents.clone();
        let documents: Vec<&Document> = owned.iter().collect();
        for budget in [SMALL, Budget::default()] {
            let found = bench.estimates(&documents, &Posterior::Dropout(dropout.clone()), &budget);
            for (document, found) in documents.iter().zip(&found) {
                let expected = bench.naive(document, &dropout);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(&expected) {
                    let Some(Spread { value, error: Some(_) }) = &found.spread else { panic!("{found:?}") };
                    close(value, expected, 2e-4);
                    assert!(expected.epistemic > 0.0, "{name}: dropout has no effect");
                }
            }
        }
    }
}

#[test]
fn a_document_does_not_depend_on_its_neighbours() {
    let mut bench = Bench::new("llama3");
    let owned = bench.documents.clone();
    let documents: Vec<&Document> = owned.iter().collect();
    for masks in [MaskScope::Token, MaskScope::Document] {
        let posterior =
            || Posterior::Dropout(dropout(11, masks, PromptDropout::Stochastic, &DropoutSite::ALL));
        let together = bench.estimates(&documents, &posterior(), &Budget::default());
        let reversed: Vec<&Document> = documents.iter().rev().copied().collect();
        let mut back = bench.estimates(&reversed, &posterior(), &SMALL);
        back.reverse();
        for (together, back) in together.iter().flatten().zip(back.iter().flatten()) {
            close(&together.spread.unwrap().value, &back.spread.unwrap().value, 2e-4);
            assert!((together.loss - back.loss).abs() < 1e-4);
            assert_eq!(together.top[0].0, back.top[0].0);
        }
        let alone = bench.estimates(&documents[1..2], &posterior(), &Budget::default());
        for (together, alone) in together[1].iter().zip(&alone[0]) {
            close(&together.spread.unwrap().value, &alone.spread.unwrap().value, 2e-4);
        }
    }
}

#[test]
fn work_that_goes_on_gives_the_same_to_the_last_bit() {
    let mut bench = Bench::new("llama3");
    let documents = bench.documents.clone();
    let documents: Vec<&Document> = documents.iter().collect();
    let posterior = || {
        let masks = MaskScope::Token;
        Posterior::Dropout(dropout(3, masks, PromptDropout::Stochastic, &DropoutSite::ALL))
    };
    let whole = bench.estimates(&documents, &posterior(), &SMALL);
    let adapter = Some(&bench.adapter);
    for done in 0..=documents.len() {
        let mut rest = Vec::new();
        let asked = Documents { done, ..Documents::all(&documents) };
        let mut each = |index: usize, estimates| {
            assert_eq!(index, done + rest.len());
            rest.push(estimates);
            Ok(())
        };
        estimate(&mut bench.model, adapter, asked, &posterior(), 3, &SMALL, &mut each).unwrap();
        assert_eq!(rest, whole[done..]);
    }
}

#[test]
fn without_dropout_nothing_is_epistemic() {
    let mut bench = Bench::new("llama3");
    let owned = bench.documents.clone();
    let documents: Vec<&Document> = owned.iter().collect();
    let still = DropoutSettings {
        rate: 0.0,
        ..dropout(5, MaskScope::Token, PromptDropout::Stochastic, &DropoutSite::ALL)
    };
    for found in bench.estimates(&documents, &Posterior::Dropout(still), &SMALL).iter().flatten() {
        let Spread { value, error } = found.spread.unwrap();
        assert_eq!([value.epistemic, value.pairwise_kl, value.reverse_mi].map(f64::to_bits), [0; 3]);
        assert_eq!(value.total.to_bits(), found.entropy.to_bits());
        assert_eq!(error, Some(Measures::default()));
    }
    // An ensemble of one and the same goes through all sums.
    let adapters = || (0..5).map(|_| Fixture::new("llama3").adapter(&bench.model)).collect();
    let same = Posterior::Adapters(adapters());
    for found in bench.estimates(&documents, &same, &SMALL).iter().flatten() {
        let Spread { value, error } = found.spread.unwrap();
        assert!((value.total - found.entropy).abs() < 1e-5, "{found:?}");
        assert!(value.epistemic < 1e-5 && value.pairwise_kl < 1e-5, "{found:?}");
        assert!(error.unwrap().epistemic < 1e-5);
    }
    for found in bench.estimates(&documents, &Posterior::None, &SMALL).iter().flatten() {
        assert!(found.spread.is_none() && found.top.len() == 3 && found.loss > 0.0);
    }
}

#[test]
fn what_is_not_finite_is_no_estimate() {
    let mut bench = Bench::new("llama3");
    let mut values = bench.adapter.parameters.values().shallow_clone();
    values *= f64::NAN;
    let documents: Vec<&Document> = bench.documents[1..].iter().collect();
    let all = Documents::all(&documents);
    for posterior in [
        Posterior::None,
        Posterior::Dropout(dropout(2, MaskScope::Token, PromptDropout::Stochastic, &DropoutSite::ALL)),
    ] {
        let adapter = Some(&bench.adapter);
        let mut each = |_, _| panic!("nothing is handed out");
        let error = estimate(&mut bench.model, adapter, all, &posterior, 3, &SMALL, &mut each);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("row 1, token") && error.contains("output is not finite"), "{error}");
    }
}

#[test]
fn an_ensemble_is_its_adapters() {
    let mut bench = Bench::new("llama3");
    let other = Fixture::new("llama3").adapter(&bench.model);
    let mut values = other.parameters.values().shallow_clone();
    values *= -0.5;
    let document = bench.documents[0].clone();
    let mut predictions = Vec::new();
    for adapter in [&bench.adapter, &other] {
        bench.model.attach(Some(adapter)).unwrap();
        let pack = Pack::new(&[&document], false, Device::Cpu);
        let hidden = no_grad(|| bench.model.forward(&pack));
        predictions.push(bench.model.unembedding().logits(&hidden).softmax(-1, Kind::Double));
    }
    let same = Fixture::new("llama3").adapter(&bench.model);
    let found = bench.estimates(&[&document], &Posterior::Adapters(vec![same, other]), &SMALL);
    for found in &found[0] {
        let row = found.position as i64 - 1;
        let of = |p: &Tensor| Vec::<f64>::try_from(p.get(row)).unwrap();
        close(&found.spread.unwrap().value, &measures(&predictions.iter().map(of).collect::<Vec<_>>()), 1e-4);
    }
}

#[test]
fn standard_errors_are_right_and_shrink_with_the_root_of_the_passes() {
    let mut bench = Bench::new("llama-linear");
    let owned = bench.documents.clone();
    let documents: Vec<&Document> = owned.iter().take(2).collect();
    let mut run = |passes: usize, seed: u64| -> Vec<Spread> {
        let of = dropout(
            passes,
            MaskScope::Token,
            PromptDropout::Stochastic,
            &[DropoutSite::Attention, DropoutSite::Residual],
        );
        let found = bench.estimates(
            &documents,
            &Posterior::Dropout(DropoutSettings { seed, ..of }),
            &Budget::default(),
        );
        found.into_iter().flatten().filter_map(|estimate| estimate.spread).collect()
    };
    let mean_error = |spreads: &[Spread], which: usize| {
        let errors = spreads.iter().filter_map(|spread| Some(all(&spread.error?)[which]));
        errors.sum::<f64>() / spreads.len() as f64
    };
    let (few, many) = (run(30, 0), run(480, 0));
    for which in 0..5 {
        let ratio = mean_error(&few, which) / mean_error(&many, which);
        assert!((2.8..5.6).contains(&ratio), "{which}: {ratio}, and should be 4");
    }
    // What repetitions differ by is what the standard error says.
    let repeated: Vec<Vec<Spread>> = (1..25).map(|seed| run(30, seed)).collect();
    for which in 0..5 {
        let tokens = repeated[0].len();
        let variance = |token: usize| {
            let values: Vec<f64> = repeated.iter().map(|run| all(&run[token].value)[which]).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
        };
        let deviation = ((0..tokens).map(variance).sum::<f64>() / tokens as f64).sqrt();
        let squares = repeated.iter().flatten().filter_map(|spread| Some(all(&spread.error?)[which].powi(2)));
        let said = (squares.sum::<f64>() / (repeated.len() * tokens) as f64).sqrt();
        assert!((0.7..1.4).contains(&(said / deviation)), "{which}: {said} said, {deviation} found");
    }
}

#[test]
fn a_table_has_a_row_for_each_predicted_token() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, table) = (folder.path().join("u.jsonl"), folder.path().join("u.parquet"));
    let header = Header {
        model: "m".into(),
        model_sha256: "0".into(),
        adapter: None,
        precision: "f32".into(),
        data: "d".into(),
        split: None,
        data_sha256: "1".into(),
        documents: 2,
        top: 1,
        posterior: PosteriorSettings::None,
    };
    let token = |loss: Option<f32>| TokenRecord {
        id: 7,
        text: "é".into(),
        response: loss.is_some(),
        loss,
        top: vec![("a".into(), 0.5)],
        top_ids: vec![3],
        ..TokenRecord::default()
    };
    let mut writer = Writer::open(&lines, &header).unwrap();
    for row in [4, 9] {
        let tokens = vec![token(None), token(Some(row as f32)), token(Some(0.5))];
        writer.write(&DocumentRecord { row, tokens }).unwrap();
    }
    write_table(&lines, &table).unwrap();
    let reader = SerializedFileReader::new(std::fs::File::open(&table).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 4);
    let rows: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
    for part in [
        "document: 1",
        "row: 9",
        "position: 1",
        "id: 7",
        "text: \"é\"",
        "top_ids: \"[3]\"",
        "loss: 9",
        "epistemic: null",
    ] {
        assert!(rows[2].contains(part), "{}", rows[2]);
    }
}

/// As of Llama 2: the decoder drops the blank before a text's first word.
const SENTENCE_PIECE: &str = r#"{"version": "1.0", "added_tokens": [],
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    "model": {"type": "WordLevel", "vocab": {"?": 0, "▁=": 1, "=": 2, "a": 3}, "unk_token": "?"}}"#;

#[test]
fn the_most_probable_tokens_have_their_blanks_and_their_numbers() {
    let inner = SENTENCE_PIECE.parse::<tokenizers::Tokenizer>().unwrap();
    let tokenizer = Tokenizer::new(inner, Extras::default(), "sentences").unwrap();
    let document = Document {
        row: 3,
        index_in_row: 0,
        tokens: vec![3, 1, 2],
        weights: vec![1.0, 0.0, 1.0],
        precomputed: Precomputed::default(),
    };
    let found =
        Estimate { position: 2, loss: 1.0, entropy: 1.0, top: vec![(1, 0.6), (2, 0.4)], spread: None };
    let recorder = Recorder::new(&tokenizer);
    let estimated = recorder.document(&document, &[found]).unwrap();
    let last = &estimated.tokens[2];
    assert_eq!(last.top, [(" =".to_owned(), 0.6), ("=".to_owned(), 0.4)]);
    assert_eq!((last.text.as_str(), &last.top_ids[..]), ("=", &[1, 2][..]));
    // Without estimates there are the same tokens.
    let alone = recorder.document(&document, &[]).unwrap();
    for record in [estimated, alone] {
        let told: Vec<_> =
            record.tokens.iter().map(|token| (token.text.as_str(), token.class.as_deref())).collect();
        assert_eq!(told, [("a", None), (" =", None), ("=", Some("operator"))]);
        assert_eq!(
            record.tokens.iter().map(|token| token.response).collect::<Vec<_>>(),
            [false, false, true]
        );
    }
}
