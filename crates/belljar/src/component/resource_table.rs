//! Values of the host's for its resources.

use super::Resource;
use slab::Slab;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The values that the host keeps for its resources: maps a [`Resource<T>`] to a `T`.
///
/// A resource can have children, such as the streams of a file. It is kept as long as it has any, so a child can always
/// use it.
///
/// ```
/// use belljar::component::{ResourceTable, ResourceTableError};
///
/// let mut table = ResourceTable::new();
/// let file = table.push(String::from("a.txt"))?;
/// let stream = table.push_child(0_u64, &file)?;
/// *table.get_mut(&stream)? += 10;
///
/// // The stream still needs the file.
/// let name = belljar::component::Resource::<String>::new_borrow(file.rep());
/// assert_eq!(table.delete(name), Err(ResourceTableError::HasChildren));
/// assert_eq!(table.delete(stream)?, 10);
/// assert_eq!(table.delete(file)?, "a.txt");
/// # Ok::<(), ResourceTableError>(())
/// ```
pub struct ResourceTable {
    entries: Slab<Entry>,
    max_capacity: usize,
}

struct Entry {
    value: Box<dyn Any + Send>,
    parent: Option<u32>,
    children: BTreeSet<u32>,
}

/// Why a [`ResourceTable`] refused something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ResourceTableError {
    /// The table has as many entries as it may have.
    Full,
    /// There is no such entry. It may have been deleted.
    NotPresent,
    /// The entry is of another type.
    WrongType,
    /// The entry cannot be deleted before its children are.
    HasChildren,
    /// The entry has a parent, or is an ancestor of the one that was to become its parent.
    HasParent,
    /// The entry is no child of the other one.
    NotAChild,
}

impl fmt::Display for ResourceTableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => {
                "the resource table is full: delete resources, or raise the maximum by `set_max_capacity`"
            }
            Self::NotPresent => "there is no such resource in the table: it may have been deleted",
            Self::WrongType => "the resource in the table has another type",
            Self::HasChildren => "the resource has children, which must be deleted first",
            Self::HasParent => "the resource has a parent, or is an ancestor of its new parent",
            Self::NotAChild => "the resource is no child of the other one",
        })
    }
}

impl std::error::Error for ResourceTableError {}

/// The result of an operation on a table.
type Result<T> = std::result::Result<T, ResourceTableError>;

impl ResourceTable {
    /// The largest number of entries of a table for which none is set.
    const DEFAULT_MAX_CAPACITY: usize = 1_000_000;

    /// Creates an empty table.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// Creates an empty table with room for so many entries.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Slab::with_capacity(capacity), max_capacity: Self::DEFAULT_MAX_CAPACITY }
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how many entries the table may have: a million, if nothing else was set.
    pub fn max_capacity(&self) -> usize {
        self.max_capacity
    }

    /// Sets how many entries the table may have. Entries that it has already are kept.
    pub fn set_max_capacity(&mut self, max: usize) {
        self.max_capacity = max;
    }

    fn entry(&self, key: u32) -> Result<&Entry> {
        self.entries.get(key as usize).ok_or(ResourceTableError::NotPresent)
    }

    fn entry_mut(&mut self, key: u32) -> Result<&mut Entry> {
        self.entries.get_mut(key as usize).ok_or(ResourceTableError::NotPresent)
    }

    fn insert(&mut self, value: Box<dyn Any + Send>, parent: Option<u32>) -> Result<u32> {
        if self.entries.len() >= self.max_capacity {
            return Err(ResourceTableError::Full);
        }
        let vacant = self.entries.vacant_entry();
        let key = u32::try_from(vacant.key()).map_err(|_| ResourceTableError::Full)?;
        vacant.insert(Entry { value, parent, children: BTreeSet::new() });
        Ok(key)
    }

