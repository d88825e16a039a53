//! The host's operations on objects. Every type, bound and mutability is checked here.

use crate::abi_types::{RawAny, RawExn, Value};
use crate::store::StoreCore;
use crate::store_mut::StoreMut;
use belljar_abi::gc::{TAG, header};
use belljar_core::{
    CompositeType, Context, Counted, FieldType, FuncType, HeapType, Mutability, RawVal, StorageType, TagId,
    TypeId, ValType,
};

fn field_of(ty: ValType) -> FieldType {
    FieldType::new(Mutability::Const, StorageType::Val(ty))
}

impl StoreCore {
    /// Returns the most specific type of a reference that is not null.
    pub fn heap_type_of_ref(&self, reference: RawAny) -> HeapType {
        self.heap_type_of(reference.0)
    }

    /// Returns the type of an object; `None` for null, small integers and host values.
    pub fn type_of_ref(&self, reference: RawAny) -> Option<TypeId> {
        self.object_type(reference.0)
    }

    /// Returns the value of a small integer, `None` for anything else.
    pub fn small_integer(&self, reference: RawAny) -> Option<u32> {
        (reference.0 & 1 != 0).then_some(reference.0 >> 1)
    }

    /// Creates a small integer from the low 31 bits of a value.
    pub fn new_small_integer(value: u32) -> RawAny {
        RawAny(value << 1 | 1)
    }

