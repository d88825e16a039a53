//! The features beyond WebAssembly 1.0 that a module needs: a table of features, and what in a module requires each.

use super::encoding;
use wasmparser::{
    AbstractHeapType, BlockType, BrTable, CompositeInnerType, ConstExpr, FieldType, GlobalType, HeapType,
    Ieee32, Ieee64, MemArg, MemArgTarget, MemoryType, Operator, Ordering, RecGroup, RefType, ResumeTable,
    StorageType, SubType, TableType, TryTable, V128, ValType,
};

/// The status of a feature in the specification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum SpecStatus {
    /// Part of version 2.0.
    V2,
    /// Part of version 3.0.
    V3,
    /// A proposal, including abandoned ones.
    Proposal,
}

macro_rules! features {
    ($($variant:ident $name:literal $status:ident;)*) => {
        /// A feature beyond WebAssembly 1.0.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(super) enum Feature {
            $($variant,)*
        }

        impl Feature {
            /// All features, in the order of the table.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name of its proposal.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn status(self) -> SpecStatus {
                match self {
                    $(Self::$variant => SpecStatus::$status,)*
                }
            }
        }
    };
}

features! {
    SignExtension "sign-extension" V2;
    FloatToInt "nontrapping-float-to-int" V2;
    MultiValue "multi-value" V2;
    BulkMemory "bulk-memory" V2;
    ReferenceTypes "reference-types" V2;
    Simd "simd" V2;
    RelaxedSimd "relaxed-simd" V3;
    TailCall "tail-call" V3;
    ExtendedConst "extended-const" V3;
    Exceptions "exceptions" V3;
    FunctionReferences "function-references" V3;
    Gc "gc" V3;
    MultiMemory "multi-memory" V3;
    Memory64 "memory64" V3;
    LegacyExceptions "legacy-exceptions" Proposal;
    Threads "threads" Proposal;
    CustomPageSizes "custom-page-sizes" Proposal;
    MemoryControl "memory-control" Proposal;
    SharedEverything "shared-everything-threads" Proposal;
    AcquireRelease "acquire-release-atomics" Proposal;
    StackSwitching "stack-switching" Proposal;
    WideArithmetic "wide-arithmetic" Proposal;
    CompactImports "compact-imports" Proposal;
    CustomDescriptors "custom-descriptors" Proposal;
    MultibyteArrayAccess "multibyte-array-access" Proposal;
}

impl Feature {
    /// Returns whether the engine supports it. A test compares this with the engine.
    pub(super) fn is_supported(self) -> bool {
        let decided = [
            Self::LegacyExceptions,
            Self::Threads,
            Self::CustomPageSizes,
            Self::WideArithmetic,
            Self::CompactImports,
        ];
        self.status() != SpecStatus::Proposal || decided.contains(&self)
    }
}

/// The feature that each group of operators in `wasmparser`'s table requires.
#[allow(non_upper_case_globals)]
mod group {
    use super::Feature;

    pub(super) const mvp: Option<Feature> = None;
    pub(super) const sign_extension: Option<Feature> = Some(Feature::SignExtension);
    pub(super) const saturating_float_to_int: Option<Feature> = Some(Feature::FloatToInt);
    pub(super) const bulk_memory: Option<Feature> = Some(Feature::BulkMemory);
    pub(super) const reference_types: Option<Feature> = Some(Feature::ReferenceTypes);
    pub(super) const simd: Option<Feature> = Some(Feature::Simd);
    pub(super) const relaxed_simd: Option<Feature> = Some(Feature::RelaxedSimd);
    pub(super) const tail_call: Option<Feature> = Some(Feature::TailCall);
    pub(super) const exceptions: Option<Feature> = Some(Feature::Exceptions);
    pub(super) const legacy_exceptions: Option<Feature> = Some(Feature::LegacyExceptions);
    pub(super) const function_references: Option<Feature> = Some(Feature::FunctionReferences);
    pub(super) const gc: Option<Feature> = Some(Feature::Gc);
    pub(super) const threads: Option<Feature> = Some(Feature::Threads);
    pub(super) const memory_control: Option<Feature> = Some(Feature::MemoryControl);
    pub(super) const shared_everything_threads: Option<Feature> = Some(Feature::SharedEverything);
    pub(super) const acquire_release_atomics: Option<Feature> = Some(Feature::AcquireRelease);
    pub(super) const stack_switching: Option<Feature> = Some(Feature::StackSwitching);
    pub(super) const wide_arithmetic: Option<Feature> = Some(Feature::WideArithmetic);
    pub(super) const custom_descriptors: Option<Feature> = Some(Feature::CustomDescriptors);
}

