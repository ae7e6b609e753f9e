//! By how much the steps of a `tokenizer.json` can lengthen a text: the file comes with a model, from anywhere, and a few
//! replacements in a row write more than fits into memory.

use std::collections::HashSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;
use regex::Regex;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The most times as long (choice: Llama's is 12, T5's table with a replacement 33, with a prefix too 132).
const MOST: f64 = 256.0;

/// The keys of the file whose steps change a text.
const KEYS: [&str; 3] = ["normalizer", "pre_tokenizer", "decoder"];

/// The keys of a sequence's steps.
const LISTS: [&str; 3] = ["normalizers", "pretokenizers", "decoders"];

/// The most bytes that one entry of a table replaces: a character with its accents.
const CLUSTER: usize = 5;

/// Checks a `tokenizer.json` before it is loaded, which already runs its steps. What is not JSON is left to the loader.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut parser = serde_json::Deserializer::from_str(text);
    let Ok(parts) = parser.deserialize_map(Parts) else { return Ok(()) };
    let mut steps = Vec::new();
    for (key, part) in &parts {
        list(key.clone(), part, &mut steps)?;
    }
    // A text goes through the first two, its tokens through the last.
    let (decoding, encoding): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|(key, _)| key.starts_with(KEYS[2]));
    for steps in [encoding, decoding] {
        let product: f64 = steps.iter().map(|(_, growth)| growth).product();
        let worst = steps.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((key, growth)) = worst.filter(|_| product > MOST) else { continue };
        let (product, growth) = (times(product), times(*growth));
        let others = format!(" ({growth} times by this step, the rest by others)");
        let others = if product == growth { "" } else { &others };
        return Err(format!(
            "{key}: a text can become {product} times as long{others}; at most {MOST} times is supported, more than \
             usual tokenizers need: shorten what this step puts in, or remove it"
        ));
    }
    Ok(())
}

fn times(growth: f64) -> String {
    if growth < 1e9 { format!("{}", growth.ceil()) } else { format!("{growth:.0e}") }
}

