//! The runtime's and the host's access to objects. Types and bounds are checked by the functions here; the store checks
//! references.

use crate::interrupt::{STRIDE, strides};
use crate::store::StoreCore;
use crate::store_mut::StoreMut;
use belljar_abi::gc::{ELEMENTS, FIELDS, LENGTH, header};
use belljar_core::{
    CompositeType, Context, Counted, DataIndex, FieldType, InstanceId, RawVal, StorageType, Trap, TypeId,
    ValType,
};

impl StoreCore {
    /// Returns the type of an object; `None` for null, small integers and host values.
    pub(crate) fn object_type(&self, reference: u32) -> Option<TypeId> {
        if reference == 0 || reference & 1 != 0 {
            return None;
        }
        let head = self.heap.gc.as_ref()?.heap.word(reference);
        (head & (header::EXTERN | header::EXN) == 0).then_some(TypeId(head & header::TYPE))
    }

    /// Returns the header of an object, which is neither null nor a small integer.
    pub(crate) fn object_header(&self, reference: u32) -> u32 {
        self.heap.gc.as_ref().map_or(0, |gc| gc.heap.word(reference))
    }

    /// Returns the length of an array.
    pub(crate) fn array_length(&self, array: u32) -> u32 {
        self.heap.gc.as_ref().map_or(0, |gc| gc.heap.word(array + LENGTH))
    }

    fn struct_fields(&self, ty: TypeId) -> Vec<FieldType> {
        match self.runtime.types.ty(ty).as_ref().map(|ty| &ty.composite) {
            Some(CompositeType::Struct(ty)) => ty.fields().to_vec(),
            _ => Vec::new(),
        }
    }

    /// Returns the number of fields that structs of a type have.
    pub(crate) fn field_count(&self, ty: TypeId) -> usize {
        self.struct_fields(ty).len()
    }

    /// Returns the offset and the type of a field of a struct.
    ///
    /// # Errors
    ///
    /// Returns an error if the struct has no such field.
    pub(crate) fn field(&mut self, object: u32, field: usize) -> belljar_core::Result<(u32, FieldType)> {
        self.gc()?;
        let ty = self.object_type(object).context("belljar bug: not a struct")?;
        let fields = self.struct_fields(ty);
        let found = fields.get(field).copied();
        let found = found.with_context(|| {
            format!("the struct has {}, and no field {field}", Counted::of(fields.len(), "field"))
        })?;
        let layout = self.gc()?.shapes.fields(ty).context("belljar bug: not a struct")?;
        Ok((object + layout.offsets[field], found))
    }

    /// Writes a field.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::field`].
    pub(crate) fn write_field(
        &mut self,
        object: u32,
        field: usize,
        value: RawVal,
    ) -> belljar_core::Result<()> {
        let (slot, ty) = self.field(object, field)?;
        self.write_slot(slot, ty.element_type(), value);
        Ok(())
    }

    /// Returns the offset and the type of an element of an array.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::ArrayOutOfBounds`].
    pub(crate) fn element(&mut self, array: u32, index: u32) -> belljar_core::Result<(u32, FieldType)> {
        let (slot, _) = self.array_range(array, index, 1)?;
        let ty = self.object_type(array).context("belljar bug: not an array")?;
        match self.runtime.types.ty(ty).as_ref().map(|ty| &ty.composite) {
            Some(CompositeType::Array(ty)) => Ok((slot, ty.field_type())),
            _ => belljar_core::bail!("belljar bug: not an array"),
        }
    }

    /// Writes an element.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::element`].
    pub(crate) fn write_element(
        &mut self,
        array: u32,
        index: u32,
        value: RawVal,
    ) -> belljar_core::Result<()> {
        let (slot, ty) = self.element(array, index)?;
        self.write_slot(slot, ty.element_type(), value);
        Ok(())
    }

    /// Reads a value of an object; packed values are zero-extended.
    pub(crate) fn read_slot(&self, slot: u32, storage: StorageType) -> RawVal {
        let Some(gc) = &self.heap.gc else { return RawVal::default() };
        let mut bytes = [0; 16];
        let size = storage.size();
        bytes[..size as usize].copy_from_slice(gc.heap.bytes(slot, size));
        RawVal::from_v128(u128::from_le_bytes(bytes))
    }

    /// Writes a value of an object.
    pub(crate) fn write_slot(&mut self, slot: u32, storage: StorageType, value: RawVal) {
        let Some(gc) = &mut self.heap.gc else { return };
        let size = storage.size();
        gc.heap.bytes_mut(slot, size).copy_from_slice(&value.v128().to_le_bytes()[..size as usize]);
        if matches!(storage, StorageType::Val(ValType::Ref(_))) {
            gc.heap.dirty(slot, size);
        }
    }

    /// Returns the offset of a range of an array's elements, and its size in bytes.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::ArrayOutOfBounds`].
    pub(crate) fn array_range(
        &mut self,
        array: u32,
        start: u32,
        length: u32,
    ) -> belljar_core::Result<(u32, u32)> {
        self.gc()?;
        let end = u64::from(start) + u64::from(length);
        if end > u64::from(self.array_length(array)) {
            return Err(Trap::ArrayOutOfBounds.into());
        }
        let ty = self.object_type(array).context("belljar bug: not an array")?;
        let layout = self.gc()?.shapes.array(ty).context("belljar bug: not an array")?;
        Ok((array + ELEMENTS + start * layout.element_size, length * layout.element_size))
    }