    /// Checks that values fit fields.
    fn check_fields<'a>(
        &self,
        what: &str,
        fields: impl ExactSizeIterator<Item = &'a FieldType>,
        values: &[Value],
    ) -> belljar_core::Result<()> {
        belljar_core::ensure!(
            fields.len() == values.len(),
            "the {what} has {}, and was given {}",
            Counted::of(fields.len(), "field"),
            Counted::of(values.len(), "value")
        );
        for (field, value) in fields.zip(values) {
            self.check_type(value, field.element_type().unpack(), &format!("a field of the {what}"))?;
        }
        Ok(())
    }

    /// Roots the references among values, since an allocation may move objects. Returns what is needed to get them
    /// back.
    fn root_values(&mut self, values: &[Value]) -> Vec<(Value, Option<super::Root>)> {
        values
            .iter()
            .map(|value| match *value {
                Value::Extern(crate::RawExtern(r)) | Value::Any(RawAny(r)) | Value::Exn(crate::RawExn(r)) => {
                    (*value, Some(self.root(r)))
                }
                _ => (*value, None),
            })
            .collect()
    }

    fn rooted_slot(&self, (value, root): &(Value, Option<super::Root>)) -> RawVal {
        match root {
            Some(root) => RawVal::from_u32(self.rooted(*root).unwrap_or(0)),
            None => value.to_slot(),
        }
    }

    /// Returns the payload types of a tag's exceptions, as fields.
    fn payload_fields(&self, tag: TagId) -> Vec<FieldType> {
        let params = |ty: FuncType| ty.params().iter().map(|ty| field_of(*ty)).collect();
        self.runtime.types.func_type(self.entities.tags[tag.index()]).map_or_else(Vec::new, params)
    }

    /// Returns the tag of an exception that is not null.
    pub fn exception_tag(&self, exception: RawExn) -> TagId {
        TagId(self.heap.gc.as_ref().map_or(0, |gc| gc.heap.word(exception.0 + TAG)))
    }

    /// Returns the values of an exception that is not null.
    ///
    /// # Errors
    ///
    /// Returns an error if the store has no heap.
    pub fn exception_values(&mut self, exception: RawExn) -> belljar_core::Result<Vec<Value>> {
        let tag = self.exception_tag(exception);
        let ty = self.entities.tags[tag.index()];
        let layout =
            self.gc()?.shapes.fields(ty).context("belljar bug: a tag without a function type")?.clone();
        let fields = self.payload_fields(tag);
        let read =
            |(offset, field): (&u32, &FieldType)| self.read_value(exception.0 + offset, field.element_type());
        Ok(layout.offsets.iter().zip(&fields).map(read).collect())
    }

    fn read_value(&self, slot: u32, storage: StorageType) -> Value {
        let bits = self.read_slot(slot, storage);
        Value::from_slot(self.value_type(storage.unpack()), bits)
    }

    fn write_value(
        &mut self,
        slot: u32,
        field: FieldType,
        value: &Value,
        what: &str,
    ) -> belljar_core::Result<()> {
        belljar_core::ensure!(field.mutability() == Mutability::Var, "{what} is immutable and cannot be set");
        self.check_type(value, field.element_type().unpack(), what)?;
        self.write_slot(slot, field.element_type(), value.to_slot());
        Ok(())
    }

    /// Reads a field of a struct; packed fields are zero-extended.
    ///
    /// # Errors
    ///
    /// Returns an error if the struct has no such field.
    pub fn struct_get(&mut self, object: RawAny, field: usize) -> belljar_core::Result<Value> {
        let (slot, ty) = self.field(object.0, field)?;
        Ok(self.read_value(slot, ty.element_type()))
    }

    /// Writes a field of a struct.
    ///
    /// # Errors
    ///
    /// Returns an error if the struct has no such field, the field is immutable, or the value has another type.
    pub fn struct_set(&mut self, object: RawAny, field: usize, value: &Value) -> belljar_core::Result<()> {
        let (slot, ty) = self.field(object.0, field)?;
        self.write_value(slot, ty, value, "the field")
    }

    /// Returns the length of an array.
    pub fn array_len(&self, array: RawAny) -> u32 {
        self.array_length(array.0)
    }

    /// Reads an element of an array; packed elements are zero-extended.
    ///
    /// # Errors
    ///
    /// Returns an error if the index is out of bounds.
    pub fn array_get(&mut self, array: RawAny, index: u32) -> belljar_core::Result<Value> {
        let (slot, ty) = self.element(array.0, index)?;
        Ok(self.read_value(slot, ty.element_type()))
    }

    /// Writes an element of an array.
    ///
    /// # Errors
    ///
    /// Returns an error if the index is out of bounds, the elements are immutable, or the value has another type.
    pub fn array_set(&mut self, array: RawAny, index: u32, value: &Value) -> belljar_core::Result<()> {
        let (slot, ty) = self.element(array.0, index)?;
        self.write_value(slot, ty, value, "the element")
    }

    /// Copies the elements of an array of `i8`, which `to` has room for.
    ///
    /// # Errors
    ///
    /// Returns an error if the array has fewer elements.
    pub fn array_copy_bytes(&mut self, array: RawAny, to: &mut [u8]) -> belljar_core::Result<()> {
        if !to.is_empty() {
            let size = to.len() as u32;
            let (slot, bytes) = self.array_range(array.0, 0, size)?;
            belljar_core::ensure!(bytes == size, "the elements of the array are not of type i8");
            let gc = self.heap.gc.as_ref().context("a store with an array has a heap")?;
            to.copy_from_slice(gc.heap.bytes(slot, size));
        }
        Ok(())
    }

    /// Writes the elements of an array of `i8`, from the first on.
    ///
    /// # Errors
    ///
    /// Returns an error if the array has fewer elements.
    pub fn array_write_bytes(&mut self, array: RawAny, from: &[u8]) -> belljar_core::Result<()> {
        if !from.is_empty() {
            let size = from.len() as u32;
            let (slot, bytes) = self.array_range(array.0, 0, size)?;
            belljar_core::ensure!(bytes == size, "the elements of the array are not of type i8");
            let gc = self.heap.gc.as_mut().context("a store with an array has a heap")?;
            gc.heap.bytes_mut(slot, size).copy_from_slice(from);
        }
        Ok(())
    }

    /// Converts a reference of the `any` hierarchy to one of the `extern` hierarchy, to the same object.
    pub fn externalize(reference: RawAny) -> crate::RawExtern {
        crate::RawExtern(reference.0)
    }

    /// Converts a reference of the `extern` hierarchy to one of the `any` hierarchy, to the same object.
    pub fn internalize(reference: crate::RawExtern) -> RawAny {
        RawAny(reference.0)
    }

    /// Returns whether a reference is to a host value.
    pub fn is_host_value(&self, reference: RawAny) -> bool {
        reference.0 != 0 && reference.0 & 1 == 0 && self.object_header(reference.0) & header::EXTERN != 0
    }

    /// Returns whether two references are to the same object, or are the same small integer.
    pub fn same_ref(a: RawAny, b: RawAny) -> bool {
        a.0 == b.0
    }

    /// Returns the dynamic type of a value: for an object its own type, otherwise the type of its kind.
    pub fn type_of_value(&self, value: &Value) -> ValType {
        match *value {
            Value::Any(reference) if !value.is_null() => {
                belljar_core::RefType::new(false, self.heap_type_of(reference.0)).into()
            }
            _ => value.ty(),
        }
    }
}

