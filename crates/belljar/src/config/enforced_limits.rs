//! Limits on the numbers of things in a module, as Wasmi has them.

use belljar_core::{CompositeType, DefinedFuncIndex};
use belljar_module::Module;
use std::fmt;

/// Limits on what modules contain: see [`Config::enforced_limits`](crate::Config::enforced_limits). The default limits
/// nothing.
///
/// For limits on the size of modules, and on the time and memory that their compilation takes, see
/// [`CompileLimits`](crate::CompileLimits).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EnforcedLimits {
    max_globals: Option<u32>,
    max_functions: Option<u32>,
    max_tables: Option<u32>,
    max_memories: Option<u32>,
    max_element_segments: Option<u32>,
    max_data_segments: Option<u32>,
    max_params: Option<usize>,
    max_results: Option<usize>,
    min_avg_bytes_per_function: Option<AverageSize>,
}

/// A lower bound on the average size of functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct AverageSize {
    /// The bound applies to modules whose functions have at least this many bytes together.
    from_bytes: u32,
    /// Bytes that a function must have on average.
    minimum: u32,
}

impl EnforcedLimits {
    /// Returns limits that modules of usual toolchains keep: 1,000 globals, 10,000 functions, 100 tables, 1 memory, 1,000
    /// element segments, 1,000 data segments, 32 parameters and 32 results of a type. If the bodies of the functions have
    /// at least 1,000 bytes together, they must have 40 bytes on average.
    pub fn strict() -> Self {
        Self {
            max_globals: Some(1000),
            max_functions: Some(10_000),
            max_tables: Some(100),
            max_memories: Some(1),
            max_element_segments: Some(1000),
            max_data_segments: Some(1000),
            max_params: Some(32),
            max_results: Some(32),
            min_avg_bytes_per_function: Some(AverageSize { from_bytes: 1000, minimum: 40 }),
        }
    }

    /// Checks what a module defines. Imports do not count.
    pub(crate) fn check(&self, module: &Module) -> Result<(), EnforcedLimitsError> {
        use EnforcedLimitsError as Error;
        let defined = |all: usize, imported: usize| (all - imported) as u64;
        let exceeded = |count: u64, limit: Option<u32>| limit.filter(|limit| count > u64::from(*limit));
        let globals = defined(module.globals().len(), module.imported_globals());
        if let Some(limit) = exceeded(globals, self.max_globals) {
            return Err(Error::TooManyGlobals { limit });
        }
        if let Some(limit) = exceeded(module.defined_funcs() as u64, self.max_functions) {
            return Err(Error::TooManyFunctions { limit });
        }
        let tables = defined(module.tables().len(), module.imported_tables());
        if let Some(limit) = exceeded(tables, self.max_tables) {
            return Err(Error::TooManyTables { limit });
        }
        let memories = defined(module.memories().len(), module.imported_memories());
        if let Some(limit) = exceeded(memories, self.max_memories) {
            return Err(Error::TooManyMemories { limit });
        }
        if let Some(limit) = exceeded(module.elems().len() as u64, self.max_element_segments) {
            return Err(Error::TooManyElementSegments { limit });
        }
        if let Some(limit) = exceeded(module.data_count() as u64, self.max_data_segments) {
            return Err(Error::TooManyDataSegments { limit });
        }
        self.check_types(module)?;
        self.check_average(module)
    }

    /// Types of blocks are types of the module as well.
    fn check_types(&self, module: &Module) -> Result<(), EnforcedLimitsError> {
        for ty in module.types() {
            let CompositeType::Func(ty) = &ty.composite else { continue };
            if let Some(limit) = self.max_params.filter(|limit| ty.params().len() > *limit) {
                return Err(EnforcedLimitsError::TooManyParameters { limit });
            }
            if let Some(limit) = self.max_results.filter(|limit| ty.results().len() > *limit) {
                return Err(EnforcedLimitsError::TooManyResults { limit });
            }
        }
        Ok(())
    }

    fn check_average(&self, module: &Module) -> Result<(), EnforcedLimitsError> {
        let Some(AverageSize { from_bytes, minimum }) = self.min_avg_bytes_per_function else {
            return Ok(());
        };
        let functions = module.defined_funcs();
        let bytes: u64 =
            (0..functions).map(|func| module.body(DefinedFuncIndex::new(func)).len() as u64).sum();
        if functions == 0 || bytes < u64::from(from_bytes) {
            return Ok(());
        }
        let avg = u32::try_from(bytes / functions as u64).unwrap_or(u32::MAX);
        match avg < minimum {
            true => Err(EnforcedLimitsError::MinAvgBytesPerFunction { limit: minimum, avg }),
            false => Ok(()),
        }
    }
}

