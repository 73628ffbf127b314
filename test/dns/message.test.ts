// DNS messages as bytes: what clients send is judged strictly, what servers answer is passed on as it came.
import assert from 'node:assert/strict';
import { decode } from 'dns-packet';
import { readAnswer } from '../../src/control/dns/answer-reader.js';
import type { Query } from '../../src/control/dns/message.js';
import { fitInto, udpRoom, writeKept, writeQuery, writeResponse } from '../../src/control/dns/message-writer.js';
import { readQuery } from '../../src/control/dns/query-reader.js';
import { Prng } from '../../src/lib/prng.js';
import { a, answerTo, ask, queryOf, see, soa } from '../support/dns-messages.js';

/** The rcode that a malformed query is refused with, or what else is done with it. */
function judged(bytes: Buffer): string {
  const reading = readQuery(bytes);
  return reading.kind === 'refusal' ? (see(reading.response).rcode as string) : reading.kind;
}

function patched(bytes: Buffer, at: number, ...values: number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(values, at);
  return copy;
}

describe('dns/message: queries', () => {
  it('are read with name, type, class and EDNS', () => {
    const query = queryOf(ask('WEB.Front.weft', 'AAAA', { id: 99, udpBytes: 4096, dnssecOk: true }));
    assert.deepEqual(
      { ...query, question: query.question.toString('latin1') },
      {
        id: 99,
        recursionDesired: true,
        checkingDisabled: false,
        wantsAuthentic: false,
        labels: ['web', 'front', 'weft'],
        question: '\x03WEB\x05Front\x04weft\0\0\x1c\0\x01',
        type: 28,
        class: 1,
        edns: { udpBytes: 4096, dnssecOk: true },
      },
    );
    assert.deepEqual(queryOf(ask('.', 'NS')).labels, []);
    assert.equal(queryOf(ask('a.test', 'A', { udpBytes: null })).edns, null);
  });

  it('that are none get no answer', () => {
    assert.equal(judged(Buffer.alloc(0)), 'none');
    assert.equal(judged(Buffer.alloc(11)), 'none');
    assert.equal(judged(answerTo(ask('a.test'), {})), 'none', 'an answer to a response would go round for ever');
  });

  it('of a wrong form are refused with the reason', () => {
    const good = ask('a.test');
    const withoutEdns = ask('a.test', 'A', { udpBytes: null });
    const cases: [string, Buffer, string][] = [
      ['opcode NOTIFY', patched(good, 2, 0x21), 'NOTIMP'],
      ['no question', patched(withoutEdns, 4, 0, 0), 'FORMERR'],
      ['two questions', patched(withoutEdns, 4, 0, 2), 'FORMERR'],
      ['a question that ends early', withoutEdns.subarray(0, withoutEdns.length - 1), 'FORMERR'],
      ['a label of 64 bytes', patched(good, 12, 64), 'FORMERR'],
      ['a pointer in the question', patched(good, 12, 0xc0, 0x0c), 'FORMERR'],
      ['one record too many announced', patched(good, 11, 2), 'FORMERR'],
      ['65535 records announced', patched(good, 6, 0xff, 0xff), 'FORMERR'],
      ['OPT as the question', patched(withoutEdns, withoutEdns.length - 4, 0, 41), 'FORMERR'],
      ['OPT that does not belong to the root', patched(good, good.length - 11, 1), 'FORMERR'],
    ];
    for (const [name, bytes, expected] of cases) assert.equal(judged(bytes), expected, name);
  });

  it('of a later version of EDNS learn which one is spoken here', () => {
    const reading = readQuery(patched(ask('a.test'), ask('a.test').length - 5, 1));
    assert.equal(reading.kind, 'refusal');
    const response = (reading as { response: Buffer }).response;
    // BADVERS is 16: the upper bits are in the OPT record.
    assert.equal(response[3]! & 15, 0);
    const opt = decode(response).additionals?.[0];
    assert.equal(opt?.type === 'OPT' && opt.extendedRcode, 1);
    assert.equal(opt?.type === 'OPT' && opt.ednsVersion, 0);
  });

  it('with bytes that are no letters keep them apart from letters', () => {
    const bytes = patched(ask('a.test', 'A', { udpBytes: null }), 13, 0x2e);
    assert.deepEqual(queryOf(bytes).labels, ['.', 'test']);
  });

  for (const seed of [1, 2, 3]) {
    it(`of any bytes throw nothing, and what is answered can be read, seed ${seed}`, () => {
      const prng = new Prng(seed);
      let [answered, read] = [0, 0];
      for (let round = 0; round < 20_000; round++) {
        const bytes = Buffer.from(ask('some.name.test', 'TXT', { udpBytes: round & 1 ? 1232 : null }));
        for (let flips = prng.below(6); flips >= 0; flips--) bytes[prng.below(bytes.length)] = prng.below(256);
        const cut = bytes.subarray(0, prng.below(4) === 0 ? prng.below(bytes.length + 1) : bytes.length);
        const reading = readQuery(cut);
        if (reading.kind === 'none') continue;
        if (reading.kind === 'query') read++;
        else answered++;
        const response = reading.kind === 'refusal' ? reading.response : writeResponse(reading.query, { rcode: 3 });
        assert.equal(response.readUInt16BE(0), cut.readUInt16BE(0));
        assert.equal(response[2]! & 0x80, 0x80);
        assert.doesNotThrow(() => decode(response));
      }
      assert.ok(answered > 1000 && read > 1000, `${answered} refused, ${read} read`);
    });
  }
});

