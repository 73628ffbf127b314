/** What the user asked for: a compartment, an isolated network stack, on Linux a network namespace. Plain data. */

export interface CompartmentSpec {
  name: string;
  /** Path of an adopted namespace (`/run/netns/x`, `/proc/PID/ns/net`); null unless adopted by path. */
  netns: string | null;
  /** Process whose namespace is adopted; null unless adopted by pid. With `netns` null too, weft owns /run/netns/NAME. */
  pid: number | null;
}
