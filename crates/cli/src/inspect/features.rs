//! The features beyond WebAssembly 1.0 that a module uses: one table, and what shows that each is used.

use wasmparser::{
    AbstractHeapType, BlockType, CompositeInnerType, ConstExpr, HeapType, MemoryType, Operator, RefType,
    SubType, TableType, ValType,
};

/// Where a feature stands in the specification.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Edition {
    /// Part of version 2.0.
    V2,
    /// Part of version 3.0.
    V3,
    /// A proposal, or given up.
    Proposal,
}

macro_rules! features {
    ($($variant:ident $name:literal $edition:ident;)*) => {
        /// A feature beyond WebAssembly 1.0.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub(super) enum Feature {
            $($variant,)*
        }

        impl Feature {
            /// All of them, in the order of the table.
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name that its proposal goes by.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            fn edition(self) -> Edition {
                match self {
                    $(Self::$variant => Edition::$edition,)*
                }
            }
        }
    };
}

features! {
    MutableGlobal "mutable-global" V2;
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
    CustomDescriptors "custom-descriptors" Proposal;
}

impl Feature {
    /// Whether the engine has it. A test asks the engine.
    pub(super) fn is_supported(self) -> bool {
        let decided = [Self::LegacyExceptions, Self::Threads, Self::CustomPageSizes, Self::WideArithmetic];
        self.edition() != Edition::Proposal || decided.contains(&self)
    }
}

/// The feature that an operator of each group of `wasmparser`'s table needs.
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

