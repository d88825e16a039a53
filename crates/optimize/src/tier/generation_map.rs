//! A map with small integer keys that is cleared in constant time.

/// Holds a value for each index until [`GenerationMap::clear`]. A workspace keeps its maps from function to function,
/// so that looking up what a function has already imported allocates nothing.
#[derive(Debug)]
pub(crate) struct GenerationMap<T> {
    generation: u32,
    slots: Vec<(u32, T)>,
}

impl<T> Default for GenerationMap<T> {
    fn default() -> Self {
        Self { generation: 1, slots: Vec::new() }
    }
}

impl<T: Copy + Default> GenerationMap<T> {
    pub(crate) fn get(&self, index: usize) -> Option<T> {
        self.slots.get(index).filter(|(generation, _)| *generation == self.generation).map(|(_, v)| *v)
    }

    pub(crate) fn set(&mut self, index: usize, value: T) {
        if index >= self.slots.len() {
            self.slots.resize(index + 1, (0, T::default()));
        }
        self.slots[index] = (self.generation, value);
    }

    pub(crate) fn clear(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or_else(|| {
            self.slots.clear();
            1
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_forgets_all_entries() {
        let mut map = GenerationMap::<u32>::default();
        assert_eq!(map.get(0), None);
        map.set(5, 7);
        assert_eq!((map.get(5), map.get(4)), (Some(7), None));
        map.clear();
        assert_eq!(map.get(5), None);
    }
}
