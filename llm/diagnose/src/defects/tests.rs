//! Rows with each defect, and rows that only look like it.

use std::path::Path;
use std::time::Instant;

use tokensieve_infer::uncertainty::Recorder;
use tokensieve_model::text::{ChatTemplate, Conversation, Message, Moment, Tokenizer};

use super::*;

fn document(row: usize, prompt: &str, response: &[&str]) -> DocumentRecord {
    dialogue(row, &[(prompt, response)])
}

fn dialogue(row: usize, turns: &[(&str, &[&str])]) -> DocumentRecord {
    let token = |text: &str, response: bool| TokenRecord {
        id: if text.starts_with("<|") { SPECIAL } else { 0 },
        text: text.to_owned(),
        response,
        ..TokenRecord::default()
    };
    let turn = |(prompt, response): &(&str, &[&str])| -> Vec<TokenRecord> {
        let before = ["<|im_start|>", prompt].map(|text| token(text, false));
        before.into_iter().chain(response.iter().map(|text| token(text, true))).collect()
    };
    DocumentRecord { row, tokens: turns.iter().flat_map(turn).collect() }
}

/// The number of all special tokens.
const SPECIAL: u32 = 1;

fn markup() -> Markup {
    Markup::example(&[SPECIAL], &["<|im_end|>", "<|im_start|>"])
}

fn found(documents: &[DocumentRecord]) -> Vec<(Defect, usize)> {
    find(documents, &markup()).into_iter().map(|finding| (finding.defect, finding.row)).collect()
}

const LONG: &str =
    "Mary buys five apples and gives two of them to her brother who eats one at once on the way home";

#[test]
fn rows_that_repeat_or_contradict_others() {
    let end = "<|im_end|>";
    let near = LONG.replace("Mary", "Maria");
    let documents = [
        document(0, "What is it?", &["A cat", end]),
        document(1, "what is it", &["a  cat.", end]),
        document(2, "What is it?", &["A dog", end]),
        document(3, LONG, &["She has three.", end]),
        document(4, &near, &["She has three.", end]),
        document(5, "Something else?", &["A cat", end]),
    ];
    assert_eq!(
        found(&documents),
        [(Defect::Duplicate, 1), (Defect::Contradiction, 2), (Defect::NearDuplicate, 4)]
    );
}

#[test]
fn signs_and_symbols_make_other_rows() {
    let documents = [
        document(0, "What is 7 + 3?", &["10"]),
        document(1, "What is 7 - 3?", &["4"]),
        document(2, "Is 5 > 3?", &["yes"]),
        document(3, "Is 5 < 3?", &["no"]),
        document(4, "-4 + 4", &["0"]),
        document(5, "4 + 4", &["8"]),
        document(6, "Rate: great film", &["👍"]),
        document(7, "Rate: great film", &["👎"]),
        document(8, "A well known fact — or not?", &["Yes!"]),
        document(9, "“A well known fact”: or not", &["yes"]),
    ];
    assert_eq!(found(&documents), [(Defect::Contradiction, 7), (Defect::Duplicate, 9)]);
}

#[test]
fn signs_of_code_make_other_rows() {
    let prompts = [
        ["Simplify x + y", "Simplify x - y"],
        ["What does a == b do?", "What does a != b do?"],
        ["C is what?", "C++ is what?"],
        ["Call a.b", "Call a b"],
        ["Convert $5", "Convert #5"],
        ["What is 3.5?", "What is 35?"],
        ["Say API", "Say api"],
    ];
    let answers = [["if flag:", "if !flag:"], ["[a, b]", "(a, b)"], ["HELLO", "Hello"]];
    let mut documents = Vec::new();
    for (row, prompt) in prompts.iter().flatten().enumerate() {
        documents.push(document(row, prompt, &["yes"]));
    }
    for (pair, [one, other]) in answers.iter().enumerate() {
        let prompt = format!("Task {pair}");
        documents
            .extend([(100, one), (200, other)].map(|(row, answer)| document(row + pair, &prompt, &[answer])));
    }
    let contradictions = [200, 201, 202].map(|row| (Defect::Contradiction, row));
    assert_eq!(found(&documents), contradictions);
}

