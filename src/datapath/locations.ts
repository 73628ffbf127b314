/**
 * Locations, as the MAC table has them: a port of this host, or MAX_PORTS + r for a station behind another VTEP, which is row r of the
 * table of those (tables/remote-table.ts).
 */
import { FLOOD, type FrameVector, forward, forwardToRemote } from '../frames/frame-vector.js';
import { MAX_PORTS, type Program, TUNNEL, TUNNEL_INTS } from './program.js';

/** Port of the tunnel of a network, -1 = it has none now. */
export function tunnelPortOf(program: Program, network: number): number {
  const tunnel = program.networkTunnel[network]!;
  return tunnel < 0 ? -1 : program.tunnels[tunnel * TUNNEL_INTS + TUNNEL.port]!;
}

/** Ends the fate of a frame on `network`: it leaves to a location, or to all (below 0, or when the tunnel there is gone). */
export function forwardTo(frames: FrameVector, row: number, program: Program, network: number, location: number): void {
  if (location < MAX_PORTS) {
    forward(frames, row, location < 0 ? FLOOD : location);
    return;
  }
  const port = tunnelPortOf(program, network);
  if (port < 0) forward(frames, row, FLOOD);
  else forwardToRemote(frames, row, port, location - MAX_PORTS, -1);
}
