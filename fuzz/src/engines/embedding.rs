//! `Runner` for the embedding interface that belljar and Wasmtime share, compiled against each: `super::api` is the
//! crate, and `super` also contains the parts that differ.

use super::api::{
    AnyRef, ArrayRef, ArrayRefPre, AsContextMut, Error, ExnRef, Extern, ExternRef, HeapType, I31, Instance,
    RootScope, Rooted, Store, StoreLimits, StructRef, StructRefPre, Tag, V128, Val, ValType,
};
use super::{refuel, shared_bytes, thrown, trapped};
use crate::compare::{ELEMENTS, Ended, Plain, Runner, bits};
use crate::generate::{Mode, STEPS_PER_CALL};
use crate::generated::{Generated, STEPS};

/// A store with one instance.
pub struct Running {
    store: Store<StoreLimits>,
    instance: Instance,
    tags: u32,
    counts_steps: bool,
}

/// How many values of an object, and of the objects in it, are compared.
const VALUES: usize = 100;

/// The depth to which nested objects are compared and created.
const DEPTH: u32 = 4;

impl Runner for Running {
    fn new(module: &Generated, mode: Mode) -> Result<Self, Ended> {
        let (store, instance) = super::instantiate(module, mode)?;
        Ok(Self { store, instance, tags: module.tags, counts_steps: mode.counts_steps })
    }

    fn call(&mut self, function: u32, seed: u64) -> Option<Ended> {
        if self.counts_steps {
            let steps = self.instance.get_global(&mut self.store, STEPS).expect("it is exported");
            steps.set(&mut self.store, Val::I32(STEPS_PER_CALL)).expect("it can be set");
        }
        refuel(&mut self.store);
        let func = self.instance.get_func(&mut self.store, &format!("f{function}"))?;
        let ty = func.ty(&self.store);
        let mut scope = RootScope::new(&mut self.store);
        let params = ty.params().enumerate().map(|(i, ty)| argument(&mut scope, &ty, bits(seed, i), DEPTH));
        let params = params.collect::<Option<Vec<_>>>()?;
        let mut results = vec![Val::I32(0); ty.results().len()];
        Some(match func.call(&mut scope, &params, &mut results) {
            Ok(()) => {
                let mut reader = Reader::new(&self.instance, self.tags);
                Ended::Returned(results.iter().map(|value| reader.plain(&mut scope, value, DEPTH)).collect())
            }
            Err(error) => ended(&mut scope, Some(&self.instance), self.tags, error),
        })
    }

    fn global(&mut self, global: u32) -> Plain {
        let mut scope = RootScope::new(&mut self.store);
        let global = self.instance.get_global(&mut scope, &format!("g{global}")).expect("it is exported");
        let value = global.get(&mut scope);
        Reader::new(&self.instance, self.tags).plain(&mut scope, &value, DEPTH)
    }

    fn table(&mut self, table: u32) -> (u64, Vec<Plain>) {
        let mut scope = RootScope::new(&mut self.store);
        let table = self.instance.get_table(&mut scope, &format!("t{table}")).expect("it is exported");
        let size = table.size(&scope);
        let mut reader = Reader::new(&self.instance, self.tags);
        let elements = (0..size.min(ELEMENTS)).map(|i| {
            let value = Val::from(table.get(&mut scope, i).expect("it is inside"));
            reader.plain(&mut scope, &value, DEPTH)
        });
        (size, elements.collect())
    }

    fn memory<R>(&mut self, memory: u32, look: impl FnOnce(&[u8]) -> R) -> R {
        match self.instance.get_export(&mut self.store, &format!("m{memory}")) {
            Some(Extern::Memory(memory)) => look(memory.data(&self.store)),
            Some(Extern::SharedMemory(memory)) => look(&shared_bytes(&memory)),
            _ => panic!("it is exported"),
        }
    }
}

/// Returns how a run ended that did not return.
pub fn ended(
    mut store: impl AsContextMut<Data = StoreLimits>,
    instance: Option<&Instance>,
    tags: u32,
    error: Error,
) -> Ended {
    match thrown(&mut store, &error) {
        Some(exception) => {
            let mut reader = Reader { instance, tags, left: VALUES };
            Ended::Threw(reader.exception(&mut store, exception, DEPTH))
        }
        None => trapped(&error),
    }
}

/// Returns a value of a type; `None` for a non-null reference that cannot be created here.
fn argument(
    store: &mut impl AsContextMut<Data = StoreLimits>,
    ty: &ValType,
    seed: u64,
    depth: u32,
) -> Option<Val> {
    Some(match ty {
        ValType::I32 => Val::I32(seed as i32),
        ValType::I64 => Val::I64(seed as i64),
        ValType::F32 => Val::F32(seed as u32),
        ValType::F64 => Val::F64(seed),
        ValType::V128 => Val::V128(V128::from(u128::from(seed) << 64 | u128::from(!seed))),
        ValType::Ref(ty) => {
            let made = (!ty.is_nullable() || !seed.is_multiple_of(4))
                .then(|| object(store, ty.heap_type(), seed, depth))
                .flatten();
            made.or_else(|| ty.is_nullable().then(|| Val::null_ref(ty.heap_type())))?
        }
    })
}

