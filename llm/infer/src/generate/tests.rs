use proptest::prelude::*;
use serde_json::json;

use super::text_stream::TextStream;
use super::*;
use tokensieve_model::text::{Extras, Tokenizer};
use tokensieve_model::weights::Checkpoint;

/// Shares of tokens in many draws.
fn shares(sampling: &Sampling, logits: &[f32], before: &[u32]) -> Vec<f64> {
    const DRAWS: usize = 100_000;
    let mut counts = vec![0.0; logits.len()];
    for draw in 0..DRAWS {
        // Evenly spread: what is drawn is then exact to 1 in as many.
        let uniform = (draw as f64 + 0.5) / DRAWS as f64;
        counts[sampling.choose(logits, before, uniform)] += 1.0 / DRAWS as f64;
    }
    counts
}

fn assert_shares(sampling: &Sampling, before: &[u32], expected: &[f64]) {
    // Probabilities 0.4, 0.3, 0.2, 0.1 in another order.
    let logits = [0.2_f64, 0.4, 0.1, 0.3].map(|p| p.ln() as f32 + 2.0);
    let found = shares(sampling, &logits, before);
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?}, not {expected:?}");
}

#[test]
fn tokens_are_drawn_as_often_as_they_should() {
    let one = Sampling { temperature: 1.0, ..Sampling::default() };
    assert_shares(&one, &[], &[0.2, 0.4, 0.1, 0.3]);
    assert_shares(&Sampling::default(), &[], &[0.0, 1.0, 0.0, 0.0]);
    let squares = 0.04 + 0.16 + 0.01 + 0.09;
    let colder = Sampling { temperature: 0.5, ..Sampling::default() };
    assert_shares(&colder, &[], &[0.04 / squares, 0.16 / squares, 0.01 / squares, 0.09 / squares]);
    let two = Sampling { top_k: Some(2), ..one.clone() };
    assert_shares(&two, &[], &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
    // 0.4 and 0.3 are 0.7 together: for 0.69 that suffices, for 0.71 the third is needed.
    assert_shares(&Sampling { top_p: 0.69, ..one.clone() }, &[], &[0.0, 4.0 / 7.0, 0.0, 3.0 / 7.0]);
    assert_shares(&Sampling { top_p: 0.71, ..one.clone() }, &[], &[2.0 / 9.0, 4.0 / 9.0, 0.0, 3.0 / 9.0]);
    assert_shares(&Sampling { top_p: 0.01, ..one.clone() }, &[], &[0.0, 1.0, 0.0, 0.0]);
    // At least half of the largest: 0.2 is, 0.1 is not.
    for top_k in [None, Some(4)] {
        let sampling = Sampling { min_p: 0.49, top_k, ..one.clone() };
        assert_shares(&sampling, &[], &[2.0 / 9.0, 4.0 / 9.0, 0.0, 3.0 / 9.0]);
    }
}

#[test]
fn the_lowest_temperatures_are_greedy() {
    for temperature in [1e-38, 4e-39, 3e-39, 1e-39, 1e-40, 1e-300, f64::MIN_POSITIVE] {
        let sampling = Sampling { temperature, ..Sampling::default() };
        assert_eq!(sampling.choose(&[0.1, 0.3, 0.2], &[], 0.999), 1, "{temperature}");
    }
}

#[test]
fn what_was_said_is_less_likely_to_be_said_again() {
    let sampling = Sampling { temperature: 1.0, repetition_penalty: 2.0, ..Sampling::default() };
    let logits = [1.0_f32, -1.0, 0.5];
    let found = shares(&sampling, &logits, &[0, 1, 1]);
    let weights = [0.5_f64, -2.0, 0.5].map(f64::exp);
    let sum: f64 = weights.iter().sum();
    assert!(found.iter().zip(weights).all(|(a, w)| (a - w / sum).abs() < 1e-4), "{found:?}");
    assert_eq!(Sampling { temperature: 0.0, ..sampling }.choose(&[1.0, 0.9], &[0], 0.0), 1);
}

fn smollm2() -> Tokenizer {
    Tokenizer::open(&Checkpoint::open(tokensieve_model::weights::DEFAULT).unwrap()).unwrap()
}

#[test]
fn characters_are_printed_whole() {
    let tokenizer = smollm2();
    let text = "Grüße, 世界 🦀🏳️‍🌈 — fin\n\n";
    let tokens = tokenizer.encode(text).unwrap();
    let mut stream = TextStream::new(Vec::new());
    let pieces: Vec<String> = tokens.iter().map(|token| stream.push(&tokenizer, *token).unwrap()).collect();
    assert!(pieces.iter().any(String::is_empty), "some character has several tokens");
    assert_eq!(pieces.concat(), text);
    // One that never gets whole comes at the end, as the tokenizer writes it.
    let crab = tokenizer.encode("🦀").unwrap();
    assert!(crab.len() > 1);
    let mut stream = TextStream::new(Vec::new());
    assert_eq!(stream.push(&tokenizer, crab[0]).unwrap(), "");
    assert!(stream.rest().contains('\u{fffd}'));
    assert!(stream.into_text().contains('\u{fffd}'));
}

#[test]
fn stop_texts_are_found_across_tokens_and_never_printed() {
    let tokenizer = smollm2();
    let says = |text: &str, stops: &[&str]| {
        let stops = stops.iter().map(|stop| (*stop).to_owned()).collect();
        streamed(TextStream::new(stops), &tokenizer, &tokenizer.encode(text).unwrap())
    };
    let text = "The answer is 42.\n\nQuestion: what else?";
    assert_eq!(says(text, &["tion: wh"]), ("The answer is 42.\n\nQues".into(), Some("tion: wh".into())));
    assert_eq!(says(text, &["\n\n", "Question"]), ("The answer is 42.".into(), Some("\n\n".into())));
    // What only begins like a stop text is printed after all.
    assert_eq!(says(text, &["else? No"]), (text.into(), None));
    assert_eq!(says(text, &[]), (text.into(), None));
}

/// A tokenizer as Llama 2 and Mistral have it: the 256 bytes, then words with the blank before them.
const WORDS: [&str; 6] = ["▁hi", "▁there", "▁friend", "▁END", "▁", "a"];

fn byte_fallback() -> Tokenizer {
    let bytes = (0..=255).map(|byte| format!("<0x{byte:02X}>"));
    let pieces = bytes.chain(WORDS.map(str::to_owned)).chain(["</s>".to_owned()]);
    let vocab: serde_json::Map<_, _> = pieces.zip((0..).map(|id| json!(id))).collect();
    let end = json!({
        "id": vocab["</s>"], "content": "</s>", "special": true,
        "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
    });
    let tokenizer = json!({
        "added_tokens": [end],
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true},
    });
    Tokenizer::new(tokenizer.to_string().parse().unwrap(), Extras::default(), "llama").unwrap()
}

