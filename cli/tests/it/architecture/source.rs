//! What a source mentions, without its tests.

use syn::visit::{self, Visit};
use syn::{Attribute, ExprAsync, ExprAwait, ItemFn, ItemMod, ItemUse, Meta, Path, Signature, UseTree};

/// Everything that the rules check.
#[derive(Default)]
pub(super) struct Source {
    /// Paths of uses and expressions, segments joined by `::`.
    pub(super) paths: Vec<String>,
    /// Occurrences of `async` and `await`.
    pub(super) waits: Vec<&'static str>,
    /// Attributes with which clap reads the environment.
    pub(super) env_attributes: Vec<String>,
}

impl Source {
    pub(super) fn read(text: &str) -> syn::Result<Self> {
        let mut source = Self::default();
        source.visit_file(&syn::parse_file(text)?);
        Ok(source)
    }

    fn add_use(&mut self, before: &[String], tree: &UseTree) {
        let longer = |name: String| [before, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&longer(path.ident.to_string()), &path.tree),
            UseTree::Name(name) => self.paths.push(longer(name.ident.to_string()).join("::")),
            UseTree::Rename(name) => self.paths.push(longer(name.ident.to_string()).join("::")),
            UseTree::Glob(_) => self.paths.push(before.join("::")),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(before, tree)),
        }
    }
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    let is = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "test")
    };
    attributes.iter().any(is)
}

impl<'a> Visit<'a> for Source {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if !is_of_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        if !is_of_tests(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if !is_of_tests(&item.attrs) {
            self.add_use(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'a Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.paths.push(segments.join("::"));
        visit::visit_path(self, path);
    }

    fn visit_attribute(&mut self, attribute: &'a Attribute) {
        if let (true, Meta::List(list)) = (attribute.path().is_ident("arg"), &attribute.meta) {
            let text = list.tokens.to_string();
            if text.split(',').any(|part| part.trim() == "env" || part.trim().starts_with("env =")) {
                self.env_attributes.push(format!("#[arg({text})]"));
            }
        }
    }

    fn visit_signature(&mut self, signature: &'a Signature) {
        self.waits.extend(signature.asyncness.as_ref().map(|_| "async"));
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'a ExprAsync) {
        self.waits.push("async");
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, wait: &'a ExprAwait) {
        self.waits.push("await");
        visit::visit_expr_await(self, wait);
    }
}
