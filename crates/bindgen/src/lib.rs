//! Generates Rust code from WIT: `belljar::component::bindgen!`.
//!
//! ```text
//! arguments ─ Options ─▶ Wit::read ─▶ a world ─ generate ─▶ modules with types, traits and functions
//! ```
//!
//! In: the macro's arguments, and the WIT that they name. Out: safe Rust code, which calls public functions of `belljar`.
//! Never: a component or a store; the code says at run time whether a component is of the world.

mod definitions;
mod facts;
mod generator;
mod guest;
mod host;
mod keys;
mod link_options;
mod linking;
mod modules;
mod names;
mod options;
mod rules;
mod rust_types;
mod tracing;
mod unsupported;
mod wit;
mod world;

use options::Options;
use proc_macro2::{Literal, Span, TokenStream};
use quote::quote;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use syn::{Error, Result};
use wit::Wit;

/// Generates Rust code for a world of WIT. See `belljar::component::bindgen!`, by which it is called.
#[proc_macro]
pub fn bindgen(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let expanded = syn::parse(input).and_then(|options| expand(&options));
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

fn expand(options: &Options) -> Result<TokenStream> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let wit = Wit::read(options, &root)?;
    let mut code = generator::generate(&wit, options)?;
    if options.stringify {
        let text = Literal::string(&code.to_string());
        return Ok(quote!(#text));
    }
    if options.to_file {
        let name = &wit.resolve.worlds[wit.world].name;
        code = in_file(name, code)?;
    }
    // The compiler runs the macro again when one of the files changes.
    let files = wit.files.iter().map(|file| {
        let file = Literal::string(&file.to_string_lossy());
        quote!(
            const _: &[u8] = ::core::include_bytes!(#file);
        )
    });
    Ok(quote!(#code #(#files)*))
}

/// Writes code to a file. Returns code that includes it.
fn in_file(world: &str, code: TokenStream) -> Result<TokenStream> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // Nobody is to be warned of what is not used, as if it were their own code.
    let items = syn::parse2::<syn::File>(code)?.items;
    let code = quote!(#(#[allow(warnings, clippy::all)] #items)*);
    let folder = ["OUT_DIR", "CARGO_TARGET_TMPDIR"].into_iter().find_map(std::env::var_os);
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let of = std::env::var("CARGO_CRATE_NAME").unwrap_or_default();
    let path = folder.join(format!("bindgen-{of}-{world}-{}.rs", NUMBER.fetch_add(1, Relaxed)));
    write(&path, &code.to_string())
        .map_err(|error| Error::new(Span::call_site(), format!("cannot write {path:?}: {error}")))?;
    let path = Literal::string(&path.to_string_lossy());
    Ok(quote!(::core::include!(#path);))
}

/// Writes a file of code, formatted for those who read it. Other compilers may be doing the same.
fn write(path: &Path, code: &str) -> std::io::Result<()> {
    let draft = path.with_extension(format!("{}.rs", std::process::id()));
    std::fs::write(&draft, code)?;
    let _ = std::process::Command::new("rustfmt").arg("--edition=2024").arg(&draft).output();
    std::fs::rename(draft, path)
}