fn object(
    store: &mut impl AsContextMut<Data = StoreLimits>,
    heap: &HeapType,
    seed: u64,
    depth: u32,
) -> Option<Val> {
    match heap {
        HeapType::Any | HeapType::Eq | HeapType::I31 => {
            return Some(AnyRef::from_i31(store, I31::wrapping_u32(seed as u32)).into());
        }
        HeapType::Extern => return Some(ExternRef::new(store, seed as u32).ok()?.into()),
        _ => {}
    }
    let depth = depth.checked_sub(1)?;
    if let Some(ty) = heap.as_concrete_struct() {
        let fields = ty.fields().map(|field| {
            let ty = field.element_type().unpack().clone();
            argument(store, &ty, seed, depth)
        });
        let fields = fields.collect::<Option<Vec<_>>>()?;
        let pre = StructRefPre::new(&mut *store, ty.clone());
        let made = StructRef::new(&mut *store, &pre, &fields).ok()?;
        return Some(Val::AnyRef(Some(made.to_anyref())));
    }
    let ty = heap.as_concrete_array()?;
    let element = ty.field_type().element_type().unpack().clone();
    let element = argument(store, &element, seed, depth)?;
    let pre = ArrayRefPre::new(&mut *store, ty.clone());
    let made = ArrayRef::new(&mut *store, &pre, &element, seed as u32 % 5).ok()?;
    Some(Val::AnyRef(Some(made.to_anyref())))
}

/// Converts values for comparison.
struct Reader<'a> {
    /// The tags by name; empty during construction.
    instance: Option<&'a Instance>,
    tags: u32,
    /// How many further values of objects may be compared.
    left: usize,
}

impl<'a> Reader<'a> {
    fn new(instance: &'a Instance, tags: u32) -> Self {
        Self { instance: Some(instance), tags, left: VALUES }
    }

    fn plain(&mut self, store: &mut impl AsContextMut<Data = StoreLimits>, value: &Val, depth: u32) -> Plain {
        match value {
            Val::I32(v) => Plain::Bits32(*v as u32),
            Val::I64(v) => Plain::Bits64(*v as u64),
            Val::F32(v) => Plain::Bits32(*v),
            Val::F64(v) => Plain::Bits64(*v),
            Val::V128(v) => Plain::Bits128(v.as_u128()),
            Val::FuncRef(Some(_)) => Plain::Func,
            Val::AnyRef(Some(any)) => self.any(store, *any, depth),
            Val::ExternRef(Some(value)) => self.external(store, *value, depth),
            Val::ExnRef(Some(exception)) => self.exception(store, *exception, depth),
            _ => Plain::Null,
        }
    }

    fn values<S: AsContextMut<Data = StoreLimits>>(
        &mut self,
        store: &mut S,
        count: usize,
        depth: u32,
        mut get: impl FnMut(&mut S, usize) -> Val,
    ) -> Vec<Plain> {
        let count = count.min(self.left);
        self.left -= count;
        let values = (0..count).map(|i| {
            let value = get(store, i);
            self.plain(store, &value, depth)
        });
        values.collect()
    }

    fn any(
        &mut self,
        store: &mut impl AsContextMut<Data = StoreLimits>,
        any: Rooted<AnyRef>,
        depth: u32,
    ) -> Plain {
        if let Some(small) = any.as_i31(&*store).expect("a live reference") {
            return Plain::I31(small.get_u32());
        }
        let Some(depth) = depth.checked_sub(1) else { return Plain::Deep };
        if let Some(object) = any.as_struct(&*store).expect("a live reference") {
            let count = object.ty(&*store).expect("a live reference").fields().len();
            let field = |store: &mut _, i| object.field(store, i).expect("it has this field");
            return Plain::Struct(self.values(store, count, depth, field));
        }
        if let Some(array) = any.as_array(&*store).expect("a live reference") {
            let length = array.len(&*store).expect("a live reference");
            let element = |store: &mut _, i| array.get(store, i as u32).expect("it has this element");
            return Plain::Array(length, self.values(store, length as usize, depth, element));
        }
        let value = ExternRef::convert_any(&mut *store, any).expect("a live reference");
        self.external(store, value, depth)
    }

    fn external(
        &mut self,
        store: &mut impl AsContextMut<Data = StoreLimits>,
        value: Rooted<ExternRef>,
        depth: u32,
    ) -> Plain {
        if let Some(data) = value.data(store.as_context()).expect("a live reference") {
            return Plain::Host(*data.downcast_ref().expect("the host makes numbers"));
        }
        let any = AnyRef::convert_extern(&mut *store, value).expect("a live reference");
        Plain::Extern(Box::new(self.any(store, any, depth)))
    }

    fn exception(
        &mut self,
        store: &mut impl AsContextMut<Data = StoreLimits>,
        exception: Rooted<ExnRef>,
        depth: u32,
    ) -> Plain {
        let Some(depth) = depth.checked_sub(1) else { return Plain::Deep };
        let tag = exception.tag(&mut *store).expect("a live reference");
        let count = tag.ty(&*store).ty().params().len();
        let value = |store: &mut _, i| exception.field(store, i).expect("it has this value");
        Plain::Exception(self.tag(store, &tag), self.values(store, count, depth, value))
    }

    fn tag(&self, store: &mut impl AsContextMut<Data = StoreLimits>, tag: &Tag) -> Option<u32> {
        (0..self.tags).find(|i| {
            let exported = self.instance.and_then(|instance| instance.get_tag(&mut *store, &format!("e{i}")));
            exported.is_some_and(|exported| Tag::eq(tag, &exported, &*store))
        })
    }
}
