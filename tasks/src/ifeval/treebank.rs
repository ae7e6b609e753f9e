//! Words as NLTK's word tokenizer finds them in a sentence: those of the Penn Treebank, with a few more rules. Each rule
//! puts spaces around some pattern; then the sentence is split at white space.

use std::sync::LazyLock;

use regex::Regex;

use super::python;

/// The patterns and their replacements, in the order in which they apply. The treebank's signs for quotation marks are left as they are.
const RULES: &[(&str, &str)] = &[
    ("[«“‘„]|`+", " $0 "),
    ("^\"", "``"),
    ("``", " $0 "),
    (r#"([ (\[{<])("|'')"#, "$1 `` "),
    // A quotation mark before a single letter, but that of a clitic.
    (r"(?i)'([\w--[mtsdn]]\b)", "' $1"),
    (r#"([^.])\.([\])}>"'»”’ ]*)\s*$"#, "$1 . $2 "),
    (r"([:,])([^\d])", " $1 $2"),
    ("[:,]$", " $0 "),
    (r"\.{2,}", " $0 "),
    ("[;@#$%&]", " $0 "),
    (r#"([^.])\.([\])}>"']*)\s*$"#, "$1 .$2 "),
    ("[?!]", " $0 "),
    ("([^'])' ", "$1 ' "),
    (r"\*", " $0 "),
    (r"[\]\[(){}<>]", " $0 "),
    ("--", " -- "),
    ("^|$", " "),
    ("[»”’]", " $0 "),
    ("''|\"", " '' "),
    ("([^' ])('[sSmMdD]?) ", "$1 $2 "),
    ("([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "),
    // Two words written as one.
    (r"(?i)\b(can)(not)\b", " $1 $2 "),
    (r"(?i)\b(d)('ye)\b", " $1 $2 "),
    (r"(?i)\b(gim|lem)(me)\b", " $1 $2 "),
    (r"(?i)\b(gon)(na)\b", " $1 $2 "),
    (r"(?i)\b(got)(ta)\b", " $1 $2 "),
    (r"(?i)\b(more)('n)\b", " $1 $2 "),
    (r"(?i)\b(wan)(na\s)", " $1 $2 "),
    (r"(?i) ('t)(is|was)\b", " $1 $2 "),
];

/// The words of one sentence.
pub(super) fn words(sentence: &str) -> Vec<String> {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| RULES.iter().map(|(pattern, by)| (python::regex(pattern), *by)).collect());
    let mut text = sentence.to_owned();
    for (pattern, by) in COMPILED.iter() {
        text = pattern.replace_all(&text, *by).into_owned();
    }
    python::split(&text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_clitics_are_set_apart() {
        let words = |text: &str| words(text).join(" ");
        assert_eq!(words("He's \"fine\", isn't he?"), "He 's `` fine '' , is n't he ?");
        assert_eq!(words("It cost $3.50 (or 4:30)..."), "It cost $ 3.50 ( or 4:30 ) ...");
        assert_eq!(
            words("I CANNOT, 'TIS well-done--GONNA go."),
            "I CAN NOT , 'T IS well-done -- GON NA go ."
        );
    }
}