/// The values of [`KEYS`], each as often as it is there.
struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tokenizer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if KEYS.contains(&key.as_str()) {
                parts.push((key, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(parts)
    }
}

/// Lists the steps of a part, each with its key and how many times as long a text can become by it.
fn list(key: String, step: &Value, into: &mut Vec<(String, f64)>) -> Result<(), String> {
    for name in LISTS {
        for (i, inner) in step[name].as_array().into_iter().flatten().enumerate() {
            list(format!("{key}.{name}[{i}]"), inner, into)?;
        }
    }
    let growth = growth(&key, step)?;
    into.push((key, growth));
    Ok(())
}

/// A step is known by its keys, since old files do not name its type.
fn growth(key: &str, step: &Value) -> Result<f64, String> {
    let text = |key: &str| step[key].as_str();
    let bytes = |text: &str| text.len() as f64;
    let mut growth = 1.0_f64;
    if let (Some(content), pattern) = (text("content"), &step["pattern"]) {
        growth = match (pattern["String"].as_str(), pattern["Regex"].as_str()) {
            (Some(pattern), _) => replacement(bytes(content), pattern.len()),
            (_, Some(pattern)) => replacement(bytes(content), shortest(pattern)),
            _ => growth,
        };
    }
    // Once per text, and again after each special token in it.
    growth *= 1.0 + text("prepend").map_or(0.0, bytes);
    if let Some(table) = text("precompiled_charsmap") {
        let wrong =
            || format!("{key}.precompiled_charsmap: is not a table of SentencePiece; copy the file again");
        let table = STANDARD_PAD_INDIFFERENT.decode(table).map_err(|_| wrong())?;
        growth *= of_table(&table).ok_or_else(wrong)?;
    }
    // What has no letters is found at each place, and a space put there.
    let finds_nothing = |key: &str| text(key).is_some_and(str::is_empty);
    if finds_nothing("suffix") || finds_nothing("word_delimiter_token") {
        growth *= 2.0;
    }
    // Bytes as characters of two bytes, once more by each such step; spaces around Chinese characters.
    let doubles = ["ByteLevel", "BertNormalizer", "Bert"].contains(&text("type").unwrap_or_default());
    if doubles && !key.starts_with(KEYS[2]) {
        growth *= 2.0;
    }
    // Unicode's own forms lengthen a text once, whatever the file says.
    Ok(growth)
}

/// The growth by a replacement that is put in for at least so many bytes; for none: at each place.
fn replacement(content: f64, least: usize) -> f64 {
    if least == 0 { 1.0 + content } else { (content / least as f64).max(1.0) }
}

/// 1, or 0 for a pattern that may match the empty text. What another dialect means by it counts as that.
fn shortest(pattern: &str) -> usize {
    // Whether these match nothing depends on the place; without them the empty text decides. A class's `[^` and an escaped
    // sign are none.
    let signs = pattern.replace(r"\\", "").replace("[^", "[").replace(r"\^", "").replace(r"\$", "");
    let has_places =
        ["^", "$", r"\b", r"\B", r"\A", r"\z", r"\<", r"\>"].iter().any(|place| signs.contains(place));
    let is_never_empty = Regex::new(pattern).is_ok_and(|pattern| !pattern.is_match(""));
    usize::from(!has_places && is_never_empty)
}

/// The growth by a `precompiled_charsmap`: the length of a trie, the trie as a double array of four bytes each, and the
/// replacements, each ended by a zero. `None` if it is none.
fn of_table(table: &[u8]) -> Option<f64> {
    let word = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize);
    let size = word(table)?;
    let (trie, texts) = table.get(4..)?.split_at_checked(size)?;
    let units: Vec<usize> = trie.chunks_exact(4).filter_map(word).collect();
    let offset = |unit: usize| (unit >> 10) << ((unit & (1 << 9)) >> 6);
    let label = |unit: usize| unit & (1 << 31 | 0xff);
    // Longer ones need not be told apart.
    let length = |at: usize| {
        let most = CLUSTER * (MOST as usize + 1);
        Some(texts.get(at..)?.iter().take(most).take_while(|byte| **byte != 0).count() as f64)
    };
    let mut growth = 1.0_f64;
    let mut nodes = HashSet::from([offset(*units.first()?)]);
    for depth in 1..=CLUSTER {
        let mut below = HashSet::new();
        for (at, unit) in units.iter().enumerate() {
            let byte = label(*unit);
            if !(1..=0xff).contains(&byte) || !nodes.contains(&(at ^ byte)) {
                continue;
            }
            let node = at ^ offset(*unit);
            if unit >> 8 & 1 == 1 {
                let leaf = units.get(node)? & ((1 << 31) - 1);
                growth = growth.max(length(leaf)? / depth as f64);
            }
            below.insert(node);
        }
        nodes = below;
    }
    Some(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(part: &str) -> Result<(), String> {
        check(&format!("{{\"model\": {{}}, {part}}}"))
    }

    #[test]
    fn usual_tokenizers_pass() {
        for part in [
            // Llama 2, Gemma, and T5 without its table.
            r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#,
            r#""normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}"#,
            r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": false, "strip_right": true}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#,
            // Qwen, BERT, CLIP, ALBERT.
            r#""normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\p{L}+"}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]}, "decoder": {"type": "ByteLevel"}"#,
            r###""normalizer": {"type": "BertNormalizer", "handle_chinese_chars": true}, "pre_tokenizer": {"type": "BertPreTokenizer"}, "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true}"###,
            r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}, {"type": "Lowercase"}]}"#,
            r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "``"}, "content": "\""}, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]}"#,
            r#""normalizer": null"#,
        ] {
            checked(part).unwrap();
        }
    }

    #[test]
    fn what_lengthens_without_bound_is_refused() {
        let replace = |pattern: &str, content: &str| {
            format!("{{\"type\": \"Replace\", \"pattern\": {pattern}, \"content\": \"{content}\"}}")
        };
        let long = |key: &str, how: &str| {
            format!(
                "{key}: a text can become {how}; at most 256 times is supported, more than usual tokenizers need: \
                 shorten what this step puts in, or remove it"
            )
        };
        let one = replace(r#"{"String": "a"}"#, &"b".repeat(100_000));
        for key in ["normalizer", "decoder"] {
            assert_eq!(checked(&format!("\"{key}\": {one}")).unwrap_err(), long(key, "100000 times as long"));
        }
        // The last of two is the one that counts, and both are checked.
        assert!(checked(&format!("\"normalizer\": {one}, \"normalizer\": null")).is_err());
        let ten = vec![replace(r#"{"String": "a"}"#, "aaaaaaaaaa"); 12].join(", ");
        let chained = format!(r#""normalizer": {{"type": "Sequence", "normalizers": [{ten}]}}"#);
        let how = "1e12 times as long (10 times by this step, the rest by others)";
        assert_eq!(checked(&chained).unwrap_err(), long("normalizer.normalizers[11]", how));
        for (pattern, passes) in [
            ("a+", true),
            (r"[^a]\\$", true),
            ("a*", false),
            ("(?=a)", false),
            ("^", false),
            (r"\\\\$", false),
        ] {
            let pattern = format!("{{\"Regex\": \"{pattern}\"}}");
            assert_eq!(
                checked(&format!("\"normalizer\": {}", replace(&pattern, &"b".repeat(256)))).is_ok(),
                passes
            );
        }
        let bytes = [r#"{"type": "ByteLevel"}"#; 9].join(", ");
        let bytes = format!(r#""pre_tokenizer": {{"type": "Sequence", "pretokenizers": [{bytes}]}}"#);
        assert!(checked(&bytes).unwrap_err().contains("512 times as long (2 times by this step"));
        // Without its type, as in old files.
        let prepend = format!("\"normalizer\": {{\"prepend\": \"{}\"}}", "b".repeat(256));
        assert_eq!(checked(&prepend).unwrap_err(), long("normalizer", "257 times as long"));
    }

    /// A table that puts `text` in for `a`.
    fn table(text: &str) -> Vec<u8> {
        let mut units = vec![0_u32; 256];
        units[0] = 1 << 10;
        // The node of the root is at 1; that of `a` at the unit's own place XOR 2.
        units[usize::from(1 ^ b'a')] = u32::from(b'a') | 1 << 8 | 2 << 10;
        let bytes = units.iter().flat_map(|unit| unit.to_le_bytes());
        (1024_u32).to_le_bytes().into_iter().chain(bytes).chain(text.bytes()).chain([0]).collect()
    }

    #[test]
    fn tables_count_what_they_put_in() {
        for (text, growth) in [("b", 1.0), ("bbbb", 4.0)] {
            assert_eq!(of_table(&table(text)), Some(growth));
        }
        assert!(of_table(&table(&"b".repeat(2000))).unwrap() > MOST);
        for damaged in [&b""[..], &[255; 4], &[0; 4]] {
            assert_eq!(of_table(damaged), None);
        }
        let short = r#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "/////w=="}"#;
        let what = "normalizer.precompiled_charsmap: is not a table of SentencePiece; copy the file again";
        assert_eq!(checked(short).unwrap_err(), what);
    }
}