/// Token ids of a list of words, bytes and characters: `世 ▁hi \xE5 ▁there`. Characters outside of the vocabulary are byte tokens.
fn spelled(text: &str) -> Vec<u32> {
    let token = |part: &str| match (WORDS.iter().position(|word| *word == part), part.strip_prefix("\\x")) {
        (Some(word), _) => vec![256 + word as u32],
        (_, Some(byte)) => vec![u32::from_str_radix(byte, 16).unwrap()],
        _ => part.bytes().map(u32::from).collect(),
    };
    text.split(' ').flat_map(token).collect()
}

/// The text of a stream of tokens, and the stop text that ended it.
fn streamed(mut stream: TextStream, tokenizer: &Tokenizer, tokens: &[u32]) -> (String, Option<String>) {
    let mut printed = String::new();
    for token in tokens {
        printed += &stream.push(tokenizer, *token).unwrap();
        if let Some(stop) = stream.stopped().map(str::to_owned) {
            assert_eq!(stream.into_text(), printed);
            return (printed, Some(stop));
        }
    }
    printed += &stream.rest();
    assert_eq!(stream.into_text(), printed);
    (printed, None)
}

#[test]
fn text_goes_on_behind_a_byte_that_is_no_character() {
    let tokenizer = byte_fallback();
    for (tokens, text) in [
        // An invalid byte after a character in byte tokens, a newline, a word, at the start; and before another character.
        ("世 \\xE5 ▁hi ▁there", "世\u{fffd} hi there"),
        ("\n \\xE5 ▁hi ▁there", "\n\u{fffd} hi there"),
        ("▁hi \\x80 ▁there", "hi\u{fffd} there"),
        ("\\xE5 ▁hi ▁there", "\u{fffd} hi there"),
        ("世 \\xE5 \\xE4 \\xBD a ▁hi", "世\u{fffd}\u{fffd}\u{fffd}a hi"),
        // At the end, where a whole character might have followed.
        ("▁hi \\xE5", "hi\u{fffd}"),
        ("世 \\xE5", "世\u{fffd}"),
        // Whole characters are themselves, also beside each other.
        ("▁hi 世 界 \n ▁there", "hi世界\n there"),
    ] {
        let found = streamed(TextStream::new(Vec::new()), &tokenizer, &spelled(tokens));
        assert_eq!(found, (text.to_owned(), None), "{tokens}");
    }
    let stopping = TextStream::new(vec!["END".to_owned()]);
    let found = streamed(stopping, &tokenizer, &spelled("世 \\xE5 ▁hi ▁END ▁there"));
    assert_eq!(found, ("世\u{fffd} hi ".to_owned(), Some("END".to_owned())));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes that are no characters cost nothing but bytes beside them.
    #[test]
    fn random_bytes_take_no_word_away(
        tokens in prop::collection::vec(
            prop_oneof![Just(0x0A_u32), 0x80..=0xFF_u32, 256..262_u32, Just(0xC3), Just(0xA4)], 0..24,
        ),
    ) {
        let tokenizer = byte_fallback();
        let (text, _) = streamed(TextStream::new(Vec::new()), &tokenizer, &tokens);
        let whole = tokenizer.inner().decode(&tokens, true).unwrap();
        let words = |text: &str| text.chars().filter(|c| *c == ' ' || c.is_ascii_alphabetic()).collect::<String>();
        prop_assert_eq!(words(&text), words(&whole));
        if !whole.contains('\u{fffd}') {
            prop_assert_eq!(&text, &whole);
        }
        // Behind the last word stands what the bytes alone are, or more.
        let last = tokens.iter().rposition(|token| *token >= 256).map_or(0, |place| place + 1);
        let bytes: Vec<u8> = tokens[last..].iter().map(|token| *token as u8).collect();
        if let Ok(end) = String::from_utf8(bytes) {
            prop_assert!(text.ends_with(&end), "{text:?} {end:?}");
        }
    }
}

