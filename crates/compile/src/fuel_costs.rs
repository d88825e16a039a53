//! What guest code pays in fuel: for each operator, and for the amount of work of operators on ranges.

use std::fmt;
use std::sync::Arc;
use wasmparser::Operator;

/// An operator whose work depends on an operand: its topmost, which is a number of bytes, pages or elements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SizedOp {
    /// `memory.copy`, in bytes.
    MemoryCopy,
    /// `memory.fill`, in bytes.
    MemoryFill,
    /// `memory.init`, in bytes.
    MemoryInit,
    /// `memory.grow`, in pages of this many bytes.
    MemoryGrow {
        /// Bytes of a page.
        page: u64,
    },
    /// `table.copy`, in elements.
    TableCopy,
    /// `table.fill`, in elements.
    TableFill,
    /// `table.init`, in elements.
    TableInit,
    /// `table.grow`, in elements.
    TableGrow,
    /// `array.copy`, in elements.
    ArrayCopy,
    /// `array.fill`, in elements.
    ArrayFill,
    /// `array.new_data`, in elements.
    ArrayNewData,
    /// `array.init_data`, in elements.
    ArrayInitData,
    /// `array.new_elem`, in elements.
    ArrayNewElem,
    /// `array.init_elem`, in elements.
    ArrayInitElem,
    /// `array.new_default`, in elements.
    ArrayNewDefault,
    /// `array.new`, in elements.
    ArrayNew,
}

