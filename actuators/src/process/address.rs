//! The loopback addresses of hosts, kept as symbolic links, so that a claim is atomic and a look-up is one call.
//!
//! Every address of 127.0.0.0/8 belongs to the loopback interface of Linux without configuration, so a host can
//! have one of its own. It is derived from state directory and host id: two applications on one machine rarely choose
//! the same, and a repeated claim of a host finds the same address.

use super::layout::Layout;
use super::records::{self, OrderRecord};
use rhizo_types::HostId;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Candidates tried before giving up; with 16 million addresses a second collision is already rare.
const CANDIDATES_MAX: u32 = 256;

/// Claims an address for a host. The caller holds the state directory's lock.
///
/// # Errors
/// When the directory cannot be written, or when no candidate is free.
pub(crate) fn claim(layout: &Layout, host: &HostId) -> io::Result<Ipv4Addr> {
    let provider = layout.provider.file_name().unwrap_or_default();
    let owner = Path::new("../providers").join(provider).join("hosts").join(host.as_str());
    for attempt in 0..CANDIDATES_MAX {
        let address = candidate(&layout.state, &owner, attempt);
        let link = layout.addresses().join(address.to_string());
        match symlink(&owner, &link) {
            Ok(()) => return Ok(address),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // Claims are made under the lock, so a link without a host was left by a crash and can be replaced.
        if fs::read_link(&link)? == owner || !link.try_exists()? {
            fs::remove_file(&link)?;
            symlink(&owner, &link)?;
            return Ok(address);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no loopback address is free"))
}

/// Gives a host's address back, if it still is the host's.
pub(crate) fn release(layout: &Layout, order: &OrderRecord) -> io::Result<()> {
    let link = layout.addresses().join(order.address.to_string());
    match fs::read_link(&link) {
        Ok(target) if target.file_name().is_some_and(|name| name == order.host.as_str()) => {}
        Ok(_) => return Ok(()),
        Err(error) if records::is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    match fs::remove_file(&link) {
        Err(error) if !records::is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// The order of the host that owns an address; `None` when no host does.
pub(crate) fn owner(state: &Path, address: IpAddr) -> io::Result<Option<OrderRecord>> {
    let IpAddr::V4(address) = address else { return Ok(None) };
    records::read(&state.join("addresses").join(address.to_string()).join("order.json"))
}

fn candidate(state: &Path, owner: &Path, attempt: u32) -> Ipv4Addr {
    let mut hasher = blake3::Hasher::new();
    for part in [state.as_os_str().as_encoded_bytes(), owner.as_os_str().as_encoded_bytes()] {
        hasher.update(part).update(&[0]);
    }
    hasher.update(&attempt.to_le_bytes());
    let hash = hasher.finalize();
    let [a, b, c, ..] = *hash.as_bytes();
    // 127.0.x.y is left to other programs and to the founder; some tools take .0 and .255 for networks.
    Ipv4Addr::new(127, 1 + a % 254, b, 1 + c % 254)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_get_distinct_addresses_and_a_repeated_claim_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned(), &"lab".into());
        layout.create().unwrap();
        let mut addresses = std::collections::BTreeSet::new();
        for host in 0..300 {
            let host = HostId(format!("h{host}"));
            fs::create_dir(layout.host(&host).directory).unwrap();
            let address = claim(&layout, &host).unwrap();
            assert!(address.is_loopback() && address.octets()[1] != 0);
            assert_eq!(claim(&layout, &host).unwrap(), address);
            assert!(addresses.insert(address));
        }
    }

    #[test]
    fn an_address_in_use_is_passed_over_and_a_dangling_one_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned(), &"lab".into());
        layout.create().unwrap();
        let (host, other) = (HostId::from("h1"), HostId::from("h2"));
        fs::create_dir(layout.host(&host).directory).unwrap();
        let first = claim(&layout, &host).unwrap();
        let link = layout.addresses().join(first.to_string());
        fs::remove_file(&link).unwrap();
        symlink(Path::new("../providers/lab/hosts").join(other.as_str()), &link).unwrap();
        assert_eq!(claim(&layout, &host).unwrap(), first, "nobody is behind the link");
        fs::create_dir(layout.host(&other).directory).unwrap();
        fs::remove_file(&link).unwrap();
        symlink(Path::new("../providers/lab/hosts").join(other.as_str()), &link).unwrap();
        assert_ne!(claim(&layout, &host).unwrap(), first, "somebody is behind the link");
    }
}