    /// Adds a value. Returns the resource that stands for it.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::Full`].
    pub fn push<T: Send + 'static>(&mut self, value: T) -> Result<Resource<T>> {
        Ok(Resource::new_own(self.insert(Box::new(value), None)?))
    }

    /// Adds a value as a child of another resource, which cannot be deleted before it.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::Full`], or [`ResourceTableError::NotPresent`] if there is no such parent.
    pub fn push_child<T: Send + 'static, U: 'static>(
        &mut self,
        value: T,
        parent: &Resource<U>,
    ) -> Result<Resource<T>> {
        self.entry(parent.rep())?;
        let child = self.insert(Box::new(value), Some(parent.rep()))?;
        self.entry_mut(parent.rep())?.children.insert(child);
        Ok(Resource::new_own(child))
    }

    /// Makes an entry a child of another one.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`], or [`ResourceTableError::HasParent`].
    pub fn add_child<T: 'static, U: 'static>(
        &mut self,
        child: Resource<T>,
        parent: Resource<U>,
    ) -> Result<()> {
        let (child, parent) = (child.rep(), parent.rep());
        if self.entry(child)?.parent.is_some() {
            return Err(ResourceTableError::HasParent);
        }
        let mut ancestor = Some(parent);
        while let Some(key) = ancestor {
            if key == child {
                return Err(ResourceTableError::HasParent);
            }
            ancestor = self.entry(key)?.parent;
        }
        self.entry_mut(parent)?.children.insert(child);
        self.entry_mut(child)?.parent = Some(parent);
        Ok(())
    }

    /// Makes a child an entry without a parent.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`], or [`ResourceTableError::NotAChild`].
    pub fn remove_child<T: 'static, U: 'static>(
        &mut self,
        child: Resource<T>,
        parent: Resource<U>,
    ) -> Result<()> {
        let (child, parent) = (child.rep(), parent.rep());
        if self.entry(child)?.parent != Some(parent) {
            return Err(ResourceTableError::NotAChild);
        }
        self.entry_mut(parent)?.children.remove(&child);
        self.entry_mut(child)?.parent = None;
        Ok(())
    }

    /// Returns the value of a resource.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`], or [`ResourceTableError::WrongType`].
    pub fn get<T: Any>(&self, key: &Resource<T>) -> Result<&T> {
        self.entry(key.rep())?.value.downcast_ref().ok_or(ResourceTableError::WrongType)
    }

    /// Returns the value of a resource.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`], or [`ResourceTableError::WrongType`].
    pub fn get_mut<T: Any>(&mut self, key: &Resource<T>) -> Result<&mut T> {
        self.entry_mut(key.rep())?.value.downcast_mut().ok_or(ResourceTableError::WrongType)
    }

    /// Returns the value of a resource of any type, by what stands for it ([`Resource::rep`]).
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`].
    pub fn get_any_mut(&mut self, key: u32) -> Result<&mut dyn Any> {
        Ok(&mut *self.entry_mut(key)?.value)
    }

    /// Takes a value out of the table.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`], [`ResourceTableError::WrongType`], or
    /// [`ResourceTableError::HasChildren`]. The entry is then kept.
    pub fn delete<T: Any>(&mut self, resource: Resource<T>) -> Result<T> {
        let key = resource.rep();
        let entry = self.entry(key)?;
        if !entry.value.is::<T>() {
            return Err(ResourceTableError::WrongType);
        }
        if !entry.children.is_empty() {
            return Err(ResourceTableError::HasChildren);
        }
        let parent = entry.parent;
        let entry = self.entries.try_remove(key as usize).ok_or(ResourceTableError::NotPresent)?;
        if let Some(parent) = parent {
            self.entry_mut(parent)?.children.remove(&key);
        }
        entry.value.downcast().map(|value| *value).map_err(|_| ResourceTableError::WrongType)
    }

    /// Returns the values of these entries, each with what the map has for it, in the order of the keys.
    pub fn iter_entries<T>(
        &mut self,
        map: BTreeMap<u32, T>,
    ) -> impl Iterator<Item = (Result<&mut dyn Any>, T)> {
        let mut entries = self.entries.iter_mut().peekable();
        map.into_iter().map(move |(key, of)| {
            while entries.next_if(|(at, _)| *at < key as usize).is_some() {}
            let entry = entries.next_if(|(at, _)| *at == key as usize);
            let value = entry.map(|(_, entry)| -> &mut dyn Any { &mut *entry.value });
            (value.ok_or(ResourceTableError::NotPresent), of)
        })
    }

    /// Returns the values of the children of an entry.
    ///
    /// # Errors
    ///
    /// Returns [`ResourceTableError::NotPresent`].
    pub fn iter_children<T: 'static>(
        &self,
        parent: &Resource<T>,
    ) -> Result<impl Iterator<Item = &(dyn Any + Send)> + use<'_, T>> {
        let children = self.entry(parent.rep())?.children.iter();
        Ok(children.filter_map(|child| Some(&*self.entries.get(*child as usize)?.value)))
    }

    /// Returns the values of all entries.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut (dyn Any + Send)> {
        self.entries.iter_mut().map(|(_, entry)| &mut *entry.value)
    }
}

