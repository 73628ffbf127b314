/** The names of commands that users and their scripts rely on. */
import assert from 'node:assert/strict';
import { createCommandTree } from '../../src/cli/command-tree.js';
import type { Session } from '../../src/cli/session.js';

const OTHER_NAMES = new Map([
  ['list', 'ls'],
  ['show', 'inspect'],
  ['create', 'add'],
  ['delete', 'rm'],
]);

describe('CLI: names of commands', () => {
  it('list, show, create and delete have their other name with every noun', () => {
    const program = createCommandTree({ world: { version: '0' } } as Session);
    const verbs = program.commands.flatMap((noun) => noun.commands.map((verb) => ({ noun, verb })));
    const renamed = verbs.filter(({ verb }) => OTHER_NAMES.has(verb.name()));
    assert.deepEqual(
      renamed.flatMap(({ noun, verb }) => {
        const other = OTHER_NAMES.get(verb.name())!;
        return verb.aliases().includes(other) ? [] : [`weft ${noun.name()} ${other}`];
      }),
      [],
      'missing',
    );
    assert.ok(renamed.some(({ noun, verb }) => noun.name() === 'flow' && verb.name() === 'show'));
  });
});