/// The limit of [`EnforcedLimits`] that a module exceeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EnforcedLimitsError {
    /// It defines more globals.
    TooManyGlobals {
        /// The most that it may define.
        limit: u32,
    },
    /// It defines more tables.
    TooManyTables {
        /// The most that it may define.
        limit: u32,
    },
    /// It defines more functions.
    TooManyFunctions {
        /// The most that it may define.
        limit: u32,
    },
    /// It defines more memories.
    TooManyMemories {
        /// The most that it may define.
        limit: u32,
    },
    /// It has more element segments.
    TooManyElementSegments {
        /// The most that it may have.
        limit: u32,
    },
    /// It has more data segments.
    TooManyDataSegments {
        /// The most that it may have.
        limit: u32,
    },
    /// A type of its functions or blocks has more parameters.
    TooManyParameters {
        /// The most that a type may have.
        limit: usize,
    },
    /// A type of its functions or blocks has more results.
    TooManyResults {
        /// The most that a type may have.
        limit: usize,
    },
    /// Its functions are too small.
    MinAvgBytesPerFunction {
        /// Bytes that the body of a function must have on average.
        limit: u32,
        /// Bytes that it has on average.
        avg: u32,
    },
}

impl fmt::Display for EnforcedLimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, of) = match *self {
            Self::TooManyGlobals { limit } => (limit as usize, "globals"),
            Self::TooManyTables { limit } => (limit as usize, "tables"),
            Self::TooManyFunctions { limit } => (limit as usize, "functions"),
            Self::TooManyMemories { limit } => (limit as usize, "memories"),
            Self::TooManyElementSegments { limit } => (limit as usize, "element segments"),
            Self::TooManyDataSegments { limit } => (limit as usize, "data segments"),
            Self::TooManyParameters { limit } => (limit, "parameters of a type"),
            Self::TooManyResults { limit } => (limit, "results of a type"),
            Self::MinAvgBytesPerFunction { limit, avg } => {
                return write!(
                    f,
                    "the module's functions have {avg} bytes on average, and must have at least {limit} \
                     (Config::enforced_limits)"
                );
            }
        };
        write!(f, "the module has more {of} than the limit of {limit} (Config::enforced_limits)")
    }
}

impl std::error::Error for EnforcedLimitsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(limits: EnforcedLimits, fits: &str, exceeds: &str, expected: EnforcedLimitsError) {
        let of = |wat: &str| {
            let binary = wat::parse_str(format!("(module {wat})")).unwrap();
            limits.check(&belljar_module::validate(binary.into(), crate::config::everything()).unwrap())
        };
        assert_eq!(of(fits), Ok(()));
        assert_eq!(of(exceeds), Err(expected));
    }

    #[test]
    fn each_limit_is_kept() {
        let none = EnforcedLimits::default;
        let global = "(global i32 (i32.const 0))";
        check(
            EnforcedLimits { max_globals: Some(1), ..none() },
            &format!("(import \"\" \"g\" (global i32)) {global}"),
            &global.repeat(2),
            EnforcedLimitsError::TooManyGlobals { limit: 1 },
        );
        check(
            EnforcedLimits { max_functions: Some(2), ..none() },
            "(import \"\" \"f\" (func)) (func) (func)",
            "(func) (func) (func)",
            EnforcedLimitsError::TooManyFunctions { limit: 2 },
        );
        check(
            EnforcedLimits { max_tables: Some(0), ..none() },
            "(import \"\" \"t\" (table 0 funcref))",
            "(table 0 funcref)",
            EnforcedLimitsError::TooManyTables { limit: 0 },
        );
        check(
            EnforcedLimits { max_memories: Some(1), ..none() },
            "(import \"\" \"m\" (memory 1)) (memory 1)",
            "(memory 1) (memory 1)",
            EnforcedLimitsError::TooManyMemories { limit: 1 },
        );
        let elem = "(elem func)";
        check(
            EnforcedLimits { max_element_segments: Some(1), ..none() },
            elem,
            &elem.repeat(2),
            EnforcedLimitsError::TooManyElementSegments { limit: 1 },
        );
        check(
            EnforcedLimits { max_data_segments: Some(1), ..none() },
            "(memory 1) (data (i32.const 0) \"a\")",
            "(memory 1) (data (i32.const 0) \"a\") (data \"b\")",
            EnforcedLimitsError::TooManyDataSegments { limit: 1 },
        );
    }

    #[test]
    fn types_of_functions_and_blocks_are_limited() {
        let none = EnforcedLimits::default;
        check(
            EnforcedLimits { max_params: Some(1), ..none() },
            "(func (param i32))",
            "(func i32.const 1 i32.const 1 (block (param i32 i32) drop drop))",
            EnforcedLimitsError::TooManyParameters { limit: 1 },
        );
        check(
            EnforcedLimits { max_results: Some(1), ..none() },
            "(func (result i32) i32.const 1)",
            "(func (result i32 i32) i32.const 1 i32.const 1)",
            EnforcedLimitsError::TooManyResults { limit: 1 },
        );
    }

    #[test]
    fn many_small_functions_are_refused_only_in_large_modules() {
        let (small, large) = ("(func)".repeat(400), "(func)".repeat(600));
        let expected = EnforcedLimitsError::MinAvgBytesPerFunction { limit: 40, avg: 2 };
        check(EnforcedLimits::strict(), &small, &large, expected);
        assert_eq!(
            expected.to_string(),
            "the module's functions have 2 bytes on average, and must have at least 40 (Config::enforced_limits)"
        );
    }
}
