//! Rust sources as the tokens that can move a number.
//!
//! Comments and layout vanish with reading; left out besides are what is compiled for tests alone, attributes that only
//! document or instruct lints, the words of errors and of what is printed, and a comma before a closing bracket, which comes
//! and goes with layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};

/// Attributes that change no code.
const SILENT: [&str; 9] =
    ["allow", "deny", "doc", "error", "expect", "inline", "must_use", "rustfmt", "warn"];
/// Macros that print or fail: their texts are for people.
const SPEAKING: [&str; 12] = [
    "anyhow",
    "assert",
    "bail",
    "debug_assert",
    "ensure",
    "eprint",
    "eprintln",
    "panic",
    "print",
    "println",
    "todo",
    "unreachable",
];
/// Methods that word a failure.
const WORDING: [&str; 3] = ["context", "expect", "with_context"];

/// Words of a `use` or an `impl` that name nothing.
const PATHS: [&str; 8] = ["as", "crate", "for", "impl", "pub", "self", "super", "use"];

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub struct File {
    /// Its tokens, with a space after each.
    pub code: String,
    /// The modules that it declares for tests alone.
    pub test_modules: Vec<TestModule>,
}

/// A module for tests in a file of its own.
#[derive(Debug, PartialEq, Eq)]
pub struct TestModule {
    name: String,
    path: Option<String>,
}

impl TestModule {
    /// The path of the module's file without its ending, and of its folder, where the file `name` declares it.
    pub(super) fn place(&self, name: &str) -> String {
        let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
        let stem = file.trim_end_matches(".rs");
        if let Some(path) = &self.path {
            return format!("{folder}/{}", path.trim_end_matches(".rs"));
        }
        if ["lib", "main", "mod"].contains(&stem) {
            return format!("{folder}/{}", self.name);
        }
        format!("{folder}/{stem}/{}", self.name)
    }
}

/// Reads a file; the error is where it is no Rust.
pub fn read(text: &str) -> Result<File, String> {
    let mut file = File { code: String::new(), test_modules: Vec::new() };
    file.add(parse(text)?, false);
    Ok(file)
}

/// The tokens of those items of a file that its function `start` names, directly or through others. A block that implements
/// something counts as one item, named by what its head names; of the block that holds `start` each method is one.
pub fn reached(text: &str, start: &str) -> Result<String, String> {
    let mut items = Vec::new();
    collect(parse(text)?, start, &mut items);
    let mut names: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        for name in &item.names {
            names.entry(name).or_default().push(at);
        }
    }
    let mut found = BTreeSet::new();
    let mut queue: Vec<usize> = names.get(start).cloned().unwrap_or_default();
    while let Some(at) = queue.pop() {
        if found.insert(at) {
            queue.extend(items[at].mentions.iter().filter_map(|name| names.get(name.as_str())).flatten());
        }
    }
    Ok(found.into_iter().map(|at| items[at].code.as_str()).collect())
}

fn parse(text: &str) -> Result<TokenStream, String> {
    text.parse().map_err(|error: proc_macro2::LexError| format!("no Rust: {error}"))
}

impl File {
    /// Adds tokens; of `words`, the texts are left out.
    fn add(&mut self, tokens: TokenStream, words: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if let Some((attribute, next)) = attribute(&tokens, at) {
                if is_for_tests(&attribute) {
                    let end = item_end(&tokens, next);
                    self.test_modules.extend(test_module(&tokens[at..end]));
                    at = end;
                    continue;
                }
                if first_word(&attribute.stream()).is_some_and(|name| SILENT.contains(&name.as_str())) {
                    at = next;
                    continue;
                }
            }
            match &tokens[at] {
                TokenTree::Group(group) => {
                    let (open, close) = match group.delimiter() {
                        Delimiter::Parenthesis => ("( ", ") "),
                        Delimiter::Brace => ("{ ", "} "),
                        Delimiter::Bracket => ("[ ", "] "),
                        Delimiter::None => ("", ""),
                    };
                    self.code += open;
                    self.add(group.stream(), words || are_words(&tokens[..at]));
                    self.code += close;
                }
                TokenTree::Literal(text) if words && text.to_string().ends_with(['"', '#']) => {}
                TokenTree::Punct(comma) if comma.as_char() == ',' && at + 1 == tokens.len() => {}
                token => {
                    let _ = write!(self.code, "{token} ");
                }
            }
            at += 1;
        }
    }
}

/// The attribute that begins at a token (`#[…]`, `#![…]`), and the place behind it.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(Group, usize)> {
    let is =
        |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
    if !is(at, '#') {
        return None;
    }
    let place = if is(at + 1, '!') { at + 2 } else { at + 1 };
    match tokens.get(place) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((group.clone(), place + 1))
        }
        _ => None,
    }
}