#[test]
fn a_prompt_that_all_rows_have_makes_none_a_near_duplicate() {
    let words: Vec<String> = (0..200).map(|word| format!("word{word}")).collect();
    let system = words.join(" ");
    let question = |row: usize| format!("{system} What is the capital of land{row}?");
    let mut documents: Vec<DocumentRecord> =
        (0..20).map(|row| document(row, &question(row), &["It is", " the town", " of the king"])).collect();
    assert_eq!(found(&documents), []);
    // But rows that are alike besides are found.
    let near = LONG.replace("home", "back");
    documents.extend([(20, LONG), (21, &near)].map(|(row, answer)| document(row, &system, &[answer])));
    assert_eq!(found(&documents), [(Defect::Contradiction, 21), (Defect::NearDuplicate, 21)]);
}

#[test]
fn a_name_in_a_common_text_makes_no_near_duplicate() {
    let filled = |row: usize, name: &str| document(row, &LONG.replace("brother", name), &["She has three."]);
    let mut documents: Vec<DocumentRecord> = (0..8).map(|row| filled(row, &format!("cousin{row}"))).collect();
    // The same name, and another response.
    let mut last = filled(8, "cousin7");
    last.tokens.last_mut().unwrap().text = "She has four.".to_owned();
    documents.push(last);
    assert_eq!(found(&documents), [(Defect::Contradiction, 8)]);
}

#[test]
fn copies_are_found_however_many_there_are() {
    let words: Vec<String> = (0..100).map(|word| format!("word{word}")).collect();
    let copy = |row: usize| words.join(" ").replace("word50", &format!("other{row}"));
    let all: Vec<_> = (0..9).map(|row| document(row, &format!("Tell story {row}"), &[&copy(row)])).collect();
    for copies in [3, 9] {
        let nearly: Vec<_> = (1..copies).map(|row| (Defect::NearDuplicate, row)).collect();
        assert_eq!(found(&all[..copies]), nearly);
    }
}

/// As a conversation has where the template writes earlier turns differently.
#[test]
fn documents_of_one_row_repeat_none_of_their_own() {
    let of_row = |row: usize, text: &str| {
        (1..9).map(|turns| document(row, &format!("{text} {turns}"), &["Yes."])).collect::<Vec<_>>()
    };
    let near = LONG.replace("Mary", "Maria");
    let documents = [of_row(0, LONG), of_row(1, &near)].concat();
    assert_eq!(found(&documents), [(Defect::NearDuplicate, 1)]);
}

/// Where a template makes a document of each turn, conversations that begin alike have an equal document.
#[test]
fn rows_are_compared_as_a_whole() {
    let hello: &[&str] = &["Hello."];
    let begin_alike = [
        document(0, "Hi", hello),
        document(0, "Hi Hello. Next", &["A"]),
        document(1, "Hi", hello),
        document(1, "Hi Hello. Other", &["B"]),
        document(2, "Hi", &["Good day."]),
        document(2, "Hi Good day. Another", &["C"]),
    ];
    assert_eq!(found(&begin_alike), []);
    let end_alike = [
        document(3, "Hi", hello),
        document(3, "Hi Hello. Next", &["A"]),
        document(4, "Hi", hello),
        document(4, "Hi Hello. Next", &["D"]),
    ];
    let all = [&begin_alike[..], &end_alike].concat();
    assert_eq!(found(&all), [(Defect::Duplicate, 3), (Defect::Contradiction, 4)]);
}

/// What an earlier document answers is no prompt, whatever of its reasoning the template leaves out later.
#[test]
fn an_earlier_answer_is_no_leak_and_a_row_has_a_finding_once() {
    let first = ["<think>", "3 times 20", "</think>", " The answer is 60.", "<|im_end|>"];
    let yes = |row, before: &str| document(row, before, &["Yes, 60."]);
    let documents = [
        document(0, "3 * 20?", &first),
        yes(0, "3 * 20? The answer is 60. Sure?"),
        document(1, "3 * 20? <think>", &first[1..]),
        yes(1, "3 * 20? The answer is 60. Sure?"),
        document(2, "3 * 20? The answer is 60.", &first),
        yes(2, "3 * 20? The answer is 60. The answer is 60. Sure?"),
        document(3, "3 * 20?", &["It is 60"]),
        yes(3, "3 * 20? It is 60. So the answer is 60?"),
    ];
    let found = found(&documents).into_iter().filter(|(defect, _)| *defect == Defect::Leak);
    assert_eq!(found.collect::<Vec<_>>(), [(Defect::Leak, 2), (Defect::Leak, 3)]);
}

