//! Contexts are converted once. Any crate can implement `AsContext` and `AsContextMut`, and lend a different store each
//! time: a function that asked twice would check its handles against one store and act on another. So each function
//! that takes a context uses it once, and from then on uses the store that it lent.
//!
//! This test reads the sources, so that new functions follow the rule.

mod sources;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use sources::add_rust_files;
use std::path::Path;
use syn::visit::{self, Visit};

/// The traits that any crate can implement.
const TRAITS: [&str; 2] = ["AsContext", "AsContextMut"];

/// Where a context is kept and asked repeatedly: `RootScope`, which compares the store with the one in which it began.
const KEPT: &[(&str, &str)] = &[("refs/rooted.rs", "self . context"), ("refs/rooted.rs", "new")];

fn text(tokens: &impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// Returns whether a type or bound is that of a context.
fn names_a_context(text: &str, generics: &[String]) -> bool {
    words(text).any(|word| TRAITS.contains(&word) || generics.iter().any(|generic| generic == word))
}

/// Returns the generic parameters that are contexts.
fn contexts_of(generics: &syn::Generics) -> Vec<String> {
    let bounds = generics.type_params().filter(|param| names_a_context(&text(&param.bounds), &[]));
    let mut found: Vec<String> = bounds.map(|param| param.ident.to_string()).collect();
    for predicate in generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
        if let syn::WherePredicate::Type(predicate) = predicate
            && names_a_context(&text(&predicate.bounds), &[])
        {
            found.push(text(&predicate.bounded_ty));
        }
    }
    found
}

/// Collects the names in a token stream, except those of fields (after a dot) and modules (before a colon).
fn names(tokens: TokenStream, found: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |i: Option<usize>, c: char| {
        i.and_then(|i| tokens.get(i))
            .is_some_and(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == c))
    };
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => names(group.stream(), found),
            TokenTree::Ident(name) => {
                let is_field = is(i.checked_sub(1), '.') && !is(i.checked_sub(2), '.');
                // `name: value`, or a module in a path.
                let is_field = is_field || is(Some(i + 1), ':');
                if !is_field {
                    found.push(name.to_string());
                }
            }
            _ => {}
        }
    }
}

/// Returns how often statements use a variable before it is shadowed.
fn uses(name: &str, block: &syn::Block) -> usize {
    let count_in = |tokens: TokenStream| {
        let mut found = Vec::new();
        names(tokens, &mut found);
        found.iter().filter(|word| *word == name).count()
    };
    let mut count = 0;
    for statement in &block.stmts {
        if let syn::Stmt::Local(local) = statement
            && count_in(local.pat.to_token_stream()) > 0
        {
            // From here on the name is another variable's.
            return count + local.init.as_ref().map_or(0, |init| count_in(init.expr.to_token_stream()));
        }
        count += count_in(statement.to_token_stream());
    }
    count
}

#[derive(Default)]
struct Reader {
    file: String,
    generics: Vec<String>,
    /// The number of functions that take a context, and the violations.
    functions: usize,
    wrong: Vec<String>,
}

impl Reader {
    fn is_kept(&self, what: &str) -> bool {
        KEPT.iter().any(|(file, kept)| self.file.ends_with(file) && what == *kept)
    }

    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let mut generics = contexts_of(&signature.generics);
        generics.extend(self.generics.iter().cloned());
        for input in &signature.inputs {
            let syn::FnArg::Typed(input) = input else { continue };
            if !names_a_context(&text(&input.ty), &generics) {
                continue;
            }
            let syn::Pat::Ident(pattern) = &*input.pat else { continue };
            let name = pattern.ident.to_string();
            self.functions += 1;
            let uses = uses(&name, body);
            let function = signature.ident.to_string();
            if uses > 1 && !self.is_kept(&function) {
                self.wrong.push(format!("{}: `{function}` asks `{name}` {uses} times", self.file));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.generics = contexts_of(&item.generics);
        visit::visit_item_impl(self, item);
        self.generics.clear();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let receiver = text(&call.receiver);
        let asks = call.method == "as_context" || call.method == "as_context_mut";
        if asks && !matches!(*call.receiver, syn::Expr::Path(_)) && !self.is_kept(&receiver) {
            self.wrong.push(format!("{}: a context is kept in `{receiver}`", self.file));
        }
        visit::visit_expr_method_call(self, call);
    }
}

fn read(file: &str, source: &str) -> Reader {
    let mut reader = Reader { file: file.to_string(), ..Reader::default() };
    reader.visit_file(&syn::parse_file(source).unwrap_or_else(|error| panic!("{file}: {error}")));
    reader
}

#[test]
fn each_function_asks_its_context_once() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for name in ["belljar", "wasi", "cli"] {
        add_rust_files(&crates.join(name).join("src"), &mut files);
    }
    let (mut functions, mut wrong) = (0, Vec::new());
    for file in &files {
        let reader = read(&file.display().to_string(), &std::fs::read_to_string(file).unwrap());
        functions += reader.functions;
        wrong.extend(reader.wrong);
    }
    assert!(functions > 80, "only {functions} functions that take contexts were found");
    assert!(wrong.is_empty(), "a context may lend another store each time:\n{}", wrong.join("\n"));
}

#[test]
fn what_asks_twice_is_found() {
    let wrong = |source: &str| read("f.rs", source).wrong.len();
    let once = "fn f(mut s: impl AsContextMut) { let mut s = s.as_context_mut(); g(&mut s); h(&mut s); }";
    assert_eq!(wrong(once), 0);
    assert_eq!(wrong("fn f(s: impl AsContext) -> R { g(s) }"), 0);
    assert_eq!(wrong("fn f(mut s: impl AsContextMut) { check(&s); act(&mut s); }"), 1);
    assert_eq!(wrong("fn f(mut s: impl AsContextMut) { let s = g(s.as_context_mut(), s.as_context()); }"), 1);
    assert_eq!(wrong("fn f<C: AsContext>(s: &C) { g(s); g(s); }"), 1);
    assert_eq!(wrong("fn f<C>(s: &mut C) where C: AsContextMut { g(s); g(s); }"), 1);
    assert_eq!(wrong("impl<C: AsContext> X<C> { fn f(&self, s: C) { if a { g(&s) } else { h(&s) } } }"), 1);
    assert_eq!(wrong("impl<C: AsContext> X<C> { fn f(&self) { self.store.as_context(); } }"), 1);
}