#[test]
fn a_continuation_keeps_the_blank_between_prompt_and_reply() {
    let llama = byte_fallback();
    let end = llama.inner().token_to_id("</s>").unwrap();
    let behind = |prompt: &[u32], tokens: &str| {
        let stream = TextStream::new(Vec::new()).continues(&llama, prompt).unwrap();
        streamed(stream, &llama, &spelled(tokens)).0
    };
    for prompt in ["▁hi", "▁hi ▁", "▁hi \n", "▁hi 世", "世 a", "\\xBD \\xA0 a"] {
        assert_eq!(behind(&spelled(prompt), "▁there ▁friend"), " there friend", "{prompt}");
        // Bytes that follow bytes.
        assert_eq!(behind(&spelled(prompt), "界 ▁there"), "界 there", "{prompt}");
        assert_eq!(behind(&spelled(prompt), "\\xE5 ▁there"), "\u{fffd} there", "{prompt}");
    }
    // A special token has no text; where nothing has, the reply begins the text.
    assert_eq!(behind(&[spelled("▁hi")[0], end], "▁there"), " there");
    assert_eq!([behind(&[end], "▁there"), behind(&[], "▁there")], ["there", "there"]);
    let stop = TextStream::new(vec![" there".to_owned()]).continues(&llama, &spelled("▁hi")).unwrap();
    assert_eq!(streamed(stop, &llama, &spelled("▁there")), (String::new(), Some(" there".to_owned())));
    // Without a prompt's text, as in a chat.
    assert_eq!(streamed(TextStream::new(Vec::new()), &llama, &spelled("▁there")).0, "there");
    // Tokenizers of bytes have the blank in their tokens.
    let smollm2 = smollm2();
    for prompt in ["hi", "hi ", "🦀", "界"] {
        let prompt = smollm2.encode(prompt).unwrap();
        for text in [" there, friend", "世界 🦀", "\n\n"] {
            let tokens = smollm2.encode(text).unwrap();
            let stream = TextStream::new(Vec::new()).continues(&smollm2, &prompt).unwrap();
            assert_eq!(streamed(stream, &smollm2, &tokens).0, text);
        }
    }
}

fn settings(seed: u64) -> serde_json::Map<String, serde_json::Value> {
    [("seed".to_owned(), seed.into())].into_iter().collect()
}

fn line(row: usize, prompt: &str, text: &str) -> ReplyLine {
    let reply = Reply {
        tokens: vec![1, 2],
        text: text.into(),
        log_probability: -1.0 / 3.0,
        prompt_tokens: 4,
        stop: Stop::Limit,
    };
    ReplyLine::new(row, prompt.into(), &reply)
}

