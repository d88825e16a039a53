//! Shows where in a module's text an error of its binary is.
//!
//! ```text
//! position in the binary ─ item_at ─▶ the number of an item or instruction ─ syntax tree ─▶ position in the text
//! ```
//!
//! The syntax tree has the items in the order of the binary once it was encoded, and the position of each.

use crate::refusal::UnsupportedProposals;
use belljar_core::{Error, OutsideText};
use belljar_module::{Item, ModuleError, item_at};
use std::path::Path;
use wast::Wat;
use wast::core::{EncodeOptions, FuncKind, Module, ModuleField, ModuleKind};
use wast::lexer::{Lexer, TokenKind};
use wast::parser::{self, ParseBuffer};
use wast::token::{Index, Span};

/// Adds the line, with a caret below the position, to the error of a module that was made from this text. Returns other
/// errors as they are.
#[doc(hidden)]
pub fn locate_in_text(mut error: Error, text: &[u8], path: Option<&Path>) -> Error {
    let Ok(text) = std::str::from_utf8(text) else { return error };
    if let Some(ModuleError::Invalid { offset, place, .. }) = error.downcast_mut::<ModuleError>() {
        *place = excerpt(text, *offset, path);
    } else if let Some(UnsupportedProposals { offset, place, .. }) = error.downcast_mut() {
        *place = excerpt(text, *offset, path);
    }
    error
}

/// Returns a line end, and the lines that show the position.
fn excerpt(text: &str, position: u64, path: Option<&Path>) -> Option<Box<str>> {
    let mut error = wast::Error::new(find(text, position)?, String::new());
    error.set_text(text);
    if let Some(path) = path {
        error.set_path(Path::new(&OutsideText::new(path).to_string()));
    }
    Some(OutsideText::of_diagnostic(&error.to_string()).into())
}

/// Returns the position in the text of a position in its binary.
fn find(text: &str, position: u64) -> Option<Span> {
    let mut tokens = ParseBuffer::new(text).ok()?;
    tokens.track_instr_spans(true);
    let mut tree = parser::parse::<Wat<'_>>(&tokens).ok()?;
    let binary = EncodeOptions::new().encode_wat(&mut tree).ok()?;
    let Wat::Module(Module { kind: ModuleKind::Text(fields), .. }) = &tree else { return None };
    let item = item_at(&binary, position)?;
    span_of(fields, item, text)
}

