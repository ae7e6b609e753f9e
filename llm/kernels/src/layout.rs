//! Where documents lie when they stand side by side in one row of tokens.

/// Where documents lie in a pack of `prefix + Σ lengths` tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Leading tokens that stand for every document's first ones.
    pub prefix: usize,
    /// Per document, how many tokens of its own follow, in order. Each is at least 1.
    pub lengths: Vec<usize>,
}

impl Layout {
    /// Tokens in all.
    pub fn tokens(&self) -> usize {
        self.prefix + self.lengths.iter().sum::<usize>()
    }

    /// What is known of every token of each document, as rows of the pack: the prefix as the first document has it, then
    /// each document's own.
    pub fn rows<T>(&self, documents: impl IntoIterator<Item = Vec<T>>) -> Vec<T> {
        let own =
            |(number, all): (usize, Vec<T>)| all.into_iter().skip(if number == 0 { 0 } else { self.prefix });
        documents.into_iter().enumerate().flat_map(own).collect()
    }

    /// Where each document's own tokens lie in the pack.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.lengths.iter().scan(self.prefix, |start, length| {
            let range = *start..*start + length;
            *start = range.end;
            Some(range)
        })
    }
}
