/** States of flows by name. No schema library here: the CLI starts faster. */

export const FLOW_STATES = [
  'open',
  'syn-inside',
  'syn-outside',
  'established',
  'fin-inside',
  'fin-outside',
  'closing',
  'reset',
] as const;
