//! What reading costs: held-out text beside the trainer's forward pass, and multiple choice with many questions a pass,
//! one question a pass, and one reply a pass. Alternately, in bf16 on the default model. Run:
//! `cargo bench -p tokensieve-infer --bench score`.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tch::{Device, Kind};
use tokensieve_documents::DataSource;
use tokensieve_infer::evaluate::{EvaluatedModel, Scorer};
use tokensieve_infer::generate::Options;
use tokensieve_model::head::{Head, Request};
use tokensieve_model::text::Tokenizer;
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Document, Model};
use tokensieve_tasks::{self as tasks, Ask, Question};
use tokensieve_train::step;

const ROUNDS: usize = 3;
const ROWS: usize = 64;
const QUESTIONS: usize = 24;
const TOKENS: usize = 4096;

fn main() {
    let checkpoint = Checkpoint::open("smollm2-135m").expect("the model");
    let tokenizer = Tokenizer::open(&checkpoint).expect("its tokenizer");
    let model = Model::load(&checkpoint, Kind::BFloat16, Device::Cpu).expect("its weights");
    let source = DataSource { limit: Some(ROWS), ..DataSource::new("gsm8k") };
    let set = tokensieve_documents::load(&source, &tokenizer).expect("GSM8K");
    let documents: Vec<&Document> = set.documents.iter().collect();
    let tokens: usize = documents.iter().map(|document| document.tokens.len()).sum();

    let mut head = Head::default();
    let mut scorer = Scorer::new(&model);
    let mut held_out = || {
        for members in tokensieve_model::packs(&documents, TOKENS) {
            let members: Vec<&Document> = members.into_iter().map(|i| documents[i]).collect();
            let packs = [scorer.pack(&members)];
            assert_eq!(scorer.score(&packs, &Request::default())[0].len(), members.len());
        }
    };
    let mut trainer = || {
        let evaluation = step::evaluate(&mut head, &model, &documents, TOKENS, None, None).unwrap();
        assert!(evaluation.nll.is_finite());
    };
    compare(
        "GSM8K rows",
        tokens,
        &mut [("ours", &mut held_out), ("the trainer's forward pass", &mut trainer)],
    );

    let options = tasks::Options { limit: Some(QUESTIONS), seed: 0 };
    let task = tasks::open("medqa", &options).expect("MedQA");
    let questions = task.questions();
    let replies = |question: &Question| match &question.ask {
        Ask::Likelihood { replies } => replies.clone(),
        Ask::Reply { .. } => Vec::new(),
    };
    let single: Vec<Question> = questions
        .iter()
        .flat_map(|question| {
            let one = |reply| Question { ask: Ask::Likelihood { replies: vec![reply] }, ..question.clone() };
            replies(question).into_iter().map(one).collect::<Vec<_>>()
        })
        .collect();
    let nobody = AtomicBool::new(false);
    let evaluated = || EvaluatedModel::new(&model, &tokenizer, Options::default(), &nobody);
    let (mut a, mut b, mut c) = (evaluated(), evaluated(), evaluated());
    let ask = |evaluated: &mut EvaluatedModel, questions: &[Question]| {
        let all: Vec<usize> = (0..questions.len()).collect();
        evaluated.answer("questions", questions, &all, &mut |_, _| Ok(())).expect("answers");
    };
    let mut together = || ask(&mut a, questions);
    let mut apart = || questions.iter().for_each(|question| ask(&mut b, std::slice::from_ref(question)));
    let mut naive = || single.iter().for_each(|question| ask(&mut c, std::slice::from_ref(question)));
    let texts: usize = single
        .iter()
        .map(|question| {
            let turns: String = question.messages.iter().map(|message| message.content.as_str()).collect();
            tokenizer.encode(&turns).expect("tokens").len()
        })
        .sum();
    compare(
        "MedQA prompts × replies",
        texts,
        &mut [
            ("many questions a pass", &mut together),
            ("one question", &mut apart),
            ("one reply", &mut naive),
        ],
    );
}

/// The quickest of each one's rounds, taken in turns.
fn compare(what: &str, tokens: usize, ways: &mut [(&str, &mut dyn FnMut())]) {
    let mut best = vec![f64::INFINITY; ways.len()];
    for _ in 0..ROUNDS {
        for ((_, way), best) in ways.iter_mut().zip(&mut best) {
            let start = Instant::now();
            way();
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    println!("{what}: {tokens} tokens");
    for ((name, _), seconds) in ways.iter().zip(best) {
        println!("  {name:28} {seconds:7.2} s  {:7.0} tokens/s", tokens as f64 / seconds);
    }
}
