//! The fonts and words that puzzles are made of.

use std::fs;
use std::io::{Cursor, Read};

use tokensieve_base::streams::HashedStream;
use tokensieve_data::Catalogue;
use zip::ZipArchive;

use super::Font;
use crate::{Error, Result};

/// Readable fonts, and words by length.
#[derive(Clone, Debug)]
pub struct Library {
    fonts: Vec<(String, Font)>,
    words: [Vec<String>; 4],
}

/// English words of two letters: the word list begins with three.
const SHORT: &str =
    "ad ah am an as at ax be by do ex go ha he hi if in is it me my no of oh ok on or ox pi so to up us we";

impl Library {
    /// From the catalogue: fonts of the package pyfiglet, and a word list.
    pub fn load() -> Result<Self> {
        let catalogue = Catalogue::load()?;
        let wheel = catalogue.fetch("pyfiglet")?;
        let wheel = wheel.path("wheel");
        let file = fs::read(wheel).map_err(|error| Error::file(wheel, error))?;
        let fonts = fonts(file).map_err(|what| Error::file(wheel, what))?;
        let list = catalogue.fetch("words3to10")?;
        let list = list.path("words");
        let text = fs::read_to_string(list).map_err(|error| Error::file(list, error))?;
        let of_length = |n: usize| {
            let words = if n == 2 { SHORT.split(' ') } else { text.split('\n') };
            let fit = |word: &&str| word.len() == n && word.bytes().all(|c| c.is_ascii_lowercase());
            words.map(str::trim).filter(fit).map(str::to_owned).collect::<Vec<_>>()
        };
        let words = [2, 3, 4, 5].map(of_length);
        if fonts.is_empty() || words.iter().any(Vec::is_empty) {
            return Err(Error::file(
                list,
                "without readable fonts and words of 2 to 5 small letters there are no puzzles",
            ));
        }
        Ok(Self { fonts, words })
    }

    /// The readable fonts by name, sorted.
    pub fn fonts(&self) -> &[(String, Font)] {
        &self.fonts
    }

    /// The words of two letters, of three, of four, of five.
    pub fn words(&self) -> &[Vec<String>; 4] {
        &self.words
    }

    /// One of them in capitals, of each length as likely.
    pub(crate) fn word(&self, stream: &mut HashedStream) -> String {
        let of_length = &self.words[stream.below(self.words.len() as u64) as usize];
        stream.choose(of_length).to_uppercase()
    }
}

fn fonts(wheel: Vec<u8>) -> Result<Vec<(String, Font)>, String> {
    let mut members = ZipArchive::new(Cursor::new(wheel)).map_err(|error| error.to_string())?;
    let mut fonts = Vec::new();
    for index in 0..members.len() {
        let mut member = members.by_index(index).map_err(|error| error.to_string())?;
        let path = member.name().to_owned();
        let Some(name) = path.rsplit('/').next().and_then(|name| name.strip_suffix(".flf")) else { continue };
        let mut file = Vec::new();
        member.read_to_end(&mut file).map_err(|error| format!("{path}: {error}"))?;
        // A font that breaks the standard is as unreadable as one that cannot be made out.
        if let Ok(font) = Font::parse(&file)
            && is_readable(name, &font)
        {
            fonts.push((name.to_owned(), font));
        }
    }
    fonts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(fonts)
}

/// Whether a font draws Latin capitals that can be told apart, of a size that fits a prompt.
pub fn is_readable(name: &str, font: &Font) -> bool {
    let drawings: Vec<Vec<String>> = ('A'..='Z').map(|letter| font.draw(&letter.to_string())).collect();
    let ink = |rows: &[String]| rows.iter().filter(|row| !row.trim().is_empty()).count();
    let all_drawn = drawings.iter().all(|rows| (3..=12).contains(&ink(rows)));
    // Some draw a picture between words.
    let blank_is_blank = ink(&font.draw(" ")) == 0;
    let all_fit = drawings.iter().flatten().all(|row| row.chars().count() <= 24);
    // Where every letter is drawn with itself, reading the drawing is reading.
    let spells_itself = |(letter, rows): (char, &Vec<String>)| rows.iter().any(|row| row.contains(letter));
    let gives_away = ('A'..='Z').zip(&drawings).all(spells_itself);
    let told_apart = (1..drawings.len()).all(|n| !drawings[..n].contains(&drawings[n]));
    all_drawn && blank_is_blank && all_fit && told_apart && !gives_away && !FOREIGN.contains(&name)
}

/// Fonts whose capitals are another alphabet's, pictures, or lie on their side; by eye, among those that pass the rest.
const FOREIGN: &[&str] = &[
    "danc4",
    "eftiwall",
    "greek",
    "horizontal_left",
    "horizontal_right",
    "moscow",
    "ntgreek",
    "odel_lak",
    "tengwar",
    "tsalagi",
];
