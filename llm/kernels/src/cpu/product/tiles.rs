//! The tiles of a weight: what each reads and writes, and how threads share them.

use std::ops::Range;

use crate::cpu::amx::Amx;
use crate::cpu::lanes::Number;
use crate::cpu::weight::TILE;
use crate::product::Block;

/// Words of a tile's inputs at most: 256 KiB in all, a part of the second-level cache.
pub(super) const DEPTH: usize = 2048;

/// Tiles are shared among threads rather than rows, for then each is laid out once, unless a thread then has more than so
/// many times what would be its share (choice).
const EVEN: f64 = 1.03;

/// Outputs computed together, and the inputs they read: in groups, each of which fits a tile.
pub(super) struct Tile {
    pub(super) outputs: Range<usize>,
    pub(super) groups: Vec<[Range<usize>; 2]>,
}

impl Tile {
    /// How many inputs it reads.
    fn work(&self) -> usize {
        self.groups.iter().flatten().map(ExactSizeIterator::len).sum()
    }
}

pub(super) fn tiles<N: Number>(blocks: &[Block], amx: Option<Amx>) -> Vec<Tile> {
    let of_block = |block: &Block| {
        // With matrix instructions the inputs are not in groups.
        let depth = if amx.is_some() { u32::MAX as usize } else { DEPTH };
        let mut groups = vec![[0..0, 0..0]];
        let mut room = depth * N::PER_WORD;
        for (which, inputs) in block.inputs.iter().enumerate() {
            let mut at = inputs.start;
            while at < inputs.end {
                if room == 0 {
                    groups.push([0..0, 0..0]);
                    room = depth * N::PER_WORD;
                }
                let end = inputs.end.min(at + room);
                groups.last_mut().expect("there is one")[which] = at..end;
                // A last word may be half empty.
                room -= (end - at).next_multiple_of(N::PER_WORD);
                at = end;
            }
        }
        let end = block.outputs.end;
        let start = block.outputs.clone().step_by(TILE);
        start.map(move |start| Tile { outputs: start..end.min(start + TILE), groups: groups.clone() })
    };
    blocks.iter().flat_map(of_block).collect()
}

/// Where to cut the tiles so that each part has about as much to do.
pub(super) fn cuts(tiles: &[Tile], parts: usize) -> Vec<usize> {
    let before: Vec<usize> = std::iter::once(0)
        .chain(tiles.iter().scan(0, |sum, tile| {
            *sum += tile.work();
            Some(*sum)
        }))
        .collect();
    let all = before[tiles.len()];
    let nearest = |part: usize| {
        let wanted = part * all / parts;
        (0..=tiles.len()).min_by_key(|cut| before[*cut].abs_diff(wanted)).unwrap_or(0)
    };
    // To the end: tiles that read nothing are written all the same.
    (0..parts).map(nearest).chain([tiles.len()]).collect()
}

/// The same, if no part has then much more to do than the others.
pub(super) fn even_cuts(tiles: &[Tile], parts: usize) -> Option<Vec<usize>> {
    let cuts = cuts(tiles, parts);
    let work = |tiles: &[Tile]| tiles.iter().map(Tile::work).sum::<usize>();
    let most = cuts.windows(2).map(|ends| work(&tiles[ends[0]..ends[1]])).max()?;
    ((most * parts) as f64 <= EVEN * work(tiles) as f64).then_some(cuts)
}

/// One of so many equal parts of 0..n.
pub(in crate::cpu) fn share(n: usize, part: usize, parts: usize) -> Range<usize> {
    part * n / parts..(part + 1) * n / parts
}
