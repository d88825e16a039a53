//! What the collector must know about an object: its size and where its references lie.

use crate::types::TypeRegistry;
use belljar_abi::gc::{ArrayLayout, FieldLayout, header};
use belljar_core::{CompositeType, TypeId};
use std::cell::OnceCell;
use std::sync::Arc;

/// The layout of objects of a type.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A struct, or an exception, whose type is a function type.
    Fields(FieldLayout),
    /// An array.
    Array(ArrayLayout),
    /// A host value.
    Extern,
}

/// The shapes of all objects that a store has used. The store keeps their types registered.
#[derive(Debug)]
pub(crate) struct Shapes {
    rows: Vec<OnceCell<Shape>>,
    types: Arc<TypeRegistry>,
}

impl Shapes {
    pub(crate) fn new(types: &Arc<TypeRegistry>) -> Self {
        Self { rows: Vec::new(), types: types.clone() }
    }

    /// Removes all shapes.
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Makes room for every existing type, so that a collection can look shapes up.
    pub(crate) fn prepare(&mut self) {
        let count = self.types.count();
        if self.rows.len() < count {
            self.rows.resize_with(count, OnceCell::new);
        }
    }

    #[inline]
    fn make_room(&mut self, ty: TypeId) {
        if ty.index() >= self.rows.len() {
            self.prepare();
        }
    }

    /// Returns the shape of objects with this header.
    #[inline]
    pub(crate) fn get(&self, head: u32) -> &Shape {
        if head & header::EXTERN != 0 {
            return &Shape::Extern;
        }
        let i = (head & header::TYPE) as usize;
        // There has been room for it since the first object of the type was allocated, at the latest.
        match self.rows.get(i) {
            Some(row) => row.get_or_init(|| shape(&self.types, TypeId::new(i))),
            None => &Shape::Extern,
        }
    }

    /// Returns the layout of a struct or exception type.
    pub(crate) fn fields(&mut self, ty: TypeId) -> Option<&FieldLayout> {
        self.make_room(ty);
        match self.get(ty.0) {
            Shape::Fields(layout) => Some(layout),
            _ => None,
        }
    }

    /// Returns the layout of an array type.
    pub(crate) fn array(&mut self, ty: TypeId) -> Option<ArrayLayout> {
        self.make_room(ty);
        match self.get(ty.0 | header::ARRAY) {
            Shape::Array(layout) => Some(*layout),
            _ => None,
        }
    }
}

fn shape(types: &TypeRegistry, id: TypeId) -> Shape {
    match types.ty(id).as_ref().map(|ty| &ty.composite) {
        Some(CompositeType::Struct(ty)) => Shape::Fields(FieldLayout::of_struct(ty, types)),
        Some(CompositeType::Func(ty)) => Shape::Fields(FieldLayout::of_exception(ty, types)),
        Some(CompositeType::Array(ty)) => Shape::Array(ArrayLayout::new(ty, types)),
        None => Shape::Extern,
    }
}
