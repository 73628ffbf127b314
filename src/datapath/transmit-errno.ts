/** What a failed write to a port means: the reason for which the departure is dropped. */
import { DROP } from './drop-reasons.js';

/**
 * Linux errno values (include/uapi/asm-generic/errno*.h) that a write to a TAP or a socket answers with. `isOuter`: what was written is
 * an encapsulated frame.
 */
export function reasonOf(result: number, isOuter: boolean): number {
  switch (-result) {
    case 90: // EMSGSIZE: ip_append_data and packet_snd, larger than the interface takes
      return isOuter ? DROP.exceedsUnderlay : DROP.refused;
    case 101: // ENETUNREACH
    case 113: // EHOSTUNREACH
      return isOuter ? DROP.noUnderlayRoute : DROP.refused;
    case 5: // EIO: tun_get_user, the interface is down
    case 100: // ENETDOWN
      return DROP.portDown;
    case 6: // ENXIO
    case 9: // EBADF
    case 19: // ENODEV
    case 77: // EBADFD: tun_chr_write_iter, the interface was deleted
      return DROP.portGone;
    case 11: // EAGAIN
    case 12: // ENOMEM
    case 105: // ENOBUFS
      return DROP.queueFull;
    default:
      return DROP.refused;
  }
}
