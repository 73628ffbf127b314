/** Running a program as a user who may nothing, for tests that run as root. */

export const NOBODY = 65534;

/**
 * The same command as the user `nobody`, in the group `gid` and no other. The only privilege left is to read files, without
 * which a checkout below /root would be out of reach; it does not help with sockets, namespaces or interfaces.
 */
export function asNobody(command: readonly string[], gid = NOBODY): [string, ...string[]] {
  const capabilities = ['--inh-caps=-all,+dac_read_search', '--ambient-caps=-all,+dac_read_search'];
  return ['setpriv', `--reuid=${NOBODY}`, `--regid=${gid}`, '--clear-groups', ...capabilities, '--', ...command];
}
