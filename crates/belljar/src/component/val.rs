use super::resource::ResourceAny;

/// A value of a component whose type is known only at run time.
pub type Val = belljar_component::Val<ResourceAny>;
