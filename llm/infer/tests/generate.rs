//! Replies: the text that transformers' greedy decoding gives, the same whatever the batch, from every family's tiny
//! model with a cache as without one. Needs libtorch (`./just setup libtorch`).

#[path = "../../tests/fixture/mod.rs"]
mod fixture;

use std::ops::ControlFlow;

use fixture::{Fixture, NAMES};
use tch::{Device, Kind};
use tokensieve_infer::generate::{Event, Failure, Generator, Options, Reply, Request, Sampling, Stop};
use tokensieve_model::text::{Extras, Tokenizer};
use tokensieve_model::weights::Checkpoint;
use tokensieve_model::{Document, Model, Pack, Precomputed};

#[derive(serde::Deserialize)]
struct SmolLm2 {
    prompt: Vec<u32>,
    greedy: Vec<u32>,
}

fn all(generator: &Generator, requests: &[Request]) -> Vec<Reply> {
    // Other tests run beside this one: threads that wait for each other at every small product take many times as long.
    tch::set_num_threads(1);
    let mut quiet = |_: usize, _: Event| ControlFlow::Continue(());
    generator
        .run(requests, &mut quiet)
        .unwrap()
        .into_iter()
        .map(|reply| reply.expect("nobody broke off"))
        .collect()
}

#[test]
fn the_default_model_says_what_transformers_says() {
    let expected: SmolLm2 = serde_json::from_str(include_str!("../../tests/fixtures/smollm2.json")).unwrap();
    tch::set_num_threads(1);
    let checkpoint = Checkpoint::open("smollm2-135m").unwrap();
    let tokenizer = Tokenizer::open(&checkpoint).unwrap();
    let model = Model::load(&checkpoint, Kind::Float, Device::Cpu).unwrap();
    let generator = Generator::new(&model, &tokenizer, Options::default());
    let request =
        Request { prompt: expected.prompt.clone(), limit: expected.greedy.len(), ..Request::default() };
    let mut streamed = String::new();
    let replies = generator.run(std::slice::from_ref(&request), &mut |_, event| {
        if let Event::Text(text) = event {
            streamed += text;
        }
        ControlFlow::Continue(())
    });
    let reply = replies.unwrap().remove(0).unwrap();
    assert_eq!(reply.tokens, expected.greedy);
    assert_eq!(reply.text, streamed);
    assert_eq!(reply.stop, Stop::Limit);

    // The same with a stop text that no token ends with, and with a cache of the conversation.
    let stop = reply.text.chars().skip(10).take(7).collect::<String>();
    let stopping = Request { stop: vec![stop.clone()], ..request.clone() };
    let stopped = all(&generator, &[stopping]).remove(0);
    assert_eq!(stopped.text, reply.text[..reply.text.find(&stop).unwrap()]);
    assert_eq!(stopped.stop, Stop::Text(stop));
    let mut cache = generator.conversation_cache();
    let mut quiet = |_: Event| ControlFlow::Continue(());
    assert_eq!(generator.reply(&mut cache, &request, &mut quiet).unwrap().unwrap(), reply);
    let longer = Request { prompt: [expected.prompt, expected.greedy].concat(), ..request };
    let continued = generator.reply(&mut cache, &longer, &mut quiet).unwrap().unwrap();
    assert_eq!(continued.tokens, all(&generator, &[longer])[0].tokens);
}

/// A tokenizer for the tiny models: every token a word of its own.
fn words(vocabulary: usize) -> Tokenizer {
    words_with(vocabulary, None)
}

/// [`words`], one of which is a special token of this text.
fn words_with(vocabulary: usize, special: Option<(u32, &str)>) -> Tokenizer {
    let word = |id: u32| match special {
        Some((own, text)) if own == id => text.to_owned(),
        _ => format!("w{id}"),
    };
    let vocab = (0..vocabulary as u32).map(|id| (word(id), id)).collect();
    let words =
        tokenizers::models::wordlevel::WordLevel::builder().vocab(vocab).unk_token("w0".into()).build();
    let mut inner = tokenizers::Tokenizer::new(words.unwrap());
    let special = special.map(|(_, text)| tokenizers::AddedToken::from(text, true));
    inner.add_special_tokens(special).unwrap();
    Tokenizer::new(inner, Extras::default(), "words").unwrap()
}