impl Default for ResourceTable {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ResourceTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|(key, _)| key)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::ResourceTableError::*;
    use super::*;

    fn borrow<T: 'static>(resource: &Resource<T>) -> Resource<T> {
        Resource::new_borrow(resource.rep())
    }

    #[test]
    fn values_are_kept_until_they_are_deleted() {
        let mut table = ResourceTable::new();
        assert!(table.is_empty());
        let (a, b) = (table.push(1_u8).unwrap(), table.push("b").unwrap());
        *table.get_mut(&a).unwrap() += 1;
        assert_eq!((table.get(&a), table.get(&b)), (Ok(&2), Ok(&"b")));
        assert_eq!(table.get_any_mut(b.rep()).unwrap().downcast_mut::<&str>(), Some(&mut "b"));
        assert_eq!(format!("{table:?}"), "[0, 1]");
        assert_eq!(table.delete(borrow(&a)), Ok(2));
        assert_eq!(table.get(&a), Err(NotPresent));
        assert_eq!(table.delete(a), Err(NotPresent));
        // What is refused stays.
        assert_eq!(table.delete(Resource::<u8>::new_own(b.rep())), Err(WrongType));
        assert_eq!(table.get_mut(&Resource::<u8>::new_own(b.rep())), Err(WrongType));
        assert_eq!(table.delete(b), Ok("b"));
        assert!(table.is_empty());
        assert_eq!(table.get_any_mut(u32::MAX).err(), Some(NotPresent));
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut table = ResourceTable::with_capacity(4);
        assert_eq!(table.max_capacity(), 1_000_000);
        table.set_max_capacity(2);
        let a = table.push(()).unwrap();
        table.push(()).unwrap();
        assert_eq!(table.push(()).err(), Some(Full));
        assert_eq!(table.push_child((), &a).err(), Some(Full));
        assert_eq!(table.iter_children(&a).unwrap().count(), 0);
        table.delete(a).unwrap();
        table.push(()).unwrap();
    }

    #[test]
    fn parents_outlive_their_children() {
        let mut table = ResourceTable::new();
        let parent = table.push(1_u32).unwrap();
        let child = table.push_child(2_u32, &parent).unwrap();
        let other = table.push(3_u32).unwrap();
        assert_eq!(table.delete(borrow(&parent)), Err(HasChildren));
        assert_eq!(table.add_child(borrow(&child), borrow(&other)), Err(HasParent));
        assert_eq!(table.remove_child(borrow(&child), borrow(&other)), Err(NotAChild));
        // No circles, which could never be deleted.
        assert_eq!(table.add_child(borrow(&parent), borrow(&child)), Err(HasParent));
        assert_eq!(table.add_child(borrow(&other), borrow(&other)), Err(HasParent));
        assert_eq!(table.add_child(borrow(&other), borrow(&child)), Ok(()));
        let grandchildren = table.iter_children(&child).unwrap().map(|value| value.downcast_ref::<u32>());
        assert_eq!(grandchildren.collect::<Vec<_>>(), [Some(&3)]);
        assert_eq!(table.remove_child(borrow(&other), borrow(&child)), Ok(()));
        assert_eq!(table.delete(child), Ok(2));
        assert_eq!(table.delete(borrow(&parent)), Ok(1));
        assert_eq!(table.push_child((), &parent).err(), Some(NotPresent));
        assert_eq!(table.iter_mut().count(), 1);
    }

    #[test]
    fn chosen_entries_are_found_in_one_walk() {
        let mut table = ResourceTable::new();
        let all: Vec<_> = (0..5_u32).map(|i| table.push(i * 10).unwrap()).collect();
        table.delete(borrow(&all[2])).unwrap();
        let wanted = BTreeMap::from([(0, 'a'), (2, 'b'), (3, 'c'), (9, 'd')]);
        let found = table
            .iter_entries(wanted)
            .map(|(value, of)| (value.ok().and_then(|v| v.downcast_ref().copied()), of));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [(Some(0_u32), 'a'), (None, 'b'), (Some(30), 'c'), (None, 'd')]
        );
    }
}
