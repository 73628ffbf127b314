/** What the DHCP server of one network did, by name, for the operator: messages that came and went, and requests left alone. */

/** Messages that came, and that were sent. */
export const DHCP_MESSAGES = [
  'discover',
  'request',
  'decline',
  'release',
  'inform',
  'offer',
  'ack',
  'nak',
  // DHCPv6.
  'information-request',
  'solicit',
  'request6',
  'confirm',
  'renew',
  'rebind',
  'release6',
  'decline6',
  'advertise',
  'reply',
] as const;

/** Why a message was left without an answer that would have got one from somebody else. */
export const DHCP_IGNORED = [
  /** Not a sound message. */
  'malformed',
  /** A message that a server does not answer, or of a kind that this one does not know (BOOTP). */
  'not-a-request',
  /** It came over a relay agent, and there is none between weft and its endpoints. */
  'relayed',
  /** From a port that is no endpoint's. */
  'no-endpoint',
  /** For a MAC that is not the endpoint's: somebody behind it, or somebody who wants many leases. */
  'foreign-mac',
  /** The client has chosen another server. */
  'other-server',
  /** The endpoint has no address of that family, or asks about one that is not its own. */
  'no-address',
  /** The client has just said that somebody else uses the address. */
  'declined',
  /** The answer did not fit the way to the worker. */
  'busy',
] as const;

export type DhcpMessageName = (typeof DHCP_MESSAGES)[number];
export type DhcpIgnored = (typeof DHCP_IGNORED)[number];
