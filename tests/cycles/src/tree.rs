//! The modules of one crate, and what each name in them stands for.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Meta, Token, UseTree};

/// A crate's modules; the root comes first.
pub(crate) struct Tree {
    pub(crate) modules: Vec<Module>,
    /// Where each `macro_rules!` is written: these are also visible without a path.
    pub(crate) macros: HashMap<String, usize>,
}

/// A module: a file, or an inline `mod x { … }` within one.
pub(crate) struct Module {
    /// Relative to the folder of the crate's root file.
    pub(crate) file: PathBuf,
    pub(crate) items: Vec<Item>,
    parent: Option<usize>,
    /// One name can stand for several things: a function and a module, or one thing per platform.
    names: HashMap<String, Vec<Meaning>>,
    globs: Vec<Vec<String>>,
}

enum Meaning {
    Item,
    Module(usize),
    /// Imported from elsewhere under this path.
    Import(Vec<String>),
}

/// What a path leads to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Found {
    Module(usize),
    Item { module: usize, name: String },
}

/// The imports being followed; an import that leads back to itself is given up.
type Visiting = HashSet<(usize, String)>;

impl Tree {
    /// Reads the crate whose root file is `root`.
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let folder = root.parent().context("a root file lies in a folder")?;
        let mut tree = Tree { modules: Vec::new(), macros: HashMap::new() };
        tree.read_file(root, folder, None)?;
        for module in &mut tree.modules {
            let file = module.file.strip_prefix(folder).map(Path::to_path_buf);
            module.file = file.unwrap_or_else(|_| module.file.clone());
        }
        Ok(tree)
    }

    /// Reads `file`, whose child modules lie in `children`.
    fn read_file(&mut self, file: &Path, children: &Path, parent: Option<usize>) -> Result<Option<usize>> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("parsing {}", file.display()))?;
        if is_test(&parsed.attrs) {
            return Ok(None);
        }
        self.add(file, children, parent, parsed.items).map(Some)
    }

    fn add(
        &mut self,
        file: &Path,
        children: &Path,
        parent: Option<usize>,
        items: Vec<Item>,
    ) -> Result<usize> {
        let mut declarations = Declarations::default();
        for item in &items {
            declarations.visit_item(item);
        }
        let module = self.modules.len();
        self.macros.extend(declarations.macros.into_iter().map(|name| (name, module)));
        self.modules.push(Module {
            file: file.to_path_buf(),
            items,
            parent,
            names: declarations.names,
            globs: declarations.globs,
        });
        for child in declarations.modules {
            let name = child.ident.to_string();
            let added = if let Some((_, items)) = child.content {
                Some(self.add(file, &children.join(&name), Some(module), items)?)
            } else {
                let path = child_file(file, children, &name, &child.attrs);
                let path = path.with_context(|| format!("{}: `mod {name};` has no file", file.display()))?;
                self.read_file(&path, &folder_of_children(&path, &name), Some(module))?
            };
            self.declare(module, &name, added);
        }
        // A macro that declares modules is given their names.
        for name in declarations.macro_arguments {
            if let Some(path) = child_file(file, children, &name, &[])
                && !self.modules[module].names.contains_key(&name)
            {
                let added = self.read_file(&path, &folder_of_children(&path, &name), Some(module))?;
                self.declare(module, &name, added);
            }
        }
        Ok(module)
    }

    fn declare(&mut self, parent: usize, name: &str, child: Option<usize>) {
        if let Some(child) = child {
            self.modules[parent].names.entry(name.to_owned()).or_default().push(Meaning::Module(child));
        }
    }

    /// Everything that `path`, written in `module`, leads to within the crate.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Vec<Found> {
        self.follow(module, path, &mut Visiting::new())
    }

    fn follow(&self, module: usize, path: &[String], visiting: &mut Visiting) -> Vec<Found> {
        let mut found = vec![Found::Module(module)];
        for name in path {
            let next = found.into_iter().flat_map(|at| match at {
                // What follows an item's name is its variant or associated item.
                Found::Item { .. } => vec![at],
                Found::Module(at) => match name.as_str() {
                    "crate" => vec![Found::Module(0)],
                    "self" => vec![Found::Module(at)],
                    "super" => self.modules[at].parent.map(Found::Module).into_iter().collect(),
                    name => self.look_up(at, name, visiting),
                },
            });
            found = next.collect();
        }
        found
    }

    fn look_up(&self, module: usize, name: &str, visiting: &mut Visiting) -> Vec<Found> {
        if !visiting.insert((module, name.to_owned())) {
            return Vec::new();
        }
        let Module { names, globs, .. } = &self.modules[module];
        let mut found = Vec::new();
        for meaning in names.get(name).into_iter().flatten() {
            match meaning {
                Meaning::Item => found.push(Found::Item { module, name: name.to_owned() }),
                Meaning::Module(child) => found.push(Found::Module(*child)),
                Meaning::Import(path) => found.extend(self.follow(module, path, visiting)),
            }
        }
        if found.is_empty() {
            for glob in globs {
                for at in self.follow(module, glob, visiting) {
                    if let Found::Module(at) = at {
                        found.extend(self.look_up(at, name, visiting));
                    }
                }
            }
        }
        visiting.remove(&(module, name.to_owned()));
        found
    }
}

