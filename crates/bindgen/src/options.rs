//! The arguments of `bindgen!`.

use crate::rules::Rules;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Error, Ident, LitBool, LitStr, Path, Result, Token, Type, braced, bracketed, parenthesized, token,
};

/// The options that there are, as errors name them.
const KNOWN: &[&str] = &[
    "additional_derives",
    "anyhow",
    "debug",
    "exports",
    "imports",
    "include_generated_code_from_file",
    "inline",
    "interfaces",
    "only_interfaces",
    "ownership",
    "path",
    "require_store_data_send",
    "skip_mut_forwarding_impls",
    "stringify",
    "trappable_error_type",
    "wasmtime_crate",
    "with",
    "world",
];

/// Options of Wasmtime's that are not here, and why.
const MISSING: &[(&str, &str)] = &[
    ("include_component_type", "belljar does not embed a description of the world: remove the option"),
    ("named_imports", "belljar does not have this option yet"),
    ("async", "belljar has no asynchronous functions yet: remove the option"),
];

/// How types are passed to functions that the guest exports.
#[derive(Clone, Copy, Default)]
pub(crate) enum Ownership {
    /// Types own what they consist of.
    #[default]
    Owning,
    /// Types for parameters borrow it.
    Borrowing {
        /// There are two types, `FooParam` and `FooResult`, for a type that is passed both ways.
        duplicate_if_necessary: bool,
    },
}

/// The arguments.
pub(crate) struct Options {
    /// The path of the crate `belljar`, if the user says it.
    wasmtime_crate: Option<Path>,
    /// The path of the crate `belljar`, as the macro that calls this one says it.
    dollar_crate: Option<Path>,
    pub(crate) paths: Vec<LitStr>,
    pub(crate) inline: Option<LitStr>,
    pub(crate) world: Option<LitStr>,
    /// Only the interfaces are generated, and not the world.
    pub(crate) only_interfaces: bool,
    pub(crate) with: Vec<(LitStr, Path)>,
    pub(crate) imports: Rules,
    pub(crate) exports: Rules,
    pub(crate) trappable_errors: Vec<(LitStr, Type)>,
    pub(crate) ownership: Ownership,
    pub(crate) derives: Vec<Path>,
    pub(crate) require_store_data_send: bool,
    pub(crate) skip_mut_forwarding_impls: bool,
    pub(crate) stringify: bool,
    pub(crate) anyhow: bool,
    /// The code is written to a file, so that errors of the compiler show it.
    pub(crate) to_file: bool,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::new();
        // The macro by which `belljar` calls this one says what the crate is called there.
        if input.peek(token::Paren) {
            let path;
            parenthesized!(path in input);
            options.dollar_crate = Some(path.call(Path::parse_mod_style)?);
        }
        if input.peek(token::Brace) {
            let content;
            braced!(content in input);
            while !content.is_empty() {
                options.parse_option(&content)?;
                if content.parse::<Option<Token![,]>>()?.is_none() && !content.is_empty() {
                    return Err(content.error("expected `,` between options"));
                }
            }
        } else {
            options.world = input.parse()?;
            if input.parse::<Option<Token![in]>>()?.is_some() {
                options.paths.push(input.parse()?);
            }
        }
        options.to_file |= std::env::var_os("BELLJAR_DEBUG_BINDGEN").is_some();
        match input.is_empty() {
            true => Ok(options),
            false => Err(input.error("expected the name of a world, `in` and a path, or `{ options }`")),
        }
    }
}

impl Options {
    fn new() -> Self {
        Self {
            wasmtime_crate: None,
            dollar_crate: None,
            paths: Vec::new(),
            inline: None,
            world: None,
            only_interfaces: false,
            with: Vec::new(),
            imports: Rules::default(),
            exports: Rules::default(),
            trappable_errors: Vec::new(),
            ownership: Ownership::default(),
            derives: Vec::new(),
            require_store_data_send: false,
            skip_mut_forwarding_impls: false,
            stringify: false,
            anyhow: false,
            to_file: false,
        }
    }

    /// Returns the path of the crate `belljar`.
    pub(crate) fn crate_path(&self) -> Path {
        // `$crate` means nothing in text.
        let dollar_crate = self.dollar_crate.clone().filter(|_| !self.stringify && !self.to_file);
        self.wasmtime_crate.clone().or(dollar_crate).unwrap_or_else(|| syn::parse_quote!(::belljar))
    }