/// Returns the position of an item: of its keyword, or of an instruction.
fn span_of(fields: &[ModuleField<'_>], item: Item, text: &str) -> Option<Span> {
    let nth = |number, span: fn(&ModuleField<'_>) -> Option<Span>| fields.iter().filter_map(span).nth(number);
    match item {
        Item::TypeGroup(n) => {
            let span = nth(n, |field| match field {
                ModuleField::Type(ty) => Some(ty.span),
                ModuleField::Rec(group) => Some(group.span),
                _ => None,
            })?;
            if span.offset() == IMPLICIT { first_use(fields, n) } else { Some(span) }
        }
        Item::Import(n) => nth(n, |field| match field {
            ModuleField::Import(import) => Some(import.span),
            _ => None,
        }),
        Item::Func(n) => nth(n, |field| match field {
            ModuleField::Func(func) => Some(func.span),
            _ => None,
        }),
        Item::Table(n) => nth(n, |field| match field {
            ModuleField::Table(table) => Some(table.span),
            _ => None,
        }),
        Item::Memory(n) => nth(n, |field| match field {
            ModuleField::Memory(memory) => Some(memory.span),
            _ => None,
        }),
        Item::Tag(n) => nth(n, |field| match field {
            ModuleField::Tag(tag) => Some(tag.span),
            _ => None,
        }),
        Item::Global(n) => nth(n, |field| match field {
            ModuleField::Global(global) => Some(global.span),
            _ => None,
        }),
        Item::Export(n) => nth(n, |field| match field {
            ModuleField::Export(export) => Some(export.span),
            _ => None,
        }),
        Item::Start => nth(0, |field| match field {
            ModuleField::Start(func) => Some(func.span()),
            _ => None,
        }),
        Item::Elem(n) => nth(n, |field| match field {
            ModuleField::Elem(segment) => Some(segment.span),
            _ => None,
        }),
        Item::Data(n) => nth(n, |field| match field {
            ModuleField::Data(segment) => Some(segment.span),
            _ => None,
        }),
        Item::Instruction { func, index } => {
            let mut funcs = fields.iter().filter_map(|field| match field {
                ModuleField::Func(func) => Some(func),
                _ => None,
            });
            let func = funcs.nth(func)?;
            let FuncKind::Inline { expression, .. } = &func.kind else { return None };
            match expression.instr_spans.as_ref()?.get(index) {
                Some(span) => Some(*span),
                // The `end` of a function is the parenthesis that closes it.
                None => Some(closing(text, func.span).unwrap_or(func.span)),
            }
        }
    }
}

/// The position of a type that the text does not define: the encoder adds types for functions that state their parameters
/// and results themselves. Nothing else is at the first byte.
const IMPLICIT: usize = 0;

/// Returns the first function that has the type of a group, if there is one.
fn first_use(fields: &[ModuleField<'_>], group: usize) -> Option<Span> {
    let sizes = fields.iter().filter_map(|field| match field {
        ModuleField::Type(_) => Some(1),
        ModuleField::Rec(group) => Some(group.types.len()),
        _ => None,
    });
    let index: usize = sizes.take(group).sum();
    fields.iter().find_map(|field| match field {
        ModuleField::Func(func) => match func.ty.index {
            Some(Index::Num(number, _)) if number as usize == index => Some(func.span),
            _ => None,
        },
        _ => None,
    })
}

/// Returns the parenthesis that closes what begins at a keyword.
fn closing(text: &str, keyword: Span) -> Option<Span> {
    let mut open = 0;
    for token in Lexer::new(text).iter(keyword.offset()) {
        let token = token.ok()?;
        match token.kind {
            TokenKind::LParen => open += 1,
            TokenKind::RParen if open == 0 => return Some(Span::from_offset(token.offset)),
            TokenKind::RParen => open -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{Config, Engine, Module};

    /// Checks that the module's error points to the text that `§` stands before.
    #[track_caller]
    fn check(marked: &str, message: &str) {
        let (before, after) = marked.split_once('§').unwrap();
        let text = [before, after].concat();
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        let error = Module::new(&Engine::default(), &text).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].contains(message), "{error}");
        let place = format!("     --> <anon>:{}:{}", line + 1, column + 1);
        assert_eq!(lines[1], place, "{error}");
        assert_eq!(lines[3], format!(" {:4} | {}", line + 1, text.lines().nth(line).unwrap()), "{error}");
        assert_eq!(lines[4], format!("      | {}^", " ".repeat(column)), "{error}");
    }

    #[test]
    fn instructions_are_shown() {
        check("(module (func\n  i32.const 1\n  §i64.eqz\n  drop))", "type mismatch: expected i64, found i32");
        check("(module (func (drop (§i32.add (i32.const 1) (i64.const 2)))))", "type mismatch");
        check("(module (func (result i32) (block\n(§drop))(i32.const 1)))", "type mismatch");
        check("(module (func) (func (param i32) (if (local.get 0) (then (§call 7)))))", "unknown function 7");
        check("(module (func (if (i32.const 1) (then (nop)) (else (§local.get 3)))))", "unknown local");
        check("(module (memory 1) (func (drop (§i32.load align=8 (i32.const 0)))))", "alignment");
    }

    #[test]
    fn ends_are_shown() {
        check("(module (func (result i32) nop§))", "type mismatch");
        check("(module (func (export \"(\") (; ) ;) (result i32)\n (nop)\n  §) (func))", "type mismatch");
        check("(module (func (result i32) (block (result i32) nop§)))", "type mismatch");
        check("(module (func (result i32) block (result i32) nop §end))", "type mismatch");
    }

    #[test]
    fn other_items_are_shown() {
        check("(module (§global i32 (i64.const 1)))", "type mismatch");
        check(
            "(module (func $f) (export \"a\" (func $f)) (§export \"a\" (func $f)))",
            "duplicate export name",
        );
        check("(module (func (export \"a\")) (§func (export \"a\")))", "duplicate export name");
        check("(module (func) (func $f (param i32)) (start §$f))", "start function");
        check("(module (memory 1) (§memory 70000))", "memory size");
        check("(module (table 1 funcref) (§table 2 1 funcref))", "size minimum");
        check("(module (memory 1) (data (i32.const 0) \"a\") (§data (i64.const 0) \"b\"))", "type mismatch");
        check("(module (table 1 funcref) (§elem (i64.const 0) func))", "type mismatch");
        check("(module (§type (sub 5 (func))))", "supertypes must be defined");
        check(
            "(module (type (func)) (import \"a\" \"b\" (func)) (§import \"a\" \"c\" (func (type 4))))",
            "unknown type",
        );
        check("(module (func) (§func (type 9)))", "unknown type");
    }

    #[test]
    fn a_type_that_the_text_does_not_define_is_shown_at_its_use() {
        let engine = Engine::new(Config::new().wasm_simd(false)).unwrap();
        let text = "(module (type (func (param i64)))\n (func) (func (result v128) unreachable))";
        let error = Module::new(&engine, text).unwrap_err();
        let shown = format!("{error:#}");
        assert!(shown.contains("\n     --> <anon>:2:10\n"), "{shown}");
    }
}
