//! Which file of a crate names what of which other file.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, Macro, Visibility};

use crate::graph::Graph;
use crate::tree::{Found, Tree, attributes, imported, is_test};

/// The imports between the files of a crate.
pub(crate) fn of_crate(tree: &Tree) -> Graph {
    let mut graph = BTreeMap::new();
    for (at, module) in tree.modules.iter().enumerate() {
        let mut imports = Imports { tree, module: at, graph: &mut graph };
        for item in &module.items {
            imports.visit_item(item);
        }
    }
    graph
}

struct Imports<'a> {
    tree: &'a Tree,
    module: usize,
    graph: &'a mut Graph,
}

impl Imports<'_> {
    /// Records whatever of the crate's own `path` leads to. Naming a module is no import; naming something in it is.
    fn name(&mut self, path: &[String]) {
        for found in self.tree.resolve(self.module, path) {
            if let Found::Item { module, name } = found {
                self.record(module, name);
            }
        }
    }

    fn name_macro(&mut self, path: &[String]) {
        self.name(path);
        if let [name] = path
            && self.tree.resolve(self.module, path).is_empty()
            && let Some(module) = self.tree.macros.get(name)
        {
            self.record(*module, format!("{name}!"));
        }
    }

    fn record(&mut self, module: usize, name: String) {
        let file_of = |module: usize| self.tree.modules[module].file.display().to_string();
        let (from, to) = (file_of(self.module), file_of(module));
        if from != to {
            self.graph.entry(from).or_default().entry(to).or_default().insert(name);
        }
    }

    /// Finds the paths among a macro's arguments.
    fn tokens(&mut self, tokens: &TokenStream) {
        let mut path = Vec::new();
        // After `.` comes a method or a field, after a leading `::` another crate.
        let mut skipped = false;
        let mut tokens = tokens.clone().into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(name) => {
                    path.push(name.to_string());
                    if follows_colons(&mut tokens) {
                        continue;
                    }
                    let is_macro =
                        matches!(tokens.peek(), Some(TokenTree::Punct(sign)) if sign.as_char() == '!');
                    match (skipped, is_macro) {
                        (true, _) => {}
                        (false, true) => self.name_macro(&path),
                        (false, false) => self.name(&path),
                    }
                    path.clear();
                    skipped = false;
                }
                TokenTree::Group(group) => {
                    self.tokens(&group.stream());
                    path.clear();
                    skipped = false;
                }
                TokenTree::Punct(sign) => {
                    path.clear();
                    skipped = sign.as_char() == '.' || sign.as_char() == ':' && follows_colon(&mut tokens);
                }
                TokenTree::Literal(_) => skipped = false,
            }
        }
    }

    /// `#[serde(with = "crate::path")]`.
    fn quoted_paths(&mut self, tokens: &TokenStream) {
        for token in tokens.clone() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => {
                    self.quoted_paths(&group.stream());
                }
                TokenTree::Literal(literal) => {
                    let text = syn::parse_str::<syn::LitStr>(&literal.to_string()).map(|text| text.value());
                    if let Ok(path) = text.and_then(|text| syn::parse_str::<syn::Path>(&text)) {
                        self.visit_path(&path);
                    }
                }
                _ => {}
            }
        }
    }
}

type Tokens = std::iter::Peekable<proc_macro2::token_stream::IntoIter>;

fn follows_colon(tokens: &mut Tokens) -> bool {
    tokens.next_if(|token| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ':')).is_some()
}

/// Steps over `::` between two identifiers.
fn follows_colons(tokens: &mut Tokens) -> bool {
    let mut ahead = tokens.clone();
    let joined = follows_colon(&mut ahead)
        && follows_colon(&mut ahead)
        && matches!(ahead.peek(), Some(TokenTree::Ident(_)));
    if joined {
        *tokens = ahead;
    }
    joined
}

impl<'ast> Visit<'ast> for Imports<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes: &[Attribute] = match item {
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Const(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    /// An inline module is one of the tree's own.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        // A re-export passes on what is defined elsewhere.
        if matches!(import.vis, Visibility::Inherited) && import.leading_colon.is_none() {
            for (path, _) in imported(&import.tree) {
                self.name(&path);
            }
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
            self.name(&names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        let names: Vec<String> = call.path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.name_macro(&names);
        self.tokens(&call.tokens);
    }

    /// A macro that stands among the items uses the modules that it is given.
    fn visit_item_macro(&mut self, call: &'ast syn::ItemMacro) {
        if call.ident.is_none() {
            for token in call.mac.tokens.clone() {
                let TokenTree::Ident(name) = token else { continue };
                for found in self.tree.resolve(self.module, &[name.to_string()]) {
                    if let Found::Module(module) = found {
                        self.record(module, name.to_string());
                    }
                }
            }
        }
        visit::visit_item_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
            self.quoted_paths(&list.tokens);
        }
    }
}
