//! `--invoke` for components: finds the function, reads its arguments as WAVE, prints its result.

use belljar::component::types::FuncType;
use belljar::component::{Component, Type, Val};
use belljar::{Counted, Error, OutsideText, Result, bail, ensure, similar_name};
use std::sync::Arc;

/// A call from the command line: `name(1, "two")`, or a name with arguments.
#[derive(Debug)]
pub(crate) struct Call {
    /// The names on the way to the function: its own is the last.
    pub(crate) path: Vec<String>,
    pub(super) arguments: Vec<Val>,
    pub(crate) ty: Arc<FuncType>,
}

/// A function that a component exports.
struct Function {
    path: Vec<String>,
    ty: Arc<FuncType>,
}

impl Function {
    /// Returns the names as they are written on the command line.
    fn name(&self) -> String {
        self.path.join("#")
    }
}

fn functions(component: &Component) -> Vec<Function> {
    let all = component.exported_funcs();
    all.map(|(path, ty)| Function { path: path.into_iter().map(str::to_owned).collect(), ty: ty.clone() })
        .collect()
}

impl Call {
    /// Reads a call. Without parentheses, `rest` has the arguments.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such function, naming those that there are, or if an argument is not of the
    /// parameter's type.
    pub(crate) fn read(component: &Component, text: &str, rest: &[String]) -> Result<Self> {
        let (name, in_parentheses) = match text.split_once('(') {
            Some((name, _)) => (name.trim(), Some(&text[name.len()..])),
            None => (text.trim(), None),
        };
        let function = find(component, name)?;
        let types: Vec<&Type> = function.ty.params().iter().map(|(_, ty)| ty).collect();
        let context = || format!("`{}` is {}", OutsideText::new(&function.name()), function.ty);
        let arguments = match in_parentheses {
            Some(arguments) => {
                ensure!(
                    rest.is_empty(),
                    "the arguments of --invoke stand in parentheses, so there can be none after FILE"
                );
                function.ty.params_from_wave(arguments)?
            }
            None => {
                ensure!(
                    rest.len() == types.len(),
                    "{}, and was given {}",
                    context(),
                    Counted::of(rest.len(), "argument")
                );
                let read = types.iter().zip(rest).map(|(ty, text)| argument(ty, text));
                read.collect::<Result<_>>().map_err(|error| error.context(context()))?
            }
        };
        Ok(Self { path: function.path, arguments, ty: function.ty })
    }
}

/// Reads one argument. A string needs no quotation marks.
fn argument(ty: &Type, text: &str) -> Result<Val> {
    match ty {
        Type::String if !text.starts_with('"') => Ok(Val::String(text.into())),
        ty => Val::from_wave(ty, text),
    }
}

fn find(component: &Component, name: &str) -> Result<Function> {
    let mut all = functions(component);
    let is_meant = |function: &Function| {
        let whole = function.name();
        let plain = whole.split('@').next().unwrap_or_default();
        // The version may be left out, and before the function's own name `/` or `.` may stand.
        let own = function.path.last().map_or("", |own| own);
        let interface = function.path.split_last().map(|(_, way)| way.join("#")).unwrap_or_default();
        let interface_plain = interface.split('@').next().unwrap_or_default();
        whole == name
            || ["#", "/", "."].iter().any(|separator| {
                [&*interface, interface_plain].iter().any(|interface| {
                    name.strip_suffix(own).and_then(|rest| rest.strip_suffix(separator)) == Some(interface)
                })
            })
            || plain == name
    };
    if let Some(at) = all.iter().position(is_meant) {
        return Ok(all.swap_remove(at));
    }
    // The function's own name is enough if there is only one.
    let mut same =
        all.iter().enumerate().filter(|(_, function)| function.path.last().is_some_and(|own| own == name));
    if let (Some((at, _)), None) = (same.next(), same.next()) {
        return Ok(all.swap_remove(at));
    }
    drop(same);
    bail!("it exports no function `{}`{}", OutsideText::new(name), advice(&all, name))
}

/// Lists the functions that could be called, or the most similar one.
fn advice(all: &[Function], name: &str) -> String {
    let names: Vec<String> = all.iter().map(Function::name).collect();
    if let Some(similar) = similar_name(name, names.iter().map(|name| &**name)) {
        return format!(": did you mean `{}`?", OutsideText::new(similar));
    }
    list(all)
}

/// The most functions to list.
const MAX_LISTED: usize = 20;

fn list(all: &[Function]) -> String {
    if all.is_empty() {
        return ", nor any other".into();
    }
    let line = |function: &Function| {
        format!(
            "\n    {}: {}",
            OutsideText::new(&function.name()),
            OutsideText::new(&function.ty.to_string())
        )
    };
    let listed: String = all.iter().take(MAX_LISTED).map(line).collect();
    let more = match all.len().saturating_sub(MAX_LISTED) {
        0 => String::new(),
        n => format!("\n    … and {n} more, which `belljar wit` shows"),
    };
    format!(". It exports:{listed}{more}")
}

/// Returns the error for a component that is no program.
pub(super) fn no_program(component: &Component) -> Error {
    let all = functions(component);
    match all.is_empty() {
        true => Error::msg(
            "it is no program: it exports no function `run` of wasi:cli/run, nor any other function",
        ),
        false => Error::msg(format!(
            "it is no program: it exports no function `run` of wasi:cli/run. Call one of these with \
             --invoke 'NAME(ARGS)':{}",
            list(&all).trim_start_matches(". It exports:")
        )),
    }
}

/// Returns the text of a result.
pub(super) fn show(value: &Val) -> String {
    value.to_wave().unwrap_or_else(|_| format!("{value:?}"))
}