/// `cfg(test)`, `cfg(all(test, …))` or `test`.
fn is_for_tests(attribute: &Group) -> bool {
    let text: String =
        attribute.stream().into_iter().map(|token| token.to_string().replace(' ', "")).collect();
    text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// Where an item ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Behind its body, or a semicolon.
    Body,
    /// Behind a semicolon, whatever braces come before.
    Semicolon,
    /// What is no item (a field, say): as a body, or behind a comma.
    Comma,
}

/// The place behind the item (or field, or statement) that begins at a token, its further attributes included.
fn item_end(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some((_, next)) = attribute(tokens, at) {
        at = next;
    }
    let mut end = End::Comma;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token {
            TokenTree::Ident(word) if end == End::Comma => end = end_by(word, tokens.get(place + 1)),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && end != End::Semicolon => {
                return place + 1;
            }
            TokenTree::Punct(mark) if mark.as_char() == ';' => return place + 1,
            TokenTree::Punct(mark) if mark.as_char() == ',' && end == End::Comma => return place + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// What a word says of the end of the item that it stands in.
fn end_by(word: &Ident, next: Option<&TokenTree>) -> End {
    match word.to_string().as_str() {
        "const" if matches!(next, Some(TokenTree::Ident(word)) if ["fn", "unsafe"].iter().any(|of| word == of)) => {
            End::Body
        }
        "const" | "let" | "static" | "type" | "use" => End::Semicolon,
        "enum" | "fn" | "impl" | "macro_rules" | "mod" | "struct" | "trait" | "union" => End::Body,
        _ => End::Comma,
    }
}

/// The module that an item declares without its content.
fn test_module(item: &[TokenTree]) -> Option<TestModule> {
    let words: Vec<String> = item.iter().map(ToString::to_string).collect();
    let [.., keyword, name, semicolon] = &words[..] else { return None };
    if keyword != "mod" || semicolon != ";" {
        return None;
    }
    let path = item.iter().find_map(|token| {
        let TokenTree::Group(group) = token else { return None };
        (first_word(&group.stream())? == "path").then(|| group.stream().into_iter().last())?
    });
    let path = path.map(|literal| literal.to_string().trim_matches('"').to_owned());
    Some(TestModule { name: name.clone(), path })
}

/// Whether the group behind these tokens holds words for people: `bail!(…)`, `.context(…)`.
fn are_words(before: &[TokenTree]) -> bool {
    let word = |token: &TokenTree| token.to_string();
    match before {
        [.., name, mark] if word(mark) == "!" => SPEAKING.contains(&word(name).as_str()),
        [.., dot, name] if word(dot) == "." => WORDING.contains(&word(name).as_str()),
        _ => false,
    }
}

fn first_word(tokens: &TokenStream) -> Option<String> {
    match tokens.clone().into_iter().next()? {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    }
}

/// Whether a block has a function of that name.
fn holds(block: &Group, function: &str) -> bool {
    let words: Vec<String> = block.stream().into_iter().map(|token| token.to_string()).collect();
    words.windows(2).any(|pair| pair[0] == "fn" && pair[1] == function)
}

/// An item of a file.
struct Item {
    names: BTreeSet<String>,
    mentions: BTreeSet<String>,
    code: String,
}

/// Splits a file into its items, and the block that holds the function `start` into its methods.
fn collect(tokens: TokenStream, start: &str, items: &mut Vec<Item>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let end = item_end(&tokens, at).max(at + 1);
        let item = &tokens[at..end];
        let for_tests = attribute(&tokens, at).is_some_and(|(attribute, _)| is_for_tests(&attribute));
        match item.last() {
            _ if for_tests => {}
            Some(TokenTree::Group(body)) if holds(body, start) => collect(body.stream(), start, items),
            _ => items.push(Item::new(item)),
        }
        at = end;
    }
}

impl Item {
    fn new(tokens: &[TokenTree]) -> Self {
        let mut file = File { code: String::new(), test_modules: Vec::new() };
        file.add(tokens.iter().cloned().collect(), false);
        let mut item = Self { names: BTreeSet::new(), mentions: BTreeSet::new(), code: file.code };
        let words: Vec<&str> = item.code.split(' ').collect();
        let keywords = ["const", "enum", "fn", "impl", "mod", "static", "struct", "trait", "type"];
        // Of a `use` and of the head of an `impl` every word is a name.
        let head = words.iter().position(|word| *word == "{").unwrap_or(words.len());
        let all = words.iter().take(3).any(|word| *word == "use").then_some(words.len());
        let all = all.or(words.first().filter(|word| **word == "impl").map(|_| head)).unwrap_or(0);
        let named = words.windows(2).filter(|pair| keywords.contains(&pair[0])).map(|pair| pair[1]);
        let is_name = |word: &&str| word.starts_with(|c: char| c.is_alphabetic()) && !PATHS.contains(word);
        item.names = named.chain(words[..all].iter().copied().filter(is_name)).map(str::to_owned).collect();
        item.mentions = words.into_iter().map(str::to_owned).collect();
        item
    }
}