/// Where the child `name` of a module is written, if it exists.
fn child_file(file: &Path, children: &Path, name: &str, attributes: &[Attribute]) -> Option<PathBuf> {
    if let Some(path) = attributes.iter().find_map(path_attribute) {
        return Some(file.parent()?.join(path));
    }
    let candidates = [children.join(format!("{name}.rs")), children.join(name).join("mod.rs")];
    candidates.into_iter().find(|path| path.is_file())
}

fn folder_of_children(file: &Path, name: &str) -> PathBuf {
    let folder = file.parent().unwrap_or(Path::new(""));
    if file.ends_with("mod.rs") { folder.to_path_buf() } else { folder.join(name) }
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| text.value())
}

/// Whether these attributes keep an item out of everything but tests.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    fn requires_test(meta: &Meta) -> bool {
        let Meta::List(list) = meta else { return meta.path().is_ident("test") };
        let Ok(parts) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) else {
            return false;
        };
        if list.path.is_ident("any") {
            parts.iter().all(requires_test)
        } else {
            !list.path.is_ident("not") && parts.iter().any(requires_test)
        }
    }
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        path.is_ident("test") || path.is_ident("cfg") && requires_test(&attribute.meta)
    })
}

/// The paths of a `use`, with the name under which each is imported; `None` stands for `*`.
pub(crate) fn imported(tree: &UseTree) -> Vec<(Vec<String>, Option<String>)> {
    fn walk(tree: &UseTree, mut path: Vec<String>, all: &mut Vec<(Vec<String>, Option<String>)>) {
        let (name, as_name) = match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                return walk(&part.tree, path, all);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|part| walk(part, path.clone(), all));
            }
            UseTree::Glob(_) => return all.push((path, None)),
            UseTree::Name(part) => (&part.ident, &part.ident),
            UseTree::Rename(part) => (&part.ident, &part.rename),
        };
        // `use a::b::{self}` imports `b`.
        let as_name =
            if as_name == "self" { path.last().cloned().unwrap_or_default() } else { as_name.to_string() };
        path.push(name.to_string());
        all.push((path, Some(as_name)));
    }
    let mut all = Vec::new();
    walk(tree, Vec::new(), &mut all);
    all
}

/// What a module declares, in its functions' bodies too.
#[derive(Default)]
struct Declarations {
    names: HashMap<String, Vec<Meaning>>,
    globs: Vec<Vec<String>>,
    modules: Vec<syn::ItemMod>,
    macros: Vec<String>,
    macro_arguments: Vec<String>,
}

impl<'ast> Visit<'ast> for Declarations {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(attributes(item)) {
            return;
        }
        let name = match item {
            Item::Use(import) if import.leading_colon.is_none() => {
                for (path, name) in imported(&import.tree) {
                    match name {
                        None => self.globs.push(path),
                        // `use serde;` says nothing about this crate, and would lead to itself.
                        Some(name) if path == [name.as_str()] => {}
                        Some(name) => self.names.entry(name).or_default().push(Meaning::Import(path)),
                    }
                }
                return;
            }
            Item::Mod(module) => return self.modules.push(module.clone()),
            Item::Macro(call) => {
                match &call.ident {
                    Some(name) => self.macros.push(name.to_string()),
                    None => identifiers(&call.mac.tokens, &mut self.macro_arguments),
                }
                call.ident.as_ref()
            }
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.names.entry(name.to_string()).or_default().push(Meaning::Item);
        }
        visit::visit_item(self, item);
    }
}

fn identifiers(tokens: &TokenStream, all: &mut Vec<String>) {
    for token in tokens.clone() {
        match token {
            TokenTree::Ident(name) => all.push(name.to_string()),
            TokenTree::Group(group) => identifiers(&group.stream(), all),
            _ => {}
        }
    }
}

/// An item's attributes.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
