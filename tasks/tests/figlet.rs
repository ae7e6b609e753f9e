//! The renderer against outputs that FIGlet itself recorded.

mod data;

use std::collections::BTreeMap;
use std::fs;

use data::at_hand;
use tokensieve_data::Catalogue;
use tokensieve_tasks::figfont::{Font, KERN, SMUSH};

/// The members of a tar file.
fn members(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').trim().to_owned();
    let mut members = BTreeMap::new();
    let mut at = 0;
    while tar[at] != 0 {
        let size = usize::from_str_radix(&text(&tar[at + 124..at + 135]), 8).unwrap();
        members.insert(text(&tar[at..at + 100]), tar[at + 512..at + 512 + size].to_vec());
        at += 512 + size.div_ceil(512) * 512;
    }
    members
}

/// A page of drawn text, broken into lines as FIGlet breaks it; the puzzles are one line each and need none of this.
struct Page<'a> {
    font: &'a Font,
    width: usize,
    line: String,
    drawn: String,
}

impl Page<'_> {
    fn set(font: &Font, text: &str, width: usize) -> String {
        let mut page = Page { font, width, line: String::new(), drawn: String::new() };
        for paragraph in text.lines() {
            // Blanks after a broken line are dropped.
            let mut broken = false;
            for letter in paragraph.chars() {
                if broken && letter == ' ' {
                    continue;
                }
                broken = page.add(letter);
            }
            if !broken {
                page.print();
            }
        }
        page.drawn
    }

    /// Whether a line ended with it.
    fn add(&mut self, letter: char) -> bool {
        self.line.push(letter);
        let width = self.font.draw(&self.line)[0].chars().count();
        if width < self.width {
            return false;
        }
        self.line.pop();
        if self.line.is_empty() {
            // Wider than any line: it is printed as it is.
            self.line.push(letter);
            self.print();
            return true;
        }
        let rest = self.line_break(letter == ' ');
        self.print();
        self.line = rest;
        letter == ' ' || self.add(letter)
    }

    /// Leaves what is before the last blank after a word; says what was behind it.
    fn line_break(&mut self, blank: bool) -> String {
        let line = &self.line;
        let is_open = line.ends_with(' ');
        if blank && !is_open {
            return String::new();
        }
        let Some(at) = line.rfind(' ') else { return String::new() };
        let word = line[..at].trim_end().len();
        if word == 0 {
            return String::new();
        }
        let rest = line[at + 1..].to_owned();
        self.line.truncate(word);
        rest
    }

    fn print(&mut self) {
        for row in self.font.draw(&std::mem::take(&mut self.line)) {
            self.drawn += &format!("{row}\n");
        }
    }
}

#[test]
fn what_figlet_recorded_is_drawn_again() {
    let Some(files) = at_hand(Catalogue::load().unwrap().fetch("figlet")) else { return };
    let tests = members(&fs::read(files.path("tests")).unwrap());
    // One is written from right to left and refused.
    let fonts: BTreeMap<String, Font> = members(&fs::read(files.path("fonts")).unwrap())
        .into_iter()
        .filter_map(|(name, file)| Some((name.replace(".flf", ""), Font::parse(&file).ok()?)))
        .collect();
    assert!(fonts.len() == 17 && !fonts.contains_key("ivrit"));
    let text = |name: &str| String::from_utf8_lossy(&tests[name]).into_owned();
    let standard = &fonts["standard"];
    let input = text("input.txt");
    for (case, drawn) in [
        ("res003.txt", Page::set(standard, &text("longtext.txt"), 80)),
        ("res004.txt", Page::set(standard, &input, 80)),
        ("res006.txt", Page::set(standard, &input, 80)),
        ("res009.txt", Page::set(&standard.with_layout(KERN), &input, 80)),
        ("res010.txt", Page::set(&standard.with_layout(0), &input, 80)),
        ("res011.txt", Page::set(&standard.with_layout(SMUSH), &input, 80)),
        ("res020.txt", Page::set(&fonts["script"], &input, 80)),
    ] {
        assert_eq!(drawn, text(case), "{case}");
    }
    // All fonts one after the other; that one stands between `digital` and `lean`.
    let every = text("res002.txt");
    let (before, after): (Vec<_>, Vec<_>) = fonts.iter().partition(|(name, _)| name.as_str() < "ivrit");
    let pages = |fonts: Vec<(&String, &Font)>| {
        fonts.iter().map(|(_, font)| Page::set(font, &input, 80)).collect::<String>()
    };
    assert!(every.starts_with(&pages(before)) && every.ends_with(&pages(after)));
}