macro_rules! variable_costs {
    ($($(#[$doc:meta])* $name:ident = $default:literal, $op:pat,)*) => {
        /// The fuel that an operator pays for the amount of its work, in addition to its cost in [`OperatorCost`].
        ///
        /// It is charged before the operator does anything, so that a guest without enough fuel traps with its memories and
        /// tables unchanged.
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub struct VariableOperatorCost {
            $($(#[$doc])* pub $name: u8,)*
        }

        impl VariableOperatorCost {
            /// Creates the default costs: one unit for each byte or element, and none for pages.
            pub const fn new() -> Self {
                Self { $($name: $default,)* }
            }

            fn per_unit(&self, op: SizedOp) -> u8 {
                match op {
                    $($op => self.$name,)*
                }
            }

            fn all(&self) -> impl Iterator<Item = u8> {
                [$(self.$name,)*].into_iter()
            }
        }
    };
}

variable_costs! {
    /// For each byte that `memory.copy` copies.
    memory_copy_per_byte = 1, SizedOp::MemoryCopy,
    /// For each byte that `memory.fill` writes.
    memory_fill_per_byte = 1, SizedOp::MemoryFill,
    /// For each byte that `memory.init` copies.
    memory_init_per_byte = 1, SizedOp::MemoryInit,
    /// For each page that `memory.grow` asks for.
    memory_grow_per_page = 0, SizedOp::MemoryGrow { .. },
    /// For each element that `table.copy` copies.
    table_copy_per_element = 1, SizedOp::TableCopy,
    /// For each element that `table.fill` writes.
    table_fill_per_element = 1, SizedOp::TableFill,
    /// For each element that `table.init` copies.
    table_init_per_element = 1, SizedOp::TableInit,
    /// For each element that `table.grow` asks for.
    table_grow_per_element = 1, SizedOp::TableGrow,
    /// For each element that `array.copy` copies.
    array_copy_per_element = 1, SizedOp::ArrayCopy,
    /// For each element that `array.fill` writes.
    array_fill_per_element = 1, SizedOp::ArrayFill,
    /// For each element that `array.new_data` initializes.
    array_new_data_per_element = 1, SizedOp::ArrayNewData,
    /// For each element that `array.init_data` initializes.
    array_init_data_per_element = 1, SizedOp::ArrayInitData,
    /// For each element that `array.new_elem` initializes.
    array_new_elem_per_element = 1, SizedOp::ArrayNewElem,
    /// For each element that `array.init_elem` initializes.
    array_init_elem_per_element = 1, SizedOp::ArrayInitElem,
    /// For each element that `array.new_default` initializes.
    array_new_default_per_element = 1, SizedOp::ArrayNewDefault,
    /// For each element that `array.new` initializes.
    array_new_per_element = 1, SizedOp::ArrayNew,
}

impl Default for VariableOperatorCost {
    fn default() -> Self {
        Self::new()
    }
}

/// The cost of an operator by default: nothing if it generates no code, and one unit otherwise.
macro_rules! default_cost {
    (Nop) => {
        0
    };
    (Drop) => {
        0
    };
    (Block) => {
        0
    };
    (Loop) => {
        0
    };
    (Else) => {
        0
    };
    (TryTable) => {
        0
    };
    (Try) => {
        0
    };
    (Catch) => {
        0
    };
    (CatchAll) => {
        0
    };
    (Delegate) => {
        0
    };
    (End) => {
        0
    };
    (Return) => {
        0
    };
    (Unreachable) => {
        0
    };
    ($op:ident) => {
        1
    };
}

macro_rules! operator_costs {
    ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($annotation:tt)*))*) => {
        /// The fuel that guest code pays for each operator. A field is named like the operator of `wasmparser`.
        ///
        /// By default each operator costs one unit, except those that generate no code: `Nop`, `Drop`, `Block`, `Loop`,
        /// `Else`, `End`, `Return`, `Unreachable`, `TryTable`, `Try`, `Catch`, `CatchAll` and `Delegate` cost nothing.
        #[derive(Clone, PartialEq, Eq, Hash)]
        #[allow(non_snake_case)]
        pub struct OperatorCost {
            $(#[doc = concat!("The cost of `", stringify!($op), "`.")] pub $op: u8,)*
            /// The costs that depend on the amount of work.
            pub variable: VariableOperatorCost,
        }

        impl OperatorCost {
            /// Creates the default costs.
            pub const fn new() -> Self {
                Self { $($op: default_cost!($op),)* variable: VariableOperatorCost::new() }
            }

            /// Returns the cost of an operator, without what it pays for the amount of its work.
            pub fn cost(&self, op: &Operator<'_>) -> i64 {
                match op {
                    $(Operator::$op { .. } => self.$op.into(),)*
                    // The validator knows no other operators.
                    _ => 1,
                }
            }

            fn all(&self) -> impl Iterator<Item = u8> {
                [$(self.$op,)*].into_iter().chain(self.variable.all())
            }

            fn named(&self) -> impl Iterator<Item = (&'static str, u8)> {
                [$((stringify!($op), self.$op),)*].into_iter()
            }
        }
    };
}

wasmparser::for_each_operator!(operator_costs);

impl Default for OperatorCost {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints only what differs from the default: there are over 600 operators.
impl fmt::Debug for OperatorCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("OperatorCost");
        for ((name, cost), (_, default)) in self.named().zip(DEFAULT.named()) {
            if cost != default {
                out.field(name, &cost);
            }
        }
        if self.variable != DEFAULT.variable {
            out.field("variable", &self.variable);
        }
        out.finish_non_exhaustive()
    }
}

static DEFAULT: OperatorCost = OperatorCost::new();

/// What guest code pays in fuel.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct FuelCosts {
    /// The costs of operators. `None` is the default of each operator, and nothing for the amount of work.
    pub operators: Option<Arc<OperatorCost>>,
    /// How many bytes operators on memories and tables move for a unit of fuel, in addition to other costs. A table's
    /// element has 8 bytes. `None` if they pay nothing for bytes, and `Some(0)` if they pay more than there is.
    pub bytes_per_unit: Option<u32>,
}

/// How much an operator pays for the amount of its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SizeCost {
    /// Units of fuel for each byte, page or element.
    pub per_unit: u8,
    /// The number of bytes of each, and how many bytes cost a unit.
    pub bytes: Option<(u64, u32)>,
}

/// Bytes of a table's element, for [`FuelCosts::bytes_per_unit`].
const ELEMENT_BYTES: u64 = 8;

