//! Gradients of several lists of pulls from one forward pass, without a step. Needs libtorch; run:
//! `cargo test -p tokensieve-train --test gradients`.

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use fixture::Fixture;
use tch::{Kind, Tensor};
use tokensieve_model::head::{Head, Reference};
use tokensieve_model::{Document, Precomputed, Result};
use tokensieve_objective::{Bands, Pull, Pulls, TokenStats};
use tokensieve_train::Trained;
use tokensieve_train::step::{Ranking, Reads, Rule, StepOptions, gradients, statistics, step};

const OPTIONS: StepOptions<'static> = StepOptions {
    micro_tokens: 40,
    checkpointing: false,
    dropout: 0,
    ranking: Ranking::Exact,
    processes: None,
};

/// Pulls that a token's statistics decide.
struct Of(fn(&TokenStats) -> f64);

impl Of {
    fn pulls(&self, tokens: &[TokenStats]) -> Vec<Pull> {
        tokens.iter().map(|token| Pull { label: token.weight * self.0(token), reference: 0.0 }).collect()
    }
}

impl Rule for Of {
    fn pulls(&mut self, tokens: &[TokenStats], _: &[usize]) -> Result<Pulls> {
        Ok(Pulls { normaliser: 1.0, ..Pulls::of(Of::pulls(self, tokens)) })
    }
}

/// The first documents have no token of the last list, so that a backward pass may skip documents.
const LISTS: [fn(&TokenStats) -> f64; 4] = [
    |_| 1.0,
    |token| token.p(),
    |token| f64::from(token.position % 2),
    |token| f64::from(u8::from(token.loss < 5.0)),
];

#[test]
fn each_list_has_the_gradient_of_its_step_and_bands_sum_to_plain_training() {
    for name in ["llama3", "gemma2", "qwen3"] {
        let fixture = Fixture::new(name);
        let mut model = fixture.model(Kind::Float);
        let adapter = fixture.adapter(&model);
        model.attach(Some(&adapter)).unwrap();
        let trained = Trained::Adapter(adapter);
        let documents: Vec<&Document> = fixture.documents.iter().collect();
        let (head, reads) = (&mut Head::default(), Reads::default());

        let tokens =
            statistics(head, &mut model, &trained, &Reference::None, reads, &documents, &OPTIONS).unwrap();
        let bands = Bands::new(&tokens, &[0.1, 0.3, 0.6]).unwrap();
        let size = trained.parameters().gradients().size();
        let mut sums: Vec<Tensor> = (0..LISTS.len() + bands.count())
            .map(|_| Tensor::zeros(size.as_slice(), (Kind::Float, tch::Device::Cpu)))
            .collect();
        let mut lists = |tokens: &[TokenStats]| {
            let own = LISTS.iter().map(|of| Of(*of).pulls(tokens));
            Ok(own.chain(bands.pulls(tokens)).collect())
        };
        let mut add = |list: usize, gradient: &Tensor| sums[list] += gradient;
        let found =
            gradients(head, &mut model, &trained, &documents, &OPTIONS, &mut lists, &mut add).unwrap();
        assert_eq!(found.len(), tokens.len());

        let distance = |a: &Tensor, b: &Tensor| (a - b).norm().double_value(&[]) / b.norm().double_value(&[]);
        for (of, found) in LISTS.iter().zip(&sums) {
            step(head, &mut model, &trained, &Reference::None, &mut Of(*of), &documents, &OPTIONS).unwrap();
            let away = distance(found, trained.parameters().gradients());
            assert!(away < 1e-5, "{name}: {away}");
        }
        let whole = sums[LISTS.len()..].iter().fold(sums[0].zeros_like(), |sum, band| sum + band);
        let away = distance(&whole, &sums[0]);
        assert!(away < 1e-5, "{name}: {away}");
    }
}

#[test]
fn nothing_to_predict_has_no_gradients() {
    let fixture = Fixture::new("llama3");
    let mut model = fixture.model(Kind::Float);
    let trained = Trained::Adapter(fixture.adapter(&model));
    let masked = Document {
        row: 0,
        index_in_row: 0,
        tokens: vec![1, 2, 3],
        weights: vec![0.0; 3],
        precomputed: Precomputed::default(),
    };
    let mut lists = |_: &[TokenStats]| panic!("no token");
    let mut add = |_: usize, _: &Tensor| panic!("no gradient");
    let head = &mut Head::default();
    let found = gradients(head, &mut model, &trained, &[&masked], &OPTIONS, &mut lists, &mut add);
    assert!(found.unwrap().is_empty());
}
