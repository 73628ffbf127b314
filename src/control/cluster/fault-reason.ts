/** What a fault of a session with etcd means to whoever wrote weft.yaml: without what only programmers of gRPC and OpenSSL understand. */

/** The first one that fits. */
const MEANINGS: readonly (readonly [RegExp, string])[] = [
  [/deadline exceeded/i, 'it does not answer'],
  [/Last error: null/, 'the connection was lost'],
  [
    /alert (?:bad certificate|certificate required|unknown ca|certificate unknown|handshake failure)/,
    'it wants a certificate of this host that it knows the authority of (cert, key and ca in weft.yaml)',
  ],
  [
    /unable to verify|unable to get (?:local )?issuer|self[- ]signed certificate/,
    'its certificate is of an authority that this host does not know (ca in weft.yaml)',
  ],
  [/key values mismatch/, 'key in weft.yaml does not belong to cert'],
  [/DECODER routines|PEM routines/, 'cert or key in weft.yaml is no PEM file'],
  [/etcdserver: user name is empty/, 'it wants a user (user and password in weft.yaml)'],
  [/etcdserver: authentication failed/, 'it does not accept user and password of weft.yaml'],
  [
    /etcdserver: authentication is not enabled/,
    'it knows no users: enable its authentication, or take user and password out of weft.yaml',
  ],
  [
    /etcdserver: permission denied/,
    'the user of weft.yaml may not do that: it needs read and write access to the prefix',
  ],
];

export function reasonOf(message: string): string {
  const meaning = MEANINGS.find(([pattern]) => pattern.test(message));
  if (meaning !== undefined) return meaning[1];
  const cause = /Last error: (?:Error: )?(.*?)\.? *(?:Resolution note:.*)?$/s.exec(message)?.[1];
  return (cause ?? message.replace(/^(?:Error: )?\d+ [A-Z_]+: /, '')).trim();
}