impl StoreMut<'_> {
    /// Creates a struct.
    ///
    /// # Errors
    ///
    /// Returns an error if the type is not a struct type, values do not fit its fields, or the heap is full.
    pub fn make_struct(&mut self, ty: TypeId, values: &[Value]) -> belljar_core::Result<RawAny> {
        let defined = self.runtime.types.ty(ty);
        let Some(CompositeType::Struct(fields)) = defined.as_ref().map(|ty| &ty.composite) else {
            belljar_core::bail!("the type is not a struct type");
        };
        self.check_fields("struct", fields.fields().iter(), values)?;
        let scope = self.enter_roots();
        let made = self.fill_struct(ty, values);
        self.leave_roots(scope);
        made
    }

    fn fill_struct(&mut self, ty: TypeId, values: &[Value]) -> belljar_core::Result<RawAny> {
        let values = self.root_values(values);
        let object = self.new_struct(ty)?;
        for (i, value) in values.iter().enumerate() {
            let slot = self.rooted_slot(value);
            self.write_field(object, i, slot)?;
        }
        Ok(RawAny(object))
    }

    /// Creates an array from these elements, or from one value repeated `length` times.
    ///
    /// # Errors
    ///
    /// Returns an error if the type is not an array type, values do not fit its elements, or the heap is full.
    pub fn make_array(&mut self, ty: TypeId, values: &[Value], length: u32) -> belljar_core::Result<RawAny> {
        let defined = self.runtime.types.ty(ty);
        let Some(CompositeType::Array(array)) = defined.as_ref().map(|ty| &ty.composite) else {
            belljar_core::bail!("the type is not an array type");
        };
        let field = array.field_type();
        self.check_fields("array", values.iter().map(|_| &field), values)?;
        let scope = self.enter_roots();
        let made = self.fill_array(ty, values, length);
        self.leave_roots(scope);
        made
    }

    fn fill_array(&mut self, ty: TypeId, values: &[Value], length: u32) -> belljar_core::Result<RawAny> {
        let values = self.root_values(values);
        let array = self.gc_alloc_array(ty, length)?;
        let Some(last) = values.last() else { return Ok(RawAny(array)) };
        for i in 0..length {
            let slot = self.rooted_slot(values.get(i as usize).unwrap_or(last));
            self.write_element(array, i, slot)?;
        }
        Ok(RawAny(array))
    }

    /// Creates an exception.
    ///
    /// # Errors
    ///
    /// Returns an error if values do not fit the tag's parameters, or the heap is full.
    pub fn make_exception(&mut self, tag: TagId, values: &[Value]) -> belljar_core::Result<RawExn> {
        let params = self.payload_fields(tag);
        self.check_fields("exception", params.iter(), values)?;
        let scope = self.enter_roots();
        let made = self.fill_exception(tag, &params, values);
        self.leave_roots(scope);
        made
    }

    fn fill_exception(
        &mut self,
        tag: TagId,
        params: &[FieldType],
        values: &[Value],
    ) -> belljar_core::Result<RawExn> {
        let values = self.root_values(values);
        let ty = self.entities.tags[tag.index()];
        let layout =
            self.gc()?.shapes.fields(ty).context("belljar bug: a tag without a function type")?.clone();
        let exception = self.gc_alloc(ty.0 | header::EXN, layout.size)?;
        self.gc()?.heap.set_word(exception + TAG, tag.0);
        for ((value, offset), param) in values.iter().zip(&*layout.offsets).zip(params) {
            let slot = self.rooted_slot(value);
            self.write_slot(exception + offset, param.element_type(), slot);
        }
        Ok(RawExn(exception))
    }

    /// Collects all garbage now.
    ///
    /// # Errors
    ///
    /// Returns the errors of an allocation.
    pub fn collect_garbage(&mut self) -> belljar_core::Result<()> {
        self.collect(true)
    }
}
