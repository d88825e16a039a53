//! How functions are generated: the options `imports` and `exports`.

use crate::keys;
use std::cell::Cell;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, braced};
use wit_parser::{Resolve, WorldKey};

/// What can be said of a function.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Flags {
    /// The host's function can return an error, which ends the guest's call.
    pub(crate) trappable: bool,
    /// It gets the store.
    pub(crate) store: bool,
    /// Calls are reported to the crate `tracing`, without what lists contain.
    pub(crate) tracing: bool,
    /// Calls are reported with everything.
    pub(crate) verbose_tracing: bool,
    /// The rule's name is that of the function, and not of what contains it.
    exact: bool,
}

/// The value of `imports` or `exports`.
#[derive(Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    default: Flags,
}

struct Rule {
    name: LitStr,
    flags: Flags,
    used: Cell<bool>,
}

enum Filter {
    Default,
    Name(LitStr),
}

impl Parse for Rules {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let content;
        braced!(content in input);
        let mut rules = Self::default();
        for (filter, flags) in Punctuated::<_, Token![,]>::parse_terminated_with(&content, rule)? {
            match filter {
                Filter::Default => rules.default = flags,
                Filter::Name(name) => rules.rules.push(Rule { name, flags, used: Cell::new(false) }),
            }
        }
        Ok(rules)
    }
}

fn rule(input: ParseStream<'_>) -> Result<(Filter, Flags)> {
    let filter = if input.peek(Token![default]) {
        input.parse::<Token![default]>()?;
        Filter::Default
    } else if input.peek(LitStr) {
        Filter::Name(input.parse()?)
    } else {
        return Err(
            input.error("expected `default` or the name of a function, interface or package in quotes")
        );
    };
    input.parse::<Token![:]>()?;
    let mut flags = Flags::default();
    while !input.is_empty() && !input.peek(Token![,]) {
        flag(input, &mut flags)?;
        if input.parse::<Option<Token![|]>>()?.is_none() {
            break;
        }
    }
    Ok((filter, flags))
}

fn flag(input: ParseStream<'_>, flags: &mut Flags) -> Result<()> {
    if input.peek(Token![async]) {
        let span = input.parse::<Token![async]>()?.span;
        return Err(Error::new(
            span,
            "belljar has no asynchronous functions yet: remove `async` here, and implement the functions without it",
        ));
    }
    let name: Ident = input.parse()?;
    match &*name.to_string() {
        "trappable" => flags.trappable = true,
        "store" => flags.store = true,
        "tracing" => flags.tracing = true,
        "verbose_tracing" => flags.verbose_tracing = true,
        "exact" => flags.exact = true,
        other => {
            let known = "expected `trappable`, `store`, `tracing`, `verbose_tracing` or `exact`";
            return Err(Error::new(name.span(), format!("unknown flag `{other}`: {known}")));
        }
    }
    Ok(())
}

impl Rules {
    /// Returns the flags of a function of an interface, or of the world. The first rule that names it counts, and what is
    /// set by default is added where none does.
    pub(crate) fn flags(&self, resolve: &Resolve, interface: Option<&WorldKey>, function: &str) -> Flags {
        let names = match interface {
            Some(key) => {
                let keys = keys::of(resolve, key, Some(function));
                keys.into_iter().map(|key| (key.name, key.rest.is_empty())).collect()
            }
            None => vec![(function.to_owned(), true)],
        };
        for (name, is_exact) in names {
            let found =
                self.rules.iter().find(|rule| rule.name.value() == name && (is_exact || !rule.flags.exact));
            if let Some(rule) = found {
                rule.used.set(true);
                return rule.flags;
            }
        }
        self.default
    }

    /// Checks that each rule is about something. `does` is what the world does with it.
    pub(crate) fn check_used(&self, does: &str) -> Result<()> {
        match self.rules.iter().find(|rule| !rule.used.get()) {
            None => Ok(()),
            Some(rule) => {
                let name = rule.name.value();
                let what = format!("the world {does} nothing that is called `{name}`");
                Err(Error::new(rule.name.span(), what))
            }
        }
    }
}
