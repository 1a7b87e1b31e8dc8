//! Builds the libp2p swarm of one overlay: our transport, our lanes, ping, and gossip when wanted.
//!
//! All of libp2p's settings are in this file. Read next: [`crate::service`], which polls the swarm.

use crate::config::{GOSSIP_BYTES_MAX, OverlayConfig};
use crate::error::BindError;
use crate::links::Links;
use crate::transport::GatedTcp;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{NetworkBehaviour, Swarm};
use libp2p::{Transport, ping};
use std::fmt::Display;
use std::time::Duration;

/// The one topic; overlays of different applications are kept apart by the handshake already.
const TOPIC: &str = "rhizo";
/// Mesh upkeep of gossip. One second is libp2p's own; the cost at rest is one walk over a few peers.
const GOSSIP_HEARTBEAT: Duration = Duration::from_secs(1);
/// Messages waiting for one peer before gossip to it is dropped.
const GOSSIP_QUEUE_MAX: usize = 512;
/// Upper bound of the bytes that a signed message adds to its body.
const GOSSIP_OVERHEAD_BYTES: usize = 1024;
/// Substreams of one connection being negotiated at once: all lanes, ping and gossip, with room.
const NEGOTIATING_MAX: usize = 16;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) links: Links,
    pub(crate) ping: ping::Behaviour,
    pub(crate) gossip: Toggle<gossipsub::Behaviour>,
}

/// The topic on which all nodes publish.
pub(crate) fn topic() -> IdentTopic {
    IdentTopic::new(TOPIC)
}

pub(crate) fn build(
    config: &OverlayConfig,
    keypair: &Keypair,
    transport: GatedTcp,
) -> Result<Swarm<Behaviour>, BindError> {
    let gossip = if config.gossip { Some(gossip(keypair)?) } else { None };
    let ping = ping::Config::new().with_interval(config.ping_every).with_timeout(config.ping_timeout);
    let behaviour =
        Behaviour { links: Links::default(), ping: ping::Behaviour::new(ping), gossip: gossip.into() };
    // Lazy negotiation: a substream with one candidate protocol costs no round trip of its own.
    let settings = libp2p::swarm::Config::with_tokio_executor()
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_max_negotiating_inbound_streams(NEGOTIATING_MAX);
    Ok(Swarm::new(transport.boxed(), behaviour, keypair.public().to_peer_id(), settings))
}

fn gossip(keypair: &Keypair) -> Result<gossipsub::Behaviour, BindError> {
    let setting = |error: &dyn Display| BindError::Setting(error.to_string());
    let config = gossipsub::ConfigBuilder::default()
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .max_transmit_size(GOSSIP_BYTES_MAX + GOSSIP_OVERHEAD_BYTES)
        .validation_mode(ValidationMode::Strict)
        // No message is forwarded before the service has found its origin in the roster.
        .validate_messages()
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .build()
        .map_err(|error| setting(&error))?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Signed(keypair.clone()), config)
        .map_err(|error| setting(&error))?;
    gossip.subscribe(&topic()).map_err(|error| setting(&error))?;
    Ok(gossip)
}
