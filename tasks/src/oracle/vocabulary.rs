//! The symbols of the language: one character each, so that a text's tokens are its characters.

/// Every symbol; a token is an index into this list.
const SYMBOLS: &str =
    "$<{=:;.FRC|+-#0123456789abcdefghijklmnopqrstuvABDEGHIJKLMNOPQSαβγδεζηθικλμνξοπρστυφχψω";

/// A symbol of the language, by its index in [`symbols`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u8);

/// Ends a document.
pub(super) const END: Token = Token(0);
/// Begins a document of each style.
pub(super) const BEGIN: [Token; 2] = [Token(1), Token(2)];
/// Stands before a value or a result, in each style.
pub(super) const ASSIGN: [Token; 2] = [Token(3), Token(4)];
/// Ends a record, in each style.
pub(super) const STOP: [Token; 2] = [Token(5), Token(6)];
/// Begins a record about a key.
pub(super) const FACT: Token = Token(7);
/// Begins a chain of modular arithmetic.
pub(super) const CHAIN: Token = Token(8);
/// Begins a list that is copied.
pub(super) const COPY: Token = Token(9);
/// Stands between a list and its copy.
pub(super) const AGAIN: Token = Token(10);
/// The operators of chains; the last one is new in post-training.
pub(super) const OPERATORS: [Token; 3] = [Token(11), Token(12), Token(13)];

/// Number of values, and of each of their two synonyms.
pub(super) const VALUES: u8 = 16;
/// Number of first halves of keys, and of second halves.
pub(super) const KEYS: u8 = 12;
const FIRST_VALUE: u8 = 14;
const FIRST_KEY: u8 = FIRST_VALUE + 3 * VALUES;

/// Value `value`, spelled canonically (0) or by one of its synonyms (1 and 2).
pub(super) fn value(value: u8, spelling: u8) -> Token {
    Token(FIRST_VALUE + spelling * VALUES + value)
}

/// The value that a token spells canonically.
pub(super) fn value_of(token: Token) -> Option<u8> {
    token.0.checked_sub(FIRST_VALUE).filter(|value| *value < VALUES)
}

/// Half `half` of a key in position 0 or 1.
pub(super) fn key(position: u8, half: u8) -> Token {
    Token(FIRST_KEY + position * KEYS + half)
}

/// The half of a key that a token stands for in position 0 or 1.
pub(super) fn key_of(position: u8, token: Token) -> Option<u8> {
    token.0.checked_sub(FIRST_KEY + position * KEYS).filter(|half| *half < KEYS)
}

/// All symbols, in the order of their tokens.
pub fn symbols() -> Vec<char> {
    SYMBOLS.chars().collect()
}

/// The text of some tokens.
pub fn text(tokens: &[Token]) -> String {
    let symbols = symbols();
    tokens.iter().map(|token| symbols[usize::from(token.0)]).collect()
}

/// The tokens of a text; `None` where it has a character that is not a symbol.
pub fn tokens(text: &str) -> Option<Vec<Token>> {
    let token = |c| SYMBOLS.chars().position(|symbol| symbol == c).map(|index| Token(index as u8));
    text.chars().map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symbol_is_one_token() {
        let symbols = symbols();
        assert_eq!(symbols.len(), usize::from(key(1, KEYS - 1).0) + 1);
        assert!(symbols.len() <= 128);
        let all: Vec<Token> = (0..symbols.len() as u8).map(Token).collect();
        assert_eq!(tokens(&text(&all)).unwrap(), all);
        assert_eq!(tokens("<F!"), None);
    }
}
