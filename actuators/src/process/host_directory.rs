//! The host directory as its node sees it: boot document, address, emulated region and delays.
//!
//! The provider writes the host directory, and the node reads it here. Outside its own subdirectory a node writes two
//! files only: the mark that it has joined, and the time that its end may take.

use super::catalogue::Catalogue;
use super::delay::DelayTable;
use super::layout::{HostFiles, Layout};
use super::records::OrderRecord;
use crate::data_file::DataFileError;
use crate::provider::{Offer, Tags};
use rhizo_types::{HostId, OfferName, ProviderName, RegionName};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of [`EndingFile`].
const ENDING: &str = "ending";

/// A host directory seen from the node that runs on it.
#[derive(Debug)]
pub struct HostDirectory {
    files: HostFiles,
    layout: Layout,
    order: OrderRecord,
    catalogue: Catalogue,
}

impl HostDirectory {
    /// Opens the directory that the supervisor passed to the node.
    ///
    /// # Errors
    /// When it is not a host directory of this version.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let files = HostFiles { directory: directory.canonicalize()? };
        let absent = || io::Error::new(io::ErrorKind::NotFound, "it is not a host directory");
        let order = files.order()?.ok_or_else(absent)?;
        let state = files.directory.ancestors().nth(4).ok_or_else(absent)?.to_owned();
        let layout = Layout::new(state, &order.provider);
        let catalogue = Catalogue::new(&order.data, String::new());
        Ok(Self { files, layout, order, catalogue })
    }

    /// The provider that made the host.
    #[must_use]
    pub fn provider(&self) -> &ProviderName {
        &self.order.provider
    }

    /// The host's identifier at its provider.
    #[must_use]
    pub fn host(&self) -> &HostId {
        &self.order.host
    }

    /// The offer that was bought.
    #[must_use]
    pub fn offer(&self) -> &OfferName {
        &self.order.offer
    }

    /// The emulated region.
    #[must_use]
    pub fn region(&self) -> &RegionName {
        &self.order.region
    }

    /// The loopback address that is the host's own: listen on it and bind outgoing connections to it.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.order.address.into()
    }

    /// The ownership tags of the order.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.order.tags
    }

    /// The boot document of the order.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn boot(&self) -> io::Result<Vec<u8>> {
        fs::read(self.files.path("boot"))
    }

    /// The directory that the node may fill. It is also its working directory, and is removed with the host.
    #[must_use]
    pub fn node_directory(&self) -> PathBuf {
        self.files.path("node")
    }

    /// The state directory that the nodes of this machine share.
    #[must_use]
    pub fn state_directory(&self) -> &Path {
        &self.layout.state
    }

    /// Records that the ticket has been used, so that the supervisor does not end the host when the ticket expires.
    ///
    /// # Errors
    /// When the host directory cannot be written.
    pub fn mark_joined(&self) -> io::Result<()> {
        rhizo_private_files::write_synced(&self.files.path("joined"), b"")
    }

    /// The file by which the node tells the supervisor how long its programs may take to end.
    #[must_use]
    pub fn ending(&self) -> EndingFile {
        EndingFile { path: self.files.path(ENDING) }
    }

    /// The offer of this host as the provider's data files describe it now: capacity and attributes, all synthetic.
    ///
    /// `None` when the offer has been removed from the files since the host was acquired.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn emulated(&self) -> Result<Option<Offer>, DataFileError> {
        self.catalogue.offer(&self.layout, self.order.offer.as_str())
    }

    /// The emulated delays from this host to others.
    #[must_use]
    pub fn delay_table(&self) -> DelayTable {
        DelayTable::new(self.layout.state.clone(), &self.order)
    }
}

/// See [`HostDirectory::ending`].
#[derive(Debug)]
pub struct EndingFile {
    path: PathBuf,
}

impl EndingFile {
    /// Announces that the node ends, and that its programs have this time to end. A supervisor that was asked to end
    /// the host kills none of them before it is over, although the provider's own grace may be shorter.
    ///
    /// # Errors
    /// When the host directory cannot be written.
    pub fn announce(&self, within: Duration) -> io::Result<()> {
        rhizo_private_files::write_synced(&self.path, within.as_millis().to_string().as_bytes())
    }
}

/// The time that a node announced for its end; zero if it announced none.
pub(crate) fn announced_end(files: &HostFiles) -> Duration {
    let text = fs::read_to_string(files.path(ENDING)).unwrap_or_default();
    text.parse().map(Duration::from_millis).unwrap_or_default()
}
