// One question to one server over real sockets of the loopback interface: answers, forgeries, silence, nobody there.
import assert from 'node:assert/strict';
import { readAnswer } from '../../src/control/dns/answer-reader.js';
import { exchange } from '../../src/control/dns/exchange.js';
import { writeQuery } from '../../src/control/dns/message-writer.js';
import { a, answerTo, ask, queryOf } from '../support/dns-messages.js';
import { UpstreamDns } from '../support/upstream-dns.js';

const query = queryOf(ask('www.example'));
const ID = 4242;

/** The rcode of the answer, or the code of the error. */
async function asked(port: number, transport: 'udp' | 'tcp', timeoutMs = 5000): Promise<string | number> {
  const message = writeQuery(query, ID, true);
  const accept = (response: Buffer) => readAnswer(query, ID, response);
  try {
    const answer = await exchange({ address: '127.0.0.1', port }, transport, message, accept, timeoutMs);
    return answer.rcode;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

describe('dns/exchange', () => {
  let upstream: UpstreamDns;
  let respond: (question: Buffer) => Buffer | null;

  beforeEach(async () => {
    respond = (question) => answerTo(question, { answers: [a('www.example', '203.0.113.1')] });
    upstream = new UpstreamDns((question) => respond(question));
    await upstream.open();
  });
  afterEach(() => upstream.close());

  for (const transport of ['udp', 'tcp'] as const) {
    it(`gets the answer over ${transport}`, async () => {
      assert.equal(await asked(upstream.port, transport), 0);
      assert.deepEqual(upstream.asked, [`${transport} www.example`]);
    });

    it(`notices over ${transport} that nobody is there`, async () => {
      upstream.close();
      assert.equal(await asked(upstream.port, transport), 'ECONNREFUSED');
    });

    it(`does not wait for ever over ${transport}`, async () => {
      respond = () => null;
      assert.equal(await asked(upstream.port, transport, 50), 'ETIMEDOUT');
    });
  }

  it('takes no answer that is not to its question', async () => {
    respond = (question) => {
      const forged = answerTo(question, { answers: [a('www.example', '203.0.113.66')] });
      forged.writeUInt16BE(ID + 1, 0);
      return forged;
    };
    assert.equal(await asked(upstream.port, 'udp', 50), 'ETIMEDOUT');
    assert.equal(await asked(upstream.port, 'tcp'), 'EPROTO');
  });

  it('says what is wrong with an address that cannot be reached', async () => {
    const message = writeQuery(query, ID, true);
    const nowhere = exchange({ address: 'fe80::1%none0', port: 53 }, 'udp', message, () => 1, 1000);
    await assert.rejects(nowhere, (error: NodeJS.ErrnoException) => /^E[A-Z]+$/.test(error.code ?? ''));
  });
});