/// The features that an operand requires, independent of the operator.
trait Operand {
    /// Adds the features to `out`; `bytes` are those of all operands of the operator.
    fn add_features(&self, _bytes: &[u8], _out: &mut FeatureSet) {}
}

macro_rules! plain_operands {
    ($($ty:ty),*) => {
        $(impl Operand for $ty {})*
    };
}
plain_operands!(u8, u32, i32, i64, Ieee32, Ieee64, V128, [u8; 16], BrTable<'_>, ResumeTable);

impl Operand for BlockType {
    fn add_features(&self, _: &[u8], out: &mut FeatureSet) {
        match self {
            BlockType::FuncType(_) => out.insert(Feature::MultiValue),
            BlockType::Type(ty) => out.val_type(*ty),
            BlockType::Empty => {}
        }
    }
}

impl Operand for TryTable {
    fn add_features(&self, bytes: &[u8], out: &mut FeatureSet) {
        self.ty.add_features(bytes, out);
    }
}

impl Operand for ValType {
    fn add_features(&self, _: &[u8], out: &mut FeatureSet) {
        out.val_type(*self);
    }
}

impl Operand for Vec<ValType> {
    fn add_features(&self, _: &[u8], out: &mut FeatureSet) {
        self.iter().for_each(|ty| out.val_type(*ty));
    }
}

impl Operand for RefType {
    fn add_features(&self, _: &[u8], out: &mut FeatureSet) {
        out.ref_type(*self);
    }
}

impl Operand for HeapType {
    fn add_features(&self, _: &[u8], out: &mut FeatureSet) {
        out.heap_type(*self);
    }
}

impl Operand for Ordering {
    fn add_features(&self, _: &[u8], out: &mut FeatureSet) {
        if matches!(self, Ordering::AcqRel) {
            out.insert(Feature::AcquireRelease);
        }
    }
}

// A `MemArg` is always the first operand.
impl Operand for MemArg {
    fn add_features(&self, bytes: &[u8], out: &mut FeatureSet) {
        if encoding::names_memory(bytes) {
            out.insert(Feature::MultiMemory);
        }
        if self.ordering.is_some() {
            out.insert(Feature::AcquireRelease);
        }
        if matches!(self.target, MemArgTarget::Array(_)) {
            out.insert(Feature::MultibyteArrayAccess);
        }
    }
}

macro_rules! define_add_operator_features {
    ($(@$group:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        /// Adds the features that an operator and its operands require.
        fn add_operator_features(op: &Operator<'_>, bytes: &[u8], out: &mut FeatureSet) {
            match op {
                $(Operator::$op $({ $($arg),* })? => {
                    group::$group.into_iter().for_each(|feature| out.insert(feature));
                    $($($arg.add_features(bytes, out);)*)?
                })*
                _ => {}
            }
        }
    };
}
wasmparser::for_each_operator!(define_add_operator_features);

/// A set of features.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct FeatureSet(u32);

impl FeatureSet {
    pub(super) fn insert(&mut self, feature: Feature) {
        self.0 |= 1 << feature as u32;
    }

    /// Returns the features in the order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = Feature> + '_ {
        Feature::ALL.iter().copied().filter(|f| self.0 & (1 << *f as u32) != 0)
    }

    /// Adds the features of an operator with this encoding.
    pub(super) fn operator(&mut self, op: &Operator<'_>, bytes: &[u8]) {
        let operands = encoding::operands(bytes);
        add_operator_features(op, operands, self);
        if let Operator::RefTestNonNull { .. } | Operator::RefCastNonNull { .. } = op {
            self.insert(Feature::FunctionReferences);
        }
        if encoding::has_long_table_index(op, operands) {
            self.insert(Feature::ReferenceTypes);
        }
        if encoding::has_long_memory_index(op, operands) {
            self.insert(Feature::MultiMemory);
        }
    }

    /// Adds the features of a constant expression in a module with this number of imported globals.
    pub(super) fn const_expr(&mut self, expr: &ConstExpr<'_>, imported: u32) -> wasmparser::Result<()> {
        for op in expr.get_operators_reader() {
            let op = op?;
            add_operator_features(&op, &[], self);
            match op {
                Operator::I32Add
                | Operator::I32Sub
                | Operator::I32Mul
                | Operator::I64Add
                | Operator::I64Sub
                | Operator::I64Mul => self.insert(Feature::ExtendedConst),
                Operator::GlobalGet { global_index } if global_index >= imported => {
                    self.insert(Feature::Gc);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Adds the features of a recursion group whose first type has this index.
    pub(super) fn rec_group(&mut self, first: u32, group: &RecGroup) {
        if group.is_explicit_rec_group() || group.types().any(|ty| is_recursive(first, ty)) {
            self.insert(Feature::Gc);
        }
        group.types().for_each(|ty| self.sub_type(ty));
    }

    fn sub_type(&mut self, ty: &SubType) {
        if !ty.is_final || !ty.supertype_idxs.is_empty() {
            self.insert(Feature::Gc);
        }
        let composite = &ty.composite_type;
        if composite.shared {
            self.insert(Feature::SharedEverything);
        }
        if composite.descriptor_idx.is_some() || composite.describes_idx.is_some() {
            self.insert(Feature::CustomDescriptors);
        }
        match &composite.inner {
            CompositeInnerType::Func(func) => {
                if func.results().len() > 1 {
                    self.insert(Feature::MultiValue);
                }
                func.params().iter().chain(func.results()).for_each(|ty| self.val_type(*ty));
            }
            CompositeInnerType::Array(array) => self.fields(std::slice::from_ref(&array.0)),
            CompositeInnerType::Struct(ty) => self.fields(&ty.fields),
            CompositeInnerType::Cont(_) => self.insert(Feature::StackSwitching),
        }
    }

    fn fields(&mut self, fields: &[FieldType]) {
        self.insert(Feature::Gc);
        for field in fields {
            if let StorageType::Val(ty) = field.element_type {
                self.val_type(ty);
            }
        }
    }

    pub(super) fn val_type(&mut self, ty: ValType) {
        match ty {
            ValType::V128 => self.insert(Feature::Simd),
            ValType::Ref(ty) => self.ref_type(ty),
            _ => {}
        }
    }

    /// Adds the features of a reference type used for anything but a table of functions.
    pub(super) fn ref_type(&mut self, ty: RefType) {
        self.heap_type(ty.heap_type());
        if !ty.is_nullable() {
            self.insert(Feature::FunctionReferences);
        }
    }

    fn heap_type(&mut self, ty: HeapType) {
        // All later reference features build on this one.
        self.insert(Feature::ReferenceTypes);
        match ty {
            HeapType::Concrete(_) => self.insert(Feature::FunctionReferences),
            HeapType::Exact(_) => self.insert(Feature::CustomDescriptors),
            HeapType::Abstract { shared, ty } => {
                if shared {
                    self.insert(Feature::SharedEverything);
                }
                match ty {
                    AbstractHeapType::Func | AbstractHeapType::Extern => {}
                    AbstractHeapType::Exn | AbstractHeapType::NoExn => self.insert(Feature::Exceptions),
                    AbstractHeapType::Cont | AbstractHeapType::NoCont => {
                        self.insert(Feature::StackSwitching);
                    }
                    _ => self.insert(Feature::Gc),
                }
            }
        }
    }

    pub(super) fn global(&mut self, ty: GlobalType) {
        self.val_type(ty.content_type);
        if ty.shared {
            self.insert(Feature::SharedEverything);
        }
    }

    pub(super) fn table(&mut self, index: usize, ty: &TableType) {
        if ty.table64 {
            self.insert(Feature::Memory64);
        }
        if ty.shared {
            self.insert(Feature::SharedEverything);
        }
        if index > 0 || ty.element_type != RefType::FUNCREF {
            self.ref_type(ty.element_type);
        }
    }

    pub(super) fn memory(&mut self, index: usize, ty: &MemoryType) {
        let used = [
            (ty.memory64, Feature::Memory64),
            (ty.shared, Feature::Threads),
            (ty.page_size_log2.is_some(), Feature::CustomPageSizes),
            (index > 0, Feature::MultiMemory),
        ];
        used.iter().filter(|(used, _)| *used).for_each(|(_, feature)| self.insert(*feature));
    }
}

/// Returns whether a function type refers to its own group, whose first type has this index.
fn is_recursive(first: u32, ty: &SubType) -> bool {
    let CompositeInnerType::Func(func) = &ty.composite_type.inner else { return false };
    let refers = |ty: &ValType| match ty {
        ValType::Ref(ty) => ty.type_index().and_then(|index| index.as_module_index()) >= Some(first),
        _ => false,
    };
    func.params().iter().chain(func.results()).any(refers)
}