macro_rules! define_feature_of_operator {
    ($(@$group:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        /// The feature that an operator needs by itself, whatever its operands.
        fn feature_of_operator(op: &Operator<'_>) -> Option<Feature> {
            match op {
                $(Operator::$op { .. } => group::$group,)*
                _ => None,
            }
        }
    };
}
wasmparser::for_each_operator!(define_feature_of_operator);

/// A set of features.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct FeatureSet(u32);

impl FeatureSet {
    pub(super) fn insert(&mut self, feature: Feature) {
        self.0 |= 1 << feature as u32;
    }

    /// In the order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = Feature> + '_ {
        Feature::ALL.iter().copied().filter(|f| self.0 & (1 << *f as u32) != 0)
    }

    pub(super) fn operator(&mut self, op: &Operator<'_>) {
        if let Some(feature) = feature_of_operator(op) {
            self.insert(feature);
        }
        let (Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty }) = op else {
            return;
        };
        match blockty {
            BlockType::FuncType(_) => self.insert(Feature::MultiValue),
            BlockType::Type(ty) => self.val_type(*ty),
            BlockType::Empty => {}
        }
    }

    pub(super) fn const_expr(&mut self, expr: &ConstExpr<'_>) -> wasmparser::Result<()> {
        for op in expr.get_operators_reader() {
            let op = op?;
            self.operator(&op);
            let is_arithmetic = matches!(
                op,
                Operator::I32Add
                    | Operator::I32Sub
                    | Operator::I32Mul
                    | Operator::I64Add
                    | Operator::I64Sub
                    | Operator::I64Mul
            );
            if is_arithmetic {
                self.insert(Feature::ExtendedConst);
            }
        }
        Ok(())
    }

    pub(super) fn sub_type(&mut self, ty: &SubType) {
        if !ty.is_final || !ty.supertype_idxs.is_empty() {
            self.insert(Feature::Gc);
        }
        match &ty.composite_type.inner {
            CompositeInnerType::Func(func) => {
                if func.results().len() > 1 {
                    self.insert(Feature::MultiValue);
                }
                func.params().iter().chain(func.results()).for_each(|ty| self.val_type(*ty));
            }
            CompositeInnerType::Array(_) | CompositeInnerType::Struct(_) => self.insert(Feature::Gc),
            CompositeInnerType::Cont(_) => self.insert(Feature::StackSwitching),
        }
    }

    pub(super) fn val_type(&mut self, ty: ValType) {
        match ty {
            ValType::V128 => self.insert(Feature::Simd),
            ValType::Ref(ty) => self.ref_type(ty),
            _ => {}
        }
    }

    /// A reference type used for anything but a table of functions.
    pub(super) fn ref_type(&mut self, ty: RefType) {
        self.insert(match ty.heap_type() {
            HeapType::Concrete(_) => Feature::FunctionReferences,
            HeapType::Exact(_) => Feature::CustomDescriptors,
            HeapType::Abstract { ty: AbstractHeapType::Func | AbstractHeapType::Extern, .. } => {
                Feature::ReferenceTypes
            }
            HeapType::Abstract { ty: AbstractHeapType::Exn | AbstractHeapType::NoExn, .. } => {
                Feature::Exceptions
            }
            HeapType::Abstract { ty: AbstractHeapType::Cont | AbstractHeapType::NoCont, .. } => {
                Feature::StackSwitching
            }
            HeapType::Abstract { .. } => Feature::Gc,
        });
        if !ty.is_nullable() {
            self.insert(Feature::FunctionReferences);
        }
    }

    pub(super) fn table(&mut self, index: usize, ty: &TableType) {
        if ty.table64 {
            self.insert(Feature::Memory64);
        }
        if index > 0 || ty.element_type != RefType::FUNCREF {
            self.insert(Feature::ReferenceTypes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use belljar::{Engine, Module};

    /// The smallest modules that use one feature each.
    const PROBES: &[(Feature, &str)] = &[
        (Feature::MutableGlobal, r#"(module (global (export "g") (mut i32) (i32.const 0)))"#),
        (Feature::SignExtension, "(module (func (drop (i32.extend8_s (i32.const 1)))))"),
        (Feature::FloatToInt, "(module (func (drop (i32.trunc_sat_f32_s (f32.const 1)))))"),
        (Feature::MultiValue, "(module (func (result i32 i32) i32.const 1 i32.const 2))"),
        (Feature::BulkMemory, r#"(module (memory 1) (data "x"))"#),
        (Feature::ReferenceTypes, "(module (func (param externref)))"),
        (Feature::Simd, "(module (func (param v128)))"),
        (
            Feature::RelaxedSimd,
            "(module (func (param v128) (result v128)
            (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
        ),
        (Feature::TailCall, "(module (func $f (return_call $f)))"),
        (Feature::ExtendedConst, "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
        (Feature::Exceptions, "(module (tag $t) (func (throw $t)))"),
        (Feature::FunctionReferences, "(module (type $t (func)) (func (param (ref null $t))))"),
        (Feature::Gc, "(module (type (struct)))"),
        (Feature::MultiMemory, "(module (memory 1) (memory 1))"),
        (Feature::Memory64, "(module (memory i64 1))"),
        (Feature::LegacyExceptions, "(module (func try catch_all end))"),
        (Feature::Threads, "(module (memory 1 1 shared))"),
        (Feature::CustomPageSizes, "(module (memory 1 (pagesize 1)))"),
        (
            Feature::WideArithmetic,
            "(module (func (param i64) (result i64 i64)
            (i64.mul_wide_u (local.get 0) (local.get 0))))",
        ),
    ];

    #[test]
    fn probes_are_found_and_the_engine_agrees_about_what_it_has() {
        let engine = Engine::default();
        for (feature, text) in PROBES {
            let binary = wat::parse_str(text).unwrap();
            let found = crate::inspect::reader::describe(&binary).features;
            assert!(found.iter().any(|f| f.name == feature.name()), "{feature:?} in {found:?}");
            let accepted = Module::validate(&engine, &binary).is_ok();
            assert_eq!(accepted, feature.is_supported(), "{feature:?}");
        }
        for feature in Feature::ALL.iter().filter(|f| f.is_supported()) {
            assert!(PROBES.iter().any(|(f, _)| f == feature), "no probe of {feature:?}");
        }
    }

    #[test]
    fn a_plain_module_uses_nothing() {
        let binary = wat::parse_str("(module (memory 1) (table 1 funcref) (func (param i32)))").unwrap();
        assert!(crate::inspect::reader::describe(&binary).features.is_empty());
    }
}