/// Asserts that each of a reply's tokens is the most probable one by the whole forward pass, and that its log-probability is
/// theirs. Of two that are equally probable but for rounding, either may be said: processors round differently.
fn assert_greedy(model: &Model, request: &Request, reply: &Reply, context: &str) {
    const ROUNDING: f64 = 1e-3;
    assert_eq!(reply.tokens.len(), request.limit, "{context}");
    let (mut tokens, mut log_probability) = (request.prompt.clone(), 0.0);
    for &next in &reply.tokens {
        let document = Document {
            row: 0,
            index_in_row: 0,
            weights: vec![0.0; tokens.len()],
            tokens: tokens.clone(),
            precomputed: Precomputed::default(),
        };
        let hidden = model.forward(&Pack::new(&[&document], false, Device::Cpu));
        let logits =
            model.unembedding().logits(&hidden.narrow(0, -1, 1)).log_softmax(-1, Kind::Double).squeeze();
        let said = logits.double_value(&[i64::from(next)]);
        assert!(logits.max().double_value(&[]) - said < ROUNDING, "{context}: {next} after {tokens:?}");
        log_probability += said;
        tokens.push(next);
    }
    assert!((reply.log_probability - log_probability).abs() < ROUNDING, "{context}");
}

#[test]
fn every_family_with_a_cache_as_without() {
    for name in NAMES {
        for adapted in [false, true] {
            let fixture = Fixture::new(name);
            let mut model = fixture.model(Kind::Float);
            let adapter = fixture.adapter(&model);
            model.attach(adapted.then_some(&adapter)).unwrap();
            let tokenizer = words(96);
            let requests: Vec<Request> = fixture
                .documents
                .iter()
                .map(|document| Request { prompt: document.tokens.clone(), limit: 20, ..Request::default() })
                .collect();
            for merge in [false, true] {
                let generator = Generator::new(&model, &tokenizer, Options { batch: 3, merge });
                for (request, reply) in requests.iter().zip(all(&generator, &requests)) {
                    let context = format!("{name}, adapter {adapted}, merged {merge}");
                    assert_greedy(&model, request, &reply, &context);
                }
            }
        }
    }
}

/// A conversation that grows beyond the length of pre-training, and one that begins again below it.
#[test]
fn longropes_conversations_are_the_models() {
    let fixture = Fixture::new("phi3");
    let model = fixture.model(Kind::Float);
    assert_eq!(model.long_from(), Some(12));
    let tokenizer = words(96);
    let generator = Generator::new(&model, &tokenizer, Options::default());
    let (mut cache, mut quiet) = (generator.conversation_cache(), |_: Event| ControlFlow::Continue(()));
    let tokens = |n: u32| (0..n).map(|i| (i * 31 + 7) % 96).collect::<Vec<_>>();
    // Short, across the boundary, long, short again, one beyond.
    for (prompt, limit) in [(5, 3), (9, 8), (20, 5), (6, 4), (11, 2), (12, 1), (13, 1), (4, 30)] {
        let request = Request { prompt: tokens(prompt), limit, ..Request::default() };
        let reply = generator.reply(&mut cache, &request, &mut quiet).unwrap().unwrap();
        assert_greedy(&model, &request, &reply, &format!("{prompt} and {limit}"));
    }
}

#[test]
fn replies_do_not_depend_on_the_batch() {
    // Only kernels compute each row by itself.
    if !tokensieve_kernels::backend::runs_tests_of_kernels() {
        return;
    }
    let fixture = Fixture::new("gemma2");
    let tokenizer = words(96);
    for kind in [Kind::Float, Kind::BFloat16] {
        let model = fixture.model(kind);
        let request = |index: usize| Request {
            prompt: (0..=(index * 5 % 37))
                .map(|i| if i < 3 { 7 } else { ((i * 31 + index) % 96) as u32 })
                .collect(),
            limit: index * 7 % 25,
            sampling: Sampling { temperature: (index % 3) as f64 / 2.0, ..Sampling::default() },
            seed: index as u64,
            ..Request::default()
        };
        let requests: Vec<Request> = (0..40).map(request).collect();
        let with =
            |batch| all(&Generator::new(&model, &tokenizer, Options { batch, merge: false }), &requests);
        let alone = with(1);
        assert!(alone.iter().zip(&requests).all(|(reply, request)| reply.tokens.len() == request.limit));
        for batch in [7, 16] {
            assert_eq!(with(batch), alone, "{kind:?}, batch {batch}");
        }
    }
}

/// The prefix that all prompts share is the whole first prompt, whose last token's logits are needed nevertheless.
#[test]
fn a_prompt_that_all_others_begin_with_is_answered_as_alone() {
    let fixture = Fixture::new("gemma2");
    let (model, tokenizer) = (fixture.model(Kind::Float), words(96));
    let generator = Generator::new(&model, &tokenizer, Options::default());
    let request = |length: u32| Request {
        prompt: (0..length).map(|i| (i * 31 + 7) % 96).collect(),
        limit: 6,
        ..Request::default()
    };
    let requests = [10, 12, 15].map(request);
    let together = all(&generator, &requests);
    for (request, reply) in requests.iter().zip(together) {
        let alone = all(&generator, std::slice::from_ref(request)).remove(0);
        assert_eq!(reply.tokens, alone.tokens, "{} tokens", reply.prompt_tokens);
        assert!((reply.log_probability - alone.log_probability).abs() < 1e-3, "{reply:?}, not {alone:?}");
    }
}

