//! Acquires a host. Its directory appears complete or not at all, under a name derived from the token.
//!
//! ```text
//! under <state>/lock:  known token? ─ yes ─► the host it names
//!                           └─ no ─► capacity ─► address ─► hosts/.claim ──rename──► hosts/<id>
//! under start.lock:    supervisor recorded? ─ no ─► spawn it, wait until it has recorded itself
//! ```
//! A crash between any two steps is resumed by the next order with the same token.

use super::address;
use super::catalogue;
use super::descendants::MARK;
use super::desk::Desk;
use super::faults::OfferFaults;
use super::layout::{ASIDE_PREFIX, HostFiles};
use super::records::{self, Cause, LaunchRecord, ORDER_FORMAT, OrderRecord, unix_ms};
use crate::error::ProviderError;
use crate::provider::{BOOT_BYTES_MAX, Host, Offer, Order, TOKEN_CHARS_MAX, Token};
use rhizo_types::{HostId, OfferName};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::{Command, Stdio};

const OPERATION: &str = "acquire a host";

/// How many hosts one token can get by the `duplicate` fault, itself included.
const DUPLICATES_MAX: u32 = 8;

impl Desk {
    /// Creates the host of an order, or finds the host that its token has created.
    pub(super) fn acquire(&self, order: &Order) -> Result<Host, ProviderError> {
        let faults = self.misbehaviour(OPERATION)?.of(&order.offer);
        self.must_be_usable(OPERATION)?;
        self.validate(order)?;
        let offer = self.offer(&order.offer)?;
        let (record, files) = self.claim(order, &offer, faults, 0)?;
        if faults.duplicate {
            self.duplicate(order, &offer, faults)?;
        }
        self.start(&record, &files)?;
        if unix_ms() < record.visible_at_unix_ms {
            return Err(ProviderError::UnknownOutcome {
                operation: OPERATION,
                reason: "the provider did not answer in time".to_owned(),
            });
        }
        self.look(&record, &files)
    }

    fn validate(&self, order: &Order) -> Result<(), ProviderError> {
        let refused = |reason| Err(ProviderError::Refused { operation: OPERATION, reason });
        if !order.token.is_valid() {
            return refused(format!("a token has 1 to {TOKEN_CHARS_MAX} visible ASCII characters"));
        }
        if order.boot.len() > BOOT_BYTES_MAX {
            let bytes = order.boot.len();
            return refused(format!("the boot document has {bytes} bytes, more than {BOOT_BYTES_MAX}"));
        }
        Ok(())
    }

    fn offer(&self, name: &OfferName) -> Result<Offer, ProviderError> {
        let offer = self.catalogue.offer(&self.layout, name.as_str()).map_err(ProviderError::Catalogue)?;
        offer.ok_or_else(|| ProviderError::Refused {
            operation: OPERATION,
            reason: format!("provider `{}` has no offer `{name}`", self.name),
        })
    }

    /// Returns the host directory of a token's host, and makes it unless it exists. `copy` is 0 without faults.
    fn claim(
        &self,
        order: &Order,
        offer: &Offer,
        faults: OfferFaults,
        copy: u32,
    ) -> Result<(OrderRecord, HostFiles), ProviderError> {
        let state = &self.layout.state;
        self.layout.create().map_err(ProviderError::records("create directories in", state))?;
        let _lock = self.layout.lock().map_err(ProviderError::records("lock", state))?;
        self.forget_old()?;
        let host = self.host_id(&order.token, copy);
        let files = self.layout.host(&host);
        let read = ProviderError::records("read the order in", &files.directory);
        if let Some(known) = files.order().map_err(read)? {
            return if (&known.token, &known.offer, &known.tags) == (&order.token, &order.offer, &order.tags) {
                Ok((known, files))
            } else {
                let reason =
                    format!("token `{}` was used for another order, of `{}`", order.token, known.offer);
                Err(ProviderError::Refused { operation: OPERATION, reason })
            };
        }
        if faults.no_capacity || self.is_sold_out(offer)? {
            return Err(ProviderError::NoCapacity { offer: order.offer.clone() });
        }
        let write = || ProviderError::records("claim", &files.directory);
        catalogue::start_clock(&self.layout).map_err(write())?;
        let record = self.record(order, offer, faults, host).map_err(write())?;
        self.publish(&record, &order.boot, &files).map_err(write())?;
        Ok((record, files))
    }