#[test]
fn a_file_of_replies_goes_on_where_it_was_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replies.jsonl");
    let prompts = ["a", "b", "c"].map(String::from);
    let mut file = ReplyFile::open(&path, &settings(1), &prompts, false).unwrap();
    file.push(&line(2, "c", "later\nlines")).unwrap();
    file.push(&line(0, "a", "first")).unwrap();
    let busy = ReplyFile::open(&path, &settings(1), &prompts, false).unwrap_err().to_string();
    assert!(busy.contains("replies.jsonl: another run is writing"), "{busy}");
    drop(file);
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{whole}{{\"row\":1,\"prom")).unwrap();
    let mut file = ReplyFile::open(&path, &settings(1), &prompts, false).unwrap();
    assert_eq!(file.rows().into_iter().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
    file.push(&line(1, "b", "second")).unwrap();
    file.sort().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], r#"{"header":{"seed":1}}"#);
    let replies: Vec<ReplyLine> = lines[1..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replies, [line(0, "a", "first"), line(1, "b", "second"), line(2, "c", "later\nlines")]);
}

#[test]
fn bytes_that_are_no_text_do_not_move_the_end_of_a_file_of_replies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replies.jsonl");
    let prompts = ["a".to_owned(), "b".to_owned()];
    let header = b"{\"header\":{\"seed\":1}}\n".as_slice();
    let good = serde_json::to_string(&line(1, "b", "fine")).unwrap() + "\n";
    let bad = serde_json::to_string(&line(0, "a", "?")).unwrap() + "\n";
    let bad: Vec<u8> = bad.bytes().map(|byte| if byte == b'?' { 0xff } else { byte }).collect();
    // A longer torn line than what the replacement of the byte adds, and none.
    for torn in [b"{\"row\":1,\"prom".as_slice(), b""] {
        let before = [header, good.as_bytes(), &bad, torn].concat();
        std::fs::write(&path, &before).unwrap();
        let error = ReplyFile::open(&path, &settings(1), &prompts, false).unwrap_err().to_string();
        assert!(error.contains("replies.jsonl:3: is not a reply: invalid utf-8"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    // A reply, and settings, torn within a character.
    std::fs::write(&path, [header, good.as_bytes(), b"{\"row\":0,\"text\":\"\xe2\x80"].concat()).unwrap();
    drop(ReplyFile::open(&path, &settings(1), &prompts, false).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), [header, good.as_bytes()].concat());
    let german: serde_json::Map<_, _> = [("seed".to_owned(), "für".into())].into_iter().collect();
    std::fs::write(&path, b"{\"header\":{\"seed\":\"f\xc3").unwrap();
    drop(ReplyFile::open(&path, &german, &prompts, false).unwrap());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"header\":{\"seed\":\"für\"}}\n");
}

#[test]
fn replies_of_something_else_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replies.jsonl");
    let prompts = ["a".to_owned()];
    ReplyFile::open(&path, &settings(1), &prompts, false).unwrap().push(&line(0, "a", "x")).unwrap();
    let before = std::fs::read_to_string(&path).unwrap();
    let refused = |seed, prompt: &str| {
        let error =
            ReplyFile::open(&path, &settings(seed), &[prompt.to_owned()], false).unwrap_err().to_string();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
        error
    };
    let error = refused(2, "a");
    assert!(error.contains("seed: 1 in the file, 2 now") && error.contains("--fresh"), "{error}");
    assert!(refused(1, "b").contains("another prompt"));
    let started = ReplyFile::open(&path, &settings(2), &prompts, true).unwrap();
    assert!(started.rows().is_empty());
    drop(started);
    let answers = "{\"header\":{\"model\":\"m\"}}\n";
    for other in ["something else\n", "something else", "{\"prompt\": \"Q\"}\n", answers] {
        for fresh in [false, true] {
            std::fs::write(&path, other).unwrap();
            let error = ReplyFile::open(&path, &settings(1), &prompts, fresh).unwrap_err().to_string();
            assert!(!fresh || error.contains("replies.jsonl:1: does not begin with the settings"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
    }
    // Torn settings, and nothing, are started over in.
    for torn in ["", "{\"hea", "{\"header\":{\"se"] {
        std::fs::write(&path, torn).unwrap();
        ReplyFile::open(&path, &settings(1), &prompts, true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"header\":{\"seed\":1}}\n");
    }
}
