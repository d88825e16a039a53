//! `belljar key`: creates signing keys, and manages trusted keys.

use crate::exit_code::ExitCode;
use crate::failure::{Failure, WithExitCode};
use crate::output::print;
use belljar::{NamedKey, OutsideText, SigningKey, TrustedKeys};
use belljar_cache::{TRUSTED_KEYS_FILE, config_directory};
use clap::{Args, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  belljar key new release                       creates release.key (secret) and release.pub
  belljar compile --sign release.key tool.wasm  users who trust release.pub can run tool.elf
  belljar key trust release.pub
  belljar key list

Trusted keys are lines of the file trusted-keys in the user's configuration directory; remove a line to revoke \
trust. The owner of a trusted key can make native code that your belljar runs: trust a key only as you would trust a \
program.

Exit codes: 0, or 66 if a key cannot be read, 74 if one cannot be written.";

/// Create keys that sign artifacts, and choose which keys to trust.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeyOptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Create a key: NAME.key, to be kept secret, and NAME.pub, for those who are to trust it
    New {
        /// The key's name, or a path that ends with it
        #[arg(value_hint = clap::ValueHint::FilePath)]
        name: PathBuf,
    },
    /// List the trusted keys
    List,
    /// Trust all artifacts signed with a key
    Trust {
        /// The public key, NAME.pub
        #[arg(value_hint = clap::ValueHint::FilePath)]
        file: PathBuf,
    },
}

impl KeyOptions {
    /// Executes the subcommand. Returns the exit code.
    ///
    /// # Errors
    ///
    /// Returns an error if a key or the list cannot be read or written.
    pub(crate) fn execute(&self) -> Result<u8, Failure> {
        let directory =
            || config_directory(|name| std::env::var_os(name)).with_exit_code(ExitCode::CannotStart);
        match &self.action {
            Action::New { name } => {
                let key = SigningKey::generate().with_exit_code(ExitCode::CannotStart)?;
                let files = key.write_new(name).with_exit_code(ExitCode::Unwritable)?;
                print(&format!(
                    "secret key   {}\npublic key   {}\nfingerprint  {}\n",
                    OutsideText::new(&files.secret),
                    OutsideText::new(&files.public),
                    key.public().fingerprint()
                ))?;
            }
            Action::List => {
                let keys = TrustedKeys::load(&directory()?).with_exit_code(ExitCode::Unreadable)?;
                let lines = keys
                    .iter()
                    .map(|key| format!("{}  {}\n", key.key().fingerprint(), OutsideText::new(key.name())));
                print(&lines.collect::<String>())?;
            }
            Action::Trust { file } => {
                let key = NamedKey::read(file).with_exit_code(ExitCode::Unreadable)?;
                let directory = directory()?;
                let is_new = TrustedKeys::add(&directory, &key).with_exit_code(ExitCode::Unwritable)?;
                let list = directory.join(TRUSTED_KEYS_FILE);
                print(&match is_new {
                    true => format!(
                        "trusted from now on: {} ({})\n",
                        key.key().fingerprint(),
                        OutsideText::new(key.name())
                    ),
                    false => {
                        format!(
                            "trusted already: {} (in {})\n",
                            key.key().fingerprint(),
                            OutsideText::new(&list)
                        )
                    }
                })?;
            }
        }
        Ok(ExitCode::Success as u8)
    }
}