    /// The order as it is kept; claims the host's address. The caller holds the lock.
    fn record(
        &self,
        order: &Order,
        offer: &Offer,
        faults: OfferFaults,
        host: HostId,
    ) -> io::Result<OrderRecord> {
        let now = unix_ms();
        let visible_at_unix_ms = now.saturating_add(faults.late_success_ms.unwrap_or_default());
        let launch = LaunchRecord {
            program: self.program.executable.name().to_owned(),
            arguments: self.program.node_arguments.clone(),
            environment: BTreeMap::new(),
            grace_ms: self.settings.grace_ms,
            join_within_ms: order.join_within_ms.saturating_add(self.settings.join_margin_ms),
            confinement: self.settings.confinement,
        };
        Ok(OrderRecord {
            format: ORDER_FORMAT,
            provider: self.name.clone(),
            address: address::claim(&self.layout, &host)?,
            host,
            token: order.token.clone(),
            tags: order.tags.clone(),
            offer: order.offer.clone(),
            region: offer.region.clone(),
            created_unix_ms: now,
            start_at_unix_ms: visible_at_unix_ms.max(now.saturating_add(faults.boot_delay_ms)),
            visible_at_unix_ms,
            data: self.data.clone(),
            launch,
        })
    }

    /// Makes the host directory appear with its order and its boot document.
    fn publish(&self, record: &OrderRecord, boot: &[u8], files: &HostFiles) -> io::Result<()> {
        let aside = self.layout.hosts().join(format!("{ASIDE_PREFIX}claim-{}", record.host));
        // The directory was left by a claim that crashed: this process holds the lock, so no other claim is in
        // progress.
        match fs::remove_dir_all(&aside) {
            Err(error) if !records::is_absent(&error) => return Err(error),
            _ => {}
        }
        rhizo_private_files::create_dir(&aside)?;
        rhizo_private_files::write_synced(&aside.join("boot"), boot)?;
        records::write_first(&aside.join("order.json"), record)?;
        fs::rename(&aside, &files.directory)
    }

    /// The id of a token's `copy`-th host. Only the `duplicate` fault makes a copy other than the first.
    fn host_id(&self, token: &Token, copy: u32) -> HostId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.name.as_str().as_bytes()).update(&[0]).update(token.0.as_bytes());
        hasher.update(&[0]).update(&copy.to_le_bytes());
        // 48 bits: short enough to type, and a collision is noticed, as the token is compared.
        HostId(format!("h{}", &hasher.finalize().to_hex()[..12]))
    }

    fn is_sold_out(&self, offer: &Offer) -> Result<bool, ProviderError> {
        let Some(available) = offer.available else { return Ok(false) };
        Ok(self.taken()?.get(&offer.name).copied().unwrap_or_default() >= available)
    }

    /// The fault of a service that ignores tokens: one more host for the same order.
    fn duplicate(&self, order: &Order, offer: &Offer, faults: OfferFaults) -> Result<(), ProviderError> {
        for copy in 1..DUPLICATES_MAX {
            if !self.layout.host(&self.host_id(&order.token, copy)).directory.exists() {
                let (record, files) = self.claim(order, offer, faults, copy)?;
                return self.start(&record, &files);
            }
        }
        Ok(())
    }

    /// Starts the supervisor of a claimed host, unless that has been done.
    fn start(&self, record: &OrderRecord, files: &HostFiles) -> Result<(), ProviderError> {
        let step = ProviderError::records("start the supervisor in", &files.directory);
        let _lock = files.start_lock().map_err(step)?;
        self.start_under_lock(record, files)
    }

    /// As [`Desk::start`]; the caller holds the host's start lock.
    pub(super) fn start_under_lock(
        &self,
        record: &OrderRecord,
        files: &HostFiles,
    ) -> Result<(), ProviderError> {
        let step = || ProviderError::records("start the supervisor in", &files.directory);
        if self.is_started(files).map_err(step())? {
            return Ok(());
        }
        let log = rhizo_private_files::append(&files.path("supervisor.log")).map_err(step())?;
        let spawned = Command::new(self.program.executable.path())
            .args(&self.program.supervise_arguments)
            .arg(&files.directory)
            .env(MARK, &files.directory)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(step())?)
            .stderr(log)
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return self.unstartable(record, files, &error),
        };
        // It starts the supervisor, waits at most ten seconds until that is ready, and exits.
        let status = child.wait().map_err(step())?;
        if self.is_started(files).map_err(step())? {
            return Ok(());
        }
        Err(ProviderError::UnknownOutcome {
            operation: OPERATION,
            reason: format!("the supervisor of host `{}` did not start ({status})", record.host),
        })
    }

    fn is_started(&self, files: &HostFiles) -> io::Result<bool> {
        Ok(files.supervisor()?.is_some() || files.terminated()?.is_some())
    }

    /// Ends the host of a program that cannot be run, and returns the error. The token of the order is used up.
    fn unstartable(
        &self,
        record: &OrderRecord,
        files: &HostFiles,
        error: &io::Error,
    ) -> Result<(), ProviderError> {
        let program = self.program.executable.name().display();
        let cause = Cause::StartFailed(format!("cannot run {program}: {error}"));
        super::ending::end(&self.layout, files, record, None, None, cause)
            .map_err(ProviderError::records("end", &files.directory))?;
        Err(ProviderError::Local { operation: OPERATION, reason: format!("cannot run `{program}`: {error}") })
    }
}
