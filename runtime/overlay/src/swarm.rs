//! Builds the libp2p swarm of one overlay: our transport, our lanes, ping, and gossip when wanted.
//!
//! All of libp2p's settings are in this file. Read next: [`crate::service`], which polls the swarm.

use crate::config::{GOSSIP_BYTES_MAX, OverlayConfig};
use crate::error::BindError;
use crate::links::Links;
use crate::transport::GatedTcp;
use libp2p::core::upgrade::Version;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
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
/// Upper bound of the bytes that gossipsub and the envelope of [`crate::signed`] add to a body.
const GOSSIP_OVERHEAD_BYTES: usize = 1024;
/// Peers that get every message at once: the wanted number, the fewest and the most. Each peer costs a copy of each
/// message. Three are enough for a message to reach all nodes; the fourth may be lost. (libp2p: 6, 5, 12.)
const MESH: (usize, usize, usize) = (4, 3, 6);
/// Further peers that are informed of recent messages at each heartbeat. (libp2p: 6.)
const LAZY_PEERS: usize = 3;
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
    let gossip = if config.gossip { Some(gossip()?) } else { None };
    let ping = ping::Config::new().with_interval(config.ping_every).with_timeout(config.ping_timeout);
    let behaviour =
        Behaviour { links: Links::default(), ping: ping::Behaviour::new(ping), gossip: gossip.into() };
    // Lazy negotiation: a substream with one candidate protocol costs no round trip of its own.
    let settings = libp2p::swarm::Config::with_tokio_executor()
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_max_negotiating_inbound_streams(NEGOTIATING_MAX);
    Ok(Swarm::new(transport.boxed(), behaviour, keypair.public().to_peer_id(), settings))
}

fn gossip() -> Result<gossipsub::Behaviour, BindError> {
    let setting = |error: &dyn Display| BindError::Setting(error.to_string());
    let config = gossipsub::ConfigBuilder::default()
        .heartbeat_interval(GOSSIP_HEARTBEAT)
        .max_transmit_size(GOSSIP_BYTES_MAX + GOSSIP_OVERHEAD_BYTES)
        .mesh_n(MESH.0)
        .mesh_n_low(MESH.1)
        .mesh_n_high(MESH.2)
        .mesh_outbound_min(1)
        .gossip_lazy(LAZY_PEERS)
        // The service checks the signature of the first copy of a message.
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(blake3::hash(&message.data).as_bytes().to_vec()))
        // No message is forwarded before the service has found its origin in the roster.
        .validate_messages()
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .build()
        .map_err(|error| setting(&error))?;
    let mut gossip =
        gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).map_err(|error| setting(&error))?;
    gossip.subscribe(&topic()).map_err(|error| setting(&error))?;
    Ok(gossip)
}