    fn parse_option(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name = input.call(Ident::parse_any)?;
        let text = name.to_string();
        if !KNOWN.contains(&&*text) {
            return Err(Error::new(name.span(), unknown(&text)));
        }
        input.parse::<Token![:]>()?;
        match &*text {
            "path" => self.paths.extend(paths(input)?),
            "inline" => set(&mut self.inline, input.parse()?, &name)?,
            "interfaces" => {
                let interfaces: LitStr = input.parse()?;
                let text =
                    format!("package belljar:interfaces;\nworld interfaces {{\n{}\n}}", interfaces.value());
                set(&mut self.inline, LitStr::new(&text, interfaces.span()), &name)?;
                set(&mut self.world, LitStr::new("belljar:interfaces/interfaces", interfaces.span()), &name)?;
                self.only_interfaces = true;
            }
            "world" => set(&mut self.world, input.parse()?, &name)?,
            "with" => self.with.extend(map(input, with)?),
            "imports" => self.imports = input.parse()?,
            "exports" => self.exports = input.parse()?,
            "trappable_error_type" => self.trappable_errors.extend(map(input, trappable_error)?),
            "ownership" => self.ownership = input.parse()?,
            "additional_derives" => {
                let content;
                bracketed!(content in input);
                self.derives.extend(Punctuated::<Path, Token![,]>::parse_terminated(&content)?);
            }
            "wasmtime_crate" => self.wasmtime_crate = Some(input.parse()?),
            _ => {
                let value = input.parse::<LitBool>()?.value;
                match &*text {
                    "only_interfaces" => self.only_interfaces = value,
                    "require_store_data_send" => self.require_store_data_send = value,
                    "skip_mut_forwarding_impls" => self.skip_mut_forwarding_impls = value,
                    "stringify" => self.stringify = value,
                    "anyhow" => self.anyhow = value,
                    _ => self.to_file |= value,
                }
            }
        }
        Ok(())
    }
}

/// Returns what to tell about an option that is not known.
fn unknown(name: &str) -> String {
    match MISSING.iter().find(|(missing, _)| *missing == name) {
        Some((_, why)) => format!("`{name}`: {why}"),
        None => format!("unknown option `{name}`: the options are `{}`", KNOWN.join("`, `")),
    }
}

/// Sets an option that can be set once. `interfaces` is a world, and its source.
fn set<T>(option: &mut Option<T>, value: T, name: &Ident) -> Result<()> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => {
            let what = "it, or something that it cannot be combined with, was given before";
            Err(Error::new(name.span(), format!("`{name}`: {what}")))
        }
    }
}

fn paths(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    if input.peek(token::Bracket) {
        let content;
        bracketed!(content in input);
        return Ok(Punctuated::<_, Token![,]>::parse_terminated(&content)?.into_iter().collect());
    }
    Ok(vec![input.parse()?])
}

fn map<T>(input: ParseStream<'_>, entry: fn(ParseStream<'_>) -> Result<T>) -> Result<Vec<T>> {
    let content;
    braced!(content in input);
    Ok(Punctuated::<_, Token![,]>::parse_terminated_with(&content, entry)?.into_iter().collect())
}

fn with(input: ParseStream<'_>) -> Result<(LitStr, Path)> {
    let name = input.parse()?;
    input.parse::<Token![:]>()?;
    Ok((name, input.call(Path::parse_mod_style)?))
}

fn trappable_error(input: ParseStream<'_>) -> Result<(LitStr, Type)> {
    let name = input.parse()?;
    input.parse::<Token![=>]>()?;
    Ok((name, input.parse()?))
}

impl Parse for Ownership {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        match &*name.to_string() {
            "Owning" => Ok(Self::Owning),
            "Borrowing" => {
                let content;
                braced!(content in input);
                let field: Ident = content.parse()?;
                if field != "duplicate_if_necessary" {
                    return Err(Error::new(field.span(), "expected `duplicate_if_necessary`"));
                }
                content.parse::<Token![:]>()?;
                let duplicate_if_necessary = content.parse::<LitBool>()?.value;
                content.parse::<Option<Token![,]>>()?;
                Ok(Self::Borrowing { duplicate_if_necessary })
            }
            _ => {
                let what = "expected `Owning` or `Borrowing { duplicate_if_necessary: true }`";
                Err(Error::new(name.span(), what))
            }
        }
    }
}