/// Qwen3 writes a document per turn, and an empty block of reasoning into each.
#[test]
fn conversations_that_qwen3_divides_are_whole_rows() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let template = ChatTemplate::read(fixtures.join("templates/qwen3.jinja").to_str().unwrap()).unwrap();
    let tokenizer =
        Tokenizer::from_folder(fixtures.join("tokenizer"), Some(&template), Moment::default()).unwrap();
    let rows = [
        ["Hi", "Hello.", "Next", "A"],
        ["Hi", "Hello.", "Other", "B"],
        ["3 * 20?", "The answer is 60.", "Sure?", "Yes, 60."],
    ];
    let mut records = Vec::new();
    for (row, texts) in rows.iter().enumerate() {
        let roles = ["user", "assistant"].into_iter().cycle();
        let messages = texts.iter().zip(roles).map(|(text, role)| Message::new(role, *text)).collect();
        for document in tokenizer.documents(&Conversation::chat(messages), row).unwrap() {
            records.push(Recorder::new(&tokenizer).document(&document, &[]).unwrap());
        }
    }
    assert_eq!(records.len(), 6);
    let found = find(&records, &Markup::of(&tokenizer));
    let found: Vec<_> = found.iter().map(|finding| (finding.defect, finding.row)).collect();
    assert_eq!(found, [0, 1, 2].map(|row| (Defect::EmptyReasoning, row)));
}

/// As a row with weights for many short spans has it.
#[test]
fn many_turns_take_seconds() {
    let turn = |number: usize| (format!("word{number}"), format!("{number} "));
    let turns: Vec<(String, String)> = (0..10_000).map(turn).collect();
    let turns: Vec<(&str, [&str; 1])> =
        turns.iter().map(|(prompt, response)| (prompt.as_str(), [response.as_str()])).collect();
    let turns: Vec<(&str, &[&str])> =
        turns.iter().map(|(prompt, response)| (*prompt, &response[..])).collect();
    let document = [dialogue(0, &turns)];
    let took = || {
        let began = Instant::now();
        assert_eq!(found(&document), []);
        began.elapsed().as_secs_f64()
    };
    // The fastest of some: others use the processor too.
    let took = (0..3).map(|_| took()).fold(f64::INFINITY, f64::min);
    assert!(took < 5.0, "{took} s");
}

#[test]
fn a_row_may_contradict_another_and_nearly_repeat_it() {
    let near = LONG.replace("home", "back");
    let documents = [document(0, "Go on.", &[LONG]), document(1, "Go on.", &[&near])];
    assert_eq!(found(&documents), [(Defect::Contradiction, 1), (Defect::NearDuplicate, 1)]);
}

/// So many that comparing each with all before it would take minutes.
#[test]
fn many_rows_with_one_prompt_name_the_first_other_row() {
    let mut documents: Vec<DocumentRecord> =
        (0..20_000).map(|row| document(row, "What is it?", &[&format!("It is {row}")])).collect();
    documents.push(document(20_000, "What is it?", &["it is 7."]));
    // A row that repeats itself.
    documents.extend([0, 1].map(|_| document(20_001, "Who is it?", &["It is I."])));
    let found = find(&documents, &markup());
    let of_row = |row: usize| -> Vec<&str> {
        found.iter().filter(|finding| finding.row == row).map(|finding| finding.what.as_str()).collect()
    };
    assert_eq!(of_row(0), [""; 0]);
    assert_eq!(of_row(19_999), ["has the prompt of row 0 and another response"]);
    assert_eq!(of_row(20_000), ["repeats row 7"]);
    assert_eq!(of_row(20_001), [""; 0]);
}

#[test]
fn plain_texts_have_no_prompt() {
    let text = |row, words: &[&str]| {
        let mut text = document(row, "", words);
        text.tokens.drain(..2);
        text.tokens[0].response = false;
        text
    };
    let documents = [
        text(0, &["The", " cat", " sat"]),
        text(1, &["The", " dog", " ran"]),
        text(2, &["The", " cat", " sat"]),
    ];
    assert_eq!(found(&documents), [(Defect::Duplicate, 2)]);
}

