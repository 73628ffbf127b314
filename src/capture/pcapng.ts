/**
 * Numbers of the pcapng format that weft writes and reads. Read first: draft-ietf-opsawg-pcapng, sections 3 and 4.
 *
 *   block: type (4) | total length (4) | body, padded to 4 | total length again (4)
 *   option: code (2) | length (2) | value, padded to 4; code 0 ends the list
 */

export const SECTION_HEADER = 0x0a0d0d0a;
export const INTERFACE_DESCRIPTION = 1;
/** The former packet block: obsolete, but old files have it. */
export const PACKET = 2;
export const SIMPLE_PACKET = 3;
export const INTERFACE_STATISTICS = 5;
export const ENHANCED_PACKET = 6;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
export const BLOCK_OVERHEAD_BYTES = 12;

export const OPTION_END = 0;
export const OPTION_COMMENT = 1;
/** Section header. */
export const SHB_APPLICATION = 4;
/** Interface description. */
export const IF_NAME = 2;
export const IF_DESCRIPTION = 3;
export const IF_MAC = 6;
export const IF_TIME_RESOLUTION = 9;
export const IF_FILTER = 11;
export const IF_TIME_OFFSET = 14;
/** Enhanced packet. */
export const EPB_FLAGS = 2;
export const EPB_DROP_COUNT = 4;
/** Interface statistics. */
export const ISB_START_TIME = 2;
export const ISB_END_TIME = 3;
export const ISB_RECEIVED = 4;
export const ISB_DROPPED = 5;
export const ISB_FILTER_ACCEPTED = 6;

/** Low bits of epb_flags. */
export const DIRECTION_MASK = 3;
export const DIRECTION_INBOUND = 1;
export const DIRECTION_OUTBOUND = 2;
/** Bit 9: the checksum of the transport protocol is not computed yet. */
export const CHECKSUM_NOT_READY = 1 << 9;