    /// Copies between arrays of one element type.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::array_range`].
    pub(crate) fn array_copy(
        &mut self,
        (to, dst): (u32, u32),
        (from, src): (u32, u32),
        length: u32,
    ) -> belljar_core::Result<()> {
        let gc = self.gc()?;
        let fits =
            |array, start| u64::from(start) + u64::from(length) <= u64::from(gc.heap.word(array + LENGTH));
        if !fits(to, dst) || !fits(from, src) {
            return Err(Trap::ArrayOutOfBounds.into());
        }
        let ty = TypeId(gc.heap.word(to) & header::TYPE);
        let layout = gc.shapes.array(ty).context("belljar bug: not an array")?;
        let slot = |array, index| array + ELEMENTS + index * layout.element_size;
        let (source, target, size) = (slot(from, src), slot(to, dst), length * layout.element_size);
        if layout.traced {
            gc.heap.dirty(target, size);
        }
        for piece in strides(size as usize, STRIDE, target > source) {
            self.check_interrupt()?;
            let start = piece.start as u32;
            self.gc()?.heap.copy(source + start, target + start, piece.len() as u32);
        }
        Ok(())
    }

    /// Copies bytes of a data segment over elements of an array.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::array_range`], or [`Trap::MemoryOutOfBounds`] if the segment is too short.
    pub(crate) fn array_init_data(
        &mut self,
        (array, start): (u32, u32),
        length: u32,
        instance: InstanceId,
        (segment, src): (DataIndex, u32),
    ) -> belljar_core::Result<()> {
        let (target, size) = self.array_range(array, start, length)?;
        let (_, bytes) = self.gc_and_data(instance, segment)?;
        data_range(bytes, src, u64::from(size))?;
        self.fill_from_data(target, size, instance, (segment, src))
    }

    /// Copies bytes of a data segment, which is long enough, into an object.
    fn fill_from_data(
        &mut self,
        target: u32,
        size: u32,
        instance: InstanceId,
        (segment, src): (DataIndex, u32),
    ) -> belljar_core::Result<()> {
        for piece in strides(size as usize, STRIDE, false) {
            self.check_interrupt()?;
            let (gc, bytes) = self.gc_and_data(instance, segment)?;
            let part = data_range(bytes, src + piece.start as u32, piece.len() as u64)?;
            gc.heap.bytes_mut(target + piece.start as u32, part.len() as u32).copy_from_slice(part);
        }
        Ok(())
    }

    /// Fills part of an object with zeros.
    pub(crate) fn zero_object(&mut self, start: u32, size: u32) -> belljar_core::Result<()> {
        for piece in strides(size as usize, STRIDE, false) {
            self.check_interrupt()?;
            self.gc()?.heap.zero(start + piece.start as u32, piece.len() as u32);
        }
        Ok(())
    }

    /// Copies items of an element segment over elements of an array.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreCore::array_range`].
    pub(crate) fn array_init_refs(
        &mut self,
        array: u32,
        start: u32,
        items: &[u32],
    ) -> belljar_core::Result<()> {
        let length = u32::try_from(items.len()).map_err(|_| Trap::ArrayOutOfBounds)?;
        let (target, size) = self.array_range(array, start, length)?;
        self.gc()?.heap.dirty(target, size);
        for piece in strides(items.len(), STRIDE / 4, false) {
            self.check_interrupt()?;
            let heap = &mut self.gc()?.heap;
            for i in piece {
                heap.set_word(target + i as u32 * 4, items[i]);
            }
        }
        Ok(())
    }
}

impl StoreMut<'_> {
    /// Allocates a struct of zeros and nulls.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StoreMut::gc_alloc`].
    pub(crate) fn new_struct(&mut self, ty: TypeId) -> belljar_core::Result<u32> {
        let size = self.gc()?.shapes.fields(ty).context("belljar bug: not a struct type")?.size;
        let object = self.gc_alloc(ty.0, size)?;
        self.gc()?.heap.zero(object + FIELDS, size - FIELDS);
        Ok(object)
    }

    /// Allocates an array of the bytes of a data segment.
    ///
    /// # Errors
    ///
    /// Returns [`Trap::MemoryOutOfBounds`] if the segment is too short, or an error as for
    /// [`StoreMut::gc_alloc_array`].
    pub(crate) fn new_array_of_data(
        &mut self,
        ty: TypeId,
        length: u32,
        instance: InstanceId,
        (segment, src): (DataIndex, u32),
    ) -> belljar_core::Result<u32> {
        let (gc, bytes) = self.gc_and_data(instance, segment)?;
        let layout = gc.shapes.array(ty).context("belljar bug: not an array type")?;
        let size = u64::from(length) * u64::from(layout.element_size);
        data_range(bytes, src, size)?;
        let array =
            self.gc_alloc(ty.0 | header::ARRAY, layout.size(length).ok_or(Trap::AllocationTooLarge)?)?;
        self.gc()?.heap.set_word(array + LENGTH, length);
        self.fill_from_data(array + ELEMENTS, size as u32, instance, (segment, src))?;
        Ok(array)
    }
}

/// Returns a range of a data segment's bytes.
fn data_range(bytes: &[u8], src: u32, size: u64) -> belljar_core::Result<&[u8]> {
    let end = usize::try_from(u64::from(src) + size).ok();
    Ok(end.and_then(|end| bytes.get(src as usize..end)).ok_or(Trap::MemoryOutOfBounds)?)
}