#[test]
fn answers_in_the_prompt() {
    let documents = [
        document(0, "Add 3 and 4. The answer is 7.", &["3 + 4 = 7", " #### 7"]),
        document(1, "Add 3 and 4 to get 7 apples?", &["3 + 4 = 7", " #### 7"]),
        document(2, "Say: the cat sat on it. Answer", &["The cat sat on it."]),
        document(3, "The answer is not known: add 2 and 5", &["7"]),
        document(4, "Give the answer with 2 decimals: what is 1.5 plus 1.7?", &["It is 3.2"]),
        document(5, "Report the result in 10 words", &["It was 21.10"]),
        document(6, "In the answer use 3 sentences.", &["One, two, 3"]),
        document(7, "What is 1.5 plus 1.7? Answer: 3.2.", &["It is 3.2."]),
        document(8, "繰り返してください：猫は赤い敷物の上に座った。", &["猫は赤い敷物の上に座った。"]),
        document(9, "「東京都」とは何ですか？", &["東京都"]),
    ];
    assert_eq!(found(&documents), [0, 2, 7, 8].map(|row| (Defect::Leak, row)));
}

#[test]
fn each_answer_of_a_dialogue_is_looked_for_before_it() {
    let answer: &[&str] = &["The cat sat on it.", "<|im_end|>"];
    let documents = [
        dialogue(0, &[("Hello", &["Hi"]), ("Repeat: the cat sat on it", answer)]),
        dialogue(1, &[("Where was it?", answer), ("The cat sat on it?", &["Yes"])]),
    ];
    assert_eq!(found(&documents), [(Defect::Leak, 0)]);
}

#[test]
fn tokens_that_should_not_be_trained_on() {
    let documents = [
        document(0, "a", &["<think>", "\n\n", "</think>", "ja", "<|im_end|>"]),
        document(1, "b", &["<think>", "so", "</think>", "ja", "<|im_end|>"]),
        document(2, "c", &["one", "<|im_end|>", "two", "<|im_end|>"]),
        document(3, "d", &["one", "<|im_start|>", "assistant", "two", "<|im_end|>"]),
        document(4, "### Instruction: e", &["one", "<|im_end|>"]),
        document(5, "f", &["one", "<|im_end|>", "<|im_end|>"]),
        // Two marks may end a document or begin the call of a tool.
        document(6, "g", &["<|calls|>", "<|call|>", "one", "<|im_end|>", "<|endoftext|>"]),
        dialogue(7, &[("h", &["one", "<|im_end|>"]), ("i", &["model", " trains"])]),
    ];
    let wanted =
        [(Defect::EmptyReasoning, 0), (Defect::Mask, 3), (Defect::ForeignTemplate, 4), (Defect::Mask, 5)];
    assert_eq!(found(&documents), wanted);
}

/// Their texts would be words: `<|im_end|>` the words "im" and "end".
#[test]
fn special_tokens_are_no_words_of_a_prompt() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/tokenizer");
    let tokenizer = Tokenizer::from_folder(folder, None, Moment::default()).unwrap();
    let messages = [("user", "2.2 + 2? The answer is 4.2"), ("assistant", "4.2")];
    let messages = messages.map(|(role, content)| Message::new(role, content)).to_vec();
    let row = tokenizer.document(&Conversation::Chat { messages, tools: Vec::new() }, 0).unwrap();
    let record = Recorder::new(&tokenizer).document(&row, &[]).unwrap();
    let found = find(&[record], &Markup::of(&tokenizer));
    let what = "the prompt contains “answer is 4.2”".to_owned();
    assert_eq!(found, [Finding { defect: Defect::Leak, row: 0, what }]);
}

#[test]
fn what_was_found_cannot_control_a_terminal() {
    let answer = "\u{1b}[2J\u{9b}2J the cat\r\nsat on it";
    let found = find(&[document(0, answer, &[answer])], &markup());
    assert_eq!(found[0].what, "the prompt contains “\\u{1b}[2J\\u{9b}2J the cat\\r\\nsat on it”");
}
