/** What is said of faults of etcd: the words of gRPC, OpenSSL and etcd as they came from the real ones. */
import assert from 'node:assert/strict';
import { reasonOf } from '../../src/control/cluster/fault-reason.js';

const NO_CONNECTION = '14 UNAVAILABLE: No connection established. Last error: ';

describe('the reason of a fault of etcd', () => {
  it('says which line of weft.yaml is to blame', () => {
    const alert =
      '80EC04332C7F0000:error:0A000412:SSL routines:ssl3_read_bytes:sslv3 alert bad certificate:' +
      '../deps/openssl/openssl/ssl/record/rec_layer_s3.c:1601:SSL alert number 42\n';
    const said: [string, RegExp][] = [
      [
        `${NO_CONNECTION}Error: ${alert}. Resolution note: `,
        /^it wants a certificate of this host .*\(cert, key and ca/,
      ],
      [`${NO_CONNECTION}Error: unable to verify the first certificate. Resolution note: `, /authority .*\(ca in weft/],
      ['error:05800074:x509 certificate routines::key values mismatch', /^key in weft.yaml does not belong to cert$/],
      ['error:1E08010C:DECODER routines::unsupported', /^cert or key in weft.yaml is no PEM file$/],
      ['3 INVALID_ARGUMENT: etcdserver: user name is empty', /^it wants a user/],
      [
        '3 INVALID_ARGUMENT: etcdserver: authentication failed, invalid user ID or password',
        /^it does not accept user and password/,
      ],
      ['7 PERMISSION_DENIED: etcdserver: permission denied', /read and write access to the prefix$/],
      ['9 FAILED_PRECONDITION: etcdserver: authentication is not enabled', /^it knows no users/],
    ];
    for (const [message, expected] of said) assert.match(reasonOf(message), expected, message);
  });

  it('is the cause alone, on one line, where nothing better is known', () => {
    const said: [string, string][] = [
      ['4 DEADLINE_EXCEEDED: Deadline exceeded after 3.0s', 'it does not answer'],
      [`${NO_CONNECTION}null. Resolution note: `, 'the connection was lost'],
      [`${NO_CONNECTION}connect ECONNREFUSED 192.0.2.1:2379. Resolution note: `, 'connect ECONNREFUSED 192.0.2.1:2379'],
      [
        "ENOENT: no such file or directory, open '/etc/ca.pem'",
        "ENOENT: no such file or directory, open '/etc/ca.pem'",
      ],
      ['14 UNAVAILABLE: Connection dropped\n', 'Connection dropped'],
      ['the presence of this host was deleted', 'the presence of this host was deleted'],
    ];
    for (const [message, expected] of said) assert.equal(reasonOf(message), expected);
  });
});