impl FuelCosts {
    /// Returns the cost of an operator, without what it pays for the amount of its work.
    pub fn cost(&self, op: &Operator<'_>) -> i64 {
        self.operators.as_deref().unwrap_or(&DEFAULT).cost(op)
    }

    /// Returns what an operator pays for the amount of its work, or `None` if nothing.
    pub fn size_cost(&self, op: SizedOp) -> Option<SizeCost> {
        let per_unit = self.operators.as_ref().map_or(0, |operators| operators.variable.per_unit(op));
        let unit = match op {
            SizedOp::MemoryCopy | SizedOp::MemoryFill | SizedOp::MemoryInit => Some(1),
            SizedOp::MemoryGrow { page } => Some(page),
            SizedOp::TableCopy | SizedOp::TableFill | SizedOp::TableInit | SizedOp::TableGrow => {
                Some(ELEMENT_BYTES)
            }
            _ => None,
        };
        let cost = SizeCost { per_unit, bytes: unit.zip(self.bytes_per_unit) };
        (cost != SizeCost::default()).then_some(cost)
    }

    /// Describes the costs in a line of text that differs between different costs.
    pub(crate) fn describe(&self) -> String {
        let mut text = String::from("yes");
        if let Some(operators) = self.operators.as_deref() {
            let bytes: Vec<u8> = operators.all().collect();
            text += &format!(", operators {}", &blake3::hash(&bytes).to_hex()[..16]);
        }
        if let Some(bytes) = self.bytes_per_unit {
            text += &format!(", {bytes} bytes for a unit");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_costs_what_its_field_says() {
        let costs = OperatorCost { I32Add: 7, Loop: 3, ..OperatorCost::default() };
        let cost = |op: &Operator<'_>| costs.cost(op);
        assert_eq!((cost(&Operator::I32Add), cost(&Operator::I32Sub), cost(&Operator::Nop)), (7, 1, 0));
        assert_eq!(cost(&Operator::Loop { blockty: wasmparser::BlockType::Empty }), 3);
        assert_eq!(format!("{costs:?}"), "OperatorCost { Loop: 3, I32Add: 7, .. }");
    }

    #[test]
    fn different_costs_have_different_descriptions() {
        let with = |change: fn(&mut OperatorCost)| {
            let mut costs = OperatorCost::default();
            change(&mut costs);
            FuelCosts { operators: Some(Arc::new(costs)), bytes_per_unit: None }
        };
        let all = [
            FuelCosts::default(),
            with(|_| ()),
            with(|costs| costs.I32Add = 2),
            with(|costs| costs.I32Sub = 2),
            with(|costs| costs.variable.memory_grow_per_page = 2),
            FuelCosts { operators: None, bytes_per_unit: Some(64) },
            FuelCosts { operators: None, bytes_per_unit: Some(0) },
        ];
        let described: std::collections::BTreeSet<_> = all.iter().map(FuelCosts::describe).collect();
        assert_eq!(described.len(), all.len(), "{described:?}");
        assert_eq!(all[0].describe(), "yes");
    }

    #[test]
    fn only_what_is_configured_is_paid_for_size() {
        let none = FuelCosts::default();
        assert_eq!(none.size_cost(SizedOp::MemoryCopy), None);
        let operators = Some(Arc::new(OperatorCost::default()));
        let costs = FuelCosts { operators, bytes_per_unit: Some(64) };
        let copy = SizeCost { per_unit: 1, bytes: Some((1, 64)) };
        assert_eq!(costs.size_cost(SizedOp::MemoryCopy), Some(copy));
        let grow = SizeCost { per_unit: 0, bytes: Some((65536, 64)) };
        assert_eq!(costs.size_cost(SizedOp::MemoryGrow { page: 65536 }), Some(grow));
        assert_eq!(costs.size_cost(SizedOp::ArrayNew), Some(SizeCost { per_unit: 1, bytes: None }));
    }
}