describe('dns/message: answers of servers', () => {
  const query = queryOf(ask('www.example', 'A'));
  const asked = writeQuery(query, 321, true);

  it('are kept with the least TTL of their records, and given with what is left of it', () => {
    const records = [a('www.example', '192.0.2.1', 300), a('www.example', '192.0.2.2', 60)];
    const answer = readAnswer(query, 321, answerTo(asked, { answers: records }));
    assert.equal(answer?.ttl, 60);
    const later = queryOf(ask('WWW.EXAMPLE', 'A', { id: 5, udpBytes: null }));
    const given = decode(writeKept(later, answer!, 20));
    assert.equal(given.id, 5);
    assert.equal(given.questions?.[0]?.name, 'WWW.EXAMPLE');
    assert.deepEqual(
      given.answers?.map((record) => 'ttl' in record && record.ttl),
      [280, 40],
    );
    assert.deepEqual(given.additionals, [], 'no EDNS for a client that knows none');
  });

  it('that there is nothing are kept as long as the SOA says, and not without one', () => {
    const none = (parts: object) => readAnswer(query, 321, answerTo(asked, parts))?.ttl;
    assert.equal(none({ rcode: 3, authorities: [soa('example', 900, 30)] }), 30);
    assert.equal(none({ rcode: 0, authorities: [soa('example', 20, 3600)] }), 20);
    assert.equal(none({ rcode: 3, authorities: [soa('example', 99_999, 99_999)] }), 3600);
    assert.equal(none({ rcode: 3 }), 0);
    assert.equal(none({ rcode: 0 }), 0);
    assert.equal(none({ rcode: 2, authorities: [soa('example', 900, 30)] }), 0);
  });

  it('to another question, with another id, or that are no answers do not count', () => {
    const good = answerTo(asked, { answers: [a('www.example', '192.0.2.1')] });
    const other = writeQuery(queryOf(ask('www.example', 'AAAA')), 321, true);
    assert.ok(readAnswer(query, 321, good));
    assert.equal(readAnswer(query, 322, good), null);
    assert.equal(readAnswer(query, 321, asked), null, 'a query');
    assert.equal(readAnswer(query, 321, answerTo(other, {})), null);
    assert.equal(readAnswer(query, 321, good.subarray(0, good.length - 1)), null, 'cut');
    assert.equal(readAnswer(query, 321, patched(good, 7, 9)), null, 'more records announced than there are');
  });

  it('with names that lead in circles, forward or into the header do not count', () => {
    const good = answerTo(asked, { answers: [a('www.example', '192.0.2.1')] });
    const questionEnd = 12 + query.question.length;
    const pointed = (target: number) => {
      const record = Buffer.from([0xc0 | (target >> 8), target & 0xff, ...good.subarray(good.length - 14)]);
      return readAnswer(query, 321, Buffer.concat([good.subarray(0, questionEnd), record]));
    };
    assert.ok(pointed(12) !== null, 'to the question');
    assert.deepEqual([questionEnd, questionEnd + 2, 0, 11].map(pointed), [null, null, null, null]);
  });

  it('of types that nobody has heard of are passed on byte for byte', () => {
    const plain = answerTo(asked, { answers: [a('www.example', '192.0.2.1')] });
    // TYPE65280, private use.
    const strange = patched(plain, plain.length - 14, 0xff, 0x00);
    const given = writeKept({ ...query, edns: null }, readAnswer(query, 321, strange)!, 0);
    assert.deepEqual(given.subarray(12), strange.subarray(12));
  });

  it('too large for the client are marked as truncated and lose their records', () => {
    const records = Array.from({ length: 40 }, (_, n) => a('www.example', `192.0.2.${n}`));
    const answer = readAnswer(query, 321, answerTo(asked, { answers: records }))!;
    const small = queryOf(ask('www.example', 'A', { udpBytes: null }));
    const response = fitInto(small, writeKept(small, answer, 0), udpRoom(small));
    assert.deepEqual([see(response).flags.tc, see(response).answers, see(response).rcode], [true, [], 'NOERROR']);
    assert.equal(see(fitInto(query, writeKept(query, answer, 0), udpRoom(query))).answers.length, 40);
  });

  it('say that they are validated only to who asks for that', () => {
    const answer = readAnswer(
      query,
      321,
      answerTo(asked, { flags: 0x01a0, answers: [a('www.example', '192.0.2.1')] }),
    )!;
    const wanting: Query = { ...query, edns: { udpBytes: 1232, dnssecOk: true } };
    assert.equal(see(writeKept(query, answer, 0)).flags.ad, false);
    assert.equal(see(writeKept(wanting, answer, 0)).flags.ad, true);
  });

  for (const seed of [1, 2, 3]) {
    it(`of any bytes throw nothing and read nothing outside, seed ${seed}`, () => {
      const prng = new Prng(seed);
      const records = [a('www.example', '192.0.2.1'), a('www.example', '192.0.2.2')];
      const good = answerTo(asked, { answers: records, authorities: [soa('example', 900, 30)] });
      let taken = 0;
      for (let round = 0; round < 20_000; round++) {
        const bytes = Buffer.from(good);
        for (let flips = prng.below(4); flips >= 0; flips--) bytes[2 + prng.below(bytes.length - 2)] = prng.below(256);
        const cut = bytes.subarray(0, prng.below(4) === 0 ? prng.below(bytes.length + 1) : bytes.length);
        const answer = readAnswer(query, 321, cut);
        if (answer === null) continue;
        taken++;
        const response = writeKept(query, answer, prng.below(1000));
        assert.equal(response.readUInt16BE(0), query.id);
        assert.ok(answer.ttlAt.every((at) => at + 4 <= answer.bytes.length));
      }
      assert.ok(taken > 1000, `${taken} taken`);
    });
  }
});
