//! What the macros need to know of a type.

use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, Generics, Ident, LitStr, Path, Result, Token, Type,
    Visibility,
};

/// A Rust type for which a trait is derived.
pub(crate) struct Input {
    /// The path of the crate `belljar`.
    pub(crate) belljar: Path,
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    pub(crate) shape: Shape,
}

/// The parts of a type.
pub(crate) enum Shape {
    Record(Vec<Field>),
    /// The cases of a variant or an enum.
    Cases(Vec<Case>),
}

pub(crate) struct Field {
    pub(crate) member: Ident,
    pub(crate) wit_name: String,
    pub(crate) ty: Type,
}

pub(crate) struct Case {
    pub(crate) member: Ident,
    pub(crate) wit_name: String,
    pub(crate) ty: Option<Type>,
}

/// What `#[component(…)]` on a type says that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Record,
    Variant,
    Enum,
}

impl Input {
    pub(crate) fn new(input: DeriveInput) -> Result<Self> {
        let (kind, belljar) = kind(&input)?;
        let shape = match (&input.data, kind) {
            (Data::Struct(data), Kind::Record) => Shape::Record(fields(&data.fields)?),
            (Data::Enum(data), Kind::Variant | Kind::Enum) => {
                let cases = data.variants.iter().map(|variant| case(variant, kind));
                Shape::Cases(cases.collect::<Result<_>>()?)
            }
            (_, Kind::Record) => return Err(Error::new(input.ident.span(), "only a struct can be a record")),
            (_, Kind::Variant | Kind::Enum) => {
                return Err(Error::new(
                    input.ident.span(),
                    "only an enum can be a variant or an enum of WIT",
                ));
            }
        };
        let count = match &shape {
            Shape::Record(fields) => fields.len(),
            Shape::Cases(cases) => cases.len(),
        };
        if count == 0 {
            return Err(Error::new(input.ident.span(), "records, variants and enums of WIT are not empty"));
        }
        Ok(Self { belljar, name: input.ident, generics: input.generics, shape })
    }
}

/// A type for `flags` of WIT.
pub(crate) struct Flags {
    /// The path of the crate `belljar`.
    pub(crate) belljar: Path,
    pub(crate) docs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) name: Ident,
    pub(crate) flags: Vec<Flag>,
}

pub(crate) struct Flag {
    pub(crate) docs: Vec<Attribute>,
    pub(crate) member: Ident,
    pub(crate) wit_name: String,
}

impl Parse for Flags {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (ours, docs): (Vec<_>, Vec<_>) =
            input.call(Attribute::parse_outer)?.into_iter().partition(|a| a.path().is_ident("component"));
        let mut belljar = default_crate();
        for attribute in &ours {
            attribute.parse_nested_meta(|meta| match is_crate(&meta.path) {
                true => {
                    belljar = meta.value()?.call(Path::parse_mod_style)?;
                    Ok(())
                }
                false => Err(meta.error("expected `wasmtime_crate = path`")),
            })?;
        }
        let vis = match input.parse()? {
            Visibility::Inherited => Visibility::Public(<Token![pub]>::default()),
            vis => vis,
        };
        let name = input.parse()?;
        let content;
        syn::braced!(content in input);
        let mut flags = Vec::new();
        while !content.is_empty() {
            flags.push(content.parse()?);
        }
        match flags.is_empty() {
            true => Err(Error::new(content.span(), "`flags` of WIT have one name or more")),
            false => Ok(Self { belljar, docs, vis, name, flags }),
        }
    }
}

impl Parse for Flag {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (named, docs): (Vec<_>, Vec<_>) =
            input.call(Attribute::parse_outer)?.into_iter().partition(|a| a.path().is_ident("component"));
        input.parse::<Token![const]>()?;
        let member: Ident = input.parse()?;
        input.parse::<Token![;]>()?;
        let written = member.to_string().to_lowercase().replace('_', "-");
        Ok(Self { docs, wit_name: name(&named)?.unwrap_or(written), member })
    }
}

fn default_crate() -> Path {
    syn::parse_quote!(::belljar)
}

/// Returns whether an attribute says what the crate `belljar` is called.
fn is_crate(path: &Path) -> bool {
    path.is_ident("belljar_crate") || path.is_ident("wasmtime_crate")
}

/// Returns what a type is, and the path of the crate `belljar`.
fn kind(input: &DeriveInput) -> Result<(Kind, Path)> {
    let mut kind = None;
    let mut belljar = default_crate();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("component")) {
        attribute.parse_nested_meta(|meta| {
            if is_crate(&meta.path) {
                belljar = meta.value()?.call(Path::parse_mod_style)?;
                return Ok(());
            }
            kind = Some(if meta.path.is_ident("record") {
                Kind::Record
            } else if meta.path.is_ident("variant") {
                Kind::Variant
            } else if meta.path.is_ident("enum") {
                Kind::Enum
            } else {
                return Err(meta.error("expected `record`, `variant` or `enum`"));
            });
            Ok(())
        })?;
    }
    let kind = kind.ok_or_else(|| {
        let what =
            "write `#[component(record)]`, `#[component(variant)]` or `#[component(enum)]` at the type";
        Error::new(input.ident.span(), what)
    })?;
    Ok((kind, belljar))
}

fn fields(fields: &Fields) -> Result<Vec<Field>> {
    let Fields::Named(named) = fields else {
        return Err(Error::new(fields.span(), "the fields of a record have names"));
    };
    let field = |field: &syn::Field| {
        let member = field.ident.clone().ok_or_else(|| Error::new(field.span(), "the field has no name"))?;
        let wit_name = name(&field.attrs)?.unwrap_or_else(|| hyphenated(&member));
        Ok(Field { wit_name, member, ty: field.ty.clone() })
    };
    named.named.iter().map(field).collect()
}

fn case(variant: &syn::Variant, kind: Kind) -> Result<Case> {
    let ty = match &variant.fields {
        Fields::Unit => None,
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 && kind == Kind::Variant => {
            fields.unnamed.first().map(|field| field.ty.clone())
        }
        fields => {
            let what = match kind {
                Kind::Enum => "the cases of an enum of WIT have no fields: write `#[component(variant)]`",
                _ => "a case has no field, or one without a name",
            };
            return Err(Error::new(fields.span(), what));
        }
    };
    let wit_name = name(&variant.attrs)?.unwrap_or_else(|| hyphenated(&variant.ident));
    Ok(Case { member: variant.ident.clone(), wit_name, ty })
}

/// Returns the name that `#[component(name = "…")]` sets.
fn name(attributes: &[Attribute]) -> Result<Option<String>> {
    let mut name = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("component")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("expected `name = \"…\"`"));
            }
            name = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(name)
}

/// Returns a Rust name as WIT writes it.
fn hyphenated(name: &Ident) -> String {
    let mut text = String::new();
    for (i, char) in name.to_string().trim_start_matches("r#").chars().enumerate() {
        if char == '_' {
            text.push('-');
        } else if char.is_uppercase() {
            if i > 0 && !text.ends_with('-') {
                text.push('-');
            }
            text.extend(char.to_lowercase());
        } else {
            text.push(char);
        }
    }
    text
}
