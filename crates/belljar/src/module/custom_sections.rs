//! The custom sections of a module.

use super::Module;

/// A custom section of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomSection<'a> {
    name: &'a str,
    data: &'a [u8],
}

impl<'a> CustomSection<'a> {
    /// Returns the section's name. Names need not be unique.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the section's contents.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// The custom sections of a module, in order: see [`Module::custom_sections`].
#[derive(Clone, Debug)]
pub struct CustomSectionsIter<'a> {
    module: &'a Module,
    next: usize,
}

impl<'a> Iterator for CustomSectionsIter<'a> {
    type Item = CustomSection<'a>;

    fn next(&mut self) -> Option<CustomSection<'a>> {
        let (described, image) = (self.module.described(), self.module.code().code_image());
        loop {
            let (name, range) = described.custom_sections().get(self.next)?;
            self.next += 1;
            let data = described.custom_section_bytes(range);
            if image.load_part(data).is_ok() {
                return Some(CustomSection { name, data });
            }
        }
    }
}

impl std::iter::FusedIterator for CustomSectionsIter<'_> {}

/// Custom sections.
impl Module {
    /// Returns the custom sections, in order. For a module from an artifact file, damaged sections are omitted. With
    /// [`Config::ignore_custom_sections`](crate::Config::ignore_custom_sections) there are none.
    pub fn custom_sections(&self) -> CustomSectionsIter<'_> {
        let described = self.described();
        let skipped = if self.engine().config().rules.custom_sections { 0 } else { usize::MAX };
        CustomSectionsIter { module: self, next: skipped.min(described.custom_sections().len()) }
    }

    /// Returns the contents of the custom sections of this name, in order, as [`Module::custom_sections`] does.
    pub fn custom_sections_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.custom_sections().filter(move |section| section.name == name).map(|section| section.data)
    }

    /// Returns the names of the custom sections, in order.
    pub(crate) fn custom_section_names(&self) -> impl Iterator<Item = &str> {
        self.described().custom_sections().iter().map(|(name, _)| &**name)
    }
}
