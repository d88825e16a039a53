//! A task that every contender does.

use super::binary::Binary;
use super::contender::Contender;
use bench_runner::Figure;
use std::time::Duration;

/// An entry of a group.
pub(crate) enum Entry {
    /// Something to measure.
    Item(Item),
    /// An item that cannot be measured here.
    Skipped { name: String, reason: String },
}

/// A task that every contender does.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// How each contender does it, belljar first.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) source: FigureSource,
    pub(crate) expected: Expected,
    /// The standard input of the process.
    pub(crate) stdin: String,
    /// The size, for an item of a series of growing ones, whose memory is measured too.
    pub(crate) size: Option<usize>,
    /// The time after which a process is ended; its figure is then infinite.
    pub(crate) limit: Option<Duration>,
}

/// How one contender does it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) contender: Contender,
    pub(crate) binary: Binary,
    pub(crate) words: Vec<String>,
    /// Environment variables.
    pub(crate) env: Vec<(&'static str, String)>,
    /// A command that runs once before the measurement.
    pub(crate) prepare: Option<Vec<String>>,
}

impl Attempt {
    pub(crate) fn new(contender: Contender, binary: Binary, words: &[String]) -> Self {
        Self { contender, binary, words: words.to_vec(), env: Vec::new(), prepare: None }
    }
}

/// The source of the figure.
#[derive(Clone, Debug)]
pub(crate) enum FigureSource {
    /// The whole process, measured from outside.
    Wall,
    /// A line that the contender's program prints.
    Figure(Figure),
    /// A line that the guest prints: `KERNEL 123 ns`.
    Kernel(String),
}

/// How the process must end for its figure to count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    pub(crate) exit: i32,
    /// Its output, if that matters.
    pub(crate) stdout: Option<Vec<u8>>,
}

impl Item {
    /// Creates an item that gives the same arguments to each contender's runner.
    pub(crate) fn of_runners(
        name: impl Into<String>,
        contenders: &[Contender],
        words: &[String],
        source: FigureSource,
    ) -> Self {
        let attempt = |&contender: &Contender| Some(Attempt::new(contender, contender.runner()?, words));
        Self {
            name: name.into(),
            attempts: contenders.iter().filter_map(attempt).collect(),
            source,
            expected: Expected::default(),
            stdin: String::new(),
            size: None,
            limit: None,
        }
    }
}
