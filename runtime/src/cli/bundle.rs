//! `bundle`: one executable with the runtime, a config and the complete closures of its components; and the config of
//! the bundle that this process was started from.
//!
//! `./FILE up` needs no config: the folder of the config is unpacked beside the bundle on the first start, after the
//! bundle was compared with its digest. Read next: `rhizo_artifacts::bundle`.

use super::Session;
use super::exit::{Exit, Failure};
use crate::closures::{self, Closures};
use crate::config::Config;
use crate::error::chain;
use rhizo_actuators::process::own_program;
use rhizo_artifacts::bundle::{self, Bundle, BundleError, Contents};
use rhizo_artifacts::store::{Lease, Store};
use rhizo_config::FileKind;
use rhizo_types::spec::Closure;
use rhizo_types::{ComponentName, Digest};
use std::path::{Path, PathBuf};

/// Writes a bundle.
///
/// # Errors
/// The config is wrong, a file of it is missing or not below its folder, or the runtime cannot be bundled.
pub(super) fn bundle(
    session: &Session,
    named: Option<&Path>,
    output: &Path,
    runtime: Option<&Path>,
) -> Result<Exit, Failure> {
    let config = session.config(named)?;
    session.print_warnings(&config);
    let scratch = Scratch::beside(output);
    let store = Store::open(&scratch.0).map_err(|error| failed(&BundleError::Store(error)))?;
    let lease = store.lease();
    let closures = closures::find(&config.parsed, &config.text.base, true, Some((&store, &lease)));
    let closures = closures.map_err(|error| Failure::new(Exit::BadConfig, chain(&error)))?;
    let folder = folder(&config, &store, &lease)?;
    let name = name_of(&config);
    let trees = closures.iter().map(|(name, closure)| (name.to_string(), closure.tree));
    let contents = Contents { config: name, folder, closures: trees.collect() };
    let own = std::env::current_exe();
    let own = own.map_err(|error| Failure::new(Exit::Failed, format!("find the executable: {error}")))?;
    bundle::write(output, runtime.unwrap_or(&own), &contents, &store).map_err(|error| failed(&error))?;
    let bytes = std::fs::metadata(output).map(|file| file.len()).unwrap_or_default();
    let text = format!(
        "{}: {bytes} bytes, {} components with files of their own; `{} up` deploys it\n",
        output.display(),
        closures.len(),
        output.display()
    );
    session
        .print(&serde_json::json!({ "file": output, "bytes": bytes, "components": closures.len() }), || text);
    Ok(Exit::Done)
}

/// The name of the config file. Its text in the bundle is the whole config, with the files that it includes.
fn name_of(config: &Config) -> String {
    Path::new(&config.text.file).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Stores the files that the command line reads with the config.
fn folder(config: &Config, store: &Store, lease: &Lease) -> Result<Digest, Failure> {
    let base = Path::new(&config.text.base);
    let name = name_of(config);
    let read = config.parsed.files.iter().filter(|file| file.kind == FileKind::Data);
    let mut files: Vec<PathBuf> = read.map(|file| PathBuf::from(&file.path)).collect();
    files.extend(config.parsed.templates.iter().map(|template| PathBuf::from(&template.path)));
    // Those of the system stay where they are; a missing one has its warning.
    let programs = config.parsed.files.iter().filter(|file| file.kind == FileKind::Program);
    let programs = programs.map(|file| PathBuf::from(&file.path));
    files.extend(programs.filter(|path| path.starts_with(base) && path.is_file()));
    if let Some(outside) = files.iter().find(|file| !file.starts_with(base)) {
        let message = format!("bundle `{}`: it is not below the folder of the config", outside.display());
        return Err(Failure::new(Exit::BadConfig, message).hint("move it into the folder"));
    }
    bundle::config_tree(base, (&name, &config.text.text), &files, store, lease)
        .map_err(|error| Failure::new(Exit::BadConfig, chain(&error)))
}

fn failed(error: &BundleError) -> Failure {
    Failure::new(Exit::Failed, chain(error))
}

/// A directory that ends with the command.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(output: &Path) -> Self {
        let mut name = output.as_os_str().to_owned();
        name.push(format!(".files-{}", std::process::id()));
        Self(PathBuf::from(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may not have been made.
        let _absent = std::fs::remove_dir_all(&self.0);
    }
}

/// The bundle that this process was started from, with its config unpacked.
#[derive(Debug)]
pub(super) struct Carried {
    bundle: Bundle,
    /// The unpacked folder of the config.
    folder: PathBuf,
}

impl Carried {
    /// Opens the bundle of this process; none if it was not started from one.
    ///
    /// # Errors
    /// The bundle is damaged, or its config cannot be unpacked beside it.
    pub(super) fn open() -> Result<Option<Self>, Failure> {
        let path = own_program()
            .map_err(|error| Failure::new(Exit::Failed, format!("find the executable: {error}")))?;
        let Some(bundle) = Bundle::open(&path).map_err(|error| failed(&error))? else { return Ok(None) };
        let mut name = path.into_os_string();
        name.push(format!(".{}.config", bundle.digits()));
        let tree = bundle.contents().folder;
        let store = PathBuf::from(name);
        let unpacked = store.join("checkouts").join(tree.to_string());
        if !unpacked.exists() {
            bundle.verify().map_err(|error| failed(&error))?;
            let unpack = || -> Result<(), BundleError> {
                let store = Store::open(&store)?;
                let lease = store.lease();
                bundle.import(&store, &lease, &[tree])?;
                store.check_out(&tree)?;
                Ok(())
            };
            unpack().map_err(|error| failed(&error))?;
        }
        Ok(Some(Self { bundle, folder: unpacked.join("files") }))
    }

    /// The path of the config.
    pub(super) fn config(&self) -> PathBuf {
        self.folder.join(&self.bundle.contents().config)
    }

    /// Returns true if this is the config of the bundle.
    pub(super) fn has(&self, config: &Config) -> bool {
        self.folder.canonicalize().is_ok_and(|folder| folder == Path::new(&config.text.base))
    }

    /// The closures of the components.
    pub(super) fn closures(&self, config: &Config) -> Closures {
        let named = self.bundle.contents().closures.iter();
        let closure = |(name, tree): (&String, &Digest)| {
            let bytes = self.bundle.tree_bytes(tree);
            (ComponentName(name.clone()), Closure { tree: *tree, bytes, folder: config.text.base.clone() })
        };
        named.map(closure).collect()
    }

    /// Stores the files of the components.
    ///
    /// # Errors
    /// A file is damaged, or the store cannot be written.
    pub(super) fn store(&self, store: &Store, lease: &Lease) -> Result<(), Failure> {
        let trees: Vec<Digest> = self.bundle.contents().closures.values().copied().collect();
        self.bundle.import(store, lease, &trees).map_err(|error| failed(&error))
    }
}