/// Special tokens are no part of a reply's text.
#[test]
fn a_special_token_ends_a_reply_as_a_text_does() {
    let fixture = Fixture::new("qwen2");
    let model = fixture.model(Kind::Float);
    let request = Request { prompt: vec![1, 7, 38], limit: 8, ..Request::default() };
    let said = all(&Generator::new(&model, &words(96), Options::default()), std::slice::from_ref(&request))
        .remove(0);
    let stop = format!("w{}", said.tokens[7]);
    let tokenizer = words_with(96, Some((said.tokens[7], &stop)));
    let generator = Generator::new(&model, &tokenizer, Options::default());
    let stopped = all(&generator, &[Request { stop: vec![stop.clone()], limit: 9, ..request }]).remove(0);
    let first = said.tokens.iter().position(|token| *token == said.tokens[7]).unwrap();
    assert_eq!((&stopped.tokens[..], stopped.stop), (&said.tokens[..=first], Stop::Text(stop)));
}

/// Without them it could not be told from the answer.
#[test]
fn marks_of_reasoning_are_text_where_they_are_special_tokens() {
    let fixture = Fixture::new("qwen2");
    let model = fixture.model(Kind::Float);
    let request = Request { prompt: vec![1, 7, 38], limit: 8, ..Request::default() };
    let said = all(&Generator::new(&model, &words(96), Options::default()), std::slice::from_ref(&request))
        .remove(0);
    let mark = said.tokens[3];
    let first = said.tokens.iter().position(|token| *token == mark).unwrap();
    let tokenizer = words_with(96, Some((mark, "</think>")));
    let generator = Generator::new(&model, &tokenizer, Options::default());
    let mut streamed = String::new();
    let replies = generator.run(&[request], &mut |_, event| {
        if let Event::Text(text) = event {
            streamed += text;
        }
        ControlFlow::Continue(())
    });
    let reply = replies.unwrap().remove(0).unwrap();
    assert_eq!((&reply.tokens, &reply.text), (&said.tokens, &streamed));
    let thought = words(96).decode(&said.tokens[..first]).unwrap();
    assert!(reply.text.starts_with(&format!("{thought}</think>")), "{}", reply.text);
}

#[test]
fn what_cannot_be_answered_is_said() {
    let fixture = Fixture::new("qwen2");
    let (model, tokenizer) = (fixture.model(Kind::Float), words(96));
    let generator = Generator::new(&model, &tokenizer, Options::default());
    let refused = |request: Request| {
        generator.run(&[request], &mut |_, _| ControlFlow::Continue(())).unwrap_err().error.to_string()
    };
    let good = Request { prompt: vec![1], limit: 3, ..Request::default() };
    assert!(refused(Request { prompt: vec![], ..good.clone() }).contains("prompt"));
    assert!(refused(Request { prompt: vec![96], ..good.clone() }).contains("96"));
    assert!(refused(Request { stop: vec![String::new()], ..good.clone() }).contains("stop"));
    for sampling in [
        Sampling { temperature: -1.0, ..Sampling::default() },
        Sampling { temperature: f64::NAN, ..Sampling::default() },
        Sampling { top_k: Some(0), ..Sampling::default() },
        Sampling { top_p: 0.0, ..Sampling::default() },
        Sampling { min_p: 1.5, ..Sampling::default() },
        Sampling { repetition_penalty: 0.0, ..Sampling::default() },
    ] {
        refused(Request { sampling, ..good.clone() });
    }
    // Whatever the order in which requests are answered, the one that fails is named.
    let empty = Request { prompt: vec![], ..good.clone() };
    let failed = generator.run(&[good.clone(), empty], &mut |_, _| ControlFlow::Continue(()));
    let Failure { index, error } = failed.unwrap_err();
    assert_eq!((index, error.to_string().as_str()), (1, "prompt: is empty; it needs at least one token"));
    // The context of these models is 64 tokens.
    let long = all(&generator, &[Request { prompt: vec![5; 60], limit: 100, ..good.clone() }]).remove(0);
    assert_eq!((long.tokens.len(), long.stop), (4, Stop::Context));
    let full = all(&generator, &[Request { prompt: vec![5; 70], ..good.clone() }]).remove(0);
    assert_eq!((full.tokens.len(), full.stop), (0, Stop::Context));
    assert_eq!(all(&generator, &[Request { limit: 0, ..good }])[0].stop, Stop::Limit);
    assert!(all(&generator, &[]).is_empty());
}
