//! Cycles in a graph of files.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// For each file, the files that it imports from, and what it names of each.
pub(crate) type Graph = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// For every import that lies on a cycle, a shortest cycle through it, as `a.rs -> b.rs (Name) -> a.rs (Other)`: in
/// parentheses what the file before the arrow names of the file after it. The shortest come first.
pub(crate) fn cycles(graph: &Graph) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (from, imports) in graph {
        for to in imports.keys() {
            if let Some(mut cycle) = path(graph, to, from) {
                let first = (0..cycle.len()).min_by_key(|&at| cycle[at]).unwrap_or(0);
                cycle.rotate_left(first);
                found.insert((cycle.len(), cycle));
            }
        }
    }
    found.iter().map(|(_, cycle)| describe(graph, cycle)).collect()
}

/// The files on a shortest way from one to another, both included.
fn path<'a>(graph: &'a Graph, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut before: HashMap<&str, &str> = HashMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut path: Vec<&str> = std::iter::successors(Some(at), |at| before.get(at).copied()).collect();
            path.reverse();
            return Some(path);
        }
        for next in graph.get(at).into_iter().flat_map(BTreeMap::keys) {
            if next != from && !before.contains_key(next.as_str()) {
                before.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

fn describe(graph: &Graph, cycle: &[&str]) -> String {
    let mut text = cycle[0].to_owned();
    for (at, from) in cycle.iter().enumerate() {
        let to = cycle[(at + 1) % cycle.len()];
        let names: Vec<&str> = graph[*from][to].iter().map(String::as_str).collect();
        text += &format!(" -> {to} ({})", names.join(", "));
    }
    text
}
