/** weft completion bash | zsh, and the hidden weft __complete KIND that the scripts ask for names. */
import { Argument, type Command } from 'commander';
import { OBJECT_KINDS, type ObjectKind } from '../completion/kinds.js';
import type { Session } from '../session.js';

export function addCompletionCommand(program: Command, session: Session): void {
  program
    .command('completion')
    .description('print a completion script: source <(weft completion bash)')
    .addArgument(new Argument('<SHELL>', 'bash or zsh').choices(['bash', 'zsh']))
    .action(async (shell: 'bash' | 'zsh') => {
      const { commandWords } = await import('../completion/words.js');
      const words = commandWords(program);
      const script =
        shell === 'bash'
          ? (await import('../completion/bash.js')).bashScript(words)
          : (await import('../completion/zsh.js')).zshScript(words);
      session.answer({ shell, script }, script);
    });
  program
    .command('__complete', { hidden: true })
    .addArgument(new Argument('<KIND>').choices(OBJECT_KINDS))
    .action(async (kind: ObjectKind) => {
      const path = `/v1/${kind}s`;
      // Completion never complains: without a daemon there are no names.
      const found = await session.client
        .call<{ name: string }[]>({ what: 'complete', method: 'GET', path })
        .catch(() => []);
      for (const { name } of found) session.print(name);
    });
}
