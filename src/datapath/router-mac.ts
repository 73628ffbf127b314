/**
 * The MACs of the router on a network. One is the gateway's, which stations know; on an overlay network it is the same on every
 * host, so that a station that moves keeps its gateway, and therefore nobody may learn where it is. What the router of this host says
 * to other hosts carries a second MAC, which no other host has (HCN DrMacAddress): answers to it come back here.
 */
import type { Program } from './program.js';

/** Whether the router has a MAC of its own there: the network is one of several hosts. */
export function isDistributed(program: Program, network: number): boolean {
  return (program.ownRouterMacHigh[network]! | program.ownRouterMacLow[network]!) !== 0;
}

/** Whether a MAC is one of the router on this host. */
export function isRouterMac(program: Program, network: number, macHigh: number, macLow: number): boolean {
  if (macLow === program.gatewayMacLow[network] && macHigh === program.gatewayMacHigh[network]) return true;
  if (macLow !== program.ownRouterMacLow[network] || macHigh !== program.ownRouterMacHigh[network]) return false;
  return isDistributed(program, network);
}

/** The MAC that answers find this host by: high 16 bits. */
export function ownHigh(program: Program, network: number): number {
  return isDistributed(program, network) ? program.ownRouterMacHigh[network]! : program.gatewayMacHigh[network]!;
}

/** Its low 32 bits. */
export function ownLow(program: Program, network: number): number {
  return isDistributed(program, network) ? program.ownRouterMacLow[network]! : program.gatewayMacLow[network]!;
}
