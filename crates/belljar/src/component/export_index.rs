//! Exports, found by name once.

use super::code::Component;
use super::names;
use belljar_component::Export;
use belljar_core::OutsideText;
use std::fmt;
use std::sync::Arc;

/// Where a component exports something. Instances of the component find it without a comparison of names.
///
/// ```
/// use belljar::component::{Component, Linker};
/// use belljar::{Engine, Store};
///
/// let engine = Engine::default();
/// let component = Component::new(&engine, r#"(component
///     (core module $m (func (export "one") (result i32) (i32.const 1)))
///     (core instance $m (instantiate $m))
///     (func $one (result u32) (canon lift (core func $m "one")))
///     (instance $numbers (export "one" (func $one)))
///     (export "my:numbers/small@1.0.0" (instance $numbers)))"#)?;
/// let numbers = component.get_export_index(None, "my:numbers/small@1.0.0").unwrap();
/// let one = component.get_export_index(Some(&numbers), "one").unwrap();
///
/// let mut store = Store::new(&engine, ());
/// let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
/// let one = instance.get_typed_func::<(), (u32,)>(&mut store, &one)?;
/// assert_eq!(one.call(&mut store, ())?, (1,));
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone)]
pub struct ComponentExportIndex {
    component: Component,
    /// The place of the export, after those of the instances that it is in.
    path: Arc<[u32]>,
}

impl fmt::Debug for ComponentExportIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ComponentExportIndex").field(&self.path).finish()
    }
}

impl ComponentExportIndex {
    /// Returns the export, if it is one of this component.
    fn export<'a>(&self, of: &'a Component) -> Option<&'a Export> {
        let (last, way) = self.path.split_last()?;
        let exports = way.iter().try_fold(&*of.plan().exports, |exports, at| {
            exports.get(*at as usize).and_then(|(_, export)| exports_of(export))
        });
        (self.component.is_same(of)).then_some(())?;
        exports?.get(*last as usize).map(|(_, export)| export)
    }
}

fn exports_of(export: &Export) -> Option<&[(Arc<str>, Export)]> {
    match export {
        Export::Instance(exports) => Some(exports),
        _ => None,
    }
}

impl Component {
    /// Finds an export of the component, or one of an instance that it exports. A name with a version stands for compatible
    /// versions too. Returns `None` if there is none, or `instance` is no instance of this component.
    pub fn get_export_index(
        &self,
        instance: Option<&ComponentExportIndex>,
        name: &str,
    ) -> Option<ComponentExportIndex> {
        let exports = match instance {
            Some(instance) => exports_of(instance.export(self)?)?,
            None => &self.plan().exports,
        };
        let found = names::find(exports, name)?;
        let at = exports.iter().position(|(_, export)| std::ptr::eq(export, found))?;
        let way = instance.map(|instance| &*instance.path).unwrap_or_default();
        let path = way.iter().copied().chain([at as u32]).collect();
        Some(ComponentExportIndex { component: self.clone(), path })
    }
}

/// What names an export of an instance: a name, the names of an exported instance and of its export, or a
/// [`ComponentExportIndex`].
pub trait InstanceExportLookup {
    /// Finds the export.
    #[doc(hidden)]
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export>;

    /// Returns what errors call it.
    #[doc(hidden)]
    fn shown(&self) -> String;
}

impl InstanceExportLookup for str {
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export> {
        names::find(&component.plan().exports, self)
    }

    fn shown(&self) -> String {
        OutsideText::new(self).to_string()
    }
}

impl InstanceExportLookup for String {
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export> {
        InstanceExportLookup::find(&**self, component)
    }

    fn shown(&self) -> String {
        InstanceExportLookup::shown(&**self)
    }
}

impl InstanceExportLookup for [&str] {
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export> {
        let (last, way) = self.split_last()?;
        let exports = way
            .iter()
            .try_fold(&*component.plan().exports, |exports, name| exports_of(names::find(exports, name)?));
        names::find(exports?, last)
    }

    fn shown(&self) -> String {
        OutsideText::new(&self.join("#")).to_string()
    }
}

impl<const N: usize> InstanceExportLookup for [&str; N] {
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export> {
        self[..].find(component)
    }

    fn shown(&self) -> String {
        self[..].shown()
    }
}

impl InstanceExportLookup for ComponentExportIndex {
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export> {
        self.export(component)
    }

    fn shown(&self) -> String {
        let mut exports = &*self.component.plan().exports;
        let mut names = Vec::new();
        for at in &*self.path {
            let Some((name, export)) = exports.get(*at as usize) else { break };
            names.push(&**name);
            exports = exports_of(export).unwrap_or_default();
        }
        OutsideText::new(&names.join("#")).to_string()
    }
}

impl<T: InstanceExportLookup + ?Sized> InstanceExportLookup for &T {
    fn find<'a>(&self, component: &'a Component) -> Option<&'a Export> {
        T::find(self, component)
    }

    fn shown(&self) -> String {
        T::shown(self)
    }
}
