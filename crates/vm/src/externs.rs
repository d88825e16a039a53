//! Host values that guests hold references to.

use std::any::Any;
use std::sync::Arc;

/// The host values of a store, by index.
#[derive(Clone, Default)]
pub(crate) struct Externs {
    values: Vec<Option<Arc<dyn Any + Send + Sync>>>,
    free: Vec<u32>,
}

impl std::fmt::Debug for Externs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Externs").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl Externs {
    /// Keeps a value and returns its index.
    pub(crate) fn insert(&mut self, value: Arc<dyn Any + Send + Sync>) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.values[index as usize] = Some(value);
                index
            }
            None => {
                self.values.push(Some(value));
                self.values.len() as u32 - 1
            }
        }
    }

    /// Returns the value at an index for writing.
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut Arc<dyn Any + Send + Sync>> {
        self.values.get_mut(index as usize)?.as_mut()
    }

    /// Returns whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.iter().all(Option::is_none)
    }

    /// Returns the value at an index.
    pub(crate) fn get(&self, index: u32) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.values.get(index as usize)?.as_ref()
    }

    /// Removes a value and returns it.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Arc<dyn Any + Send + Sync>> {
        let value = self.values.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }
}
