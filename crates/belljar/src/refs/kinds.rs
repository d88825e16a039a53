//! The kinds of references to objects.

use super::rooted::GcRef;
use super::rooted::sealed::{Handle, Sealed};
use belljar_vm::{OwnedRoot, Root, StoreCore};

macro_rules! gc_refs {
    ($($name:ident $raw:ident $root:ident $rooted:ident $own:ident;)*) => {$(
        impl Sealed for $name {
            type Raw = belljar_vm::$raw;
            const NAME: &'static str = stringify!($name);
            fn of_handle(handle: Handle) -> Self {
                Self(handle)
            }
            fn handle(&self) -> Handle {
                self.0
            }
            fn root(store: &mut StoreCore, raw: Self::Raw) -> Root {
                store.$root(raw)
            }
            fn rooted(store: &StoreCore, root: Root) -> Option<Self::Raw> {
                store.$rooted(root)
            }
            fn own(store: &mut StoreCore, raw: Self::Raw) -> OwnedRoot {
                store.$own(raw)
            }
        }

        impl GcRef for $name {}
    )*};
}

gc_refs! {
    AnyRef RawAny root_any rooted_any own_any;
    EqRef RawAny root_any rooted_any own_any;
    StructRef RawAny root_any rooted_any own_any;
    ArrayRef RawAny root_any rooted_any own_any;
    ExternRef RawExtern root_extern rooted_extern own_extern;
    ExnRef RawExn root_exn rooted_exn own_exn;
}

/// Any internal reference: to a struct, an array, a small integer, or a host value that was internalized.
#[derive(Clone, Copy, Debug)]
pub struct AnyRef(Handle);

/// A reference that `ref.eq` compares: to a struct, an array or a small integer.
#[derive(Clone, Copy, Debug)]
pub struct EqRef(Handle);

/// An array on the heap.
///
/// ```
/// use belljar::*;
/// let mut config = Config::new();
/// config.wasm_function_references(true).wasm_gc(true);
/// let engine = Engine::new(&config)?;
/// let mut store = Store::new(&engine, ());
/// let bytes = ArrayType::new(&engine, FieldType::new(Mutability::Var, StorageType::I8))?;
/// let allocator = ArrayRefPre::new(&mut store, bytes);
/// let text = ArrayRef::new(&mut store, &allocator, &Val::I32(b'.'.into()), 3)?;
/// text.set(&mut store, 1, Val::I32(b'!'.into()))?;
/// assert_eq!(text.len(&store)?, 3);
/// assert_eq!(text.get(&mut store, 1)?.unwrap_i32(), 33);
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef(Handle);

/// A struct on the heap.
///
/// ```
/// use belljar::*;
/// let mut config = Config::new();
/// config.wasm_function_references(true).wasm_gc(true);
/// let engine = Engine::new(&config)?;
/// let mut store = Store::new(&engine, ());
/// let field = FieldType::new(Mutability::Var, ValType::I32.into());
/// let ty = StructType::new(&engine, [field.clone(), field])?;
/// let allocator = StructRefPre::new(&mut store, ty);
/// let point = StructRef::new(&mut store, &allocator, &[Val::I32(3), Val::I32(4)])?;
/// point.set_field(&mut store, 0, Val::I32(5))?;
/// assert_eq!(point.field(&mut store, 0)?.unwrap_i32(), 5);
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StructRef(Handle);

/// An exception that a guest or the host created: a tag, and values of the tag's parameter types.
///
/// ```
/// use belljar::*;
/// let mut config = Config::new();
/// config.wasm_exceptions(true);
/// let engine = Engine::new(&config)?;
/// let mut store = Store::new(&engine, ());
/// let tag = Tag::new(&mut store, &TagType::new(FuncType::new(&engine, [ValType::I32], [])))?;
/// let carries = ExnType::from_tag_type(&tag.ty(&store))?;
/// let allocator = ExnRefPre::new(&mut store, carries);
/// let exception = ExnRef::new(&mut store, &allocator, &tag, &[Val::I32(7)])?;
/// assert_eq!(exception.tag(&mut store)?, tag);
/// assert_eq!(exception.field(&mut store, 0)?.unwrap_i32(), 7);
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ExnRef(Handle);

/// A reference to a value of the host, which guests can pass around but not inspect. A null reference is the `None` of
/// an `Option`.
///
/// ```
/// use belljar::{Engine, ExternRef, Instance, Module, Rooted, Store};
/// let engine = Engine::default();
/// let module = Module::new(
///     &engine,
///     r#"(module (func (export "id") (param externref) (result externref) local.get 0))"#,
/// )?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// type Name = Option<Rooted<ExternRef>>;
/// let id = instance.get_typed_func::<Name, Name>(&mut store, "id")?;
/// let name = ExternRef::new(&mut store, String::from("jar"))?;
/// let back = id.call(&mut store, Some(name))?.unwrap();
/// assert_eq!(back.data(&store)?.unwrap().downcast_ref::<String>().unwrap(), "jar");
/// # Ok::<(), belljar::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ExternRef(Handle);
